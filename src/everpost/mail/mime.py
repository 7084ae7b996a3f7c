"""The MIME scanner: one bounded walk over a message that notes where its parts lie (RFC 2045, RFC 2046).

Outer delimiters are found before inner ones, so an inner part can never hide the end of an outer one
(RFC 2046 §5.1.2). Parts, depth, false delimiters and the octets looked at in total are all limited: past a
limit the rest of a part is left unread and the part says so in its problems.
"""

from __future__ import annotations

import re
from typing import Final

from everpost.mail.bodies import BodyLists, body_lists, has_attachment
from everpost.mail.charset import clean
from everpost.mail.content import decode_body, decode_text, preview
from everpost.mail.header import Field, Header, as_message_ids, as_text, parse_header_at
from everpost.mail.params import Parameters, content_type, disposition
from everpost.mail.part import MimeProblem, Part, load, serialise

__all__ = [
    "BodyLists",
    "MimeProblem",
    "Part",
    "body_lists",
    "decode_body",
    "decode_text",
    "has_attachment",
    "load",
    "preview",
    "scan",
    "serialise",
]

MAX_PARTS: Final = 1000
MAX_DEPTH: Final = 50
_MAX_BOUNDARY: Final = 256  # RFC 2046 §5.1.1 says 70; some senders do not count
_MAX_FALSE_DELIMITERS: Final = 20_000
_MAX_PASSES: Final = 8  # how often, on average, each octet may be looked at
_PART_HEADER_OCTETS: Final = 65_536
_PART_HEADER_FIELDS: Final = 200

# What may follow "--boundary" on its line (RFC 2046 §5.1.1: padding is white space).
_DELIMITER_END = re.compile(rb"(--)?+[ \t\r]*+(?:\n|\Z)")
_ENCODINGS = frozenset(("", "7bit", "8bit", "binary", "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue"))
_IDENTITY = frozenset(("", "7bit", "8bit", "binary"))
_SPACES = re.compile(r"\s")
_PLAIN = Parameters("", ())


def scan(
    data: bytes,
    header: Header | None = None,
    *,
    max_parts: int = MAX_PARTS,
    max_depth: int = MAX_DEPTH,
    descend_messages: bool = False,
) -> Part:
    """The tree of parts of a message. `header` is its parsed header, where there is one already.

    A message/rfc822 part is a leaf, as JMAP has it (RFC 8621 §4.1.4), except with `descend_messages`: then its
    only child is the root of the embedded message. Never raises.
    """
    return _Scanner(data, max_parts, max_depth, descend_messages).root(header)


