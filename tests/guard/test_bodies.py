"""Delivery copies with banners and with links that are judged when they are clicked."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.directory.model import Banner, Language
from everpost.guard import kinds
from everpost.guard.banners import BannerText, banner_of
from everpost.guard.bodies import BodyChange, body_edits
from everpost.guard.model import Way, signal
from everpost.guard.verdict import Policy, judge
from everpost.mail.edits import edited
from everpost.mail.mime import scan

BANNER = BannerText("[!] Vorsicht, außen\r\n", "[!] Careful\r\n", "<div>Vorsicht, au\xdfen</div>")
LINKS = BodyChange(None, lambda url: f"https://mail.example.org/click/{len(url)}" if "keep" not in url else None)
BOTH = BodyChange(BANNER, LINKS.make_address)


def copy_of(data: bytes, change: BodyChange) -> EmailMessage:
    made = edited(data, body_edits(data, scan(data), change))
    return email.message_from_bytes(made, policy=email.policy.default)  # type: ignore[return-value]


def said(part: EmailMessage) -> str:
    return part.get_content().replace("\r\n", "\n")


def text_message(text: str, charset: str = "utf-8", encoding: str = "8bit") -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "a@example.com"
    message.set_content(text, charset=charset, cte=encoding)
    return message.as_bytes()


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252"])
def test_a_text_keeps_its_charset_and_encoding(charset: str, encoding: str) -> None:
    data = text_message("Grüße: https://a.example/x und https://keep.example/\n", charset, encoding)
    copy = copy_of(data, BOTH)
    assert copy["content-transfer-encoding"] == encoding
    assert said(copy) == ("[!] Vorsicht, außen\nGrüße: https://mail.example.org/click/19 und https://keep.example/\n")


def test_a_charset_without_such_letters_gets_the_banner_in_ascii() -> None:
    copy = copy_of(text_message("Привет\n", "koi8-r"), BOTH)
    assert said(copy) == "[!] Careful\nПривет\n"


def test_lines_that_get_too_long_are_written_otherwise() -> None:
    text = " ".join(f"http://a.example/{number}" for number in range(45)) + "\n"
    data = b"From: a@example.com\r\n\r\n" + text.replace("\n", "\r\n").encode()
    long = BodyChange(None, lambda url: "https://mail.example.org/click/" + "x" * 90)
    made = edited(data, body_edits(data, scan(data), long))
    assert max(map(len, made.split(b"\r\n"))) < 998
    copy = copy_of(data, long)
    assert copy["content-transfer-encoding"] == "quoted-printable"
    assert said(copy) == " ".join(["https://mail.example.org/click/" + "x" * 90] * 45) + "\n"


def alternative() -> EmailMessage:
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"] = "a@example.com"
    message.set_content("see https://a.example/x\n")
    message.add_alternative('<html><body class="x"><a href="https://a.example/x">go</a></body></html>', subtype="html")
    return message


def test_both_texts_of_an_alternative_are_changed_and_files_are_not() -> None:
    message = alternative()
    message.add_attachment("https://a.example/x\n", filename="links.txt")
    copy = copy_of(message.as_bytes(), BOTH)
    plain, html = copy.get_body(("plain",)), copy.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert said(plain).endswith("see https://mail.example.org/click/19\n")
    assert said(plain).startswith("[!] ")
    assert said(html).strip() == (
        '<html><body class="x"><div>Vorsicht, au&#223;en</div>'
        '<a href="https://mail.example.org/click/19">go</a></body></html>'
    )
    [attached] = copy.iter_attachments()
    assert said(attached) == "https://a.example/x\n"


@pytest.mark.parametrize("kind", ["multipart/signed", "multipart/encrypted"])
def test_nothing_below_a_signature_is_touched(kind: str) -> None:
    data = (
        f'Content-Type: {kind}; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n'
        "https://a.example/x\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
    ).encode()
    assert body_edits(data, scan(data), BOTH) == ()


def test_what_has_no_links_stays_to_the_octet() -> None:
    data = text_message("nothing here = at all \n", encoding="quoted-printable")
    assert body_edits(data, scan(data), LINKS) == ()


@given(st.binary(max_size=300), st.sampled_from(["7bit", "8bit", "base64", "quoted-printable", "x-uuencode", "odd"]))
def test_whatever_strangers_write_makes_a_message(body: bytes, encoding: str) -> None:
    for kind in ("text/plain", "text/html; charset=utf-7", "text/html"):
        data = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body
        made = edited(data, body_edits(data, scan(data), BOTH))
        assert made.partition(b"\r\n\r\n")[0].lower().count(b"content-transfer-encoding:") == 1


def test_which_mail_gets_a_banner() -> None:
    clean = judge([], Way.INBOUND, Policy())
    odd = judge([signal(kinds.REPLY_ELSEWHERE, "<b>replies go to evil.example", weight=3.5)], Way.INBOUND, Policy())
    assert banner_of(clean, Way.INBOUND, Banner.NONE, Language.EN) is None
    assert banner_of(clean, Way.INBOUND, Banner.SUSPICIOUS, Language.EN) is None
    assert banner_of(odd, Way.OUTBOUND, Banner.EXTERNAL, Language.EN) is None
    external = banner_of(clean, Way.INBOUND, Banner.EXTERNAL, Language.DE)
    assert external is not None
    assert "außerhalb" in external.text
    assert external.plain.isascii()
    warned = banner_of(odd, Way.INBOUND, Banner.SUSPICIOUS, Language.FR)
    assert warned is not None
    assert "suspect" in warned.text
    assert "replies go to evil.example" in warned.text
    assert "<b>replies" not in warned.html
    assert "&lt;b&gt;replies go to evil.example" in warned.html
