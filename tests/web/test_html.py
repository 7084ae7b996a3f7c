"""A stranger's HTML on the server: what is left of it, and that it costs time in proportion."""

from __future__ import annotations

import time

import nh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.serve.web.html import render_html
from everpost.serve.web.markup import MAX_DEPTH, well_formed


def clean(html: str) -> str:
    return render_html(html, cid={"a@b": "/own"}).html


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<p>one<p>two", "<p>one</p><p>two</p>"),
        ("<script>alert(1)</script>x", "x"),
        ("<style>body{}</style>x<style>never closed", "x"),
        ("a<!-- <p> -->b<!-- never closed", "ab"),
        ("1 < 2 <3", "1 &lt; 2 &lt;3"),
        ("<div onclick=alert(1)>x</div>", "<div>x</div>"),
        ("<b><div>x</b></div>", "<b><div>x</div></b>"),
        ("<table><tr><td>1<td>2</table>y", "<table><tbody><tr><td>1</td><td>2</td></tr></tbody></table>y"),
        ("<div><table><td></div>a</table>b", "<div><table><tbody><tr><td>a</td></tr></tbody></table>b</div>"),
        ('<img src="cid:a@b">', '<img src="/own">'),
        ('<img src="cid:other">', "<img>"),
        ('<img src="data:image/svg+xml;base64,AA">', "<img>"),
        ('<p style="position:fixed;color:red">x', '<p style="color:red">x</p>'),
        ('<p style="background:\\75rl(x);width:1px">x', '<p style="width:1px">x</p>'),
    ],
)  # fmt: skip
def test_what_is_left(html: str, left: str) -> None:
    assert clean(html) == left


@pytest.mark.parametrize(
    ("html", "blocked"),
    [
        ('<img src="https://tracker.example/x.gif"><img src="//tracker.example/y">', 2),
        ('<table background="http://tracker.example/"><td>x', 1),
        ('<div style="background:url(http://tracker.example/)">x', 1),
        ('<img srcset="http://tracker.example/ 2x"><link rel=stylesheet href="http://tracker.example/">', 0),
        ('<a href="http://tracker.example/">x</a>', 0),
    ],
)
def test_nothing_is_fetched_and_what_would_be_is_counted(html: str, blocked: int) -> None:
    found = render_html(html, cid={})
    assert found.blocked_remote == blocked
    assert "tracker.example" not in found.html.replace('href="http://tracker.example/"', "")


def test_with_leave_pictures_come_through_us() -> None:
    found = render_html('<img src="https://x.example/?a=1&amp;b">', cid={}, remote=lambda url: f"/ours?{len(url)}")
    assert (found.html, found.blocked_remote) == ('<img src="/ours?24">', 0)


@pytest.mark.parametrize(
    "scheme", ["javascript:", "JaVaScRiPt:", " java\nscript:", "data:text/html,", "vbscript:", "/"]
)
def test_links_lead_to_the_web_or_to_people_only(scheme: str) -> None:
    assert "href" not in clean(f'<a href="{scheme}x">y</a>')


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 400_000,
        "<div><!--</div>-->" * 100_000,
        '<div title="</div>">' * 100_000,
        "<p>" + "".join(f"<font size={n}>" for n in range(20_000)) + "<p>x" * 200_000,
        "<table><td>" * 150_000,
        "<a b='" * 300_000,
        "<!--" * 500_000,
        "<script>" * 250_000,
        "<" * 2_000_000,
        "<a " + "b=c " * 500_000,
        "</div>" * 300_000,
    ],
    ids=lambda html: html[:18],
)
def test_time_is_in_proportion(html: str) -> None:
    began = time.process_time()
    clean(html)
    assert time.process_time() - began < 5


PIECES = [
    "<div>",
    "</div>",
    "<p>",
    "</p>",
    "<b>",
    "</b>",
    "<table>",
    "</table>",
    "<td>",
    "</td>",
    "<li>",
    "x",
    "<!--",
    "-->",
    "<a\thref='",
    '"',
    ">",
    "<br>",
    "<svg>",
    "</",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_always_nests(pieces: list[str]) -> None:
    html = well_formed("".join(pieces), {"div", "p", "b", "table", "td", "li", "a", "br"})
    depth = deepest = 0
    for piece in html.split("<")[1:]:
        depth += -1 if piece.startswith("/") else 0 if piece.startswith("br") else 1
        deepest = max(deepest, depth)
        assert depth >= 0
    assert depth == 0
    assert deepest <= MAX_DEPTH
    nh3.clean(html)
