"""`everpost domain`: mail domains."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, Services, command_options, org_option
from everpost.app.cli.domain_dkim import dkim
from everpost.directory.admin import KEEP, Keep


@click.group()
def command() -> None:
    """Mail domains of an organisation."""


async def _primary_id(services: Services, organisation_id: int, name: str | None) -> int | None:
    return (await services.admin.primary(organisation_id, name)).id if name else None


command.add_command(dkim)


@command.command("create")
@click.argument("name")
@click.option("--primary", help="The primary that has the domain's mailboxes; without one the standby is their home.")
@click.option("--journal", metavar="LOCAL", help="Local part that takes the primary's journal reports.")
@org_option
@command_options
async def create(cli: Cli, name: str, primary: str | None, journal: str | None, org: str | None) -> None:
    """Create the domain NAME."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        primary_id = await _primary_id(services, organisation.id, primary)
        await services.admin.create_domain(organisation.id, name, primary_id=primary_id, journal_local=journal)
        cli.output(await services.admin.domain(organisation.id, name), f"created {name}")


@command.command("list")
@org_option
@command_options
async def list_all(cli: Cli, org: str | None) -> None:
    """List the domains of an organisation."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        cli.output(await services.admin.domains(organisation.id))


@command.command("set")
@click.argument("name")
@click.option("--primary", help="Another primary; an empty one for none.")
@click.option("--journal", metavar="LOCAL", help="Another local part for journal reports; an empty one for none.")
@click.option("--catch-all", metavar="ADDRESS", help="Mailbox for unknown addresses; an empty one refuses them.")
@org_option
@command_options
async def change(
    cli: Cli, name: str, primary: str | None, journal: str | None, catch_all: str | None, org: str | None
) -> None:
    """Change the domain NAME; what is not given stays."""
    async with cli.services() as services:
        organisation = await services.organisation_of(f"x@{name}", org)
        if primary is not None or journal is not None:
            primary_id = KEEP if primary is None else await _primary_id(services, organisation.id, primary)
            journal_local: str | Keep | None = KEEP if journal is None else journal or None
            await services.admin.set_domain(organisation.id, name, primary_id=primary_id, journal_local=journal_local)
        if catch_all is not None:
            await services.admin.set_catch_all(organisation.id, name, catch_all or None)
        cli.output(await services.admin.domain(organisation.id, name))
