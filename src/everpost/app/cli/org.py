"""`everpost org`: organisations."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, command_options, org_option
from everpost.directory.model import Forwarding


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
                "forwarding": found.forwarding,
                "domains": [each.name for each in await admin.domains(found.id)],
                "primaries": [f"{each.name}: {each.trust_state}" for each in await admin.primaries(found.id)],
                "mailboxes": sum(each.mailboxes for each in await admin.domains(found.id)),
                "groups": len(await admin.groups(found.id)),
            }
        )


@command.command("forwarding")
@click.argument("allowed", type=click.Choice([each.value for each in Forwarding]))
@org_option
@command_options
async def forwarding(cli: Cli, allowed: str, org: str | None) -> None:
    """Set how far people's filters may forward mail: to nobody, inside the organisation (default), or anywhere.

    Forwarding to the outside is what an intruder sets up first. Existing filters obey from the next message on.
    """
    async with cli.services() as services:
        found = await services.organisation(org)
        await services.admin.set_forwarding(found.id, Forwarding(allowed))
        cli.output({"name": found.name, "forwarding": allowed}, f"{found.name}: filters may forward: {allowed}")


def shown(name: str, display_name: str, organisation_id: int, public: bytes) -> dict[str, object]:
    """An organisation for output; the key that verifies its reports as hexadecimal digits."""
    return {"name": name, "display_name": display_name, "id": organisation_id, "signing_public": public.hex()}
