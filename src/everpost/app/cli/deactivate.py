"""`everpost deactivate`: back to the primary."""

from __future__ import annotations

from typing import Any

import click

from everpost.app.cli.context import Cli, command_options, org_option
from everpost.app.cli.switches import continuity_of, find_scope, refusals, scope_options
from everpost.continuity.failback.begin import WAVE_SIZE
from everpost.store.ids import encode_id


@click.command()
@scope_options
@click.option("--reason", default="by hand", help="Why; stands in the audit.")
@click.option("--wave-size", type=click.IntRange(1, 100_000), default=WAVE_SIZE, help="So many mailboxes at a time.")
@click.option("--although-unreachable", is_flag=True, help="Begin although the last probe failed.")
@org_option
@command_options
async def command(
    cli: Cli, reason: str, wave_size: int, although_unreachable: bool, org: str | None, **given: Any
) -> None:
    """Begin the failback of an activation. It ends at once where nothing has to be brought back.

    `everpost failback preview` says before what would be done.
    """
    async with cli.services() as services:
        _, scope = await find_scope(services, org, given)
        with refusals():
            done = await continuity_of(services).deactivate(
                scope, cli.actor, reason, wave_size=wave_size, although_unreachable=although_unreachable
            )
        shown = encode_id(done.failback_id) if done.failback_id is not None else None
        text = "ended: there was nothing to bring back" if done.ended else f"failback {shown} has begun"
        cli.output({"ended": done.ended, "failback": shown}, text)
