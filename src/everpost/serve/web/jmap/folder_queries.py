"""Mailbox/query, Mailbox/queryChanges (RFC 8621 §2.3, §2.4). All folders are at hand: found and sorted here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from everpost.serve.web.jmap.context import Arguments, Context, query_answer
from everpost.serve.web.jmap.operators import FilterReader
from everpost.serve.web.names import number_of, state_of
from everpost.standby.changes import CannotCalculate, What
from everpost.standby.text import fold
from everpost.standby.values import Folder
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import FolderQuery, FolderQueryChanges
from everpost.wire.jmap.core import MethodError

_MAX_CHANGES = 5000


async def query(context: Context, arguments: Arguments) -> Arguments:
    """Mailbox/query."""
    asked = context.read(arguments, FolderQuery)
    state = await context.standby.state(context.account)
    ids = await _results(context, asked)
    return query_answer(asked, state, ids)


async def query_changes(context: Context, arguments: Arguments) -> Arguments:
    """Mailbox/queryChanges: every folder that changed is taken out and put in again where it is now."""
    asked = context.read(arguments, FolderQueryChanges)
    since = state_of(asked.since_query_state)
    try:
        found = await context.standby.changes(context.account, since, What.FOLDERS, _MAX_CHANGES)
    except CannotCalculate:
        raise MethodError("cannotCalculateChanges") from None
    if found.more:
        raise MethodError("cannotCalculateChanges")
    ids = await _results(context, asked)
    changed = {encode_id(number) for number in (*found.created, *found.updated)}
    removed = {encode_id(number) for number in (*found.updated, *found.destroyed)}
    if (asked.sort_as_tree or asked.filter_as_tree) and not found.counts_only and (changed or removed):
        changed |= set(ids)  # a folder that moves takes those below it along
        removed |= set(ids)
    added = [{"id": text, "index": place} for place, text in enumerate(ids) if text in changed]
    if asked.max_changes is not None and len(removed) + len(added) > asked.max_changes:
        raise MethodError("tooManyChanges")
    answer: Arguments = {
        "accountId": asked.account_id, "oldQueryState": str(found.old), "newQueryState": str(found.new),
        "removed": sorted(removed), "added": added,
    }  # fmt: skip
    return answer | ({"total": len(ids)} if asked.calculate_total else {})


async def _results(context: Context, asked: FolderQuery | FolderQueryChanges) -> list[str]:
    folders = await context.standby.folders(context.account, counts=False)
    matches = FilterReader(_condition).read(asked.filter or {})
    for comparator in reversed(asked.sort or []):
        _sort(folders, comparator)
    if asked.sort_as_tree:
        folders = _as_tree(folders)
    wanted = {folder.id for folder in folders if matches(folder)}
    if asked.filter_as_tree:
        wanted = {folder.id for folder in folders if _line(folder, folders) <= wanted}
    return [encode_id(folder.id) for folder in folders if folder.id in wanted]


def _sort(folders: list[Folder], comparator: dict[str, Any]) -> None:
    keys: dict[str, Callable[[Folder], Any]] = {
        "sortOrder": lambda f: f.sort_order,
        "name": lambda f: fold(f.name),
        "parentId": lambda f: -1 if f.parent_id is None else f.parent_id,
    }
    name, ascending = str(comparator.get("property")), comparator.get("isAscending", True)
    if name not in keys or not isinstance(ascending, bool) or comparator.get("collation") is not None:
        raise MethodError("unsupportedSort", name[:80])
    folders.sort(key=keys[name], reverse=not ascending)


def _as_tree(folders: list[Folder]) -> list[Folder]:
    """Each folder right after its parent, siblings in the order they had (RFC 8621 §2.3)."""
    there = {folder.id for folder in folders}
    below: dict[int | None, list[Folder]] = {}
    for folder in folders:
        below.setdefault(folder.parent_id if folder.parent_id in there else None, []).append(folder)
    ordered: list[Folder] = []
    stack = list(reversed(below.get(None, [])))
    while stack:
        folder = stack.pop()
        ordered.append(folder)
        stack.extend(reversed(below.get(folder.id, [])))
    return ordered


def _line(folder: Folder, folders: list[Folder]) -> set[int]:
    """A folder and all above it."""
    by_id = {other.id: other for other in folders}
    line: set[int] = set()
    at: Folder | None = folder
    while at is not None and at.id not in line:
        line.add(at.id)
        at = by_id.get(at.parent_id) if at.parent_id is not None else None
    return line


Test = Callable[[Folder], bool]


def _condition(name: str, value: Any) -> Test:
    match name, value:
        case "parentId", None:
            return lambda folder: folder.parent_id is None
        case "parentId", str():
            parent = number_of(value)
            return lambda folder: folder.parent_id == parent
        case "name", str():
            part = fold(value)
            return lambda folder: part in fold(folder.name)
        case "role", str() | None:
            return lambda folder: folder.role == value
        case "hasAnyRole", bool():
            return lambda folder: (folder.role is not None) == value
        case "isSubscribed", bool():
            return lambda folder: folder.subscribed == value
        case "parentId" | "name" | "role" | "hasAnyRole" | "isSubscribed", _:
            raise MethodError("invalidArguments", f"filter: {name} cannot be this")
        case _:
            raise MethodError("unsupportedFilter", name[:80])
