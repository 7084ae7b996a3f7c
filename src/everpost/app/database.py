"""The database for commands: the server that is running, or the embedded one started just for the command.

Two lock files in the data directory keep commands and `everpost serve` from pulling the server from under each other:
whoever runs the embedded server holds `database.server.lock`; every command that uses the server holds
`database.users.lock`, shared, and a temporary server ends only when nobody does any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import structlog

from everpost.app.config import Config
from everpost.store.database import UNAVAILABLE, Database
from everpost.store.migrate import NewerSchema, migrate
from everpost.store.postgres import CannotStart, EmbeddedPostgres

log = structlog.get_logger()
_POLL_S = 0.05
START_WAIT_S = 120.0


class DatabaseAway(Exception):
    """The database cannot be reached or used; the message says what to do."""


@contextlib.asynccontextmanager
async def open_database(config: Config, *, connections: int = 4) -> AsyncIterator[Database]:
    """The installation's database, migrated. Raises `DatabaseAway`, and `ConfigError` for unreadable secrets."""
    dsn = config.external_dsn()
    async with contextlib.AsyncExitStack() as stack:
        if not dsn:
            dsn = await stack.enter_async_context(_embedded(config))
        try:
            await migrate_at(dsn)
            database = await Database.connect(dsn, connections=connections, wait_s=5)
        except NewerSchema as error:
            raise DatabaseAway(f"{error}: upgrade Everpost") from error
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            raise DatabaseAway(f"the database cannot be reached ({_brief(error)}): is `database` right?") from error
        stack.push_async_callback(database.close)
        yield database


async def migrate_at(dsn: str) -> list[str]:
    """Bring the schema up to date; returns the names of what was applied."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await migrate(connection)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def running_server(config: Config) -> AsyncIterator[EmbeddedPostgres]:
    """The embedded server for as long as the block runs, for `everpost serve`: waits for commands under way.

    Raises `CannotStart`.
    """
    async with _lock(config.data_folder / "database.server.lock", fcntl.LOCK_EX):
        server = EmbeddedPostgres(config.database_folder, connections=60 + 14 * config.worker_processes)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


async def answers(dsn: str) -> bool:
    """Whether a server takes connections there."""
    try:
        connection = await asyncpg.connect(dsn, timeout=5)
    except (*UNAVAILABLE, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


@contextlib.asynccontextmanager
async def _embedded(config: Config) -> AsyncIterator[str]:
    """The address of the embedded server, which is started where it is not running."""
    try:
        config.data_folder.mkdir(parents=True, exist_ok=True)
        server = EmbeddedPostgres(config.database_folder)
        users = config.data_folder / "database.users.lock"
        async with contextlib.AsyncExitStack() as stack:
            using = await stack.enter_async_context(_lock(users, fcntl.LOCK_SH))
            if not await _started_by_others(config, server, stack):
                log.debug("database.started_for_command")
                stack.push_async_callback(_stop_when_unused, server, using)
                await server.start()
            yield server.dsn
    except CannotStart as error:
        raise DatabaseAway(str(error)) from error
    except PermissionError as error:
        raise DatabaseAway(f"{error.filename}: permission denied: run this as the account of Everpost") from error


async def _started_by_others(config: Config, server: EmbeddedPostgres, stack: contextlib.AsyncExitStack) -> bool:
    """True once a running server answers; False where we hold the right to start one ourselves."""
    deadline = asyncio.get_running_loop().time() + START_WAIT_S
    descriptor = _open_lock(config.data_folder / "database.server.lock")
    stack.callback(os.close, descriptor)
    while True:
        if await answers(server.dsn):
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise DatabaseAway("another process runs the embedded database, but it does not answer") from None
            await asyncio.sleep(_POLL_S)
            continue
        return await answers(server.dsn)


async def _stop_when_unused(server: EmbeddedPostgres, using: int) -> None:
    """Commands that came meanwhile may finish first; those that come now wait for the end, then start their own."""
    fcntl.flock(using, fcntl.LOCK_UN)
    await _flock(using, fcntl.LOCK_EX)
    await server.stop()


@contextlib.asynccontextmanager
async def _lock(path: Path, kind: int) -> AsyncIterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open_lock(path)
    try:
        await _flock(descriptor, kind)
        yield descriptor
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


async def _flock(descriptor: int, kind: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(_POLL_S)


def _brief(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
