"""Small changes of a message: spans of the original, and what stands in their place. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Edit(msgspec.Struct, frozen=True, array_like=True, order=True):
    """`octets` stand in place of the original's from `start` up to `end`. Both may be the same: they are put in."""

    start: int
    end: int
    octets: bytes = b""


Edits = tuple[Edit, ...]
"""Ascending, and never overlapping; each begins before the end of the message."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Edits).decode


def in_order(edits: Iterable[Edit]) -> Edits:
    """Edits made by several, as one list. Of two that overlap, the one that begins first counts."""
    kept: list[Edit] = []
    for edit in sorted(edits):
        if not kept or edit.start >= kept[-1].end:
            kept.append(edit)
    return tuple(kept)


def encode_edits(edits: Edits) -> bytes | None:
    """As they are stored; None where there are none."""
    return _encode(edits) if edits else None


def decode_edits(stored: bytes | None) -> Edits:
    """What `encode_edits` made."""
    return _decode(stored) if stored else ()


def growth(edits: Edits) -> int:
    """How many octets longer a message gets; below zero where it gets shorter."""
    return sum(len(edit.octets) - (edit.end - edit.start) for edit in edits)


def edited(data: bytes, edits: Edits) -> bytes:
    """The message with its changes."""
    if not edits:
        return data
    kept: list[bytes] = []
    position = 0
    for edit in edits:
        kept += (data[position : edit.start], edit.octets)
        position = edit.end
    return b"".join((*kept, data[position:]))


class Editor:
    """As `edited`, for octets that come in chunks."""

    def __init__(self, edits: Edits) -> None:
        self._edits = list(edits)
        self._position = 0

    def feed(self, chunk: bytes) -> bytes:
        """What the next chunk becomes."""
        begun, self._position = self._position, self._position + len(chunk)
        if not self._edits:
            return chunk
        kept: list[bytes] = []
        at = begun
        while self._edits and self._edits[0].start < self._position:
            edit = self._edits[0]
            if edit.start >= begun:
                kept += (chunk[at - begun : edit.start - begun], edit.octets)
            at = max(at, min(edit.end, self._position))
            if edit.end > self._position:
                break
            del self._edits[0]
        return b"".join((*kept, chunk[at - begun :]))
