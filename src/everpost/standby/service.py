"""The standby mailboxes of all organisations. One `Standby` per process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from everpost.mail.address import Address
from everpost.mail.part import load as load_structure
from everpost.standby import search
from everpost.standby.changes import MAX_ROWS, CannotCalculate, Changes, What, summarise
from everpost.standby.counts import Counts
from everpost.standby.drafts import PreparedMessage, give_threads, prepare
from everpost.standby.following import Counter, QueryChanges, keep, log_row, query_changes, thread_changes
from everpost.standby.indexer import AT_ONCE, Indexer
from everpost.standby.model import Origin
from everpost.standby.settings import Noted, noted_since
from everpost.standby.summary import decode_summary
from everpost.standby.values import Account, Entry, Folder, NoSuchThing, OverLimit
from everpost.standby.work import Work, folder_of
from everpost.store.blobs import BlobReader, KeyRing, SealedBlob, insert_blob
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("standby")
COLLAPSED_IN_PASSING = 2000
"""Results up to this place are collapsed while they are read; those further down by the database."""
MOST_INDEXED_BY_SEARCH = 600
MAX_UPLOADED_OCTETS = 1024 * 1024 * 1024
"""What one mailbox may have uploaded and not yet outlived."""


class Gate(Protocol):
    """Says, inside a transaction, whether the standby is the master of the mailbox; held until its end."""

    async def check(self, connection: Connection) -> None:
        """Raises `ReadOnly`."""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search."""

    ids: list[int]
    position: int
    total: int | None
    state: int


