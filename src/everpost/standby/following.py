"""What follows a mailbox's state: counts, changed conversations, changed results of a query."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from everpost.standby import counts, search
from everpost.standby.changes import MAX_ROWS, CannotCalculate, Changes, LogRow
from everpost.standby.counts import FolderCounts, Place
from everpost.standby.model import ChangeKind, Role
from everpost.standby.values import Account
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("standby")
COUNTS_KEPT = 1000
KEEP_EVERY = 100
"""Changes after which the counts are written down again, for other processes and the next start."""


def log_row(row: Any) -> LogRow:
    """A row of the change log."""
    return LogRow(row["modseq"], ChangeKind(row["kind"]), row["message_id"], row["folder_id"], row["detail"])


class Counter:
    """Counts of the folders of all mailboxes, as of their last state. One per process."""

    def __init__(self) -> None:
        self._known: OrderedDict[Account, tuple[int, FolderCounts]] = OrderedDict()

    async def counts(self, connection: Connection, account: Account, modseq: int) -> tuple[FolderCounts, bool]:
        """Inside a snapshot in which `modseq` is the mailbox's state; and whether it is time to `keep` them."""
        key = (account.organisation_id, account.mailbox_id)
        known = self._known.get(account)
        if known is not None and known[0] == modseq:
            return known[1], False
        kept_at = known[0] if known else 0
        if known is None or known[0] > modseq:
            row = await connection.fetchrow(_SQL["kept_counts"], *key)
            known = (row["modseq"], counts.from_json(row["counts"])) if row and row["modseq"] <= modseq else None
            kept_at = known[0] if known else 0
        found = None
        if known is not None:
            found = await _bring_forward(connection, account, known, modseq)
        counted = found is None
        if found is None:
            rows = await connection.fetch(_SQL["folder_counts"], *key, Role.TRASH.folder_id)
            found = {
                row["folder_id"]: counts.Counts(row["total"], row["unread"], row["threads"], row["unread_threads"])
                for row in rows
            }
        self._known[account] = (modseq, found)
        self._known.move_to_end(account)
        if len(self._known) > COUNTS_KEPT:
            self._known.popitem(last=False)
        return found, counted or modseq // KEEP_EVERY != kept_at // KEEP_EVERY


async def keep(connection: Connection, account: Account, modseq: int, found: FolderCounts) -> None:
    """Write counts down, for other processes and the next start. Not inside a snapshot."""
    key = (account.organisation_id, account.mailbox_id)
    await connection.execute(_SQL["keep_counts"], *key, modseq, counts.as_json(found))


async def _bring_forward(
    connection: Connection, account: Account, known: tuple[int, FolderCounts], modseq: int
) -> FolderCounts | None:
    """None where so much changed that counting anew is cheaper."""
    key = (account.organisation_id, account.mailbox_id)
    rows = await connection.fetch(_SQL["changes_since"], *key, known[0], counts.MAX_ROWS + 1)
    if len(rows) > counts.MAX_ROWS:
        return None
    log = [log_row(row) for row in rows if row["modseq"] <= modseq]
    touched = sorted({row.entry_id for row in log if row.entry_id is not None})
    if not touched:
        return known[1]
    threads = await _threads_of(connection, account, touched)
    entries = await connection.fetch(
        _SQL["places_in_threads"], *key, sorted(set(threads.values())), counts.MAX_TOUCHED + 1
    )  # fmt: skip
    if len(entries) > counts.MAX_TOUCHED:
        return None
    now = {
        row["message_id"]: Place(row["thread_id"], tuple(row["folder_ids"]), row["unread"]) for row in entries
    }  # fmt: skip
    return counts.bring_forward(known[1], now, counts.undo(now, log, threads))


async def _threads_of(connection: Connection, account: Account, entry_ids: list[int]) -> dict[int, int]:
    """Also of entries that are gone: their messages are not."""
    rows = await connection.fetch(_SQL["threads_of_messages"], account.organisation_id, entry_ids)
    return {row["id"]: row["thread_id"] for row in rows}


