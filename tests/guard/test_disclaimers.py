"""A disclaimer stands once at the end of what goes to the world, in text and page, whatever their charset."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage
from typing import Any

import pytest

from everpost.directory.model import AS_IT_CAME
from everpost.directory.settings import BadDisclaimer, check_disclaimer
from everpost.guard.bodies import BodyChange, body_edits
from everpost.guard.disclaimers import disclaimer_of
from everpost.guard.model import Way
from everpost.mail.address import Address
from everpost.mail.edits import edited
from everpost.mail.mime import scan
from guard_tools import case_of

TEXT = "Beispiel GmbH, Köln\nVertraulich & <geheim>"
SAID = "Beispiel GmbH, Köln\r\nVertraulich & <geheim>\r\n"
PLAIN = b"From: anna@example.org\r\nSubject: Hi\r\n\r\nText\r\n"


def outgoing(message: bytes = PLAIN, to: str = "x@example.com", text: str = TEXT, **values: Any) -> Any:
    given = {"way": Way.OUTBOUND, "reverse_path": Address.parse("anna@example.org")} | values
    return case_of(
        message, recipients=(Address.parse("ben@example.org"), Address.parse(to)),
        copies=replace(AS_IT_CAME, disclaimer=text), **given,
    )  # fmt: skip


def copy_of(data: bytes) -> bytes:
    footer = disclaimer_of(outgoing(data))
    assert footer is not None
    return edited(data, body_edits(data, scan(data), BodyChange(footer=footer)))


def read(data: bytes) -> EmailMessage:
    return email.message_from_bytes(copy_of(data), policy=email.policy.default)  # type: ignore[return-value]


def message(text: str, page: str | None = None, charset: str = "utf-8", encoding: str | None = None) -> bytes:
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"] = "anna@example.org"
    made.set_content(text, charset=charset, cte=encoding)
    if page is not None:
        made.add_alternative(page, subtype="html", charset=charset, cte=encoding)
    return made.as_bytes()


def content(part: EmailMessage) -> str:
    return part.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
def test_text_and_page_end_with_it(charset: str, encoding: str) -> None:
    made = read(message("Grüße\n", "<html><body><p>Grüße</p></body></html>\n", charset, encoding))
    text, page = made.iter_parts()
    assert content(text) == "Grüße\n\n" + TEXT + "\n"  # type: ignore[arg-type]
    shown = content(page)  # type: ignore[arg-type]
    assert shown.startswith("<html><body><p>Grüße</p><div style=")
    assert "Beispiel GmbH, K&#246;ln<br>Vertraulich &amp; &lt;geheim&gt;</div>" in shown
    assert shown.rstrip().endswith("</div>\n</body></html>")


def test_a_text_that_names_no_charset_stays_ascii() -> None:
    assert copy_of(PLAIN).endswith(b"\r\n\r\nText\r\n\r\nBeispiel GmbH, Koln\r\nVertraulich & <geheim>\r\n")


def test_seven_bits_become_more() -> None:
    made = read(message("Text\n", encoding="7bit"))
    assert made["content-transfer-encoding"] == "quoted-printable"
    assert content(made) == f"Text\n\n{TEXT}\n"


def test_a_charset_without_such_letters_gets_it_in_ascii() -> None:
    assert "Koln" in content(read(message("Привет\n", charset="koi8-r")))


def test_a_page_without_an_end_gets_it_all_the_same() -> None:
    data = b"From: a@example.org\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hi"
    assert copy_of(data).endswith(b"&lt;geheim&gt;</div>\r\n")


def test_an_answer_that_cites_it_does_not_get_it_again() -> None:
    first = read(message("Hi\n", "<p>Hi</p>\n"))
    text, page = (content(part) for part in first.iter_parts())  # type: ignore[arg-type]
    cited = "".join(f"> {line}\n" for line in text.splitlines())
    again = read(message(f"No.\n{cited}", f"<p>No.</p><blockquote>{page}</blockquote>"))
    for part in again.iter_parts():
        assert content(part).count("Beispiel") == 1  # type: ignore[arg-type]


def test_it_stands_after_the_last_text() -> None:
    data = (
        b'From: anna@example.org\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nfirst\r\n'
        b"--b\r\nContent-Type: image/png\r\nContent-Disposition: inline\r\n\r\nPNG\r\n--b\r\n\r\nlast\r\n--b--\r\n"
    )
    copy = copy_of(data)
    assert copy.count(b"Beispiel") == 1
    assert copy.index(b"Beispiel") > copy.index(b"last")


@pytest.mark.parametrize("kind", ["multipart/signed", "multipart/encrypted"])
def test_what_is_sealed_stays(kind: str) -> None:
    data = (
        f'From: anna@example.org\r\nContent-Type: {kind}; boundary="b"\r\n\r\n--b\r\n\r\ntext\r\n'
        "--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--b--\r\n"
    ).encode()
    assert copy_of(data) == data


@pytest.mark.parametrize(
    "case",
    [
        outgoing(way=Way.INBOUND), outgoing(to="cora@example.org"), outgoing(text="  "), outgoing(reverse_path=None),
        outgoing(PLAIN.replace(b"example.org", b"other.example")), outgoing(b"DKIM-Signature: v=1\r\n" + PLAIN),
        outgoing(b"Subject: nobody\r\n\r\nText\r\n"),
    ],
)  # fmt: skip
def test_who_gets_none(case: Any) -> None:
    assert disclaimer_of(case) is None


@pytest.mark.parametrize("text", ["x" * 4001, "x" * 401, "a\x07b", "a\u202eb"])
def test_what_cannot_be_one(text: str) -> None:
    with pytest.raises(BadDisclaimer):
        check_disclaimer(text)


def test_line_ends_are_made_plain() -> None:
    assert check_disclaimer("\r\na \r\n\r\nb\tc\r\n") == "a\n\nb\tc"
