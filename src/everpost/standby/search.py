"""Finding entries: a filter and an order become one statement. Every value is a parameter, never part of the text."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from everpost.standby import text
from everpost.standby.values import Account, StandbyRefusal

MAX_TEXT = 1000


class CannotSearch(StandbyRefusal):
    """The filter asks for what cannot be searched."""


class Operator(enum.StrEnum):
    AND = "AND"
    OR = "OR"
    NOT = "NOT"  # none of them


class SortBy(enum.StrEnum):
    """RFC 8621 §4.4.2."""

    RECEIVED_AT = "receivedAt"
    SIZE = "size"
    FROM = "from"
    TO = "to"
    SUBJECT = "subject"
    SENT_AT = "sentAt"
    HAS_KEYWORD = "hasKeyword"
    ALL_IN_THREAD = "allInThreadHaveKeyword"
    SOME_IN_THREAD = "someInThreadHaveKeyword"

    @property
    def needs_keyword(self) -> bool:
        return self in (SortBy.HAS_KEYWORD, SortBy.ALL_IN_THREAD, SortBy.SOME_IN_THREAD)

    @property
    def needs_index(self) -> bool:
        """Whether the sort key stands in the index of full text search."""
        return self in (SortBy.FROM, SortBy.TO, SortBy.SUBJECT, SortBy.SENT_AT)


@dataclass(frozen=True, slots=True)
class Condition:
    """All that is set must hold (RFC 8621 §4.4.1)."""

    in_folder: int | None = None
    in_folder_other_than: tuple[int, ...] | None = None
    before: datetime | None = None
    after: datetime | None = None
    min_size: int | None = None
    max_size: int | None = None
    has_keyword: str | None = None
    not_keyword: str | None = None
    all_in_thread: str | None = None
    some_in_thread: str | None = None
    none_in_thread: str | None = None
    has_attachment: bool | None = None
    thread: int | None = None
    text: str | None = None
    subject: str | None = None
    body: str | None = None
    from_: str | None = None
    to: str | None = None
    cc: str | None = None
    bcc: str | None = None
    header: tuple[str, str | None] | None = None  # a field's name, and what it contains


@dataclass(frozen=True, slots=True)
class Combined:
    """Conditions under an operator."""

    operator: Operator
    parts: tuple[Filter, ...]


Filter = Condition | Combined


@dataclass(frozen=True, slots=True)
class Order:
    """One key of the order of results."""

    by: SortBy = SortBy.RECEIVED_AT
    ascending: bool = True
    keyword: str | None = None


_INDEXED = frozenset(("text", "subject", "body", "from_", "to", "cc", "bcc", "header"))
_OF_THREAD = frozenset(("all_in_thread", "some_in_thread", "none_in_thread"))


def conditions(wanted: Filter | None) -> list[Condition]:
    """All conditions of a filter, whatever operators stand around them."""
    if wanted is None:
        return []
    if isinstance(wanted, Condition):
        return [wanted]
    return [condition for part in wanted.parts for condition in conditions(part)]


def needs_index(wanted: Filter | None, order: tuple[Order, ...]) -> bool:
    """Whether the index of full text search has to be up to date for this."""
    asked = any(_is_set(condition, name) for condition in conditions(wanted) for name in _INDEXED)
    return asked or any(key.by.needs_index for key in order)


def looks_at_threads(wanted: Filter | None, order: tuple[Order, ...]) -> bool:
    """Whether a change of one entry may move others of its conversation in or out."""
    asked = any(_is_set(condition, name) for condition in conditions(wanted) for name in _OF_THREAD)
    return asked or any(key.by in (SortBy.ALL_IN_THREAD, SortBy.SOME_IN_THREAD) for key in order)


def folder_only(wanted: Filter | None) -> int | None:
    """The folder, where the filter is nothing but "in this folder"."""
    if isinstance(wanted, Condition) and wanted.in_folder is not None and wanted == Condition(wanted.in_folder):
        return wanted.in_folder
    return None


@dataclass(slots=True)
class _Statement:
    """What a statement about one mailbox is made of. `of` is the table that rows come from: p(lacement) or e(ntry)."""

    of: str
    values: list[Any] = field(default_factory=list)
    needs_entry: bool = False
    needs_message: bool = False
    needs_text: bool = False

    def add(self, value: Any, cast: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{cast}"

    def entry(self, text: str) -> str:
        self.needs_entry = True
        return text

    def message(self, text: str) -> str:
        self.needs_message = True
        return text

    def text(self, text: str) -> str:
        self.needs_text = True
        return text


@dataclass(frozen=True, slots=True)
class Search:
    """Statements about one mailbox: a page of ids, their number, the places of some. Each with its values."""

    _id: str
    _source: str
    _keys: str
    _values: tuple[Any, ...]
    _filter_values: tuple[Any, ...]  # without those of the order
    _collapse: bool

    def page(self, position: int, limit: int) -> tuple[str, tuple[Any, ...]]:
        first, last = f"${len(self._values) + 1}::bigint", f"${len(self._values) + 2}::bigint"
        if self._collapse:
            text = f"SELECT id FROM ({self._placed()}) AS found ORDER BY place OFFSET {first} LIMIT {last}"  # noqa: S608
        else:
            text = f"SELECT {self._id} AS id FROM {self._source} ORDER BY {self._keys} OFFSET {first} LIMIT {last}"  # noqa: S608
        return text, (*self._values, position, limit)

    def rows(self, position: int, limit: int) -> tuple[str, tuple[Any, ...]]:
        """Ids with their conversations, not collapsed: for who collapses them while reading."""
        first, last = f"${len(self._values) + 1}::bigint", f"${len(self._values) + 2}::bigint"
        text = (
            f"SELECT {self._id} AS id, e.thread_id FROM {self._source}"  # noqa: S608
            f" ORDER BY {self._keys} OFFSET {first} LIMIT {last}"
        )
        return text, (*self._values, position, limit)

    def count(self) -> tuple[str, tuple[Any, ...]]:
        what = "count(DISTINCT e.thread_id)" if self._collapse else "count(*)"
        return f"SELECT {what} FROM {self._source}", self._filter_values  # noqa: S608

    def positions_of(self, entry_ids: list[int]) -> tuple[str, tuple[Any, ...]]:
        """Those that are among the results, with their places from 0, in order."""
        numbers = f"${len(self._values) + 1}::bigint[]"
        text = (
            f"SELECT id, place - 1 AS place FROM ({self._placed()}) AS found"  # noqa: S608
            f" WHERE id = ANY({numbers}) ORDER BY place"
        )
        return text, (*self._values, entry_ids)

    def _placed(self) -> str:
        """Ids with their place in the results."""
        thread = ", e.thread_id" if self._collapse else ""
        rows = (
            f"SELECT {self._id} AS id, row_number() OVER (ORDER BY {self._keys}) AS place{thread} FROM {self._source}"  # noqa: S608
        )
        if not self._collapse:
            return rows
        return (
            "SELECT id, row_number() OVER (ORDER BY place) AS place FROM (SELECT id, place, "  # noqa: S608
            f"row_number() OVER (PARTITION BY thread_id ORDER BY place) AS nth FROM ({rows}) AS a) AS b WHERE nth = 1"
        )


_SCOPE = "{0}.organisation_id = {1} AND {0}.mailbox_id = {2}"
_ENTRY = " JOIN entry e ON e.organisation_id = p.organisation_id AND e.mailbox_id = p.mailbox_id AND e.message_id = p.message_id"  # noqa: E501
_MESSAGE = " JOIN message m ON m.organisation_id = {0}.organisation_id AND m.id = {0}.message_id"
_TEXT = " LEFT JOIN message_text t ON t.organisation_id = {0}.organisation_id AND t.message_id = {0}.message_id"


def build(account: Account, wanted: Filter | None, order: tuple[Order, ...], *, collapse_threads: bool) -> Search:
    """Raises `CannotSearch`."""
    folder, rest = _split_folder(wanted)
    statement = _Statement("e" if folder is None else "p", needs_entry=collapse_threads)
    mailbox = (statement.add(account.organisation_id, "bigint"), statement.add(account.mailbox_id, "bigint"))
    where = [_SCOPE.format(statement.of, *mailbox)]
    if folder is not None:  # the placement's key holds a folder's entries in the usual order
        where.append(f"p.folder_id = {statement.add(folder, 'bigint')}")
    if rest is not None:
        where.append(_filter_text(statement, rest))
    filter_values = tuple(statement.values)
    keys = _order_text(statement, order)
    source = "entry e" if folder is None else "placement p" + (_ENTRY if statement.needs_entry else "")
    if statement.needs_message:
        source += _MESSAGE.format(statement.of)
    if statement.needs_text:
        source += _TEXT.format(statement.of)
    source += " WHERE " + " AND ".join(where)
    return Search(f"{statement.of}.message_id", source, keys, tuple(statement.values), filter_values, collapse_threads)


def _split_folder(wanted: Filter | None) -> tuple[int | None, Filter | None]:
    """The folder that everything must be in, and what else must hold."""
    if isinstance(wanted, Condition) and wanted.in_folder is not None:
        return wanted.in_folder, replace(wanted, in_folder=None)
    if isinstance(wanted, Combined) and wanted.operator is Operator.AND:
        for number, part in enumerate(wanted.parts):
            if isinstance(part, Condition) and part.in_folder is not None:
                parts = (*wanted.parts[:number], replace(part, in_folder=None), *wanted.parts[number + 1 :])
                return part.in_folder, replace(wanted, parts=parts)
    return None, wanted


def _filter_text(statement: _Statement, wanted: Filter) -> str:
    if isinstance(wanted, Condition):
        parts = [make(statement, getattr(wanted, name)) for name, make in _CONDITIONS if _is_set(wanted, name)]
        return "(" + (" AND ".join(parts) or "true") + ")"
    parts = [_filter_text(statement, part) for part in wanted.parts]
    if wanted.operator is Operator.AND:
        return "(" + (" AND ".join(parts) or "true") + ")"
    joined = "(" + (" OR ".join(parts) or "false") + ")"
    return f"(NOT {joined})" if wanted.operator is Operator.NOT else joined


def _is_set(condition: Condition, name: str) -> bool:
    return getattr(condition, name) is not None


def _matching(statement: _Statement, query: str) -> str:
    """That the message's words match. A subquery by itself, so that the index over words can be the way in."""
    return (
        f"{statement.of}.message_id IN (SELECT w.message_id FROM message_text w"  # noqa: S608
        f" WHERE w.organisation_id = $1::bigint AND w.words @@ {statement.add(query, 'text::tsquery')})"
    )


