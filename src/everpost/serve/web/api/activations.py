"""The switches of route and access."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from everpost.continuity.activation import Impossible
from everpost.continuity.failback.begin import WAVE_SIZE
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.scopes import mailboxes_in
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.scopes import find_scope
from everpost.serve.web.api.values import (
    Input,
    Nothing,
    Output,
    Page,
    Reason,
    ScopeChoice,
    ScopeShown,
    Text,
    Time,
    nothing_there,
)
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("api")
_CONTINUITY = load("continuity")
NAMES_SHOWN = 20
section = Section(
    "Switches",
    "Going to the standby and coming back, for a scope: the organisation, a primary, a domain, a group or a mailbox. "
    "`route` (activations) says where mail goes, `access` whether people may log in.",
)


class Activation(Output, frozen=True):
    """An activation: scheduled while it has not started. Of `mailboxes` so many are `returned`; `failback` is the
    latest one that brings them back.
    """

    id: str
    scope: ScopeShown
    mailboxes: int
    returned: int
    failback: str | None
    cause: str
    reason: str
    actor: str
    opens_access: bool
    starts_at: datetime
    started_at: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None


class Activations(Output, frozen=True):
    """Activations, the latest first."""

    activations: list[Activation]


class ActivationsPage(Page, frozen=True):
    """`ended`: those that have ended too."""

    ended: bool = False


class NewActivation(Input, frozen=True):
    """What is thrown to the standby, from when to when."""

    scope: ScopeChoice
    reason: Annotated[Reason, msgspec.Meta(description="Why; stands in the audit and in what people are told.")]
    opens_access: Annotated[bool, msgspec.Meta(description="Open the standby mailboxes to their people.")] = True
    starts_at: Annotated[Time | None, msgspec.Meta(description="Not now but then.")] = None
    ends_at: Annotated[Time | None, msgspec.Meta(description="Start the failback by itself then.")] = None


class EndActivation(Input, frozen=True):
    """How an activation ends."""

    reason: Reason
    wave_size: Annotated[int, msgspec.Meta(ge=1, le=100_000, description="So many mailboxes at a time.")] = WAVE_SIZE
    although_unreachable: Annotated[bool, msgspec.Meta(description="Begin although the last probe failed.")] = False


class Ended(Output, frozen=True):
    """`ended`: there was nothing to bring back; else the failback that has begun."""

    ended: bool
    failback: str | None


class PreviewScope(Input, frozen=True):
    """Of what."""

    scope: ScopeChoice


class Affected(Output, frozen=True):
    """Whom an activation would touch. `moving` mailboxes are at their primary now; the rest are at the standby anyway.
    `names` are the first of them.
    """

    scope: ScopeShown
    mailboxes: int
    moving: int
    names: list[str]
    activated: bool


class AccessSwitch(Input, frozen=True):
    """`open`: true, false, or null for as its activations say."""

    scope: ScopeChoice
    open: bool | None


class AccessSet(Output, frozen=True):
    """The switch as it is now."""

    scope: ScopeShown
    open: bool | None


class ScopeCount(Output, frozen=True):
    """Something a switch can be thrown for, and how many mailboxes it covers."""

    kind: ScopeKind
    id: str
    name: str
    mailboxes: int


class Scopes(Output, frozen=True):
    """All but mailboxes; of those the ones searched for."""

    scopes: list[ScopeCount]


class ScopeSearch(Input, frozen=True):
    """`search`: mailboxes whose name or address contains this too, at most 20."""

    search: Text | None = None


@section.get("/scopes")
async def list_scopes(call: Call[ScopeSearch, Nothing]) -> Scopes:
    """What a switch can be thrown for, with numbers of mailboxes."""
    search = (call.query.search or "").strip()
    async with call.services.database.connection() as connection:
        rows = await connection.fetch(_SQL["scopes"], call.organisation.id)
        boxes = await connection.fetch(_SQL["find_mailboxes"], call.organisation.id, search) if search else []
    found = [
        ScopeCount(kind=row["kind"], id=encode_id(row["id"]), name=row["name"], mailboxes=row["mailboxes"])
        for row in rows
    ]
    found += [
        ScopeCount(kind=ScopeKind.MAILBOX, id=encode_id(row["id"]), name=row["address"] or row["name"], mailboxes=1)
        for row in boxes
    ]
    return Scopes(scopes=found)


@section.get("/activations")
async def list_activations(call: Call[ActivationsPage, Nothing]) -> Activations:
    """Activations in force and scheduled, with `ended` all there were."""
    page = call.query
    async with call.services.database.connection() as connection:
        return Activations(
            activations=await read_activations(
                connection, call.organisation.id, ended=page.ended, offset=page.offset, limit=page.limit
            )
        )


@section.post("/activations/preview")
async def preview_activation(call: Call[Nothing, PreviewScope]) -> Affected:
    """Say whom an activation would touch, and do nothing."""
    scope = await find_scope(call, call.body.scope)
    table = await call.services.routes.load()
    async with call.services.database.connection() as connection:
        boxes = await mailboxes_in(connection, scope)
    moving = [box for box in boxes if not table.standby_is_master(box.place)]
    return Affected(
        scope=await show_scope(call, scope),
        mailboxes=len(boxes),
        moving=len(moving),
        names=[box.address or box.name for box in moving[:NAMES_SHOWN]],
        activated=scope in table.activations,
    )


@section.post("/activations", status=201)
async def activate(call: Call[Nothing, NewActivation]) -> Activation:
    """Send the mail of a scope to the standby, from the next message on, or from `starts_at`.

    One that is in force already is given back as it is.
    """
    asked = call.body
    scope = await find_scope(call, asked.scope)
    activation_id = await call.services.continuity.activate(
        scope, call.actor, asked.reason, opens_access=asked.opens_access, starts_at=asked.starts_at,
        ends_at=asked.ends_at,
    )  # fmt: skip
    return await _activation(call, activation_id)


@section.post("/activations/{activation}/end")
async def end_activation(call: Call[Nothing, EndActivation]) -> Ended:
    """Begin the failback of an activation. It ends at once where there is nothing to bring back."""
    asked, activation_id = call.body, call.ids["activation"]
    async with call.services.database.connection() as connection:
        row = await connection.fetchrow(_CONTINUITY["activation"], call.organisation.id, activation_id)
        if row is None:
            raise nothing_there("activation")
        scope = Scope(call.organisation.id, ScopeKind(row["scope_kind"]), row["scope_id"])
        current = await connection.fetchval(
            _CONTINUITY["activation_of_scope"], scope.organisation_id, scope.kind, scope.id
        )
    if row["ended_at"] is not None:
        raise Impossible("it has ended already")
    if current != activation_id:
        raise Impossible("another activation of the same scope is in force: end that first")
    done = await call.services.continuity.deactivate(
        scope, call.actor, asked.reason, wave_size=asked.wave_size, although_unreachable=asked.although_unreachable
    )
    return Ended(ended=done.ended, failback=None if done.failback_id is None else encode_id(done.failback_id))


@section.post("/access")
async def set_access(call: Call[Nothing, AccessSwitch]) -> AccessSet:
    """Open or close standby mailboxes for their people, whatever is activated."""
    scope = await find_scope(call, call.body.scope)
    await call.services.continuity.set_access(scope, call.actor, opened=call.body.open)
    return AccessSet(scope=await show_scope(call, scope), open=call.body.open)


async def read_activations(
    connection: Connection,
    organisation_id: int,
    *,
    activation_id: int | None = None,
    ended: bool = False,
    offset: int = 0,
    limit: int = 100,
) -> list[Activation]:
    """As `list_activations` shows them."""
    rows = await connection.fetch(_SQL["activations"], organisation_id, activation_id, ended, offset, limit)
    return [_shown(row) for row in rows]


def _shown(row: Any) -> Activation:
    same = {name: row[name] for name in Activation.__struct_fields__ if name not in ("id", "scope", "failback")}
    return Activation(
        id=encode_id(row["id"]),
        scope=ScopeShown(kind=ScopeKind(row["scope_kind"]), id=encode_id(row["scope_id"]), name=row["scope_name"]),
        failback=None if row["failback_id"] is None else encode_id(row["failback_id"]),
        **same,
    )


async def _activation(call: Call[Any, Any], activation_id: int) -> Activation:
    async with call.services.database.connection() as connection:
        [found] = await read_activations(
            connection, call.organisation.id, activation_id=activation_id, ended=True, limit=1
        )
    return found


async def show_scope(call: Call[Any, Any], scope: Scope) -> ScopeShown:
    """A scope with its name."""
    async with call.services.database.connection() as connection:
        name = await connection.fetchval(_SQL["scope_name"], scope.organisation_id, scope.kind, scope.id)
    return ScopeShown(kind=scope.kind, id=encode_id(scope.id), name=name)
