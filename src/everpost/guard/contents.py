"""What a message says and shows, decoded once for all steps that look at it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from everpost.guard.readings import other_readings
from everpost.mail.header import Header, as_text
from everpost.mail.mime import MimeProblem, decode_body, decode_text, scan
from everpost.mail.part import Part

MAX_TEXT: Final = 1024 * 1024  # octets of one text
MAX_TEXTS: Final = 50  # texts, and as many pictures, of one message
MAX_PICTURE: Final = 20 * 1024 * 1024
_TEXT_TYPES: Final = frozenset({"text/plain", "text/calendar", "text/enriched", "text/markdown"})
_HTML_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
_SHOWN: Final = _TEXT_TYPES | _HTML_TYPES


@dataclass(frozen=True, slots=True)
class File:
    """What a message carries besides its text: a name and a type as they were written, and the octets."""

    name: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """Subject, texts and HTML of the message and of messages inside it, its pictures, and its files.

    What cannot be read as a text or a page here is a file; so is a text that has a name. `readings` are what other
    programs may read where ours reads otherwise (all of it, if `readings_complete`); `problems` is all that is wrong
    with the form of the message, and `partial`, that it is a piece of one (RFC 2046 §5.2.2).
    """

    subject: str
    texts: tuple[str, ...]
    htmls: tuple[str, ...]
    pictures: tuple[bytes, ...]
    files: tuple[File, ...]
    readings: tuple[File, ...] = ()
    readings_complete: bool = True
    problems: frozenset[MimeProblem] = frozenset()
    partial: bool = False


def read_contents(data: bytes, header: Header) -> Contents:
    """Decode a message. Never raises; what goes beyond the limits is left out."""
    texts: list[str] = []
    htmls: list[str] = []
    pictures: list[bytes] = []
    files: list[File] = []
    root = scan(data, header, descend_messages=True)
    for part in _leaves(root):
        if part.type in _TEXT_TYPES and len(texts) < MAX_TEXTS:
            texts.append(decode_text(data, part, limit=MAX_TEXT)[0])
        elif part.type in _HTML_TYPES and len(htmls) < MAX_TEXTS:
            htmls.append(decode_text(data, part, limit=MAX_TEXT)[0])
        elif part.type.startswith("image/") and len(pictures) < MAX_TEXTS:
            pictures.append(decode_body(data, part, limit=MAX_PICTURE))
        if part.filename or part.type not in _SHOWN:
            files.append(File(part.filename or "", part.type, decode_body(data, part)))
    readings = other_readings(data, root)
    subject = header.last("subject")
    return Contents(
        as_text(subject.raw) if subject else "", tuple(texts), tuple(htmls), tuple(pictures), tuple(files),
        tuple(File(where, "", content) for where, content in readings.found), readings.complete,
        frozenset(problem for part in root.walk() for problem in part.problems),
        any(part.type == "message/partial" for part in root.walk()),
    )  # fmt: skip


def _leaves(part: Part) -> Iterator[Part]:
    if not part.children:
        yield part
    for child in part.children:
        yield from _leaves(child)
