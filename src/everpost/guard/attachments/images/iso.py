"""ISO 9660 with Joliet names (ECMA-119): the folders of the volume, each read once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from everpost.guard.attachments.binary import Malformed, little
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_SECTOR: Final = 2048
_FIRST_DESCRIPTOR: Final = 16
_MAX_FOLDERS: Final = 500
_PRIMARY, _SUPPLEMENTARY, _TERMINATOR = 1, 2, 255
_FOLDER, _HIDDEN, _MORE = 2, 1, 0x80


@dataclass(frozen=True, slots=True)
class _Record:
    name: str
    extent: int
    size: int
    flags: int


def unpack(item: Item, context: Context) -> Iterator[Child]:
    root, is_joliet = _root(item.data)
    folders, seen = [("", root)], {root.extent}
    while folders:
        prefix, folder = folders.pop()
        context.budget.check()
        for record in _records(item.data, folder, is_joliet):
            path = prefix + record.name
            if record.flags & _FOLDER:
                if record.extent not in seen and len(seen) < _MAX_FOLDERS:
                    seen.add(record.extent)
                    folders.append((f"{path}/", record))
                continue
            start = record.extent * _SECTOR
            data = item.data[start : start + record.size]
            context.budget.take(len(data))
            if len(data) < record.size:
                context.find(FindingKind.DAMAGED, f"{item.path} › {path}", "ends beyond the image")
            yield Child(path, data)


def _root(data: bytes) -> tuple[_Record, bool]:
    """The root of the Joliet tree, where there is one: it is the one that Windows shows."""
    primary: _Record | None = None
    for number in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + 32):
        start = number * _SECTOR
        descriptor = data[start : start + _SECTOR]
        if descriptor[1:6] != b"CD001" or descriptor[0] == _TERMINATOR:
            break
        if descriptor[0] == _SUPPLEMENTARY and descriptor[88:91] in (b"%/@", b"%/C", b"%/E"):
            return _record(descriptor, 156, is_joliet=True), True
        if descriptor[0] == _PRIMARY and primary is None:
            primary = _record(descriptor, 156, is_joliet=False)
    if primary is None:
        raise Malformed("no volume descriptor")
    return primary, False


def _record(data: bytes, at: int, *, is_joliet: bool) -> _Record:
    extent, size, flags = little(data, at + 2, 4), little(data, at + 10, 4), little(data, at + 25, 1)
    raw = data[at + 33 : at + 33 + little(data, at + 32, 1)]
    name = raw.decode("utf-16-be", "replace") if is_joliet else _long_name(data, at, len(raw)) or raw.decode("latin-1")
    return _Record(name.split(";")[0].rstrip("."), extent, size, flags)


def _long_name(data: bytes, at: int, name_size: int) -> str:
    """Rock Ridge's NM entry in the system use area."""
    end = at + little(data, at, 1)
    position = at + 33 + name_size + (1 - name_size % 2)
    name = b""
    while position + 5 <= end and (size := little(data, position + 2, 1)) >= 5:
        if data[position : position + 2] == b"NM":
            name += data[position + 5 : position + size]
        position += size
    return name.decode("utf-8", "replace")


def _records(data: bytes, folder: _Record, is_joliet: bool) -> Iterator[_Record]:
    start = folder.extent * _SECTOR
    position, end = start, min(start + folder.size, len(data))
    number = 0
    while position + 34 <= end:
        length = data[position]
        if length < 34:  # the rest of the sector is empty
            position = (position // _SECTOR + 1) * _SECTOR
            continue
        number += 1
        if number > 2 or data[position + 32] != 1 or data[position + 33] > 1:  # not the folder itself or its parent
            yield _record(data, position, is_joliet=is_joliet)
        position += length
