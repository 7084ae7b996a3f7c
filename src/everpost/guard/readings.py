"""What another program may read in a message where ours reads it otherwise: the other readings of what is ambiguous,
broken or hidden between the parts. They are for the scanners, not for people. Pure and bounded; never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from everpost.guard.oldforms import files_within
from everpost.mail.header import Field, parse_header_at
from everpost.mail.mime import MimeProblem, Part, decode_body, decode_text, scan

Reading = tuple[str, bytes]
"""Where it was found, in words, and the octets that another program would see."""

MAX_READINGS: Final = 100
_MAX_OCTETS: Final = 64 * 1024 * 1024  # of all readings of one message
_MIN_GAP: Final = 60  # shorter than the shortest test file; a usual preamble has less
_TYPE: Final = "content-type"
_ENCODING: Final = "content-transfer-encoding"
_IDENTITY: Final = frozenset(("7bit", "8bit", "binary"))
_PLAIN_CHARSETS: Final = re.compile(
    r"(?:us-?ascii|utf-?8|(?:iso|windows|cp|koi8|x-mac|mac|gb|big5|euc|shift|ks_c|tis)[-_a-z0-9]*)\Z", re.IGNORECASE
)
_NOT_PLAIN: Final = re.compile(
    r"(?:cp|ibm)-?(?:037|273|278|280|284|285|297|37|42\d|500|87\d|1026|1140|1047)|iso-?2022", re.I
)
_BASE64: Final = re.compile(rb"\s*(?:[A-Za-z0-9+/]{4}){10,}[A-Za-z0-9+/]{0,3}={0,2}\s")
_DELIMITER: Final = re.compile(rb"^--([^\r\n]{1,70}?)[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Readings:
    """What was found; `complete` is false where there were more than are looked at."""

    found: tuple[Reading, ...]
    complete: bool


def other_readings(data: bytes, root: Part) -> Readings:
    """The readings of a scanned message that differ from ours, at most `MAX_READINGS`."""
    found: list[Reading] = []
    octets = 0
    for where, content in _of_message(data, root):
        octets += len(content)
        if octets > _MAX_OCTETS or len(found) >= MAX_READINGS:
            return Readings(tuple(found), complete=False)
        if content:
            found.append((where, content))
    return Readings(tuple(found), complete=True)


def _of_message(data: bytes, root: Part) -> Iterator[Reading]:
    for part in root.walk():
        if part.problems:
            yield from _problems(data, part)
        if part.is_multipart:
            yield from _between(data, part)
        elif not part.children:
            yield from _of_leaf(data, part)


# ------------------------------------------------------------------ fields that say two things, or nothing known


def _problems(data: bytes, part: Part) -> Iterator[Reading]:
    header = parse_header_at(data, part.header_start, part.body_end)
    body = data[part.body_start : part.body_end]
    if MimeProblem.DUPLICATE_FIELD in part.problems:
        for field in _others(header.all(_TYPE)):
            yield from _as_message(b"Content-Type:" + field.raw, _encoding_field(part), body, "a second Content-Type")
        for field in _others(header.all(_ENCODING)):
            yield from _as_message(
                _type_field(part), b"Content-Transfer-Encoding:" + field.raw, body, "a second encoding"
            )
    if MimeProblem.BAD_ENCODING in part.problems and not part.is_multipart:
        for encoding in ("base64", "quoted-printable", "x-uuencode"):
            yield f"read as {encoding}", decode_body(data, _encoded(part, encoding))
    if MimeProblem.MISSING_BOUNDARY in part.problems:
        plain = decode_body(data, part)
        for field in header.all(_TYPE)[:1]:
            yield from _as_message(b"Content-Type:" + field.raw, b"", plain, "an encoded multipart")
        yield from _guessed(plain)


def _others(fields: Sequence[Field]) -> list[Field]:
    """All but the first, which is ours, or of very many some and the last: a reader takes one or the other end."""
    return list(fields[1:]) if len(fields) <= 5 else [*fields[1:4], fields[-1]]


def _guessed(body: bytes) -> Iterator[Reading]:
    """Parts where no boundary was declared, or another one."""
    marks = dict.fromkeys(match[1] for match in islice(_DELIMITER.finditer(body), 200))
    for mark in islice(marks, 5):
        kind = b'Content-Type: multipart/mixed; boundary="' + mark.replace(b"\\", b"").replace(b'"', b"") + b'"\r\n'
        yield from _as_message(kind, b"", body, "parts behind a boundary that is not declared")


def _as_message(kind: bytes, encoding: bytes, body: bytes, where: str) -> Iterator[Reading]:
    """The leaves of what these two fields make of a body."""
    fields = b"".join(field.rstrip(b"\r\n") + b"\r\n" for field in (kind, encoding) if field)
    message = fields + b"\r\n" + body
    for leaf in _leaves(scan(message, descend_messages=True)):
        yield where, decode_body(message, leaf)


def _type_field(part: Part) -> bytes:
    return f"Content-Type: {part.type}\r\n".encode("ascii", "replace")


def _encoding_field(part: Part) -> bytes:
    return f"Content-Transfer-Encoding: {part.encoding}\r\n".encode("ascii", "replace")


def _encoded(part: Part, encoding: str) -> Part:
    return Part("", "", 0, part.body_start, part.body_end, encoding=encoding)


def _leaves(part: Part) -> Iterator[Part]:
    return (each for each in part.walk() if not each.children)


# ------------------------------------------------------------------ before, between and behind the parts


def _between(data: bytes, part: Part) -> Iterator[Reading]:
    """Preamble and epilogue of a multipart (RFC 2046 §5.1.1), which ordinary readers pass over."""
    if not part.children:
        return
    mark = b"--" + (part.param("boundary") or "").rstrip().encode("latin-1", "replace")
    before = data[part.body_start : part.children[0].header_start]
    behind = data[part.children[-1].body_end : part.body_end].lstrip().removeprefix(mark).removeprefix(b"--")
    for where, gap in (("before the first part", before.strip().removesuffix(mark)), ("behind the last part", behind)):
        gap = gap.strip()
        if len(gap) < _MIN_GAP:
            continue
        yield where, gap
        if b"\n\n" in gap or b"\r\n\r\n" in gap:  # perhaps a part with its header
            kind = b'Content-Type: multipart/mixed; boundary="' + mark[2:] + b'"\r\n'
            inner = gap if mark in gap else mark + b"\r\n" + gap
            yield from _as_message(kind, b"", inner, where)


# ------------------------------------------------------------------ what a part may be besides


def _of_leaf(data: bytes, part: Part) -> Iterator[Reading]:
    if part.encoding in _IDENTITY and _BASE64.match(data, part.body_start, part.body_end):
        yield "base64 that is not declared", decode_body(data, _encoded(part, "base64"))
    if not part.type.startswith("text/"):
        return
    content = decode_body(data, part)
    yield from files_within(content)
    if not _plain(part.charset or "us-ascii"):
        yield f"a text in {part.charset}"[:100], decode_text(data, part)[0].encode("utf-8", "surrogateescape")
    elif part.problems or _padded_within(data, part):
        yield "a text", content


def _padded_within(data: bytes, part: Part) -> bool:
    """Base64 with padding amid it: some readers stop there, others go on."""
    return part.encoding == "base64" and b"=" in data[part.body_start : part.body_end].rstrip(b"= \t\r\n")


def _plain(charset: str) -> bool:
    """Whether ASCII stands for itself in it, so that a scanner sees what a person reads."""
    return _PLAIN_CHARSETS.match(charset) is not None and _NOT_PLAIN.match(charset) is None
