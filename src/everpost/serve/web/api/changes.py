"""Says that something changed, so that a page can look again. Looks at little more than counts, every two seconds while
somebody listens, and at once when a switch is thrown.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import structlog

from everpost.store.database import UNAVAILABLE, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("api")
EVERY_S = 2.0
MAX_LISTENERS = 100
MAX_OF_ONE = 8
TOPICS = ("primaries", "activations", "failbacks", "drills", "alerts", "queue", "mail")


class TooMany(Exception):
    """No place for another listener."""


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody who is told of changes in some organisations (id → name). What was not fetched yet is kept as a set."""

    owner: int
    organisations: Mapping[int, str]
    changed: dict[int, set[str]] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def next(self, timeout_s: float) -> dict[str, list[str]] | None:
        """Organisation → topics, once something changed; {} after a while without; None at the end."""
        try:
            await asyncio.wait_for(self.woken.wait(), timeout_s)
        except TimeoutError:
            return {}
        self.woken.clear()
        if not self.organisations:
            return None
        found = {self.organisations[key]: sorted(topics) for key, topics in self.changed.items()
                 if key in self.organisations}  # fmt: skip
        self.changed = {}
        return found


class Changes:
    """One per process."""

    def __init__(self, database: Database, *, every_s: float = EVERY_S) -> None:
        self._database = database
        self._every_s = every_s
        self._listeners: set[Listener] = set()
        self._seen: dict[int, dict[str, str]] = {}
        self._kicked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def kick(self) -> None:
        """Something has happened: look at once."""
        self._kicked.set()

    def listen(self, owner: int, organisations: Mapping[int, str]) -> Listener:
        """Raises `TooMany`. Whoever listens calls `leave` in the end."""
        own = Counter(listener.owner for listener in self._listeners)
        if self._closed or len(self._listeners) >= MAX_LISTENERS or own[owner] >= MAX_OF_ONE:
            raise TooMany
        listener = Listener(owner, organisations)
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())
        return listener

    def leave(self, listener: Listener) -> None:
        """No more of it; what watches for nobody ends by itself."""
        self._listeners.discard(listener)
        if not self._listeners:
            self._kicked.set()

    def close(self) -> None:
        """End all listening; nobody may begin any more."""
        self._closed = True
        for listener in self._listeners:
            listener.organisations = {}
            listener.woken.set()
        self._kicked.set()

    async def _watch(self) -> None:
        while self._listeners and not self._closed:
            self._kicked.clear()
            wanted = {key for listener in self._listeners for key in listener.organisations}
            try:
                await self._look(wanted)
            except UNAVAILABLE as error:
                log.warning("api.events_wait", error=str(error) or type(error).__name__)
            try:
                await asyncio.wait_for(self._kicked.wait(), self._every_s)
            except TimeoutError:
                continue
        self._seen = {}
        self._task = None

    async def _look(self, wanted: Collection[int]) -> None:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["fingerprints"], list(wanted))
        for row in rows:
            now = {topic: str(row[topic]) for topic in TOPICS}
            before = self._seen.get(row["id"])
            self._seen[row["id"]] = now
            changed = {topic for topic in TOPICS if before is not None and before[topic] != now[topic]}
            if changed:
                self._tell(row["id"], changed)

    def _tell(self, organisation_id: int, topics: set[str]) -> None:
        for listener in self._listeners:
            if organisation_id in listener.organisations:
                listener.changed.setdefault(organisation_id, set()).update(topics)
                listener.woken.set()
