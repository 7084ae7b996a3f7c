"""Work that is done again after each of many kicks, and things that are done again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from everpost.store.database import UNAVAILABLE

log = structlog.get_logger()


class Refresher:
    """Runs `work` after kicks, one run at a time; kicks during a run lead to one more. What fails is tried again."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], *, pause_s: float = 0.0) -> None:
        self._name = name
        self._work = work
        self._pause_s = pause_s
        self._kicked = asyncio.Event()

    def kick(self, _payload: str = "") -> None:
        """Fit as the callback of a notification."""
        self._kicked.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            if not await attempt(self._name, self._work):
                self._kicked.set()
                await asyncio.sleep(1)
            await asyncio.sleep(self._pause_s)


class Repeater:
    """Runs `work` every `interval_s`, sooner when kicked, and again at once while it says there is more."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], interval_s: float) -> None:
        self._name = name
        self._work = work
        self._interval_s = interval_s
        self._kicked = asyncio.Event()

    def kick(self, _payload: str = "") -> None:
        """Fit as the callback of a notification."""
        self._kicked.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._kicked.clear()
            await attempt(self._name, self._work)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._kicked.wait(), self._interval_s)


async def attempt(name: str, work: Callable[[], Awaitable[object]]) -> bool:
    """Do it; True where it went well. Nothing that fails here may end the process that does so many other things."""
    try:
        await work()
    except UNAVAILABLE as error:
        log.warning("task.database_away", task=name, error=str(error) or type(error).__name__)
    except Exception:
        log.exception("task.failed", task=name)
    else:
        return True
    return False
