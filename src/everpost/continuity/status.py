"""What is going on: one look at the whole installation, and what of it needs a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from everpost.continuity.alerts import MAX_CALLS
from everpost.continuity.failback.model import RunState
from everpost.continuity.trust import TrustState
from everpost.directory.records import OrganisationRecord
from everpost.queue.model import HoldReason
from everpost.queue.operator import LaneCount, Suspension, read_counts, read_suspensions
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("status")
_NEEDS_A_PERSON = (HoldReason.REFUSED_BY_PRIMARY, HoldReason.CONTENT)


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """The database. The two estimates are its own, of all organisations together."""

    kind: str  # embedded or external
    version: str
    octets: int
    messages_estimate: int
    entries_estimate: int
    generation: int


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker process. `behind`: it does not act upon the latest switch yet."""

    run: int
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    alive: bool
    behind: bool


@dataclass(frozen=True, slots=True)
class PrimaryStatus:
    """A primary, with how much it is the home of. `activated`: an activation takes all of its mail, or that of one of
    its domains.
    """

    id: str
    name: str
    trust_state: TrustState
    state_since: datetime
    state_cause: str
    state_reason: str
    state_actor: str
    probe_ok: bool | None
    probed_at: datetime | None
    probe_stage: str | None
    probe_detail: str | None
    probe_since: datetime | None
    domains: int
    mailboxes: int
    activated: bool


@dataclass(frozen=True, slots=True)
class ActivationStatus:
    """An activation in force, or (without `started_at`) one that is scheduled."""

    id: str
    scope_kind: str
    scope_name: str | None
    cause: str
    reason: str
    actor: str
    opens_access: bool
    starts_at: datetime
    started_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class FailbackStatus:
    """A failback under way, in mailboxes."""

    id: str
    activation_id: str
    state: RunState
    reason: str
    actor: str
    started_at: datetime
    mailboxes: int
    returned: int
    problems: int


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """An alert that one contact has not got."""

    channel: str
    target: str
    subject: str
    at: datetime
    attempts: int
    last_result: str | None
    given_up: bool
    late: bool


@dataclass(frozen=True, slots=True)
class OrganisationStatus:
    """One organisation. Lanes are those of the queue: `everpost status` shows them as people write them."""

    name: str
    mailboxes: int
    primaries: tuple[PrimaryStatus, ...]
    activations: tuple[ActivationStatus, ...]
    failbacks: tuple[FailbackStatus, ...]
    queue: tuple[LaneCount, ...]
    suspensions: tuple[Suspension, ...]
    alerts: tuple[AlertStatus, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """All of it. `problems` need a person: a line each, with the way out."""

    database: DatabaseStatus
    workers: tuple[WorkerStatus, ...]
    organisations: tuple[OrganisationStatus, ...]
    problems: tuple[str, ...]


async def read_status(database: Database, organisations: list[OrganisationRecord], *, embedded: bool) -> Status:
    """Look once. Raises what `store.database.UNAVAILABLE` lists."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["installation"])
        about = DatabaseStatus("embedded" if embedded else "external", **dict(row))
        workers = tuple(WorkerStatus(**dict(row)) for row in await connection.fetch(_SQL["workers"]))
        found = tuple([await _organisation(connection, each) for each in organisations])
    return Status(about, workers, found, tuple(_problems(workers, found)))


async def workers_alive(database: Database) -> int:
    """How many worker processes were seen during the last 10 s."""
    async with database.connection() as connection:
        return sum(row["alive"] for row in await connection.fetch(_SQL["workers"]))


async def _organisation(connection: Connection, organisation: OrganisationRecord) -> OrganisationStatus:
    key = organisation.id
    primaries = [
        PrimaryStatus(**{**row, "id": encode_id(row["id"]), "trust_state": TrustState(row["trust_state"])})
        for row in await connection.fetch(_SQL["primaries"], key)
    ]
    activations = [
        ActivationStatus(**{**row, "id": encode_id(row["id"])})
        for row in await connection.fetch(_SQL["activations"], key)
    ]
    failbacks = [
        FailbackStatus(**{
            **row, "id": encode_id(row["id"]), "activation_id": encode_id(row["activation_id"]),
            "state": RunState(row["state"]),
        })
        for row in await connection.fetch(_SQL["failbacks"], key)
    ]  # fmt: skip
    alerts = [AlertStatus(**dict(row)) for row in await connection.fetch(_SQL["alerts"], key, MAX_CALLS)]
    return OrganisationStatus(
        organisation.name,
        await connection.fetchval(_SQL["mailboxes"], key),
        tuple(primaries),
        tuple(activations),
        tuple(failbacks),
        tuple(await read_counts(connection, key)),
        tuple(await read_suspensions(connection, key)),
        tuple(alerts),
    )


# ---------------------------------------------------------------------- what needs a person


def _problems(workers: tuple[WorkerStatus, ...], organisations: tuple[OrganisationStatus, ...]) -> Iterator[str]:
    if not any(worker.alive for worker in workers):
        yield "no worker is alive: start `everpost serve`"
    for organisation in organisations:
        for problem in _organisation_problems(organisation):
            yield f"{organisation.name}: {problem}"


def _organisation_problems(organisation: OrganisationStatus) -> Iterator[str]:
    for primary in organisation.primaries:
        if primary.trust_state in (TrustState.DOWN, TrustState.COMPROMISED) and not primary.activated:
            yield (
                f"primary {primary.name} is {primary.trust_state} and nothing takes its place: "
                f"`everpost activate --primary {primary.name}`"
            )
        elif primary.trust_state is TrustState.SUSPECT:
            yield f"primary {primary.name} is suspect: `everpost trust isolate` or `everpost trust clear` it"
    for failback in organisation.failbacks:
        if failback.state is RunState.PAUSED:
            yield f"failback {failback.id} is paused: {failback.reason or 'no reason given'}"
    for count in organisation.queue:
        if count.hold_reason in _NEEDS_A_PERSON:
            why = "as refused by the primary" if count.hold_reason is HoldReason.REFUSED_BY_PRIMARY else "for content"
            yield f"deliveries held {why}: {count.count}: `everpost queue list --held`"
    missed = [alert for alert in organisation.alerts if alert.given_up or alert.late]
    if missed:
        yield f"alerts not delivered: {len(missed)}, the latest to {missed[0].target}: {missed[0].last_result or '–'}"
