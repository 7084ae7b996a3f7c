"""Filters and sort orders of ContactCard/query (RFC 9610 §3.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from everpost.serve.web.jmap.operators import FilterReader
from everpost.standby.cards import FIELDS, SORTS, Contact, anything, holds
from everpost.wire.jmap.core import MethodError
from everpost.wire.jmap.headers import read_date

Test = Callable[[Contact], bool]


def read_card_filter(value: dict[str, Any]) -> Test:
    """Raises `MethodError`: invalidArguments, unsupportedFilter."""
    return FilterReader(_condition).read(value)


def _condition(name: str, value: Any) -> Test:
    if name in ("createdBefore", "createdAfter", "updatedBefore", "updatedAfter"):
        return _time(name, value)
    if name not in FIELDS and name not in ("inAddressBook", "uid", "hasMember", "kind", "text"):
        raise MethodError("unsupportedFilter", name[:80])
    if not isinstance(value, str):
        raise MethodError("invalidArguments", f"filter: {name} cannot be this")
    match name:
        case "inAddressBook":
            return lambda contact: value in contact.books
        case "uid":
            return lambda contact: bool(contact.card.get("uid") == value)
        case "hasMember":
            return lambda contact: value in (contact.card.get("members") or {})
        case "kind":
            return lambda contact: bool(contact.card.get("kind", "individual") == value)
        case "text":
            return lambda contact: holds(anything(contact.card), value)
        case _:
            field = FIELDS[name]
            return lambda contact: holds(field(contact.card), value)


def _time(name: str, value: Any) -> Test:
    try:
        limit = read_date(value)
    except (ValueError, TypeError):
        raise MethodError("invalidArguments", f"filter: {name} cannot be this") from None
    match name:
        case "createdBefore":
            return lambda contact: contact.created < limit
        case "createdAfter":
            return lambda contact: contact.created >= limit
        case "updatedBefore":
            return lambda contact: contact.updated < limit
        case _:
            return lambda contact: contact.updated >= limit


def sort_cards(found: list[Contact], comparators: list[dict[str, Any]]) -> None:
    """In place; raises `MethodError` (unsupportedSort)."""
    for comparator in reversed(comparators[:10]):
        name, ascending = str(comparator.get("property")), comparator.get("isAscending", True)
        if name not in SORTS or not isinstance(ascending, bool) or comparator.get("collation") is not None:
            raise MethodError("unsupportedSort", name[:80])
        found.sort(key=SORTS[name], reverse=not ascending)
