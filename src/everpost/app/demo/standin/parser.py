"""Reading IMAP commands (RFC 3501 §9): one command with its literals in, words out. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

MAX_DEPTH = 8
MAX_WORDS = 20_000
_LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}\Z")
_ATOM_END = frozenset(b' ()"\r\n')
_SYSTEM_FLAGS = {name.lower(): name for name in ("\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft")}
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DATE_TIME = re.compile(r"[ \d]\d-[A-Z][a-z]{2}-\d{4} \d\d:\d\d:\d\d [+-]\d{4}")
_KEYWORD = re.compile(r"[^\s\\(){}%*\"\]\x00-\x1f\x7f-\uffff]{1,100}")

# An atom is a str, a quoted string or literal is bytes, a parenthesised list is a list.
Word = str | bytes | list["Word"]


class BadCommand(ValueError):
    """A command that cannot be understood: answered with BAD."""


def literal_at_end(line: bytes) -> tuple[int, bool] | None:
    """Size of the literal a line announces and whether the client waits for leave (RFC 7888); None without."""
    found = _LITERAL.search(line)
    return (int(found[1]), not found[2]) if found else None


def parse(command: bytes) -> list[Word]:
    """Words of a whole command, literals included after their `{n}` CRLF; raises `BadCommand`."""
    words: list[Word] = []
    open_lists: list[list[Word]] = [words]
    at, count = 0, 0
    while at < len(command):
        octet = command[at : at + 1]
        count += 1
        if count > MAX_WORDS:
            raise BadCommand("too many words")
        if octet == b" ":
            at += 1
        elif octet == b"(":
            if len(open_lists) > MAX_DEPTH:
                raise BadCommand("too deep")
            inner: list[Word] = []
            open_lists[-1].append(inner)
            open_lists.append(inner)
            at += 1
        elif octet == b")":
            if len(open_lists) == 1:
                raise BadCommand("unbalanced parentheses")
            open_lists.pop()
            at += 1
        else:
            word, at = _read_string(command, at) if octet in (b'"', b"{") else _read_atom(command, at)
            open_lists[-1].append(word)
    if len(open_lists) != 1:
        raise BadCommand("unbalanced parentheses")
    return words


def _read_string(command: bytes, at: int) -> tuple[bytes, int]:
    if command[at : at + 1] == b"{":
        end = command.find(b"\r\n", at)
        announced = literal_at_end(command[at:end]) if 0 < end - at < 20 else None
        if announced is None or end + 2 + announced[0] > len(command):
            raise BadCommand("malformed literal")
        return command[end + 2 : end + 2 + announced[0]], end + 2 + announced[0]
    text = bytearray()
    at += 1
    while at < len(command) and command[at] != 0x22:
        if command[at] == 0x5C:
            at += 1
        text += command[at : at + 1]
        at += 1
    if at >= len(command):
        raise BadCommand("unterminated string")
    return bytes(text), at + 1


def _read_atom(command: bytes, at: int) -> tuple[str, int]:
    """An atom; what stands in brackets belongs to it: `BODY[HEADER.FIELDS (TO CC)]<0.100>`."""
    start = at
    while at < len(command) and command[at] not in _ATOM_END:
        if command[at] == 0x5B:
            at = command.find(b"]", at)
            if at < 0:
                raise BadCommand("unterminated bracket")
        at += 1
    if at == start:
        raise BadCommand("stray octet")
    return command[start:at].decode("latin-1"), at


def command_name(words: list[Word]) -> tuple[str, list[Word]]:
    """Name (with UID before it) and arguments of a tagged command; raises `BadCommand`."""
    size = 3 if len(words) > 1 and text_of(words[1]).upper() == "UID" else 2
    if len(words) < size:
        raise BadCommand("tag and command are expected")
    return " ".join(text_of(word).upper() for word in words[1:size]), words[size:]


def text_of(word: Word) -> str:
    """An astring; raises `BadCommand` for a list."""
    if isinstance(word, list):
        raise BadCommand("a string is expected")
    return word if isinstance(word, str) else word.decode("utf-8", "replace")


def number_set(word: Word, largest: int) -> list[tuple[int, int]]:
    """Ranges of a sequence set (RFC 3501 §9), `*` being `largest`; raises `BadCommand`."""
    ranges = []
    for part in text_of(word).split(","):
        ends = part.split(":")
        if len(ends) > 2 or not all(end == "*" or (end.isascii() and end.isdigit() and len(end) < 11) for end in ends):
            raise BadCommand("malformed set")
        numbers = [largest if end == "*" else int(end) for end in ends]
        ranges.append((min(numbers), max(numbers)))
    return ranges


def read_flags(words: Sequence[Word]) -> frozenset[str]:
    """Flags with system flags in their usual spelling; `\\Recent` is ignored; raises `BadCommand`."""
    flags = set()
    for word in words:
        flag = text_of(word)
        if flag.startswith("\\"):
            if flag.lower() == "\\recent":
                continue
            if flag.lower() not in _SYSTEM_FLAGS:
                raise BadCommand("unknown system flag")
            flags.add(_SYSTEM_FLAGS[flag.lower()])
        elif _KEYWORD.fullmatch(flag):
            flags.add(flag)
        else:
            raise BadCommand("malformed keyword")
    return frozenset(flags)


def read_date(word: Word) -> int:
    """The day (ordinal) of a date such as `1-Feb-2026`; raises `BadCommand`."""
    try:
        day, month, year = text_of(word).split("-")
        return date(int(year), _MONTHS.index(month.capitalize()) + 1, int(day)).toordinal()
    except ValueError as error:
        raise BadCommand("malformed date") from error


def read_date_time(word: Word) -> str:
    """A checked date-time of APPEND, as it was written; raises `BadCommand`."""
    text = text_of(word)
    if not _DATE_TIME.fullmatch(text):
        raise BadCommand("malformed date-time")
    read_date(text[:11].strip())
    return text


def format_date_time(moment: datetime) -> str:
    """An aware moment as IMAP writes it."""
    return f"{moment.day:2d}-{_MONTHS[moment.month - 1]}-{moment.year:04d} {moment:%H:%M:%S %z}"


@dataclass(frozen=True, slots=True)
class Section:
    """One item of FETCH that gives content. `part` is empty, HEADER, TEXT, HEADER.FIELDS or HEADER.FIELDS.NOT."""

    label: str
    part: str
    fields: frozenset[str]
    peek: bool
    partial: tuple[int, int] | None


_SECTION = re.compile(
    r"BODY(\.PEEK)?\[([A-Z.]*)(?: ?\(([^()]{0,4000})\))?\](?:<(\d{1,10})\.(\d{1,10})>)?", re.IGNORECASE
)
_RFC822 = {"RFC822": ("", False), "RFC822.HEADER": ("HEADER", True), "RFC822.TEXT": ("TEXT", False)}
_SIMPLE = frozenset(("UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE"))
_PARTS = frozenset(("", "HEADER", "TEXT", "HEADER.FIELDS", "HEADER.FIELDS.NOT"))


def fetch_items(word: Word) -> list[str | Section]:
    """What FETCH asks for; raises `BadCommand` for what this server has not (ENVELOPE, BODYSTRUCTURE, parts)."""
    items: list[str | Section] = []
    for entry in word if isinstance(word, list) else [word]:
        name = text_of(entry)
        upper = name.upper()
        if upper == "FAST":
            items += ["FLAGS", "INTERNALDATE", "RFC822.SIZE"]
        elif upper in _SIMPLE:
            items.append(upper)
        elif upper in _RFC822:
            part, peek = _RFC822[upper]
            items.append(Section(upper, part, frozenset(), peek, None))
        else:
            items.append(_section(name))
    return items


def _section(name: str) -> Section:
    found = _SECTION.fullmatch(name)
    if found is None or found[2].upper() not in _PARTS:
        raise BadCommand(f"FETCH {name[:40]} is not known here")
    part = found[2].upper()
    names = found[3].replace('"', "").split() if found[3] else []
    if part.startswith("HEADER.FIELDS") != bool(names):
        raise BadCommand("field names are expected")
    label = f"BODY[{part}" + (f" ({' '.join(names)})" if names else "") + "]"
    partial = (int(found[4]), int(found[5])) if found[4] else None
    if partial:
        label += f"<{partial[0]}>"
    return Section(label, part, frozenset(field.lower() for field in names), bool(found[1]), partial)
