"""A rehearsal: the whole way to the standby and back for a canary mailbox or group, measured, nobody else touched."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import structlog

from everpost.continuity.activation import Continuity, Impossible
from everpost.continuity.alerts import AlertKind, raise_alert
from everpost.continuity.detector import Watch, observe
from everpost.continuity.failback.ledger import read_run
from everpost.continuity.failback.model import RunState
from everpost.continuity.monitor import hysteresis
from everpost.continuity.probe import probe
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.scopes import Covered, mailboxes_in
from everpost.continuity.snapshot import RouteSnapshot, wait_until_seen
from everpost.continuity.trust import TrustState
from everpost.continuity.trusting import ActivationCause
from everpost.directory.primary import Primary, SmtpConnector, load_primaries
from everpost.standby.model import SEEN
from everpost.standby.service import Standby
from everpost.standby.summary import reference_hash
from everpost.standby.values import Account
from everpost.store import audit
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("continuity")
MAX_CANARIES = 50
UNREACHABLE = SmtpConnector("127.0.0.1", 1, "none")
"""Where nothing listens: what a dead primary looks like to the prober."""


class Canary(Protocol):
    """Sends the drill's message the way a stranger's comes in."""

    async def send(self, organisation_id: int, recipients: list[str], message_id: str) -> None:
        """One message to all of them; `message_id` without brackets. Returns when it is accepted."""


class Runner(Protocol):
    """Sees a failback through: here, or in the process that has taken it up."""

    async def run(self, organisation_id: int, run_id: int) -> RunState:
        """Returns once it is finished, paused or stopped."""


@dataclass(slots=True)
class Figures:
    """What a drill measured, in seconds; None where it did not come so far."""

    mailboxes: int = 0
    detect_s: float | None = None
    switch_s: float | None = None
    readable_s: float | None = None
    return_s: float | None = None
    replayed: int = 0
    changes: int = 0
    lost: int = 0
    duplicated: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drill went."""

    id: int
    passed: bool
    figures: Figures


@dataclass(frozen=True, slots=True)
class Begun:
    """A drill that is noted and has passed its checks."""

    id: int
    scope: Scope
    actor: str
    boxes: list[Covered]
    primary: Primary


