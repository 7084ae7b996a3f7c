"""Shared mailboxes in a real browser: beside one's own, each with its rights."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import logged_in
from browser.test_webmail import check, moved, row, undo, written
from browser_tools import ARCHIVE, BEN, CARLA, OFFICE, SALES, Standby, change_share, share_mailboxes
from everpost.app.demo.mailgen import Person
from everpost.directory.model import Rights


@pytest.fixture(scope="module")
def shared(installation: Standby) -> Standby:
    with ThreadPoolExecutor(1) as other:  # Playwright's loop has this thread
        other.submit(asyncio.run, share_mailboxes(installation.installation)).result(60)
    for person in (CARLA, ARCHIVE, OFFICE, SALES):
        post(installation, person, f"Welcome, {person.name}")
    return installation


def post(installation: Standby, person: Person, subject: str) -> None:
    text = (
        f"From: Sender <{BEN.address}>\r\nTo: {person.address}\r\nSubject: {subject}\r\n"
        f"Message-ID: <{time.monotonic_ns()}@example.com>\r\n\r\nhello\r\n"
    )
    installation.send(text.encode(), recipients=(person.address,))


@pytest.fixture
def page(shared: Standby, browser: Browser, size: str) -> Iterator[Page]:
    yield from logged_in(shared, browser, size, person=CARLA)


def folders(page: Page, size: str) -> Locator:
    """The pane, which a phone opens first."""
    if size == "phone" and page.locator(".folders-open").count() == 0:
        page.get_by_role("button", name="Folders").click()
    return page.get_by_role("navigation")


def visit(page: Page, size: str, person: Person) -> None:
    folders(page, size).get_by_role("link", name=person.address).click()
    if size == "phone":
        page.get_by_role("list", name=person.address).get_by_role("link", name="Inbox").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(person.address)
    page.locator(".row .subject").first.wait_for()


def test_each_stands_below_ones_own_folders(page: Page, size: str) -> None:
    pane = folders(page, size)
    names = pane.locator("a[href*='account=']")
    expect(names).to_have_count(3)
    assert [text.split("\n")[0].split()[0] for text in names.all_inner_texts()] == [
        ARCHIVE.address, OFFICE.address, SALES.address,
    ]  # fmt: skip
    check(page, size, "shared-pane")
    pane.get_by_role("link", name=OFFICE.address).click()
    theirs = page.get_by_role("list", name=OFFICE.address).get_by_role("link")
    expect(theirs.first).to_have_attribute("aria-current", "page")
    expect(theirs).to_have_count(6)
    expect(page.locator(".row", has_text="Welcome, Office").first).to_be_attached()
    expect(page.locator(".row", has_text="Welcome, Carla")).to_have_count(0)
    check(page, size, "shared-open")


def test_push_moves_the_counters(page: Page, size: str, shared: Standby) -> None:
    name = folders(page, size).get_by_role("link", name=SALES.address)
    count = name.locator(".count")
    expect(count).to_have_text(re.compile(r"\d+"))
    before = int(count.inner_text())
    post(shared, SALES, f"Counted {time.monotonic_ns()}")
    expect(count).to_have_text(str(before + 1))
    visit(page, size, SALES)
    subject = f"Live {size} {time.monotonic_ns()}"
    post(shared, SALES, subject)
    expect(page.locator(".row", has_text=subject)).to_have_count(1)


def test_who_may_read_changes_nothing(page: Page, size: str) -> None:
    visit(page, size, ARCHIVE)
    expect(page.get_by_text(f"You may read {ARCHIVE.address}, and change nothing in it.")).to_be_visible()
    row(page, "Welcome, Old projects")
    expect(page.locator("article").get_by_text("hello")).to_be_visible()
    for name in ("Archive", "Delete", "Reply", "Forward", "New folder"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    check(page, size, "shared-read")
    page.keyboard.press("e")
    page.keyboard.press("r")
    page.wait_for_timeout(300)
    expect(page.get_by_role("combobox", name="To")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".row", has_text="Welcome, Old projects")).to_have_class(re.compile("unread"))
    page.keyboard.press("c")  # from one's own mailbox
    expect(page.get_by_role("combobox", name="To")).to_be_visible()
    expect(page.get_by_role("combobox", name="From")).to_have_count(0)
    page.get_by_role("button", name="Throw the draft away").click()


def test_who_may_write_moves_and_undoes(page: Page, size: str, shared: Standby) -> None:
    visit(page, size, OFFICE)
    subject = f"For the office {size} {time.monotonic_ns()}"
    post(shared, OFFICE, subject)
    row(page, subject)
    expect(page.get_by_role("button", name="Reply", exact=True)).to_have_count(0)
    with moved(page):
        page.keyboard.press("e")
    expect(page.locator(".row", has_text=subject)).to_have_count(0)
    with moved(page):
        undo(page)
    expect(page.locator(".row", has_text=subject)).to_have_count(1)
    row(page, subject)
    with written(page, "$flagged"):
        page.keyboard.press("s")
    page.keyboard.press("Escape")
    page.reload()  # the address keeps the mailbox
    expect(page.get_by_role("heading", level=1)).to_contain_text(OFFICE.address)
    expect(page.locator(".row", has_text=subject).get_by_role("img", name="Flagged")).to_be_visible()


def test_who_may_send_answers_as_the_mailbox(page: Page, size: str, shared: Standby) -> None:
    visit(page, size, SALES)
    subject = f"An order {size} {time.monotonic_ns()}"
    post(shared, SALES, subject)
    row(page, subject)
    page.get_by_role("button", name="Reply", exact=True).click()
    expect(page.get_by_role("combobox", name="From").locator("option:checked")).to_have_text(f"Sales {SALES.address}")
    page.keyboard.type("It is on its way.")
    check(page, size, "shared-composer")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Message sent", exact=True)).to_be_visible(timeout=20_000)
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sent")
    expect(page.locator(".row", has_text=subject)).to_have_count(1)


def test_the_way_back_leads_through_the_mailboxes(page: Page, size: str) -> None:
    visit(page, size, OFFICE)
    page.go_back()
    expect(page.locator(".row", has_text="Welcome, Carla")).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("@")
    page.go_forward()
    expect(page.get_by_role("heading", level=1)).to_contain_text(OFFICE.address)


def test_changed_and_withdrawn_shares_show_without_reload(page: Page, size: str, shared: Standby) -> None:
    def allow(rights: Rights | None) -> None:
        with ThreadPoolExecutor(1) as other:  # Playwright's loop has this thread
            other.submit(asyncio.run, change_share(shared.installation, SALES, rights)).result(60)

    visit(page, size, SALES)
    row(page, "Welcome, Sales")
    reply = page.get_by_role("button", name="Reply", exact=True)
    expect(reply).to_be_visible()
    try:
        page.evaluate("window.isTheSamePage = true")
        allow(Rights.READ)
        expect(reply).to_have_count(0)
        expect(page.get_by_text(f"You may read {SALES.address}, and change nothing in it.")).to_be_visible()
        allow(None)
        expect(page.get_by_text(f"{SALES.address} is no longer shared with you")).to_be_visible()
        expect(page.get_by_role("heading", level=1)).not_to_contain_text(SALES.address)
        check(page, size, "shared-withdrawn")
        names = folders(page, size).locator("a[href*='account=']")
        expect(names).to_have_count(2)
        allow(Rights.SEND)
        expect(names).to_have_count(3)
        assert page.evaluate("window.isTheSamePage")
    finally:
        allow(Rights.SEND)


@pytest.mark.parametrize("language", ["de", "fr"])
def test_shared_in_the_dark(shared: Standby, browser: Browser, size: str, language: str) -> None:
    for page in logged_in(shared, browser, size, locale=language, dark=True, person=CARLA):
        if size == "phone":
            page.get_by_role("button", name={"de": "Ordner", "fr": "Dossiers"}[language]).click()
        page.get_by_role("navigation").get_by_role("link", name=ARCHIVE.address).click()
        page.locator(".row", has_text="Welcome, Old projects").first.wait_for(state="attached")
        check(page, size, f"shared-dark-{language}")
