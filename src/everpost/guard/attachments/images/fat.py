"""FAT12, FAT16 and FAT32 with long names (Microsoft's "FAT: General Overview of On-Disk Format")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from everpost.guard.attachments.binary import Malformed, little
from everpost.guard.attachments.context import Child, Context, Item

_ENTRY: Final = 32
_LONG, _VOLUME, _FOLDER = 0x0F, 0x08, 0x10
_MAX_FOLDERS: Final = 500
_MAX_FOLDER_OCTETS: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Volume:
    data: bytes
    cluster: int
    fat_at: int
    fat_octets: int
    bits: int
    data_at: int
    root_at: int
    root_octets: int
    root_cluster: int

    def chain(self, cluster: int, limit: int) -> bytes:
        """The octets of a file or folder, at most `limit`; a loop ends with the limit."""
        parts: list[bytes] = []
        left = limit
        while 2 <= cluster < self._end_mark() and left > 0:
            start = self.data_at + (cluster - 2) * self.cluster
            piece = self.data[start : start + min(self.cluster, left)]
            if not piece:
                break
            parts.append(piece)
            left -= len(piece)
            cluster = self._next(cluster)
        return b"".join(parts)

    def _end_mark(self) -> int:
        return {12: 0xFF0, 16: 0xFFF0, 32: 0x0FFFFFF0}[self.bits]

    def _next(self, cluster: int) -> int:
        at = cluster * self.bits // 8
        if at + 4 > self.fat_octets:
            return 0
        if self.bits == 12:
            pair = little(self.data, self.fat_at + at, 2)
            return pair >> 4 if cluster & 1 else pair & 0xFFF
        return little(self.data, self.fat_at + at, self.bits // 8) & 0x0FFFFFFF


def _volume(data: bytes) -> _Volume:
    sector, per_cluster = little(data, 11, 2), little(data, 13, 1)
    reserved, fats, root_entries = little(data, 14, 2), little(data, 16, 1), little(data, 17, 2)
    sectors = little(data, 19, 2) or little(data, 32, 4)
    fat_sectors = little(data, 22, 2) or little(data, 36, 4)
    if sector not in (512, 1024, 2048, 4096) or not per_cluster or not fats or not fat_sectors:
        raise Malformed("not a FAT volume")
    root_at = (reserved + fats * fat_sectors) * sector
    root_octets = root_entries * _ENTRY
    data_at = root_at + -(-root_octets // sector) * sector
    clusters = max(0, sectors - data_at // sector) // per_cluster
    bits = 12 if clusters < 4085 else 16 if clusters < 65_525 else 32
    if not little(data, 22, 2):
        bits = 32
    return _Volume(
        data,
        sector * per_cluster,
        reserved * sector,
        fat_sectors * sector,
        bits,
        data_at,
        root_at,
        root_octets,
        little(data, 44, 4) if bits == 32 else 0,
    )


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """All files of the volume, with their long names."""
    volume = _volume(item.data)
    root = item.data[volume.root_at : volume.root_at + volume.root_octets]
    if volume.bits == 32:
        root = volume.chain(volume.root_cluster, _MAX_FOLDER_OCTETS)
    folders, seen = [("", root)], {0}
    while folders:
        prefix, table = folders.pop()
        for name, attributes, cluster, size in _entries(table):
            context.budget.check()
            if attributes & _FOLDER:
                if cluster not in seen and len(seen) < _MAX_FOLDERS:
                    seen.add(cluster)
                    folders.append((f"{prefix}{name}/", volume.chain(cluster, _MAX_FOLDER_OCTETS)))
                continue
            content = volume.chain(cluster, min(size, context.budget.room()))
            context.budget.take(len(content))
            yield Child(prefix + name, content)


def _entries(table: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Name, attributes, first cluster, size."""
    long: dict[int, str] = {}
    for at in range(0, len(table) - _ENTRY + 1, _ENTRY):
        entry = table[at : at + _ENTRY]
        if entry[0] == 0:
            return
        attributes = entry[11]
        if entry[0] == 0xE5:
            long.clear()
        elif attributes & 0x3F == _LONG:
            raw = entry[1:11] + entry[14:26] + entry[28:32]
            long[entry[0] & 0x3F] = raw.decode("utf-16-le", "replace").split("\0")[0].rstrip("\uffff")
        else:
            name = "".join(long[number] for number in sorted(long)) or _short(entry)
            long.clear()
            if not attributes & _VOLUME and name not in (".", ".."):
                cluster = little(entry, 26, 2) | little(entry, 20, 2) << 16
                yield name, attributes, cluster, little(entry, 28, 4)


def _short(entry: bytes) -> str:
    stem, last = entry[:8].decode("cp437").rstrip(), entry[8:11].decode("cp437").rstrip()
    return f"{stem}.{last}" if last else stem
