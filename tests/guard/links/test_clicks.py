"""Time-of-click tokens, and the rewriting that puts them into delivery copies."""

from __future__ import annotations

import base64
import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from everpost.guard.links.clicks import MAX_TOKEN, Click, ClickKey, ClickRefusal, Refused, open_click, sign_click
from everpost.guard.links.markup import tokens
from everpost.guard.links.rewrite import rewrite_html, rewrite_html_octets, rewrite_text

OLD, NEW = ClickKey(1, b"o" * 32), ClickKey(2, b"n" * 32)
KEYS = {1: OLD, 2: NEW}
NOW = 1_800_000_000


def reason(token: str, keys: dict[int, ClickKey] = KEYS, now: float = NOW) -> ClickRefusal | None:
    opened = open_click(token, keys, now)
    return opened.reason if isinstance(opened, Refused) else None


@pytest.mark.parametrize(
    ("url", "longest"),
    [
        ("https://www.example.com/", 63),
        ("https://www.example.com/account/login?utm_source=x&utm_medium=email", 90),
        ("https://x.example/" + "abc" * 2000, 120),
        ("https://x.example/é", 90),
    ],
)
def test_a_token_holds_its_link(url: str, longest: int) -> None:
    token = sign_click(NEW, 12345, 2**62, url, NOW + 60)
    assert open_click(token, KEYS, NOW) == Click(12345, 2**62, url, NOW // 3600 * 3600 + 3600)
    assert len(token) <= longest
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)


def test_keys_are_rotated_by_number() -> None:
    token = sign_click(OLD, 1, 2, "https://x.example/", NOW + 60)
    assert isinstance(open_click(token, KEYS, NOW), Click)
    assert reason(token, {2: NEW}) is ClickRefusal.UNKNOWN_KEY
    assert reason(token, {1: ClickKey(1, b"x" * 32)}) is ClickRefusal.FORGED


def test_an_expired_token_still_says_what_it_was() -> None:
    token = sign_click(NEW, 1, 2, "https://x.example/", NOW)
    opened = open_click(token, KEYS, NOW + 7200)
    assert isinstance(opened, Refused)
    assert opened.reason is ClickRefusal.EXPIRED
    assert opened.click is not None
    assert opened.click.url == "https://x.example/"


def test_no_changed_token_opens() -> None:
    octets = base64.urlsafe_b64decode(sign_click(NEW, 1, 2, "https://www.example.com/ab", NOW + 60) + "===")
    for at in range(len(octets)):
        changed = octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]
        token = base64.urlsafe_b64encode(changed).rstrip(b"=").decode()
        assert reason(token) in (ClickRefusal.FORGED, ClickRefusal.UNKNOWN_KEY, ClickRefusal.MALFORMED)
    assert reason(base64.urlsafe_b64encode(octets[:-1]).rstrip(b"=").decode()) is ClickRefusal.FORGED


@given(st.one_of(st.text(), st.binary().map(lambda octets: base64.urlsafe_b64encode(b"\x01\0\2" + octets).decode())))
def test_strange_tokens_are_refused(token: str) -> None:
    assert reason(token) is not None


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@b.example",
        "//x",
        "file://h/x",
        "https://x.example/" + "a" * 9000,
    ],
)
def test_only_web_addresses_are_signed(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        sign_click(NEW, 1, 2, url, NOW)


def test_what_would_be_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        sign_click(
            NEW, 1, 2, "https://x.example/" + "".join(map(chr, Random(1).choices(range(0x4E00, 0x9F00), k=5000))), NOW
        )
    assert MAX_TOKEN == 8192


def test_weak_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="32 octets"):
        ClickKey(1, b"short")


# ------------------------------------------------------------------- rewriting


