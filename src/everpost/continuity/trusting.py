"""What a change of trust does, inside one transaction: states, activations, holds, failbacks, audit, alerts."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from everpost.continuity import trust
from everpost.continuity.alerts import AlertKind, raise_alert
from everpost.continuity.failback import begin
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.trust import Effect, TrustEvent, TrustState
from everpost.queue.model import HoldReason
from everpost.store import audit
from everpost.store.database import Connection
from everpost.store.ids import IdAllocator
from everpost.store.sql import load

_SQL = load("continuity")


class ActivationCause(enum.StrEnum):
    """Why a route leads to the standby. Only what was DETECTED may come back by itself."""

    DETECTED = "detected"
    PERSON = "person"
    SCHEDULED = "scheduled"
    SUSPECT = "suspect"
    ISOLATED = "isolated"
    DRILL = "drill"


class _Automatic(msgspec.Struct, frozen=True):
    """The part of a primary's settings that counts here."""

    automatic_activation: bool = True
    automatic_failback: bool = False


@dataclass(frozen=True, slots=True)
class Happening:
    """An event on its way through a primary's trust."""

    organisation_id: int
    primary_id: int
    event: TrustEvent
    actor: str
    cause: str
    reason: str = ""
    name: str = ""
    before: TrustState = TrustState.TRUSTED
    after: TrustState = TrustState.TRUSTED
    automatic_activation: bool = True
    automatic_failback: bool = False

    @property
    def scope(self) -> Scope:
        return Scope(self.organisation_id, ScopeKind.PRIMARY, self.primary_id)


