"""The header of a message as a list of spans (RFC 5322 §2.2), and readers for the values of its fields.

Nothing here raises on what a stranger wrote, and every function takes time linear in its input.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from everpost.mail.addresslist import HeaderAddress, HeaderGroup, as_addresses, flatten
from everpost.mail.charset import clean, decode_loosely
from everpost.mail.dates import as_date
from everpost.mail.words import as_text, encode_text

__all__ = [
    "Field",
    "Header",
    "HeaderAddress",
    "HeaderGroup",
    "as_addresses",
    "as_date",
    "as_message_ids",
    "as_text",
    "as_urls",
    "encode_text",
    "flatten",
    "parse_header",
    "parse_header_at",
]

LIMIT_OCTETS: Final = 1024 * 1024
LIMIT_FIELDS: Final = 2000
_LIMIT_ITEMS = 10_000

_END = re.compile(rb"\n\r?\n")
# Line ends that are followed by no continuation line.
_CRLF = re.compile(rb"\r\n(?![ \t])")
_LF = re.compile(rb"\n(?![ \t])")
_NAME = re.compile(rb"[^\x00-\x20:\x7f]++\Z")
# The spellings that nearly all fields have: looking one up is cheaper than checking and folding it.
_USUAL_NAMES = """
Received From To Cc Bcc Subject Date Message-ID Message-Id Reply-To Sender In-Reply-To References MIME-Version
Mime-Version Content-Type Content-Transfer-Encoding Content-Disposition Content-ID Content-Id Content-Language
Content-Location Content-Description Return-Path Delivered-To DKIM-Signature X-Google-DKIM-Signature
Authentication-Results ARC-Seal ARC-Message-Signature ARC-Authentication-Results Received-SPF List-Id List-
Unsubscribe List-Unsubscribe-Post List-Archive List-Post List-Help List-Subscribe List-Owner Precedence
X-Mailer User-Agent Auto-Submitted Errors-To X-BeenThere X-Mailman-Version X-Received X-Gm-Message-State
X-Google-Smtp-Source X-Originating-IP X-MS-Has-Attach X-MS-TNEF-Correlator Thread-Topic Thread-Index Accept-
Language Importance X-Priority X-Spam-Status X-Spam-Score X-Spam-Level X-Original-To Feedback-ID Envelope-To
Resent-From Resent-Date Resent-To
"""
_KNOWN = {name.encode("ascii"): (name, name.lower()) for name in _USUAL_NAMES.split()}
_BRACKETED = re.compile(r"<([^<>]*+)>")
_SPACES = re.compile(r"\s+")


class Field(NamedTuple):
    """One field. `raw` is everything after the colon, folding included, without the final line end
    (the Raw form of RFC 8621 §4.1.2.1); `start` and `end` span the whole field with its line end.
    """

    name: str
    key: str
    raw: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """The fields in order. `size` counts the octets up to the body, the blank line included.

    `complete` is False where a limit cut the fields short; `size` is right even then.
    """

    fields: tuple[Field, ...]
    size: int
    complete: bool
    _first: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_first", {item[1]: item for item in reversed(self.fields)})

    @property
    def has_repeats(self) -> bool:
        """Whether any name occurs twice."""
        return len(self._first) != len(self.fields)

    def first(self, name: str) -> Field | None:
        """The first field of that name, in any case."""
        return self._first.get(name.lower())

    def keyed(self, key: str) -> Field | None:
        """As `first`, for a name already in lower case; a little faster."""
        return self._first.get(key)

    def last(self, name: str) -> Field | None:
        """The last field of that name, in any case: the one that counts for JMAP (RFC 8621 §4.1.3)."""
        key = name.lower()
        if key not in self._first:
            return None
        return next(item for item in reversed(self.fields) if item.key == key)

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name, in order."""
        key = name.lower()
        return tuple(item for item in self.fields if item.key == key) if key in self._first else ()


def parse_header(
    data: bytes | memoryview, *, limit_octets: int = LIMIT_OCTETS, limit_fields: int = LIMIT_FIELDS
) -> Header:
    """Find the fields at the beginning of a message.

    Bare LF is taken for a line end, and a line that is no field (an mbox `From ` line, text without a colon)
    is passed over: the header ends at the first empty line and nowhere else.
    """
    return parse_header_at(data, 0, len(data), limit_octets=limit_octets, limit_fields=limit_fields)


