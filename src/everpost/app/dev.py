"""`make dev`: the service in ./build/dev on local ports, with two people, started anew when a source file changes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click

import everpost
from everpost.app.config import Config, load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import DidNotStart, Installation
from everpost.directory.admin import DirectoryAdmin
from everpost.identity.administrators import Administrators
from everpost.identity.login import Identity

SOURCE = Path(everpost.__file__).parent
LOOK_EVERY_S = 0.5
PEOPLE = ("anna@example.org", "ben@example.org")
ADMINISTRATOR = "admin"
PASSWORD = "everpost-dev"  # noqa: S105 (of an installation for developers on loopback)
SUFFIXES = frozenset((".py", ".sql"))


def newest_change(folder: Path) -> float:
    """When a source file below was last written."""
    return max(path.stat().st_mtime for path in folder.rglob("*") if path.suffix in SUFFIXES)


async def _people(config: Config) -> None:
    """On the first day: an organisation whose only home is the standby."""
    async with open_database(config) as database:
        admin = DirectoryAdmin(database, config.load_master_key(), actor="dev")
        if await admin.organisations():
            return
        organisation = await admin.create_organisation("dev", "Developers")
        await admin.create_domain(organisation.id, "example.org")
        for address in PEOPLE:
            mailbox_id = await admin.create_mailbox(organisation.id, address)
            await Identity(database, actor="dev").set_password(organisation.id, mailbox_id, PASSWORD)
        await Administrators(database, actor="dev").create(ADMINISTRATOR, PASSWORD)


async def _serve(folder: Path) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    installation = Installation(
        folder, hostname="mx.example.org", workers=1, mx_port=2525, smarthost_port=2526, web_port=8080,
        metrics_port=9187,
    )  # fmt: skip
    installation.write_configuration()
    config = load_config(installation.config_path)
    config.load_master_key(create=True)
    while not ended.is_set():
        seen = newest_change(SOURCE)
        try:
            await installation.start()
            await _people(config)
            click.echo(f"{installation.url} as {PEOPLE[0]} / {PASSWORD}; SMTP on 127.0.0.1:2525; Ctrl-C ends it")
        except DidNotStart as error:
            click.echo(f"{error}\nwaiting for a change ...", err=True)
        while not ended.is_set() and newest_change(SOURCE) == seen:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOK_EVERY_S)
        click.echo("stopping" if ended.is_set() else "a source file has changed: starting anew")
        await installation.stop()


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/dev"), show_default=True)
def main(folder: Path) -> None:
    """Run until Ctrl-C. The folder keeps what it has; delete it to begin anew."""
    asyncio.run(_serve(folder.resolve()))


if __name__ == "__main__":
    main()
