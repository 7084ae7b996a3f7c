"""IMAP SEARCH (RFC 3501 §6.4.4) over rows of a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from everpost.app.demo.standin.parser import BadCommand, Word, number_set, read_date, text_of
from everpost.app.demo.standin.store import Row, header_values

Test = Callable[[int, Row], bool]  # sequence number, row

_FLAG_KEYS = {
    "ANSWERED": "\\Answered",
    "DELETED": "\\Deleted",
    "DRAFT": "\\Draft",
    "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
}
_FIELD_KEYS = frozenset(("FROM", "TO", "CC", "BCC", "SUBJECT"))
_MAX_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Search:
    """A compiled search. `message_id`: no message without exactly this Message-ID can match."""

    test: Test
    needs_heads: bool
    message_id: str | None


def compile_search(words: list[Word], count: int, largest_uid: int) -> Search:
    """Understand search keys; raises `BadCommand`. `count` messages, the last with `largest_uid`."""
    compiler = _Compiler(words, count, largest_uid)
    return Search(compiler.all_of(), compiler.needs_heads, compiler.message_id)


class _Compiler:
    def __init__(self, words: list[Word], count: int, largest_uid: int) -> None:
        if len(words) > _MAX_KEYS:
            raise BadCommand("too many search keys")
        self._words = words
        self._count = count
        self._largest = largest_uid
        self._at = 0
        self.needs_heads = False
        self.message_id: str | None = None
        if words and isinstance(words[0], str) and words[0].upper() == "CHARSET":
            self._at = 2

    def all_of(self) -> Test:
        tests = []
        while self._at < len(self._words):
            tests.append(self._key(top=True))
        if not tests:
            raise BadCommand("a search key is expected")
        return lambda number, row: all(test(number, row) for test in tests)

    def _next(self) -> Word:
        if self._at >= len(self._words):
            raise BadCommand("a search key lacks its argument")
        self._at += 1
        return self._words[self._at - 1]

    def _key(self, *, top: bool) -> Test:
        word = self._next()
        if isinstance(word, list):
            inner = _Compiler(word, self._count, self._largest)
            test = inner.all_of()
            self.needs_heads |= inner.needs_heads
            return test
        key = text_of(word).upper()
        if key == "ALL":
            return lambda number, row: True
        if key == "NOT":
            negated = self._key(top=False)
            return lambda number, row: not negated(number, row)
        if key == "OR":
            left, right = self._key(top=False), self._key(top=False)
            return lambda number, row: left(number, row) or right(number, row)
        if key in ("SINCE", "BEFORE", "ON"):
            return self._by_day(key)
        if key == "HEADER" or key in _FIELD_KEYS:
            return self._by_field(text_of(self._next()) if key == "HEADER" else key, top=top)
        return self._by_flag(key) or self._by_number(key, word)

    def _by_day(self, key: str) -> Test:
        day = read_date(self._next())
        if key == "ON":
            return lambda number, row: row.day == day
        return (lambda number, row: row.day >= day) if key == "SINCE" else (lambda number, row: row.day < day)

    def _by_flag(self, key: str) -> Test | None:
        name = key.removeprefix("UN")
        if name == "KEYWORD":
            flag = text_of(self._next())
        elif name in _FLAG_KEYS:
            flag = _FLAG_KEYS[name]
        else:
            return None
        wanted = not key.startswith("UN")
        return lambda number, row: (flag in row.flags) is wanted

    def _by_number(self, key: str, word: Word) -> Test:
        if key == "UID":
            uids = number_set(self._next(), self._largest)
            return lambda number, row: any(low <= row.uid <= high for low, high in uids)
        if not key[:1].isdigit() and not key.startswith("*"):
            raise BadCommand(f"SEARCH {key[:20]} is not known here")
        numbers = number_set(word, self._count)
        return lambda number, row: any(low <= number <= high for low, high in numbers)

    def _by_field(self, name: str, *, top: bool) -> Test:
        value = text_of(self._next())
        # A whole Message-ID is found by index; a field with more around it is the price.
        if top and name.lower() == "message-id" and value.startswith("<") and value.endswith(">"):
            self.message_id = value
            return lambda number, row: True
        self.needs_heads = True
        sought = value.lower().encode("utf-8")
        return lambda number, row: any(sought in found.lower() for found in header_values(row.head, name))
