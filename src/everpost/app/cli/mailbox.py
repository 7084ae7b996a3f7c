"""`everpost mailbox`: people's and shared mailboxes."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import click

from everpost.app.cli import mailbox_filters, mailbox_follow, mailbox_import
from everpost.app.cli.context import Cli, Failure, command_options, org_option, read_secret
from everpost.app.cli.sync import csv_options, run_csv
from everpost.directory.model import Rights
from everpost.directory.sharing import Sharing


@click.group()
def command() -> None:
    """Mailboxes, their addresses, passwords and tokens. Any address of a mailbox names it."""


@command.command("create")
@click.argument("address")
@click.option("--name", default="", help="Name for people.")
@click.option("--shared", is_flag=True, help="Not a person's.")
@click.option("--alias", "aliases", multiple=True, metavar="ADDRESS", help="One more address; may be repeated.")
@click.option("--alternate", metavar="ADDRESS", help="Address elsewhere that takes notices on the day.")
@click.option("--password-file", metavar="FILE", help="Set the password in the file's first line (-: standard input).")
@command_options
async def create(
    cli: Cli, address: str, name: str, shared: bool, aliases: tuple[str, ...], alternate: str | None,
    password_file: str | None,
) -> None:  # fmt: skip
    """Create a mailbox with the default address ADDRESS."""
    password = read_secret(password_file, "Password") if password_file else None
    async with cli.services() as services:
        organisation = await services.organisation_of(address)
        kind: Literal["person", "shared"] = "shared" if shared else "person"
        mailbox_id = await services.admin.create_mailbox(
            organisation.id, address, name, kind=kind, alternate=alternate, aliases=aliases
        )
        if password is not None:
            await services.identity.set_password(organisation.id, mailbox_id, password)
        cli.output(await services.admin.mailbox(address, organisation.id), f"created {address}")


@command.command("list")
@click.option("--search", help="Only those whose name or address contains this.")
@click.option("--limit", default=1000, show_default=True, help="Show so many at most.", type=click.IntRange(1, 100_000))
@org_option
@command_options
async def list_all(cli: Cli, search: str | None, limit: int, org: str | None) -> None:
    """List the mailboxes of an organisation."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await services.admin.mailboxes(organisation.id, search, limit)
        cli.output(
            [
                {"address": each.address, "name": each.name, "kind": each.kind, "status": each.status,
                 "source": each.source, "alternate": each.alternate, "id": each.id}
                for each in found
            ]
        )  # fmt: skip


@command.command("show")
@click.argument("address")
@command_options
async def show(cli: Cli, address: str) -> None:
    """Show a mailbox."""
    async with cli.services() as services:
        _, found = await services.mailbox(address)
        cli.output(found)


@command.command("alias")
@click.argument("address")
@click.argument("alias")
@click.option("--remove", is_flag=True, help="Take the alias away instead.")
@click.option("--default", is_flag=True, help="Make it the default address; the old one stays as an alias.")
@command_options
async def alias(cli: Cli, address: str, alias: str, remove: bool, default: bool) -> None:
    """Give the mailbox ADDRESS one more address ALIAS."""
    async with cli.services() as services:
        organisation, found = await services.mailbox(address)
        if remove:
            owner = await services.admin.mailbox(alias, organisation.id)
            if owner.id != found.id:
                raise Failure(f"{alias} is not an address of {found.address}")
            await services.admin.remove_alias(organisation.id, alias)
        elif default:
            await services.admin.set_default_address(organisation.id, address, alias)
        else:
            await services.admin.add_alias(organisation.id, address, alias)
        cli.output(await services.admin.mailbox(alias if default else found.address, organisation.id))


@command.command("rename")
@click.argument("address")
@click.argument("name")
@command_options
async def rename(cli: Cli, address: str, name: str) -> None:
    """Give the mailbox ADDRESS another NAME for people."""
    async with cli.services() as services:
        organisation, _ = await services.mailbox(address)
        await services.admin.rename_mailbox(organisation.id, address, name)
        cli.output(await services.admin.mailbox(address, organisation.id))


@command.command("alternate")
@click.argument("address")
@click.argument("alternate", default="")
@command_options
async def alternate(cli: Cli, address: str, alternate: str) -> None:
    """Set where notices for ADDRESS go on the day; without ALTERNATE nowhere."""
    async with cli.services() as services:
        organisation, _ = await services.mailbox(address)
        await services.admin.set_alternate(organisation.id, address, alternate or None)
        cli.output(await services.admin.mailbox(address, organisation.id))


