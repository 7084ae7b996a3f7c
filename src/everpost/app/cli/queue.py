"""`everpost queue`: what waits, and what a person can do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option, shortened
from everpost.app.cli.lanes import LaneNames, suggestion
from everpost.app.cli.switches import parse_id, parse_time
from everpost.app.config import Endpoint, parse_endpoint
from everpost.continuity.homes import make_operator
from everpost.queue.model import Status
from everpost.queue.operator import ALL_LANES, MAX_LISTED, QueueOperator, QueueRefusal, Result
from everpost.store.ids import encode_id

LANE = "A lane is `primary:NAME` or the domain that mail goes to."
DEFAULT_PORT = 25


@click.group()
def command() -> None:
    """The queue: what waits for a server, and what a person can do about it.

    A lane is what goes to the same place: `primary:NAME`, or the domain that mail goes to.
    """


# ---------------------------------------------------------------------- looking


@command.command("list")
@click.option("--queued", is_flag=True, help="Only what waits for its next attempt.")
@click.option("--held", is_flag=True, help="Only what waits for somebody or something.")
@click.option("--lane", metavar="LANE", help="Only this lane.")
@click.option("--search", metavar="TEXT", help="Only where the recipient's or the sender's address contains this.")
@click.option(
    "--limit", default=100, show_default=True, help="Show so many at most.", type=click.IntRange(1, MAX_LISTED)
)
@org_option
@command_options
async def list_all(
    cli: Cli, queued: bool, held: bool, lane: str | None, search: str | None, limit: int, org: str | None
) -> None:
    """List open deliveries, those due next first."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        names = await LaneNames.read(services, organisation.id)
        rows = await make_operator(services.database, cli.actor).list(
            organisation.id, queued=queued or not held, held=held or not queued,
            lane=names.parse(lane) if lane else None, search=search, limit=limit,
        )  # fmt: skip
        shown = [
            {**dataclasses.asdict(row), "message_id": encode_id(row.message_id), "lane": names.show(row.lane)}
            for row in rows
        ]
        if cli.json:
            cli.output(shown)
            return
        cli.output([_line(row) for row in shown])
        if len(shown) == limit:
            click.echo(f"the first {limit}: --limit shows more, `everpost queue counts` counts all")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    held = row["status"] == Status.HELD
    return {
        "message": row["message_id"],
        "from": shortened(row["reverse_path"] or "<>", 32),
        "to": shortened(row["recipient"], 32),
        "lane": shortened(row["lane"], 28),
        "status": f"held: {row['hold_reason']}" if held else "queued",
        "tries": row["attempts"],
        "next": None if held else row["next_attempt_at"],
        "accepted": row["received_at"],
        "subject": shortened(row["subject"], 28),
        "last reply": shortened(row["last_reply"], 40),
    }


@command.command("counts")
@org_option
@command_options
async def counts(cli: Cli, org: str | None) -> None:
    """Count what is open, by lane, with the age of the oldest."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        names = await LaneNames.read(services, organisation.id)
        found = await make_operator(services.database, cli.actor).counts(organisation.id)
        cli.output([{**dataclasses.asdict(row), "lane": names.show(row.lane)} for row in found])


@command.command("suspensions")
@org_option
@command_options
async def suspensions(cli: Cli, org: str | None) -> None:
    """List the lanes that are suspended, and those that are sent elsewhere."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        names = await LaneNames.read(services, organisation.id)
        operator = make_operator(services.database, cli.actor)
        stopped = [
            {**dataclasses.asdict(row), "lane": names.show(row.lane)}
            for row in await operator.suspensions(organisation.id)
        ]
        bound = [
            {**dataclasses.asdict(row), "lane": names.show(row.lane)}
            for row in await operator.bindings(organisation.id)
        ]
        if cli.json:
            cli.output({"suspensions": stopped, "bindings": bound})
            return
        click.echo("suspended:")
        cli.output(stopped)
        click.echo("sent elsewhere:")
        cli.output(bound)


# ---------------------------------------------------------------------- one message, or one recipient of it


def _message_verb(name: str, verb: str, past: str, text: str) -> None:
    @command.command(name, help=text)
    @click.argument("message")
    @click.argument("recipient", required=False)
    @click.option("--reason", default="", help="Stands in the audit.")
    @org_option
    @command_options
    async def run(cli: Cli, message: str, recipient: str | None, reason: str, org: str | None) -> None:
        await _change_message(cli, verb, past, (message, recipient, reason, org))


