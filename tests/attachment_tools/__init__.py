"""Samples for the inspection of attachments, made here: nothing in them does any harm."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence

import py7zr
import pycdlib
import pyzipper

from everpost.guard.attachments import Attachment, FindingKind, Inspection, Limits, inspect

EXE = b"MZ" + b"\0" * 58 + (64).to_bytes(4, "little") + b"PE\0\0" + b"L\x01" + b"\0" * 200
"""As much of a program as makes it one for everyone who looks."""
OPC = ("[Content_Types].xml", b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>')


def look(data: bytes, name: str = "file", declared: str = "", texts: Sequence[str] = (), **limits: float) -> Inspection:
    return inspect([Attachment(name, declared, data)], texts, Limits(**limits))  # type: ignore[arg-type]


def kinds(data: bytes, name: str = "file", declared: str = "", texts: Sequence[str] = ()) -> set[FindingKind]:
    return set(look(data, name, declared, texts).kinds())


def paths(inspection: Inspection, kind: FindingKind) -> list[str]:
    return list(dict.fromkeys(finding.path for finding in inspection.findings if finding.kind is kind))


def zipped(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def zipped_aes(password: str, *files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", compression=zipfile.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(password.encode())
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def zipped_classic(password: str, name: str, data: bytes) -> bytes:
    """PKWARE's old encryption, by the cipher as APPNOTE §6.1 has it."""
    plain = zipped((name, data), method=zipfile.ZIP_STORED)
    crc = zlib.crc32(data)
    keys = [0x12345678, 0x23456789, 0x34567890]

    def crc32(value: int, octet: int) -> int:
        return zlib.crc32(bytes((octet,)), value ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    def update(octet: int) -> None:
        keys[0] = crc32(keys[0], octet)
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = crc32(keys[2], keys[1] >> 24)

    for octet in password.encode():
        update(octet)
    packed = bytearray()
    for octet in bytes(11) + bytes((crc >> 24,)) + data:
        mask = keys[2] | 2
        packed.append(octet ^ (mask * (mask ^ 1) >> 8) & 255)
        update(octet)
    local = bytearray(plain[: 30 + len(name)])
    local[6] |= 1
    local[18:22] = len(packed).to_bytes(4, "little")
    start = plain.index(b"PK\x01\x02")
    central = bytearray(plain[start : start + 46 + len(name)])
    central[8] |= 1
    central[20:24] = len(packed).to_bytes(4, "little")
    offset = len(local) + len(packed)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(central), offset, 0)
    return bytes(local + packed + central + end)


def sevenzipped(*files: tuple[str, bytes], password: str | None = None, header: bool = False) -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", password=password, header_encryption=header) as archive:
        for name, data in files:
            archive.writestr(data, name)
    return out.getvalue()


def iso(name: str, data: bytes) -> bytes:
    image = pycdlib.PyCdlib()
    image.new(joliet=3)
    image.add_fp(io.BytesIO(data), len(data), "/A.;1", joliet_path=f"/{name}")
    out = io.BytesIO()
    image.write_fp(out)
    image.close()
    return out.getvalue()


def fat(name: str, data: bytes) -> bytes:
    """A floppy (FAT12) with one file under a long name."""
    boot = bytearray(512)
    boot[0:3], boot[3:11] = b"\xeb\x3c\x90", b"MSDOS5.0"
    struct.pack_into("<HBHBHHBH", boot, 11, 512, 1, 1, 2, 224, 2880, 0xF0, 9)
    boot[54:62], boot[510:512] = b"FAT12   ", b"\x55\xaa"
    count = -(-len(data) // 512)
    following = [0xFF0, 0xFFF, *range(3, 2 + count), 0xFFF]
    following += [0] * (len(following) % 2)
    table = b"".join(
        struct.pack("<I", low | high << 12)[:3] for low, high in zip(following[::2], following[1::2], strict=True)
    ).ljust(9 * 512, b"\0")
    entries = b""
    pieces = [name[at : at + 13] for at in range(0, len(name), 13)]
    for number, piece in reversed(list(enumerate(pieces, start=1))):
        wide = piece.encode("utf-16-le")
        wide = (wide + b"\0\0").ljust(26, b"\xff")[:26] if len(wide) < 26 else wide
        mark = number | (0x40 if number == len(pieces) else 0)
        entries += bytes((mark,)) + wide[:10] + b"\x0f\0\0" + wide[10:22] + b"\0\0" + wide[22:]
    entries += b"FILE~1  BIN\x20" + b"\0" * 14 + struct.pack("<HI", 2, len(data))
    root = entries.ljust(224 * 32, b"\0")
    return (bytes(boot) + table * 2 + root + data).ljust(2880 * 512, b"\0")


def cab(name: str, data: bytes) -> bytes:
    """One stored folder."""
    entry = struct.pack("<IIHHHH", len(data), 0, 0, 0, 0, 0x20) + name.encode() + b"\0"
    folder_at, files_at = 36, 44
    data_at = files_at + len(entry)
    block = struct.pack("<IHH", 0, len(data), len(data)) + data
    header = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, data_at + len(block), 0, files_at, 0, 3, 1, 1, 1, 0, 0, 0)
    assert len(header) == folder_at
    return header + struct.pack("<IHH", data_at, 1, 0) + entry + block


