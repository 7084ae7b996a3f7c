"""Coming back: the dry run, how far it is, pause and stop, the report."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from starlette.responses import Response

from everpost.continuity.activation import Impossible
from everpost.continuity.failback.ledger import read_run
from everpost.continuity.failback.model import Figures, MailboxState, RunState
from everpost.continuity.failback.preview import MailboxPreview, preview
from everpost.continuity.failback.report import as_html, digest, is_genuine
from everpost.continuity.routes import ScopeKind
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.values import (
    Because,
    Input,
    Nothing,
    Output,
    Page,
    ScopeShown,
    nothing_there,
    refusal,
)
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("api")
_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
}
MAX_PREVIEWED = 500
section = Section(
    "Failback", "Bringing back to the primary what happened in the standby. It begins when an activation ends."
)


class Failback(Output, frozen=True):
    """A failback as it stands, in mailboxes. `reason`: why it is paused or stopped."""

    id: str
    activation: str
    scope: ScopeShown
    state: RunState
    reason: str
    actor: str
    wave_size: int
    started_at: datetime
    finished_at: datetime | None
    mailboxes: int
    returned: int
    problems: int
    has_report: bool


class Failbacks(Output, frozen=True):
    """Failbacks, the latest first."""

    failbacks: list[Failback]


class FailbackMailbox(Output, frozen=True):
    """How far one mailbox is. `figures` are there once it was reconciled."""

    id: str
    mailbox: str
    wave: int
    state: MailboxState
    problem: str
    returned_at: datetime | None
    figures: Figures | None


class FailbackDetail(Output, frozen=True):
    """A failback with a page of its mailboxes, in the order of waves; `states` counts all of them."""

    failback: Failback
    states: dict[str, int]
    mailboxes: list[FailbackMailbox]


class FailbackPreview(Output, frozen=True):
    """What a failback would do now. `mailboxes` lists those for which there is something to do, at most 500 of them.
    `obstacles` say why it could not begin, `warnings` what it could not do.
    """

    activation: str
    total: int
    mailboxes: list[MailboxPreview]
    obstacles: list[str]
    warnings: list[str]


class FailbackReport(Output, frozen=True):
    """The reconciliation. `genuine`: it is exactly what the organisation's key (Ed25519, `public_key`) signed."""

    failback: str
    genuine: bool
    digest: str
    signature: str
    public_key: str
    report: dict[str, Any]


class ReportForm(Input, frozen=True):
    """`format`: JSON, or a page for people."""

    format: Literal["json", "html"] = "json"


@section.get("/failbacks")
async def list_failbacks(call: Call[Page, Nothing]) -> Failbacks:
    """Failbacks, also those that have ended."""
    page = call.query
    async with call.services.database.connection() as connection:
        return Failbacks(
            failbacks=await read_failbacks(connection, call.organisation.id, None, page.offset, page.limit)
        )


@section.get("/failbacks/{failback}")
async def get_failback(call: Call[Page, Nothing]) -> FailbackDetail:
    """How far a failback is, with its mailboxes."""
    key, page = (call.organisation.id, call.ids["failback"]), call.query
    async with call.services.database.connection() as connection:
        found = await read_failbacks(connection, *key)
        if not found:
            raise nothing_there("failback")
        states = {row["state"]: row["count"] for row in await connection.fetch(_SQL["failback_states"], *key)}
        rows = await connection.fetch(_SQL["failback_mailboxes"], *key, page.offset, page.limit)
    return FailbackDetail(failback=found[0], states=states, mailboxes=[_mailbox(row) for row in rows])


@section.get("/activations/{activation}/failback-preview")
async def preview_failback(call: Call[Nothing, Nothing]) -> FailbackPreview:
    """The dry run: say what a failback of an activation in force would do now, and do nothing."""
    services, activation_id = call.services, call.ids["activation"]
    found = await preview(services.database, services.keys, call.organisation.id, activation_id)
    boxes = [box for box in found.mailboxes if not box.is_empty]
    return FailbackPreview(
        activation=encode_id(activation_id),
        total=len(found.mailboxes),
        mailboxes=boxes[:MAX_PREVIEWED],
        obstacles=list(found.obstacles),
        warnings=list(found.warnings),
    )


