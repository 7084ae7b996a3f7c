"""What one process at a time does for the whole installation.

Whoever holds an advisory lock of the database does it; others wait for the lock. When the holder or its connection
dies, PostgreSQL lets go of the lock, and the next one takes over within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import asyncpg
import structlog

from everpost.store.database import UNAVAILABLE, Database

log = structlog.get_logger()
RETRY_S = 1.0
Roles = Callable[[], Sequence[Coroutine[Any, Any, None]]]


class Leader:
    """Runs roles while it leads. `changed` hears whether it does."""

    def __init__(
        self, database: Database, lock: int, roles: Roles, changed: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._database = database
        self._lock = lock
        self._roles = roles
        self._changed = changed

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._try_to_lead()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("leader.database_away", error=str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _try_to_lead(self) -> None:
        connection = await asyncpg.connect(self._database.dsn, timeout=10)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", self._lock):
                await asyncio.sleep(RETRY_S)
            log.info("leader.leads")
            self._changed(True)
            await self._lead(lost)
            log.warning("leader.lost")
        finally:
            self._changed(False)
            connection.terminate()

    async def _lead(self, lost: asyncio.Event) -> None:
        """All roles, until the connection that holds the lock is lost."""
        roles = [asyncio.create_task(role) for role in self._roles()]
        try:
            await lost.wait()
        finally:
            for role in roles:
                role.cancel()
            await asyncio.gather(*roles, return_exceptions=True)