class TrustKeeper:
    """Applies trust events. Every method wants `snapshot.advance` to have come first in the caller's transaction."""

    def __init__(self, ids: IdAllocator, portal_url: str = "") -> None:
        self._ids = ids
        self._portal_url = portal_url

    async def apply(self, connection: Connection, happening: Happening) -> TrustState:
        """Take an event to the primary's new state. Raises `LookupError`, `trust.Refused`."""
        row = await connection.fetchrow(_SQL["lock_primary"], happening.organisation_id, happening.primary_id)
        if row is None:
            raise LookupError(f"no primary {happening.primary_id}")
        before = TrustState(row["trust_state"])
        transition = trust.advance(before, happening.event)
        automatic = msgspec.convert(row["settings"], _Automatic)
        happening = replace(
            happening,
            name=row["name"],
            before=before,
            after=transition.state,
            automatic_activation=automatic.automatic_activation,
            automatic_failback=automatic.automatic_failback,
        )
        if transition.state is not before:
            await connection.execute(
                _SQL["set_trust_state"], happening.organisation_id, happening.primary_id, transition.state,
                datetime.now(UTC), happening.cause, happening.actor, happening.reason,
            )  # fmt: skip
        if transition.state is not before or transition.effects:
            await self._audit(connection, happening)
        if happening.event is TrustEvent.DOUBTED:
            await self._remember_doubt(connection, happening)
        for effect in transition.effects:
            await self._perform(connection, effect, happening)
        return transition.state

    async def _perform(self, connection: Connection, effect: Effect, happening: Happening) -> None:
        match effect:
            case Effect.ACTIVATE:
                await self._activate(connection, happening)
            case Effect.FREEZE:
                await self._freeze(connection, happening)
            case Effect.UNFREEZE:
                await self._unfreeze(connection, happening)
            case Effect.OFFER_FAILBACK:
                await self._offer_failback(connection, happening)
            case Effect.ALERT:
                await self._alert(connection, happening)

    # ------------------------------------------------------------------ to the standby

    async def _activate(self, connection: Connection, happening: Happening) -> None:
        await self._stop_failbacks(connection, happening)
        isolated = happening.event is TrustEvent.ISOLATED
        if not isolated and not happening.automatic_activation:
            return
        cause = ActivationCause.DETECTED
        if isolated:
            cause = ActivationCause.ISOLATED
        elif happening.before is TrustState.SUSPECT:
            cause = ActivationCause.SUSPECT
        scope = happening.scope
        opened = await connection.fetchrow(_SQL["activation_of_scope"], scope.organisation_id, scope.kind, scope.id)
        opens_access = True
        if opened is not None and opened["started_at"] is not None:
            if not await self._anything_returned(connection, scope.organisation_id, opened["id"]):
                if isolated:
                    await self._set_cause(connection, happening, opened["id"], cause)
                return
            # Some mailboxes had come back already: a new activation takes in all of them.
            opens_access = opened["opens_access"]
            await connection.execute(_SQL["end_activation"], scope.organisation_id, opened["id"], datetime.now(UTC))
            if not isolated and opened["cause"] != ActivationCause.DETECTED:
                cause = ActivationCause(opened["cause"])
        await self.insert_activation(
            connection, scope, cause, happening.reason or happening.cause, happening.actor, opens_access=opens_access
        )

    async def insert_activation(
        self,
        connection: Connection,
        scope: Scope,
        cause: ActivationCause,
        reason: str,
        actor: str,
        *,
        opens_access: bool,
        starts_at: datetime | None = None,
        ends_at: datetime | None = None,
    ) -> int:
        """Throw a route to the standby, or note that it shall be at `starts_at`. Tells contacts and people."""
        now = datetime.now(UTC)
        activation_id = await self._ids.new()
        scheduled = starts_at is not None and starts_at > now
        await connection.execute(
            _SQL["insert_activation"], scope.organisation_id, activation_id, scope.kind, scope.id, opens_access,
            cause, reason, actor, starts_at if scheduled else now, None if scheduled else now, ends_at,
        )  # fmt: skip
        event = audit.Event(
            actor,
            "continuity.schedule" if scheduled else "continuity.activate",
            f"{scope.kind} {scope.id}",
            {"activation": activation_id, "cause": cause, "reason": reason, "opens_access": opens_access},
        )
        await audit.record(connection, scope.organisation_id, await self._ids.new(), event)
        if not scheduled:
            await self.tell_activated(connection, scope, reason, opens_access=opens_access, cause=cause)
        return activation_id

    async def tell_activated(
        self, connection: Connection, scope: Scope, reason: str, *, opens_access: bool, cause: ActivationCause
    ) -> None:
        """Alert of an activation in force; people are told where they may log in."""
        where = f" at {self._portal_url}" if self._portal_url else ""
        text = f"Mail now goes to the standby mailboxes: {reason or cause}."
        if opens_access:
            text += f"\n\nYour mailbox is available{where}. Received mail is there; what you send goes out as usual."
        people = scope if opens_access and cause is not ActivationCause.DRILL else None
        await raise_alert(
            connection, await self._ids.new(), scope.organisation_id, AlertKind.ACTIVATED,
            f"Standby mailboxes activated for {scope.kind} {scope.id}", text, people,
        )  # fmt: skip

    async def _anything_returned(self, connection: Connection, organisation_id: int, activation_id: int) -> bool:
        return bool(await connection.fetchval(_SQL["anything_returned"], organisation_id, activation_id))

    async def _set_cause(
        self, connection: Connection, happening: Happening, activation_id: int, cause: ActivationCause
    ) -> None:
        await connection.execute(
            _SQL["set_activation_cause"], happening.organisation_id, activation_id, cause,
            happening.reason or happening.cause, happening.actor,
        )  # fmt: skip

    async def _stop_failbacks(self, connection: Connection, happening: Happening) -> None:
        """Nothing is brought back to a primary that failed again; its other primaries wait for a person."""
        isolated = happening.event is TrustEvent.ISOLATED
        hold = HoldReason.COMPROMISED if isolated else HoldReason.ACTIVATED
        reason = f"{happening.name} {happening.event}"
        for run_id, _ in await begin.running_of_primary(connection, happening.organisation_id, happening.primary_id):
            others = await begin.primaries_of_run(connection, happening.organisation_id, run_id)
            if not await begin.stop_run(connection, happening.organisation_id, run_id, reason, hold):
                continue
            for primary_id in others:
                if primary_id != happening.primary_id:
                    await self.apply(
                        connection,
                        replace(happening, primary_id=primary_id, event=TrustEvent.FAILBACK_STOPPED, cause=reason),
                    )

    async def _remember_doubt(self, connection: Connection, happening: Happening) -> None:
        """An activation during which the primary was doubted does not come back by itself."""
        for row in await connection.fetch(
            _SQL["activations_touching_primary"], happening.organisation_id, happening.primary_id
        ):
            if row["cause"] == ActivationCause.DETECTED:
                await self._set_cause(connection, happening, row["id"], ActivationCause.SUSPECT)

    # ------------------------------------------------------------------ isolation

    async def _freeze(self, connection: Connection, happening: Happening) -> None:
        """What waits for it waits for a clean bill; what it relayed and has not left yet stays."""
        key = (happening.organisation_id, happening.primary_id)
        waiting = [HoldReason.ACTIVATED, HoldReason.RETURNING, HoldReason.REFUSED_BY_PRIMARY]
        await connection.execute(_SQL["set_hold_reason_of_primary"], *key, HoldReason.COMPROMISED, waiting)
        await connection.execute(_SQL["freeze_relayed"], *key)

    async def _unfreeze(self, connection: Connection, happening: Happening) -> None:
        key = (happening.organisation_id, happening.primary_id)
        await connection.execute(
            _SQL["set_hold_reason_of_primary"], *key, HoldReason.ACTIVATED, [HoldReason.COMPROMISED]
        )
        await connection.execute(_SQL["thaw_relayed"], happening.organisation_id)

    # ------------------------------------------------------------------ back

    async def _offer_failback(self, connection: Connection, happening: Happening) -> None:
        rows = await connection.fetch(
            _SQL["activations_touching_primary"], happening.organisation_id, happening.primary_id
        )
        if not rows:  # it was watched only: there is nothing to bring back
            await self.apply(connection, replace(happening, event=TrustEvent.FAILBACK_FINISHED))
            return
        row = rows[-1]
        own = row["scope_kind"] == ScopeKind.PRIMARY and len(rows) == 1
        if own and happening.automatic_failback and row["cause"] == ActivationCause.DETECTED:
            await self.begin_failback(connection, happening.organisation_id, row["id"], happening.actor, "came up")
            return
        text = f"{happening.name} answers again ({happening.reason}). The failback can be started when you say so."
        await raise_alert(
            connection, await self._ids.new(), happening.organisation_id, AlertKind.PRIMARY_UP,
            f"{happening.name} answers again", text,
        )  # fmt: skip

    async def begin_failback(
        self,
        connection: Connection,
        organisation_id: int,
        activation_id: int,
        actor: str,
        reason: str,
        wave_size: int = begin.WAVE_SIZE,
    ) -> int | None:
        """Start bringing an activation back; None where it could end at once. One that is under way is returned.

        Raises `LookupError` where the activation is not in force, `trust.Refused` where a primary may not.
        """
        activation = await begin.lock_activation(connection, organisation_id, activation_id)
        if activation is None:
            raise LookupError(f"no activation {activation_id} in force")
        running = await begin.running_of_activation(connection, organisation_id, activation_id)
        if running is not None:
            return running
        found = await begin.candidates(connection, organisation_id, activation)
        for primary_id in found.primary_ids:
            await self.apply(
                connection,
                Happening(organisation_id, primary_id, TrustEvent.FAILBACK_STARTED, actor, "failback", reason),
            )
        if await begin.nothing_happened(connection, found):
            await self.end_activation(connection, organisation_id, activation, found.primary_ids, actor, reason)
            return None
        run_id = await self._ids.new()
        await begin.insert_run(connection, run_id, activation_id, found, actor, wave_size)
        subject = f"{activation['scope_kind']} {activation['scope_id']}"
        detail = {"failback": run_id, "activation": activation_id, "mailboxes": len(found.mailboxes)}
        await audit.record(
            connection, organisation_id, await self._ids.new(), audit.Event(actor, "failback.start", subject, detail)
        )
        await raise_alert(
            connection, await self._ids.new(), organisation_id, AlertKind.FAILBACK_STARTED,
            f"Failback of {subject} started", f"{len(found.mailboxes)} mailboxes are given back: {reason}.",
        )  # fmt: skip
        return run_id

    async def end_activation(
        self,
        connection: Connection,
        organisation_id: int,
        activation: begin.ActivationRow,
        primary_ids: list[int],
        actor: str,
        reason: str,
    ) -> None:
        """Everything is back: the primaries are trusted again, the route leads to them."""
        await connection.execute(_SQL["end_activation"], organisation_id, activation["id"], datetime.now(UTC))
        for primary_id in primary_ids:
            await self.apply(
                connection,
                Happening(organisation_id, primary_id, TrustEvent.FAILBACK_FINISHED, actor, "failback", reason),
            )
        scope = Scope(organisation_id, ScopeKind(activation["scope_kind"]), activation["scope_id"])
        subject = f"{scope.kind} {scope.id}"
        event = audit.Event(actor, "continuity.deactivate", subject, {"activation": activation["id"], "reason": reason})
        await audit.record(connection, organisation_id, await self._ids.new(), event)
        people = scope if activation["opens_access"] and activation["cause"] != ActivationCause.DRILL else None
        await raise_alert(
            connection, await self._ids.new(), organisation_id, AlertKind.DEACTIVATED,
            f"Standby mailboxes of {subject} are back with their server",
            "Your mailbox is back where it was, with everything that happened meanwhile.", people,
        )  # fmt: skip

    async def stop_failback(
        self, connection: Connection, organisation_id: int, run_id: int, actor: str, reason: str
    ) -> bool:
        """Stop a failback on a person's word; its primaries count as down until it goes on. False: it had ended."""
        primaries = await begin.primaries_of_run(connection, organisation_id, run_id)
        if not await begin.stop_run(connection, organisation_id, run_id, reason, HoldReason.ACTIVATED):
            return False
        for primary_id in primaries:
            await self.apply(
                connection,
                Happening(organisation_id, primary_id, TrustEvent.FAILBACK_STOPPED, actor, "failback stopped", reason),
            )
        event = audit.Event(actor, "failback.stop", f"failback {run_id}", {"reason": reason})
        await audit.record(connection, organisation_id, await self._ids.new(), event)
        return True

    # ------------------------------------------------------------------ telling

    async def _audit(self, connection: Connection, happening: Happening) -> None:
        detail = {
            "event": happening.event,
            "before": happening.before,
            "after": happening.after,
            "cause": happening.cause,
            "reason": happening.reason,
        }
        event = audit.Event(happening.actor, "continuity.trust", f"primary {happening.name}", detail)
        await audit.record(connection, happening.organisation_id, await self._ids.new(), event)

    async def _alert(self, connection: Connection, happening: Happening) -> None:
        kind = _ALERTS[happening.event]
        text = (
            f"{happening.name}: {happening.before} → {happening.after}, because it {happening.event}.\n"
            f"{happening.cause}{': ' if happening.reason else ''}{happening.reason}\nBy {happening.actor}."
        )
        if happening.event is TrustEvent.WENT_DOWN and not happening.automatic_activation:
            text += "\nMail waits in the queue. Nothing was activated: this primary is set to be activated by hand."
        await raise_alert(
            connection, await self._ids.new(), happening.organisation_id, kind,
            f"{happening.name}: {happening.event}", text,
        )  # fmt: skip


_ALERTS = {
    TrustEvent.WENT_DOWN: AlertKind.PRIMARY_DOWN,
    TrustEvent.CAME_UP: AlertKind.PRIMARY_UP,
    TrustEvent.DOUBTED: AlertKind.PRIMARY_SUSPECT,
    TrustEvent.CLEARED: AlertKind.PRIMARY_TRUSTED,
    TrustEvent.ISOLATED: AlertKind.PRIMARY_ISOLATED,
    TrustEvent.CLEAN_BILL: AlertKind.CLEAN_BILL,
    TrustEvent.FAILBACK_STARTED: AlertKind.FAILBACK_STARTED,
    TrustEvent.FAILBACK_STOPPED: AlertKind.FAILBACK_STOPPED,
    TrustEvent.FAILBACK_FINISHED: AlertKind.PRIMARY_TRUSTED,
}
