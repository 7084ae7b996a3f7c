"""A login that ends while somebody is at work."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from browser.test_webmail import check, row, send
from browser_tools import ANNA, PASSWORD, Standby


def log_in_again(page: Page) -> None:
    expect(page.get_by_label("Email address")).to_have_value(ANNA.address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def test_what_is_being_written_outlives_the_login(page: Page, installation: Standby, size: str) -> None:
    subject = f"Before the end {time.monotonic_ns()}"
    send(installation, subject)
    row(page, subject)
    place = page.url
    page.get_by_role("button", name="Reply", exact=True).click()
    expect(page.get_by_role("textbox", name="Message")).to_be_focused()
    page.keyboard.type("Half a thought")
    page.context.clear_cookies()
    expect(page.get_by_text("You were logged out after a while.")).to_be_visible()
    expect(page.locator("article")).to_be_hidden()
    check(page, size, "login-expired")
    page.keyboard.press("c")
    log_in_again(page)
    expect(page.get_by_role("textbox", name="Message")).to_contain_text("Half a thought")
    expect(page.get_by_text("Saved in Drafts")).to_be_visible()
    assert page.url == place
    page.get_by_role("button", name="Throw the draft away").click()
    expect(page.locator("article")).to_be_visible()


def test_new_mail_comes_after_logging_in_again(page: Page, installation: Standby, size: str) -> None:
    page.context.clear_cookies()
    page.locator(".row .subject").first.click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    log_in_again(page)
    subject = f"After the pause {time.monotonic_ns()}"
    send(installation, subject)
    if size == "phone":
        page.get_by_role("button", name="Back").click()
    page.locator(".row", has_text=subject).first.wait_for()


def test_a_page_loaded_anew_asks_first_and_leads_to_the_same_place(page: Page) -> None:
    page.locator(".row .subject").nth(2).click()
    page.locator("article").first.wait_for()
    place = page.url
    page.context.clear_cookies()
    page.reload()
    page.get_by_label("Email address").fill(ANNA.address)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.locator("article").first.wait_for()
    assert page.url == place