class Follower:
    """Waits for a failback that the service runs: two that run the same one would get into each other's way."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, organisation_id: int, run_id: int) -> RunState:
        while (run := await read_run(self._database, organisation_id, run_id)).state is RunState.RUNNING:
            await asyncio.sleep(0.05)
        return run.state


class Drill:
    """Runs drills. Needs a process that runs a queue worker too, here or elsewhere."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        routes: RouteSnapshot,
        continuity: Continuity,
        runner: Runner,
        standby: Standby,
        canary: Canary,
        *,
        timeout_s: float = 300.0,
    ) -> None:
        self._database = database
        self._keys = keys
        self._routes = routes
        self._continuity = continuity
        self._runner = runner
        self._standby = standby
        self._canary = canary
        self._timeout_s = timeout_s

    async def run(self, scope: Scope, actor: str, *, measure_detection: bool = True) -> Outcome:
        """Rehearse with a mailbox or a group: `begin`, then `see_through`."""
        return await self.see_through(await self.begin(scope, actor), measure_detection=measure_detection)

    async def begin(self, scope: Scope, actor: str) -> Begun:
        """Note the drill. Nothing has happened to anybody yet.

        Raises `Impossible` where a drill would touch more than canaries, or the primary is not trusted now.
        """
        boxes, primary = await self._check(scope)
        drill_id = await self._database.ids.new()
        async with self._database.connection() as connection:
            await connection.execute(
                _SQL["insert_drill"], scope.organisation_id, drill_id, scope.kind, scope.id, actor, datetime.now(UTC)
            )
        return Begun(drill_id, scope, actor, boxes, primary)

    async def see_through(self, begun: Begun, *, measure_detection: bool = True) -> Outcome:
        """Rehearse. Whatever happens, also when it is cancelled: the route leads back to the primary in the end."""
        figures = Figures(mailboxes=len(begun.boxes))
        try:
            async with asyncio.timeout(self._timeout_s):
                if measure_detection:
                    figures.detect_s = await _measure_detection(begun.primary)
                await self._rehearse(begun.scope, begun.boxes, begun.actor, figures)
        except TimeoutError:
            figures.problems.append(f"not through after {self._timeout_s:.0f} s")
        except (Impossible, LookupError, OSError, RuntimeError) as error:
            figures.problems.append(str(error))
        except asyncio.CancelledError:
            figures.problems.append("interrupted: the service was stopped")
            await self._end(begun, figures)
            raise
        return await self._end(begun, figures)

    async def _end(self, begun: Begun, figures: Figures) -> Outcome:
        await self._roll_back(begun.scope, begun.actor, figures)
        passed = not (figures.problems or figures.lost or figures.duplicated)
        await self._record(begun.scope, begun.actor, begun.id, figures, passed=passed)
        return Outcome(begun.id, passed, figures)

    async def _check(self, scope: Scope) -> tuple[list[Covered], Primary]:
        if scope.kind not in (ScopeKind.MAILBOX, ScopeKind.GROUP):
            raise Impossible("a drill is for a canary mailbox or group")
        table = await self._routes.load()
        if scope in table.activations:
            raise Impossible("it is activated: this is no drill")
        async with self._database.connection() as connection:
            boxes = [box for box in await mailboxes_in(connection, scope) if box.place.primary_id and box.address]
            primaries = {p.id: p for p in await load_primaries(connection, self._keys, scope.organisation_id)}
        if not 0 < len(boxes) <= MAX_CANARIES:
            raise Impossible(f"a drill takes 1 to {MAX_CANARIES} mailboxes that have a primary")
        found = {box.place.primary_id for box in boxes}
        if len(found) > 1:
            raise Impossible("its mailboxes have different primaries: drill one at a time")
        primary = primaries[found.pop() or 0]
        if table.state(scope.organisation_id, primary.id) is not TrustState.TRUSTED:
            raise Impossible(f"{primary.name} is not trusted now: this is no time for a drill")
        return boxes, primary

    async def _rehearse(self, scope: Scope, boxes: list[Covered], actor: str, figures: Figures) -> None:
        began = time.monotonic()
        await self._continuity.activate(scope, actor, "drill", cause=ActivationCause.DRILL)
        if not await wait_until_seen(self._database, self._routes.table.generation):
            figures.problems.append("a worker did not confirm the switch within 5 s")
        figures.switch_s = time.monotonic() - began
        began = time.monotonic()
        message_id = f"{secrets.token_hex(12)}@drill.invalid"
        await self._canary.send(scope.organisation_id, [box.address or "" for box in boxes], message_id)
        entries = await self._await_entries(scope, boxes, message_id)
        figures.readable_s = time.monotonic() - began
        for mailbox_id, entry_id in entries.items():
            await self._standby.set_keywords(
                Account(scope.organisation_id, mailbox_id), actor, entry_id, frozenset({SEEN})
            )
        began = time.monotonic()
        run_id = (await self._continuity.deactivate(scope, actor, "drill")).failback_id
        if run_id is None:
            figures.problems.append("nothing was held for the primary: the route did not lead to the standby")
            return
        await self._finish_failback(scope, run_id, figures)
        figures.return_s = time.monotonic() - began

    async def _await_entries(self, scope: Scope, boxes: list[Covered], message_id: str) -> dict[int, int]:
        """Mailbox → entry, once the message is readable in all of them."""
        ids = [box.place.mailbox_id for box in boxes]
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(
                    _SQL["canary_arrived"], scope.organisation_id, ids, reference_hash(message_id), message_id
                )
            if len(rows) >= len(ids):
                return {row["mailbox_id"]: row["message_id"] for row in rows}
            await asyncio.sleep(0.02)

    async def _finish_failback(self, scope: Scope, run_id: int, figures: Figures) -> None:
        """Run it here, or see it through where another process has taken it up."""
        state = await self._runner.run(scope.organisation_id, run_id)
        run = await read_run(self._database, scope.organisation_id, run_id)
        if state is not RunState.FINISHED or run.report is None:
            figures.problems.append(f"the failback is {run.state}: {run.reason}")
            return
        totals = run.report["totals"]
        figures.replayed, figures.changes = totals["replayed"] + totals["already"], totals["changes"]
        figures.lost, figures.duplicated = totals["lost"], totals["duplicated"]
        if totals["held"]:
            figures.problems.append(f"{totals['held']} items were refused: see the failback's report")

    async def _roll_back(self, scope: Scope, actor: str, figures: Figures) -> None:
        """A canary never stays at the standby: a failback that runs on is taken up by the singleton."""
        table = await self._routes.load()
        if scope in table.activations:
            with contextlib.suppress(LookupError):
                await self._continuity.deactivate(scope, actor, "drill: roll-back", although_unreachable=True)
            figures.problems.append("rolled back before it was through")

    async def _record(self, scope: Scope, actor: str, drill_id: int, figures: Figures, *, passed: bool) -> None:
        plain = asdict(figures)
        async with self._database.transaction() as connection:
            await connection.execute(
                _SQL["finish_drill"], scope.organisation_id, drill_id, "passed" if passed else "failed", plain
            )
            event = audit.Event(actor, "drill.finish", f"{scope.kind} {scope.id}", {"passed": passed, **plain})
            await audit.record(connection, scope.organisation_id, await self._database.ids.new(), event)
            text = "\n".join(f"{name}: {value}" for name, value in plain.items())
            await raise_alert(
                connection, await self._database.ids.new(), scope.organisation_id, AlertKind.DRILL_FINISHED,
                f"Drill {'passed' if passed else 'failed'}", text,
            )  # fmt: skip


async def _measure_detection(primary: Primary) -> float:
    """How long the prober takes to call a dead server down, with this primary's own settings and a real clock.

    The worst case counts: it dies just after a good probe.
    """
    dead = msgspec.structs.replace(primary.settings, smtp=UNREACHABLE, imap=None)
    settings = primary.settings.probe
    rules, watch, edge = hysteresis(settings), Watch(), None
    began = time.monotonic()
    await asyncio.sleep(settings.interval_s)
    while edge is None:
        looked = time.monotonic()
        result = await probe(dead, primary.secrets, hostname="drill.invalid")
        watch, edge = observe(watch, result.ok, time.monotonic(), rules)
        if edge is None:
            await asyncio.sleep(max(settings.interval_s / 2 - (time.monotonic() - looked), 0))
    return time.monotonic() - began
