"""Beginning and stopping a failback: what has to stand in one transaction with the trust in the primaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from everpost.continuity.failback.ledger import CLOCK_SLACK
from everpost.continuity.failback.model import RunState
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.scopes import Covered, covered_otherwise, mailboxes_in
from everpost.continuity.snapshot import read_route_table
from everpost.queue.model import HoldReason
from everpost.standby.model import Role
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("failback")
WAVE_SIZE = 50
ActivationRow: TypeAlias = Any
"""A row of `activation`."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The mailboxes that the end of an activation gives back to their primaries."""

    scope: Scope
    activated_at: datetime
    mailboxes: tuple[Covered, ...]

    @property
    def primary_ids(self) -> list[int]:
        return sorted({box.place.primary_id for box in self.mailboxes if box.place.primary_id is not None})


async def lock_activation(connection: Connection, organisation_id: int, activation_id: int) -> ActivationRow:
    """The row of an activation in force, locked; None where it is not (any more)."""
    row = await connection.fetchrow(_SQL["lock_activation"], organisation_id, activation_id)
    return row if row is not None and row["started_at"] is not None and row["ended_at"] is None else None


async def running_of_activation(connection: Connection, organisation_id: int, activation_id: int) -> int | None:
    """The failback of an activation that is not through."""
    value = await connection.fetchval(_SQL["running_of_activation"], organisation_id, activation_id)
    return int(value) if value is not None else None


async def candidates(connection: Connection, organisation_id: int, activation: ActivationRow) -> Candidates:
    """Mailboxes with a primary that no other activation keeps at the standby and that were not given back yet."""
    scope = Scope(organisation_id, ScopeKind(activation["scope_kind"]), activation["scope_id"])
    table = await read_route_table(connection)
    opened = table.activations.get(scope)
    returned = opened.returned if opened is not None else frozenset()
    chosen = [
        mailbox
        for mailbox in await mailboxes_in(connection, scope)
        if mailbox.place.primary_id is not None
        and mailbox.place.mailbox_id not in returned
        and not covered_otherwise(table, mailbox.place, activation["id"])
    ]
    return Candidates(scope, activation["started_at"], tuple(chosen))


async def nothing_happened(connection: Connection, found: Candidates) -> bool:
    """Whether there is nothing to bring back at all."""
    organisation_id = found.scope.organisation_id
    ids = [mailbox.place.mailbox_id for mailbox in found.mailboxes]
    rows = await connection.fetch(_SQL["baselines"], organisation_id, ids)
    return bool(
        await connection.fetchval(
            _SQL["nothing_happened"],
            organisation_id,
            [row["mailbox_id"] for row in rows],
            [row["modseq"] for row in rows],
            Role.SENT.folder_id,
            found.activated_at - CLOCK_SLACK,
        )
    )


async def insert_run(
    connection: Connection, run_id: int, activation_id: int, found: Candidates, actor: str, wave_size: int
) -> None:
    """Write a failback with its waves: in the order in which the mailboxes were made."""
    organisation_id = found.scope.organisation_id
    await connection.execute(
        _SQL["insert_run"], organisation_id, run_id, activation_id, wave_size, actor, datetime.now(UTC)
    )
    await connection.execute(
        _SQL["insert_mailboxes"],
        organisation_id,
        run_id,
        [mailbox.place.mailbox_id for mailbox in found.mailboxes],
        [mailbox.place.primary_id for mailbox in found.mailboxes],
        [number // wave_size for number in range(len(found.mailboxes))],
    )


async def stop_run(connection: Connection, organisation_id: int, run_id: int, reason: str, hold: HoldReason) -> bool:
    """End a failback before it is through; what it had released waits again. False where it had ended already."""
    stopped = await connection.fetchval(_SQL["set_run_state"], organisation_id, run_id, RunState.STOPPED, reason, True)
    if stopped is None:
        return False
    await connection.execute(_SQL["hold_returning"], organisation_id, run_id, hold)
    return True


async def set_paused(connection: Connection, organisation_id: int, run_id: int, *, paused: bool, reason: str) -> bool:
    """Pause a failback or let it go on. False where it has ended."""
    state = RunState.PAUSED if paused else RunState.RUNNING
    changed = await connection.fetchval(_SQL["set_run_state"], organisation_id, run_id, state, reason, False)
    return changed is not None


async def primaries_of_run(connection: Connection, organisation_id: int, run_id: int) -> Sequence[int]:
    """Whose mailboxes a failback gives back."""
    return [row["primary_id"] for row in await connection.fetch(_SQL["primaries_of_run"], organisation_id, run_id)]


async def running_of_primary(connection: Connection, organisation_id: int, primary_id: int) -> list[tuple[int, int]]:
    """Failbacks under way that concern a primary, as (failback, activation)."""
    rows = await connection.fetch(_SQL["running_of_primary"], organisation_id, primary_id)
    return [(row["id"], row["activation_id"]) for row in rows]
