"""Whom a scope covers, and bringing what is queued for them where the switches say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from everpost.continuity.routes import OpenActivation, RouteTable, Scope, ScopeKind, scopes_of
from everpost.directory.model import Place
from everpost.queue.model import HoldReason
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("continuity")
HOLD_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Covered:
    """A mailbox of a scope."""

    place: Place
    name: str
    address: str | None


async def scope_exists(connection: Connection, scope: Scope) -> bool:
    """Whether there is such a thing in the organisation."""
    return bool(await connection.fetchval(_SQL["scope_exists"], scope.organisation_id, scope.kind, scope.id))


async def mailboxes_in(connection: Connection, scope: Scope) -> list[Covered]:
    """The mailboxes of a scope with their places, in the order of their ids."""
    organisation_id = scope.organisation_id
    rows = await connection.fetch(_SQL["mailboxes_in_scope"], organisation_id, scope.kind, scope.id)
    groups = {
        row["mailbox_id"]: frozenset(row["group_ids"])
        for row in await connection.fetch(_SQL["groups_of_organisation"], organisation_id)
    }
    return [
        Covered(
            Place(organisation_id, row["id"], row["domain_id"], row["primary_id"], groups.get(row["id"], frozenset())),
            row["name"],
            row["address"],
        )
        for row in rows
    ]


def covered_otherwise(table: RouteTable, place: Place, activation_id: int) -> bool:
    """Whether a mailbox stays with the standby when this activation ends."""
    return any(
        activation.id != activation_id and place.mailbox_id not in activation.returned
        for activation in (table.activations.get(scope) for scope in scopes_of(place))
        if activation is not None
    )


async def rehome(database: Database, activation: OpenActivation, reason: HoldReason) -> int:
    """Hold what is queued for the primaries of a scope whose route leads to the standby; returns how much.

    In small transactions, so that intake never waits for it: what is attempted meanwhile does no harm.
    """
    scope = activation.scope
    held = 0
    if scope.kind is ScopeKind.PRIMARY:
        returned = sorted(activation.returned)
        return await _hold(database, "hold_queued_of_primary", scope.organisation_id, scope.id, reason, returned)
    async with database.connection() as connection:
        covered = await mailboxes_in(connection, scope)
    by_primary: dict[int, list[int]] = defaultdict(list)
    for mailbox in covered:
        place = mailbox.place
        if place.primary_id is not None and place.mailbox_id not in activation.returned:
            by_primary[place.primary_id].append(place.mailbox_id)
    for primary_id, mailbox_ids in by_primary.items():
        held += await _hold(
            database, "hold_queued_of_mailboxes", scope.organisation_id, primary_id, reason, mailbox_ids
        )
    return held


async def _hold(
    database: Database, query: str, organisation_id: int, primary_id: int, reason: HoldReason, mailbox_ids: list[int]
) -> int:
    held = 0
    while True:
        async with database.transaction() as connection:
            rows = await connection.fetch(_SQL[query], organisation_id, primary_id, reason, HOLD_AT_ONCE, mailbox_ids)
        held += len(rows)
        if len(rows) < HOLD_AT_ONCE:
            return held
