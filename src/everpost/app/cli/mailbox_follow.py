"""`everpost mailbox follow`: which standby mailboxes follow their primary, and a person's word where one paused."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option
from everpost.intake.follow import Followed
from everpost.store.audit import Event, record
from everpost.store.sql import load

_SQL = load("follow")


@click.command("follow")
@click.argument("address", required=False)
@click.option("--resume", is_flag=True, help="ADDRESS goes on: what is gone from the primary goes here too.")
@click.option("--state", type=click.Choice([each.value for each in Followed]), help="Only those.")
@click.option("--limit", default=1000, show_default=True, help="Show so many at most.", type=click.IntRange(1, 100_000))
@org_option
@command_options
async def command(
    cli: Cli, address: str | None, resume: bool, state: str | None, limit: int, org: str | None
) -> None:  # fmt: skip
    """Show how mailboxes follow their primary: flags, moves and deletions made there are made here.

    One from which much went at once is paused, and keeps everything, until --resume says that it went on purpose.
    """
    async with cli.services() as services:
        if resume:
            if address is None:
                raise Failure("name the mailbox that shall go on: everpost mailbox follow ADDRESS --resume")
            await _resume(cli, services, address)
            return
        organisation = await services.organisation(org) if address is None else (await services.mailbox(address))[0]
        async with services.database.connection() as connection:
            rows = [dict(row) for row in await connection.fetch(_SQL["list"], organisation.id, state, limit)]
    if address is not None:
        rows = [row for row in rows if row["address"].lower() == address.lower()]
    cli.output(rows)


async def _resume(cli: Cli, services: Services, address: str) -> None:
    organisation, found = await services.mailbox(address)
    async with services.database.transaction() as connection:
        done = await connection.execute(_SQL["resume"], organisation.id, found.id)
        if done == "UPDATE 0":
            raise Failure(f"{found.address} is not paused")
        event = Event(cli.actor, "mailbox.follow.resume", found.address, {})
        await record(connection, organisation.id, await services.database.ids.new(), event)
    cli.output({"resumed": found.address}, f"{found.address} follows its primary again")
