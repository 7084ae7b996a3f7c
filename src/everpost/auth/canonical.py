"""Canonicalisation and hashing of what is signed (RFC 6376 §3.4 and §3.7), on the bytes that were received."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from everpost.mail.header import Field, Header, parse_header

_RUN = re.compile(rb"[ \t]+")
_SPACES = re.compile(rb" {2,}")
_LINE_END = re.compile(rb"\r?\n")
_BLANK: Final = b" \t\r\n"


class Canonicalisation(enum.StrEnum):
    """How much may change on the way (RFC 6376 §3.4)."""

    SIMPLE = "simple"
    RELAXED = "relaxed"


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """The header of a message: the bytes up to the body, and where their fields are.

    The offsets of `header` count from the beginning of `data`.
    """

    data: bytes
    header: Header

    @classmethod
    def parse(cls, data: bytes) -> SignedHeader:
        """Of the beginning of a message, or of all of it."""
        header = parse_header(data)
        return cls(data[: header.size], header)

    def written(self, field: Field) -> bytes:
        """The field as it was received, without its last line end."""
        octets = self.data[field.start : field.end]
        return octets[: -len(b"\r\n")] if octets.endswith(b"\r\n") else octets.removesuffix(b"\n")


def canonical_field(written: bytes, form: Canonicalisation) -> bytes:
    """One field without a line end at its end (RFC 6376 §3.4.1, §3.4.2)."""
    if form is Canonicalisation.SIMPLE:
        return written
    name, _, value = written.partition(b":")
    value = _RUN.sub(b" ", _LINE_END.sub(b"", value))
    return name.rstrip(b" \t").lower() + b":" + value.strip(b" \t")


def signed_octets(
    message: SignedHeader, names: Iterable[str], signature: bytes, form: Canonicalisation, *, skip: Field | None = None
) -> bytes:
    """What is signed: the fields of `names`, each name from the last field upwards, then the signature's own.

    A name without a field (left) stands for nothing (RFC 6376 §5.4.2). `signature` is that field as written,
    with an empty b=; `skip` is never among the others.
    """
    left: dict[str, list[Field]] = {}
    wanted = [name.lower() for name in names]
    for key in set(wanted):
        left[key] = [field for field in message.header.all(key) if field is not skip]
    parts = [canonical_field(message.written(left[key].pop()), form) for key in wanted if left[key]]
    return b"\r\n".join((*parts, canonical_field(signature, form)))


@dataclass(frozen=True, slots=True)
class BodyForm:
    """What one hash of a body depends on. `length` is the l= tag in octets of the canonical body."""

    form: Canonicalisation
    length: int | None = None


@dataclass(frozen=True, slots=True)
class BodyHash:
    """SHA-256 of a canonical body; `octets` is the canonical body's whole length."""

    digest: bytes
    octets: int


class BodyHasher:
    """Hashes a body that comes in chunks cut anywhere, in linear time and once for all l= there are.

    White space at the end of what came is kept back, since what it means depends on what follows.
    """

    def __init__(self, form: Canonicalisation, lengths: Iterable[int] = ()) -> None:
        self._relaxed = form is Canonicalisation.RELAXED
        self._lengths = sorted(set(lengths), reverse=True)
        self._digests: dict[int, bytes] = {}
        self._hash = hashlib.sha256()
        self._octets = 0
        self._kept: list[bytes] = []

    def update(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        solid = len(chunk.rstrip(_BLANK))
        if solid:
            self._kept.append(chunk[:solid])
            self._add(self._canonical(b"".join(self._kept)))
            self._kept.clear()
        if solid < len(chunk):
            self._kept.append(chunk[solid:])

    def finish(self) -> dict[int | None, BodyHash]:
        """The hash of the whole body under None, and those of its beginnings; nothing may be added afterwards."""
        rest = self._canonical(b"".join(self._kept))
        if self._relaxed:
            rest = rest.rstrip(b" ")
        rest = _without_empty_lines(rest)
        # An empty simple body is one line end (RFC 6376 §3.4.3), an empty relaxed one is nothing (§3.4.4).
        if rest or self._octets or not self._relaxed:
            rest += b"\r\n"
        self._add(rest)
        whole = BodyHash(self._hash.digest(), self._octets)
        cut = {length: BodyHash(digest, self._octets) for length, digest in self._digests.items()}
        return {None: whole} | dict.fromkeys(self._lengths, whole) | cut

    def _canonical(self, octets: bytes) -> bytes:
        if not self._relaxed:
            return octets
        octets = octets.replace(b"\t", b" ")
        if b"  " in octets:
            octets = _SPACES.sub(b" ", octets)
        return octets.replace(b" \r\n", b"\r\n")

    def _add(self, octets: bytes) -> None:
        start = 0
        while self._lengths and self._lengths[-1] <= self._octets + len(octets) - start:
            length = self._lengths.pop()
            end = start + length - self._octets
            self._hash.update(octets[start:end])
            self._digests[length] = self._hash.digest()
            self._octets, start = length, end
        self._hash.update(octets[start:])
        self._octets += len(octets) - start


def _without_empty_lines(octets: bytes) -> bytes:
    """Without the CRLFs at the end, however many; in linear time, so without asking for one after the other."""
    if octets.endswith(b"\r"):
        return octets
    tail = len(octets.rstrip(b"\r\n"))
    start = tail + 1 if octets.startswith(b"\n", tail) else tail
    for broken, after in ((b"\n\n", 2), (b"\r\r", 1)):
        found = octets.rfind(broken, tail)
        if found >= 0:
            start = max(start, found + after)
    return octets[:start]


def hash_body(chunks: Iterable[bytes], wanted: Iterable[BodyForm]) -> dict[BodyForm, BodyHash]:
    """Every wanted hash of one body, read once. A length beyond the end has the hash of the whole."""
    asked = set(wanted)
    forms = {item.form for item in asked}
    hashers = {
        form: BodyHasher(form, [item.length for item in asked if item.form is form and item.length is not None])
        for form in forms
    }
    for chunk in chunks:
        for hasher in hashers.values():
            hasher.update(chunk)
    found = {form: hasher.finish() for form, hasher in hashers.items()}
    return {item: found[item.form][item.length] for item in asked}
