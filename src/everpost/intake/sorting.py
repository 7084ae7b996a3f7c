"""Filing mail as its owners' filters say, in the transaction that makes it ours: it never stands in a wrong folder.

Which mailboxes have filters is known from the lock on their change logs, which intake takes anyway: mailboxes without
filters cost nothing, and a filter counts from the moment in which it was saved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from everpost.standby.filing import filters_of
from everpost.standby.filters import Facts, Filing, Filter, decide, list_id_of
from everpost.standby.model import NewEntry
from everpost.standby.summary import Scanned
from everpost.standby.values import Account
from everpost.standby.work import Held, update_details
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL, _INTAKE = load("filters"), load("intake")
ACTOR = "filter"
KEPT = 500
"""Mailboxes whose filters a process remembers."""
_CHANGE_COLUMNS = (
    "organisation_id", "mailbox_id", "modseq", "at", "kind", "message_id", "folder_id", "detail", "actor",
)  # fmt: skip

Mailbox = tuple[int, int]
"""Organisation and mailbox."""
Key = tuple[int, int]
"""Message and mailbox."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message on its way into a mailbox."""

    entry: NewEntry
    message_id: int
    thread_id: int
    received_at: datetime
    scanned: Scanned


@dataclass(frozen=True, slots=True)
class Filed:
    """An entry as filters want it: what came (`before`), what stands there (`after`), and what is owed."""

    mailbox: Mailbox
    before: Held
    after: Held
    filing: Filing

    @property
    def changes(self) -> int:
        """Rows of the change log that tell of it, besides the one that says that it came."""
        return sum(1 for _ in update_details(self.before, self.after))


class Sorter:
    """Knows the filters of the mailboxes that got mail lately. One per `Writer`."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Mailbox, tuple[int, list[Filter]]] = OrderedDict()

    async def file(
        self, connection: Connection, arrivals: Iterable[Arrival], states: Mapping[Mailbox, int]
    ) -> dict[Key, Filed]:
        """What filters make of messages; those that they leave alone are not named.

        `states` are the states in which the filters of locked mailboxes were changed last, 0 where there are none.
        """
        filed: dict[Key, Filed] = {}
        facts: dict[int, Facts] = {}
        for each in arrivals:
            entry = each.entry
            mailbox = (entry.organisation_id, entry.mailbox_id)
            state = states.get(mailbox, 0)
            if not state or not entry.is_filtered:
                continue
            if each.message_id not in facts:
                facts[each.message_id] = _facts(each.scanned)
            filing = decide(await self._filters(connection, mailbox, state), facts[each.message_id])
            if filing:
                filed[each.message_id, entry.mailbox_id] = _filed(each, filing)
        return filed

    async def _filters(self, connection: Connection, mailbox: Mailbox, state: int) -> list[Filter]:
        kept = self._kept.get(mailbox)
        if kept is not None and kept[0] == state:
            self._kept.move_to_end(mailbox)
            return kept[1]
        filters = [each for each in await filters_of(connection, Account(*mailbox)) if each.enabled]
        self._kept[mailbox] = (state, filters)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return filters


def _facts(scanned: Scanned) -> Facts:
    return Facts(scanned.summary, scanned.size, list_id_of(scanned.header))


def _filed(arrival: Arrival, filing: Filing) -> Filed:
    came = Held(
        arrival.message_id, arrival.received_at, arrival.thread_id, (arrival.entry.role.folder_id,),
        frozenset(arrival.entry.keywords), arrival.scanned.summary.message_id,
    )  # fmt: skip
    folders = came.folder_ids if filing.folder_id is None else (filing.folder_id,)
    after = Held(
        came.id, came.received_at, came.thread_id, folders, came.keywords | filing.keywords, came.header_id
    )  # fmt: skip
    return Filed((arrival.entry.organisation_id, arrival.entry.mailbox_id), came, after, filing)


async def write(connection: Connection, filed: Mapping[Key, Filed], at: datetime) -> dict[Key, int]:
    """Write the change log's rows and what is owed to others; returns the last number of each entry that changed.

    The mailboxes are locked.
    """
    if not filed:
        return {}
    counts: dict[Mailbox, int] = {}
    for each in filed.values():
        counts[each.mailbox] = counts.get(each.mailbox, 0) + each.changes
    keys = list(counts)
    rows = await connection.fetch(
        _INTAKE["advance_modseq"], [key[0] for key in keys], [key[1] for key in keys], list(counts.values())
    )
    numbers = {(row[0], row[1]): row[2] - counts[row[0], row[1]] + 1 for row in rows}
    changes: list[tuple[Any, ...]] = []
    last: dict[Key, int] = {}
    for key, each in filed.items():
        first = numbers[each.mailbox]
        changes += _change_rows(each, first, at)
        if each.changes:
            numbers[each.mailbox] = first + each.changes
            last[key] = first + each.changes - 1
    await connection.copy_records_to_table("change", records=changes, columns=_CHANGE_COLUMNS)
    owed = [
        (*each.mailbox, each.before.id, forward.address, forward.filter_id, at)
        for each in filed.values()
        for forward in each.filing.forwards
    ]
    if owed:
        await connection.executemany(_SQL["owe"], owed)
    return last


def _change_rows(filed: Filed, first: int, at: datetime) -> list[tuple[Any, ...]]:
    """As if a person had done it right after the message came: failback does the same on the primary."""
    return [
        (*filed.mailbox, modseq, at, kind, filed.before.id, None, detail, ACTOR)
        for modseq, (kind, detail) in enumerate(update_details(filed.before, filed.after), first)
    ]
