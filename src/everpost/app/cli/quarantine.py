"""`everpost quarantine`: what the guard keeps apart, and letting it go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import click

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option, printable, shortened
from everpost.app.cli.switches import parse_id
from everpost.continuity.homes import waiting_mailboxes
from everpost.guard.model import Judgement
from everpost.intake.quarantine import MAX_LISTED, Details, Kept, Quarantine, Wanted
from everpost.intake.quarantine_settings import Schedule, SettingsError, read_settings, save_settings
from everpost.mail.plainview import PlainView
from everpost.queue.operator import QueueRefusal
from everpost.store.blobs import BlobReader
from everpost.store.ids import encode_id

_JUDGEMENTS = [each.value for each in Judgement if each is not Judgement.CLEAN]


@click.group()
def command() -> None:
    """The quarantine: messages that the guard keeps apart until somebody lets them go."""


@command.command("list")
@click.option("--mailbox", metavar="ADDRESS", help="Only what is meant for this mailbox.")
@click.option("--judgement", type=click.Choice(_JUDGEMENTS), help="Only what is taken for this.")
@click.option("--sender", metavar="TEXT", help="Only what has this in its sender's address (reverse-path).")
@click.option("--recipient", metavar="TEXT", help="Only what has this in a recipient's address.")
@click.option("--subject", metavar="TEXT", help="Only what has this in its subject.")
@click.option("--asked", is_flag=True, help="Only what somebody asks for.")
@click.option(
    "--limit", default=100, show_default=True, help="Show so many at most.", type=click.IntRange(1, MAX_LISTED)
)
@org_option
@command_options
async def list_all(
    cli: Cli, mailbox: str | None, judgement: str | None, sender: str | None, recipient: str | None,
    subject: str | None, asked: bool, limit: int, org: str | None,
) -> None:  # fmt: skip
    """List what is kept apart, the latest first, with what speaks against it most."""
    async with cli.services() as services:
        mailbox_id = None
        if mailbox is None:
            organisation = await services.organisation(org)
        else:
            organisation, found = await services.mailbox(mailbox, org)
            mailbox_id = found.id
        wanted = Wanted(
            mailbox_id, judgement=Judgement(judgement) if judgement else None, sender=sender, recipient=recipient,
            subject=subject, asked=asked,
        )  # fmt: skip
        kept = await _quarantine(cli, services).list(organisation.id, wanted, limit)
        cli.output([_row(each, whole=cli.json) for each in kept])


def _quarantine(cli: Cli, services: Services) -> Quarantine:
    return Quarantine(services.database, actor=cli.actor, homes=waiting_mailboxes)


def _row(kept: Kept, *, whole: bool) -> dict[str, object]:
    why = [f"{each.kind}: {each.evidence}" for each in kept.verdict.signals]
    row: dict[str, object] = {
        "id": encode_id(kept.message_id), "accepted": kept.received_at, "judgement": kept.verdict.judgement.value,
        "from": kept.reverse_path or "<>", "to": list(kept.recipients), "subject": kept.subject, "why": why,
    }  # fmt: skip
    if not whole:
        row |= {
            "from": shortened(str(row["from"]), 40), "to": shortened(", ".join(kept.recipients), 40),
            "subject": shortened(kept.subject, 40), "why": shortened(why[0] if why else "", 60),
        }  # fmt: skip
    return row


@command.command("show")
@click.argument("message")
@org_option
@command_options
async def show(cli: Cli, message: str, org: str | None) -> None:
    """Look at MESSAGE without harm: the verdict with its evidence, header fields, text, and the names of its files.

    It stands in the audit.
    """
    async with cli.services() as services:
        organisation = await services.organisation(org)
        number, quarantine = parse_id(message), _quarantine(cli, services)
        found = await quarantine.get(organisation.id, number)
        view = await quarantine.look(organisation.id, number, BlobReader(services.database, services.keys))
        if found is None or view is None:
            raise Failure(f"nothing of message {message} is in quarantine: `everpost quarantine list` shows what is")
        whole: dict[str, object] = _row(found.kept, whole=True) | {
            "fields": [list(each) for each in view.fields], "text": view.text, "complete": view.complete,
            "files": [{"name": each.name, "type": each.type, "size": each.size} for each in view.files],
            "asked": [each.recipient for each in found.recipients if each.asked_at],
        }  # fmt: skip
        cli.output(whole, None if cli.json else _as_text(found, view))


def _as_text(found: Details, view: PlainView) -> str:
    lines = [f"{name}: {value}" for name, value in view.fields]
    lines += ["", *view.text.split("\n"), ""]
    lines += [f"file: {each.name} ({each.type}, {each.size} octets)" for each in view.files]
    lines += [f"taken for {found.kept.verdict.judgement} (score {found.kept.verdict.score:g}):"]
    lines += [f"  {each.weight:+g} {each.kind}: {each.evidence}" for each in found.kept.verdict.signals]
    for each in found.recipients:
        asks = f" asks for it: {each.comment}" if each.asked_at else ""
        lines.append(f"for {each.recipient}{asks}")
    return "\n".join(printable(line) for line in lines)


@command.command("release")
@click.argument("message")
@click.argument("recipients", nargs=-1)
@click.option("--reason", default="", help="Stands in the audit.")
@org_option
@command_options
async def release(cli: Cli, message: str, recipients: tuple[str, ...], reason: str, org: str | None) -> None:
    """Let MESSAGE go to all its recipients, or to those named: to the standby mailbox, and on its way.

    Those who asked for it are told by mail.
    """
    async with cli.services() as services:
        organisation = await services.organisation(org)
        with _refusals():
            done = await _quarantine(cli, services).release(
                organisation.id, parse_id(message), recipients or None, reason=reason
            )
        lines = [f"released: {each.recipient}" + (f" ({each.remark})" if each.remark else "") for each in done]
        cli.output([{"recipient": each.recipient, "remark": each.remark} for each in done], "\n".join(lines))


@command.command("expire")
@click.argument("message")
@click.argument("recipients", nargs=-1)
@click.option("--reason", default="", help="Stands in the audit.")
@org_option
@command_options
async def expire(cli: Cli, message: str, recipients: tuple[str, ...], reason: str, org: str | None) -> None:
    """Give MESSAGE up before its time, for all its recipients or those named. Its sender is not told."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        with _refusals():
            done = await _quarantine(cli, services).give_up(
                organisation.id, parse_id(message), recipients or None, reason=reason
            )
        cli.output([{"recipient": each} for each in done], "\n".join(f"given up: {each}" for each in done))


