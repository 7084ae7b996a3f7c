"""`everpost trust`: the trust in a primary, by a person."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, Failure, command_options, org_option
from everpost.app.cli.switches import continuity_of, refusals
from everpost.continuity.activation import CleanBill
from everpost.continuity.trust import TrustEvent


@click.group()
def command() -> None:
    """Trust: isolate a primary that belongs to somebody else, and take it back."""


@command.command("isolate")
@click.argument("primary")
@click.option("--reason", required=True, help="Why; stands in the audit.")
@org_option
@command_options
async def isolate(cli: Cli, primary: str, reason: str, org: str | None) -> None:
    """Cut PRIMARY off: nothing goes to it, nothing comes from it, its mailboxes live in the standby."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await services.admin.primary(organisation.id, primary)
        with refusals():
            seen = await continuity_of(services).isolate(organisation.id, found.id, cli.actor, reason)
        if not seen:
            raise Failure(f"{primary} is isolated, but a worker has not confirmed it: look at `everpost status`")
        cli.output({"isolated": primary}, f"{primary} is isolated; every worker has confirmed it")


@command.command("doubt")
@click.argument("primary")
@click.option("--reason", required=True, help="Why; stands in the audit.")
@org_option
@command_options
async def doubt(cli: Cli, primary: str, reason: str, org: str | None) -> None:
    """Say that PRIMARY looks hijacked: it is watched more strictly and does not come back by itself."""
    await _tell(cli, primary, org, TrustEvent.DOUBTED, reason)


@command.command("clear")
@click.argument("primary")
@click.option("--reason", required=True, help="Why; stands in the audit.")
@org_option
@command_options
async def clear(cli: Cli, primary: str, reason: str, org: str | None) -> None:
    """Say that a doubt about PRIMARY was unfounded."""
    await _tell(cli, primary, org, TrustEvent.CLEARED, reason)


async def _tell(cli: Cli, primary: str, org: str | None, event: TrustEvent, reason: str) -> None:
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await services.admin.primary(organisation.id, primary)
        with refusals():
            handled = await continuity_of(services).handle(
                organisation.id, found.id, event, cli.actor, "by hand", reason
            )
        cli.output({"primary": primary, "state": handled.state}, f"{primary} is {handled.state}")


@command.command("clean-bill")
@click.argument("primary")
@click.option("--rebuilt", is_flag=True, help="Rebuilt from known-good media, or proven clean.")
@click.option("--credentials-rotated", is_flag=True, help="Of administrators, services, people and connectors.")
@click.option("--way-in-closed", is_flag=True, help="How the attacker came in is known and shut.")
@click.option("--forwarding-checked", is_flag=True, help="No rules, forwards, delegates or applications are left.")
@click.option("--evidence", default="", help="Where the report stands, who signed it.")
@org_option
@command_options
async def clean_bill(
    cli: Cli,
    primary: str,
    rebuilt: bool,
    credentials_rotated: bool,
    way_in_closed: bool,
    forwarding_checked: bool,
    evidence: str,
    org: str | None,
) -> None:
    """The only way out of isolation: confirm everything. Then `everpost deactivate` brings PRIMARY back."""
    checklist = CleanBill(rebuilt, credentials_rotated, way_in_closed, forwarding_checked, evidence)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await services.admin.primary(organisation.id, primary)
        with refusals():
            state = await continuity_of(services).clean_bill(organisation.id, found.id, cli.actor, checklist)
        cli.output({"primary": primary, "state": state}, f"{primary} counts as {state} until its failback is through")