def _words(weight: str = "", mark: str = "") -> _Maker:
    def make(statement: _Statement, asked: str) -> str:
        if len(asked) > MAX_TEXT or "\0" in asked:
            raise CannotSearch("the text to search for is too long")
        terms = text.terms(asked)
        if not terms:  # nothing but signs: nobody has that, unless nothing at all was asked
            return "false" if asked.strip() else "true"
        return _matching(statement, text.tsquery(terms, weight=weight, mark=mark))

    return make


def _header(statement: _Statement, asked: tuple[str, str | None]) -> str:
    name, value = asked
    found = _matching(statement, text.header_name_query(name))
    if not value:
        return found
    pattern = statement.add(text.header_pattern(name, value), "text")
    return statement.text(f"({found} AND t.header ~ {pattern})")


_OTHERS = (
    "EXISTS (SELECT 1 FROM entry o WHERE o.organisation_id = e.organisation_id AND o.mailbox_id = e.mailbox_id"
    " AND o.thread_id = e.thread_id AND {0})"
)


def _some(statement: _Statement, keyword: str) -> str:
    return statement.entry(_OTHERS.format(f"{statement.add(keyword, 'text')} = ANY(o.keywords)"))


def _all(statement: _Statement, keyword: str) -> str:
    return statement.entry("NOT " + _OTHERS.format(f"NOT {statement.add(keyword, 'text')} = ANY(o.keywords)"))