@command.command("requests")
@click.option(
    "--limit", default=100, show_default=True, help="Show so many at most.", type=click.IntRange(1, MAX_LISTED)
)
@org_option
@command_options
async def requests(cli: Cli, limit: int, org: str | None) -> None:
    """List who asks for the release of what, the oldest first. `release`, `refuse` and `expire` answer, by mail."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await _quarantine(cli, services).requests(organisation.id, limit)
        cli.output(
            [
                {
                    "id": encode_id(each.message_id), "asked": each.asked_at, "mailbox": each.mailbox,
                    "judgement": each.judgement.value, "from": each.reverse_path or "<>", "subject": each.subject,
                    "comment": each.comment,
                }
                for each in found
            ]
        )  # fmt: skip


@command.command("refuse")
@click.argument("message")
@click.option("--reason", required=True, help="Stands in the audit and in the answer.")
@org_option
@command_options
async def refuse(cli: Cli, message: str, reason: str, org: str | None) -> None:
    """Answer those who ask for the release of MESSAGE: no, and why. It stays in quarantine."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        with _refusals():
            count = await _quarantine(cli, services).refuse(organisation.id, parse_id(message), reason)
        cli.output({"refused": count}, f"refused: {count}")


@command.command("settings")
@click.option("--digest", type=click.Choice([each.value for each in Schedule]), help="When people are told by mail.")
@click.option("--hour", type=click.IntRange(0, 23), help="Hour of the daily digest, in the organisation's zone.")
@click.option("--zone", metavar="NAME", help="Time zone of the organisation, like Europe/Berlin.")
@click.option(
    "--self-release", "released", metavar="LIST",
    help="What people release themselves: suspicious, spam, policy, separated by commas; or none.",
)  # fmt: skip
@org_option
@command_options
async def settings(
    cli: Cli, digest: str | None, hour: int | None, zone: str | None, released: str | None, org: str | None,
) -> None:  # fmt: skip
    """Show what the organisation decides about its quarantine, or change what is given."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        async with services.database.connection() as connection:
            now = await read_settings(connection, organisation.id)
        try:
            wanted = replace(
                now, digest=Schedule(digest) if digest else now.digest,
                digest_hour=now.digest_hour if hour is None else hour, time_zone=zone or now.time_zone,
                self_release=now.self_release if released is None else _judgements(released),
            )  # fmt: skip
            if wanted != now:
                await save_settings(services.database, organisation.id, wanted, cli.actor)
        except SettingsError as error:
            raise Failure(str(error)) from error
        cli.output(
            {
                "self_release": sorted(wanted.self_release), "digest": wanted.digest.value, "hour": wanted.digest_hour,
                "zone": wanted.time_zone,
            }
        )  # fmt: skip


def _judgements(text: str) -> frozenset[Judgement]:
    """Raises `SettingsError`."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        return frozenset() if names == ["none"] else frozenset(map(Judgement, names))
    except ValueError:
        raise SettingsError("name judgements separated by commas, like suspicious,spam; or none") from None


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except QueueRefusal as error:
        raise Failure(f"{error}: `everpost quarantine list` shows what is") from error
