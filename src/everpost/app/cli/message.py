"""`everpost message`: the trace of one message, and its original bytes."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option, printable, shortened
from everpost.app.cli.lanes import LaneNames
from everpost.app.cli.switches import parse_id
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.guard.model import Verdict
from everpost.queue.model import Status
from everpost.queue.trace import Trace, TracedDelivery, TracedMessage, find_by_header_id, read_message, read_trace
from everpost.standby.summary import reference_hash
from everpost.store import audit
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.ids import encode_id

MAX_HEADER_ID = 1000


@click.group()
def command() -> None:
    """Messages: what became of one, and its original bytes."""


@command.command("show")
@click.argument("message")
@org_option
@command_options
async def show(cli: Cli, message: str, org: str | None) -> None:
    """Show the trace of MESSAGE: envelope, source, mailboxes, deliveries with every attempt, and the audit."""
    message_id = parse_id(message)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        names = await LaneNames.read(services, organisation.id)
        async with services.database.connection() as connection:
            trace = await read_trace(connection, organisation.id, message_id)
        if trace is None:
            raise _missing(message_id)
        if cli.json:
            cli.output(_as_json(trace, names))
        else:
            for line in _as_text(trace, names):
                click.echo(printable(line))


@command.command("find")
@click.argument("header_id", metavar="MESSAGE-ID")
@org_option
@command_options
async def find(cli: Cli, header_id: str, org: str | None) -> None:
    """Find messages by the Message-ID of their header, with or without its angle brackets."""
    wanted = header_id.strip().removeprefix("<").removesuffix(">")
    if not 0 < len(wanted) <= MAX_HEADER_ID or "\0" in wanted:
        raise Failure("a Message-ID looks like <text@example.org>", 2)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        async with services.database.connection() as connection:
            found = await find_by_header_id(connection, organisation.id, wanted, reference_hash(wanted))
        rows = [
            {
                "id": encode_id(each.id), "accepted": each.received_at, "direction": each.direction,
                "from": each.reverse_path or "<>", "subject": each.subject,
            }
            for each in found
        ]  # fmt: skip
        if not cli.json:
            for row in rows:
                row |= {"from": shortened(str(row["from"]), 60), "subject": shortened(str(row["subject"]), 60)}
        cli.output(rows)


@command.command("export")
@click.argument("message")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Instead of stdout.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--reason", default="", help="Stands in the audit.")
@org_option
@command_options
async def export(cli: Cli, message: str, output: Path | None, force: bool, reason: str, org: str | None) -> None:
    """Write the original bytes of MESSAGE, as they were accepted (an .eml file). Stands in the audit."""
    message_id = parse_id(message)
    if cli.json and output is None:
        raise Failure("the message itself goes to standard output: give --output FILE with --json", 2)
    if output is not None and not force:
        _refuse_existing(output)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        async with services.database.connection() as connection:
            found = await read_message(connection, organisation.id, message_id)
        if found is None:
            raise _missing(message_id)
        chunks = BlobReader(services.database, services.keys).chunks(organisation.id, found.blob_id)
        with _readable():
            first = await anext(chunks, b"")  # nothing is recorded that turns out to be unreadable
            await _record(services, organisation.id, cli.actor, found, reason)
            await _write(output, first, chunks)
        if output is not None:
            text = f"{found.size} octets written to {output}"
            cli.output({"message": encode_id(message_id), "octets": found.size, "file": str(output)}, text)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (NoSuchBlob, DamagedBlob) as error:
        raise Failure(f"its bytes cannot be read: {error}") from error


@contextlib.contextmanager
def _writable(name: str) -> Iterator[None]:
    """Around what touches the output only: the database has troubles of its own kind."""
    try:
        yield
    except OSError as error:
        raise Failure(f"{name} cannot be written: {error.strerror or error}") from error


async def _record(services: Services, organisation_id: int, actor: str, message: TracedMessage, reason: str) -> None:
    name = encode_id(message.id)
    detail = {"message": name, "digest": message.digest, **({"reason": reason} if reason else {})}
    async with services.database.transaction() as connection:
        event = audit.Event(actor, "message.export", f"message {name}", detail)
        await audit.record(connection, organisation_id, await services.database.ids.new(), event)


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise Failure(f"{output} is there already: --force overwrites it")


async def _write(output: Path | None, first: bytes, rest: AsyncIterator[bytes]) -> None:
    if output is None:
        await _copy(sys.stdout.buffer, "standard output", first, rest)
        return
    with _replaced(output) as file:
        await _copy(file, str(output), first, rest)


@contextlib.contextmanager
def _replaced(output: Path) -> Iterator[IO[bytes]]:
    """A file that is there as a whole in the end, or not at all, readable by its owner only."""
    with _writable(str(output)):
        descriptor, name = tempfile.mkstemp(prefix=f".{output.name[:100]}.", dir=output.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        with _writable(str(output)):
            partial.replace(output)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


async def _copy(target: IO[bytes], name: str, first: bytes, rest: AsyncIterator[bytes]) -> None:
    with _writable(name):
        target.write(first)
    async for chunk in rest:
        with _writable(name):
            target.write(chunk)
    with _writable(name):
        target.flush()


def _missing(message_id: int) -> Failure:
    return Failure(
        f"there is no message {encode_id(message_id)} in this organisation: "
        "`everpost message find MESSAGE-ID` looks for one by its header"
    )


# ---------------------------------------------------------------------- showing a trace


def _as_json(trace: Trace, names: LaneNames) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(trace)
    message = plain["message"]
    for key in ("id", "thread_id", "blob_id"):
        message[key] = encode_id(message[key])
    for delivery in plain["deliveries"]:
        delivery["lane"] = names.show(delivery["lane"])
    for entry in plain["entries"]:
        entry["mailbox_id"] = encode_id(entry["mailbox_id"])
    for event in plain["events"]:
        event["id"] = encode_id(event["id"])
    return plain


def _as_text(trace: Trace, names: LaneNames) -> Iterator[str]:
    message = trace.message
    yield f"message   {encode_id(message.id)}, {message.direction}, {message.size} octets"
    yield f"accepted  {_time(message.received_at)} from {message.source}: {message.client}"
    yield f"from      {message.reverse_path or '<>'}"
    yield f"subject   {message.subject}"
    yield f"id        {f'<{message.header_id}>' if message.header_id else '–'}"
    yield f"envelope  BODY={message.body}{_parameters(message)}"
    yield f"sha256    {message.digest}"
    yield from _verdict_lines(message.verdict)
    yield ""
    yield "standby mailboxes:"
    yield from _or_none(
        f"  {entry.address or encode_id(entry.mailbox_id)}: {', '.join(entry.folders) or 'no folder'}"
        f" ({entry.origin}) {' '.join(entry.keywords)}".rstrip()
        for entry in trace.entries
    )
    yield ""
    yield "deliveries:"
    yield from _or_none(line for delivery in trace.deliveries for line in _delivery_lines(delivery, names))
    if trace.clicks:
        yield ""
        yield "links opened:"
    for each in trace.clicks:
        ended = ", blocked" if each.blocked else ""
        yield f"  {_time(each.last_at)}  {each.times} times{ended}: {each.url}"
    yield ""
    yield "audit:"
    yield from _or_none(
        f"  {_time(event.at)}  {event.action} by {event.actor}{_why(event.detail)}" for event in trace.events
    )


def _verdict_lines(verdict: Verdict | None) -> Iterator[str]:
    if verdict is None:
        yield "verdict   not seen by the guard"
        return
    yield f"verdict   {verdict.judgement} (score {verdict.score:g}): {verdict.disposition}"
    for each in verdict.signals:
        yield f"  {each.weight:+5.1f}  {each.kind}: {each.evidence}"


def _delivery_lines(delivery: TracedDelivery, names: LaneNames) -> Iterator[str]:
    accepted = f" (accepted as {delivery.accepted_as})" if delivery.accepted_as != delivery.recipient else ""
    yield f"  {delivery.recipient}{accepted}"
    state = f"held: {delivery.hold_reason}" if delivery.status == Status.HELD else delivery.status
    when = f" {_time(delivery.done_at)}" if delivery.done_at else ""
    yield f"    {state}{when}, {delivery.kind}, lane {names.show(delivery.lane)}, attempts: {delivery.attempts}"
    if delivery.status == Status.QUEUED:
        doubt = ", in doubt whether the last attempt got through" if delivery.in_doubt else ""
        yield f"    {'being attempted now' if delivery.in_hand else f'next {_time(delivery.next_attempt_at)}'}{doubt}"
        if delivery.expires_at:
            yield f"    returned to its sender {_time(delivery.expires_at)}"
    for attempt in delivery.failures:
        said = _server(attempt.remote, attempt.reply)
        yield f"    {_time(attempt.at)}  attempt {attempt.attempt}: {said}"
    if delivery.last_reply and (not delivery.failures or delivery.failures[-1].reply != delivery.last_reply):
        yield f"    last reply: {_server(delivery.last_remote, delivery.last_reply)}"


def _parameters(message: TracedMessage) -> str:
    parameters = (
        ("SMTPUTF8" if message.smtputf8 else ""),
        (f"RET={message.ret}" if message.ret else ""),
        (f"ENVID={message.envid}" if message.envid else ""),
    )
    return "".join(f" {each}" for each in parameters if each)


def _why(detail: dict[str, Any]) -> str:
    who = detail.get("recipients")
    parts = [", ".join(who[:5]) + (", …" if len(who) > 5 else "") if isinstance(who, list) else "",
             str(detail.get("reason") or "")]  # fmt: skip
    text = "; ".join(part for part in parts if part)
    return f": {text}" if text else ""


def _server(remote: str | None, reply: str) -> str:
    return f"{remote}: {shortened(reply, 300)}" if remote else shortened(reply, 300) or ""


def _time(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _or_none(lines: Iterable[str]) -> Iterator[str]:
    found = False
    for line in lines:
        found = True
        yield line
    if not found:
        yield "  none"
