"""`everpost activate`: to the standby."""

from __future__ import annotations

from typing import Any

import click

from everpost.app.cli.context import Cli, command_options, org_option
from everpost.app.cli.switches import continuity_of, find_scope, parse_time, refusals, scope_options
from everpost.store.ids import encode_id


@click.command()
@scope_options
@click.option("--reason", required=True, help="Why; stands in the audit and in what people are told.")
@click.option("--no-access", is_flag=True, help="Do not open the standby mailboxes to their people.")
@click.option("--from", "starts", metavar="TIME", help="Not now but then, like 2025-03-01T22:00.")
@click.option("--until", "ends", metavar="TIME", help="Start the failback by itself then.")
@org_option
@command_options
async def command(
    cli: Cli, reason: str, no_access: bool, starts: str | None, ends: str | None, org: str | None, **given: Any
) -> None:
    """Send mail to the standby mailboxes, from the next message on."""
    async with cli.services() as services:
        _, scope = await find_scope(services, org, given)
        with refusals():
            activation_id = await continuity_of(services).activate(
                scope, cli.actor, reason, opens_access=not no_access,
                starts_at=parse_time(starts), ends_at=parse_time(ends),
            )  # fmt: skip
        shown = encode_id(activation_id)
        text = f"activation {shown} is scheduled for {starts}" if starts else f"activated ({shown})"
        cli.output({"activation": shown, "scope": scope.kind, "scheduled": bool(starts)}, text)
