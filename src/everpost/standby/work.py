"""Changing a standby mailbox: one transaction that locks the mailbox, writes, and tells the change log what it did.

Refusals are raised before anything is written, so that one refused item need not undo the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from everpost.standby.drafts import PreparedMessage, store_message
from everpost.standby.model import ChangeKind, Origin, Role
from everpost.standby.values import (
    MAX_FOLDER_DEPTH,
    MAX_FOLDERS,
    MAX_FOLDERS_OF_ENTRY,
    Account,
    AlreadyThere,
    BadValue,
    Folder,
    FolderHasChild,
    FolderHasEntries,
    NoSuchThing,
    NotPermitted,
    OverLimit,
    check_folder_name,
    check_keywords,
)
from everpost.store.blobs import KeyRing
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("standby")
MAX_REMOVED_WITH_FOLDER = 10_000
_CHANGE_COLUMNS = (
    "organisation_id", "mailbox_id", "modseq", "at", "kind", "message_id", "folder_id", "detail", "actor",
    "followed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """An entry as it stands inside the transaction."""

    id: int
    received_at: datetime
    thread_id: int
    folder_ids: tuple[int, ...]
    keywords: frozenset[str]
    header_id: str | None


class Work:
    """The mailbox while its lock is held. Made by `Standby.work`, which commits it."""

    def __init__(
        self,
        connection: Connection,
        account: Account,
        keys: KeyRing,
        actor: str,
        modseq: int,
        *,
        followed: bool = False,
    ) -> None:
        self.account = account
        self.first_modseq = modseq
        self.modseq = modseq
        self._connection = connection
        self._keys = keys
        self._actor = actor
        self._followed = followed  # what is done was done elsewhere before: failback leaves it out
        self._now = datetime.now(UTC)
        self._key = (account.organisation_id, account.mailbox_id)
        self._folders: dict[int, Folder] | None = None
        self._held: dict[int, Held] = {}
        self._before: dict[int, Held] = {}
        self._touched: dict[int, int] = {}  # entry → its last modseq
        self._destroyed: set[int] = set()
        self._changes: list[tuple[Any, ...]] = []

    # ------------------------------------------------------------------ entries

    async def load(self, entry_ids: Iterable[int]) -> None:
        """Read entries that will be changed, all in one go."""
        missing = [entry_id for entry_id in entry_ids if entry_id not in self._held]
        if missing:
            for row in await self._connection.fetch(_SQL["entries_to_change"], *self._key, missing):
                self._held[row["id"]] = Held(
                    row["id"], row["received_at"], row["thread_id"], tuple(row["folder_ids"]),
                    frozenset(row["keywords"]), row["header_id"],
                )  # fmt: skip

    async def entry(self, entry_id: int) -> Held:
        """Raises `NoSuchThing`."""
        if entry_id not in self._destroyed:
            await self.load((entry_id,))
            if entry_id in self._held:
                return self._held[entry_id]
        raise NoSuchThing("there is no such message")

    async def update(
        self, entry_id: int, *, keywords: frozenset[str] | None = None, folder_ids: Iterable[int] | None = None
    ) -> None:
        """Give an entry other keywords, other folders, or both. Raises `NoSuchThing`, `BadValue`."""
        held = await self.entry(entry_id)
        new_keywords = held.keywords if keywords is None else check_keywords(keywords)
        new_folders = held.folder_ids if folder_ids is None else await self._check_folders(folder_ids)
        new = replace(held, keywords=new_keywords, folder_ids=new_folders)
        for kind, detail in update_details(held, new):
            self._log_entry(held, kind, detail)
        self._replace(held, new)

    async def destroy(self, entry_id: int) -> None:
        """Take an entry out of the mailbox for good. Raises `NoSuchThing`."""
        held = await self.entry(entry_id)
        detail = _detail(held, moved=(held.folder_ids, ()), keywords=(held.keywords, held.keywords))
        self._log_entry(held, ChangeKind.DESTROYED, detail)
        self._before.setdefault(entry_id, held)
        self._destroyed.add(entry_id)
        del self._touched[entry_id]

    async def create(
        self,
        message: PreparedMessage,
        folder_ids: Iterable[int],
        keywords: frozenset[str],
        received_at: datetime | None = None,
        origin: Origin = Origin.LOCAL,
    ) -> Held:
        """Store a prepared message as an entry. Raises `BadValue`."""
        folders = await self._check_folders(folder_ids)
        keywords = check_keywords(keywords)
        received_at = received_at or self._now
        await store_message(self._connection, self._keys, self.account, message, received_at, self._actor)
        held = Held(
            message.id, received_at, message.thread_id, folders, keywords, message.scanned.summary.message_id
        )  # fmt: skip
        detail = _detail(held, moved=((), folders), keywords=(frozenset(), keywords))
        modseq = self._log(ChangeKind.CREATED, held.id, folders[0], detail)
        await self._connection.execute(
            _SQL["insert_entry"],
            *self._key, held.id, received_at, held.thread_id, list(folders), sorted(keywords), origin, modseq,
        )  # fmt: skip
        await self._connection.executemany(
            _SQL["insert_placement"], [(*self._key, folder, received_at, held.id) for folder in folders]
        )
        self._held[held.id] = held
        return held

    def submitted(self, entry_id: int, header_id: str | None, submission_id: int) -> None:
        """Note in the change log that an entry was sent, even one that is gone by now."""
        detail = {"submission": submission_id, "message_id": header_id}
        self._log(ChangeKind.SUBMITTED, entry_id, None, detail)

    @property
    def actor(self) -> str:
        """Whose deed it is."""
        return self._actor

    @property
    def connection(self) -> Connection:
        """For what belongs into the same transaction; the mailbox is locked."""
        return self._connection

    def note(self, what: str, name: str, how: str) -> None:
        """Tell the change log of a setting: `how` it was changed, created or destroyed."""
        self._log(ChangeKind.SETTINGS, None, None, {"what": what, "id": name, "how": how})

    async def _check_folders(self, folder_ids: Iterable[int]) -> tuple[int, ...]:
        wanted = tuple(sorted(set(folder_ids)))
        known = await self.folders()
        if not wanted:
            raise BadValue("folders", "a message stands in at least one folder")
        if len(wanted) > MAX_FOLDERS_OF_ENTRY:
            raise BadValue("folders", f"a message stands in at most {MAX_FOLDERS_OF_ENTRY} folders")
        if any(folder_id not in known for folder_id in wanted):
            raise BadValue("folders", "there is no such folder")
        return wanted

    def _replace(self, held: Held, new: Held) -> None:
        self._before.setdefault(held.id, held)
        self._held[held.id] = new

    def _log_entry(self, held: Held, kind: ChangeKind, detail: dict[str, Any]) -> None:
        self._touched[held.id] = self._log(kind, held.id, None, detail)

    def _log(self, kind: ChangeKind, entry_id: int | None, folder_id: int | None, detail: dict[str, Any]) -> int:
        self.modseq += 1
        row = (*self._key, self.modseq, self._now, kind, entry_id, folder_id, detail, self._actor, self._followed)
        self._changes.append(row)
        return self.modseq

    # ------------------------------------------------------------------ folders

    async def folders(self) -> dict[int, Folder]:
        if self._folders is None:
            rows = await self._connection.fetch(_SQL["folders"], *self._key)
            self._folders = {row["id"]: folder_of(row) for row in rows}
        return self._folders

    async def create_folder(
        self, folder_id: int, name: str, parent_id: int | None, sort_order: int = 10, *, subscribed: bool = True
    ) -> Folder:
        """`folder_id` comes from `Database.ids`. Raises `BadValue`, `OverLimit`."""
        folders = await self.folders()
        if len(folders) >= MAX_FOLDERS:
            raise OverLimit(f"a mailbox has at most {MAX_FOLDERS} folders")
        folder = Folder(folder_id, parent_id, check_folder_name(name), None, sort_order, self.modseq + 1)
        folder = replace(folder, subscribed=subscribed)
        _check_place(folder, folders)
        self._log(ChangeKind.FOLDER_CREATED, None, folder_id, {"after": _describe(folder)})
        await self._connection.execute(
            _SQL["insert_folder"], *self._key, folder_id, parent_id, folder.name, sort_order, self.modseq, subscribed
        )
        folders[folder_id] = folder
        return folder

    async def change_folder(
        self, folder_id: int, *, name: str, parent_id: int | None, sort_order: int, subscribed: bool | None = None
    ) -> None:
        """Rename, move or sort a folder. Raises `NoSuchThing`, `NotPermitted`, `BadValue`."""
        folders = await self.folders()
        old = await self._folder(folder_id)
        new = replace(old, name=name if name == old.name else check_folder_name(name), parent_id=parent_id,
                      sort_order=sort_order)  # fmt: skip
        if subscribed is not None:
            new = replace(new, subscribed=subscribed)
        if new == old:
            return
        if old.is_system and (new.name != old.name or new.parent_id != old.parent_id):
            raise NotPermitted("a system folder keeps its name and place")
        _check_place(new, folders)
        detail = {"before": _describe(old), "after": _describe(new)}
        modseq = self._log(ChangeKind.FOLDER_CHANGED, None, folder_id, detail)
        await self._connection.execute(
            _SQL["update_folder"], *self._key, folder_id, parent_id, new.name, sort_order, modseq, new.subscribed
        )
        folders[folder_id] = replace(new, modseq=modseq)

    async def destroy_folder(self, folder_id: int, *, with_entries: bool) -> None:
        """Entries that stand in no other folder go with it. Raises `NoSuchThing`, `NotPermitted`,
        `FolderHasChild`, `FolderHasEntries`, `OverLimit`.
        """
        folder = await self._folder(folder_id)
        folders = await self.folders()
        if folder.is_system:
            raise NotPermitted("a system folder stays")
        if any(other.parent_id == folder_id for other in folders.values()):
            raise FolderHasChild("there are folders in this folder")
        inside = await self._entries_inside(folder_id)
        if inside and not with_entries:
            raise FolderHasEntries("there are messages in this folder")
        if len(inside) > MAX_REMOVED_WITH_FOLDER:
            raise OverLimit(f"at most {MAX_REMOVED_WITH_FOLDER} messages can go with a folder: remove some first")
        for entry_id in inside:
            rest = [other for other in self._held[entry_id].folder_ids if other != folder_id]
            await (self.update(entry_id, folder_ids=rest) if rest else self.destroy(entry_id))
        self._log(ChangeKind.FOLDER_DESTROYED, None, folder_id, {"before": _describe(folder)})
        await self._connection.execute(_SQL["delete_folder"], *self._key, folder_id)
        await self._connection.execute(_SQL["filters_changed"], *self._key, self.modseq)  # some may have named it
        del folders[folder_id]

    async def _folder(self, folder_id: int) -> Folder:
        folder = (await self.folders()).get(folder_id)
        if folder is None:
            raise NoSuchThing("there is no such folder")
        return folder

    async def _entries_inside(self, folder_id: int) -> list[int]:
        """As the database has it and as this transaction will leave it."""
        rows = await self._connection.fetch(
            _SQL["entries_of_folder"], *self._key, folder_id, MAX_REMOVED_WITH_FOLDER + 1
        )
        candidates = {row["message_id"] for row in rows} | set(self._touched)
        await self.load(candidates)
        return sorted(
            entry_id
            for entry_id in candidates - self._destroyed
            if entry_id in self._held and folder_id in self._held[entry_id].folder_ids
        )

    # ------------------------------------------------------------------ the end

    async def flush(self) -> None:
        """Write what the operations amount to. Called once, before the commit."""
        if self.modseq == self.first_modseq:
            return
        updates, gone, come = [], [], []
        for entry_id, before in self._before.items():
            after = () if entry_id in self._destroyed else self._held[entry_id].folder_ids
            gone += [(*self._key, f, before.received_at, entry_id) for f in before.folder_ids if f not in after]
            come += [(*self._key, f, before.received_at, entry_id) for f in after if f not in before.folder_ids]
            if entry_id in self._touched and entry_id not in self._destroyed:
                new = self._held[entry_id]
                keywords, folders = sorted(new.keywords), list(new.folder_ids)
                updates.append((*self._key, entry_id, keywords, folders, self._touched[entry_id]))
        await self._connection.executemany(_SQL["delete_placement"], gone)
        await self._connection.executemany(_SQL["insert_placement"], come)
        await self._connection.executemany(_SQL["update_entry"], updates)
        if self._destroyed:
            await self._connection.execute(_SQL["delete_entries"], *self._key, list(self._destroyed))
        await self._connection.copy_records_to_table("change", records=self._changes, columns=_CHANGE_COLUMNS)
        await self._connection.execute(_SQL["set_modseq"], *self._key, self.modseq)


def folder_of(row: Any) -> Folder:
    """A folder's row without its counts."""
    role = Role(row["role"]) if row["role"] else None
    return Folder(
        row["id"], row["parent_id"], row["name"], role, row["sort_order"], row["modseq"], subscribed=row["subscribed"]
    )