def _keyword(statement: _Statement, keyword: str) -> str:
    return statement.entry(f"{statement.add(keyword, 'text')} = ANY(e.keywords)")


# The last octet of a summary is its last member, has_attachment, in MessagePack: 0xc3 for true.
_HAS_ATTACHMENT = "(get_byte(m.summary, octet_length(m.summary) - 1) = 195)"

_Maker = Callable[[_Statement, Any], str]
_CONDITIONS: tuple[tuple[str, _Maker], ...] = (
    ("in_folder", lambda s, v: s.entry(f"{s.add(v, 'bigint')} = ANY(e.folder_ids)")),
    ("in_folder_other_than", lambda s, v: s.entry(f"NOT (e.folder_ids <@ {s.add(list(v), 'bigint[]')})")),
    ("before", lambda s, v: f"{s.of}.received_at < {s.add(v, 'timestamptz')}"),
    ("after", lambda s, v: f"{s.of}.received_at >= {s.add(v, 'timestamptz')}"),
    ("min_size", lambda s, v: s.message(f"m.size >= {s.add(v, 'bigint')}")),
    ("max_size", lambda s, v: s.message(f"m.size < {s.add(v, 'bigint')}")),
    ("has_keyword", _keyword),
    ("not_keyword", lambda s, v: f"NOT {_keyword(s, v)}"),
    ("all_in_thread", _all),
    ("some_in_thread", _some),
    ("none_in_thread", lambda s, v: f"NOT {_some(s, v)}"),
    ("has_attachment", lambda s, v: s.message(_HAS_ATTACHMENT if v else f"NOT {_HAS_ATTACHMENT}")),
    ("thread", lambda s, v: s.entry(f"e.thread_id = {s.add(v, 'bigint')}")),
    ("text", _words()),
    ("subject", _words("A")),
    ("body", _words("D")),
    ("from_", _words(mark="f")),
    ("to", _words(mark="t")),
    ("cc", _words(mark="c")),
    ("bcc", _words(mark="b")),
    ("header", _header),
)


