"""A safe look at a message nobody should open: its header fields, its text, the names of its files. Pure.

Nothing of it is rendered: HTML is taken for its words alone, and what changes the direction of text, to make a name
look like another, is made visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from everpost.mail.bodies import body_lists
from everpost.mail.content import decode_text, words_of_html
from everpost.mail.header import parse_header
from everpost.mail.part import Part
from everpost.mail.words import as_text

READ_OCTETS: Final = 1024 * 1024
"""So much of a message is read for a look at it; text that comes later is not shown."""
MAX_TEXT: Final = 32_000
MAX_FIELDS: Final = 200
MAX_VALUE: Final = 2000
MAX_FILES: Final = 100
_MAX_NAME: Final = 255
_VISIBLE: Final = dict.fromkeys(
    map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), "\ufffd"
)


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file by what the sender called it ("" where it has no name); `size` in octets as it was transferred."""

    name: str
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class PlainView:
    """`fields` are the header's, decoded, from the top; `complete`: all of header and text is here."""

    fields: tuple[tuple[str, str], ...]
    text: str
    complete: bool
    files: tuple[AttachedFile, ...]


def plain_view(data: bytes, root: Part) -> PlainView:
    """A look at a message that begins with `data`, whose structure is `root`. Never raises."""
    lists = body_lists(root)
    text, whole = _text(data, lists.text)
    header = parse_header(data)
    fields = tuple(
        (field.name[:_MAX_NAME], _shown(as_text(field.raw), MAX_VALUE)) for field in header.fields[:MAX_FIELDS]
    )
    files = tuple(
        AttachedFile(_shown(part.filename or "", _MAX_NAME), part.type, part.size)
        for part in lists.attachments[:MAX_FILES]
    )
    listed = len(header.fields) <= MAX_FIELDS and len(lists.attachments) <= MAX_FILES
    return PlainView(fields, text, whole and listed, files)


def _text(data: bytes, parts: tuple[Part, ...]) -> tuple[str, bool]:
    pieces: list[str] = []
    room, whole = MAX_TEXT, True
    for part in parts:
        if not part.type.startswith("text/"):
            continue
        if room <= 0 or (part.body_start >= len(data) and part.size):
            return "\n\n".join(pieces), False
        text, _ = decode_text(data, part, limit=4 * MAX_TEXT)
        if part.type == "text/html":
            text, complete = words_of_html(text)
            whole = whole and complete
        whole = whole and part.body_end <= len(data) and len(text) <= room
        pieces.append(_shown(text, room))
        room -= len(text)
    return "\n\n".join(pieces), whole


def _shown(text: str, limit: int) -> str:
    return text[:limit].translate(_VISIBLE)