async def _change_message(cli: Cli, verb: str, past: str, asked: tuple[str, str | None, str, str | None]) -> None:
    message, recipient, reason, org = asked
    message_id = parse_id(message)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        change = getattr(make_operator(services.database, cli.actor), verb)
        try:
            result: Result = await change(organisation.id, message_id, recipient, reason=reason)
        except QueueRefusal as error:
            raise Failure(str(error)) from error
        if not result.done:
            raise Failure(f"nothing was {past}: {_reasons(result)}")
        if cli.json:
            cli.output({"message": encode_id(message_id), "done": result.done, "left": result.left})
            return
        for done in result.done:
            click.echo(f"{past} {done.recipient}" + (f": {done.remark}" if done.remark else ""))
        for left in result.left:
            click.echo(f"left alone {left.recipient}: {left.why}")


def _reasons(result: Result) -> str:
    """One line, however many recipients there are."""
    by_reason: dict[str, list[str]] = {}
    for left in result.left:
        by_reason.setdefault(left.why, []).append(left.recipient)
    parts = [f"{who[0]}{f' and {len(who) - 1} more' if who[1:] else ''}: {why}" for why, who in by_reason.items()]
    return "; ".join(parts)


_message_verb("hold", "hold", "held", "Hold MESSAGE, or one RECIPIENT of it, until it is released.")
_message_verb(
    "release", "release", "released",
    "Let MESSAGE, or one RECIPIENT of it, go on after a hold.\n\n"
    "Nothing goes to a primary that is isolated as compromised, and nothing it had relayed goes out. What belongs to "
    "a mailbox that is at the standby stays there until its failback.",
)  # fmt: skip
_message_verb(
    "expire", "expire", "expired",
    "Give up MESSAGE, or one RECIPIENT of it; the sender is told.\n\n"
    "Refused for what waits for a primary that is not trusted or for a failback: that is never returned.",
)  # fmt: skip


@command.command("retry")
@click.argument("message", required=False)
@click.argument("recipient", required=False)
@click.option("--lane", metavar="LANE", help="Everything that waits in this lane.")
@click.option("--all", "everything", is_flag=True, help="Everything that waits in any lane.")
@org_option
@command_options
async def retry(
    cli: Cli, message: str | None, recipient: str | None, lane: str | None, everything: bool, org: str | None
) -> None:
    """Attempt MESSAGE (or one RECIPIENT of it), or what waits in a lane, at once."""
    if sum((message is not None, lane is not None, everything)) != 1:
        raise Failure("what? give exactly one of MESSAGE, --lane, --all", 2)
    if message is not None:
        await _change_message(cli, "retry_now", "due now:", (message, recipient, "", org))
        return
    async with cli.services() as services:
        organisation = await services.organisation(org)
        names = await LaneNames.read(services, organisation.id)
        operator = make_operator(services.database, cli.actor)
        chosen = names.parse(lane) if lane else None
        count = await operator.retry_lane(organisation.id, chosen)
        if not count and chosen is not None:
            await _refuse_empty(operator, organisation.id, names, chosen)
        cli.output({"deliveries": count}, f"{count} deliveries are due now")


async def _refuse_empty(operator: QueueOperator, organisation_id: int, names: LaneNames, lane: str) -> None:
    """Say so where a lane has nothing queued: it may have been another that was meant."""
    queued = {names.show(row.lane) for row in await operator.counts(organisation_id) if row.status is Status.QUEUED}
    shown = names.show(lane)
    if shown not in queued:
        raise Failure(f"nothing is queued for {shown}{suggestion(shown, queued)}: see `everpost queue counts`")


# ---------------------------------------------------------------------- lanes


