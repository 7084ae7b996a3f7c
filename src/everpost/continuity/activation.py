"""The switches: going to the standby, isolating a primary, coming back. Every method is one transaction; what it
changed holds for the next message, and this process's route table is read again before it returns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from everpost.continuity import trust
from everpost.continuity.failback import begin
from everpost.continuity.routes import OpenActivation, Scope, ScopeKind
from everpost.continuity.scopes import rehome, scope_exists
from everpost.continuity.snapshot import RouteSnapshot, advance, wait_until_seen
from everpost.continuity.trust import TrustEvent, TrustState
from everpost.continuity.trusting import ActivationCause, Happening, TrustKeeper
from everpost.queue.model import HoldReason
from everpost.store import audit
from everpost.store.database import Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("continuity")
SWEEP_S = 600.0
T = TypeVar("T")


class Impossible(Exception):
    """What was asked cannot be done as things stand; nothing was changed. The message is fit to be shown."""


@dataclass(frozen=True, slots=True)
class CleanBill:
    """What a person has to have done before an isolated primary may be brought back (DESIGN I6). All of it."""

    rebuilt: bool = False  # from known-good media, or proven clean
    credentials_rotated: bool = False  # of administrators, services, people and connectors
    way_in_closed: bool = False  # how the attacker came in is known and shut
    forwarding_checked: bool = False  # no rules, forwards, delegates or applications of an attacker are left
    evidence: str = ""  # where the report stands, who signed it

    def missing(self) -> list[str]:
        """The names of what is not confirmed."""
        return [field.name for field in fields(self) if not getattr(self, field.name)]


@dataclass(frozen=True, slots=True)
class Handled:
    """Where an event led. `generation` is the one that workers have to see for it to hold everywhere."""

    state: TrustState
    generation: int


@dataclass(frozen=True, slots=True)
class Deactivated:
    """How an activation ends: at once, or through a failback."""

    ended: bool
    failback_id: int | None = None


class Continuity:
    """Throws the switches of all organisations. One per process.

    Raises `Impossible`, `LookupError` for what there is not, and what `store.database.UNAVAILABLE` lists.
    """

    def __init__(self, database: Database, routes: RouteSnapshot, *, portal_url: str = "") -> None:
        self._database = database
        self._routes = routes
        self.keeper = TrustKeeper(database.ids, portal_url)

    async def _switch(self, change: Callable[[Connection], Awaitable[T]]) -> tuple[T, int]:
        """Run a change with the generation advanced first, then read the switches again."""
        try:
            async with self._database.transaction() as connection:
                generation = await advance(connection)
                result = await change(connection)
        except trust.Refused as error:
            raise Impossible(str(error)) from error
        await self._routes.load()
        return result, generation

    # ------------------------------------------------------------------ trust

    async def handle(
        self, organisation_id: int, primary_id: int, event: TrustEvent, actor: str, cause: str, reason: str = ""
    ) -> Handled:
        """Take a trust event through the state machine, with all its effects."""
        happening = Happening(organisation_id, primary_id, event, actor, cause, reason)
        state, generation = await self._switch(lambda connection: self.keeper.apply(connection, happening))
        log.info("continuity.trust", primary=primary_id, what=event.value, state=state.value, actor=actor)
        await self._rehome(Scope(organisation_id, ScopeKind.PRIMARY, primary_id))
        return Handled(state, generation)

    async def isolate(self, organisation_id: int, primary_id: int, actor: str, reason: str) -> bool:
        """Nothing more goes to a primary or comes from it. Returns once every worker acts upon it; False where one
        had not confirmed it after 5 s (it is then cut off from the database, or busy: look at it).
        """
        handled = await self.handle(organisation_id, primary_id, TrustEvent.ISOLATED, actor, "isolated", reason)
        return await wait_until_seen(self._database, handled.generation)

    async def clean_bill(self, organisation_id: int, primary_id: int, actor: str, checklist: CleanBill) -> TrustState:
        """The only way out of isolation. The primary then counts as down until a failback has gone through."""
        missing = checklist.missing()
        if missing:
            raise Impossible(f"not confirmed: {', '.join(name.replace('_', ' ') for name in missing)}")
        handled = await self.handle(
            organisation_id, primary_id, TrustEvent.CLEAN_BILL, actor, "clean bill", checklist.evidence
        )
        return handled.state

    # ------------------------------------------------------------------ route

    async def activate(
        self,
        scope: Scope,
        actor: str,
        reason: str,
        *,
        opens_access: bool = True,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
        cause: ActivationCause | None = None,
    ) -> int:
        """Throw a scope's route to the standby, now or at `starts_at`; returns the activation.

        With `ends_at` the failback begins by itself then. One that is in force already is returned as it is.
        """
        now = datetime.now(UTC)
        scheduled = starts_at is not None and starts_at > now
        if ends_at is not None and ends_at <= (starts_at if starts_at is not None and scheduled else now):
            raise Impossible("it would end before it begins")

        async def change(connection: Connection) -> int:
            if not await scope_exists(connection, scope):
                raise LookupError(f"no {scope.kind} {scope.id}")
            row = await connection.fetchrow(_SQL["activation_of_scope"], scope.organisation_id, scope.kind, scope.id)
            if row is not None and row["started_at"] is not None and not scheduled:
                return int(row["id"])
            return await self.keeper.insert_activation(
                connection,
                scope,
                cause or (ActivationCause.SCHEDULED if scheduled else ActivationCause.PERSON),
                reason,
                actor,
                opens_access=opens_access,
                starts_at=starts_at,
                ends_at=ends_at,
            )

        activation_id, _ = await self._switch(change)
        await self._rehome(scope)
        return activation_id

    async def deactivate(
        self,
        scope: Scope,
        actor: str,
        reason: str,
        *,
        wave_size: int = begin.WAVE_SIZE,
        although_unreachable: bool = False,
    ) -> Deactivated:
        """Begin the failback of a scope's activation; it ends at once where there is nothing to bring back, or where
        it had only been scheduled.
        """

        async def change(connection: Connection) -> Deactivated:
            row = await connection.fetchrow(_SQL["activation_of_scope"], scope.organisation_id, scope.kind, scope.id)
            if row is None:
                raise LookupError(f"{scope.kind} {scope.id} is not activated")
            if row["started_at"] is None:
                await connection.execute(_SQL["end_activation"], scope.organisation_id, row["id"], datetime.now(UTC))
                event = audit.Event(
                    actor, "continuity.unschedule", f"{scope.kind} {scope.id}", {"activation": row["id"]}
                )
                await audit.record(connection, scope.organisation_id, await self._database.ids.new(), event)
                return Deactivated(True)
            if not although_unreachable:
                await self._check_reachable(connection, scope.organisation_id, row)
            run_id = await self.keeper.begin_failback(
                connection, scope.organisation_id, row["id"], actor, reason, wave_size
            )
            return Deactivated(run_id is None, run_id)

        result, _ = await self._switch(change)
        return result

    async def _check_reachable(self, connection: Connection, organisation_id: int, activation: object) -> None:
        """Refuse to begin where the last probe of a primary concerned failed."""
        found = await begin.candidates(connection, organisation_id, activation)
        for primary_id in found.primary_ids:
            probe = await connection.fetchrow(_SQL["last_probe"], organisation_id, primary_id)
            if probe is not None and not probe["ok"]:
                raise Impossible(f"the primary does not answer yet: {probe['stage']}: {probe['detail']}")

    async def stop_failback(self, organisation_id: int, run_id: int, actor: str, reason: str) -> bool:
        """Stop a failback. What it gave back stays given back; the rest stays with the standby. False: it had ended."""
        stopped, _ = await self._switch(
            lambda connection: self.keeper.stop_failback(connection, organisation_id, run_id, actor, reason)
        )
        return stopped

    async def pause_failback(
        self, organisation_id: int, run_id: int, actor: str, *, paused: bool, reason: str = ""
    ) -> bool:
        """Pause a failback, or let it go on. False: it had ended."""
        async with self._database.transaction() as connection:
            changed = await begin.set_paused(connection, organisation_id, run_id, paused=paused, reason=reason)
            if changed:
                action = "failback.pause" if paused else "failback.continue"
                event = audit.Event(actor, action, f"failback {run_id}", {"reason": reason})
                await audit.record(connection, organisation_id, await self._database.ids.new(), event)
        return changed

    # ------------------------------------------------------------------ access

    async def set_access(self, scope: Scope, actor: str, *, opened: bool | None) -> None:
        """Open or close a scope's standby mailboxes for their people; None: as its activations say."""

        async def change(connection: Connection) -> None:
            if not await scope_exists(connection, scope):
                raise LookupError(f"no {scope.kind} {scope.id}")
            key = (scope.organisation_id, scope.kind, scope.id)
            if opened is None:
                await connection.execute(_SQL["delete_access_switch"], *key)
            else:
                await connection.execute(_SQL["insert_access_switch"], *key, opened, actor)
            event = audit.Event(actor, "continuity.access", f"{scope.kind} {scope.id}", {"open": opened})
            await audit.record(connection, scope.organisation_id, await self._database.ids.new(), event)

        await self._switch(change)

    # ------------------------------------------------------------------ by the clock

    async def run_due(self) -> int:
        """Start and end what is scheduled, and finish re-homing that a crash interrupted; returns how many switches.

        For one process at a time, every few seconds.
        """
        async with self._database.connection() as connection:
            due = await connection.fetch(_SQL["due_activations"])
            overdue = await connection.fetch(_SQL["overdue_activations"])
            recent = await connection.fetch(_SQL["recent_activations"], SWEEP_S)
        for row in due:
            await self._start(row["organisation_id"], row["id"])
        for row in overdue:
            scope = Scope(row["organisation_id"], ScopeKind(row["scope_kind"]), row["scope_id"])
            try:
                await self.deactivate(scope, row["actor"], "scheduled end")
            except (Impossible, LookupError) as error:
                log.warning("continuity.scheduled_end_waits", activation=row["id"], why=str(error))
        for row in recent:
            await self._rehome(Scope(row["organisation_id"], ScopeKind(row["scope_kind"]), row["scope_id"]))
        return len(due) + len(overdue)

    async def _start(self, organisation_id: int, activation_id: int) -> None:
        async def change(connection: Connection) -> Scope | None:
            row = await connection.fetchrow(_SQL["lock_due_activation"], organisation_id, activation_id)
            if row is None:
                return None
            scope = Scope(organisation_id, ScopeKind(row["scope_kind"]), row["scope_id"])
            opened = await connection.fetchrow(_SQL["activation_of_scope"], organisation_id, scope.kind, scope.id)
            now = datetime.now(UTC)
            if opened["id"] != activation_id and opened["started_at"] is not None:
                await connection.execute(_SQL["end_activation"], organisation_id, activation_id, now)
                return None
            await connection.execute(_SQL["start_activation"], organisation_id, activation_id, now)
            event = audit.Event(
                row["actor"], "continuity.activate", f"{scope.kind} {scope.id}", {"activation": activation_id}
            )
            await audit.record(connection, organisation_id, await self._database.ids.new(), event)
            await self.keeper.tell_activated(
                connection, scope, row["reason"], opens_access=row["opens_access"], cause=ActivationCause.SCHEDULED
            )
            return scope

        scope, _ = await self._switch(change)
        if scope is not None:
            await self._rehome(scope)

    async def _rehome(self, scope: Scope) -> int:
        table = self._routes.table
        activation = table.activations.get(scope)
        reason = HoldReason.ACTIVATED
        if scope.kind is ScopeKind.PRIMARY and table.state(scope.organisation_id, scope.id) is TrustState.COMPROMISED:
            reason = HoldReason.COMPROMISED
            activation = activation or OpenActivation(0, scope, opens_access=False)
        return await rehome(self._database, activation, reason) if activation is not None else 0
