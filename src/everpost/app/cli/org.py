"""`everpost org`: organisations."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, command_options


@click.group()
def command() -> None:
    """Organisations (tenants), each with keys, domains and people of its own."""


@command.command("create")
@click.argument("name")
@click.option("--display-name", default="", help="Name for people.")
@command_options
async def create(cli: Cli, name: str, display_name: str) -> None:
    """Create the organisation NAME (short, lower case)."""
    async with cli.services() as services:
        made = await services.admin.create_organisation(name, display_name)
        cli.output(shown(made.name, made.display_name, made.id, made.signing_public), f"created {made.name}")


@command.command("list")
@command_options
async def list_all(cli: Cli) -> None:
    """List all organisations."""
    async with cli.services() as services:
        found = await services.admin.organisations()
        cli.output([{"name": each.name, "display_name": each.display_name, "id": each.id} for each in found])


@command.command("show")
@click.argument("name", required=False)
@command_options
async def show(cli: Cli, name: str | None) -> None:
    """Show an organisation with what is in it; NAME may be left out where there is only one."""
    async with cli.services() as services:
        found = await services.organisation(name)
        admin = services.admin
        cli.output(
            {
                **shown(found.name, found.display_name, found.id, found.signing_public),
                "domains": [each.name for each in await admin.domains(found.id)],
                "primaries": [f"{each.name}: {each.trust_state}" for each in await admin.primaries(found.id)],
                "mailboxes": sum(each.mailboxes for each in await admin.domains(found.id)),
                "groups": len(await admin.groups(found.id)),
            }
        )


def shown(name: str, display_name: str, organisation_id: int, public: bytes) -> dict[str, object]:
    """An organisation for output; the key that verifies its reports as hexadecimal digits."""
    return {"name": name, "display_name": display_name, "id": organisation_id, "signing_public": public.hex()}
