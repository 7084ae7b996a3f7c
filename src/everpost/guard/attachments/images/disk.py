"""Images of whole disks: VHD (fixed and dynamic), a partition table, and what can be carved out of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.binary import Malformed, big, little
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.filetypes import FileType, detect
from everpost.guard.attachments.model import FindingKind

_SECTOR: Final = 512
_FIXED, _DYNAMIC = 2, 3
_NO_BLOCK: Final = 0xFFFFFFFF
_MAX_PARTITIONS: Final = 16
_MAX_CARVED: Final = 50
_CARVED_OCTETS: Final = 4 * 1024 * 1024
_MARKS: Final = (
    b"MZ",
    b"L\0\0\0\x01\x14\x02\0",
    b"PK\x03\x04",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    b"%PDF-",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"MSCF\0\0\0\0",
    b"\x7fELF",
    b"ITSF",
    b"{\\rt",
    b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d",
    b"<html",
    b"<script",
    b"<!DOCTYPE html",
    b"<!doctype html",
)
_FILE_SYSTEMS: Final = frozenset((FileType.FAT, FileType.NTFS, FileType.ISO, FileType.UDF))


def unvhd(item: Item, context: Context) -> Iterator[Child]:
    """The disk inside a VHD, as one member that is looked into in turn."""
    footer = item.data[-_SECTOR:] if item.data[-_SECTOR:-504] == b"conectix" else item.data[:_SECTOR]
    kind = big(footer, 60, 4)
    if kind == _FIXED:
        yield Child("disk", item.data[:-_SECTOR])
    elif kind == _DYNAMIC:
        yield Child("disk", context.budget.collect(_blocks(item.data, footer), len(item.data)))
    else:
        context.find(FindingKind.NOT_UNPACKED, item.path, "a disk that is the difference to another one")


def _blocks(data: bytes, footer: bytes) -> Iterator[bytes]:
    """Blocks in the order of the disk; those that are not there are left out but for one of zeros in a row."""
    header = big(footer, 16, 8)
    if data[header : header + 8] != b"cxsparse":
        raise Malformed("no header of a dynamic disk")
    table, entries, size = big(data, header + 16, 8), big(data, header + 28, 4), big(data, header + 32, 4)
    if not _SECTOR <= size <= 64 * 1024 * 1024:
        raise Malformed(f"blocks of {size} octets")
    bitmap = -(-size // _SECTOR // 8 // _SECTOR) * _SECTOR
    places = [big(data, table + 4 * number, 4) for number in range(min(entries, len(data) // 4))]
    while places and places[-1] == _NO_BLOCK:
        places.pop()
    for place in places:
        start = place * _SECTOR + bitmap
        yield b"\0" * size if place == _NO_BLOCK else data[start : start + size].ljust(size, b"\0")


def partitions(item: Item, context: Context) -> Iterator[Child]:
    """The partitions of an MBR or GPT; without any, what can be carved."""
    found = False
    for number, (first, count) in enumerate(_table(item.data), start=1):
        data = item.data[first * _SECTOR : (first + count) * _SECTOR]
        if detect(data) in _FILE_SYSTEMS:
            found = True
            yield Child(f"partition {number}", data)
    if not found:
        yield from carve(item, context)


def _table(data: bytes) -> Iterator[tuple[int, int]]:
    """First sector and number of sectors of each partition."""
    if data[_SECTOR : _SECTOR + 8] == b"EFI PART":
        table, size = little(data, _SECTOR + 72, 8) * _SECTOR, little(data, _SECTOR + 84, 4)
        for number in range(_MAX_PARTITIONS):
            at = table + number * size
            if size < 128 or at + 48 > len(data):
                return
            first, last = little(data, at + 32, 8), little(data, at + 40, 8)
            if 0 < first <= last:
                yield first, last - first + 1
        return
    for at in range(446, 510, 16):
        first, count = little(data, at + 8, 4), little(data, at + 12, 4)
        if first and count:
            yield first, count


def carve(item: Item, context: Context) -> Iterator[Child]:
    """Files that begin at a sector, up to the next one: for file systems that are not read here."""
    data = item.data
    places: list[int] = []
    for start in range(_SECTOR, len(data), _SECTOR):
        if data.startswith(_MARKS, start) and len(places) <= _MAX_CARVED and _is_sound(data, start):
            places.append(start)
    context.find(
        FindingKind.NOT_UNPACKED,
        item.path,
        f"its file system is not read here; {len(places[:_MAX_CARVED])} files were found by their first octets",
    )
    for start, stop in zip(places[:_MAX_CARVED], [*places[1:], len(data)], strict=False):
        content = data[start : min(stop, start + _CARVED_OCTETS)]
        context.budget.take(len(content))
        yield Child(f"octet {start}", content)


def _is_sound(data: bytes, start: int) -> bool:
    """Two letters are soon met by chance: a program must have its second header too."""
    return data[start : start + 2] != b"MZ" or detect(data[start : start + 65_536]) is FileType.PE
