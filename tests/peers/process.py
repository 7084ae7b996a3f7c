"""Process groups of servers that must leave nothing behind."""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_LOWEST, _HIGHEST = 20_000, 32_000  # below the kernel's ephemeral range: no client socket takes the port meanwhile


class PeerMissing(Exception):
    """A real peer cannot run here; the message says why and belongs into the skip."""


class PeerFailed(Exception):
    """A real peer did not start or stop as it should."""


def free_port() -> int:
    """A loopback port that is free now and that no outgoing connection will occupy while its server is down."""
    for _ in range(1000):
        port = random.randrange(_LOWEST, _HIGHEST)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise PeerFailed("no free loopback port")


def require(*programs: str) -> None:
    """Raises `PeerMissing` unless we are root and all programs (names or absolute paths) are there."""
    if os.geteuid() != 0:
        raise PeerMissing("real mail servers need root")
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [program for program in programs if shutil.which(program, path=search) is None]
    if absent:
        raise PeerMissing(f"not installed: {', '.join(absent)} (scripts/install-peers)")


class Workdir:
    """A temporary directory that other users may pass through, removed at the latest when Python ends."""

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"peer-{name}-"))
        self.path.chmod(0o755)
        atexit.register(self.remove)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        atexit.unregister(self.remove)


class Group:
    """One server with all its children: a process group of its own."""

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._log = log
        atexit.register(self.kill)

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Whether any process of the group is left (zombies of the leader excluded)."""
        self._process.poll()
        return bool(group_members(self.pid))

    def send(self, number: signal.Signals) -> None:
        """Signal every process of the group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def tell(self, number: signal.Signals) -> None:
        """Signal the leader alone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def terminate(self, timeout: float = 2.0) -> None:
        """Graceful end: SIGTERM to the leader, then SIGKILL to whoever is left after `timeout` seconds."""
        self.send(signal.SIGCONT)
        self.tell(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        with contextlib.suppress(PeerFailed):
            wait_until(lambda: not self.alive(), 0.2, "end of the group")
        self.kill()

    def kill(self) -> None:
        """kill -9 of the whole group, and wait until nothing is left."""
        atexit.unregister(self.kill)
        self.send(signal.SIGKILL)
        self._process.wait(5)
        wait_until(lambda: not self.alive(), 5.0, "death of the group")

    def wait_listening(self, *ports: int, timeout: float = 10.0) -> None:
        """Until every port accepts; raises `PeerFailed` with the log's end when the server dies before."""

        def ready() -> bool:
            if self._process.poll() is not None:
                raise PeerFailed(f"died at the start: {self.log_tail()}")
            return all(_accepts(port) for port in ports)

        wait_until(ready, timeout, f"ports {ports}; log: {self._log}")

    def log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return self._log.read_text("utf-8", "replace")[-2000:]
        return "(no log)"


def group_members(pgid: int) -> list[int]:
    """Living processes of a process group."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == pgid and fields[0] not in "ZX":
                members.append(int(entry.name))
    return members


def process_name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def wait_until(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Poll until the condition holds; raises `PeerFailed` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise PeerFailed(f"timed out waiting for {what}")
        time.sleep(0.01)


def run(*argv: str, stdin: str | None = None) -> str:
    """A command that must succeed; its standard output."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerFailed(f"{argv[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False