async def log_since(connection: Connection, account: Account, since: int, current: int) -> list[LogRow]:
    """Raises `CannotCalculate` where there is too much of it, or `since` is no state."""
    if not 0 <= since <= current:
        raise CannotCalculate
    rows = await connection.fetch(
        _SQL["changes_since"], account.organisation_id, account.mailbox_id, since, MAX_ROWS + 1
    )  # fmt: skip
    if len(rows) > MAX_ROWS:
        raise CannotCalculate
    return [log_row(row) for row in rows if row["modseq"] <= current]


_COMES = frozenset((ChangeKind.RECEIVED, ChangeKind.CREATED))


async def thread_changes(
    connection: Connection, account: Account, since: int, current: int, max_ids: int
) -> Changes:  # fmt: skip
    """Thread/changes (RFC 8621 §3.2): a conversation changes when an entry comes or goes. Raises `CannotCalculate`."""
    log = [
        row
        for row in await log_since(connection, account, since, current)
        if row.kind in _COMES or row.kind is ChangeKind.DESTROYED
    ]
    threads = await _threads_of(connection, account, sorted({row.entry_id for row in log if row.entry_id is not None}))
    steps = [
        (row.modseq, threads[row.entry_id], 1 if row.kind in _COMES else -1) for row in log if row.entry_id is not None
    ]
    seen: set[int] = set()
    cut = len(steps)
    for number, (_, thread, _) in enumerate(steps):
        if len(seen | {thread}) > max_ids:
            cut = number
            break
        seen.add(thread)
    rows = await connection.fetch(
        _SQL["thread_sizes"], account.organisation_id, account.mailbox_id, sorted(seen)
    )  # fmt: skip
    after = {row["thread_id"]: row["size"] for row in rows}
    for _, thread, step in steps[cut:]:
        after[thread] = after.get(thread, 0) - step
    before = dict(after)
    for _, thread, step in steps[:cut]:
        before[thread] = before.get(thread, 0) - step
    there, was = {t for t in seen if after.get(t, 0) > 0}, {t for t in seen if before.get(t, 0) > 0}
    more = cut < len(steps)
    new = steps[cut - 1][0] if more else current
    return Changes(
        since, new, more, tuple(sorted(there - was)), tuple(sorted(there & was)), tuple(sorted(was - there))
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class QueryChanges:
    """What a client does to the results it has: take `removed` out, then put `added` in at their places."""

    old: int
    new: int
    removed: list[int]
    added: list[tuple[int, int]]
    total: int | None


async def query_changes(
    connection: Connection,
    account: Account,
    statement: search.Search,
    since: int,
    current: int,
    *,
    by_thread: bool,
    total: bool,
) -> QueryChanges:
    """RFC 8620 §5.6. Names more than was strictly changed where that cannot be known. Raises `CannotCalculate`.

    `by_thread`: a change of one entry may move the others of its conversation in or out of the results.
    """
    log = await log_since(connection, account, since, current)
    touched = {row.entry_id for row in log if row.entry_id is not None and row.kind is not ChangeKind.SUBMITTED}
    new = {row.entry_id for row in log if row.entry_id is not None and row.kind in _COMES}
    if by_thread and touched:
        threads = await _threads_of(connection, account, sorted(touched))
        rows = await connection.fetch(
            _SQL["places_in_threads"], account.organisation_id, account.mailbox_id, sorted(set(threads.values())),
            counts.MAX_TOUCHED + 1,
        )  # fmt: skip
        if len(rows) > counts.MAX_TOUCHED:
            raise CannotCalculate
        touched |= {row["message_id"] for row in rows}
    places: list[tuple[int, int]] = []
    if touched:
        text, values = statement.positions_of(sorted(touched))
        places = [(row["id"], row["place"]) for row in await connection.fetch(text, *values)]
    number = None
    if total:
        text, values = statement.count()
        number = int(await connection.fetchval(text, *values))
    return QueryChanges(since, current, sorted(touched - new), places, number)