def tnef(name: str, data: bytes) -> bytes:
    def attribute(identifier: int, kind: int, value: bytes) -> bytes:
        checksum = (sum(value) & 0xFFFF).to_bytes(2, "little")
        return struct.pack("<BHHI", 2, identifier, kind, len(value)) + value + checksum

    return (
        b"\x78\x9f\x3e\x22\x01\0"
        + attribute(0x9002, 6, bytes(14))
        + attribute(0x8010, 1, name.encode() + b"\0")
        + attribute(0x800F, 6, data)
    )


def lnk(arguments: str) -> bytes:
    head = b"L\0\0\0" + bytes.fromhex("0114020000000000c000000000000046")
    flags = (0x08 | 0x20 | 0x80).to_bytes(4, "little")  # a relative path, arguments, Unicode

    def text(value: str) -> bytes:
        return len(value).to_bytes(2, "little") + value.encode("utf-16-le")

    return (head + flags).ljust(76, b"\0") + text("..\\..\\Windows\\System32\\cmd.exe") + text(arguments) + bytes(4)


def onenote(data: bytes) -> bytes:
    head = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3").ljust(1024, b"\0")
    guid = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")
    return head + guid + len(data).to_bytes(8, "little") + bytes(12) + data


def compressed_vba(source: bytes) -> bytes:
    """A container of literals only ([MS-OVBA] §2.4.1)."""
    out = b"\x01"
    for at in range(0, len(source), 3600):
        piece = source[at : at + 3600]
        body = b"".join(b"\0" + piece[start : start + 8] for start in range(0, len(piece), 8))
        out += (0xB000 | len(body) - 1).to_bytes(2, "little") + body
    return out


def compound(streams: dict[str, bytes]) -> bytes:
    """A compound file ([MS-CFB]) of sectors of 512 octets, without the small ones: streams are filled up to 4096."""
    entries: list[dict[str, int | str | bytes]] = [{"name": "Root Entry", "kind": 5, "data": b""}]
    children: dict[str, list[int]] = {"": []}
    numbers: dict[str, int] = {"": 0}
    for path, data in streams.items():
        parts = path.split("/")
        for depth in range(len(parts)):
            here, parent = "/".join(parts[: depth + 1]), "/".join(parts[:depth])
            if here in numbers:
                continue
            is_leaf = depth == len(parts) - 1
            numbers[here] = len(entries)
            children[here] = []
            children[parent].append(numbers[here])
            entries.append({"name": parts[depth], "kind": 2 if is_leaf else 1, "data": data if is_leaf else b""})
    names = {number: path for path, number in numbers.items()}
    directory_sectors = -(-len(entries) // 4)
    table: list[int] = [0xFFFFFFFD, *range(2, 1 + directory_sectors), 0xFFFFFFFE]
    content, directory = b"", b""
    for number, entry in enumerate(entries):
        data = bytes(entry["data"])  # type: ignore[arg-type]
        start, size = 0xFFFFFFFE, 0
        if data:
            size = max(len(data), 4096)
            count = -(-size // 512)
            start = len(table)
            table += [*range(start + 1, start + count), 0xFFFFFFFE]
            content += data.ljust(count * 512, b"\0")
        below = children[names[number]]
        siblings = next((group for group in children.values() if number in group), [])
        after = [other for other in siblings if other > number]
        wide = str(entry["name"]).encode("utf-16-le") + b"\0\0"
        directory += struct.pack(
            "<64sHBBIII16sIQQIQ",
            wide,
            len(wide),
            entry["kind"],
            1,
            0xFFFFFFFF,
            after[0] if after else 0xFFFFFFFF,
            below[0] if below else 0xFFFFFFFF,
            bytes(16),
            0,
            0,
            0,
            start,
            size,
        )
    directory = directory.ljust(directory_sectors * 512, b"\0")
    assert len(table) <= 128
    head = struct.pack(
        "<8s16sHHHHHHIIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        bytes(16),
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        0,
        0,
        0,
        1,
        1,
        0,
        4096,
        0xFFFFFFFE,
        0,
        0xFFFFFFFE,
        0,
    )
    difat = (0).to_bytes(4, "little").ljust(4, b"\0") + b"\xff" * (108 * 4)
    fat_sector = b"".join(value.to_bytes(4, "little") for value in table).ljust(512, b"\xff")
    return head + difat + fat_sector + directory + content


def vba_project(source: str) -> bytes:
    module = b"\0" * 32 + compressed_vba(b'Attribute VB_Name = "ThisDocument"\r\n' + source.encode())
    return compound({"VBA/dir": b"\x01\0\0", "VBA/_VBA_PROJECT": b"\xcc\x61", "VBA/ThisDocument": module})
