"""`everpost mailbox filters`: what a person's filters do, and an administrator's word where one must not."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from everpost.app.cli.context import Cli, Failure, Services, command_options
from everpost.standby.filing import filters_of, save_filter
from everpost.standby.filters import Condition, Filter
from everpost.standby.values import Account
from everpost.standby.work import Work
from everpost.store.audit import Event, record
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("standby")


@click.command("filters")
@click.argument("address")
@click.option("--off", metavar="NAME", help="Switch the filters of this name off. The person sees it, and may undo it.")
@command_options
async def command(cli: Cli, address: str, off: str | None) -> None:
    """Show the filters of the mailbox ADDRESS, in the order in which they act."""
    async with cli.services() as services:
        organisation, found = await services.mailbox(address)
        account = Account(organisation.id, found.id)
        if off is not None:
            await _switch_off(cli, services, account, found.address or address, off)
        async with services.database.connection() as connection:
            filters = await filters_of(connection, account)
            cli.output([await _line(connection, account, each) for each in filters])


async def _switch_off(cli: Cli, services: Services, account: Account, address: str, name: str) -> None:
    key = (account.organisation_id, account.mailbox_id)
    async with services.database.transaction() as connection:
        modseq = await connection.fetchval(_SQL["lock_mailbox"], *key)
        work = Work(connection, account, services.keys, cli.actor, modseq)
        named = [each for each in await filters_of(connection, account) if each.name == name and each.enabled]
        if not named:
            raise Failure(f"{address} has no filter {name!r} that is on: see `everpost mailbox filters {address}`")
        for each in named:
            await save_filter(work, dataclasses.replace(each, enabled=False), "updated")
            event = Event(cli.actor, "filter.off", address, {"filter": each.name, "forward_to": each.forward_to})
            await record(connection, account.organisation_id, await services.database.ids.new(), event)
        await work.flush()


async def _line(connection: Connection, account: Account, each: Filter) -> dict[str, Any]:
    names = {row["id"]: row["name"] for row in await connection.fetch(
        _SQL["folders"], account.organisation_id, account.mailbox_id
    )}  # fmt: skip
    folder = None if each.folder_id is None else names.get(each.folder_id, "(gone)")
    return {
        "name": each.name, "on": each.enabled, "match": each.match,
        "conditions": [_said(condition) for condition in each.conditions], "folder": folder,
        "labels": sorted(each.keywords), "forward_to": each.forward_to, "last": each.stop,
    }  # fmt: skip


def _said(condition: Condition) -> str:
    words = [condition.field.value, condition.comparison.value, condition.value or ""]
    if condition.size:
        words.append(str(condition.size))
    return " ".join(word for word in (["not", *words] if condition.is_negated else words) if word)
