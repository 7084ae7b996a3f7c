"""The structure of a message as offsets into its bytes: what is stored beside it and used without parsing again."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec


class MimeProblem(enum.Enum):
    """What is wrong with a part. The numbers are stored: never give one another meaning."""

    MISSING_BOUNDARY = 1
    """A multipart without a usable boundary, or whose boundary never comes: read as text."""
    TOO_DEEP = 2
    """Parts below this one were not looked at."""
    TOO_MANY_PARTS = 3
    """Parts after the last one listed were not looked at."""
    TRUNCATED = 4
    """The closing delimiter is missing."""
    BAD_ENCODING = 5
    """The transfer encoding is unknown, or forbidden for this type (RFC 2045 §6.4)."""
    BAD_TYPE = 6
    """The Content-Type cannot be read: taken for text/plain (RFC 2045 §5.2)."""
    HEADER_CUT = 7
    """The header of the part is beyond the limits."""
    DUPLICATE_FIELD = 8
    """Two Content-Type or transfer encoding fields: readers will disagree; the first counts."""


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One part; all offsets count octets from the beginning of the message that was scanned.

    `part_id` is the number IMAP gives it (RFC 9051 §6.4.5): "1" for a message of one part, "2.1"; a multipart
    at the top has "", one at the top of an embedded message "2.TEXT". The body is `data[body_start:body_end]`,
    without the line end that belongs to the delimiter after it (RFC 2046 §5.1.1). `charset` is "us-ascii"
    where text declares none (RFC 8621 §4.1.4) and None for everything but text. `filename` and the
    parameters are what a stranger wrote: never a path.
    """

    part_id: str
    type: str
    header_start: int
    body_start: int
    body_end: int
    lines: int = 0
    charset: str | None = None
    encoding: str = "7bit"
    disposition: str | None = None
    filename: str | None = None
    cid: str | None = None
    language: tuple[str, ...] = ()
    location: str | None = None
    params: tuple[tuple[str, str], ...] = ()
    children: tuple[Part, ...] = ()
    problems: tuple[MimeProblem, ...] = ()

    @property
    def size(self) -> int:
        """Octets of the body as it is transferred (encoded)."""
        return self.body_end - self.body_start

    @property
    def is_multipart(self) -> bool:
        return self.type.startswith("multipart/")

    def param(self, name: str) -> str | None:
        """A parameter of the Content-Type by its lower-case name."""
        for key, value in self.params:
            if key == name:
                return value
        return None

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in the order of the message."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.children))


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Part)


def serialise(part: Part) -> bytes:
    """The tree as compact MessagePack, to be kept in the database."""
    return _encoder.encode(part)


def load(stored: bytes) -> Part:
    """What `serialise` made; raises `ValueError` for anything else."""
    return _decoder.decode(stored)
