"""Filters as they are kept, and what came of the messages that they pass on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import structlog

from everpost.directory.model import Forwarding
from everpost.standby.filters import Condition, Filter, Match
from everpost.standby.forwards import Outcome
from everpost.standby.values import Account
from everpost.standby.work import Work
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("filters")


async def filters_of(connection: Connection, account: Account) -> list[Filter]:
    """In the order in which they act. One that this version cannot read is left out: mail must come in all the same."""
    found = []
    for row in await connection.fetch(_SQL["of_mailbox"], *_key(account)):
        try:
            found.append(_filter(row))
        except ValueError as error:
            log.error("filter.unreadable", mailbox=account.mailbox_id, filter=row["id"], error=str(error))
    return found


async def save_filter(work: Work, wanted: Filter, how: str) -> None:
    """`how`: created or updated, for /changes. What is saved was checked (`filters.check`)."""
    await work.connection.execute(
        _SQL["save"], *_key(work.account), wanted.id, wanted.name, wanted.sort_order, wanted.enabled, wanted.match,
        msgspec.to_builtins(wanted.conditions), wanted.folder_id, sorted(wanted.keywords), wanted.forward_to,
        wanted.stop,
    )  # fmt: skip
    await _changed(work, wanted.id, how)


async def delete_filter(work: Work, filter_id: int) -> None:
    """What it had done stays done."""
    await work.connection.execute(_SQL["delete"], *_key(work.account), filter_id)
    await _changed(work, filter_id, "destroyed")


async def _changed(work: Work, filter_id: int, how: str) -> None:
    work.note("Filter", encode_id(filter_id), how)
    await work.connection.execute(_SQL["set_state"], *_key(work.account), work.modseq)


async def forwarding_of(connection: Connection, organisation_id: int) -> Forwarding:
    """How far filters of an organisation may pass mail on."""
    return Forwarding(await connection.fetchval(_SQL["forwarding"], organisation_id) or Forwarding.NONE)


async def forward_problems(connection: Connection, account: Account, since: datetime) -> dict[int, Outcome]:
    """By filter: why a message was not passed on, the last time that one was not."""
    rows = await connection.fetch(_SQL["problems"], *_key(account), since)
    return {row["filter_id"]: Outcome(row["outcome"]) for row in rows}


def _filter(row: Any) -> Filter:
    return Filter(
        row["id"], row["name"], row["sort_order"], row["enabled"], Match(row["match"]),
        msgspec.convert(row["conditions"], tuple[Condition, ...]), row["folder_id"], frozenset(row["keywords"]),
        row["forward_to"], row["stop"], row["broken"],
    )  # fmt: skip


def _key(account: Account) -> tuple[int, int]:
    return account.organisation_id, account.mailbox_id
