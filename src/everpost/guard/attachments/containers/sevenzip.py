"""7z (7zFormat.txt of the LZMA SDK). Its header may itself be packed and encrypted; all of it stays within the budget.

Own, since py7zr unpacks a header of any size before it can be asked anything. Not unpacked: BCJ2 and PPMd.
"""

from __future__ import annotations

import hashlib
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from everpost.guard.attachments import streams
from everpost.guard.attachments.binary import Malformed, Reader, little
from everpost.guard.attachments.budget import Refused
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_END, _HEADER, _ARCHIVE, _ADDITIONAL, _MAIN, _FILES, _PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC = range(11)
_FOLDER, _UNPACK_SIZES, _STREAM_COUNTS, _EMPTY_STREAM, _EMPTY_FILE, _ANTI, _NAMES = range(11, 18)
_ENCODED: Final = 0x17
_START: Final = 32
_MAX_FILES: Final = 20_000
_MAX_CODERS: Final = 8
_MAX_HEADER: Final = 16 * 1024 * 1024
_COPY, _LZMA, _LZMA2, _BZIP2 = b"\0", b"\x03\x01\x01", b"\x21", b"\x04\x02\x02"
_DEFLATE, _DEFLATE64, _AES, _ZSTD, _DELTA = (
    b"\x04\x01\x08",
    b"\x04\x01\x09",
    b"\x06\xf1\x07\x01",
    b"\x04\xf7\x11\x01",
    b"\x03",
)
_BRANCHES: Final = {
    b"\x03\x03\x01\x03": lzma.FILTER_X86,
    b"\x04": lzma.FILTER_X86,
    b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x03\x03\x04\x01": lzma.FILTER_IA64,
    b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB,
    b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
}
_MAX_CYCLES: Final = 20
"""2 to the 19th is what 7-Zip writes: some 0.15 s for each password."""


class _Locked(Exception):
    """A folder is encrypted and no password is known."""


@dataclass(slots=True)
class _Coder:
    method: bytes
    properties: bytes
    inputs: int
    outputs: int


@dataclass(slots=True)
class _Folder:
    coders: list[_Coder]
    bonds: dict[int, int]
    """The input that an output feeds, by the output."""
    packed: list[int]
    sizes: list[int] = field(default_factory=list)
    crc: int | None = None

    @property
    def is_encrypted(self) -> bool:
        return any(coder.method == _AES for coder in self.coders)

    def chain(self) -> list[int]:
        """The coders from the packed octets to the plain ones; only a plain chain can be followed."""
        if any(coder.inputs != 1 or coder.outputs != 1 for coder in self.coders):
            raise Refused(FindingKind.NOT_UNPACKED, "packed with a filter of several streams (BCJ2)")
        order = list(self.packed)
        while len(order) < len(self.coders) and order[-1] in self.bonds:
            order.append(self.bonds[order[-1]])
        if len(order) != len(self.coders) or len(set(order)) != len(order):
            raise Malformed("coders that do not form a chain")
        return order


@dataclass(slots=True)
class _Streams:
    offset: int = 0
    packed: list[int] = field(default_factory=list)
    folders: list[_Folder] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    crcs: list[int | None] = field(default_factory=list)


def _number(reader: Reader) -> int:
    first, value, mask = reader.u8(), 0, 0x80
    for octets in range(8):
        if not first & mask:
            return value | (first & (mask - 1)) << (8 * octets)
        value |= reader.u8() << (8 * octets)
        mask >>= 1
    return value


def _count(reader: Reader, limit: int = _MAX_FILES) -> int:
    count = _number(reader)
    if count > limit:
        raise Malformed(f"{count} of something of which {limit} are enough")
    return count


