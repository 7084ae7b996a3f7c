"""The search field in a real browser: what it offers, by keyboard and to a screen reader, and what it finds."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import logged_in
from browser.test_webmail import check, send
from browser_tools import BEN, Standby


def field(page: Page, label: str = "Search mail") -> Locator:
    page.keyboard.press("/")
    found = page.get_by_role("combobox", name=label)
    expect(found).to_be_focused()
    return found


def options(page: Page) -> Locator:
    return page.locator("#search-list").get_by_role("option")


def test_operators_are_explained_and_chosen_by_keys(page: Page, size: str) -> None:
    search = field(page)
    expect(search).to_have_attribute("aria-expanded", "true")
    expect(options(page).filter(has_text="from:")).to_contain_text("from somebody")
    check(page, size, "search-operators")
    search.press_sequentially("sub")
    expect(options(page).first).to_contain_text("subject:")
    expect(search).not_to_have_attribute("aria-activedescendant", re.compile("."))
    search.press("ArrowDown")
    pointed = page.locator(f"#{search.get_attribute('aria-activedescendant')}")
    expect(pointed).to_have_attribute("aria-selected", "true")
    search.press("Enter")
    expect(search).to_have_value("subject:")
    expect(search).to_be_focused()
    search.fill("is:un")
    expect(page.get_by_role("search").get_by_role("status")).to_contain_text("1 suggestion")
    search.press("Escape")
    expect(search).to_have_attribute("aria-expanded", "false")
    expect(search).to_have_value("is:un")  # what was typed stays
    search.press("ArrowUp")
    search.press("Enter")
    expect(page).to_have_url(re.compile(r"q=is%3Aunread"))
    page.locator(".row .subject").first.wait_for()


def test_people_and_folders_are_offered_and_found(page: Page, size: str, installation: Standby) -> None:
    subject, sender = f"Sought {size} {time.monotonic_ns()}", f"wanda.{size}.{time.monotonic_ns()}@example.net"
    send(installation, subject, sender=sender)
    page.locator(".row", has_text=subject).wait_for()
    search = field(page)
    search.press_sequentially("from:wanda", delay=10)
    options(page).filter(has_text=sender).click()
    expect(page.locator(".row")).to_have_count(1)
    expect(page.locator(".row")).to_contain_text(subject)
    expect(page.locator("#search-list")).to_be_hidden()
    search.fill("from:")
    expect(options(page).first).to_contain_text("from:")  # those met most
    search.fill(f"to:{BEN.name.lower()}")
    expect(options(page).filter(has_text=BEN.address)).to_be_visible()  # of the directory
    check(page, size, "search-people")
    search.fill("in:arch")
    expect(options(page)).to_have_text([re.compile("in:archive.*Archive", re.DOTALL)])
    search.fill("before:")
    expect(options(page)).to_have_count(4)


def test_recent_searches_are_offered_and_forgotten(page: Page, size: str) -> None:
    word = f"zebra{time.monotonic_ns()}"
    search = field(page)
    search.fill(f"subject:{word}")
    search.press("Enter")
    page.wait_for_url("**q=*")
    page.wait_for_timeout(500)  # the browser's store is written behind what one sees
    page.reload()
    page.get_by_role("combobox", name="Search mail").wait_for()
    page.get_by_role("button", name="Clear the search").click()
    page.locator(".row .subject").first.wait_for()
    search.focus()
    again = options(page).filter(has_text=word)
    expect(again).to_be_visible()
    check(page, size, "search-recent")
    search.press("ArrowDown")
    search.press("Enter")
    expect(search).to_have_value(f"subject:{word}")
    search.fill("")
    options(page).filter(has_text="Forget the recent searches").click()
    expect(again).to_have_count(0)
    page.reload()
    page.get_by_role("button", name="Clear the search").click()
    search.focus()
    expect(options(page).filter(has_text="from:")).to_be_visible()
    expect(options(page).filter(has_text=word)).to_have_count(0)


@pytest.mark.parametrize(("language", "label"), [("de", "E-Mails durchsuchen"), ("fr", "Chercher dans les messages")])
def test_in_the_dark(installation: Standby, browser: Browser, size: str, language: str, label: str) -> None:
    for page in logged_in(installation, browser, size, locale=language, dark=True):
        search = field(page, label)
        check(page, size, f"search-dark-{language}")
        search.fill("has:")
        expect(options(page)).to_have_count(1)
        check(page, size, f"search-values-dark-{language}")
