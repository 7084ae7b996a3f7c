"""Tape archives: tar in all its forms (by the standard library) and cpio."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.binary import Malformed, Reader
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_FORMAT, _REGULAR = 0o170000, 0o100000
_TRAILER: Final = "TRAILER!!!"


def untar(item: Item, context: Context) -> Iterator[Child]:
    try:
        with tarfile.open(fileobj=io.BytesIO(item.data), mode="r:") as archive:
            while (info := archive.next()) is not None:
                context.budget.check()
                archive.members = []  # type: ignore[attr-defined]  # it would keep every header
                if not info.isreg():
                    continue
                context.budget.declared(len(item.data), info.size)
                file = archive.extractfile(info)
                data = file.read(context.budget.room() + 1) if file is not None else b""
                context.budget.take(len(data))
                if len(data) < info.size:
                    context.find(FindingKind.DAMAGED, f"{item.path} › {info.name}", "ends early")
                yield Child(info.name, data)
    except tarfile.TarError as error:
        raise Malformed(str(error)) from error


def uncpio(item: Item, context: Context) -> Iterator[Child]:
    """The binary form of either byte order, the portable one (odc) and the new ones (newc, crc)."""
    reader = Reader(item.data)
    while reader.left >= 26:
        name, mode, size, even = _cpio_header(reader)
        if name == _TRAILER:
            return
        data = reader.take(size)
        reader.skip(min(-reader.position % even, reader.left))
        if mode & _FORMAT == _REGULAR:
            context.budget.take(size)
            yield Child(name, data)


def _cpio_header(reader: Reader) -> tuple[str, int, int, int]:
    """Name, mode, size, and what the places of names and contents are multiples of."""
    mark = reader.data[reader.position : reader.position + 6]
    if mark in (b"070701", b"070702"):
        fields = [_digits(reader.data[reader.position + at : reader.position + at + 8], 16) for at in range(6, 110, 8)]
        reader.skip(110)
        mode, size, name_size, even = fields[1], fields[6], fields[11], 4
    elif mark == b"070707":
        start = reader.position
        mode, name_size, size = (
            _digits(reader.data[start + at : start + at + count], 8) for at, count in ((18, 6), (59, 6), (65, 11))
        )
        reader.skip(76)
        even = 1
    elif mark[:2] in (b"\xc7\x71", b"\x71\xc7"):
        order = "little" if mark[:2] == b"\xc7\x71" else "big"
        words = [int.from_bytes(reader.take(2), order) for _ in range(13)]  # type: ignore[arg-type]
        mode, name_size, size, even = words[3], words[10], words[11] << 16 | words[12], 2
    else:
        raise Malformed("no header of a member where one should be")
    name = reader.take(name_size).rstrip(b"\0").decode("utf-8", "replace")
    reader.skip(min(-reader.position % even, reader.left))
    return name, mode, size, even


def _digits(text: bytes, base: int) -> int:
    try:
        return int(text, base)
    except ValueError as error:
        raise Malformed(f"{text!r} is no number") from error
