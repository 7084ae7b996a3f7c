"""Cabinets ([MS-CAB]): stored and MSZIP folders. Of Quantum and LZX only the names are read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from everpost.guard.attachments.binary import Malformed, Reader
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_PREVIOUS, _NEXT, _RESERVED = 1, 2, 4
_STORED, _MSZIP = 0, 1
_METHODS: Final = {2: "Quantum", 3: "LZX"}
_BLOCK: Final = 32_768
_MAX_FILES: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Folder:
    offset: int
    blocks: int
    method: int


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The members, one folder after the other."""
    reader = Reader(item.data, 16)
    files_at = reader.u32()
    reader.skip(6)
    folder_count, file_count, flags = reader.u16(), reader.u16(), reader.u16()
    reader.skip(4)
    header_reserve, folder_reserve, data_reserve = 0, 0, 0
    if flags & _RESERVED:
        header_reserve, folder_reserve, data_reserve = reader.u16(), reader.u8(), reader.u8()
        reader.skip(header_reserve)
    for _ in range(2 * bool(flags & _PREVIOUS) + 2 * bool(flags & _NEXT)):
        reader.until_nul()
    folders = []
    for _ in range(folder_count):
        folders.append(_Folder(reader.u32(), reader.u16(), reader.u16() & 0x0F))
        reader.skip(folder_reserve)
    files = _files(Reader(item.data, files_at), file_count)
    for number, folder in enumerate(folders):
        plain = _plain(item, folder, data_reserve, context)
        for name, size, start, inside in files:
            if inside == number:
                yield Child(name, None if plain is None else plain[start : start + size])
    for name, _, _, inside in files:
        if inside >= len(folders):
            context.find(FindingKind.NOT_UNPACKED, f"{item.path} › {name}", "continues in another cabinet")
            yield Child(name, None)


def _files(reader: Reader, count: int) -> list[tuple[str, int, int, int]]:
    """Name, size, place in its folder, number of the folder."""
    found = []
    for _ in range(min(count, _MAX_FILES)):
        size, start, folder = reader.u32(), reader.u32(), reader.u16()
        reader.skip(4)
        is_utf8 = reader.u16() & 0x80
        found.append((reader.until_nul().decode("utf-8" if is_utf8 else "cp1252", "replace"), size, start, folder))
    return found


def _plain(item: Item, folder: _Folder, reserve: int, context: Context) -> bytes | None:
    if folder.method not in (_STORED, _MSZIP):
        name = _METHODS.get(folder.method, "an unknown method")
        context.find(FindingKind.NOT_UNPACKED, item.path, f"packed with {name}")
        return None
    parts: list[bytes] = []

    def kept() -> Iterator[bytes]:
        for block in _blocks(item.data, folder, reserve):
            parts.append(block)
            yield block

    try:
        return context.budget.collect(kept(), len(item.data))
    except (Malformed, zlib.error) as error:
        context.find(FindingKind.DAMAGED, item.path, f"unpacked as far as it goes: {error}")
        return b"".join(parts)


def _blocks(data: bytes, folder: _Folder, reserve: int) -> Iterator[bytes]:
    reader = Reader(data, folder.offset)
    window = b""
    for _ in range(folder.blocks):
        reader.skip(4)
        packed, size = reader.u16(), reader.u16()
        reader.skip(reserve)
        block = reader.take(packed)
        if folder.method == _MSZIP:
            if block[:2] != b"CK":
                raise Malformed("a block without its mark")
            block = zlib.decompressobj(-15, zdict=window).decompress(block[2:], _BLOCK + 1)
            window = block[-_BLOCK:]
        yield block[:size]
