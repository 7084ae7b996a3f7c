"""S/MIME (CMS, RFC 5652): what a signed message carries is unwrapped; what is encrypted can only be named."""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from everpost.guard.attachments import streams
from everpost.guard.attachments.binary import Malformed
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_SIGNED: Final = bytes.fromhex("2a864886f70d010702")
_COMPRESSED: Final = bytes.fromhex("2a864886f70d0109100109")
_NAMES: Final = {
    bytes.fromhex("2a864886f70d010703"): "encrypted for certain keys (S/MIME)",
    bytes.fromhex("2a864886f70d010706"): "encrypted (S/MIME)",
    bytes.fromhex("2a864886f70d0109100117"): "encrypted for certain keys (S/MIME)",
}
_MAX_DEPTH: Final = 16
_MAX_PIECES: Final = 100_000
_OID, _OCTETS, _SEQUENCE = 0x06, 0x04, 0x30
_CONSTRUCTED: Final = 0x20


@dataclass(frozen=True, slots=True)
class _Element:
    """One element of BER; with an indefinite length (`end` None) it ends where its children do."""

    tag: int
    start: int
    end: int | None


def _element(data: bytes, at: int) -> _Element:
    if at + 2 > len(data):
        raise Malformed("BER ends early")
    tag, length = data[at], data[at + 1]
    if tag & 0x1F == 0x1F:
        raise Malformed("a tag of several octets")
    start = at + 2
    if length == 0x80:
        return _Element(tag, start, None)
    if length & 0x80:
        octets = length & 0x7F
        length = int.from_bytes(data[start : start + octets], "big")
        start += octets
    return _Element(tag, start, min(start + length, len(data)))


def _octets(data: bytes, element: _Element, out: list[bytes], depth: int = 0) -> int:
    """Collects the contents of a string, which may come in pieces; returns where it ends."""
    if not element.tag & _CONSTRUCTED and element.end is not None:
        out.append(data[element.start : element.end])
        return element.end
    at = element.start
    while element.end is None or at < element.end:
        if data[at : at + 2] == b"\0\0" and element.end is None:
            return at + 2
        if depth >= _MAX_DEPTH or len(out) > _MAX_PIECES or at >= len(data):
            raise Malformed("a string that does not end")
        at = _octets(data, _element(data, at), out, depth + 1)
    return at


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The content of SignedData and CompressedData."""
    data = _binary(item.data)
    outer = _element(data, 0)
    kind = _element(data, outer.start)
    if outer.tag != _SEQUENCE or kind.tag != _OID or kind.end is None:
        raise Malformed("not a CMS container")
    oid = data[kind.start : kind.end]
    if oid in _NAMES:
        context.find(FindingKind.SMIME, item.path, _NAMES[oid])
        context.find(FindingKind.ENCRYPTED, item.path, _NAMES[oid])
        return
    if oid not in (_SIGNED, _COMPRESSED):
        context.find(FindingKind.NOT_UNPACKED, item.path, "an S/MIME container of another kind")
        return
    context.find(FindingKind.SMIME, item.path, "signed" if oid == _SIGNED else "compressed")
    content = _encapsulated(data, kind.end)
    if content is None:
        return  # a detached signature: what it signs is another part
    if oid == _COMPRESSED:
        content = _decompressed(item, content, context)
    context.budget.take(len(content))
    yield Child("content.eml" if b":" in content[:200] else "content", content)


def _decompressed(item: Item, content: bytes, context: Context) -> bytes:
    try:
        return streams.inflate(content, context.budget, zlib.MAX_WBITS)
    except streams.Torn as torn:
        context.find(FindingKind.DAMAGED, item.path, f"unpacked as far as it goes: {torn}")
        return torn.data


def _binary(data: bytes) -> bytes:
    if data[:1] == b"0":
        return data
    lines = [line for line in data.splitlines() if line and not line.startswith(b"-----")]
    try:
        return binascii.a2b_base64(b"".join(lines))
    except binascii.Error as error:
        raise Malformed("neither DER nor base64") from error


def _encapsulated(data: bytes, at: int) -> bytes | None:
    """[0] → SEQUENCE → version, algorithms, EncapsulatedContentInfo → [0] → OCTET STRING."""
    explicit = _element(data, at)
    body = _element(data, explicit.start)
    at = body.start
    for _ in range(2):  # the version and the algorithms
        at = _skip(data, at)
    info = _element(data, at)
    at = _skip(data, info.start)  # its type
    if (info.end is not None and at >= info.end) or data[at : at + 2] == b"\0\0":
        return None
    wrapper = _element(data, at)
    pieces: list[bytes] = []
    _octets(data, _element(data, wrapper.start), pieces)
    return b"".join(pieces)


def _skip(data: bytes, at: int, depth: int = 0) -> int:
    """Where the element after this one begins."""
    element = _element(data, at)
    if element.end is not None:
        return element.end
    if depth >= _MAX_DEPTH:
        raise Malformed("nested too deeply")
    at = element.start
    while data[at : at + 2] != b"\0\0":
        at = _skip(data, at, depth + 1)
    return at + 2
