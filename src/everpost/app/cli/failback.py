"""`everpost failback`: what comes back, and how far it is."""

from __future__ import annotations

from typing import Any

import click

from everpost.app.cli.context import Cli, Failure, command_options, org_option
from everpost.app.cli.switches import continuity_of, find_scope, parse_id, refusals, scope_options
from everpost.continuity.failback.ledger import read_mailboxes, read_run
from everpost.continuity.failback.model import MailboxState
from everpost.continuity.failback.preview import preview as make_preview
from everpost.continuity.failback.report import as_html, as_text, is_genuine
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("failback")
_CONTINUITY = load("continuity")


@click.group()
def command() -> None:
    """Failback: bringing back to the primary what happened in the standby."""


@command.command("preview")
@scope_options
@org_option
@command_options
async def preview(cli: Cli, org: str | None, **given: Any) -> None:
    """The dry run: say what a failback would do, and do nothing."""
    async with cli.services() as services:
        organisation, scope = await find_scope(services, org, given)
        async with services.database.connection() as connection:
            row = await connection.fetchrow(_CONTINUITY["activation_of_scope"], organisation.id, scope.kind, scope.id)
        if row is None:
            raise Failure("it is not activated")
        with refusals():
            found = await make_preview(services.database, services.keys, organisation.id, row["id"])
        if cli.json:
            cli.output(found)
            return
        cli.output([box for box in found.mailboxes if not box.is_empty])
        for text in (*found.warnings, *(f"cannot begin: {obstacle}" for obstacle in found.obstacles)):
            click.echo(text)


@command.command("list")
@org_option
@command_options
async def list_all(cli: Cli, org: str | None) -> None:
    """List the failbacks of an organisation, the newest first."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        async with services.database.connection() as connection:
            rows = await connection.fetch(_SQL["runs"], organisation.id)
        shown = [{**row, "id": encode_id(row["id"]), "activation_id": encode_id(row["activation_id"])} for row in rows]
        for row in shown:
            row["scope_id"] = encode_id(row["scope_id"])
        cli.output(shown)


@command.command("show")
@click.argument("failback")
@org_option
@command_options
async def show(cli: Cli, failback: str, org: str | None) -> None:
    """Show how far each mailbox of FAILBACK is."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        with refusals():
            run = await read_run(services.database, organisation.id, parse_id(failback))
        async with services.database.connection() as connection:
            mailboxes = await read_mailboxes(connection, organisation.id, run.id)
        cli.output(
            [
                {
                    "mailbox": box.address or box.name, "wave": box.wave, "state": box.state, "problem": box.problem,
                    "returned_at": box.returned_at,
                }
                for box in mailboxes
            ]
        )  # fmt: skip


@command.command("report")
@click.argument("failback")
@click.option("--html", "as_page", is_flag=True, help="A page for a browser.")
@org_option
@command_options
async def report(cli: Cli, failback: str, as_page: bool, org: str | None) -> None:
    """Print the reconciliation of a finished FAILBACK, after checking its signature."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        with refusals():
            run = await read_run(services.database, organisation.id, parse_id(failback))
        if run.report is None or run.signature is None:
            raise Failure(f"it is not finished: it is {run.state}")
        if not is_genuine(run.report, run.signature, organisation.signing_public):
            raise Failure("the report was changed: its signature does not fit")
        text = as_html(run.report, run.signature) if as_page else as_text(run.report)
        cli.output({"report": run.report, "signature": run.signature.hex()}, text.rstrip("\n"))


@command.command("pause")
@click.argument("failback")
@click.option("--reason", default="by hand", help="Why; stands in the audit.")
@org_option
@command_options
async def pause(cli: Cli, failback: str, reason: str, org: str | None) -> None:
    """Pause FAILBACK; `continue` lets it go on."""
    await _set_paused(cli, failback, org, reason, paused=True)


@command.command("continue")
@click.argument("failback")
@org_option
@command_options
async def go_on(cli: Cli, failback: str, org: str | None) -> None:
    """Let a paused FAILBACK go on."""
    await _set_paused(cli, failback, org, "", paused=False)


async def _set_paused(cli: Cli, failback: str, org: str | None, reason: str, *, paused: bool) -> None:
    async with cli.services() as services:
        organisation = await services.organisation(org)
        done = await continuity_of(services).pause_failback(
            organisation.id, parse_id(failback), cli.actor, paused=paused, reason=reason
        )
        if not done:
            raise Failure("there is no such failback under way")
        cli.output({"paused": paused}, "paused" if paused else "goes on")


@command.command("stop")
@click.argument("failback")
@click.option("--reason", required=True, help="Why; stands in the audit.")
@org_option
@command_options
async def stop(cli: Cli, failback: str, reason: str, org: str | None) -> None:
    """End FAILBACK before it is through. What was given back stays; the rest stays with the standby."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        with refusals():
            done = await continuity_of(services).stop_failback(organisation.id, parse_id(failback), cli.actor, reason)
        if not done:
            raise Failure("there is no such failback under way")
        cli.output({"stopped": True}, "stopped")


@command.command("give-up")
@click.argument("failback")
@click.argument("mailbox")
@click.confirmation_option("--yes", prompt="Return it without what its owner did in the standby?")
@org_option
@command_options
async def give_up(cli: Cli, failback: str, mailbox: str, org: str | None) -> None:
    """Return MAILBOX with its mail only, where the rest cannot be replayed. The report lists what was not."""
    async with cli.services() as services:
        organisation, found = await services.mailbox(mailbox, org)
        async with services.database.connection() as connection:
            answer = await connection.execute(
                _SQL["set_mailbox_state"], organisation.id, parse_id(failback), found.id, MailboxState.GIVEN_UP, ""
            )
        if answer.endswith(" 0"):
            raise Failure("the failback has no such mailbox to return")
        cli.output({"given_up": found.address}, f"{found.address} returns without its changes")