def _one_lane(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--all", "everything", is_flag=True, help="All lanes of the organisation.")(function)
    return click.argument("lane", required=False)(function)


def _chosen(names: LaneNames, lane: str | None, everything: bool) -> str:
    if (lane is None) != everything:
        raise Failure("which lane? give one, or --all", 2)
    return ALL_LANES if lane is None else names.parse(lane)


@command.command("suspend")
@_one_lane
@click.option("--reason", required=True, help="Why; stands in the audit and in the list of suspensions.")
@click.option("--until", metavar="TIME", help="It ends by itself then, like 2025-03-01T22:00.")
@org_option
@command_options
async def suspend(
    cli: Cli, lane: str | None, everything: bool, reason: str, until: str | None, org: str | None
) -> None:
    """Send nothing to LANE (or to any) until it is resumed. Mail is accepted all the same, and waits."""
    ends = parse_time(until)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        names = await LaneNames.read(services, organisation.id)
        chosen = _chosen(names, lane, everything)
        operator = make_operator(services.database, cli.actor)
        try:
            await operator.suspend(organisation.id, chosen, reason, expires_at=ends)
        except QueueRefusal as error:
            raise Failure(str(error)) from error
        shown = names.show(chosen)
        hint = "" if everything else await _lane_hint(operator, organisation.id, names, chosen)
        text = f"{shown} suspended" + (f" until {ends:%Y-%m-%d %H:%M}" if ends else "") + hint
        cli.output({"suspended": shown, "until": ends}, text)


async def _lane_hint(operator: QueueOperator, organisation_id: int, names: LaneNames, lane: str) -> str:
    """A lane may be named before anything waits in it; that it is another than was meant shows here."""
    waiting = {names.show(row.lane) for row in await operator.counts(organisation_id)}
    shown = names.show(lane)
    return "" if shown in waiting else f"; nothing waits for it just now{suggestion(shown, waiting)}"


@command.command("resume")
@_one_lane
@org_option
@command_options
async def resume(cli: Cli, lane: str | None, everything: bool, org: str | None) -> None:
    """Send to LANE again. A suspension of all lanes is lifted with --all."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        names = await LaneNames.read(services, organisation.id)
        chosen = _chosen(names, lane, everything)
        operator = make_operator(services.database, cli.actor)
        shown = names.show(chosen)
        if not await operator.resume(organisation.id, chosen):
            stopped = [names.show(row.lane) for row in await operator.suspensions(organisation.id)]
            raise Failure(
                f"there is no suspension of {shown}{suggestion(shown, stopped)}; "
                f"suspended: {', '.join(stopped[:20]) or 'nothing'}"
            )
        cli.output({"resumed": shown}, f"{shown} resumed")


@command.command("rebind")
@click.argument("lane")
@click.argument("server", metavar="HOST[:PORT]")
@org_option
@command_options
async def rebind(cli: Cli, lane: str, server: str, org: str | None) -> None:
    """Send what is for LANE to another server, from the next connection on."""
    endpoint = _endpoint(server)
    async with cli.services() as services:
        organisation, names, chosen = await _find_lane(services, lane, org)
        operator = make_operator(services.database, cli.actor)
        try:
            await operator.rebind(organisation, chosen, endpoint.host, endpoint.port)
        except QueueRefusal as error:
            raise Failure(str(error)) from error
        shown = names.show(chosen)
        hint = await _lane_hint(operator, organisation, names, chosen)
        cli.output({"lane": shown, "host": endpoint.host, "port": endpoint.port}, f"{shown} goes to {endpoint}{hint}")


@command.command("unbind")
@click.argument("lane")
@org_option
@command_options
async def unbind(cli: Cli, lane: str, org: str | None) -> None:
    """Let LANE lead to its own servers again."""
    async with cli.services() as services:
        organisation, names, chosen = await _find_lane(services, lane, org)
        operator = make_operator(services.database, cli.actor)
        shown = names.show(chosen)
        if not await operator.unbind(organisation, chosen):
            bound = [names.show(row.lane) for row in await operator.bindings(organisation)]
            raise Failure(
                f"{shown} is not sent elsewhere{suggestion(shown, bound)}; those that are: "
                f"{', '.join(bound[:20]) or 'none'}"
            )
        cli.output({"lane": shown}, f"{shown} goes its own way again")


async def _find_lane(services: Services, lane: str, org: str | None) -> tuple[int, LaneNames, str]:
    organisation = await services.organisation(org)
    names = await LaneNames.read(services, organisation.id)
    return organisation.id, names, names.parse(lane)


def _endpoint(text: str) -> Endpoint:
    bare = text.rpartition(":")[1] == "" or text.endswith("]")
    try:
        found = parse_endpoint(f"{text}:{DEFAULT_PORT}" if bare else text)
    except ValueError:
        raise Failure(f"{text[:80]!r} is no server: write host, host:port or [IPv6]:port", 2) from None
    if not found.port:
        raise Failure("a port is a number from 1 to 65535", 2)
    return found
