"""Settings in a real browser: the same on each device, kept without a connection, and what only one device has."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import logged_in
from browser.test_sending import open_settings
from browser.test_webmail import check
from browser_tools import Standby


def settings(page: Page, size: str) -> Locator:
    open_settings(page, size)
    return page.get_by_role("dialog", name="Settings")


def saved(page: Page) -> None:
    """Nothing waits to be sent."""
    page.wait_for_timeout(900)


def test_they_are_the_same_on_each_device_and_at_once(
    page: Page, installation: Standby, browser: Browser, size: str
) -> None:
    html = page.locator("html")
    other = logged_in(installation, browser, "desktop")
    second = next(other)
    dialog = settings(page, size)
    dialog.get_by_label("Colours").select_option("dark")
    dialog.get_by_label("Density").select_option("compact")
    dialog.get_by_label("Time to take a sent message back").select_option("30")
    expect(html).to_have_attribute("data-density", "compact")
    expect(second.locator("html")).to_have_attribute("data-theme", "dark")
    expect(second.locator("html")).to_have_attribute("data-density", "comfortable")  # of that device only
    there = settings(second, "desktop")
    expect(there.get_by_label("Time to take a sent message back")).to_have_value("30")
    there.get_by_label("Language").select_option("de")
    expect(page.get_by_role("dialog", name="Einstellungen")).to_be_visible()
    second.reload()
    expect(second.locator("html")).to_have_attribute("data-theme", "dark")
    with pytest.raises(StopIteration):
        next(other)


def test_without_a_connection_they_hold_and_go_on_return(page: Page, size: str) -> None:
    dialog = settings(page, size)
    dialog.get_by_label("Colours").select_option("dark")
    saved(page)
    page.context.set_offline(True)
    dialog.get_by_label("Show conversations together").uncheck()
    saved(page)
    page.context.set_offline(False)
    page.reload()
    page.locator(".row .subject").first.wait_for()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dialog = settings(page, size)
    expect(dialog.get_by_label("Show conversations together")).not_to_be_checked()
    saved(page)
    page.evaluate("localStorage.clear()")  # as another device
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.locator(".row .subject").first.wait_for()
    expect(settings(page, size).get_by_label("Show conversations together")).not_to_be_checked()


def test_whoever_logs_in_next_finds_their_own(page: Page, size: str) -> None:
    dialog = settings(page, size)
    dialog.get_by_label("Show conversations together").uncheck()
    saved(page)
    dialog.get_by_role("button", name="Log out").click()
    page.locator("input[type=password]").wait_for()
    kept = page.evaluate("JSON.parse(localStorage['everpost.settings'])")
    assert (kept["threads"], kept["account"], kept["picturesFrom"]) == (True, "", [])


@pytest.mark.parametrize("pane", ["bottom", "none"])
def test_where_messages_are_read(page: Page, size: str, pane: str) -> None:
    dialog = settings(page, size)
    choice = dialog.get_by_label("Where messages are read")
    if size == "phone":  # there is room for one of them
        expect(choice).to_be_hidden()
        return
    choice.select_option(pane)
    check(page, size, f"settings-pane-{pane}")
    page.keyboard.press("Escape")
    row = page.locator(".row .subject").nth(2)
    if pane == "none":
        expect(page.locator("#reader")).to_be_hidden()
    row.click()
    page.locator("article").first.wait_for()
    check(page, size, f"pane-{pane}")
    expect(page.locator("#messages")).to_be_visible(visible=pane == "bottom")
    if pane == "none":
        page.get_by_role("button", name="Back").click()
    else:
        page.keyboard.press("Escape")
    expect(page.locator("#messages")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/mail/\d+$"))
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.locator("#contacts h1").wait_for()
    check(page, size, f"pane-{pane}-contacts")
