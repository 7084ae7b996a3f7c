"""What changed in a mailbox since a state: the change log read as created, updated and destroyed. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from everpost.standby.model import SEEN, ChangeKind

MAX_ROWS = 10_000


class What(enum.Enum):
    """Of what the changes are asked for."""

    ENTRIES = "entries"
    FOLDERS = "folders"


class CannotCalculate(Exception):
    """The state is none that this mailbox ever had."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row of the change log."""

    modseq: int
    kind: ChangeKind
    entry_id: int | None
    folder_id: int | None
    detail: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Changes:
    """The net effect between two states. `counts_only`: of folders, nothing but their counts changed."""

    old: int
    new: int
    more: bool
    created: tuple[int, ...]
    updated: tuple[int, ...]
    destroyed: tuple[int, ...]
    counts_only: bool = False


_FIRST = frozenset((ChangeKind.CREATED, ChangeKind.RECEIVED, ChangeKind.FOLDER_CREATED))
_LAST = frozenset((ChangeKind.DESTROYED, ChangeKind.FOLDER_DESTROYED))


def summarise(rows: Iterable[LogRow], what: What, old: int, current: int, max_ids: int, *, cut: bool) -> Changes:
    """`rows` in order; where they were `cut` at a limit, the new state is the one of the last row.

    Ends early, at a state in between, before more than `max_ids` ids would be named (RFC 8620 §5.2).
    """
    first: dict[int, ChangeKind | None] = {}
    last: dict[int, ChangeKind | None] = {}
    counts_only = True
    reached, more = old, False
    for row in rows:
        touched = _touched(row, what)
        if len(first.keys() | {number for number, _ in touched}) > max_ids:
            more = True
            break
        for number, kind in touched:
            first.setdefault(number, kind)
            last[number] = kind
            counts_only = counts_only and kind is None
        reached = row.modseq
    new = reached if more or cut else current
    created = tuple(n for n in first if first[n] in _FIRST and last[n] not in _LAST)
    destroyed = tuple(n for n in first if first[n] not in _FIRST and last[n] in _LAST)
    updated = tuple(n for n in first if first[n] not in _FIRST and last[n] not in _LAST)
    return Changes(old, new, more or cut, created, updated, destroyed, counts_only and bool(updated))


def _touched(row: LogRow, what: What) -> list[tuple[int, ChangeKind | None]]:
    """The ids a row concerns and how; None where only a folder's counts changed."""
    if what is What.ENTRIES:
        concerned = row.entry_id is not None and row.kind is not ChangeKind.SUBMITTED
        return [(row.entry_id, row.kind)] if concerned and row.entry_id is not None else []
    if row.entry_id is None:
        return [(row.folder_id, row.kind)] if row.folder_id is not None else []
    return [(folder_id, None) for folder_id in sorted(_recounted(row))]


def _recounted(row: LogRow) -> set[int]:
    """The folders whose counts a change of an entry touches."""
    detail = row.detail or {}
    folders = detail.get("folders") or {}
    concerned = {*folders.get("before", ()), *folders.get("after", ())}
    if row.folder_id is not None:
        concerned.add(row.folder_id)
    if row.kind is ChangeKind.KEYWORDS:
        keywords = detail.get("keywords") or {}
        before, after = keywords.get("before", ()), keywords.get("after", ())
        if all((word in before) == (word in after) for word in (SEEN, "$draft")):
            return set()
    return concerned if row.kind is not ChangeKind.SUBMITTED else set()
