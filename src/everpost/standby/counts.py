"""Counts of folders, brought forward by the change log: what they cost depends on what changed, not on what is there.

The log tells exactly how each entry was before. So the counts of the conversations that were touched are taken twice,
as they are and as they were, and the difference is added. Pure but for `bring_forward`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from everpost.standby.changes import LogRow
from everpost.standby.model import DRAFT, SEEN, ChangeKind, Role

MAX_ROWS = 2000
"""Beyond so many changes everything is counted anew."""
MAX_TOUCHED = 5000
TRASH = Role.TRASH.folder_id


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one folder (RFC 8621 §2)."""

    total: int = 0
    unread: int = 0
    threads: int = 0
    unread_threads: int = 0

    def plus(self, other: Counts, sign: int = 1) -> Counts:
        return Counts(
            self.total + sign * other.total,
            self.unread + sign * other.unread,
            self.threads + sign * other.threads,
            self.unread_threads + sign * other.unread_threads,
        )


FolderCounts = dict[int, Counts]


@dataclass(slots=True)
class Place:
    """As much of an entry as counts."""

    thread_id: int
    folder_ids: tuple[int, ...]
    unread: bool


def is_unread(keywords: Iterable[str]) -> bool:
    """Drafts are not waiting to be read (RFC 8621 §2)."""
    return not {SEEN, DRAFT} & set(keywords)


@dataclass(slots=True)
class _Thread:
    in_folder: set[int] = field(default_factory=set)
    unread_outside_trash: bool = False
    unread_in_trash: bool = False


def count(places: Iterable[Place]) -> FolderCounts:
    """RFC 8621 §2: a thread is unread in a folder where any of its messages is, those only in the Trash apart."""
    counts: FolderCounts = {}
    threads: dict[int, _Thread] = {}
    for place in places:
        thread = threads.setdefault(place.thread_id, _Thread())
        for folder_id in place.folder_ids:
            counts[folder_id] = counts.get(folder_id, Counts()).plus(Counts(1, int(place.unread)))
            thread.in_folder.add(folder_id)
        if place.unread:
            thread.unread_outside_trash |= place.folder_ids != (TRASH,)
            thread.unread_in_trash |= TRASH in place.folder_ids
    for thread in threads.values():
        for folder_id in thread.in_folder:
            unread = thread.unread_in_trash if folder_id == TRASH else thread.unread_outside_trash
            counts[folder_id] = counts[folder_id].plus(Counts(0, 0, 1, int(unread)))
    return counts


def undo(places: Mapping[int, Place], rows: list[LogRow], threads: Mapping[int, int]) -> dict[int, Place]:
    """The entries as they were before `rows`. `threads` knows the conversation of every entry in them."""
    before = {number: Place(p.thread_id, p.folder_ids, p.unread) for number, p in places.items()}
    for row in reversed(rows):
        number, detail = row.entry_id, row.detail or {}
        if number is None:
            continue
        match row.kind:
            case ChangeKind.RECEIVED | ChangeKind.CREATED:
                before.pop(number, None)
            case ChangeKind.DESTROYED:
                keywords, folders = detail["keywords"]["before"], detail["folders"]["before"]
                before[number] = Place(threads[number], tuple(folders), is_unread(keywords))
            case ChangeKind.MOVED if number in before:
                before[number].folder_ids = tuple(detail["folders"]["before"])
            case ChangeKind.KEYWORDS if number in before:
                before[number].unread = is_unread(detail["keywords"]["before"])
    return before


def bring_forward(counts: FolderCounts, now: Mapping[int, Place], before: Mapping[int, Place]) -> FolderCounts:
    """The counts after a change that made `before` (all entries of the conversations touched) into `now`."""
    result = dict(counts)
    for part, sign in ((count(before.values()), -1), (count(now.values()), 1)):
        for folder_id, change in part.items():
            result[folder_id] = result.get(folder_id, Counts()).plus(change, sign)
    return {folder_id: found for folder_id, found in result.items() if found != Counts()}


def as_json(counts: FolderCounts) -> dict[str, list[int]]:
    """As they are kept."""
    return {str(n): [c.total, c.unread, c.threads, c.unread_threads] for n, c in counts.items()}


def from_json(value: Mapping[str, Any]) -> FolderCounts:
    """What `as_json` made."""
    return {int(number): Counts(*row) for number, row in value.items()}
