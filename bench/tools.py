"""smtp-source and smtp-sink, Postfix's own test programs."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from types import TracebackType

from bench.driver import Outcome
from peers.process import PeerFailed, PeerMissing, free_port, require, wait_until

__all__ = ["PeerFailed", "PeerMissing", "Sink", "free_port", "require", "smtp_source", "wait_until"]

SENDER = "news@example.com"
_COUNTER = re.compile(rb"mesg=(\d+)")
_BACKLOG = "1024"


class Sink:
    """smtp-sink on a loopback port: takes every message and throws it away. `count` is what it has taken."""

    def __init__(self) -> None:
        require("smtp-sink")
        self.port = free_port()
        self.count = 0
        self._reached_at = 0.0
        self._changed = threading.Condition()
        # As root it wants an account to change to; the counter is written after each message.
        self._process = subprocess.Popen(
            ["/usr/sbin/smtp-sink", "-u", "nobody", "-m", "1000", "-c", f"127.0.0.1:{self.port}", _BACKLOG],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, bufsize=0,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()
        time.sleep(0.1)
        if self._process.poll() is not None:
            assert self._process.stderr is not None
            raise PeerFailed(self._process.stderr.read().decode("utf-8", "replace"))

    def _read(self) -> None:
        assert self._process.stdout is not None
        rest = b""
        while data := self._process.stdout.read(65536):
            *whole, rest = (rest + data).split(b"\r")
            if whole and (found := _COUNTER.search(whole[-1])):
                with self._changed:
                    self.count = int(found[1])
                    self._reached_at = time.perf_counter()
                    self._changed.notify_all()

    def wait_for(self, count: int, timeout: float) -> float:
        """Until it has taken that many in all; the `perf_counter` of it. Raises `PeerFailed` after so many seconds
        without any new message."""
        with self._changed:
            while self.count < count:
                if not self._changed.wait(timeout):
                    raise PeerFailed(f"the sink has {self.count} of {count} messages and no more come")
            return self._reached_at

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def __enter__(self) -> Sink:
        wait_until(lambda: self._process.poll() is None, 1, "smtp-sink")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def smtp_source(
    port: int, messages: int, connections: int, suffix: str, *, octets: int = 10_240, reconnect: bool = False
) -> Outcome:
    """So many messages of that size to `1suffix`, `2suffix`, … over connections that are kept, unless `reconnect`.

    Raises `PeerFailed` where any message is refused.
    """
    argv = ["/usr/sbin/smtp-source", "-N", "-s", str(connections), "-m", str(messages), "-l", str(octets)]
    argv += ["-S", "A bench mark", "-M", "client.example.com", "-f", SENDER, "-t", suffix]
    argv += [] if reconnect else ["-d"]
    started = time.perf_counter()
    process = subprocess.Popen([*argv, f"127.0.0.1:{port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output, _ = process.communicate()
    except BaseException:
        process.kill()
        process.wait(5)
        raise
    if process.returncode:
        raise PeerFailed(f"smtp-source: {output.decode('utf-8', 'replace').strip()[-500:]}")
    return Outcome(messages=messages, copies=messages, seconds=time.perf_counter() - started)