def _bits(reader: Reader, count: int) -> list[bool]:
    octets = reader.take(-(-count // 8))
    return [bool(octets[at // 8] & 0x80 >> at % 8) for at in range(count)]


def _digests(reader: Reader, count: int) -> list[int | None]:
    defined = [True] * count if reader.u8() else _bits(reader, count)
    return [reader.u32() if known else None for known in defined]


def _read_streams(reader: Reader) -> _Streams:
    info = _Streams()
    while (kind := reader.u8()) != _END:
        if kind == _PACK:
            _read_pack(reader, info)
        elif kind == _UNPACK:
            _read_unpack(reader, info)
        elif kind == _SUBSTREAMS:
            _read_substreams(reader, info)
        else:
            raise Malformed(f"property {kind} among the streams")
    if not info.counts:
        info.counts = [1] * len(info.folders)
        info.sizes = [_final_size(folder) for folder in info.folders]
        info.crcs = [folder.crc for folder in info.folders]
    return info


def _read_pack(reader: Reader, info: _Streams) -> None:
    info.offset = _number(reader)
    count = _count(reader)
    while (kind := reader.u8()) != _END:
        if kind == _SIZE:
            info.packed = [_number(reader) for _ in range(count)]
        elif kind == _CRC:
            _digests(reader, count)
        else:
            raise Malformed(f"property {kind} among the packed streams")


def _read_unpack(reader: Reader, info: _Streams) -> None:
    if reader.u8() != _FOLDER:
        raise Malformed("no folders")
    count = _count(reader)
    if reader.u8():
        raise Malformed("folders in another stream")
    info.folders = [_read_folder(reader) for _ in range(count)]
    if reader.u8() != _UNPACK_SIZES:
        raise Malformed("no sizes of the folders")
    for folder in info.folders:
        folder.sizes = [_number(reader) for coder in folder.coders for _ in range(coder.outputs)]
    while (kind := reader.u8()) != _END:
        if kind != _CRC:
            raise Malformed(f"property {kind} among the folders")
        for folder, crc in zip(info.folders, _digests(reader, count), strict=True):
            folder.crc = crc


def _read_folder(reader: Reader) -> _Folder:
    coders: list[_Coder] = []
    for _ in range(_count(reader, _MAX_CODERS)):
        flags = reader.u8()
        method = reader.take(flags & 0x0F)
        inputs, outputs = (_count(reader, 8), _count(reader, 8)) if flags & 0x10 else (1, 1)
        properties = reader.take(_count(reader, 1024)) if flags & 0x20 else b""
        if flags & 0x80:
            raise Malformed("a coder with alternatives")
        coders.append(_Coder(method, properties, inputs, outputs))
    inputs, outputs = sum(coder.inputs for coder in coders), sum(coder.outputs for coder in coders)
    if not outputs:
        raise Malformed("a folder without coders")
    bonds: dict[int, int] = {}
    for _ in range(outputs - 1):
        fed = _number(reader)
        bonds[_number(reader)] = fed
    free = [number for number in range(inputs) if number not in bonds.values()]
    wanted = inputs - (outputs - 1)
    packed = free if wanted == 1 else [_number(reader) for _ in range(max(0, wanted))]
    return _Folder(coders, bonds, packed)


def _final_size(folder: _Folder) -> int:
    """Of the output that feeds nothing."""
    for number, size in enumerate(folder.sizes):
        if number not in folder.bonds:
            return size
    raise Malformed("a folder without an outcome")


def _read_substreams(reader: Reader, info: _Streams) -> None:
    info.counts = [1] * len(info.folders)
    kind = reader.u8()
    if kind == _STREAM_COUNTS:
        info.counts = [_count(reader) for _ in info.folders]
        kind = reader.u8()
    if sum(info.counts) > _MAX_FILES:
        raise Malformed("too many files")
    for folder, count in zip(info.folders, info.counts, strict=True):
        sizes = [_number(reader) for _ in range(count - 1)] if kind == _SIZE else [0] * (count - 1)
        if count:
            info.sizes += [*sizes, max(0, _final_size(folder) - sum(sizes))]
    if kind == _SIZE:
        kind = reader.u8()
    own = [count == 1 and folder.crc is not None for folder, count in zip(info.folders, info.counts, strict=True)]
    missing = sum(count for count, known in zip(info.counts, own, strict=True) if not known)
    digests: list[int | None] = [None] * missing
    while kind != _END:
        if kind != _CRC:
            raise Malformed(f"property {kind} among the files' streams")
        digests = _digests(reader, missing)
        kind = reader.u8()
    rest = iter(digests)
    for folder, count, known in zip(info.folders, info.counts, own, strict=True):
        info.crcs += [folder.crc] if known else [next(rest) for _ in range(count)]


def _read_files(reader: Reader) -> list[tuple[str, bool]]:
    """Names, each with whether it has content."""
    count = _count(reader)
    empty, names = [False] * count, [f"member {number + 1}" for number in range(count)]
    while (kind := reader.u8()) != _END:
        part = Reader(reader.take(_number(reader)))
        if kind == _EMPTY_STREAM:
            empty = _bits(part, count)
        elif kind == _NAMES and part.u8() == 0:
            text = part.take(part.left).decode("utf-16-le", "replace").split("\0")
            names = [text[number] if number < len(text) else name for number, name in enumerate(names)]
    return [(name, not nothing) for name, nothing in zip(names, empty, strict=True)]


def _read_header(reader: Reader) -> tuple[_Streams, list[tuple[str, bool]]]:
    """The streams, and the files with whether they have content."""
    info, files = _Streams(), []
    while reader.left and (kind := reader.u8()) != _END:
        if kind == _MAIN:
            info = _read_streams(reader)
        elif kind == _FILES:
            files = _read_files(reader)
        elif kind == _ARCHIVE:
            while reader.u8() != _END:
                reader.skip(_number(reader))
        elif kind == _ADDITIONAL:
            _read_streams(reader)
        else:
            raise Malformed(f"property {kind} in the header")
    return info, files


def _is_header(plain: bytes) -> bool:
    """Whether this is one, read whole: what a wrong password gives may begin like one. Raises `Malformed`."""
    reader = Reader(plain)
    kind = reader.u8()
    if kind == _ENCODED:
        return bool(_read_streams(reader).folders)
    return kind == _HEADER and bool(_read_header(reader)[1])


class _Archive:
    """One archive being read; the password is looked for when the first locked folder comes."""

    def __init__(self, item: Item, context: Context) -> None:
        self.item = item
        self.context = context
        self.password: str | None = None
        self.searched = False

    def header(self) -> Reader | None:
        """The header in the plain; None where the archive is empty."""
        data = self.item.data
        start = _START + little(data, 12, 8)
        reader = Reader(data, start, start + little(data, 20, 8))
        if not reader.left:
            return None
        for _ in range(4):
            kind = reader.u8()
            if kind == _HEADER:
                return reader
            if kind != _ENCODED:
                break
            info = _read_streams(reader)
            if not info.folders or _final_size(info.folders[0]) > _MAX_HEADER:
                raise Malformed("a packed header without content or too large")
            reader = Reader(self.folder(info, 0, is_header=True))
        raise Malformed("no header where one should be")

    def folder(self, info: _Streams, number: int, *, is_header: bool = False) -> bytes:
        """The plain octets of a folder; raises _Locked."""
        folder = info.folders[number]
        first = sum(len(earlier.packed) for earlier in info.folders[:number])
        start = _START + info.offset + sum(info.packed[:first])
        if first >= len(info.packed):
            raise Malformed("a folder without packed octets")
        packed = self.item.data[start : start + info.packed[first]]
        if not folder.is_encrypted:
            return self._unpack(folder, packed, b"")
        if not self.searched:
            self.searched = True
            self.password = self.context.passwords.opens(
                lambda word: self._opens(info, number, packed, word, is_header=is_header)
            )
            if self.password is not None:
                self.context.opened_with(self.item.path, self.password)
        if self.password is None:
            raise _Locked("header" if is_header else "")
        return self._unpack(folder, packed, self.password.encode("utf-16-le"))

    def _opens(self, info: _Streams, number: int, packed: bytes, password: str, *, is_header: bool) -> bool:
        """Whether the folder comes out whole: by its check sum, its files', or as a header that can be read."""
        folder = info.folders[number]
        try:
            plain = self._unpack(folder, packed, password.encode("utf-16-le"))
            if folder.crc is not None:
                return zlib.crc32(plain) == folder.crc
            if is_header:
                return _is_header(plain)
        except Malformed:
            return False
        first = sum(info.counts[:number])
        known = zip(info.sizes[first : first + 1], info.crcs[first : first + 1], strict=False)
        return all(crc is None or zlib.crc32(plain[:size]) == crc for size, crc in known)

    def _unpack(self, folder: _Folder, packed: bytes, key: bytes) -> bytes:
        data, given = packed, len(packed)
        for number in folder.chain():
            coder, size = folder.coders[number], folder.sizes[number]
            self.context.budget.declared(given, size)
            data = self._decode(coder, data, size, key)
        return data

    def _decode(self, coder: _Coder, data: bytes, size: int, key: bytes) -> bytes:
        budget, method = self.context.budget, coder.method
        if method == _COPY:
            return data[:size]
        if method == _LZMA:
            return streams.raw_lzma(data, budget, [streams.lzma1_filter(coder.properties, size)], size)
        if method == _LZMA2:
            return streams.raw_lzma(data, budget, [streams.lzma2_filter(coder.properties, size)], size)
        if method == _BZIP2:
            return streams.bunzip(data, budget)[:size]
        if method == _DEFLATE:
            return streams.inflate(data, budget)[:size]
        if method == _DEFLATE64:
            return streams.inflate64(data, budget)[:size]
        if method == _ZSTD:
            return streams.unzstd(data, budget)[:size]
        if method == _AES:
            return _decrypt(coder.properties, data, key)[:size]
        if method in _BRANCHES:
            return _filtered(data, {"id": _BRANCHES[method]})
        if method == _DELTA:
            return _filtered(data, {"id": lzma.FILTER_DELTA, "dist": (coder.properties or b"\0")[0] + 1})
        raise Refused(FindingKind.NOT_UNPACKED, f"packed with a method that is not known here ({method.hex()})")


def _filtered(data: bytes, reversal: dict[str, int]) -> bytes:
    """liblzma undoes a filter only in a chain: what follows is LZMA2 in pieces that are not compressed."""
    wrapped = bytearray()
    for at in range(0, len(data), 65_536):
        piece = data[at : at + 65_536]
        wrapped += (b"\x02" if at else b"\x01") + (len(piece) - 1).to_bytes(2, "big") + piece
    filters = [reversal, {"id": lzma.FILTER_LZMA2, "dict_size": 65_536}]
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(bytes(wrapped + b"\0"))


def _decrypt(properties: bytes, data: bytes, password: bytes) -> bytes:
    """AES-256 in CBC; the key is SHA-256 over 2^n times salt, password and a counter."""
    reader = Reader(properties)
    first = reader.u8()
    second = reader.u8() if first & 0xC0 else 0
    salt = reader.take((first >> 7 & 1) + (second >> 4))
    start = reader.take((first >> 6 & 1) + (second & 15))
    cycles = first & 0x3F
    if cycles > _MAX_CYCLES and cycles != 0x3F:
        raise Refused(FindingKind.ENCRYPTED, "a key that would take too long to derive")
    secret = salt + password
    key = secret[:32].ljust(32, b"\0") if cycles == 0x3F else _derived(secret, cycles)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(start.ljust(16, b"\0"))).decryptor()
    return decryptor.update(data[: len(data) // 16 * 16]) + decryptor.finalize()


def _derived(secret: bytes, cycles: int) -> bytes:
    """In pieces of 4096 rounds, of which only the upper octets of the counter differ."""
    digest = hashlib.sha256()
    step = min(1 << cycles, 4096)
    low = [number.to_bytes(2, "little") for number in range(step)]
    for high in range(0, 1 << cycles, step):
        tail = (high >> 16).to_bytes(6, "little")
        base = high & 0xFFFF
        words = [(base + number).to_bytes(2, "little") for number in range(step)] if base else low
        digest.update(secret + (tail + secret).join(words) + tail)
    return digest.digest()


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The members; where they are locked or packed in an unknown way, their names."""
    archive = _Archive(item, context)
    try:
        reader = archive.header()
    except _Locked:
        context.find(FindingKind.ENCRYPTED, item.path, "even the names are encrypted")
        return
    info, files = _read_header(reader) if reader is not None else (_Streams(), [])
    yield from _members(archive, info, [name for name, has_content in files if has_content])


def _members(archive: _Archive, info: _Streams, names: list[str]) -> Iterator[Child]:
    position = 0
    for number, count in enumerate(info.counts):
        of_folder, sizes = names[position : position + count], info.sizes[position : position + count]
        position += count
        plain = _folder_octets(archive, info, number)
        start = 0
        for name, size in zip(of_folder, sizes, strict=False):
            yield Child(name, None if plain is None else plain[start : start + size])
            start += size


def _folder_octets(archive: _Archive, info: _Streams, number: int) -> bytes | None:
    item, context = archive.item, archive.context
    try:
        return archive.folder(info, number)
    except _Locked:
        context.find(FindingKind.ENCRYPTED, item.path, "its members are encrypted")
    except streams.Torn as torn:
        context.find(FindingKind.DAMAGED, item.path, f"unpacked as far as it goes: {torn}")
        return torn.data
    except Refused as refusal:
        if refusal.kind is not FindingKind.NOT_UNPACKED:
            raise
        context.find(refusal.kind, item.path, refusal.evidence)
    return None
