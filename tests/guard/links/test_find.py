"""Finding: tables of ways to write a link, a browser's parser as an oracle, and hostile input within its time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from everpost.guard.links.find import find_links
from everpost.guard.links.model import LinkLimits, LinkSource
from everpost.guard.links.normalise import parse


def in_text(text: str) -> list[tuple[str, str]]:
    return [(link.url, link.source.value) for link in find_links([text]).links]


def in_html(markup: str) -> list[tuple[str, str]]:
    return [(link.url, link.source.value) for link in find_links([], [markup]).links]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("see http://a.example/x.", ["http://a.example/x"]),
        ("(http://a.example/w_(b))", ["http://a.example/w_(b)"]),
        ("*https://a.example/x*, next", ["https://a.example/x"]),
        ("HTTPS://A.EXAMPLE:443/%41%2f", ["https://a.example/A%2F"]),
        ("www.foo.com and WWW2.foo.com/x!", ["http://www.foo.com/", "http://www2.foo.com/x"]),
        ("https://paypal.com@evil.example/", ["https://evil.example/"]),
        ("http:\\\\back.example\\x", ["http://back.example/x"]),
        ("http://2130706433/ http://0x7f.1/ http://0177.0.0.1/", ["http://127.0.0.1/"]),
        ("http://[::1]:80/x", ["http://[::1]/x"]),
        ("http://a.comhttps://b.com", ["http://a.com/", "https://b.com/"]),
        ("请访问http://example.com查看", ["http://example.com/"]),
        ("http://ev\u200bil.com/\u00adz", ["http://evil.com/z"]),
        ("ｈｔｔｐ：//wide.com/ｘ", ["http://wide.com/x"]),
        ("https://рaypal.com/", ["https://xn--aypal-uye.com/"]),
        ("<http://a.example/long\r\n  -rest/x>", ["http://a.example/long-rest/x"]),
        ("ftp://f.example/x file://host.example/share", ["ftp://f.example/x", "file://host.example/share"]),
        ("evil.com/login and evil.co.uk:8080/x", ["http://evil.com/login", "http://evil.co.uk:8080/x"]),
        ("and/or, src/foo.py/x, a@evil.com/x, e.g./x, file.txt/y, v1.2/x, https:// , http://", []),
    ],
)
def test_text(text: str, urls: list[str]) -> None:
    assert [url for url, _ in in_text(text)] == urls


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("hxxps[:]//evil[.]com/p", "https://evil.com/p"),
        ("hXXp://evil.com/x", "http://evil.com/x"),
        ("h**p://evil.com/x", "http://evil.com/x"),
        ("http[:]//evil.com/x", "http://evil.com/x"),
        ("http : // evil.com/x", "http://evil.com/x"),
        ("evil[.]com", "http://evil.com/"),
        ("go to evil(dot)com/path now", "http://evil.com/path"),
        ("http://evil{.}com/x", "http://evil.com/x"),
        ("https://evil [dot] com/x", "https://evil.com/x"),
    ],
)
def test_defanged(text: str, url: str) -> None:
    assert (url, "defanged") in in_text(text)


def test_defanged_addresses_of_mail_are_no_links() -> None:
    assert in_text("write to me [at] evil[.]com (or not) [1.2] {.} [:]") == []


def test_an_address_broken_over_lines_comes_whole_and_in_part() -> None:
    text = "this is a line of some length that ends at https://example.com/path/with-\nrest/of-it?x=1\nRegards\n"
    urls = [url for url, _ in in_text(text)]
    assert urls == ["https://example.com/path/with-", "https://example.com/path/with-rest/of-it?x=1"]


@pytest.mark.parametrize(
    ("markup", "found"),
    [
        ('<a href="https://e.example/?a=1&amp;b&copy=2">x</a>', [("https://e.example/?a=1&b&copy=2", "html_href")]),
        ("<A\nHREF = http://e.example>x", [("http://e.example/", "html_href")]),
        ("<a/href='http://e.example/'>x</a>", [("http://e.example/", "html_href")]),
        ('<a title="a>b" href="http://e.example/">', [("http://e.example/", "html_href")]),
        ('<a href="jav&#x09;ascript:alert(1)">', [("javascript:alert(1)", "html_href")]),
        ('<a href="http&#58;//e.example/">', [("http://e.example/", "html_href")]),
        ('<a href="//e.example/x">', [("https://e.example/x", "html_href")]),
        ('<a href="\\\\e.example/x">', [("https://e.example/x", "html_href")]),
        ('<a href="www.e.com/x">', [("http://www.e.com/x", "html_href")]),
        ('<a href="e.com:8080/x">', [("http://e.com:8080/x", "html_href")]),
        ('<a href="mailto:a@b.c"><a href="#x"><a href="cid:x"><a href="page"><a href="">', []),
        ('<area href="http://e.example/">', [("http://e.example/", "html_href")]),
        ('<svg><a xlink:href="http://e.example/">', [("http://e.example/", "html_href")]),
        ('<form action="http://e.example/">', [("http://e.example/", "html_form")]),
        ('<button formaction="http://e.example/">', [("http://e.example/", "html_form")]),
        (
            "<meta http-equiv=refresh content=\"0;URL='http://e.example/'\">",
            [("http://e.example/", "html_meta_refresh")],
        ),
        ('<img src="http://e.example/p.gif">', [("http://e.example/p.gif", "html_src")]),
        ('<img src="data:image/png;base64,AA"><img src="cid:a">', []),
        ('<iframe src="data:text/html,x">', [("data:text/html,x", "html_src")]),
        ('<iframe srcdoc="<a href=http://e.example/>">', [("http://e.example/", "html_href")]),
        ('<!--[if mso]><v:rect href="http://e.example/"></v:rect><![endif]-->', [("http://e.example/", "html_href")]),
        ('<!-- <a href="http://e.example/"> -->', [("http://e.example/", "html_other")]),
        ('<script>location="http://e.example/"</script>', [("http://e.example/", "html_other")]),
        ("<p>see http://e<b>vil.exa</b>mple/x</p>", [("http://evil.example/x", "text")]),
        ("<p>http://a.example</p>x", [("http://a.example/", "text")]),
        ('<html xmlns="http://www.w3.org/1999/xhtml">', []),
        ('<a href="http://e.example/', [("http://e.example/", "html_href")]),
    ],
)
def test_html(markup: str, found: list[tuple[str, str]]) -> None:
    assert in_html(markup) == found


def test_base_counts_for_what_is_relative() -> None:
    markup = '<base href="http://b.example/d/"><a href="x">1</a><a href="/y">2</a><a href="http://o.example/">3</a>'
    assert [url for url, _ in in_html(markup)[:3]] == [
        "http://b.example/d/x",
        "http://b.example/y",
        "http://o.example/",
    ]


def test_an_anchor_tells_what_it_shows() -> None:
    (link,) = find_links([], ['<a href="http://e.example/">\n www.<b>pay&shy;pal</b>.com <br> now </a>']).links
    assert link.shown == "www.pay\u00adpal.com now"


def test_each_address_comes_once_and_each_shown_text() -> None:
    markup = '<a href="http://e.example/">a</a><a href="http://e.example/">b</a><a href="http://e.example/">a</a>'
    links = find_links(["http://e.example/ again"], [markup]).links
    assert [link.shown for link in links] == ["a", "b"]


def test_too_many_links_are_told() -> None:
    text = " ".join(f"http://h{number}.example/" for number in range(50))
    found = find_links([text], limits=LinkLimits(links=10))
    assert len(found.links) == 10
    assert found.truncated
    assert find_links(["x" * 20], limits=LinkLimits(characters=10)).truncated
    assert not find_links([text]).truncated


def test_qr_payloads_and_attachments() -> None:
    found = find_links(
        [], attachment_texts=["http://a.example/"], qr_payloads=["HTTPS://E.EXAMPLE/X", "EVIL.COM/Y", "WIFI:S:x;"]
    )
    assert [(link.url, link.source) for link in found.links] == [
        ("http://a.example/", LinkSource.ATTACHMENT),
        ("https://e.example/X", LinkSource.QR),
        ("http://evil.com/Y", LinkSource.QR),
    ]


PIECES = st.sampled_from(
    ["<a ", "href=", "http://e.example/", '"', "'", ">", "</a>", "<!--", "-->", "<svg>", "<title>", "</title>",
     "<style>", "</style>", "<script>", "</script>", "<![CDATA[", "]]>", "&#58;", "&amp;", " ", "\n", "/", "=",
     "x", "<", "<p title=", "<textarea>", "<!", "<?", "</", "<math>", "<noscript>", "<!--[if mso]>",
     "<![endif]-->", "http://f.example/?a=b"]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_every_link_that_a_browser_sees_is_found(markup: str) -> None:
    seen = set()
    for node in LexborHTMLParser(markup).css("a[href], area[href]"):
        address = parse(node.attributes["href"] or "")
        if address is not None and address.is_web and "." in address.host:
            seen.add(address.host)
    found = {address.host for url, _ in in_html(markup) if (address := parse(url)) is not None}
    assert seen <= found


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(), st.text(alphabet="htps:/.w[]()x@dot\\<>\n \u200b&#;=\"'aé\ue000"), st.lists(PIECES).map("".join)
    )
)
def test_nothing_raises_and_all_is_normal(text: str) -> None:
    for link in (*find_links([text]).links, *find_links([], [text]).links):
        again = parse(link.url)
        assert again is not None
        assert again.url == link.url
        link.url.encode("utf-8")


@pytest.mark.parametrize(
    "unit",
    ["[", "[.]", "(dot)", "http://", "hxxp[:]//", "a", "a.b/", "x.com/ ", "a[.]", ")", "<", "<http://a\n",
     "www.", " ", "\n", "http://aaaa.com/a-\n", "&amp", "。", "<!--", "<!---->", "<a ", "<a href='", "<script>",
     "<!--[if a]>", "<![CDATA[", ":/", '<a href="http://a.com/">', "<p a=", "</script", "&#x", "\u200b", "a-",
     "@", "%41", "<iframe srcdoc='", ".\ue000", "h**p:"]
)  # fmt: skip
def test_a_megabyte_of_anything_takes_bounded_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    find_links([text], [text])
    assert time.process_time() - started < 4