class _Scanner:
    """The state of one scan: what is left of each limit."""

    def __init__(self, data: bytes, max_parts: int, max_depth: int, descend: bool) -> None:
        self.data = data
        self.parts_left = max_parts
        self.max_depth = max_depth
        self.descend = descend
        self.false_left = _MAX_FALSE_DELIMITERS
        self.octets_left = len(data) * _MAX_PASSES + 1024 * 1024

    def root(self, header: Header | None) -> Part:
        end = len(self.data)
        if header is None:
            header = parse_header_at(self.data, 0, end)
        return self._part(header, 0, end, ("", "1", ""), 0, "text/plain")

    def _part(self, header: Header, start: int, end: int, ids: tuple[str, str, str], depth: int, default: str) -> Part:
        """`ids` are the number as a multipart, the number as a leaf, and the prefix of the children."""
        self.parts_left -= 1
        problems: list[MimeProblem] = [] if header.complete else [MimeProblem.HEADER_CUT]
        body = start + header.size
        declared = self._type(header, default, problems)
        kind = declared.value
        encoding = self._encoding(header, kind, problems)
        children: tuple[Part, ...] = ()
        lines = 0
        if kind.startswith("multipart/"):
            children = self._children(declared, body, end, ids[2], depth, problems)
            if not children:
                kind = "text/plain"
        elif self.descend and kind in ("message/rfc822", "message/global") and encoding in _IDENTITY:
            children = self._embedded(body, end, ids[1], depth, problems)
        if not children:
            lines = self.data.count(b"\n", body, end)
        shown, filename, cid, language, location = _described(header, declared)
        return Part(
            part_id=ids[0] if kind.startswith("multipart/") else ids[1],
            type=kind,
            header_start=start,
            body_start=body,
            body_end=end,
            lines=lines,
            charset=(declared.get("charset") or "us-ascii") if kind.startswith("text/") else None,
            encoding=encoding,
            disposition=shown,
            filename=filename,
            cid=cid,
            language=language,
            location=location,
            params=declared.items,
            children=children,
            problems=tuple(dict.fromkeys(problems)) if problems else (),
        )

    def _type(self, header: Header, default: str, problems: list[MimeProblem]) -> Parameters:
        field = header.keyed("content-type")
        if field is None:
            return Parameters(default, ())
        declared = content_type(field.raw)
        if not declared.value:
            problems.append(MimeProblem.BAD_TYPE)
            return Parameters("text/plain", declared.items)
        if header.has_repeats and len(header.all("content-type")) > 1:
            problems.append(MimeProblem.DUPLICATE_FIELD)
        return declared

    def _encoding(self, header: Header, kind: str, problems: list[MimeProblem]) -> str:
        field = header.keyed("content-transfer-encoding")
        if field is None:
            return "7bit"
        encoding = disposition(field.raw).value
        composite = kind.startswith(("multipart/", "message/rfc822"))
        if encoding not in (_IDENTITY if composite else _ENCODINGS):
            problems.append(MimeProblem.BAD_ENCODING)
        if header.has_repeats and len(header.all("content-transfer-encoding")) > 1:
            problems.append(MimeProblem.DUPLICATE_FIELD)
        return encoding or "7bit"

    def _children(
        self,
        declared: Parameters,
        body: int,
        end: int,
        prefix: str,
        depth: int,
        problems: list[MimeProblem],
    ) -> tuple[Part, ...]:
        boundary = (declared.get("boundary") or "").rstrip()
        if not boundary or len(boundary) > _MAX_BOUNDARY:
            problems.append(MimeProblem.MISSING_BOUNDARY)
            return ()
        if depth >= self.max_depth or self.octets_left < end - body:
            problems.append(MimeProblem.TOO_DEEP)
            return ()
        self.octets_left -= end - body
        spans = self._split(b"--" + boundary.encode("latin-1", "replace"), body, end, problems)
        if not spans:
            problems.append(MimeProblem.MISSING_BOUNDARY)
            return ()
        default = "message/rfc822" if declared.value == "multipart/digest" else "text/plain"
        parts: list[Part] = []
        for number, (start, stop) in enumerate(spans, start=1):
            if self.parts_left <= 0:
                problems.append(MimeProblem.TOO_MANY_PARTS)
                break
            header = parse_header_at(
                self.data, start, stop, limit_octets=_PART_HEADER_OCTETS, limit_fields=_PART_HEADER_FIELDS
            )
            part_id = f"{prefix}{number}"
            parts.append(self._part(header, start, stop, (part_id, part_id, f"{part_id}."), depth + 1, default))
        return tuple(parts)

    def _split(self, delimiter: bytes, start: int, end: int, problems: list[MimeProblem]) -> list[tuple[int, int]]:
        """The spans between the delimiter lines, without the line end before each."""
        data, needle = self.data, b"\n" + delimiter
        spans: list[tuple[int, int]] = []
        opened = -1
        # The first delimiter may be the first line; its "\n" is then the last octet of the header.
        position = data.find(needle, max(start - 1, 0), end)
        while position >= 0:
            matched = _DELIMITER_END.match(data, position + len(needle), end)
            if matched is None:
                self.false_left -= 1
                if self.false_left <= 0:
                    problems.append(MimeProblem.TOO_MANY_PARTS)
                    break
                position = data.find(needle, position + 1, end)
                continue
            if opened >= 0:
                stop = position - 1 if position > opened and data[position - 1] == 13 else position
                spans.append((opened, max(stop, opened)))
            opened = matched.end()
            if matched[1] is not None:
                return spans
            if len(spans) > self.parts_left:
                problems.append(MimeProblem.TOO_MANY_PARTS)
                return spans
            position = data.find(needle, opened - 1, end)
        if opened >= 0:
            problems.append(MimeProblem.TRUNCATED)
            if opened < end or not spans:  # else the closing delimiter only lacks its "--"
                spans.append((opened, end))
        return spans

    def _embedded(self, body: int, end: int, part_id: str, depth: int, problems: list[MimeProblem]) -> tuple[Part, ...]:
        if depth >= self.max_depth:
            problems.append(MimeProblem.TOO_DEEP)
            return ()
        if self.parts_left <= 0:
            problems.append(MimeProblem.TOO_MANY_PARTS)
            return ()
        header = parse_header_at(self.data, body, end)
        ids = (f"{part_id}.TEXT", f"{part_id}.1", f"{part_id}.")
        return (self._part(header, body, end, ids, depth + 1, "text/plain"),)


def _described(
    header: Header, declared: Parameters
) -> tuple[str | None, str | None, str | None, tuple[str, ...], str | None]:
    """Disposition, file name, Content-ID, languages and location."""
    field = header.keyed("content-disposition")
    shown = disposition(field.raw) if field is not None else _PLAIN
    name = shown.get("filename") or declared.get("name") or None
    identifier = header.keyed("content-id")
    language = header.keyed("content-language")
    location = header.keyed("content-location")
    return (
        shown.value or None,
        name,
        _cid(identifier) if identifier is not None else None,
        _languages(language) if language is not None else (),
        _SPACES.sub("", as_text(location.raw)) or None if location is not None else None,
    )


def _cid(field: Field) -> str | None:
    ids = as_message_ids(field.raw)
    return ids[0] if ids else as_text(field.raw).strip("<>") or None


def _languages(field: Field) -> tuple[str, ...]:
    """RFC 3282: a list of tags; at most 100."""
    tags = (tag.strip() for tag in clean(as_text(field.raw)).split(",")[:100])
    return tuple(tag for tag in tags if tag)
