"""Watching every primary: probes at intervals and on suspicion, and what their results make of the trust."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import structlog

from everpost.continuity.activation import Continuity, Impossible
from everpost.continuity.detector import Edge, Hysteresis, Watch, observe
from everpost.continuity.probe import ProbeResult, probe
from everpost.continuity.trust import TrustEvent, TrustState
from everpost.directory.primary import Primary, ProbeSettings, load_primaries
from everpost.store.blobs import KeyRing
from everpost.store.database import UNAVAILABLE, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("continuity")
_STORE = load("store")
CHANNEL = "everpost_probe"
"""Notified with "organisation:primary" where a delivery failed: the prober looks at once."""

RELOAD_S = 5.0
ROUND_TRIP_EVERY = 30
ACTOR = "everpost"


def hysteresis(settings: ProbeSettings) -> Hysteresis:
    """The detector's rules: after a first failure probes come twice as often, so that three take no longer than two
    intervals; up again takes a full run of good probes.
    """
    return Hysteresis(
        failures=settings.failures,
        spacing_s=settings.interval_s / 2 * 0.9,
        successes=settings.successes,
        up_time_s=settings.interval_s * max(settings.successes - 1, 1) * 0.9,
    )


class Suspicions:
    """Tells the prober, wherever it runs, that a delivery failed. One per process; safe to call for every failure."""

    def __init__(self, database: Database, pause_s: float = 1.0) -> None:
        self._database = database
        self._pause_s = pause_s
        self._told: dict[tuple[int, int], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def suspect_now(self, organisation_id: int, primary_id: int) -> None:
        """At most one notification a second for each primary."""
        key, now = (organisation_id, primary_id), time.monotonic()
        if now - self._told.get(key, -self._pause_s) < self._pause_s:
            return
        self._told[key] = now
        task = asyncio.get_running_loop().create_task(self._notify(f"{organisation_id}:{primary_id}"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self, payload: str) -> None:
        with contextlib.suppress(*UNAVAILABLE):
            async with self._database.connection() as connection:
                await connection.execute(_STORE["notify"], CHANNEL, payload)


class Monitor:
    """Probes every primary of the installation. One process at a time runs it (a singleton role)."""

    def __init__(self, database: Database, keys: KeyRing, continuity: Continuity, hostname: str) -> None:
        self._database = database
        self._keys = keys
        self._continuity = continuity
        self._hostname = hostname
        self._watchers: dict[tuple[int, int], _Watcher] = {}

    async def run(self) -> None:
        """For ever: keep a watcher for every primary, with its settings as they are now."""
        try:
            while True:
                try:
                    self._adopt(await load_primaries(self._database, self._keys))
                except UNAVAILABLE as error:
                    log.warning("monitor.database", error=str(error))
                await asyncio.sleep(RELOAD_S)
        finally:
            await self.stop()

    def _adopt(self, primaries: list[Primary]) -> None:
        current = {(primary.organisation_id, primary.id): primary for primary in primaries}
        for key in self._watchers.keys() - current.keys():
            self._watchers.pop(key).stop()
        for key, primary in current.items():
            watcher = self._watchers.get(key)
            if watcher is None:
                self._watchers[key] = watcher = _Watcher(primary, self._database, self._continuity, self._hostname)
                watcher.start()
            watcher.primary = primary

    async def stop(self) -> None:
        for watcher in self._watchers.values():
            watcher.stop()
        self._watchers.clear()

    def heard(self, payload: str) -> None:
        """A notification of `CHANNEL`, for `Database.listen`."""
        organisation, _, primary = payload.partition(":")
        if organisation.isdigit() and primary.isdigit():
            self.suspect_now(int(organisation), int(primary))

    def suspect_now(self, organisation_id: int, primary_id: int) -> None:
        """Probe a primary at once: something failed there."""
        watcher = self._watchers.get((organisation_id, primary_id))
        if watcher is not None:
            watcher.suspected.set()


class _Watcher:
    """One primary's probes, one after the other."""

    def __init__(self, primary: Primary, database: Database, continuity: Continuity, hostname: str) -> None:
        self.primary = primary
        self.suspected = asyncio.Event()
        self._database = database
        self._continuity = continuity
        self._hostname = hostname
        self._watch = Watch(up=primary.trust_state not in (TrustState.DOWN, TrustState.COMPROMISED))
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            self.suspected.clear()
            try:
                await self._look()
            except UNAVAILABLE as error:
                log.warning("monitor.not_recorded", primary=self.primary.name, error=str(error))
            except Exception:
                log.exception("monitor.failed", primary=self.primary.name)
            await self._pause(began)

    async def _pause(self, began: float) -> None:
        """From the beginning of one probe to the next; shorter while the primary seems to be going down."""
        interval = self.primary.settings.probe.interval_s
        going_down = self._watch.up and self._watch.run > 0
        shortest = interval / 2 if going_down else min(1.0, interval / 4)
        with contextlib.suppress(TimeoutError):
            rest = (interval / 2 if going_down else interval) - (time.monotonic() - began)
            await asyncio.wait_for(self.suspected.wait(), max(rest, 0.01))
        await asyncio.sleep(max(shortest - (time.monotonic() - began), 0))

    async def _look(self) -> None:
        primary = self.primary
        if primary.trust_state == TrustState.COMPROMISED:
            self._watch = Watch(up=False)
            return
        self._count += 1
        settings = primary.settings.probe
        round_trip = settings.round_trip and self._count % ROUND_TRIP_EVERY == 1
        result = await probe(primary.settings, primary.secrets, hostname=self._hostname, round_trip=round_trip)
        async with self._database.connection() as connection:
            await connection.execute(
                _SQL["record_probe"], primary.organisation_id, primary.id, datetime.now(UTC), result.ok,
                result.stage, result.detail, result.latency_ms,
            )  # fmt: skip
        await self._take(result)

    async def _take(self, result: ProbeResult) -> None:
        rules = hysteresis(self.primary.settings.probe)
        watch, edge = observe(self._watch, result.ok, time.monotonic(), rules)
        if edge is not None:
            event = TrustEvent.WENT_DOWN if edge is Edge.WENT_DOWN else TrustEvent.CAME_UP
            reason = f"{result.stage}: {result.detail}"
            with contextlib.suppress(Impossible, LookupError):
                await self._continuity.handle(
                    self.primary.organisation_id, self.primary.id, event, ACTOR, "probe", reason
                )
        self._watch = watch  # only now: what the database did not take is tried again
