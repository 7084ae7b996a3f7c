"""Without a connection, in a real browser: what was read is there, what is written and done is sent on return."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import logged_in
from browser.test_sending import go, open_settings, write
from browser.test_webmail import check, row, send
from browser_tools import BEN, Standby


@pytest.fixture
def page(installation: Standby, browser: Browser, size: str) -> Iterator[Page]:
    """With its service worker at work."""
    for made in logged_in(installation, browser, size, service_workers="allow"):
        made.evaluate("navigator.serviceWorker.ready.then(() => {})")
        made.reload()
        made.locator(".row .subject").first.wait_for()
        made.evaluate(
            "(async () => { while (!(await caches.match('/'))) await new Promise(r => setTimeout(r, 50)); })()"
        )
        yield made
        made.context.set_offline(False)


def test_what_was_read_is_there_and_what_is_done_is_done_on_return(
    page: Page, installation: Standby, size: str
) -> None:
    subject, other = f"Read before {size} {time.monotonic_ns()}", f"From the train {size} {time.monotonic_ns()}"
    send(installation, subject, "<p>words to keep</p>", "text/html")
    row(page, subject)
    expect(page.frame_locator("article iframe").get_by_text("words to keep")).to_be_visible()
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    page.context.set_offline(True)
    page.reload()
    page.locator(".row .subject").first.wait_for()
    row(page, subject)
    expect(page.frame_locator("article iframe").get_by_text("words to keep")).to_be_visible()
    expect(page.get_by_text("You are not connected.")).to_be_visible()
    check(page, size, "offline")
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    write(page, other)
    expect(page.get_by_text("Saved on this device")).to_be_visible()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("It is sent when the connection returns.")).to_be_visible()
    expect(page.get_by_text("2 things wait for it")).to_be_visible()
    check(page, size, "offline-waiting")
    page.context.set_offline(False)
    expect(page.get_by_text(re.compile("that had waited for the connection")).first).to_be_visible(timeout=30_000)
    expect(page.get_by_text(re.compile("waits? for it"))).to_have_count(0, timeout=30_000)
    page.reload()
    flagged = page.locator(".row", has_text=subject).get_by_role("img", name="Flagged")
    expect(flagged).to_be_visible()
    go(page, "Sent")
    expect(page.locator(".row", has_text=other)).to_have_count(1)
    go(page, "Drafts")
    page.wait_for_timeout(500)
    expect(page.locator(".row", has_text=other)).to_have_count(0)


def test_a_draft_begun_without_a_connection_is_one_draft_after(page: Page, size: str) -> None:
    subject = f"Begun offline {size} {time.monotonic_ns()}"
    page.context.set_offline(True)
    write(page, subject, to=BEN.address)
    expect(page.get_by_text("Saved on this device")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Saved in Drafts")).to_be_visible(timeout=30_000)
    page.keyboard.press("Escape")
    go(page, "Drafts")
    expect(page.locator(".row", has_text=subject)).to_have_count(1)


def test_logging_out_leaves_nothing(page: Page, size: str) -> None:
    page.locator(".row .subject").first.click()
    page.locator("article").first.wait_for()
    page.wait_for_timeout(500)
    kept = """async () => {
      const answered = request => new Promise(done => (request.onsuccess = () => done(request.result)));
      const base = await answered(indexedDB.open('everpost'));
      const kinds = [...base.objectStoreNames];
      const rows = await Promise.all(kinds.map(kind => answered(base.transaction(kind).objectStore(kind).count())));
      base.close();
      return rows.reduce((a, b) => a + b) + Number(await caches.has('mail'));
    }"""
    assert page.evaluate(kept) > 0
    page.keyboard.press("Escape")
    open_settings(page, size)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    assert page.evaluate(kept) == 0
