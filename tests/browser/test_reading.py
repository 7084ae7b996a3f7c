"""Reading in a real browser: pictures of others, attachments looked at, printing, source."""

from __future__ import annotations

import base64
import re
import struct
import time
import zlib

import pytest
from playwright.sync_api import Page, Route, expect

from browser.test_webmail import check, row, send
from browser_tools import ANNA, Standby


def png(width: int = 320, height: int = 160) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((40, 90, 200)) * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pdf(words: str, pages: int = 3) -> bytes:
    """With a script that would run when it is opened, in a viewer that runs scripts."""
    kids = " ".join(f"{10 + 2 * n} 0 R" for n in range(pages))
    objects = {
        1: "<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\('ran'\\); top.ran = 1)>>>>",
        2: f"<</Type/Pages/Count {pages}/Kids[{kids}]>>",
        3: "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    for n in range(pages):
        drawing = f"BT /F 28 Tf 60 700 Td ({words} {n + 1}) Tj ET"
        font = "/Resources<</Font<</F 3 0 R>>>>"
        page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]{font}/Contents {11 + 2 * n} 0 R>>"
        objects[10 + 2 * n] = page
        objects[11 + 2 * n] = f"<</Length {len(drawing)}>>stream\n{drawing}\nendstream"
    body = "%PDF-1.4\n" + "".join(f"{number} 0 obj\n{text}\nendobj\n" for number, text in objects.items())
    return (body + "trailer<</Root 1 0 R>>\n%%EOF").encode()


def send_files(installation: Standby, subject: str, files: list[tuple[str, str, bytes]]) -> None:
    parts = "".join(
        f"--b\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename={name}\r\n"
        f"Content-Transfer-Encoding: base64\r\n\r\n{base64.encodebytes(data).decode()}"
        for name, kind, data in files
    )
    head = (
        f"From: Sender <s@example.com>\r\nTo: {ANNA.address}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        f"Message-ID: <{time.monotonic_ns()}@example.com>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nSee the files.\r\n"
    )
    installation.send((head + parts + "--b--\r\n").replace("\r\n", "\n").replace("\n", "\r\n").encode())


@pytest.fixture
def asked(page: Page) -> list[str]:
    """What the browser asked the proxy for; every picture is a blue one."""
    found: list[str] = []

    def answer(route: Route) -> None:
        found.append(route.request.url)
        route.fulfill(body=png(), content_type="image/png")

    page.route("**/proxy/**", answer)
    return found


PICTURES = (
    '<p>Our news <img src="https://news.example/a.png" width="320" height="160" alt="a"></p>'
    '<img src="https://news.example/t.gif" width="1" height="1">'
)


def test_pictures_of_others_are_shown_once_asked_for(
    page: Page, installation: Standby, size: str, asked: list[str]
) -> None:
    home = installation.url
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(home) else None)
    sender, subject = f"news-{size}@example.com", f"Newsletter {size} {time.monotonic_ns()}"
    send(installation, f"{subject} one", PICTURES, "text/html", sender)
    send(installation, f"{subject} two", PICTURES, "text/html", sender)
    row(page, f"{subject} one")
    expect(page.get_by_text("1 thing of another server was not loaded")).to_be_visible()
    expect(page.get_by_text("1 picture that only tells the sender when you read")).to_be_visible()
    check(page, size, "pictures-blocked")
    assert asked == []
    page.get_by_role("button", name="Show pictures").click()
    picture = page.frame_locator("article iframe").locator("img")
    expect(picture).to_have_js_property("naturalWidth", 320)
    expect(picture).to_have_count(1)
    check(page, size, "pictures-shown")
    assert len(asked) == 1
    assert "news.example" not in asked[0]
    page.keyboard.press("Escape")
    row(page, f"{subject} two")
    page.get_by_role("button", name=f"Always from {sender}").click()
    expect(page.frame_locator("article iframe").locator("img")).to_have_js_property("naturalWidth", 320)
    page.reload()
    expect(page.frame_locator("article iframe").locator("img")).to_have_js_property("naturalWidth", 320)
    page.keyboard.press("Escape")
    if size == "phone":
        page.get_by_role("button", name="Folders").click()
    page.get_by_role("button", name="Settings").click()
    page.get_by_text("Pictures are always shown of 1 sender").click()
    page.get_by_role("button", name=f"Remove {sender}").click()
    expect(page.get_by_text("Pictures are always shown")).to_have_count(0)
    assert foreign == []


