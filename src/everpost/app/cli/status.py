"""`everpost status`: one page that says what is going on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import click

from everpost.app.cli.context import Cli, Services, command_options, printable
from everpost.app.cli.lanes import LaneNames
from everpost.continuity.status import OrganisationStatus, PrimaryStatus, Status, WorkerStatus, read_status
from everpost.directory.records import OrganisationRecord
from everpost.queue.operator import LaneCount


@click.command()
@click.option("--org", metavar="NAME", help="Only this organisation. Default: all.")
@click.option(
    "--check", is_flag=True, help="Print only what needs a person, a line each, and exit with 1 if anything does."
)
@command_options
async def command(cli: Cli, org: str | None, check: bool) -> None:
    """Show workers, database, and of each organisation primaries, activations, failbacks, queue and alerts.

    The exit status is 0, or 3 where the database is away; with --check 1 where something needs a person.
    """
    async with cli.services() as services:
        chosen = [await services.organisation(org)] if org else await services.admin.organisations()
        embedded = not services.config.external_dsn()
        status = await _named(services, chosen, await read_status(services.database, chosen, embedded=embedded))
    if cli.json:
        cli.output(status)
    else:
        for line in status.problems if check else _page(status):
            click.echo(printable(line))
    if check and status.problems:
        raise SystemExit(1)


async def _named(services: Services, organisations: list[OrganisationRecord], status: Status) -> Status:
    """With lanes as people write them."""
    shown = []
    for record, each in zip(organisations, status.organisations, strict=True):
        names = await LaneNames.read(services, record.id)
        queue = tuple(replace(row, lane=names.show(row.lane)) for row in each.queue)
        stopped = tuple(replace(row, lane=names.show(row.lane)) for row in each.suspensions)
        shown.append(replace(each, queue=queue, suspensions=stopped))
    return replace(status, organisations=tuple(shown))


def _page(status: Status) -> Iterator[str]:
    now = datetime.now(UTC)
    if status.problems:
        yield "NEEDS A PERSON"
        yield from (f"  {problem}" for problem in status.problems)
        yield ""
    database = status.database
    yield (
        f"database     {database.kind}, PostgreSQL {database.version}, {size(database.octets)}; about "
        f"{database.messages_estimate} messages in {database.entries_estimate} mailbox entries (estimated)"
    )
    yield from _headed("workers", [_worker(worker, now) for worker in status.workers])
    for organisation in status.organisations:
        yield ""
        yield from _organisation(organisation, now)
    if not status.organisations:
        yield "there is no organisation yet: `everpost org create NAME`"


def _headed(name: str, lines: Sequence[str], indent: str = "") -> Iterator[str]:
    for number, line in enumerate(lines or ["none"]):
        yield f"{indent}{'' if number else name:<12} {line}"


def _worker(worker: WorkerStatus, now: datetime) -> str:
    where = f"{worker.host} pid {worker.pid} (run {worker.run})"
    if not worker.alive:
        return f"{where}: NOT SEEN for {age(worker.seen_at, now)}"
    behind = ", does not act upon the latest switch yet" if worker.behind else ""
    return f"{where}: up {age(worker.started_at, now)}, seen {age(worker.seen_at, now)} ago{behind}"


def _organisation(organisation: OrganisationStatus, now: datetime) -> Iterator[str]:
    yield f"{organisation.name}: mailboxes: {organisation.mailboxes}"
    yield from _headed("primaries", [_primary(primary, now) for primary in organisation.primaries], "  ")
    yield from _headed("activations", [
        f"{each.scope_kind} {each.scope_name or '(gone)'}: "
        + (f"since {age(each.started_at, now)}" if each.started_at else f"scheduled for {_time(each.starts_at)}")
        + (f", until {_time(each.ends_at)}" if each.ends_at else "")
        + f" ({each.cause}: {each.reason})"
        for each in organisation.activations
    ], "  ")  # fmt: skip
    yield from _headed("failbacks", [
        f"{each.id} {each.state}: {each.returned} of {each.mailboxes} mailboxes are back"
        + (f", {each.problems} with a problem" if each.problems else "")
        + (f" ({each.reason})" if each.reason else "")
        for each in organisation.failbacks
    ], "  ")  # fmt: skip
    yield from _headed("queue", _queue(organisation.queue, now), "  ")
    if organisation.suspensions:
        yield from _headed("suspended", [
            f"{each.lane} by {each.actor}, {age(each.since, now)} ago: {each.reason}"
            + (f" (until {_time(each.expires_at)})" if each.expires_at else "")
            for each in organisation.suspensions
        ], "  ")  # fmt: skip
    yield from _headed("alerts", [
        f"not delivered to {each.target}: {each.subject} ({age(each.at, now)} ago, {each.attempts} tries"
        + (", given up" if each.given_up else "") + f"): {each.last_result or 'not tried yet'}"
        for each in organisation.alerts[:10]
    ], "  ")  # fmt: skip


def _primary(primary: PrimaryStatus, now: datetime) -> str:
    state = str(primary.trust_state)
    text = f"{primary.name}: {state if state == 'trusted' else state.upper()} since {age(primary.state_since, now)}"
    if state != "trusted":
        text += f" ({primary.state_cause}{f': {primary.state_reason}' if primary.state_reason else ''})"
    if primary.probed_at is None:
        return f"{text}, not probed yet"
    told = "answers" if primary.probe_ok else f"does not answer: {primary.probe_stage}: {primary.probe_detail}"
    return f"{text}, probed {age(primary.probed_at, now)} ago: {told}"


def _queue(counts: Sequence[LaneCount], now: datetime) -> list[str]:
    """A line for each lane, the fullest first."""
    lanes: dict[str, list[LaneCount]] = {}
    for count in counts:
        lanes.setdefault(count.lane, []).append(count)
    ordered = sorted(lanes.items(), key=lambda lane: -sum(row.count for row in lane[1]))
    lines = []
    for lane, rows in ordered[:20]:
        parts = [f"{row.count} {'held: ' + row.hold_reason if row.hold_reason else row.status}" for row in rows]
        lines.append(f"{lane}: {', '.join(parts)}; the oldest {age(min(row.oldest for row in rows), now)}")
    if len(ordered) > 20:
        lines.append(f"and {len(ordered) - 20} more lanes: `everpost queue counts`")
    return lines


def age(since: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that says something."""
    seconds = int((now - since).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"


def size(octets: float) -> str:
    """Octets for people."""
    for unit in ("octets", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "octets" else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"


def _time(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")
