"""Filters in a real browser: made, ordered, switched off, from a message, and what they do to mail that comes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import logged_in
from browser.test_sending import open_settings
from browser.test_webmail import check, row, send
from browser_tools import ANNA, BEN, Standby

DELETE_ALL = """async () => {
  const session = await (await fetch("/jmap/session")).json();
  const accountId = session.primaryAccounts["urn:ietf:params:jmap:mail"];
  const call = async (name, args) => (await (await fetch("/jmap/api", {
    method: "POST", headers: {"Content-Type": "application/json", "X-Everpost": "1"},
    body: JSON.stringify({using: ["urn:ietf:params:jmap:core", "urn:everpost:jmap:filters"],
                          methodCalls: [[name, {accountId, ...args}, "0"]]}),
  })).json()).methodResponses[0][1];
  const {list} = await call("Filter/get", {});
  await call("Filter/set", {destroy: list.map(({id}) => id)});
}"""


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """The installation is everybody's: no filter is left behind."""
    yield page
    page.evaluate(DELETE_ALL)


def open_filters(page: Page, size: str) -> Locator:
    open_settings(page, size)
    page.get_by_role("button", name="Filters").click()
    return page.get_by_role("dialog", name="Filters")


def make(page: Page, name: str, subject: str) -> Locator:
    """A new filter on the subject, its form still open."""
    page.get_by_role("button", name="New filter").click()
    form = page.get_by_role("dialog", name="New filter")
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_label("Name").fill(name)
    form.get_by_label("What is looked at").select_option("subject")
    form.get_by_label("What is looked for").fill(subject)
    return form


def arrives(page: Page, installation: Standby, subject: str) -> None:
    """It is there when the next one, which no filter takes, is in the list."""
    send(installation, subject)
    after = f"After {time.monotonic_ns()}"
    send(installation, after)
    page.locator(".row", has_text=after).wait_for()


def test_a_filter_is_made_and_sorts_mail(page: Page, installation: Standby, size: str) -> None:
    word = f"order{size}{time.monotonic_ns()}"
    dialog = open_filters(page, size)
    expect(dialog.get_by_text("No filters yet")).to_be_visible()
    check(page, size, "filters-none")
    form = make(page, "Orders", word)
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_have_text("Choose at least one thing that shall happen.")
    form.get_by_label("Move it to").select_option("Archive")
    form.get_by_label("Give it a label").fill("shopping")
    form.get_by_label("Give it a label").press("Enter")
    form.get_by_label("Mark as read").check()
    form.get_by_role("button", name="Add condition").click()
    second = form.get_by_role("group", name="Condition 2")
    second.get_by_label("What is looked at").select_option("size")
    second.get_by_label("How it is compared").select_option("is not larger than")
    check(page, size, "filters-form")
    form.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("button", name="New filter")).to_be_focused()
    line = dialog.get_by_role("button", name="Change filter Orders")
    expect(line).to_contain_text(f"Subject contains {word} and Size is not larger than 1 MB")
    expect(line).to_contain_text("→ to Archive, label shopping, Mark as read")
    check(page, size, "filters-one")
    page.keyboard.press("Escape")
    arrives(page, installation, word)
    expect(page.locator(".row", has_text=word)).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("a")
    filed = page.locator(".row", has_text=word)
    expect(filed.locator(".label")).to_have_text("shopping")


