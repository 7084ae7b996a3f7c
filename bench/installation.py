"""Everpost as a user runs it: a configuration, `everpost serve`, commands against it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg

from bench.accounting import ProcessStat, running, tree_of
from bench.tools import PeerFailed, free_port, wait_until
from bench.world import DOMAIN, World
from everpost.store.postgres import EmbeddedPostgres
from peers.process import Group, Workdir

_CONFIG = """
hostname = "mx.{domain}"
data_dir = "{folder}/data"
workers = {workers}

[smtp.mx]
listen = ["127.0.0.1:{smtp}"]

[smtp.smarthost]
listen = []

[smtp.submission]
listen = []
listen_tls = []

[web]
listen = ["127.0.0.1:{web}"]

[guard]
enabled = {guarded}

[queue]
resolver = [{resolver}]
"""
_READY_S, _END_S = 90, 30


class Sql:
    """One connection to the installation's database, for programs without an event loop."""

    def __init__(self, dsn: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(dsn, timeout=10))

    def value(self, query: str, *arguments: Any) -> Any:
        return self._runner.run(self._connection.fetchval(query, *arguments))

    def rows(self, query: str, *arguments: Any) -> Sequence[Any]:
        return self._runner.run(self._connection.fetch(query, *arguments))

    def run(self, query: str, *arguments: Any) -> None:
        self._runner.run(self._connection.execute(query, *arguments, timeout=1800))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._runner.run(self._connection.close(timeout=2))
        self._runner.close()


class Everpost:
    """An installation of its own in a temporary folder, whose only primary is the sink. Its guard is on where there is
    a name server (address:port) for it.
    """

    name = "Everpost"

    def __init__(self, world: World, sink_port: int, workers: int = 0, name_server: str = "") -> None:
        self._workdir = Workdir("everpost")
        self.folder = self._workdir.path
        self.smtp_port, self.web_port = free_port(), free_port()
        self._group: Group | None = None
        self._sql: Sql | None = None
        try:
            self._set_up(workers, name_server)
            self._fill(world, sink_port)
            self._start()
            self._sql = Sql(EmbeddedPostgres(self.folder / "data" / "database").dsn)
            self.lane = f"primary:{self.sql.value('SELECT id FROM primary_server')}"
        except BaseException:
            self.close()
            raise

    def _set_up(self, workers: int, name_server: str) -> None:
        self.command("init", "--data-dir", str(self.folder / "data"), "--hostname", f"mx.{DOMAIN}")
        text = _CONFIG.format(
            domain=DOMAIN, folder=self.folder, workers=workers, smtp=self.smtp_port, web=self.web_port,
            guarded="true" if name_server else "false", resolver=f'"{name_server}"' if name_server else "",
        )  # fmt: skip
        self._config.write_text(text, encoding="utf-8")

    def _start(self) -> None:
        self._group = Group([_program(), "--config", str(self._config), "serve"], self.folder / "log")
        end = time.monotonic() + _READY_S
        while not self._ready():
            if not self._group.alive():
                raise PeerFailed(f"everpost serve ended: {self._group.log_tail()}")
            if time.monotonic() > end:
                raise PeerFailed(f"everpost serve is not ready after {_READY_S} s: {self._group.log_tail()}")
            time.sleep(0.05)

    def _fill(self, world: World, sink_port: int) -> None:
        people = self.folder / "people.csv"
        people.write_text(world.csv(), encoding="utf-8")
        self.command("org", "create", "bench")
        self.command("primary", "create", "main", "--smtp", f"127.0.0.1:{sink_port}")
        self.command("domain", "create", DOMAIN, "--primary", "main")
        self.command("mailbox", "import-csv", str(people))

    @property
    def _config(self) -> Path:
        return self.folder / "everpost.toml"

    def command(self, *words: str) -> str:
        """Run `everpost …`; raises `PeerFailed` with what it says where it fails."""
        argv = [_program(), "--config", str(self._config), *words]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise PeerFailed(f"everpost {words[0]}: {(done.stderr.strip() or done.stdout.strip())[-800:]}")
        return done.stdout

    @property
    def sql(self) -> Sql:
        assert self._sql is not None
        return self._sql

    @property
    def roots(self) -> list[int]:
        assert self._group is not None
        return [self._group.pid]

    def stored(self) -> int:
        return int(self.sql.value("SELECT coalesce(sum(modseq), 0) FROM mailbox"))  # one number for each new entry

    def counted(self) -> int:
        """Entries one by one."""
        return int(self.sql.value("SELECT count(*) FROM entry"))

    def waiting(self) -> int:
        query = "SELECT count(*) FROM delivery WHERE status = 'queued' AND lane = $1"
        return int(self.sql.value(query, self.lane))

    def close(self) -> None:
        if self._sql:
            self._sql.close()
        roots = _mentioning(str(self.folder)) + (self.roots if self._group else [])
        everyone = tree_of(running(), roots)
        if self._group:
            self._group.terminate(_END_S)
        _kill_left(everyone)
        self._workdir.remove()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def _program() -> str:
    return str(Path(sys.executable).parent / "everpost")


def _mentioning(folder: str) -> list[int]:
    """Processes with that folder on their command line: also the database of a command that was interrupted."""
    found = []
    for process in running():
        with contextlib.suppress(OSError):
            if folder.encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes():
                found.append(process.pid)
    return found


def _kill_left(ours: Sequence[ProcessStat]) -> None:
    """End what outlived the supervisor: PostgreSQL's processes have a session of their own."""
    names = {(process.pid, process.started) for process in ours}

    def left() -> list[int]:
        return [each.pid for each in running() if (each.pid, each.started) in names]

    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(PeerFailed):
            wait_until(lambda: not left(), 3, "end of everpost")
            return
