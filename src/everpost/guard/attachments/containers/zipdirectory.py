"""The directory of a zip (APPNOTE.TXT of PKWARE), read as forgivingly as by the programs that open it.

The central directory and the local headers are both read: what stands in only one of them is opened by some
programs and not seen by others. Python's zipfile refuses such files, and does not know Deflate64 or AES.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from everpost.guard.attachments.binary import Malformed, little

_LOCAL: Final = b"PK\x03\x04"
_CENTRAL: Final = b"PK\x01\x02"
_END: Final = b"PK\x05\x06"
_END_OCTETS: Final = 22 + 65_535
_MAX_ENTRIES: Final = 10_000
_MAX_MARKS: Final = 20_000
"""So many local headers are looked at, whatever they turn out to be."""
_UNKNOWN32: Final = 0xFFFFFFFF
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 0x1, 0x8, 0x800
STORED, DEFLATE, DEFLATE64, BZIP2, LZMA, ZSTD, XZ, _AES = 0, 8, 9, 12, 14, 93, 95, 99
NOT_READ: Final = {1: "Shrink", 6: "Implode", 10: "old Implode", 18: "TERSE", 19: "LZ77", 97: "WavPack", 98: "PPMd"}
_DESCRIPTORS: Final = re.compile(rb"PK\x07\x08|PK\x01\x02|PK\x03\x04")


@dataclass(frozen=True, slots=True)
class Entry:
    """One member as a header describes it; `offset` is that of its local header."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    time: int
    offset: int
    is_listed: bool
    aes: bytes = b""

    @property
    def is_encrypted(self) -> bool:
        return bool(self.flags & _ENCRYPTED)

    @property
    def has_descriptor(self) -> bool:
        """Whether check sum and sizes stand behind the content."""
        return bool(self.flags & _DESCRIPTOR)

    @property
    def is_folder(self) -> bool:
        return self.name.endswith(("/", "\\")) and self.size == 0


def entries(data: bytes) -> list[Entry]:
    """All members: those of the central directory, then those that only a local header tells of."""
    listed = _listed(data)
    spans = sorted((entry.offset, end_of(data, entry)) for entry in listed)
    found = list(listed)
    position, span, marks = 0, 0, 0
    while (position := data.find(_LOCAL, position)) >= 0 and len(found) < _MAX_ENTRIES and marks < _MAX_MARKS:
        marks += 1
        while span < len(spans) and spans[span][1] <= position:
            span += 1
        if span < len(spans) and spans[span][0] <= position:
            position = max(spans[span][1], position + 4)
            continue
        entry = _local(data, position)
        if entry is not None:
            found.append(entry)
            position = max(end_of(data, entry), position + 30)
        else:
            position += 4
    return found


def _listed(data: bytes) -> list[Entry]:
    end = data.rfind(_END, max(0, len(data) - _END_OCTETS))
    if end < 0 or len(data) - end < 22:
        return []
    size, offset = little(data, end + 12, 4), little(data, end + 16, 4)
    start = end - size  # where it ends before; an offset counts from the zip's own beginning
    shift = start - offset
    if data[start : start + 4] != _CENTRAL or start < 0:
        start, shift = _zip64_start(data, end, offset)
    found: list[Entry] = []
    while data[start : start + 4] == _CENTRAL and len(data) - start >= 46 and len(found) < _MAX_ENTRIES:
        lengths = [little(data, start + at, 2) for at in (28, 30, 32)]
        entry = _entry(data, start + 8, start + 46, lengths[0], lengths[1], listed=True)
        place = entry.offset + shift
        found.append(replace(entry, offset=place if data[place : place + 4] == _LOCAL else entry.offset))
        start += 46 + sum(lengths)
    return found


def _zip64_start(data: bytes, end: int, offset: int) -> tuple[int, int]:
    if data[end - 20 : end - 16] == b"PK\x06\x07":
        record = data.rfind(b"PK\x06\x06", 0, end)
        if record >= 0 and len(data) - record >= 56:
            size, offset = little(data, record + 40, 8), little(data, record + 48, 8)
            return record - size, record - size - offset
    return offset, 0


def _entry(data: bytes, fields: int, name_at: int, name_size: int, extra_size: int, *, listed: bool) -> Entry:
    """Flags to sizes stand in the same order in both headers, from `fields` on."""
    flags, method = little(data, fields, 2), little(data, fields + 2, 2)
    time, crc = little(data, fields + 4, 2), little(data, fields + 8, 4)
    packed, size = little(data, fields + 12, 4), little(data, fields + 16, 4)
    raw = data[name_at : name_at + name_size]
    offset = little(data, fields + 34, 4) if listed else name_at - 30
    name, aes = raw.decode("utf-8" if flags & _UTF8 else _charset(raw), "replace"), b""
    for kind, value in _extras(data[name_at + name_size : name_at + name_size + extra_size]):
        if kind == 0x0001:
            numbers = [int.from_bytes(value[at : at + 8], "little") for at in range(0, len(value) - 7, 8)]
            size = numbers.pop(0) if size == _UNKNOWN32 and numbers else size
            packed = numbers.pop(0) if packed == _UNKNOWN32 and numbers else packed
            offset = numbers.pop(0) if offset == _UNKNOWN32 and numbers else offset
        elif kind == 0x7075 and len(value) > 5:
            name = value[5:].decode("utf-8", "replace")
        elif kind == 0x9901 and len(value) >= 7:
            aes, method = value, int.from_bytes(value[5:7], "little")
    return Entry(name, method, flags, crc, packed, size, time, offset, listed, aes)


def _charset(raw: bytes) -> str:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "cp437"
    return "utf-8"


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 4 <= len(extra):
        kind, size = little(extra, position, 2), little(extra, position + 2, 2)
        yield kind, extra[position + 4 : position + 4 + size]
        position += 4 + size


def _local(data: bytes, position: int) -> Entry | None:
    """A member by its local header alone; None where the signature is there by chance."""
    if len(data) - position < 30:
        return None
    name_size, extra_size = little(data, position + 26, 2), little(data, position + 28, 2)
    method = little(data, position + 8, 2)
    known = (STORED, DEFLATE, DEFLATE64, BZIP2, LZMA, ZSTD, XZ, _AES)
    if not name_size or name_size > 1024 or (method not in known and method not in NOT_READ):
        return None
    entry = _entry(data, position + 6, position + 30, name_size, extra_size, listed=False)
    if "\0" in entry.name or entry.packed > len(data):
        return None
    return entry


def content_at(data: bytes, entry: Entry) -> int:
    if data[entry.offset : entry.offset + 4] != _LOCAL:
        raise Malformed(f"no header for {entry.name} where the directory says")
    return entry.offset + 30 + little(data, entry.offset + 26, 2) + little(data, entry.offset + 28, 2)


def end_of(data: bytes, entry: Entry) -> int:
    """Where the packed octets end; at the next header where the size is to come after them."""
    try:
        start = content_at(data, entry)
    except Malformed:
        return entry.offset
    if entry.packed or not entry.flags & _DESCRIPTOR:
        return min(start + entry.packed, len(data))
    following = _DESCRIPTORS.search(data, start)
    return following.start() if following else len(data)