class Standby:
    """Reads and changes standby mailboxes. Each method raises what `store.database.UNAVAILABLE` lists."""

    def __init__(self, database: Database, keys: KeyRing, blobs: BlobReader, spool_folder: Path) -> None:
        self._database = database
        self._keys = keys
        self.blobs = blobs
        self._spool_folder = spool_folder
        self._counter = Counter()
        self._indexer = Indexer(database, blobs)

    async def state(self, account: Account) -> int:
        """The number of the last change. Read it before what it shall describe."""
        async with self._database.connection() as connection:
            return await _modseq(connection, account)

    # ------------------------------------------------------------------ reading

    async def folders(self, account: Account, *, counts: bool = True) -> list[Folder]:
        """In their sort order."""
        key = (account.organisation_id, account.mailbox_id)
        async with self._snapshot() as connection:
            folders = [folder_of(row) for row in await connection.fetch(_SQL["folders"], *key)]
            if not counts:
                return folders
            modseq = await _modseq(connection, account)
            by_folder, due = await self._counter.counts(connection, account, modseq)
        if due:
            async with self._database.connection() as connection:
                await keep(connection, account, modseq, by_folder)
        return [_counted(folder, by_folder.get(folder.id)) for folder in folders]

    @contextlib.asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        """One connection whose statements all see the same state."""
        async with (
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def entries(
        self, account: Account, entry_ids: Iterable[int], *, structure: bool = False
    ) -> dict[int, Entry]:  # fmt: skip
        """Those that are there, by id."""
        key = (account.organisation_id, account.mailbox_id)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["entries"], *key, list(entry_ids), structure)
        return {row["id"]: _entry(row) for row in rows}

    async def newest_entries(self, account: Account, limit: int) -> list[int]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SQL["newest_entries"], account.organisation_id, account.mailbox_id, limit
            )  # fmt: skip
        return [row["message_id"] for row in rows]

    async def query(
        self,
        account: Account,
        wanted: search.Filter | None,
        order: tuple[search.Order, ...] = (),
        *,
        position: int = 0,
        limit: int = 100,
        anchor: int | None = None,
        anchor_offset: int = 0,
        total: bool = False,
        collapse_threads: bool = False,
    ) -> Found:
        """A negative `position` counts from the end. Raises `NoSuchThing` for an anchor that is not found,
        `search.CannotSearch`.
        """
        statement = search.build(account, wanted, order, collapse_threads=collapse_threads)
        if search.needs_index(wanted, order):
            await self._index(account)
        async with self._snapshot() as connection:
            state = await _modseq(connection, account)
            count = None
            if total or (position < 0 and anchor is None):
                count = await self._total(connection, account, statement, wanted, state, threads=collapse_threads)
            if anchor is not None:
                text, values = statement.positions_of([anchor])
                place = await connection.fetchrow(text, *values)
                if place is None:
                    raise NoSuchThing("the anchor is not among the results")
                position = place["place"] + anchor_offset
            elif position < 0:
                position += count or 0
            position = max(position, 0)
            if collapse_threads and position + limit <= COLLAPSED_IN_PASSING:
                ids = await _collapsed(connection, statement, position, limit)
            else:
                text, values = statement.page(position, limit)
                ids = [row["id"] for row in await connection.fetch(text, *values)]
        return Found(ids, position, count if total else None, state)

    async def _total(
        self, connection: Connection, account: Account, statement: search.Search, wanted: search.Filter | None,
        state: int, *, threads: bool,
    ) -> int:  # fmt: skip
        """A folder's counts are known already."""
        folder_id = search.folder_only(wanted)
        if folder_id is not None:
            found = (await self._counter.counts(connection, account, state))[0].get(folder_id, Counts())
            return found.threads if threads else found.total
        text, values = statement.count()
        return int(await connection.fetchval(text, *values))

    async def _index(self, account: Account) -> None:
        """What came in a moment ago is indexed by who searches for it; a long backlog by the role alone."""
        for _ in range(MOST_INDEXED_BY_SEARCH // AT_ONCE):
            if await self._indexer.catch_up(account) < AT_ONCE:
                break

    async def query_changes(
        self,
        account: Account,
        since: int,
        wanted: search.Filter | None,
        order: tuple[search.Order, ...] = (),
        *,
        total: bool = False,
        collapse_threads: bool = False,
    ) -> QueryChanges:
        """How the results of a query changed since a state. Raises `CannotCalculate`, `search.CannotSearch`."""
        statement = search.build(account, wanted, order, collapse_threads=collapse_threads)
        if search.needs_index(wanted, order):
            await self._index(account)
        by_thread = collapse_threads or search.looks_at_threads(wanted, order)
        async with self._snapshot() as connection:
            current = await _modseq(connection, account)
            return await query_changes(
                connection, account, statement, since, current, by_thread=by_thread, total=total
            )  # fmt: skip

    async def thread_changes(self, account: Account, since: int, max_ids: int) -> Changes:
        """Conversations that came, changed and went. Raises `CannotCalculate`."""
        async with self._snapshot() as connection:
            current = await _modseq(connection, account)
            return await thread_changes(connection, account, since, current, max_ids)

    async def threads(self, account: Account, thread_ids: Iterable[int], limit: int = 10_000) -> dict[int, list[int]]:
        """The entries of conversations, oldest first."""
        threads: dict[int, list[int]] = {}
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SQL["threads"], account.organisation_id, account.mailbox_id, list(thread_ids), limit
            )
        for row in rows:
            threads.setdefault(row["thread_id"], []).append(row["message_id"])
        return threads

    async def changes(self, account: Account, since: int, what: What, max_ids: int) -> Changes:
        """Raises `CannotCalculate` for a state the mailbox never had."""
        key = (account.organisation_id, account.mailbox_id)
        async with self._snapshot() as connection:
            current = await _modseq(connection, account)
            if not 0 <= since <= current:
                raise CannotCalculate
            rows = await connection.fetch(_SQL["changes_since"], *key, since, MAX_ROWS)
        log = [log_row(row) for row in rows]
        return summarise(log, what, since, current, max_ids, cut=len(rows) == MAX_ROWS)

    async def noted(self, account: Account, what: str, since: int, max_ids: int) -> Noted:
        """What came, changed and went of identities, submissions or the vacation. Raises `CannotCalculate`."""
        async with self._snapshot() as connection:
            return await noted_since(connection, account, what, since, await _modseq(connection, account), max_ids)

    # ------------------------------------------------------------------ changing

    @contextlib.asynccontextmanager
    async def work(
        self, account: Account, actor: str, gate: Gate | None = None, new: Sequence[PreparedMessage] = ()
    ) -> AsyncIterator[tuple[Work, list[PreparedMessage]]]:
        """One transaction on a mailbox; yields it with `new`, whose conversations are then known.

        What the caller leaves with an exception is rolled back. Raises `ReadOnly`, `NoSuchThing`.
        """
        await self._keys.organisation(account.organisation_id)
        async with self._database.transaction() as connection:
            if gate is not None:
                await gate.check(connection)
            threaded = await give_threads(connection, account, new)
            async with self.work_within(connection, account, actor) as work:
                yield work, threaded

    @contextlib.asynccontextmanager
    async def work_within(self, connection: Connection, account: Account, actor: str) -> AsyncIterator[Work]:
        """As `work`, as a part of the caller's transaction. Raises `NoSuchThing`."""
        modseq = await connection.fetchval(_SQL["lock_mailbox"], account.organisation_id, account.mailbox_id)
        if modseq is None:
            raise NoSuchThing("there is no such mailbox")
        work = Work(connection, account, self._keys, actor, modseq)
        yield work
        await work.flush()

    async def prepare(self, content: bytes, source: str) -> PreparedMessage:
        """Read and seal a message before `work` stores it."""
        return await prepare(content, source, self._database.ids, self._spool_folder)

    async def new_id(self) -> int:
        """An identifier for a folder."""
        return await self._database.ids.new()

    async def set_keywords(self, account: Account, actor: str, entry_id: int, keywords: frozenset[str]) -> int:
        """Returns the new state. As `Work.update`."""
        async with self.work(account, actor) as (work, _):
            await work.update(entry_id, keywords=keywords)
        return work.modseq

    async def set_folders(self, account: Account, actor: str, entry_id: int, folder_ids: Iterable[int]) -> int:
        """Move an entry; returns the new state. As `Work.update`."""
        async with self.work(account, actor) as (work, _):
            await work.update(entry_id, folder_ids=folder_ids)
        return work.modseq

    async def destroy(self, account: Account, actor: str, entry_id: int) -> int:
        """Returns the new state. As `Work.destroy`."""
        async with self.work(account, actor) as (work, _):
            await work.destroy(entry_id)
        return work.modseq

    async def create_entry(
        self,
        account: Account,
        actor: str,
        content: bytes,
        folder_ids: Iterable[int],
        keywords: frozenset[str] = frozenset(),
        *,
        received_at: datetime | None = None,
        origin: Origin = Origin.LOCAL,
        source: str = "webmail",
    ) -> int:
        """Store bytes as a new entry; returns its id. Raises `BadValue`."""
        message = await self.prepare(content, source)
        try:
            async with self.work(account, actor, new=(message,)) as (work, (threaded,)):
                return (await work.create(threaded, folder_ids, keywords, received_at, origin)).id
        finally:
            message.blob.close()

    # ------------------------------------------------------------------ uploads

    async def upload(self, account: Account, blob: SealedBlob) -> int:
        """Keep bytes that only this mailbox can use, for some hours; returns their id. Raises `OverLimit`."""
        blob_id = await self._database.ids.new()
        key = await self._keys.organisation(account.organisation_id)
        async with self._database.transaction() as connection:
            octets = await connection.fetchval(_SQL["uploaded_octets"], account.organisation_id, account.mailbox_id)
            if octets + blob.size > MAX_UPLOADED_OCTETS:
                raise OverLimit(f"uploads of a mailbox may take {MAX_UPLOADED_OCTETS} octets in all")
            await insert_blob(
                connection, account.organisation_id, blob_id, key, blob, uploaded_by=account.mailbox_id
            )  # fmt: skip
        return blob_id

    async def uploaded(self, account: Account) -> int:
        """Octets that the mailbox has uploaded and that are still kept."""
        async with self._database.connection() as connection:
            key = (account.organisation_id, account.mailbox_id)
            return int(await connection.fetchval(_SQL["uploaded_octets"], *key))

    async def upload_size(self, account: Account, blob_id: int) -> int:
        """Raises `NoSuchThing` where this mailbox did not upload it."""
        async with self._database.connection() as connection:
            size = await connection.fetchval(
                _SQL["upload_of_mailbox"], account.organisation_id, account.mailbox_id, blob_id
            )
        if size is None:
            raise NoSuchThing("there is no such upload")
        return int(size)

    async def forget_uploads(self, before: datetime) -> int:
        """Delete uploads made before a time, at most 500 at once; returns how many."""
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_SQL["delete_uploads"], before))

    # ------------------------------------------------------------------ sending

    async def owned(self, account: Account, addresses: Iterable[Address]) -> frozenset[Address]:
        """Those that are addresses of the mailbox, with or without a "+detail" (RFC 5233)."""
        keys = {address: _candidate_keys(address) for address in addresses}
        wanted = sorted({key for candidates in keys.values() for key in candidates})
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["owner_of_addresses"], wanted)
        owners = {row["key"]: (row["organisation_id"], row["mailbox_id"]) for row in rows}
        own = (account.organisation_id, account.mailbox_id)
        return frozenset(
            address
            for address, candidates in keys.items()
            if next((owners[key] for key in candidates if key in owners), None) == own
        )


