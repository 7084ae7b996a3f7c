"""The one door to PostgreSQL: a pool, transactions, identifiers and notifications."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import asyncpg
import msgspec
import structlog

from everpost.store.ids import IdAllocator
from everpost.store.sql import load

log = structlog.get_logger()

Connection: TypeAlias = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.InsufficientResourcesError,
    asyncpg.exceptions.TooManyConnectionsError,
    asyncpg.exceptions.QueryCanceledError,
    asyncpg.InternalClientError,  # a connection lost in the middle of a COPY
    ConnectionError,
    TimeoutError,
    OSError,
)
"""What is raised while the database is away, full or overloaded: try again later, nothing is wrong with the data."""


class Database:
    """A pool of connections with JSON as plain values. One per process."""

    def __init__(self, pool: asyncpg.Pool, dsn: str) -> None:
        self._pool = pool
        self.dsn = dsn
        self.ids = IdAllocator(self._next_block)

    @classmethod
    async def connect(cls, dsn: str, *, connections: int = 6, wait_s: float = 30.0) -> Database:
        """Connect, waiting up to `wait_s` for a server that is just starting. Raises what `UNAVAILABLE` lists."""
        deadline = asyncio.get_running_loop().time() + wait_s
        while True:
            try:
                pool = await asyncpg.create_pool(
                    dsn, min_size=1, max_size=connections, init=_prepare, reset=_keep, command_timeout=60, timeout=10,
                    server_settings={"application_name": "everpost"},
                )  # fmt: skip
                return cls(pool, dsn)
            except UNAVAILABLE:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Give back every connection; those still busy after 5 s are cut."""
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One connection, each statement its own transaction."""
        async with self._pool.acquire(timeout=10) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One connection inside one transaction: all of it is committed, or none."""
        async with self._pool.acquire(timeout=10) as connection, connection.transaction():
            yield connection

    async def _next_block(self) -> int:
        return int(await self._pool.fetchval(load("store")["next_id_block"]))

    async def listen(self, channels: dict[str, Callable[[str], None]]) -> None:
        """Call back for each notification, for ever, reconnecting as needed.

        After every (re)connection each callback is called once with an empty payload: what was missed meanwhile
        must be looked up.
        """
        while True:
            try:
                await self._listen_once(channels)
            except UNAVAILABLE as error:
                log.warning("database.listen_lost", error=str(error))
            await asyncio.sleep(0.5)

    async def _listen_once(self, channels: dict[str, Callable[[str], None]]) -> None:
        connection = await asyncpg.connect(self.dsn, timeout=10)
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        try:
            for channel, callback in channels.items():
                await connection.add_listener(channel, _listener(callback))
            for callback in channels.values():
                callback("")
            await closed.wait()
        finally:
            connection.terminate()


def _listener(callback: Callable[[str], None]) -> Callable[..., None]:
    return lambda _connection, _pid, _channel, payload: callback(payload)


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
    )


async def _keep(_connection: asyncpg.Connection) -> None:
    """Nothing of a session is ever changed by who borrowed it: cleaning up would cost a round trip each time."""


def _encode_jsonb(value: Any) -> bytes:
    return b"\x01" + msgspec.json.encode(value)


def _decode_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(memoryview(data)[1:])
