"""Writing in a real browser: pictures in the text, priority, recipients outside."""

from __future__ import annotations

import base64
import time

import pytest
from playwright.sync_api import Page, expect

from browser.test_reading import png
from browser.test_sending import go, write
from browser.test_webmail import check
from browser_tools import ANNA, Standby

DROPPED = """([kind, data, name, type]) => {
  const octets = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([octets], name, { type }));
  const target = document.querySelector('[contenteditable=true]');
  const init = { bubbles: true, cancelable: true };
  target.dispatchEvent(kind === 'paste' ? new ClipboardEvent(kind, { ...init, clipboardData: transfer })
    : new DragEvent(kind, { ...init, dataTransfer: transfer }));
}"""


def put(page: Page, kind: str, name: str, media_type: str, data: bytes) -> None:
    page.evaluate(DROPPED, [kind, base64.b64encode(data).decode(), name, media_type])


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_pictures_in_the_text(page: Page, installation: Standby, size: str, kind: str) -> None:
    subject = f"Picture {kind} {size} {time.monotonic_ns()}"
    write(page, subject, to=ANNA.address)
    put(page, kind, "blue.png", "image/png", png(200, 100))
    picture = page.get_by_role("textbox", name="Message").locator("img")
    expect(picture).to_have_count(1)
    expect(picture).to_have_js_property("naturalWidth", 200)
    put(page, kind, "list.txt", "text/plain", b"1,2,3")
    expect(page.get_by_role("button", name="Remove list.txt")).to_be_visible()
    page.get_by_label("Priority").select_option("high")
    expect(page.get_by_text("Saved in Drafts")).to_be_visible()
    check(page, size, f"composer-picture-{kind}")
    page.keyboard.press("Escape")

    # Opened again, changed twice: each draft takes its files along from the one before.
    go(page, "Drafts")
    page.locator(".row", has_text=subject).locator(".subject").click()
    editor = page.get_by_role("textbox", name="Message")
    expect(picture).to_have_js_property("naturalWidth", 200)
    expect(page.get_by_label("Priority")).to_have_value("high")
    for words in ("One. ", "Two. "):
        editor.focus()
        page.keyboard.type(words)
        expect(page.get_by_text("Saved in Drafts")).to_be_visible()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Message sent", exact=True)).to_be_visible(timeout=20_000)
    go(page, "Inbox")
    page.locator(".row", has_text=subject).first.locator(".subject").click()
    shown = page.frame_locator("article iframe").last.locator("img")
    expect(shown).to_have_js_property("naturalWidth", 200)
    expect(page.locator("article").last).to_contain_text("list.txt")
    expect(page.locator("article").last).not_to_contain_text("image")
    expect(page.locator("article").last.get_by_role("img", name="Important")).to_be_visible()
    page.get_by_role("button", name="Show source").last.click()
    page.get_by_role("button", name="Everything").click()
    source = page.get_by_role("dialog").locator("pre")
    expect(source).to_contain_text("multipart/related")
    expect(source).to_contain_text("X-Priority: 1")
    expect(source).to_contain_text("cid:")
    expect(source).not_to_contain_text("/jmap/download")


def test_who_is_outside_is_told(page: Page, size: str) -> None:
    write(page, "Outside", to=f"{ANNA.address}, someone@elsewhere.example")
    expect(page.get_by_text("Outside your organisation: someone@elsewhere.example")).to_be_visible()
    check(page, size, "composer-outside")
    page.get_by_role("button", name="Remove someone@elsewhere.example").click()
    expect(page.get_by_text("Outside your organisation")).to_have_count(0)
    page.get_by_role("button", name="Throw the draft away").click()
