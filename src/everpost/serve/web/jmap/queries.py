"""Email/query, Email/queryChanges (RFC 8621 §4.4, §4.5): the client's filter and order as the standby's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from everpost.serve.web.jmap.context import Arguments, Context
from everpost.serve.web.names import number_of, state_of
from everpost.standby import search
from everpost.standby.changes import CannotCalculate
from everpost.standby.search import CannotSearch, Combined, Condition, Filter, Operator, Order, SortBy
from everpost.standby.values import NoSuchThing
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import EmailQuery, EmailQueryChanges
from everpost.wire.jmap.core import MAX_OBJECTS_IN_GET, MethodError
from everpost.wire.jmap.headers import read_date

MAX_CONDITIONS = 50
MAX_FILTER_DEPTH = 10
MAX_LIMIT = 5000
SORT_OPTIONS = [by.value for by in SortBy]


async def query(context: Context, arguments: Arguments) -> Arguments:
    asked = context.read(arguments, EmailQuery)
    limit = min(MAX_OBJECTS_IN_GET if asked.limit is None else asked.limit, MAX_LIMIT)
    wanted = read_filter(asked.filter)
    try:
        found = await context.standby.query(
            context.account,
            wanted,
            _order(asked.sort or []),
            position=max(-(2**40), min(asked.position, 2**40)),
            limit=limit,
            anchor=None if asked.anchor is None else number_of(asked.anchor),
            anchor_offset=max(-(2**40), min(asked.anchor_offset, 2**40)),
            total=asked.calculate_total,
            collapse_threads=asked.collapse_threads,
        )
    except NoSuchThing:
        raise MethodError("anchorNotFound") from None
    except CannotSearch as error:
        raise MethodError("unsupportedFilter", str(error)) from error
    answer: Arguments = {
        "accountId": asked.account_id, "queryState": str(found.state), "canCalculateChanges": True,
        "position": found.position, "ids": [encode_id(number) for number in found.ids],
        "collapseThreads": asked.collapse_threads,
    }  # fmt: skip
    if asked.limit is None or asked.limit > limit:
        answer["limit"] = limit
    return answer | ({"total": found.total} if asked.calculate_total else {})


async def query_changes(context: Context, arguments: Arguments) -> Arguments:
    """Email/queryChanges (RFC 8620 §5.6)."""
    asked = context.read(arguments, EmailQueryChanges)
    try:
        found = await context.standby.query_changes(
            context.account,
            state_of(asked.since_query_state),
            read_filter(asked.filter),
            _order(asked.sort or []),
            total=asked.calculate_total,
            collapse_threads=asked.collapse_threads,
        )
    except CannotCalculate:
        raise MethodError("cannotCalculateChanges") from None
    except CannotSearch as error:
        raise MethodError("unsupportedFilter", str(error)) from error
    if asked.max_changes is not None and len(found.removed) + len(found.added) > asked.max_changes:
        raise MethodError("tooManyChanges")
    answer: Arguments = {
        "accountId": asked.account_id, "oldQueryState": str(found.old), "newQueryState": str(found.new),
        "removed": [encode_id(number) for number in found.removed],
        "added": [{"id": encode_id(number), "index": place} for number, place in found.added],
    }  # fmt: skip
    return answer | ({"total": found.total} if asked.calculate_total else {})


def _order(comparators: list[dict[str, Any]]) -> tuple[Order, ...]:
    keys = []
    for comparator in comparators[:10]:
        try:
            by = SortBy(str(comparator.get("property")))
        except ValueError:
            raise MethodError("unsupportedSort", str(comparator.get("property"))[:80]) from None
        ascending, keyword = comparator.get("isAscending", True), comparator.get("keyword")
        if not isinstance(ascending, bool) or comparator.get("collation") is not None:
            raise MethodError("unsupportedSort", "isAscending is true or false; there are no collations")
        if by.needs_keyword and (not isinstance(keyword, str) or not keyword or "\0" in keyword):
            raise MethodError("invalidArguments", f"{by} needs a keyword")
        keys.append(Order(by, ascending, keyword.lower() if isinstance(keyword, str) else None))
    return tuple(keys)


def read_filter(value: dict[str, Any] | None) -> Filter | None:
    """A filter of Email/query; raises `MethodError`: invalidArguments, unsupportedFilter."""
    return _Reader().filter(value) if value else None


class _Reader:
    """Reads one filter, counting its conditions."""

    def __init__(self) -> None:
        self._left = MAX_CONDITIONS

    def filter(self, value: object, depth: int = 1) -> Filter:
        self._left -= 1
        if not isinstance(value, dict):
            raise MethodError("invalidArguments", "a filter is an object")
        if self._left < 0 or depth > MAX_FILTER_DEPTH:
            raise MethodError("unsupportedFilter", "too many conditions, or too deep")
        if "operator" not in value:
            return _condition(value)
        parts = value.get("conditions")
        if value.keys() - {"operator", "conditions"} or not isinstance(parts, list):
            raise MethodError("invalidArguments", "an operator has conditions")
        try:
            operator = Operator(value["operator"])
        except ValueError:
            raise MethodError("invalidArguments", "the operators are AND, OR and NOT") from None
        return Combined(operator, tuple(self.filter(part, depth + 1) for part in parts))


def _condition(value: dict[str, Any]) -> Condition:
    fields: dict[str, Any] = {}
    for name, inner in value.items():
        if name not in _CONDITIONS:
            raise MethodError("unsupportedFilter", name[:80])
        field, read = _CONDITIONS[name]
        try:
            read_value = read(inner)
        except (ValueError, TypeError):
            raise MethodError("invalidArguments", f"filter: {name} cannot be this") from None
        fields[field] = read_value
    return Condition(**fields)


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or len(value) > search.MAX_TEXT:
        raise ValueError
    return value.encode("utf-8").decode("utf-8")


def _keyword(value: Any) -> str:
    return _text(value).lower()


def _id(value: Any) -> int:
    return number_of(_text(value))


def _ids(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > 1000:
        raise ValueError
    return tuple(_id(item) for item in value)


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _header(value: Any) -> tuple[str, str | None]:
    if not isinstance(value, list) or len(value) not in (1, 2):
        raise ValueError
    name, text = _text(value[0]), _text(value[1]) if len(value) == 2 else None
    if not name or not all("!" <= letter <= "~" and letter != ":" for letter in name):
        raise ValueError
    return name, text


_CONDITIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "inMailbox": ("in_folder", _id),
    "inMailboxOtherThan": ("in_folder_other_than", _ids),
    "before": ("before", read_date),
    "after": ("after", read_date),
    "minSize": ("min_size", _number),
    "maxSize": ("max_size", _number),
    "hasKeyword": ("has_keyword", _keyword),
    "notKeyword": ("not_keyword", _keyword),
    "hasAttachment": ("has_attachment", _boolean),
    "subject": ("subject", _text),
    "text": ("text", _text),
    "body": ("body", _text),
    "from": ("from_", _text),
    "to": ("to", _text),
    "cc": ("cc", _text),
    "bcc": ("bcc", _text),
    "header": ("header", _header),
    "allInThreadHaveKeyword": ("all_in_thread", _keyword),
    "someInThreadHaveKeyword": ("some_in_thread", _keyword),
    "noneInThreadHaveKeyword": ("none_in_thread", _keyword),
}
