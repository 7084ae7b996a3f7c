"""`everpost serve`: the embedded database, worker processes and a control process, kept alive until told to stop.

SIGTERM and SIGINT drain and end everything. SIGHUP reads configuration and certificates again: every process is
replaced by a new one, which listens before the old one stops, so that nothing is refused meanwhile. A configuration
that is wrong changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
import structlog

from everpost.app import metrics
from everpost.app.child import READY, Orders
from everpost.app.config import Config, ConfigError, load_config
from everpost.app.database import DatabaseAway, migrate_at, running_server
from everpost.app.notify import tell_manager
from everpost.app.tls import server_context
from everpost.store.database import UNAVAILABLE
from everpost.store.migrate import NewerSchema
from everpost.store.postgres import CannotStart, EmbeddedPostgres
from everpost.store.sql import load

log = structlog.get_logger()
_STORE = load("store")
_QUEUE = load("queue")
READY_S = 120.0
DRAIN_S = 45.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0
CONTROL = "control"


class CannotServe(Exception):
    """A process could not start; the message is what it said."""


@dataclass(frozen=True, slots=True)
class _Role:
    """What a child process is: its name in logs, and the module it runs."""

    name: str
    module: str


def _roles(config: Config) -> list[_Role]:
    workers = [_Role(f"worker-{number}", "everpost.app.worker") for number in range(1, config.worker_processes + 1)]
    return [*workers, _Role(CONTROL, "everpost.app.control"), _Role("indexing", "everpost.app.indexing")]


class Supervisor:
    """Runs once."""

    def __init__(self, config: Config, config_path: Path | None) -> None:
        self._config = config
        self._config_path = config_path
        self._dsn = ""
        self._metrics_folder = Path(os.environ[metrics.FOLDER_VARIABLE])
        self._keepers: dict[str, _Keeper] = {}
        self._ending = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> None:
        """Until SIGTERM. Raises `CannotServe`, `CannotStart`, `ConfigError`, `DatabaseAway`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        async with self._database():
            try:
                metrics.serve_metrics(self._config.metrics.listen, self._metrics_folder)
            except OSError as error:
                raise CannotServe(f"metrics: {error.strerror}: {', '.join(self._config.metrics.listen)}") from error
            try:
                await self._start_all()
                await self._attend()
            finally:
                await asyncio.gather(*(keeper.stop() for keeper in self._keepers.values()))

    async def _start_all(self) -> None:
        await self.sweep()
        keepers = {role.name: _Keeper(role, self) for role in _roles(self._config)}
        self._keepers = keepers
        starts = [asyncio.create_task(keeper.start()) for keeper in keepers.values()]
        ending = asyncio.create_task(self._ending.wait())
        try:
            for start in starts:
                await asyncio.wait((start, ending), return_when=asyncio.FIRST_COMPLETED)
                if start.done():
                    start.result()
        finally:
            for task in (*starts, ending):
                task.cancel()
            await asyncio.gather(*starts, ending, return_exceptions=True)
        tell_manager("READY=1")
        log.info("serve.ready", workers=self._config.worker_processes)

    async def _attend(self) -> None:
        while not self._ending.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (self._ending, self._reload)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if self._reload.is_set() and not self._ending.is_set():
                self._reload.clear()
                tell_manager("RELOADING=1")
                await self._replace_all()
                tell_manager("READY=1")
        tell_manager("STOPPING=1")
        log.info("serve.stopping")

    # ------------------------------------------------------------------ reload

    async def _replace_all(self) -> None:
        try:
            config = load_config(self._config_path)
            for section in (config.smtp.mx, config.smtp.smarthost, config.smtp.submission, config.web):
                server_context(config, section)
        except ConfigError as error:
            log.error("serve.reload_refused", error=str(error))
            return
        if unchangeable := _needs_restart(self._config, config):
            log.warning("serve.needs_restart", options=unchangeable)
        self._config = config
        roles = {role.name: role for role in _roles(config)}
        for name in self._keepers.keys() - roles.keys():
            await self._keepers.pop(name).stop()
        for name, role in roles.items():
            if self._ending.is_set():
                return
            await self._replace(name, role)
        log.info("serve.reloaded", workers=config.worker_processes)

    async def _replace(self, name: str, role: _Role) -> None:
        keeper = _Keeper(role, self)
        try:
            await keeper.start()
        except CannotServe as error:
            log.error("serve.reload_failed", process=name, error=str(error))
            await keeper.stop()
            return
        old = self._keepers.get(name)
        self._keepers[name] = keeper
        if old is not None:
            await old.stop()

    # ------------------------------------------------------------------ children

    async def spawn(self, role: _Role) -> asyncio.subprocess.Process:
        """Start a child and wait until it is ready. Raises `CannotServe`."""
        path = str(self._config_path.resolve()) if self._config_path else ""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", role.module, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        line = b""
        try:
            process.stdin.write(msgspec.json.encode(Orders(role.name, path, self._dsn)) + b"\n")
            async with asyncio.timeout(READY_S):
                line = await process.stdout.readline()
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("serve.child_silent", process=role.name, error=str(error))
        except asyncio.CancelledError:
            process.kill()
            raise
        if line != READY:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise CannotServe(line.decode(errors="replace").strip() or f"{role.name} ended before it was ready")
        return process

    async def mourn(self, role: _Role, process: asyncio.subprocess.Process) -> None:
        """A child has ended by itself."""
        log.error("serve.process_died", process=role.name, pid=process.pid, status=process.returncode)
        metrics.RESTARTS.labels(role.name.partition("-")[0]).inc()
        metrics.forget_process(process.pid, self._metrics_folder)
        await self.sweep()

    async def sweep(self) -> None:
        """Deliveries leased to workers of this host that live no more are due at once, as in doubt."""
        try:
            connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=30)
            try:
                rows = await connection.fetch(_STORE["workers_of_host"], socket.gethostname())
                dead = [row["run"] for row in rows if not _lives(row["pid"])]
                if dead:
                    await connection.execute(_QUEUE["lapse"], dead)
                    await connection.executemany(_STORE["worker_gone"], [(run,) for run in dead])
            finally:
                await connection.close(timeout=5)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("serve.not_swept", error=str(error))  # once a process has been started again it is

    # ------------------------------------------------------------------ database

    @contextlib.asynccontextmanager
    async def _database(self) -> AsyncIterator[None]:
        """The migrated database for as long as the block runs; the embedded one is started, and again if it dies."""
        self._dsn = self._config.external_dsn()
        async with contextlib.AsyncExitStack() as stack:
            if not self._dsn:
                self._config.data_folder.mkdir(parents=True, exist_ok=True)
                server = await stack.enter_async_context(running_server(self._config))
                self._dsn = server.dsn
                guard = asyncio.create_task(_guard(server))
                stack.push_async_callback(_cancel, guard)
            try:
                await migrate_at(self._dsn)
            except NewerSchema as error:
                raise DatabaseAway(f"{error}: upgrade Everpost") from error
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                raise DatabaseAway(f"the database cannot be reached: {error}") from error
            yield


