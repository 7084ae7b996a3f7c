"""The condition `content`: what a message and its files say, and what a message says of itself."""

from __future__ import annotations

import io
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.guard.contents import Contents, File
from everpost.guard.dlp.content import Searched, content_test
from everpost.guard.dlp.marks import Mark
from everpost.guard.dlp.texts import MAX_TEXT, text_of
from everpost.mail.header import parse_header

IBAN = "DE89370400440532013000"


def contents(subject: str = "", text: str = "", page: str = "", *files: File) -> Contents:
    return Contents(subject, (text,), (page,), (), files)


def searched(text: str, header: bytes = b"", subject: str = "") -> Searched:
    return Searched(parse_header(header + b"\r\n\r\n"), subject, text)


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("iban", IBAN, True), ("iban", "nothing", False), ("iban >= 2", f"{IBAN} {IBAN}", False),
        ("iban >= 2", f"{IBAN} NL91ABNA0417164300", True), ("card>=1", "4111 1111 1111 1111", True),
        ("national-id:es", "54362315K", True), ("national-id:DE", "54362315K", False),
        ("national-id", "54362315K", True), ("national-id >= 2", "54362315K, PESEL 44051401359", True),
        ("mark:Confidential", "Confidential\n\nDear all", True),
    ],
)  # fmt: skip
def test_values(value: str, text: str, expected: bool) -> None:
    assert content_test(value)(searched(text)) is expected


@pytest.mark.parametrize(
    "value", ["ibans", "iban > 5", "iban >= 0", "national-id:XX", "mark:", "mark:" + "x" * 101, ""]
)
def test_wrong_values_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        content_test(value)


@pytest.mark.parametrize(
    ("header", "subject", "text"),
    [
        (b"X-Classification: CONFIDENTIAL", "", ""),
        (b"Sensitivity: Company-Confidential", "", ""),
        (b"msip_labels: MSIP_Label_1a_Enabled=True;\r\n MSIP_Label_1a_Name=Confidential", "", ""),
        (b"", "[Confidential] Plans", ""), (b"", "Re: AW: Confidential: plans", ""), (b"", "CONFIDENTIAL", ""),
        (b"", "", "Hello\n*** Confidential ***\nText"), (b"", "", "Classification: Confidential"),
        (b"", "", "Einstufung - confidential"), (b"", "", "see the label [confidential] below"),
    ],
)  # fmt: skip
def test_marks(header: bytes, subject: str, text: str) -> None:
    found = searched(text, header, subject)
    assert Mark("Confidential").is_in(found.header, found.subject, found.text)


@pytest.mark.parametrize(
    ("header", "subject", "text"),
    [
        (b"X-Mailer: Confidential", "", ""), (b"X-Classification: unconfidential", "", ""),
        (b"", "How confidential is this?", ""), (b"", "", "It may be confidential. If you are not the recipient,"),
        (b"", "", "we talked about confidential things\nand others"), (b"", "Confidentiality agreement", ""),
    ],
)  # fmt: skip
def test_who_writes_about_it_does_not_mark(header: bytes, subject: str, text: str) -> None:
    found = searched(text, header, subject)
    assert not Mark("Confidential").is_in(found.header, found.subject, found.text)


def test_a_mark_of_several_words() -> None:
    found = searched("", b"X-Label: for-internal  use")
    assert Mark("For internal use").is_in(found.header, "", "")


def office(**members: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


WORD = office(**{"word/document.xml": f"<w:p><w:r><w:t>{IBAN[:9]}</w:t></w:r><w:r><w:t>{IBAN[9:]}</w:t></w:r></w:p>"})
SHEET = office(**{"xl/worksheets/sheet1.xml": f"<row><c><v>1</v></c><c><t>{IBAN}</t></c><c><v>2</v></c></row>"})
OPEN = office(content_xml="", **{"content.xml": f"<text:p>x</text:p><text:p>{IBAN}</text:p>"})


@pytest.mark.parametrize(
    "given_contents",
    [
        contents(IBAN), contents("", IBAN), contents("", "", f"<p>{IBAN[:4]}<b>{IBAN[4:8]}</b>{IBAN[8:]}</p>"),
        contents("", "", f"<td>1</td><td>{IBAN}</td><td>2</td>"),
        contents("", "", "", File("a.csv", "application/octet-stream", f"name;iban\nx;{IBAN}\n".encode())),
        contents("", "", "", File("a", "text/plain", IBAN.encode("utf-16"))),
        contents("", "", "", File("a.docx", "x/y", WORD)), contents("", "", "", File("a.xlsx", "x/y", SHEET)),
        contents("", "", "", File("a.odt", "x/y", OPEN)),
    ],
)  # fmt: skip
def test_where_it_may_stand(given_contents: Contents) -> None:
    assert content_test("iban")(searched(text_of(given_contents)))


@pytest.mark.parametrize(
    "data", [WORD[:60], b"PK\x03\x04", b"PK\x03\x04" + b"\0" * 500, WORD.replace(b"word", b"w\0rd")]
)
def test_broken_documents_say_nothing(data: bytes) -> None:
    assert IBAN not in text_of(contents("", "", "", File("a.docx", "x/y", data)))


def test_a_bomb_is_read_no_further_than_it_may_be() -> None:
    bomb = office(**{f"word/header{n}.xml": "1" * 20_000_000 for n in range(3)})
    began = time.monotonic()
    assert len(text_of(contents("", "", "", *(File("a.docx", "x/y", bomb) for _ in range(5))))) <= MAX_TEXT
    assert time.monotonic() - began < 5


@given(st.binary(max_size=200))
def test_any_file_is_read(data: bytes) -> None:
    for start in (b"", b"PK\x03\x04", b"\xff\xfe"):
        assert isinstance(text_of(contents("", "", "", File("a.txt", "", start + data))), str)


@pytest.mark.parametrize("piece", ["[", "Classification: ", "confidential ", " \n", "* ", "re: ", "<!--", "<a ", "</p"])
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    mark = Mark("Confidential")
    header = parse_header(b"X-Label: x\r\n\r\n")
    began = time.monotonic()
    mark.is_in(header, text, text)
    text_of(contents("", text, text))
    assert time.monotonic() - began < 5