@command.command("disable")
@click.argument("address")
@command_options
async def disable(cli: Cli, address: str) -> None:
    """Take no more mail for ADDRESS and let nobody in; what the mailbox holds stays."""
    async with cli.services() as services:
        organisation, _ = await services.mailbox(address)
        await services.admin.disable(organisation.id, address)
        cli.output(await services.admin.mailbox(address, organisation.id), f"disabled {address}")


@command.command("enable")
@click.argument("address")
@command_options
async def enable(cli: Cli, address: str) -> None:
    """Undo `disable`."""
    async with cli.services() as services:
        organisation, _ = await services.mailbox(address)
        await services.admin.enable(organisation.id, address)
        cli.output(await services.admin.mailbox(address, organisation.id), f"enabled {address}")


@command.command("password")
@click.argument("address")
@click.option("--password-file", metavar="FILE", help="Read it from the file's first line (-: standard input).")
@click.option("--generate", is_flag=True, help="Make one up and print it.")
@click.option("--remove", is_flag=True, help="Take the password away.")
@command_options
async def password(cli: Cli, address: str, password_file: str | None, generate: bool, remove: bool) -> None:
    """Set the password of ADDRESS for the standby (asked for, from a file, or made up)."""
    text = "" if remove else secrets.token_urlsafe(15) if generate else read_secret(password_file, "New password")
    async with cli.services() as services:
        organisation, found = await services.mailbox(address)
        if remove:
            await services.identity.remove_password(organisation.id, found.id)
            cli.output({"address": found.address, "password": None}, f"{found.address} has no password any more")
            return
        await services.identity.set_password(organisation.id, found.id, text)
        shown = {"address": found.address} | ({"password": text} if generate else {})
        cli.output(shown, text if generate else f"password of {found.address} set")


@command.command("token")
@click.argument("address")
@click.option("--label", default="", help="What it is for.")
@click.option("--days", type=click.IntRange(1, 3650), help="Days after which it ends. Default: never.")
@click.option("--list", "listing", is_flag=True, help="List the tokens instead.")
@click.option("--remove", type=int, metavar="ID", help="Make a token worthless instead.")
@command_options
async def token(cli: Cli, address: str, label: str, days: int | None, listing: bool, remove: int | None) -> None:
    """Make a token that logs in to ADDRESS, and print it: this once, never again."""
    async with cli.services() as services:
        organisation, found = await services.mailbox(address)
        if listing:
            cli.output(await services.identity.tokens(organisation.id, found.id))
        elif remove is not None:
            if not await services.identity.remove_token(organisation.id, found.id, remove):
                raise Failure(f"{found.address} has no token {remove}: see `everpost mailbox token {address} --list`")
            cli.output({"removed": remove}, f"removed token {remove}")
        else:
            expires = datetime.now(UTC) + timedelta(days=days) if days else None
            text = await services.identity.create_token(organisation.id, found.id, label, expires)
            cli.output({"address": found.address, "token": text, "expires_at": expires}, text)


@command.command("share")
@click.argument("address")
@click.argument("delegate", required=False)
@click.option(
    "--rights", type=click.Choice([rights.value for rights in Rights]), default="write", show_default=True,
    help="read; write: change what is in it too; send: write as ADDRESS too.",
)  # fmt: skip
@click.option("--remove", is_flag=True, help="Take all rights away instead.")
@command_options
async def share(cli: Cli, address: str, delegate: str | None, rights: str, remove: bool) -> None:
    """Let DELEGATE use the mailbox ADDRESS in the standby; without DELEGATE show who may.

    It is one more account in their webmail. What they do there is on record under their own name.
    """
    if delegate is None and remove:
        raise Failure("say whose rights to take away: everpost mailbox share ADDRESS DELEGATE --remove")
    async with cli.services() as services:
        organisation = await services.organisation_of(address)
        sharing = Sharing(services.database, actor=cli.actor)
        if delegate is not None and remove:
            await sharing.unshare(organisation.id, address, delegate)
        elif delegate is not None:
            await sharing.share(organisation.id, address, delegate, Rights(rights))
        found = await sharing.delegates(organisation.id, address)
        cli.output(found, None if found else f"nobody else may use {address}")


@command.command("import-csv")
@csv_options
@org_option
@command_options
async def import_csv(cli: Cli, file: Path, sync: bool, dry_run: bool, max_disabled: int, org: str | None) -> None:
    """Create and rename mailboxes as FILE says (the same as `everpost sync csv`)."""
    await run_csv(cli, file, org, complete=sync, dry_run=dry_run, max_disabled=max_disabled)


command.add_command(mailbox_import.command)
command.add_command(mailbox_follow.command)
command.add_command(mailbox_filters.command)
