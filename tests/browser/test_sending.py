"""Sending in a real browser: taken back, sent later."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from browser.test_webmail import check, undo
from browser_tools import BEN, Standby


def write(page: Page, subject: str, to: str = BEN.address, body: str = "Good morning") -> None:
    """A message in the composer, ready to go."""
    page.keyboard.press("c")
    field = page.get_by_role("combobox", name="To")
    field.fill(to)
    field.press("Enter")
    page.get_by_label("Subject").fill(subject)
    page.get_by_role("textbox", name="Message").click()
    page.keyboard.type(body)


def open_settings(page: Page, size: str) -> None:
    if size == "phone":
        page.get_by_role("button", name="Folders").click()
    page.get_by_role("button", name="Settings").click()


def go(page: Page, folder: str) -> None:
    page.keyboard.press("g")
    page.keyboard.press({"Sent": "t", "Drafts": "d", "Inbox": "i"}[folder])


def test_sent_later_and_taken_back(page: Page, installation: Standby, size: str) -> None:
    subject = f"Later {size} {time.monotonic_ns()}"
    write(page, subject)
    page.get_by_role("button", name="Send later").click()
    check(page, size, "send-later")
    page.get_by_role("button", name="Tomorrow morning").click()
    expect(page.get_by_text("The message will be sent on")).to_be_visible()
    if size == "phone":
        page.get_by_role("button", name="Folders").click()
    page.get_by_role("button", name="Scheduled 1").click()
    expect(page.get_by_role("dialog").get_by_text(subject)).to_be_visible()
    check(page, size, "scheduled")
    page.keyboard.press("Escape")
    page.reload()
    page.locator(".row .subject").first.wait_for()
    go(page, "Sent")
    page.locator(".row", has_text=subject).locator(".subject").click()
    expect(page.get_by_text("This message will be sent on")).to_be_visible()
    check(page, size, "scheduled-message")
    page.get_by_role("button", name="Take back and edit").click()
    expect(page.get_by_role("textbox", name="Message")).to_contain_text("Good morning")
    expect(page.get_by_label("Subject")).to_have_value(subject)
    page.get_by_role("button", name="Throw the draft away").click()
    expect(page.get_by_text("This message will be sent on")).to_have_count(0)


def test_taken_back_in_time(page: Page, installation: Standby) -> None:
    subject = f"Oops {time.monotonic_ns()}"
    write(page, subject)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Message sent in 8 s")).to_be_visible()
    undo(page)
    expect(page.get_by_label("Subject")).to_have_value(subject)
    page.keyboard.press("Escape")
    go(page, "Drafts")
    page.locator(".row", has_text=subject).wait_for()
    go(page, "Sent")
    page.wait_for_timeout(500)
    expect(page.locator(".row", has_text=subject)).to_have_count(0)


def test_the_moment_to_think_again_is_a_setting(page: Page, installation: Standby, size: str) -> None:
    open_settings(page, size)
    page.get_by_label("Time to take a sent message back").select_option(label="None: send at once")
    page.keyboard.press("Escape")
    subject = f"At once {time.monotonic_ns()}"
    write(page, subject)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Message sent", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_what_cannot_go_stays_in_the_composer(page: Page, installation: Standby) -> None:
    write(page, "To nobody", to="nobody-here@example.org")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("The message was not sent")).to_be_visible()
    expect(page.get_by_label("Subject")).to_have_value("To nobody")
    page.get_by_role("button", name="Throw the draft away").click()


def test_out_of_office(page: Page, installation: Standby, size: str) -> None:
    open_settings(page, size)
    page.get_by_role("button", name="Out of office: off").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Answer for me").check()
    dialog.get_by_label("First day").fill("2026-01-02")
    dialog.get_by_label("Last day").fill("2026-01-01")
    dialog.get_by_label("Text of the answer").fill("Back soon")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("The last day is before the first.")).to_be_visible()
    check(page, size, "vacation")
    dialog.get_by_label("Last day").fill("2199-12-31")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your out-of-office answer is on until 31 Dec 2199.")).to_be_visible()
    check(page, size, "vacation-on")
    page.reload()
    page.get_by_role("button", name="Change").click()
    expect(dialog.get_by_label("Last day")).to_have_value("2199-12-31")
    expect(dialog.get_by_label("Text of the answer")).to_have_value("Back soon")
    dialog.get_by_label("Answer for me").uncheck()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your out-of-office answer")).to_have_count(0)
