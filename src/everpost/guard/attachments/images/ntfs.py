"""NTFS, by its file records alone: names, small contents (resident) and plain runs of larger ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.binary import Malformed, little
from everpost.guard.attachments.context import Child, Context, Item

_MAX_RECORDS: Final = 20_000
_NAME, _DATA, _LAST = 0x30, 0x80, 0xFFFFFFFF
_IN_USE, _IS_FOLDER = 1, 2
_DOS_NAME: Final = 2


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """Every file that a record (`FILE`) describes, but for the file system's own ($MFT, …)."""
    data = item.data
    cluster = little(data, 11, 2) * little(data, 13, 1)
    if not cluster:
        raise Malformed("not an NTFS volume")
    position, number = -1, 0
    while (position := data.find(b"FILE", position + 1)) >= 0 and number < _MAX_RECORDS:
        context.budget.check()
        if position % 512:
            continue
        number += 1
        record = _mended(data[position : position + 1024])
        if record is None:
            continue
        name, content = _file(record, data, cluster, context.budget.room())
        if name and not name.startswith("$"):
            context.budget.take(len(content))
            yield Child(name, content)


def _mended(record: bytes) -> bytes | None:
    """The record with the last octets of its sectors put back; None for a folder or an unused one."""
    if len(record) < 1024 or record[22] & 3 != _IN_USE:
        return None
    fix_at, count = little(record, 4, 2), little(record, 6, 2)
    fixed = bytearray(record)
    for sector in range(1, min(count, 3)):
        original = record[fix_at + 2 * sector : fix_at + 2 * sector + 2]
        if len(original) == 2:
            fixed[sector * 512 - 2 : sector * 512] = original
    return bytes(fixed)


def _file(record: bytes, data: bytes, cluster: int, limit: int) -> tuple[str, bytes]:
    """Name and content; empty where the record is not to be understood."""
    name, content = "", b""
    at = little(record, 20, 2)
    while at + 24 <= len(record) and (kind := little(record, at, 4)) != _LAST:
        size = little(record, at + 4, 4)
        if not 24 <= size <= len(record) - at:
            break
        is_resident = not record[at + 8]
        if kind == _NAME and is_resident:
            value = at + little(record, at + 20, 2)
            if value + 66 <= len(record) and (record[value + 65] != _DOS_NAME or not name):
                name = record[value + 66 : value + 66 + 2 * record[value + 64]].decode("utf-16-le", "replace")
        elif kind == _DATA and not record[at + 9]:  # not a named stream
            content = _content(record, at, size, data, cluster, limit, is_resident)
        at += size
    return name, content


def _content(record: bytes, at: int, size: int, data: bytes, cluster: int, limit: int, is_resident: bool) -> bytes:
    if is_resident:
        start = at + little(record, at + 20, 2)
        return record[start : start + little(record, at + 16, 4)]
    length = min(little(record, at + 48, 8), limit)
    return b"".join(_runs(record[at + little(record, at + 32, 2) : at + size], data, cluster, length))


def _runs(runs: bytes, data: bytes, cluster: int, left: int) -> Iterator[bytes]:
    """The pieces that a run list names: each a length and a step from the last place."""
    position, place = 0, 0
    while position < len(runs) and runs[position] and left > 0:
        lengths, steps = runs[position] & 15, runs[position] >> 4
        end = position + 1 + lengths
        count = int.from_bytes(runs[position + 1 : end], "little")
        step = int.from_bytes(runs[end : end + steps], "little", signed=True)
        position = end + steps
        place += step
        if not steps or place < 0:
            return
        piece = data[place * cluster : place * cluster + min(count * cluster, left)]
        left -= len(piece)
        yield piece
