"""Brings history into a standby mailbox: many messages share a transaction, together with how far the source was read.

So a run that is killed goes on where it stopped, and nothing comes twice. Messages meet those that came by the wire, or
by another import, by the digest of their content: then only what is missing (keywords, a folder) is applied, and only
where nobody touched them here. Nothing of it is ever replayed to a primary: entries are `received` with the origin
`import`, other changes are marked as followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from everpost.intake.rows import UNSEEN, Rows, insert
from everpost.intake.submission import Direction, Source
from everpost.mail.envelope import Body
from everpost.standby.drafts import seal_content
from everpost.standby.history.model import (
    Found,
    HistoryFailure,
    HistoryFolder,
    LeftOut,
    Mark,
    Reading,
    Unreadable,
)
from everpost.standby.history.model import Source as HistorySource
from everpost.standby.history.places import Places
from everpost.standby.model import Origin
from everpost.standby.summary import Scanned, encode_summary, scan_message
from everpost.standby.threads import Unthreaded, assign_threads
from everpost.standby.values import MAX_KEYWORDS, Account, BadValue, NoSuchThing, check_keywords
from everpost.standby.work import Work
from everpost.store.audit import Event, record
from everpost.store.blobs import KeyRing, SealedBlob, blob_context, insert_blob
from everpost.store.database import UNAVAILABLE, Connection, Database
from everpost.store.sql import load

_SQL = load("history")
_STANDBY = load("standby")
GROUP_MESSAGES = 50
GROUP_OCTETS = 8 * 1024 * 1024
MAX_NAMED = 20
"""Unreadable messages that are listed; the others are counted."""
_ATTEMPTS = 3
_RECEIVED_BY_DEFAULT = frozenset((Origin.WIRE, Origin.SENT, Origin.JOURNAL))


@dataclass(slots=True)
class Figures:
    """What a run did, in messages. `met` stood in the mailbox already: `completed` of them got keywords or a folder."""

    brought: int = 0
    octets: int = 0
    met: int = 0
    completed: int = 0
    left_out: int = 0
    unreadable: int = 0
    folders_created: int = 0
    problems: list[str] = field(default_factory=list)

    def failed(self, label: str, why: str) -> None:
        self.unreadable += 1
        if len(self.problems) < MAX_NAMED:
            self.problems.append(f"{label}: {why}"[:500])


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: units done in a folder, of how many (None: not known)."""

    folder: HistoryFolder
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Copy:
    """A message that was taken in or met: its UID at the source, and the entry."""

    uid: int
    entry_id: int
    keywords: frozenset[str]


class Follower(Protocol):
    """Who has history brought in again and again, because the source is the mailbox's master."""

    async def check_master(self, connection: Connection) -> None:
        """First in every transaction: raises `HistoryFailure` where the source is the master no more."""

    async def note(self, connection: Connection, place: str, folder_id: int, copies: list[Copy]) -> None:
        """These stand in a folder."""


@dataclass(slots=True)
class _Prepared:
    """A message read and sealed. `position` and `item` of where it stands at the source."""

    found: Found
    blob: SealedBlob
    scanned: Scanned
    keywords: frozenset[str]
    message_id: int = 0
    thread_id: int = 0


@dataclass(slots=True)
class _Group:
    """What one transaction takes in."""

    messages: list[_Prepared] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    left_out: int = 0
    position: int = 0
    items: list[int] = field(default_factory=list)
    units: int = 0


@dataclass(slots=True)
class _Standing:
    """An entry with the content of a message that is brought in."""

    entry_id: int
    folder_ids: frozenset[int]
    keywords: frozenset[str]
    free: bool
    is_by_default: bool
    changed: bool = False


class _DryRun(Exception):
    """Undoes the transaction of a group."""


