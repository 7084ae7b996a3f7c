"""Links of whole messages, through decoding, finding and judging."""

from __future__ import annotations

import base64

import pytest

from everpost.guard import kinds
from everpost.guard.contents import read_contents
from everpost.guard.links.model import LinkFindingKind
from everpost.guard.model import Signal
from everpost.guard.steps.links import Links
from everpost.guard.steps.reading import Reading
from everpost.mail.header import parse_header
from guard_tools import case_of

K = LinkFindingKind


def html(body: str, encoding: str = "base64") -> bytes:
    data = base64.encodebytes(body.encode()).replace(b"\n", b"\r\n") if encoding == "base64" else body.encode()
    head = (
        "From: a@example.com\r\nSubject: x\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: {encoding}"
    )
    return head.encode() + b"\r\n\r\n" + data


async def found(message: bytes) -> set[str]:
    return {each.kind for each in await signals(message)}


async def signals(message: bytes) -> list[Signal]:
    case = case_of(message)
    await Reading()(case)
    return list(await Links(frozenset({"mail.example.org"}))(case))


@pytest.mark.parametrize(
    ("markup", "kind"),
    [
        ('<a href="https://evil.example/login">https://www.example.org/login</a>', K.SHOWN_PROTECTED_DOMAIN),
        ('<a href="https://paypal.com@evil.example/">pay</a>', K.USERINFO),
        ('<a href="https://exarnple.org/">our portal</a>', K.LOOKALIKE),
        ('<a href="https://paypal.com.evil.example/">pay</a>', K.SUBDOMAIN_TRICK),
        ('<a href="javascript:alert(1)">x</a>', K.JAVASCRIPT_URI),
        ('<a href="https://evil.example/invoice.pdf.exe">invoice</a>', K.EXECUTABLE_TARGET),
    ],
)
async def test_what_a_reader_is_led_to(markup: str, kind: LinkFindingKind) -> None:
    assert kinds.LINK_KINDS[kind].name in await found(html(f"<p>{markup}</p>"))


async def test_ordinary_links_raise_nothing() -> None:
    ordinary = '<a href="https://www.example.org/">www.example.org</a> <a href="https://mail.example.org/x">here</a>'
    assert await found(html(ordinary)) == set()
    assert await found(b"From: a@example.com\r\n\r\nSee https://docs.python.org/3/library/re.html\r\n") == set()


async def test_messages_inside_messages_are_looked_at_too() -> None:
    inner = html('<a href="https://paypal.com@evil.example/">pay</a>', "8bit")
    outer = (
        b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--\r\n"
    )  # fmt: skip
    assert kinds.LINK_KINDS[K.USERINFO].name in await found(outer)


async def test_many_links_of_a_kind_weigh_as_one() -> None:
    markup = "".join(f'<a href="https://paypal.com@evil{number}.example/">pay</a>' for number in range(50))
    userinfo = [each for each in await signals(html(markup)) if each.kind == "link.userinfo"]
    assert [each.weight for each in userinfo] == [kinds.LINK_KINDS[K.USERINFO].weight, 0.0, 0.0]


async def test_large_messages_are_looked_at_beside_the_event_loop() -> None:
    padding = "<p>" + "word " * 30_000 + "</p>"
    assert kinds.LINK_KINDS[K.USERINFO].name in await found(
        html(padding + '<a href="https://paypal.com@evil.example/">x</a>')
    )


def test_contents_are_bounded() -> None:
    parts = b"".join(b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n" for _ in range(500))
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"
    assert len(read_contents(message, parse_header(message)).texts) == 50


def test_every_finding_is_worth_something() -> None:
    assert set(kinds.LINK_KINDS) == set(LinkFindingKind)
