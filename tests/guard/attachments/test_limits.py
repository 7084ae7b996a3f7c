"""Bombs: each ends soon, in little memory, and says so."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile

import pytest
import rars
import zstandard

from attachment_tools import EXE, look, sevenzipped, zipped
from everpost.guard.attachments import Attachment, FindingKind, Limits, inspect

ZEROS = bytes(50 * 1024 * 1024)


def rarred_zeros() -> bytes:
    builder = rars.RarBuilder("rar50")
    builder.add_bytes(ZEROS, "a.bin")
    return bytes(builder.to_bytes())


def nested(levels: int, chance: random.Random) -> bytes:
    """As 42.zip, but no two files are alike, so that nothing is saved by having seen one."""
    if not levels:
        return zipped(("0.dll", bytes(7 * 1024 * 1024) + chance.randbytes(9)))
    return zipped(*((f"{number}.zip", nested(levels - 1, chance)) for number in range(8)))


def alike(levels: int) -> bytes:
    inner = zipped(("0.dll", ZEROS))
    for _ in range(levels):
        inner = zipped(*((f"{number}.zip", inner) for number in range(16)))
    return inner


def overlapping() -> bytes:
    """Two hundred members of the directory that are all the same packed octets."""
    one = zipped(("a.txt", bytes(100_000)))
    start = one.index(b"PK\x01\x02")
    central = one[start:-22]
    count = 200
    return (
        one[:start]
        + central * count
        + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(central) * count, start, 0)
    )


def wide_xz() -> bytes:
    filters = [
        {"id": lzma.FILTER_LZMA2, "dict_size": 200 << 20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "nice_len": 32}
    ]
    return lzma.compress(b"x", filters=filters)


BOMBS = {
    "zip": lambda: zipped(("a.bin", ZEROS)),
    "nested": lambda: nested(2, random.Random(1)),
    "nested alike": lambda: alike(4),
    "overlapping": overlapping,
    "gz": lambda: gzip.compress(ZEROS),
    "gz in gz": lambda: gzip.compress(gzip.compress(ZEROS)),
    "bz2": lambda: bz2.compress(ZEROS),
    "xz": lambda: lzma.compress(ZEROS, preset=0),
    "xz with a huge dictionary": wide_xz,
    "zst": lambda: zstandard.compress(ZEROS),
    "7z": lambda: sevenzipped(("a.bin", ZEROS)),
    "rar": rarred_zeros,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_end(kind: str) -> None:
    bomb = BOMBS[kind]()
    tracemalloc.start()
    started = time.monotonic()
    found = look(bomb, "bomb")
    spent = time.monotonic() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert FindingKind.BOMB in found.kinds(), found.findings
    assert not found.complete
    assert spent < 2
    assert peak < 64 * 1024 * 1024


def test_a_quine_ends() -> None:
    """A reader of our own stands for the file that unpacks to itself: the walk must see that it has been here."""
    from everpost.guard.attachments import readers, walk
    from everpost.guard.attachments.context import Child

    original = walk.reader_of
    walk.reader_of = lambda item: lambda item, context: iter((Child("again.zip", item.data),))
    try:
        found = look(zipped(("a", b"b")), "quine.zip")
    finally:
        walk.reader_of = original
    assert readers is not None
    assert FindingKind.BOMB in found.kinds()


def test_what_comes_after_a_bomb_is_still_named_and_typed() -> None:
    bomb = Attachment("a.zip", "", zipped(("a.bin", ZEROS)))
    found = inspect([bomb, Attachment("photo.jpg", "image/jpeg", EXE)], [])
    assert {FindingKind.BOMB, FindingKind.EXECUTABLE, FindingKind.TYPE_MISMATCH} <= found.kinds()


def test_depth_members_octets_and_time() -> None:
    deep = EXE
    for _ in range(30):
        deep = zipped(("x.zip", deep))
    assert FindingKind.TOO_DEEP in look(deep, "deep.zip").kinds()
    many = zipped(*((f"{number}.txt", b"%d" % number) for number in range(60)))
    assert FindingKind.TOO_MANY in look(many, "many.zip", members=50).kinds()
    chance = random.Random(3)
    large = zipped(*((f"{number}.bin", chance.randbytes(300_000)) for number in range(8)))
    assert FindingKind.TOO_LARGE in look(large, "large.zip", octets=1_000_000).kinds()
    assert FindingKind.TOO_LARGE in look(large, "large.zip", member_octets=200_000).kinds()
    assert FindingKind.OUT_OF_TIME in look(large, "large.zip", seconds=0).kinds()


def test_tries_of_passwords_are_bounded() -> None:
    words = " ".join(f"word{number}" for number in range(1400))
    started = time.monotonic()
    found = look(sevenzipped(("a.exe", EXE), password="none of them"), "a.7z", texts=[words])
    assert FindingKind.ENCRYPTED in found.kinds()
    assert time.monotonic() - started < 2


HOSTILE = {
    "page of quotes": (b"<html><script>" + b'"+"' * 500_000, "a.html"),
    "page of handlers": (b"<svg " + b"<a on" * 300_000, "a.svg"),
    "page of data": (b"<html><script>data:" + b";a=b" * 300_000, "a.html"),
    "streams of PDF": (b"%PDF-1.4\n" + b"1 0 obj<</Type/ObjStm>>stream\n" * 30_000, "a.pdf"),
    "specifications of PDF": (
        b"%PDF-1.4\n" + b"/Filespec" * 100_000 + b"/EmbeddedFile stream\nendstream" * 900,
        "a.pdf",
    ),
    "objects of RTF": (b"{\\rtf1" + b"\\objdata {" * 100_000, "a.rtf"),
    "headers of zip": (zipped(("a", b"b")) + b"PK\x03\x04" * 300_000, "a.zip"),
    "tags of Word": (
        zipped(("[Content_Types].xml", b"x"), ("word/document.xml", b"<w:instrText" * 300_000)),
        "a.docx",
    ),
    "entities": (
        zipped(("[Content_Types].xml", b"x"), ("word/a.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>" + b"&b;" * 300_000)),
        "a.docx",
    ),
    "a long name": (b"x", " _" * 200_000 + ".exe"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_input_takes_no_time(kind: str) -> None:
    data, name = HOSTILE[kind]
    started = time.process_time()
    look(data, name)
    assert time.process_time() - started < 2.5


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, everpost.guard.attachments as a; a.inspect([a.Attachment('x.txt', 'text/plain', b'hello')], []);"
        "print([m for m in ('olefile', 'msoffcrypto', 'rars', 'inflate64') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_limits_are_values() -> None:
    assert Limits(seconds=5) == Limits(seconds=5)
    assert zipfile.is_zipfile(io.BytesIO(alike(0)))