def ours(url: str) -> str | None:
    return None if url.startswith("https://own.example/") else f"https://c.example/?{len(url)}&x"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<A  HREF = \'https://e.example/?a&amp;b\' x>y</A >', "<A  HREF = 'https://c.example/?22&amp;x' x>y</A >"),
        ("<a href=https://e.example/x>y", '<a href="https://c.example/?19&amp;x">y'),
        ("<a href=//e.example/x>y", '<a href="https://c.example/?19&amp;x">y'),
        ('<form action="http://e.example">', '<form action="https://c.example/?17&amp;x">'),
        ('<!--[if mso]><v:r href="http://e.example/"/><![endif]-->', '<!--[if mso]><v:r href="https://c.example/?17&amp;x"/><![endif]-->'),
        ('<svg><title><a href="http://e.example/">', '<svg><title><a href="https://c.example/?17&amp;x">'),
        ('<meta http-equiv=refresh content="0; url=http://e.example/">', '<meta http-equiv=refresh content="0; url=https://c.example/?17&amp;x">'),
        ('<base href="http://b.example/"><a href="x">', '<base href="http://b.example/"><a href="https://c.example/?18&amp;x">'),
    ],
)  # fmt: skip
def test_html_links_are_replaced(before: str, after: str) -> None:
    assert rewrite_html(before, ours) == after


@pytest.mark.parametrize(
    "markup",
    [
        '<a href="mailto:a@b.example"><a href="tel:1"><a href="cid:x"><a href="#x"><a href=""><a href><a href="page">',
        '<a href="https://own.example/x">',
        '<img src="http://e.example/"><link href="http://e.example/"><a title="http://e.example/">http://e.example/</a>',
        '<a href="javascript:location=\'http://e.example/\'"><script>"<a href=http://e.example/>"</script>',
        "<!-- <a href='http://e.example/'> -->",
    ],
)
def test_html_that_stays(markup: str) -> None:
    assert rewrite_html(markup, ours) == markup


PIECES = ["<a href=", "http://e.example/é", '"', "'", ">", "<!--", "-->", "</a>", "é", "&amp;", "<", " ", "<p x="]
HTML = st.one_of(
    st.text(alphabet="<a href=\"'>/!-é&;#x\n http://e.example", max_size=200),
    st.lists(st.sampled_from(PIECES)).map("".join),
)


@given(HTML)
def test_nothing_else_changes(markup: str) -> None:
    assert rewrite_html(markup, lambda _: None) == markup
    octets = markup.encode("latin-1")
    assert rewrite_html_octets(octets, "latin-1", lambda _: None) == octets
    written = rewrite_html(markup, lambda _: "http://e.example/!")
    left = re.sub(r"\"?http://e\.example/!\"?", "", written)
    position = 0
    for letter in left:  # what is left of it stood there, in this order
        position = markup.index(letter, position) + 1
    assert len([*tokens(written)]) == len([*tokens(markup)])


@given(HTML)
def test_no_link_that_a_browser_sees_is_missed(markup: str) -> None:
    written = rewrite_html(markup, lambda _: "https://c.example/")
    for node in LexborHTMLParser(written).css("a[href]"):
        assert not (node.attributes["href"] or "").strip().startswith("http://e.example/")


def test_octets_of_any_charset_stay() -> None:
    before = b'\xff\x80<a href="https://\xfcx.example/\xe9">\xfc</a>'
    seen: list[str] = []

    def make(url: str) -> str:
        seen.append(url)
        return "https://c.example/"

    assert rewrite_html_octets(before, "latin-1", make) == b'\xff\x80<a href="https://c.example/">\xfc</a>'
    assert seen == ["https://xn--x-dha.example/%C3%A9"]
    with pytest.raises(LookupError):
        rewrite_html_octets(before, "no-such-charset", make)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("see https://e.example/b, or", "see https://c.example/?19&x, or"),
        ("> www.foo.com/x \r\n> b", "> https://c.example/?20&x \r\n> b"),
        ("<http://e.example/a\r\n  b>\r\nc", "<https://c.example/?19&x\r\n>\r\nc"),
        ("(https://e.example/)\n", "(https://c.example/?18&x)\n"),
        ("a@b.example mailto:a@b.example https://own.example/x hxxp://e[.]example\n", None),
    ],
)
def test_text_links_are_replaced(before: str, after: str | None) -> None:
    assert rewrite_text(before, ours) == (before if after is None else after)


@given(st.text(alphabet="htps:/.w x<>\r\n@é"))
def test_text_keeps_its_lines(text: str) -> None:
    assert rewrite_text(text, lambda _: None) == text
    assert rewrite_text(text, lambda _: "https://c.example/").count("\n") == text.count("\n")
