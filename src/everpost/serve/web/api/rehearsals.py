"""Drills that run in the background of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from everpost.continuity.activation import Continuity
from everpost.continuity.drill import Begun, Canary, Drill, Follower
from everpost.continuity.routes import Scope
from everpost.continuity.snapshot import RouteSnapshot
from everpost.standby.service import Standby
from everpost.store.blobs import KeyRing
from everpost.store.database import UNAVAILABLE, Database

log = structlog.get_logger()
AT_ONCE = 4
CLOSE_S = 8.0


class Busy(Exception):
    """As many drills as this process runs at a time are under way."""


class Rehearsals:
    """Starts drills and sees them through. One per process."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        routes: RouteSnapshot,
        continuity: Continuity,
        standby: Standby,
        canary: Canary,
    ) -> None:
        self._make: Callable[[float], Drill] = lambda timeout_s: Drill(
            database, keys, routes, continuity, Follower(database), standby, canary, timeout_s=timeout_s
        )
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, scope: Scope, actor: str, timeout_s: float, *, measure_detection: bool) -> int:
        """Begin a drill; returns it. Raises `Busy`, `Impossible`."""
        if len(self._tasks) >= AT_ONCE:
            raise Busy
        drill = self._make(timeout_s)
        begun = await drill.begin(scope, actor)
        task = asyncio.get_running_loop().create_task(_run(drill, begun, measure_detection=measure_detection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return begun.id

    async def close(self) -> None:
        """Interrupt what runs: it is rolled back, and recorded as failed."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_S)


async def _run(drill: Drill, begun: Begun, *, measure_detection: bool) -> None:
    try:
        await drill.see_through(begun, measure_detection=measure_detection)
    except UNAVAILABLE as error:
        log.warning("drill.database_away", drill=begun.id, error=str(error) or type(error).__name__)
