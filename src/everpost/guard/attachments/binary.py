"""Reading numbers and pieces out of octets; whatever is missing raises Malformed, never anything else."""

from __future__ import annotations


class Malformed(ValueError):
    """The file is not as its format says."""


class Reader:
    """A position in octets. Little-endian, as everything here that came from DOS."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else min(end, len(data))
        if not 0 <= position <= self.end:
            raise Malformed(f"points to octet {position} of {self.end}")

    @property
    def left(self) -> int:
        return self.end - self.position

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.end - self.position:
            raise Malformed(f"{count} octets wanted, {self.end - self.position} there")
        start = self.position
        self.position += count
        return self.data[start : self.position]

    def skip(self, count: int) -> None:
        if not 0 <= count <= self.end - self.position:
            raise Malformed(f"{count} octets to pass over, {self.end - self.position} there")
        self.position += count

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "little")

    def u8(self) -> int:
        return self.number(1)

    def u16(self) -> int:
        return self.number(2)

    def u32(self) -> int:
        return self.number(4)

    def u64(self) -> int:
        return self.number(8)

    def until_nul(self, limit: int = 1024) -> bytes:
        """Up to a NUL octet, which is passed over."""
        stop = self.data.find(b"\0", self.position, min(self.end, self.position + limit))
        if stop < 0:
            raise Malformed("a string without an end")
        value = self.data[self.position : stop]
        self.position = stop + 1
        return value


def little(data: bytes, position: int, octets: int) -> int:
    piece = data[position : position + octets] if position >= 0 else b""
    if len(piece) != octets:
        raise Malformed(f"{octets} octets wanted at {position} of {len(data)}")
    return int.from_bytes(piece, "little")


def big(data: bytes, position: int, octets: int) -> int:
    piece = data[position : position + octets] if position >= 0 else b""
    if len(piece) != octets:
        raise Malformed(f"{octets} octets wanted at {position} of {len(data)}")
    return int.from_bytes(piece, "big")