def test_files_are_looked_at(page: Page, installation: Standby, size: str) -> None:
    subject = f"Files {size} {time.monotonic_ns()}"
    table = 'name;town\n"Lee; Ann";Köln\nBen;Lyon\n'.encode()
    log = b"line\n" * 200_000
    files = [
        ("blue.png", "image/png", png()),
        ("paper.pdf", "application/pdf", pdf("Quarterly figures")),
        ("people.csv", "text/csv; charset=utf-8", table),
        ("server.log", "application/octet-stream", log),
        ("page.html", "text/html", b"<script>top.ran = 2</script>"),
        ("program.exe", "application/octet-stream", b"MZ"),
    ]
    send_files(installation, subject, files)
    row(page, subject)
    expect(page.get_by_role("button", name="Look at")).to_have_count(4)
    check(page, size, "attachments")
    dialog = page.get_by_role("dialog")

    page.get_by_role("button", name="Look at blue.png").click()
    expect(dialog.get_by_role("img", name="blue.png")).to_have_js_property("naturalWidth", 320)
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Look at people.csv").click()
    expect(dialog.get_by_role("cell", name="Lee; Ann")).to_be_visible()
    expect(dialog.get_by_role("columnheader", name="town")).to_be_visible()
    check(page, size, "preview-table")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Look at server.log").click()
    expect(dialog.get_by_text("The file is long and is shown in part.")).to_be_visible()
    assert len(dialog.locator("pre").inner_text()) <= 500_000
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Look at paper.pdf").click()
    expect(dialog.locator("figure").first).to_contain_text("Quarterly figures 1")
    expect(dialog.get_by_text("Page 1 of 3")).to_be_visible()
    dark = """canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      .data.filter((value, index) => index % 4 === 0 && value < 80).length"""
    assert dialog.locator("canvas").first.evaluate(dark) > 100
    check(page, size, "preview-pdf")
    dialog.locator("figure").nth(2).scroll_into_view_if_needed()
    expect(dialog.locator("figure").nth(2)).to_contain_text("Quarterly figures 3")
    page.keyboard.press("Escape")
    assert page.evaluate("window.ran") is None


def test_a_damaged_file_is_told(page: Page, installation: Standby) -> None:
    subject = f"Damaged {time.monotonic_ns()}"
    send_files(installation, subject, [("broken.pdf", "application/pdf", b"%PDF-1.4 nothing more")])
    row(page, subject)
    page.get_by_role("button", name="Look at broken.pdf").click()
    expect(page.get_by_role("alert").filter(has_text="cannot be shown here")).to_be_visible()


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_a_message_goes_to_paper(page: Page, installation: Standby, kind: str) -> None:
    subject = f"On paper {kind} {time.monotonic_ns()}"
    send(installation, subject, "words for <b>paper</b>", kind)
    row(page, subject)
    page.evaluate(
        """() => new MutationObserver(changes => changes.forEach(({ addedNodes }) => addedNodes.forEach(frame => {
          if (frame.className !== 'paper') return;
          frame.addEventListener('load', () => frame.contentWindow.addEventListener('beforeprint',
            () => (document.body.dataset.printed = frame.contentDocument.body.innerText)));
        }))).observe(document.body, { childList: true })"""
    )
    ignored: list[str] = []
    page.on("console", lambda message: ignored.append(message.text) if "print" in message.text else None)
    page.get_by_role("button", name="Print").click()
    expect(page.locator("body")).to_have_attribute("data-printed", re.compile("paper"))
    printed = page.locator("body").get_attribute("data-printed") or ""
    assert subject in printed
    assert re.search(r"From: Sender <s@example.com>\s+Date: ", printed)
    assert ("words for paper" if kind == "text/html" else "words for <b>paper</b>") in printed
    assert ignored == []


def test_headers_and_source(page: Page, installation: Standby, size: str) -> None:
    subject = f"Source {time.monotonic_ns()}"
    send(installation, subject, "the body of it")
    row(page, subject)
    page.get_by_role("button", name="Show source").click()
    source = page.get_by_role("dialog").locator("pre")
    expect(source).to_contain_text(f"Subject: {subject}")
    expect(source).not_to_contain_text("the body of it")
    page.get_by_role("button", name="Everything").click()
    expect(source).to_contain_text("the body of it")
    check(page, size, "source")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the message").click()
    assert subject in download.value.path().read_text()
