"""One look that says what is going on."""

from __future__ import annotations

from datetime import UTC, datetime

from everpost.continuity import status
from everpost.continuity.status import DatabaseStatus, OrganisationStatus, PrimaryStatus, WorkerStatus
from everpost.directory.records import OrganisationRecord
from everpost.identity.administrators import INSTALLATION
from everpost.queue.operator import LaneCount, Suspension
from everpost.serve.web.api.activations import Activation, read_activations
from everpost.serve.web.api.door import Door
from everpost.serve.web.api.failbacks import Failback, read_failbacks
from everpost.serve.web.api.flow import MailFlow
from everpost.serve.web.api.queues import show_counts, show_suspensions
from everpost.serve.web.api.registry import Access, Call, Organisation, Section
from everpost.serve.web.api.scopes import lane_names
from everpost.serve.web.api.values import Input, Nothing, Output, Text, nothing_there
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("api")
MAX_ORGANISATIONS = 20
section = Section("Overview", "What is going on, on one page.")


class OverviewQuery(Input, frozen=True):
    """`organisation`: only this one."""

    organisation: Text | None = None


class Alert(Output, frozen=True):
    """What people were told of during the last seven days."""

    id: str
    at: datetime
    kind: str
    subject: str
    text: str


class Workers(Output, frozen=True):
    """Worker processes seen during the last 10 s; `behind` do not act upon the latest switch yet. `processes`:
    for administrators of the whole installation.
    """

    alive: int
    behind: int
    processes: list[WorkerStatus]


class OrganisationOverview(Output, frozen=True):
    """One organisation. `alerts` and `activations`: the latest first."""

    id: str
    name: str
    display_name: str
    mailboxes: int
    primaries: list[PrimaryStatus]
    activations: list[Activation]
    failbacks: list[Failback]
    queue: list[LaneCount]
    suspensions: list[Suspension]
    flow: MailFlow
    alerts: list[Alert]


class Overview(Output, frozen=True):
    """All of it. `problems` need a person: a line each. `more`: further organisations that are not in it, to be asked
    for by name. `database`: for administrators of the whole installation.
    """

    at: datetime
    organisations: list[OrganisationOverview]
    more: list[str]
    workers: Workers
    database: DatabaseStatus | None
    problems: list[str]


@section.get("/overview", access=Access.ADMINISTRATOR)
async def get_overview(call: Call[OverviewQuery, Nothing]) -> Overview:
    """Look once, at all organisations this administrator may see (at most 20), or at one."""
    found = await Door(call.services).organisations(call.administrator, call.query.organisation)
    if call.query.organisation is not None and not found:
        raise nothing_there("organisation")
    chosen = found[:MAX_ORGANISATIONS]
    records = [OrganisationRecord(each.id, each.name, each.display_name, each.signing_public) for each in chosen]
    database = call.services.database
    seen = await status.read_status(database, records, embedded=call.services.embedded)
    async with database.connection() as connection:
        shown = [
            await _organisation(call, connection, organisation, one)
            for organisation, one in zip(chosen, seen.organisations, strict=True)
        ]
    everything = call.administrator.organisation_id == INSTALLATION
    return Overview(
        at=datetime.now(UTC),
        organisations=shown,
        more=[each.name for each in found[MAX_ORGANISATIONS:]],
        workers=Workers(
            alive=sum(worker.alive for worker in seen.workers),
            behind=sum(worker.alive and worker.behind for worker in seen.workers),
            processes=list(seen.workers) if everything else [],
        ),
        database=seen.database if everything else None,
        problems=list(seen.problems),
    )


async def _organisation(
    call: Call[OverviewQuery, Nothing], connection: Connection, organisation: Organisation, seen: OrganisationStatus
) -> OrganisationOverview:
    names = await lane_names(connection, organisation.id)
    failbacks = await read_failbacks(connection, organisation.id, None, limit=10)
    alerts = await connection.fetch(_SQL["alerts"], organisation.id)
    return OrganisationOverview(
        id=encode_id(organisation.id),
        name=organisation.name,
        display_name=organisation.display_name,
        mailboxes=seen.mailboxes,
        primaries=list(seen.primaries),
        activations=await read_activations(connection, organisation.id),
        failbacks=failbacks,
        queue=show_counts(names, seen.queue),
        suspensions=show_suspensions(names, seen.suspensions),
        flow=await call.services.flows.read(connection, organisation.id),
        alerts=[Alert(**{**dict(row), "id": encode_id(row["id"])}) for row in alerts],
    )