class HistoryImport:
    """One run: one source into one mailbox. `run` it once.

    `problems` of the figures name the messages that could not be taken in; they are tried again next time. Raises
    `HistoryFailure` where the source breaks off, `StandbyRefusal`, and what `UNAVAILABLE` lists: what was reported as
    done until then stays, and the next run goes on from there.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        account: Account,
        source: HistorySource,
        *,
        actor: str,
        subject: str,
        spool_folder: Path,
        dry_run: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
        follower: Follower | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._account = account
        self._key = (account.organisation_id, account.mailbox_id)
        self._source = source
        self._actor = actor
        self._subject = subject
        self._spool = spool_folder
        self._dry_run = dry_run
        self._on_progress = on_progress
        self._follower = follower
        self._begun = False
        self._seen: set[bytes] = set()  # contents that a dry run would have brought
        self.figures = Figures()

    async def run(self) -> Figures:
        """Everything that is new at the source."""
        await self._keys.organisation(self._account.organisation_id)
        try:
            folders = await asyncio.to_thread(self._source.folders)
            places = Places(folders)
            for folder in folders:
                await self._folder(folder, places)
        finally:
            await asyncio.to_thread(self._source.close)
            if self._begun:
                await self._audit_end()
        return self.figures

    # ------------------------------------------------------------------ reading

    async def _folder(self, folder: HistoryFolder, places: Places) -> None:
        mark = await self._mark(folder)
        groups = _Groups(self._source.read(folder, mark), self._spool)
        done = mark.position if folder.counts_octets else len(mark.items)
        failed_before = False
        pending = asyncio.create_task(asyncio.to_thread(groups.take))
        try:
            while (group := await pending) is not None:
                pending = asyncio.create_task(asyncio.to_thread(groups.take))
                for unreadable in group.unreadable:
                    self.figures.failed(unreadable.label, unreadable.why)
                # The mark stays before the first that could not be read, so that it is tried again.
                try:
                    refused = await self._take_in(folder, places, group, advance=not failed_before)
                finally:
                    _close(group)
                failed_before = failed_before or refused or bool(group.unreadable)
                self.figures.left_out += group.left_out
                done += group.units
                self._on_progress(Progress(folder, done, folder.size))
        finally:
            await asyncio.gather(pending, return_exceptions=True)

    async def _mark(self, folder: HistoryFolder) -> Mark:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["marks"], *self._key, self._source.name)
            items = await connection.fetch(_SQL["items"], *self._key, self._source.name, folder.place)
        known = (folder.place, folder.validity)
        position = next((row["position"] for row in rows if (row["place"], row["validity"]) == known), 0)
        return Mark(position, frozenset(row["item"] for row in items))

    # ------------------------------------------------------------------ one transaction

    async def _take_in(self, folder: HistoryFolder, places: Places, group: _Group, *, advance: bool) -> bool:
        """Whether one of them was refused: then each is tried by itself, so that one does not cost the others."""
        try:
            await self._commit(folder, places, group, advance=advance)
            return False
        except UNAVAILABLE:
            raise
        except (asyncpg.PostgresError, ValueError) as error:
            if len(group.messages) <= 1:
                if group.messages:
                    self.figures.failed(group.messages[0].found.label, str(error) or type(error).__name__)
                return True
        refused = False
        for message in group.messages:
            items = [] if message.found.item is None else [message.found.item]
            alone = _Group([message], position=message.found.position, items=items)
            refused = await self._take_in(folder, places, alone, advance=advance and not refused) or refused
        return refused

    async def _commit(self, folder: HistoryFolder, places: Places, group: _Group, *, advance: bool) -> None:
        for attempt in range(_ATTEMPTS):
            counted = Figures()
            try:
                async with self._database.transaction() as connection:
                    await self._write(connection, folder, places, group, counted, advance=advance)
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            except _DryRun:
                pass
            break
        self._begun = self._begun or not (self._dry_run or self._follower)
        total = self.figures
        total.brought += counted.brought
        total.octets += counted.octets
        total.met += counted.met
        total.completed += counted.completed
        total.folders_created += counted.folders_created

    async def _write(
        self, connection: Connection, folder: HistoryFolder, places: Places, group: _Group, counted: Figures,
        *, advance: bool,
    ) -> None:  # fmt: skip
        """The rows of a group. Raises `_DryRun` once it is known what they would be."""
        organisation_id = self._account.organisation_id
        ids = self._database.ids
        if self._follower is not None:
            await self._follower.check_master(connection)
        for message in group.messages:
            message.message_id = await ids.new()
        asked = [Unthreaded(organisation_id, each.message_id, each.scanned.summary) for each in group.messages]
        for message, thread in zip(group.messages, await assign_threads(connection, asked), strict=True):
            message.thread_id = thread
        modseq = await connection.fetchval(_STANDBY["lock_mailbox"], *self._key)
        if modseq is None:
            raise NoSuchThing("there is no such mailbox")
        if not (self._begun or self._dry_run or self._follower):
            detail = {"source": self._source.name}
            await record(
                connection,
                organisation_id,
                await ids.new(),
                Event(self._actor, "mailbox.import", self._subject, detail),
            )
        work = Work(connection, self._account, self._keys, self._actor, modseq, followed=True)
        folders = len(await work.folders())
        folder_id = None
        if group.messages:
            folder_id = await places.folder_id(work, folder, ids, make=not self._dry_run)
        counted.folders_created = len(await work.folders()) - folders
        standing = await self._standing(connection, group.messages)
        new = self._decide(group.messages, standing, folder_id, counted)
        if self._dry_run:
            raise _DryRun
        assert folder_id is not None or not new
        await self._insert(connection, work, new, folder_id or 0)
        for entry in standing.values():
            if entry.changed:
                await work.update(entry.entry_id, keywords=entry.keywords, folder_ids=entry.folder_ids)
        await work.flush()
        if self._follower is not None and folder_id is not None:
            copies = [
                Copy(each.found.position, standing[each.scanned.content_digest].entry_id, each.keywords)
                for each in group.messages
            ]
            await self._follower.note(connection, folder.place, folder_id, copies)
        await self._note(connection, folder, group, advance=advance)

    async def _standing(self, connection: Connection, messages: list[_Prepared]) -> dict[bytes, _Standing]:
        if not messages:
            return {}
        rows = await connection.fetch(
            _SQL["standing_content"],
            *self._key,
            [message.thread_id for message in messages],
            [message.scanned.content_digest for message in messages],
            [each.scanned.content_digest for each in messages if each.scanned.summary.message_id is None],
        )
        found: dict[bytes, _Standing] = {}
        for row in rows:
            found.setdefault(row["content_digest"], _standing_of(row))
        if self._source.is_rebuilt:
            await self._find_by_message_id(connection, messages, found)
        return found

    async def _find_by_message_id(
        self, connection: Connection, messages: list[_Prepared], found: dict[bytes, _Standing]
    ) -> None:
        named = [each for each in messages if each.scanned.summary.message_id is not None]
        rows = await connection.fetch(
            _SQL["standing_message_ids"],
            *self._key,
            [each.thread_id for each in named],
            [each.scanned.summary.message_id for each in named],
        )
        known: dict[str, _Standing] = {}
        for row in rows:
            known.setdefault(row["header_id"], _standing_of(row))
        for each in named:
            header_id = each.scanned.summary.message_id
            if header_id in known:
                found.setdefault(each.scanned.content_digest, known[header_id])

    def _decide(
        self, messages: list[_Prepared], standing: dict[bytes, _Standing], folder_id: int | None, counted: Figures
    ) -> list[_Prepared]:
        """Those that make an entry; what the others add goes into `standing`."""
        target = -1 if folder_id is None else folder_id
        new: list[_Prepared] = []
        for message in messages:
            digest = message.scanned.content_digest
            entry = standing.get(digest)
            if entry is None and self._dry_run and digest in self._seen:
                counted.met += 1
                continue
            if entry is None:
                standing[digest] = _Standing(message.message_id, frozenset((target,)), message.keywords, True, False)
                new.append(message)
                counted.brought += 1
                counted.octets += message.scanned.size
                if self._dry_run:
                    self._seen.add(digest)
                continue
            counted.met += 1
            if (entry.free or self._follower is not None) and self._complete(entry, message.keywords, target):
                counted.completed += not entry.changed
                entry.changed = True
        return new

    def _complete(self, entry: _Standing, keywords: frozenset[str], folder_id: int) -> bool:
        """Whether something was missing. What nobody touched since it came by the wire stands where intake puts all
        mail: a source that shows the whole mailbox knows better.
        """
        before = (entry.folder_ids, entry.keywords)
        all_keywords = keywords if self._follower is not None else entry.keywords | keywords  # the master's count
        entry.keywords = frozenset(sorted(all_keywords)[:MAX_KEYWORDS])
        if folder_id not in entry.folder_ids:
            moves = self._source.is_whole and entry.is_by_default
            entry.folder_ids = frozenset((folder_id,)) if moves else entry.folder_ids | {folder_id}
            entry.is_by_default = False
        return before != (entry.folder_ids, entry.keywords)

    async def _insert(self, connection: Connection, work: Work, new: list[_Prepared], folder_id: int) -> None:
        organisation_id = self._account.organisation_id
        key = self._keys.cached(organisation_id)
        now = datetime.now(UTC)
        rows = Rows()
        for message in new:
            blob_id = await self._database.ids.new()
            blob = message.blob
            if blob.spool is not None:
                await insert_blob(connection, organisation_id, blob_id, key, blob)
            else:
                wrapped = key.seal(blob.key, blob_context(organisation_id, blob_id))
                rows.blob.append((organisation_id, blob_id, wrapped, blob.size, blob.data, now))
            rows.message.append(_message_row(organisation_id, message, blob_id, self._source.name))
            work.modseq += 1
            rows.entry.append(
                (
                    *self._key, message.message_id, message.found.at, message.thread_id, folder_id,
                    " ".join(sorted(message.keywords)), Origin.IMPORT, work.modseq, folder_id, work.modseq,
                )
            )  # fmt: skip
        if new:
            await insert(connection, rows)

    async def _note(self, connection: Connection, folder: HistoryFolder, group: _Group, *, advance: bool) -> None:
        """How far the source was read, in the same transaction."""
        where = (*self._key, self._source.name, folder.place)
        if group.items:
            await connection.execute(_SQL["insert_items"], *where, group.items)
        if advance and group.position:
            await connection.execute(_SQL["set_mark"], *where, folder.validity, group.position)

    async def _audit_end(self) -> None:
        figures = self.figures
        detail = {
            "source": self._source.name, "brought": figures.brought, "octets": figures.octets, "met": figures.met,
            "completed": figures.completed, "left_out": figures.left_out, "unreadable": figures.unreadable,
        }  # fmt: skip
        event = Event(self._actor, "mailbox.imported", self._subject, detail)
        async with self._database.transaction() as connection:
            await record(connection, self._account.organisation_id, await self._database.ids.new(), event)


def _standing_of(row: Any) -> _Standing:
    by_default = row["untouched"] and row["origin"] in _RECEIVED_BY_DEFAULT
    return _Standing(
        row["message_id"], frozenset(row["folder_ids"]), frozenset(row["keywords"]), row["free"], by_default
    )


class _Groups:
    """Reads, scans and seals: `take` runs beside the event loop."""

    def __init__(self, readings: Iterator[Reading], spool_folder: Path) -> None:
        self._readings = readings
        self._spool = spool_folder
        self._failure: HistoryFailure | None = None

    def take(self) -> _Group | None:
        """The next group; None at the end. What was read before the source broke off comes first."""
        if self._failure is not None:
            raise self._failure
        group, octets = _Group(), 0
        try:
            for reading in self._readings:
                octets += self._add(group, reading)
                if len(group.messages) >= GROUP_MESSAGES or octets >= GROUP_OCTETS or group.unreadable:
                    return group
        except HistoryFailure as failure:
            if not (group.units or group.unreadable):
                raise
            self._failure = failure
        return group if group.units or group.unreadable else None

    def _add(self, group: _Group, reading: Reading) -> int:
        group.units += reading.units
        if isinstance(reading, Unreadable):
            group.unreadable.append(reading)
            return 0
        group.position = max(group.position, reading.position)
        if reading.item is not None:
            group.items.append(reading.item)
        if isinstance(reading, LeftOut):
            group.left_out += 1
            return 0
        scanned = scan_message(reading.content)
        blob = seal_content(reading.content, self._spool)
        lighter = Found(reading.label, b"", reading.at, reading.keywords, reading.position, reading.item)
        group.messages.append(_Prepared(lighter, blob, scanned, _clean(reading.keywords)))
        return len(reading.content)


def _close(group: _Group) -> None:
    for message in group.messages:
        message.blob.close()


def _clean(keywords: frozenset[str]) -> frozenset[str]:
    """Those that can be kept; elsewhere there are flags that JMAP does not know."""
    kept: set[str] = set()
    for keyword in sorted(keywords)[:MAX_KEYWORDS]:
        try:
            kept |= check_keywords(frozenset((keyword,)))
        except BadValue:
            continue
    return frozenset(kept)


def _message_row(organisation_id: int, message: _Prepared, blob_id: int, client: str) -> tuple[Any, ...]:
    scanned = message.scanned
    return (
        organisation_id,
        message.message_id,
        blob_id,
        Direction.INTERNAL,
        Source.IMPORT,
        message.found.at,
        None,
        Body.EIGHT_BIT,
        False,
        None,
        None,
        scanned.size,
        scanned.digest,
        scanned.content_digest,
        scanned.summary.message_id,
        scanned.summary.subject,
        message.thread_id,
        encode_summary(scanned.summary),
        scanned.structure,
        client[:500],
        "",
        *UNSEEN,
    )