def test_order_off_and_gone_by_keyboard(page: Page, installation: Standby, size: str) -> None:
    dialog = open_filters(page, size)
    for name in ("One", "Two"):
        form = make(page, name, name)
        form.get_by_label("Flag").check()
        form.get_by_role("button", name="Save").click()
        dialog.get_by_role("button", name=f"Change filter {name}").wait_for()
    names = dialog.locator("li .name")
    expect(names).to_have_text(["One", "Two"])
    dialog.get_by_role("button", name="Move Two up").focus()
    page.keyboard.press("Enter")
    expect(names).to_have_text(["Two", "One"])
    expect(dialog.get_by_role("button", name="Move Two down")).to_be_focused()
    page.reload()
    page.locator(".row .subject").first.wait_for()
    open_filters(page, size)
    expect(names).to_have_text(["Two", "One"])
    switch = dialog.get_by_role("checkbox", name="Filter Two is on")
    switch.focus()
    page.keyboard.press("Space")
    expect(dialog.locator("li.off")).to_have_count(1)
    expect(switch).not_to_be_checked()
    dialog.get_by_role("button", name="Change filter Two").press("Enter")
    page.get_by_role("dialog", name="Change filter").get_by_role("button", name="Delete filter").press("Enter")
    expect(names).to_have_text(["One"])
    dialog.get_by_role("button", name="Apply to the Inbox now").click()
    expect(dialog.get_by_role("status")).to_contain_text("Nothing was forwarded.")


def test_forwarding_inside_and_what_is_refused(page: Page, installation: Standby, size: str) -> None:
    dialog = open_filters(page, size)
    form = make(page, "On", "x")
    address = form.get_by_label("Forward a copy to")
    for wrong, why in (
        ("me@elsewhere.example", "Your organisation does not allow forwarding to this address."),
        (ANNA.address, "The address to forward to is this mailbox itself."),
    ):
        address.fill(wrong)
        form.get_by_role("button", name="Save").click()
        expect(form.get_by_role("alert")).to_contain_text(why)
    check(page, size, "filters-refused")
    address.fill(BEN.address)
    form.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("button", name="Change filter On")).to_contain_text(f"forward to {BEN.address}")


def test_filter_messages_like_this(page: Page, installation: Standby, size: str) -> None:
    subject = f"News {size} {time.monotonic_ns()}"
    raw = (
        f"From: News <news@example.com>\r\nTo: {ANNA.address}\r\nSubject: {subject}\r\nList-Id: The News"
        f" <news{size}.example.com>\r\nMessage-ID: <{time.monotonic_ns()}@example.com>\r\n\r\nHi\r\n"
    )
    installation.send(raw.encode())
    row(page, subject)
    page.get_by_role("button", name="Filter messages like this").click()
    form = page.get_by_role("dialog", name="New filter")
    expect(form.get_by_label("Name")).to_have_value(f"news{size}.example.com")
    expect(form.get_by_label("What is looked at")).to_have_value("listId")
    expect(form.get_by_label("What is looked for")).to_have_value(f"news{size}.example.com")
    form.get_by_label("Move it to").select_option("Junk")
    form.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Apply to the Inbox now").click()
    expect(page.get_by_role("status").filter(has_text="1 message changed.")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator(".row", has_text=subject)).to_have_count(0)


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR"])
def test_in_the_dark_and_in_other_words(installation: Standby, browser: Browser, size: str, locale: str) -> None:
    for page in logged_in(installation, browser, size, locale=locale, dark=True):
        settings, new, save, flag = {
            "de-DE": ("Einstellungen", "Neuer Filter", "Speichern", "Markieren"),
            "fr-FR": ("Réglages", "Nouveau filtre", "Enregistrer", "Marquer"),
        }[locale]
        if size == "phone":
            page.get_by_role("button", name={"de-DE": "Ordner", "fr-FR": "Dossiers"}[locale]).click()
        page.get_by_role("button", name=settings).click()
        page.get_by_role("button", name={"de-DE": "Filter", "fr-FR": "Filtres"}[locale]).click()
        page.get_by_role("button", name=new).click()
        form = page.get_by_role("dialog", name=new)
        form.locator("input").first.fill("Ärger mit Schülern")
        form.locator("input.value").fill("Schüler")
        form.get_by_label(flag, exact=True).check()
        check(page, size, f"filters-form-{locale}-dark")
        form.get_by_role("button", name=save).click()
        page.get_by_text("Ärger mit Schülern").wait_for()
        check(page, size, f"filters-list-{locale}-dark")
        page.evaluate(DELETE_ALL)
