"""Rehearsals with a canary."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from everpost.continuity.routes import ScopeKind
from everpost.continuity.status import workers_alive
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.rehearsals import Busy
from everpost.serve.web.api.scopes import find_scope
from everpost.serve.web.api.values import (
    Input,
    Nothing,
    Output,
    Page,
    ScopeChoice,
    ScopeShown,
    nothing_there,
    refusal,
)
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("api")
section = Section(
    "Drills",
    "A rehearsal of the whole way to the standby and back for a canary mailbox or group, with nobody else touched.",
)


class DrillFigures(Output, frozen=True):
    """What a drill measured, in seconds; null where it did not come so far."""

    mailboxes: int = 0
    detect_s: float | None = None
    switch_s: float | None = None
    readable_s: float | None = None
    return_s: float | None = None
    replayed: int = 0
    changes: int = 0
    lost: int = 0
    duplicated: int = 0
    problems: list[str] = msgspec.field(default_factory=list)


class DrillShown(Output, frozen=True):
    """A drill. `outcome` is passed or failed; null while it runs (or where its process was killed)."""

    id: str
    scope: ScopeShown
    actor: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None
    figures: DrillFigures | None


class Drills(Output, frozen=True):
    """Drills, the latest first."""

    drills: list[DrillShown]


class NewDrill(Input, frozen=True):
    """A drill with a mailbox or a group of at most 50."""

    scope: ScopeChoice
    measure_detection: Annotated[
        bool, msgspec.Meta(description="Measure how long it takes to see that a server is dead.")
    ] = True
    timeout_s: Annotated[float, msgspec.Meta(ge=5, le=3600, description="Roll back where it is not through then.")] = (
        300
    )


@section.get("/drills")
async def list_drills(call: Call[Page, Nothing]) -> Drills:
    """Drills there were, and those under way."""
    async with call.services.database.connection() as connection:
        return Drills(drills=await _read(connection, call.organisation.id, None, call.query.offset, call.query.limit))


@section.get("/drills/{drill}")
async def get_drill(call: Call[Nothing, Nothing]) -> DrillShown:
    """How a drill went, or goes."""
    return await _one(call, call.ids["drill"])


@section.post("/drills", status=202)
async def start_drill(call: Call[Nothing, NewDrill]) -> DrillShown:
    """Begin a drill. A message is sent to the mailbox, and marked as read; in the end all is at the primary again.

    It runs on in the background: `GET /drills/{drill}` says how it went, `/events` when.
    """
    asked = call.body
    scope = await find_scope(call, asked.scope)
    if not await workers_alive(call.services.database):
        raise refusal(409, "impossible", "That is not possible as things stand", "no worker is alive")
    try:
        drill_id = await call.services.rehearsals.start(
            scope, call.actor, asked.timeout_s, measure_detection=asked.measure_detection
        )
    except Busy:
        raise refusal(429, "busy", "Other drills are under way", "Wait until one has ended.") from None
    return await _one(call, drill_id)


async def _one(call: Call[Any, Any], drill_id: int) -> DrillShown:
    async with call.services.database.connection() as connection:
        found = await _read(connection, call.organisation.id, drill_id)
    if not found:
        raise nothing_there("drill")
    return found[0]


async def _read(
    connection: Connection, organisation_id: int, drill_id: int | None, offset: int = 0, limit: int = 1
) -> list[DrillShown]:
    rows = await connection.fetch(_SQL["drills"], organisation_id, drill_id, offset, limit)
    return [
        DrillShown(
            id=encode_id(row["id"]),
            scope=ScopeShown(kind=ScopeKind(row["scope_kind"]), id=encode_id(row["scope_id"]), name=row["scope_name"]),
            actor=row["actor"],
            started_at=row["started_at"],
            finished_at=row["finished_at"],
            outcome=row["outcome"],
            figures=None if row["figures"] is None else msgspec.convert(row["figures"], DrillFigures),
        )
        for row in rows
    ]
