"""`everpost group`: distribution lists, and scopes for switches."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, command_options, org_option


@click.group()
def command() -> None:
    """Groups: distribution lists, or sets of mailboxes to activate together."""


@command.command("create")
@click.argument("name")
@click.option("--address", help="Address by which it is written to.")
@org_option
@command_options
async def create(cli: Cli, name: str, address: str | None, org: str | None) -> None:
    """Create the group NAME."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        await services.admin.create_group(organisation.id, name, address)
        cli.output(await services.admin.group(organisation.id, name), f"created {name}")


@command.command("list")
@org_option
@command_options
async def list_all(cli: Cli, org: str | None) -> None:
    """List the groups of an organisation."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        cli.output(await services.admin.groups(organisation.id))


@command.command("show")
@click.argument("group")
@org_option
@command_options
async def show(cli: Cli, group: str, org: str | None) -> None:
    """List the members of GROUP (a name or an address)."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await services.admin.group(organisation.id, group)
        cli.output(await services.admin.members(organisation.id, found.id))


@command.command("add")
@click.argument("group")
@click.argument("members", nargs=-1, required=True)
@org_option
@command_options
async def add(cli: Cli, group: str, members: tuple[str, ...], org: str | None) -> None:
    """Add MEMBERS to GROUP: mailboxes, other groups, or addresses elsewhere."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        for member in members:
            await services.admin.add_member(organisation.id, group, member)
        cli.output(await services.admin.group(organisation.id, group), f"added {', '.join(members)}")


@command.command("remove")
@click.argument("group")
@click.argument("members", nargs=-1, required=True)
@org_option
@command_options
async def remove(cli: Cli, group: str, members: tuple[str, ...], org: str | None) -> None:
    """Take MEMBERS out of GROUP."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        for member in members:
            await services.admin.remove_member(organisation.id, group, member)
        cli.output(await services.admin.group(organisation.id, group), f"removed {', '.join(members)}")


@command.command("address")
@click.argument("group")
@click.argument("address")
@org_option
@command_options
async def address(cli: Cli, group: str, address: str, org: str | None) -> None:
    """Give GROUP one more ADDRESS."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        await services.admin.add_group_address(organisation.id, group, address)
        cli.output(await services.admin.group(organisation.id, group), f"{address} reaches {group}")


@command.command("delete")
@click.argument("group")
@org_option
@command_options
async def delete(cli: Cli, group: str, org: str | None) -> None:
    """Remove GROUP and its addresses; the members' mailboxes stay."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        await services.admin.delete_group(organisation.id, group)
        cli.output({"deleted": group}, f"deleted {group}")