def _order_text(statement: _Statement, order: tuple[Order, ...]) -> str:
    keys = order or (Order(SortBy.RECEIVED_AT, ascending=False),)
    last = "ASC" if keys[-1].ascending else "DESC"
    texts = [f"{_key_text(statement, key)} {'ASC' if key.ascending else 'DESC'}" for key in keys]
    return ", ".join([*texts, f"{statement.of}.message_id {last}"])


def _key_text(statement: _Statement, key: Order) -> str:
    match key.by:
        case SortBy.RECEIVED_AT:
            return f"{statement.of}.received_at"
        case SortBy.SIZE:
            return statement.message("m.size")
        case SortBy.SUBJECT:
            return statement.text("coalesce(t.subject_key, '')")
        case SortBy.FROM:
            return statement.text("coalesce(t.from_key, '')")
        case SortBy.TO:
            return statement.text("coalesce(t.to_key, '')")
        case SortBy.SENT_AT:
            return statement.text(f"coalesce(t.sent_at, {statement.of}.received_at)")
        case SortBy.HAS_KEYWORD:
            return f"({_keyword(statement, key.keyword or '')})"
        case SortBy.ALL_IN_THREAD:
            return f"({_all(statement, key.keyword or '')})"
        case SortBy.SOME_IN_THREAD:
            return f"({_some(statement, key.keyword or '')})"