async def _modseq(connection: Connection, account: Account) -> int:
    modseq = await connection.fetchval(_SQL["modseq"], account.organisation_id, account.mailbox_id)
    if modseq is None:
        raise NoSuchThing("there is no such mailbox")
    return int(modseq)


def _counted(folder: Folder, counts: Counts | None) -> Folder:
    if counts is None:
        return folder
    return replace(
        folder, total=counts.total, unread=counts.unread, threads=counts.threads, unread_threads=counts.unread_threads
    )


async def _collapsed(connection: Connection, statement: search.Search, position: int, limit: int) -> list[int]:
    """One page, reading no further than needed: the first entry of each conversation in the order asked for."""
    ids: dict[int, int] = {}
    read, chunk = 0, position + limit + 50
    while len(ids) < position + limit:
        text, values = statement.rows(read, chunk)
        rows = await connection.fetch(text, *values)
        for row in rows:
            ids.setdefault(row["thread_id"], row["id"])
        read += len(rows)
        if len(rows) < chunk:
            break
        chunk *= 4
    return list(ids.values())[position : position + limit]


def _entry(row: Any) -> Entry:
    structure = row["structure"]
    return Entry(
        row["id"], row["received_at"], row["thread_id"], tuple(row["folder_ids"]), frozenset(row["keywords"]),
        Origin(row["origin"]), row["modseq"], row["blob_id"], row["size"], decode_summary(row["summary"]),
        load_structure(structure) if structure is not None else None,
    )  # fmt: skip


def _candidate_keys(address: Address) -> list[str]:
    base = address.local.split("+", 1)[0]
    keys = [address.key]
    if base and base != address.local:
        keys.append(Address(base, address.domain).key)
    return keys