def parse_header_at(
    data: bytes | memoryview,
    start: int,
    end: int,
    *,
    limit_octets: int = LIMIT_OCTETS,
    limit_fields: int = LIMIT_FIELDS,
) -> Header:
    """As `parse_header`, for the header that begins at `start` and ends not after `end`."""
    stop, body = _find_end(data, start, end)
    limited = min(stop, start + limit_octets)
    head = bytes(data[start:limited])
    fields, uncut = _fields(head, start, limit_fields)
    return Header(tuple(fields), body - start, uncut and limited == stop)


def _fields(head: bytes, start: int, limit: int) -> tuple[list[Field], bool]:
    """The fields of the first `limit` logical lines, and whether that is all of them."""
    if head.count(b"\r\n") == head.count(b"\n"):
        chunks, line_end, loose = _CRLF.split(head, limit), 2, False
    else:
        chunks, line_end, loose = _LF.split(head, limit), 1, True
    uncut = len(chunks) <= limit or not chunks.pop()
    fields: list[Field] = []
    add, known, cached, make = fields.append, _KNOWN.get, _cached_names, _make_field
    position, last = start, start + len(head)
    for chunk in chunks:
        begin = position
        position += len(chunk) + line_end
        name_octets, colon, raw = chunk.partition(b":")
        if not colon:
            continue
        names = known(name_octets) or (
            cached(name_octets) if len(name_octets) <= _CACHED_NAME else _read_names(name_octets)
        )
        if names is None:
            continue
        if loose and raw.endswith(b"\r"):
            raw = raw[:-1]
        add(make((names[0], names[1], raw, begin, position)))
    if fields and fields[-1].end > last:  # the header ended without a line end
        fields[-1] = fields[-1]._replace(end=last)
    return fields, uncut


# NamedTuple's own constructor costs three times as much, and this is called fifty times a message.
_make_field: Callable[[tuple[str, str, bytes, int, int]], Field] = functools.partial(tuple.__new__, Field)


def _read_names(octets: bytes) -> tuple[str, str] | None:
    """A field's name as written and in lower case; None where the line is no field."""
    stripped = octets.rstrip(b" \t")  # RFC 5322 §4.5 allows white space before the colon
    if _NAME.match(stripped) is None:
        return None
    name = stripped.decode("latin-1")
    return name, name.lower()


_CACHED_NAME: Final = 64  # octets; with the number of entries this bounds the memory
_cached_names = functools.lru_cache(maxsize=1024)(_read_names)


def _find_end(data: bytes | memoryview, start: int, end: int) -> tuple[int, int]:
    """Where the last field ends, and where the body begins."""
    opening = bytes(data[start : min(start + 2, end)])
    if opening[:1] == b"\n":
        return start, start + 1
    if opening == b"\r\n":
        return start, start + 2
    blank = _END.search(data, start, end)
    return (end, end) if blank is None else (blank.start() + 1, blank.end())


def as_message_ids(raw: bytes) -> tuple[str, ...]:
    """The MessageIds form of RFC 8621 §4.1.2.5: ids without angle brackets, in order, at most 10,000.

    Where there are no brackets at all, words with an "@" (or a single word) are taken for ids.
    """
    text = clean(decode_loosely(raw).replace("\t", " "))
    if "<" in text:
        found = (_SPACES.sub("", inner) for inner in _BRACKETED.findall(text)[:_LIMIT_ITEMS])
        ids = tuple(inner for inner in found if inner)
        if ids:
            return ids
    words = text.replace(",", " ").replace("<", " ").replace(">", " ").split()
    return tuple(word for word in words[:_LIMIT_ITEMS] if len(words) == 1 or "@" in word)


def as_urls(raw: bytes) -> tuple[str, ...]:
    """The URLs form of RFC 8621 §4.1.2.7 for the List-* fields (RFC 2369), at most 10,000."""
    text = clean(decode_loosely(raw))
    found = (_SPACES.sub("", inner) for inner in _BRACKETED.findall(text)[:_LIMIT_ITEMS])
    return tuple(inner for inner in found if inner)
