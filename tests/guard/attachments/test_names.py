"""Names and types: what hides what, and what does not."""

from __future__ import annotations

import pytest

from attachment_tools import EXE, kinds, zipped
from everpost.guard.attachments import FindingKind
from everpost.guard.attachments.filetypes import FileType, detect
from everpost.guard.attachments.names import extension, shown
from everpost.guard.attachments.passwords import find_candidates


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("invoice.pdf.exe", {FindingKind.DOUBLE_EXTENSION, FindingKind.EXECUTABLE}),
        ("invoice.pdf.js", {FindingKind.DOUBLE_EXTENSION, FindingKind.SCRIPT}),
        ("invoice.exe. . ", {FindingKind.EXECUTABLE}),
        ("invoice\u202efdp.exe", {FindingKind.RIGHT_TO_LEFT_NAME, FindingKind.EXECUTABLE}),
        ("invoice\u200b.exe", {FindingKind.HIDDEN_CHARACTERS, FindingKind.EXECUTABLE}),
        ("a.e\u00adxe", {FindingKind.HIDDEN_CHARACTERS, FindingKind.EXECUTABLE}),
        (
            "invoice.pdf" + " " * 60 + ".scr",
            {FindingKind.PADDED_NAME, FindingKind.DOUBLE_EXTENSION, FindingKind.EXECUTABLE},
        ),
        ("Rechnung 2024.03.12.pdf", set()),
        ("my.report.final.docx", set()),
        ("README", set()),
        ("מסמך.txt", set()),
    ],
)
def test_names(name: str, expected: set[FindingKind]) -> None:
    assert kinds(b"\x01\x02\x00\xfe", name) == expected


def test_types_that_do_not_fit() -> None:
    assert kinds(EXE, "photo.jpg", "image/jpeg") == {FindingKind.EXECUTABLE, FindingKind.TYPE_MISMATCH}
    assert FindingKind.TYPE_MISMATCH in kinds(zipped(("a.txt", b"a")), "a.pdf", "application/pdf")
    assert FindingKind.TYPE_MISMATCH in kinds(b"%PDF-1.4\n", "", "image/png")
    assert kinds(b"\xff\xd8\xff\xe0", "photo.png", "image/png") == set()  # one picture for another
    assert kinds(b"hello", "a.txt", "text/plain") == set()


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (EXE, "", FileType.PE),
        (b"\x7fELF\x02", "", FileType.ELF),
        (b"\xca\xfe\xba\xbe\0\0\0\x34", "", FileType.JAVA_CLASS),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", "", FileType.MACH_O),
        (b"WScript.CreateObject('x')", "a.txt", FileType.SCRIPT),
        (b"@echo off\r\ndel x", "", FileType.SCRIPT),
        (b"<html><HTA:APPLICATION></html>", "", FileType.HTA),
        (b"junk\n%PDF-1.4", "", FileType.PDF),
        (b"", "", FileType.EMPTY),
        (b"Dear all,\nplease find attached", "", FileType.TEXT),
        (b"From: a@b\nTo: c@d\n\nx", "", FileType.EML),
        (zipped(("META-INF/MANIFEST.MF", b""), ("a/B.class", b"")), "", FileType.JAR),
        (zipped(("AndroidManifest.xml", b"")), "", FileType.APK),
        (zipped(("AppxManifest.xml", b""), ("a.exe", b"")), "", FileType.APPX),
        (b"MSCF\0\0\0\0", "", FileType.CAB),
        (bytes(0x8001) + b"CD001", "", FileType.ISO),
    ],
)
def test_types(data: bytes, name: str, expected: FileType) -> None:
    assert detect(data, name) is expected


def test_shown_names_do_not_move_anything() -> None:
    assert shown("a\u202eb\nc\x00") == "a<U+202E>b<U+000A>c<U+0000>"
    assert len(shown("x" * 10_000)) < 300
    assert extension("C:\\a.b\\file.TXT ") == "txt"
    assert extension("no") == ""


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("The password for the archive is: Abc.123!", "Abc.123!"),
        ("Passwort: hunter2", "hunter2"),
        ("Kennwort lautet „Sommer2024“", "Sommer2024"),
        ("mot de passe : soleil", "soleil"),
        ("PIN 8812", "8812"),
        ("contraseña: perro", "perro"),
        ("pw=xyz", "xyz"),
        ("Use [Q7-kk] for it", "Q7-kk"),
    ],
)
def test_likely_passwords_come_first(text: str, password: str) -> None:
    noise = " ".join(f"lorem{number}" for number in range(2000))
    assert password in find_candidates([f"{noise[:500]}\n{text}\n{noise}"])[:12]
