"""The trust in a primary, by a person."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from everpost.continuity.activation import CleanBill
from everpost.continuity.trust import TrustEvent, TrustState
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.values import Because, Input, Nothing, Output, Text, nothing_there
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("api")
section = Section(
    "Trust",
    "How far a primary is trusted. Towards caution a person may always go; out of isolation only the clean bill leads, "
    "and then a failback.",
)


class Trusted(Output, frozen=True):
    """A primary's trust state after a change."""

    id: str
    name: str
    state: TrustState


class Isolated(Trusted, frozen=True):
    """`confirmed`: every worker acts upon it. Where one did not say so within 5 s, look at it."""

    confirmed: bool


class Bill(Input, frozen=True):
    """What has to have been done; all of it has to be true."""

    rebuilt: Annotated[bool, msgspec.Meta(description="From known-good media, or proven clean.")]
    credentials_rotated: Annotated[
        bool, msgspec.Meta(description="Of administrators, services, people and connectors.")
    ]
    way_in_closed: Annotated[bool, msgspec.Meta(description="How the attacker came in is known and shut.")]
    forwarding_checked: Annotated[
        bool, msgspec.Meta(description="No rules, forwards, delegates or applications of an attacker are left.")
    ]
    evidence: Annotated[Text, msgspec.Meta(description="Where the report stands, who signed it.")]


@section.post("/primaries/{primary}/isolate")
async def isolate_primary(call: Call[Nothing, Because]) -> Isolated:
    """Cut a primary off: nothing goes to it, nothing comes from it, its mailboxes live in the standby."""
    name = await _name(call)
    confirmed = await call.services.continuity.isolate(
        call.organisation.id, call.ids["primary"], call.actor, call.body.reason
    )
    return Isolated(id=encode_id(call.ids["primary"]), name=name, state=TrustState.COMPROMISED, confirmed=confirmed)


@section.post("/primaries/{primary}/doubt")
async def doubt_primary(call: Call[Nothing, Because]) -> Trusted:
    """Say that a primary looks hijacked: it is watched more strictly and does not come back by itself."""
    return await _tell(call, TrustEvent.DOUBTED)


@section.post("/primaries/{primary}/clear")
async def clear_primary(call: Call[Nothing, Because]) -> Trusted:
    """Say that a doubt about a primary was unfounded."""
    return await _tell(call, TrustEvent.CLEARED)


@section.post("/primaries/{primary}/clean-bill")
async def give_clean_bill(call: Call[Nothing, Bill]) -> Trusted:
    """The only way out of isolation: confirm everything. The primary counts as down until its failback is through."""
    name = await _name(call)
    bill = call.body
    checklist = CleanBill(
        bill.rebuilt, bill.credentials_rotated, bill.way_in_closed, bill.forwarding_checked, bill.evidence
    )
    state = await call.services.continuity.clean_bill(call.organisation.id, call.ids["primary"], call.actor, checklist)
    return Trusted(id=encode_id(call.ids["primary"]), name=name, state=state)


async def _tell(call: Call[Nothing, Because], event: TrustEvent) -> Trusted:
    name = await _name(call)
    handled = await call.services.continuity.handle(
        call.organisation.id, call.ids["primary"], event, call.actor, "by hand", call.body.reason
    )
    return Trusted(id=encode_id(call.ids["primary"]), name=name, state=handled.state)


async def _name(call: Call[Any, Any]) -> str:
    async with call.services.database.connection() as connection:
        row = await connection.fetchrow(_SQL["primary"], call.organisation.id, call.ids["primary"])
    if row is None:
        raise nothing_there("primary")
    return str(row["name"])
