"""`everpost audit`: who did what, and the proof that nobody changed it afterwards."""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, command_options, org_option
from everpost.store.audit import chain, verify_chain
from everpost.store.sql import load

_SQL = load("store")


@click.group()
def command() -> None:
    """The audit: a hash-chained record of every change."""


@command.command("list")
@click.option("--action", metavar="PREFIX", help="Only actions that begin with this, like `mailbox.`.")
@click.option("--limit", default=50, show_default=True, help="Show so many at most.", type=click.IntRange(1, 10_000))
@org_option
@command_options
async def list_all(cli: Cli, action: str | None, limit: int, org: str | None) -> None:
    """List the latest events, newest first."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        prefix = None if action is None else action.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        async with services.database.connection() as connection:
            rows = await connection.fetch(_SQL["audit_recent"], organisation.id, prefix, limit)
        cli.output([{name: row[name] for name in ("at", "actor", "action", "subject", "detail", "id")} for row in rows])


@command.command("verify")
@org_option
@command_options
async def verify(cli: Cli, org: str | None) -> None:
    """Walk the chain from its start; the exit status is 1 where something was changed, taken out or put in."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        while await chain(services.database):
            pass
        verdict = await verify_chain(services.database, organisation.id)
        broken = verdict.broken_at is not None
        told = (
            f"broken at link {verdict.broken_at}" if broken else f"intact: {verdict.links} links, head {verdict.head}"
        )
        cli.output({"organisation": organisation.name, "intact": not broken, "verdict": verdict}, told)
        if broken:
            raise SystemExit(1)