class _Keeper:
    """Keeps one child process alive."""

    def __init__(self, role: _Role, supervisor: Supervisor) -> None:
        self._role = role
        self._supervisor = supervisor
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `CannotServe` where the first try fails."""
        self._process = await self._supervisor.spawn(self._role)
        self._task = asyncio.create_task(self._keep(self._process))

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        pause, loop = FIRST_PAUSE_S, asyncio.get_running_loop()
        while True:
            began = loop.time()
            await process.wait()
            await self._supervisor.mourn(self._role, process)
            pause = FIRST_PAUSE_S if loop.time() - began > STEADY_S else min(pause * 2, LONGEST_PAUSE_S)
            process = self._process = await self._again(pause)
            await self._supervisor.sweep()  # where they died together, the database was away when this was mourned

    async def _again(self, pause: float) -> asyncio.subprocess.Process:
        while True:
            await asyncio.sleep(pause)
            try:
                return await self._supervisor.spawn(self._role)
            except CannotServe as error:
                log.error("serve.process_failed", process=self._role.name, error=str(error))
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def stop(self) -> None:
        """SIGTERM, time to drain, then SIGKILL."""
        await _cancel(self._task)
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), DRAIN_S)
        except TimeoutError:
            log.error("serve.process_killed", process=self._role.name)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _guard(server: EmbeddedPostgres) -> None:
    """Start the embedded database again whenever it dies."""
    while True:
        status = await server.wait()
        log.error("serve.database_died", status=status)
        while True:
            try:
                await server.start()
                log.info("serve.database_restarted")
                break
            except CannotStart as error:
                log.error("serve.database_failed", error=str(error))
                await asyncio.sleep(2)


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _needs_restart(old: Config, new: Config) -> list[str]:
    """Options that a reload does not change."""
    names = ("data_dir", "database", "database_file", "metrics")
    return [name for name in names if getattr(old, name) != getattr(new, name)]
