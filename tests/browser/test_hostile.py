"""Hostile mail in a real browser: nothing of it runs, and nothing is asked of anybody else."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from browser.conftest import logged_in
from browser_tools import ANNA, Standby
from vector_tools import VECTORS

PAYLOADS = VECTORS / "dompurify" / "expect.json"
AT_ONCE = 12
OWN = [
    "<script>top.ran = 1</script><img src=x onerror='top.ran = 2'>",
    "<svg onload='parent.ran = 3'><style><img src=x onerror='top.ran = 4'></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=top.ran=5&gt;'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'><base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'><style>@import 'https://evil.example/y.css';</style>",
    "<style>body{background:url(https://evil.example/z)}</style><p style='background:u\\72l(https://evil.example/q)'>x",
    "<form action='https://evil.example/'><input name=a autofocus onfocus='top.ran=6'><button>go</button></form>",
    "<iframe src='https://evil.example/'></iframe><object data='https://evil.example/'></object>",
    "<img src='https://evil.example/p.gif' width=1 height=1><img srcset='https://evil.example/2x 2x'>",
    "<video src='https://evil.example/v' poster='https://evil.example/w' autoplay onloadstart='top.ran=7'></video>",
    "<a href='javascript:top.ran=8' id=link>click</a><a href='data:text/html,<script>top.ran=9</script>'>x</a>",
    "<div style='position:fixed;inset:0;z-index:9999;width:9999px;height:9999px'>over everything</div>",
    "<table background='https://evil.example/t'><td background='//evil.example/u'>x</table>",
    "<div>" * 20_000 + "deep",
    "<picture><source srcset='https://evil.example/s'><img src='cid:none'></picture><image href='https://evil.example/i'>",
    '<img src=\'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" onload="top.ran=10"/>\'>',
]


def _payloads() -> list[str]:
    if not PAYLOADS.exists():
        return []
    return [str(item["payload"]) for item in json.loads(PAYLOADS.read_text())]


@pytest.fixture(scope="module")
def reader(installation: Standby, browser: Browser):  # type: ignore[no-untyped-def]
    yield from logged_in(installation, browser, "desktop")


def open_hostile(installation: Standby, page: Page, payloads: list[str]) -> None:
    """All of them in one message, each in a part of its own, and what it may do waited for."""
    subject = f"Hostile {time.monotonic_ns()}"
    kind = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64"
    octets = [base64.encodebytes(text.encode("utf-8", "replace")).decode().replace("\n", "\r\n") for text in payloads]
    parts = "".join(f"--b\r\n{kind}\r\n\r\n{text}" for text in octets)
    head = (
        f"From: evil@example.com\r\nTo: {ANNA.address}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        f"Message-ID: <{time.monotonic_ns()}@example.com>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    )
    installation.send(f"{head}{parts}--b--\r\n".encode())
    page.locator(".row", has_text=subject).locator(".subject").click()
    page.frame_locator("article iframe").locator("body > *").first.wait_for(state="attached")
    page.wait_for_timeout(250)  # time enough for what would run or be fetched


def watch(page: Page, installation: Standby) -> list[str]:
    """Requests to anybody else, dialogs and new windows, as they come."""
    home = urlsplit(installation.url).netloc
    found: list[str] = []
    page.on(
        "request", lambda request: found.append(request.url) if urlsplit(request.url).netloc not in (home, "") else None
    )
    page.on("dialog", lambda dialog: (found.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.context.on("page", lambda other: found.append(f"window {other.url}"))
    return found


def assert_harmless(page: Page, found: list[str], home: str) -> None:
    assert found == []
    assert page.evaluate("window.ran") is None
    assert page.url.startswith(home)
    assert (
        page.locator("article iframe").last.evaluate(
            """frame => {
          const page = frame.contentDocument;
          const elements = [...page.body.querySelectorAll('*')];
          const bad = /^(script|style|svg|math|iframe|object|embed|form|input|link|meta|base)$/i;
          return elements.filter(e => bad.test(e.tagName)
            || [...e.attributes].some(a => /^on/i.test(a.name))).length;
        }"""
        )
        == 0
    )


@pytest.mark.parametrize("payload", OWN, ids=range(len(OWN)))
def test_our_own_list(installation: Standby, reader: Page, payload: str) -> None:
    found = watch(reader, installation)
    open_hostile(installation, reader, [payload])
    assert_harmless(reader, found, installation.url)
    box = reader.locator("article iframe").last.bounding_box()
    article = reader.locator("article").last.bounding_box()
    assert box is not None
    assert article is not None
    assert article["x"] <= box["x"] <= box["x"] + box["width"] <= article["x"] + article["width"]


def test_a_link_is_never_a_script(installation: Standby, reader: Page) -> None:
    open_hostile(
        installation, reader, ["<a href='javascript:top.ran=1'>one</a> <a href='https://example.org/'>two</a>"]
    )
    links = reader.frame_locator("article iframe").locator("a")
    assert links.evaluate_all("all => all.map(a => [a.getAttribute('href'), a.target, a.rel])") == [
        [None, "_blank", "noopener noreferrer"],
        ["https://example.org/", "_blank", "noopener noreferrer"],
    ]


def test_the_public_payloads(installation: Standby, reader: Page) -> None:
    payloads = _payloads()
    if not payloads:
        pytest.skip(f"{VECTORS} is not there")
    found = watch(reader, installation)
    for start in range(0, len(payloads), AT_ONCE):
        open_hostile(installation, reader, payloads[start : start + AT_ONCE])
        assert_harmless(reader, found, installation.url)
