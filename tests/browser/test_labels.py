"""Labels in a real browser."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from browser.test_webmail import check, row, send, undo, written
from browser_tools import Standby


def test_labels_are_put_on_found_and_taken_off(page: Page, installation: Standby, size: str) -> None:
    subject, label = f"Labelled {size} {time.monotonic_ns()}", f"büro {size}"
    keyword = f"b+c3+bcro_{size}"  # as a keyword can hold it
    send(installation, subject)
    row(page, subject)
    page.keyboard.press("l")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill(label.title())
    with written(page, keyword):
        dialog.get_by_role("button", name=f"Create label {label}").click()
    expect(page.get_by_role("button", name=f"Remove label {label}")).to_be_visible()
    check(page, size, "labels-reader")
    page.keyboard.press("Escape")
    expect(page.locator(".row", has_text=subject).locator(".label")).to_have_text(label)
    page.reload()
    page.locator(".row .subject").first.wait_for()
    if size == "phone":
        page.get_by_role("button", name="Folders").click()
        check(page, size, "labels-folders")
    page.get_by_role("navigation").get_by_role("button", name=label).click()
    expect(page.locator(".row")).to_have_count(1)
    expect(page.get_by_role("combobox", name="Search mail")).to_have_value(f'label:"{label}"')
    check(page, size, "labels-list")
    row(page, subject)
    page.keyboard.press("l")
    expect(dialog.get_by_label(label)).to_be_checked()
    check(page, size, "labels-dialog")
    with written(page, keyword):
        dialog.get_by_label(label).click()
    expect(page.get_by_role("button", name=f"Remove label {label}")).to_have_count(0)
    with written(page, keyword):
        undo(page)
    with written(page, keyword):
        page.get_by_role("button", name=f"Remove label {label}").click()
    expect(page.get_by_role("button", name=f"Remove label {label}")).to_have_count(0)
