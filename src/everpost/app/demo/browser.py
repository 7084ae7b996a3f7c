"""A person at work in the webmail itself, in a real browser, where the machine has one."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from everpost.app.demo.count import copy_of
from everpost.app.demo.jmap import Mailbox, Refused
from everpost.app.demo.person import Wanted, Work

if TYPE_CHECKING:
    from playwright.async_api import Page

PATIENCE_MS = 60_000
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def why_not() -> str:
    """Why nobody can work in the webmail here; empty where somebody can."""
    if shutil.which("chromium") is None:
        return "there is no Chromium"
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is not installed"
    return ""


async def work_in_webmail(box: Mailbox, url: str, password: str, outsider: str, done: Work) -> float:
    """Log in, read, flag, archive, write and send; `done` learns what must come of it. Returns the seconds from opening
    the address to the first rows of the Inbox. Not before `why_not` was asked.
    """
    conversations = await _conversations(box)
    flagged, archived = conversations[:1], conversations[1:]
    async with _page(url) as page:
        began = time.monotonic()
        await page.goto(url)
        await page.locator("input[type=email]").fill(box.address)
        await page.locator("input[type=password]").fill(password)
        await page.locator("button[type=submit]").click()
        await page.locator(".row .subject").first.wait_for()
        seconds = time.monotonic() - began
        for row, key in (*((row, "s") for row in flagged), *((row, "e") for row in archived)):
            await _act(page, box, url, row, key)
        await _write(page, url, outsider)
    for row in flagged:
        marked = await _of_thread(box, row, lambda row: "$flagged" in row["keywords"])
        await _expect(box, done, marked, "INBOX", "\\Flagged")
    for row in archived:
        put_away = await _of_thread(box, row, lambda row: box.folders["archive"] in row["mailboxIds"])
        await _expect(box, done, put_away, "Archive")
    [sent] = await box.emails("sent", 1)
    await _expect(box, done, sent, "Sent", "\\Seen", is_new=True)
    done.read += len(conversations)
    return seconds


@contextlib.asynccontextmanager
async def _page(url: str) -> AsyncIterator[Page]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=_FLAGS)
        context = await browser.new_context(locale="en-GB", base_url=url)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        yield page
        await browser.close()


async def _conversations(box: Mailbox) -> list[dict[str, Any]]:
    """The oldest messages of at most two conversations, which can be told from all others."""
    ids = await box.emails("inbox", 200)
    rows = await box.get(ids, "threadId", "messageId", "blobId")
    idents = [tuple(row["messageId"] or ()) for row in rows]
    chosen: dict[str, dict[str, Any]] = {}
    for row, ident in reversed(list(zip(rows, idents, strict=True))):
        if ident and idents.count(ident) == 1:
            chosen.setdefault(row["threadId"], row)
    return list(chosen.values())[:2]


async def _act(page: Page, box: Mailbox, url: str, row: dict[str, Any], key: str) -> None:
    """Open a conversation by its address and press a key."""
    await page.goto(f"{url}/mail/{box.folders['inbox']}/{row['threadId']}")
    await page.locator("article").first.wait_for()
    async with page.expect_response(lambda response: '"Email/set"' in (response.request.post_data or "")):
        await page.keyboard.press(key)


async def _write(page: Page, url: str, outsider: str) -> None:
    await page.goto(f"{url}/mail")
    await page.locator(".row .subject").first.wait_for()
    await page.keyboard.press("c")
    field = page.get_by_role("combobox", name="To")
    await field.fill(outsider)
    await field.press("Enter")
    await page.get_by_label("Subject").fill("From the standby webmail")
    await page.get_by_role("textbox", name="Message").click()
    await page.keyboard.type("Our mail server is down; I write this in the standby.")
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.get_by_text("Message sent", exact=True).wait_for()


async def _of_thread(box: Mailbox, row: dict[str, Any], fits: Callable[[dict[str, Any]], bool]) -> str:
    """The email of a conversation that the webmail has acted upon. Raises `Refused`."""
    [thread] = (await box.call("Thread/get", ids=[row["threadId"]]))["list"]
    for each in await box.get(thread["emailIds"], "keywords", "mailboxIds"):
        if fits(each):
            return str(each["id"])
    raise Refused(f"the webmail has done nothing about conversation {row['threadId']}")


async def _expect(box: Mailbox, done: Work, email: str, folder: str, *flags: str, is_new: bool = False) -> None:
    [found] = await box.get([email], "blobId")
    copy = copy_of(box.address, await box.download(found["blobId"]))
    done.wanted.append(Wanted(copy, folder, frozenset(flags)))
    if is_new:
        done.added.append(copy)
