"""The indexing process: makes new mail searchable by its text, with what processor time nobody else wants.

It may be behind on a busy day; a search indexes what is missing of its own mailbox first, so nothing waits for it.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from everpost.app.child import run_child
from everpost.app.config import Config
from everpost.app.leader import Leader
from everpost.app.refresh import attempt
from everpost.standby.indexer import Indexer
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database

INDEX_LOCK = 0x45564958
PAUSE_S = 1.0
NICE = 15
WANTED_IDLE = 0.25
BUSY_FACTOR = 15
"""Where the processors are less idle than wanted, it rests so many times as long as it worked."""
CONNECTIONS = 2


class IdleTime:
    """How idle the machine's processors have been since the last look."""

    def __init__(self) -> None:
        self._before = self._read()

    def share(self) -> float:
        """From 0 to 1."""
        before, self._before = self._before, self._read()
        total = sum(self._before) - sum(before)
        return (self._before[3] + self._before[4] - before[3] - before[4]) / total if total > 0 else 1.0

    @staticmethod
    def _read() -> list[int]:
        """user, nice, system, idle, iowait … of /proc/stat (proc(5))."""
        with Path("/proc/stat").open(encoding="ascii") as file:
            return [int(word) for word in file.readline().split()[1:9]]


class Indexing:
    """One per host; one at a time works."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._indexer = Indexer(database, BlobReader(database, keys))
        self._leader = Leader(database, INDEX_LOCK, lambda: [self._index_for_ever()])
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        os.nice(NICE)
        self._task = asyncio.create_task(self._leader.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _index_for_ever(self) -> None:
        idle = IdleTime()
        while True:
            self._done, began = 0, time.monotonic()
            await attempt("indexing", self._index_some)
            took = time.monotonic() - began
            if not self._done:
                await asyncio.sleep(PAUSE_S)
            elif idle.share() < WANTED_IDLE:  # the database works at its usual priority, also for us
                await asyncio.sleep(BUSY_FACTOR * took)

    async def _index_some(self) -> None:
        self._done = await self._indexer.run_once()


async def make_indexing(_: Config, database: Database, keys: KeyRing) -> Indexing:
    """The indexing process's part."""
    return Indexing(database, keys)


if __name__ == "__main__":
    run_child(make_indexing, connections=CONNECTIONS)
