"""`everpost quarantine`: what the guard keeps apart, and letting it go."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, Failure, command_options, org_option, shortened
from everpost.app.cli.switches import parse_id
from everpost.continuity.homes import waiting_mailboxes
from everpost.intake.quarantine import MAX_LISTED, Kept, Quarantine
from everpost.queue.operator import QueueRefusal
from everpost.store.ids import encode_id


@click.group()
def command() -> None:
    """The quarantine: messages that the guard keeps apart until somebody lets them go."""


@command.command("list")
@click.option("--mailbox", metavar="ADDRESS", help="Only what is meant for this mailbox.")
@click.option(
    "--limit", default=100, show_default=True, help="Show so many at most.", type=click.IntRange(1, MAX_LISTED)
)
@org_option
@command_options
async def list_all(cli: Cli, mailbox: str | None, limit: int, org: str | None) -> None:
    """List what is kept apart, the latest first, with what speaks against it most."""
    async with cli.services() as services:
        mailbox_id = None
        if mailbox is None:
            organisation = await services.organisation(org)
        else:
            organisation, found = await services.mailbox(mailbox, org)
            mailbox_id = found.id
        kept = await Quarantine(services.database, actor=cli.actor, homes=waiting_mailboxes).list(
            organisation.id, mailbox_id, limit
        )
        cli.output([_row(each, whole=cli.json) for each in kept])


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


@command.command("release")
@click.argument("message")
@click.argument("recipient", required=False)
@click.option("--reason", default="", help="Stands in the audit.")
@org_option
@command_options
async def release(cli: Cli, message: str, recipient: str | None, reason: str, org: str | None) -> None:
    """Let MESSAGE go to all its recipients, or to one RECIPIENT: to the standby mailbox, and on its way."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        quarantine = Quarantine(services.database, actor=cli.actor, homes=waiting_mailboxes)
        try:
            done = await quarantine.release(organisation.id, parse_id(message), recipient, reason=reason)
        except QueueRefusal as error:
            raise Failure(f"{error}: `everpost quarantine list` shows what is") from error
        lines = [f"released: {each.recipient}" + (f" ({each.remark})" if each.remark else "") for each in done]
        cli.output([{"recipient": each.recipient, "remark": each.remark} for each in done], "\n".join(lines))