@section.post("/failbacks/{failback}/pause")
async def pause_failback(call: Call[Nothing, Because]) -> Failback:
    """Pause a failback: what is on its way arrives, nothing more is begun."""
    await _check_open(call)
    return await _after(
        call,
        await call.services.continuity.pause_failback(
            call.organisation.id, call.ids["failback"], call.actor, paused=True, reason=call.body.reason
        ),
    )


@section.post("/failbacks/{failback}/continue")
async def continue_failback(call: Call[Nothing, Nothing]) -> Failback:
    """Let a paused failback go on."""
    await _check_open(call)
    return await _after(
        call,
        await call.services.continuity.pause_failback(
            call.organisation.id, call.ids["failback"], call.actor, paused=False
        ),
    )


@section.post("/failbacks/{failback}/stop")
async def stop_failback(call: Call[Nothing, Because]) -> Failback:
    """Stop a failback. What it gave back stays given back; the rest stays with the standby."""
    await _check_open(call)
    return await _after(
        call,
        await call.services.continuity.stop_failback(
            call.organisation.id, call.ids["failback"], call.actor, call.body.reason
        ),
    )


@section.get("/failbacks/{failback}/report", answer=FailbackReport, media=("application/json", "text/html"))
async def get_report(call: Call[ReportForm, Nothing]) -> FailbackReport | Response:
    """The reconciliation of a finished failback, and whether its signature fits.

    With `format=html` a page; one whose signature does not fit is not shown as a page.
    """
    run = await read_run(call.services.database, call.organisation.id, call.ids["failback"])
    if run.report is None or run.signature is None:
        raise refusal(409, "not-finished", "There is no report yet", f"It is {run.state}.")
    public = call.organisation.signing_public
    genuine = is_genuine(run.report, run.signature, public)
    if call.query.format == "html":
        if not genuine:
            raise refusal(409, "not-genuine", "The report was changed", "Its signature does not fit.")
        return Response(as_html(run.report, run.signature), 200, _PAGE_HEADERS, "text/html")
    return FailbackReport(
        failback=encode_id(run.id),
        genuine=genuine,
        digest=digest(run.report),
        signature=run.signature.hex(),
        public_key=public.hex(),
        report=run.report,
    )


async def _check_open(call: Call[Any, Any]) -> None:
    async with call.services.database.connection() as connection:
        if not await read_failbacks(connection, call.organisation.id, call.ids["failback"]):
            raise nothing_there("failback")


async def _after(call: Call[Any, Any], changed: bool) -> Failback:
    if not changed:
        raise Impossible("it has ended")
    async with call.services.database.connection() as connection:
        [found] = await read_failbacks(connection, call.organisation.id, call.ids["failback"])
    return found


async def read_failbacks(
    connection: Connection, organisation_id: int, failback_id: int | None, offset: int = 0, limit: int = 1
) -> list[Failback]:
    rows = await connection.fetch(_SQL["failbacks"], organisation_id, failback_id, offset, limit)
    other = ("id", "activation", "scope")
    return [
        Failback(
            id=encode_id(row["id"]),
            activation=encode_id(row["activation_id"]),
            scope=ScopeShown(kind=ScopeKind(row["scope_kind"]), id=encode_id(row["scope_id"]), name=row["scope_name"]),
            **{name: row[name] for name in Failback.__struct_fields__ if name not in other},
        )
        for row in rows
    ]


def _mailbox(row: Any) -> FailbackMailbox:
    return FailbackMailbox(
        id=encode_id(row["mailbox_id"]),
        mailbox=row["address"] or row["name"],
        wave=row["wave"],
        state=MailboxState(row["state"]),
        problem=row["problem"],
        returned_at=row["returned_at"],
        figures=None if row["figures"] is None else msgspec.convert(row["figures"], Figures),
    )
