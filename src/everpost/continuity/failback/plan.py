"""From the change log to what is to be done on the primary: the net effect, never a merge. Pure.

The standby was the master: what people did there counts. What they did not touch is left as the primary has it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from everpost.continuity.failback.model import (
    Action,
    Append,
    Delete,
    Flags,
    FolderCreate,
    FolderDelete,
    FolderRename,
    Move,
    Subject,
)
from everpost.standby.model import ChangeKind, Origin, Role

_SYSTEM = frozenset(role.folder_id for role in Role)
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A row of the change log."""

    kind: ChangeKind
    message_id: int | None
    folder_id: int | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """A message named in the log; `folder_ids` is empty where its entry is gone."""

    subject: Subject
    folder_ids: tuple[int, ...]
    keywords: frozenset[str]
    at: datetime | None
    origin: str


@dataclass(frozen=True, slots=True)
class Place:
    """A folder: its name and what it is in."""

    name: str
    parent_id: int | None


@dataclass(slots=True)
class _Net:
    """What the log says of one message."""

    is_new: bool
    folders_before: tuple[int, ...] | None = None
    keywords_before: frozenset[str] | None = None


@dataclass(slots=True)
class Plan:
    """Actions in the order in which they have to be done."""

    actions: list[Action] = field(default_factory=list)

    def count(self, kind: type[Action]) -> int:
        return sum(isinstance(action, kind) for action in self.actions)


def make_plan(
    log: Sequence[LogEntry],
    standing: Mapping[int, Standing],
    folders: Mapping[int, Place],
    appended: Collection[int] = (),
) -> Plan:
    """`folders` as they are now; `appended` are messages that an earlier run may have put on the primary."""
    creates, renames, deletes = _folder_actions(log, folders)
    appends: list[Action] = []
    changes: list[Action] = []
    removals: list[Action] = []
    for message_id, net in _nets(log).items():
        known = standing.get(message_id)
        if known is None:
            continue
        if not known.folder_ids:
            if not net.is_new or message_id in appended:
                removals.append(Delete(known.subject, net.folders_before or ()))
        elif net.is_new:
            if known.origin != Origin.IMPORT:
                appends.append(_append(known))
        else:
            changes += _changes(known, net)
    return Plan([*renames, *creates, *appends, *changes, *removals, *deletes])


def _nets(log: Iterable[LogEntry]) -> dict[int, _Net]:
    nets: dict[int, _Net] = {}
    for row in log:
        if row.message_id is None or row.kind is ChangeKind.SUBMITTED:
            continue
        new = row.kind in (ChangeKind.CREATED, ChangeKind.RECEIVED)
        net = nets.setdefault(row.message_id, _Net(new))
        if new:
            continue
        # Rows tell of both; only of what they changed do they tell how it was before.
        if row.kind is ChangeKind.KEYWORDS and net.keywords_before is None:
            net.keywords_before = frozenset(row.detail["keywords"]["before"])
        elif row.kind in (ChangeKind.MOVED, ChangeKind.DESTROYED) and net.folders_before is None:
            net.folders_before = tuple(row.detail["folders"]["before"])
    return nets


def _append(known: Standing) -> Append:
    folder_id, also_in = _principal(known.folder_ids)
    at = known.at or known.subject.accepted_at
    return Append(known.subject, folder_id, known.keywords, at, also_in)


def _changes(known: Standing, net: _Net) -> Iterable[Action]:
    before = net.keywords_before
    if before is not None and before != known.keywords:
        yield Flags(known.subject, known.keywords - before, before - known.keywords)
    folders = net.folders_before
    if folders is not None and not set(folders) & set(known.folder_ids):
        folder_id, also_in = _principal(known.folder_ids)
        yield Move(known.subject, folders, folder_id, also_in)


def _principal(folder_ids: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The one folder that counts on a primary, where a message stands once; the others are told in the report."""
    ordered = sorted(folder_ids)
    return ordered[0], tuple(ordered[1:])


# ---------------------------------------------------------------------- folders


def path_of(folder_id: int, folders: Mapping[int, Place]) -> tuple[str, ...] | None:
    """Names from the top; None where a folder on the way is not known."""
    names: list[str] = []
    current: int | None = folder_id
    while current is not None:
        place = folders.get(current)
        if place is None or len(names) >= MAX_DEPTH:
            return None
        names.append(place.name)
        current = place.parent_id
    return tuple(reversed(names))


def _folder_actions(
    log: Sequence[LogEntry], folders: Mapping[int, Place]
) -> tuple[list[FolderCreate], list[FolderRename], list[FolderDelete]]:
    before = _folders_before(log, folders)
    touched = {row.folder_id for row in log if row.message_id is None and row.folder_id is not None}
    creates: list[FolderCreate] = []
    renames: list[FolderRename] = []
    deletes: list[FolderDelete] = []
    for folder_id in touched - _SYSTEM:
        old = path_of(folder_id, before) if folder_id in before else None
        new = path_of(folder_id, folders) if folder_id in folders else None
        if new is not None and old is None:
            creates.append(FolderCreate(folder_id, new))
        elif new is not None and old is not None and old != new:
            renames.append(FolderRename(folder_id, old, new))
        elif old is not None and new is None:
            deletes.append(FolderDelete(folder_id, old))
    creates.sort(key=lambda action: (len(action.path), action.path))
    renames.sort(key=lambda action: (len(action.new), action.new))
    deletes.sort(key=lambda action: (-len(action.path), action.path))
    return creates, _as_they_come(renames), deletes


def _as_they_come(renames: list[FolderRename]) -> list[FolderRename]:
    """What is below a renamed folder goes with it: later renames start from there."""
    done: list[FolderRename] = []
    for action in renames:
        old = action.old
        for earlier in done:
            if old[: len(earlier.old)] == earlier.old:
                old = earlier.new + old[len(earlier.old) :]
        if old != action.new:
            done.append(replace(action, old=old))
    return done


def _folders_before(log: Sequence[LogEntry], folders: Mapping[int, Place]) -> dict[int, Place]:
    """The folders as they were before the log: undone from its end."""
    state = dict(folders)
    for row in reversed(log):
        if row.message_id is not None or row.folder_id is None:
            continue
        if row.kind is ChangeKind.FOLDER_CREATED:
            state.pop(row.folder_id, None)
        elif row.kind in (ChangeKind.FOLDER_CHANGED, ChangeKind.FOLDER_DESTROYED):
            described = row.detail.get("before") or {}
            place = state.get(row.folder_id, Place("", None))
            state[row.folder_id] = replace(
                place, name=str(described.get("name", place.name)), parent_id=described.get("parent", place.parent_id)
            )
    return state