def update_details(held: Held, new: Held) -> Iterator[tuple[ChangeKind, dict[str, Any]]]:
    """What the change log tells of an entry that gets other keywords, other folders, or both."""
    if new.keywords != held.keywords:
        yield ChangeKind.KEYWORDS, _detail(held, keywords=(held.keywords, new.keywords), folders=new.folder_ids)
    if new.folder_ids != held.folder_ids:
        moved, keywords = (held.folder_ids, new.folder_ids), (held.keywords, new.keywords)
        yield ChangeKind.MOVED, _detail(held, moved=moved, keywords=keywords)


def _detail(
    held: Held,
    *,
    keywords: tuple[frozenset[str], frozenset[str]] | None = None,
    moved: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
    folders: tuple[int, ...] = (),
) -> dict[str, Any]:
    """What failback needs to do the same on the primary: the Message-ID, keywords and folders before and after."""
    before, after = moved or (folders, folders)
    detail: dict[str, Any] = {
        "message_id": held.header_id,
        "thread": held.thread_id,
        "folders": {"before": list(before), "after": list(after)},
    }
    if keywords is not None:
        detail["keywords"] = {"before": sorted(keywords[0]), "after": sorted(keywords[1])}
    return detail


def _describe(folder: Folder) -> dict[str, Any]:
    return {"name": folder.name, "parent": folder.parent_id, "sort_order": folder.sort_order}


def _check_place(folder: Folder, folders: dict[int, Folder]) -> None:
    """That the parent exists, is not below the folder itself, and has no other folder of that name."""
    depth, parent_id = 1, folder.parent_id
    while parent_id is not None:
        if parent_id == folder.id:
            raise BadValue("parent", "a folder cannot be put into itself")
        if parent_id not in folders:
            raise BadValue("parent", "there is no such folder")
        depth += 1
        parent_id = folders[parent_id].parent_id
        if depth > MAX_FOLDER_DEPTH:
            break
    if depth + _height(folder.id, folders) > MAX_FOLDER_DEPTH:
        raise BadValue("parent", f"folders nest at most {MAX_FOLDER_DEPTH} deep")
    for other in folders.values():
        if other.id != folder.id and other.parent_id == folder.parent_id and other.name == folder.name:
            raise AlreadyThere(other.id)


def _height(folder_id: int, folders: dict[int, Folder]) -> int:
    """How many levels there are below a folder."""
    level, height = {folder_id}, -1
    while level and height <= MAX_FOLDER_DEPTH:
        level = {folder.id for folder in folders.values() if folder.parent_id in level}
        height += 1
    return height
