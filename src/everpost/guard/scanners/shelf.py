"""Keeps what was unpacked from messages until the scanners have seen it, within limits for all messages together."""

from __future__ import annotations

import weakref
from typing import Final

from everpost.guard.scanners.model import Piece

MIB: Final = 1024 * 1024


class Kept:
    """The pieces of one message. `left_out` counts those that there was no room for."""

    __slots__ = ("__weakref__", "_pieces", "_room", "left_out", "octets")

    def __init__(self, room: int) -> None:
        self._room = room
        self._pieces: list[Piece] = []
        self.octets = 0
        self.left_out = 0

    def put(self, path: str, data: bytes) -> None:
        """Keep one, where there is room. May be called in a thread."""
        if self.octets + len(data) > self._room:
            self.left_out += 1
        elif data:
            self.octets += len(data)
            self._pieces.append(Piece(path, data))

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Those that are there by now."""
        return tuple(self._pieces)


class Shelf:
    """One per process. A message has `message_octets`, or less where others that are still looked at have much."""

    def __init__(self, message_octets: int = 64 * MIB, octets: int = 384 * MIB) -> None:
        self._message_octets = message_octets
        self._octets = octets
        self._used: weakref.WeakSet[Kept] = weakref.WeakSet()

    def kept(self) -> Kept:
        """The place of a new message; it is free again when nobody holds it any more."""
        free = self._octets - sum(each.octets for each in self._used)
        kept = Kept(max(0, min(self._message_octets, free)))
        self._used.add(kept)
        return kept
