"""Attachments: damaged archives, images, documents and TNEF break nothing and stay within the limits."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the samples of the tests

import rars

from attachment_tools import (
    EXE,
    OPC,
    cab,
    compound,
    fat,
    iso,
    lnk,
    onenote,
    sevenzipped,
    tnef,
    vba_project,
    zipped,
    zipped_aes,
    zipped_classic,
)
from everpost.guard.attachments import Attachment, Limits, inspect
from everpost.guard.attachments.walk import INTERNAL


def _rar(family: str, password: str | None = None) -> bytes:
    builder = rars.RarBuilder(family, password=password)
    builder.add_bytes(EXE * 3, "a.exe")
    return bytes(builder.to_bytes())


SEEDS: list[bytes] = [
    zipped(("a.exe", EXE), ("b/c.txt", b"hello" * 50)),
    zipped(("a.exe", EXE), method=12),
    zipped(("a.exe", EXE), method=14),
    zipped_aes("1234", ("a.exe", EXE)),
    zipped_classic("1234", "a.exe", EXE),
    zipped(
        OPC, ("word/document.xml", b"<w:instrText>DDE x</w:instrText>"), ("word/vbaProject.bin", vba_project("Sub x()"))
    ),
    sevenzipped(("a.exe", EXE)),
    _rar("rar50"),
    _rar("rar29"),
    _rar("rar50", "1234"),
    gzip.compress(zipped(("a.exe", EXE))),
    cab("a.exe", EXE),
    iso("a.exe", EXE)[:60_000],
    fat("a.exe", EXE)[:24_000],
    tnef("a.exe", EXE),
    lnk("/c calc"),
    onenote(EXE),
    compound({"WordDocument": bytes(300), "\x01Ole10Native": b"\0\0\0\0\x02\0a.exe\0"}),
    b"{\\rtf1{\\object{\\*\\objdata 0105000002000000080000005061636b616765000000000000000000040000004d5a9000}}}",
    b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(x)>>/Type/Filespec/F(a.exe)>>\n"
    b"2 0 obj<</Type/EmbeddedFile/Filter[/ASCIIHexDecode/ASCII85Decode]/Length 9>>stream\n4d5a9000>\nendstream",
    b'<html><script>var a="TVqQAAMAAAAEAAAA"+"//8AALgA";new Blob([atob(a)])</script>'
    b'<a href="data:a/b;base64,TVqQAAMAAAA=">',
    b'<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>',
    b"From: a@example.org\r\nTo: b@example.org\r\n\r\nbegin 644 a.exe\n#35H0\n`\nend\n",
    bytes.fromhex(
        "308006092a864886f70d010702a0803080020101310030800609 2a864886f70d010701a080248004034d5a00".replace(" ", "")
    ),
    b"070701" + b"0" * 104 + b"a.exe\0",
    b"SZDD\x88\xf0\x27\x33A\0\x20\0\0\0\xffMZ345678\x00\xf0\xf0",
    b'(This file must be converted with BinHex 4.0)\n:#@9bE3"R!*!%!*!%!*!%!*!:',
]


_LIMITS = Limits(seconds=1.0, password_seconds=0.3)


def run(data: bytes) -> None:
    found = inspect([Attachment("a.bin", "", data)], ["the password is 1234"], _LIMITS)
    assert len(found.findings) <= _LIMITS.findings + 60
    assert len(found.members) <= _LIMITS.members + 1
    assert sum(member.size for member in found.members) <= 2 * _LIMITS.octets
    broken = [finding for finding in found.findings if finding.evidence.startswith(INTERNAL)]
    assert not broken, broken
