"""`everpost admin`: who may use the console and the API."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, command_options, read_secret
from everpost.identity.administrators import INSTALLATION, MAX_TOKEN_DAYS, Administrators

TOKEN_DAYS = 90


@click.group()
def command() -> None:
    """Administrators: people who log in to the console, and the tokens of their programs."""


@command.command("create")
@click.argument("name")
@click.option("--org", metavar="NAME", help="Only this organisation. Default: the whole installation.")
@click.option("--password-file", metavar="FILE", help="Its first line is the password; - for standard input.")
@command_options
async def create(cli: Cli, name: str, org: str | None, password_file: str | None) -> None:
    """Make an administrator called NAME. An administrator of one organisation never sees another."""
    password = read_secret(password_file, "Password")
    async with cli.services() as services:
        organisation_id = (await services.organisation(org)).id if org else INSTALLATION
        await Administrators(services.database, actor=cli.actor).create(name, password, organisation_id)
        shown = f"{name} may administer {org or 'the whole installation'}"
        cli.output({"name": name, "organisation": org}, shown)


@command.command("password")
@click.argument("name")
@click.option("--password-file", metavar="FILE", help="Its first line is the password; - for standard input.")
@command_options
async def password(cli: Cli, name: str, password_file: str | None) -> None:
    """Set the password of NAME anew. Its browsers are logged out; its tokens stay."""
    secret = read_secret(password_file, "Password")
    async with cli.services() as services:
        await Administrators(services.database, actor=cli.actor).set_password(name, secret)
        cli.output({"name": name}, f"{name} has a new password")


@command.command("list")
@command_options
async def list_all(cli: Cli) -> None:
    """List the administrators, with how many sessions and tokens each has."""
    async with cli.services() as services:
        cli.output(await Administrators(services.database).records())


@command.command("remove")
@click.argument("name")
@command_options
async def remove(cli: Cli, name: str) -> None:
    """Remove NAME, with all sessions and tokens."""
    async with cli.services() as services:
        await Administrators(services.database, actor=cli.actor).remove(name)
        cli.output({"removed": name}, f"{name} is no administrator any more")


@command.command("token")
@click.argument("name")
@click.option(
    "--days", type=click.IntRange(1, MAX_TOKEN_DAYS), default=TOKEN_DAYS, show_default=True, help="It ends after."
)
@command_options
async def token(cli: Cli, name: str, days: int) -> None:
    """Make a token for a program of NAME (`Authorization: Bearer …`). It is shown this once."""
    async with cli.services() as services:
        text = await Administrators(services.database, actor=cli.actor).create_token(name, days)
        cli.output({"name": name, "token": text}, text)


@command.command("revoke")
@click.argument("name")
@command_options
async def revoke(cli: Cli, name: str) -> None:
    """Make all tokens of NAME worthless, and log its browsers out."""
    async with cli.services() as services:
        count = await Administrators(services.database, actor=cli.actor).revoke(name)
        cli.output({"name": name, "tokens": count}, f"{count} tokens of {name} are worthless now")
