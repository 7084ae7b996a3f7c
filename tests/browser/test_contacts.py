"""The page of contacts in a real browser: one's own are made, found, changed and deleted; the directory is read."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import logged_in
from browser.test_webmail import check, undo
from browser_tools import ANNA, BEN, Standby

DELETE_ALL = """async () => {
  const session = await (await fetch("/jmap/session")).json();
  const accountId = session.primaryAccounts["urn:ietf:params:jmap:mail"];
  const call = async (name, args) => (await (await fetch("/jmap/api", {
    method: "POST", headers: {"Content-Type": "application/json", "X-Everpost": "1"},
    body: JSON.stringify({using: ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:contacts"],
                          methodCalls: [[name, {accountId, ...args}, "0"]]}),
  })).json()).methodResponses[0][1];
  const {list} = await call("ContactCard/get", {});
  const own = list.filter(({addressBookIds}) => !("directory" in addressBookIds)).map(({id}) => id);
  await call("ContactCard/set", {destroy: own});
}"""
LONG = "Wilhelmine Donaudampfschifffahrtsgesellschaftskapitänswitwe von und zu Unaussprechlichenhausen-Oberkirchenbach"


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """The installation is everybody's: the book is empty before and after."""
    page.evaluate(DELETE_ALL)
    yield page
    page.evaluate(DELETE_ALL)


def contacts(page: Page, size: str, name: str = "Contacts", pane: str = "Folders") -> Locator:
    if size == "phone":
        page.get_by_role("button", name=pane).click()
    page.get_by_role("navigation").get_by_role("link", name=name).click()
    page.locator("#contacts h1").wait_for()
    return page.locator("#contacts")


def make(page: Page, name: str, *addresses: str) -> Locator:
    """Saved, and shown."""
    page.get_by_role("button", name="New contact").first.click()
    form = page.get_by_role("form", name="New contact")
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_label("Name").fill(name)
    for index, address in enumerate(addresses):
        if index > 0:
            form.get_by_role("button", name="Add an address").click()
        fields = form.locator("input[type=email]")
        expect(fields).to_have_count(index + 1)
        fields.nth(index).fill(address)
    form.get_by_role("button", name="Save").click()
    shown = page.get_by_role("article", name=name)
    shown.get_by_role("heading", name=name).wait_for()
    return shown


def back(page: Page, size: str) -> None:
    if size == "phone":
        page.get_by_role("button", name="Back").click()


def names(book: Locator) -> Locator:
    return book.locator("a.contact")


def test_the_page_begins_empty_and_a_contact_is_made(page: Page, size: str) -> None:
    book = contacts(page, size)
    expect(page).to_have_title(re.compile("Contacts – Everpost$"))
    book.get_by_role("button", name="My contacts").click()
    expect(book.get_by_text("No contacts yet.")).to_be_visible()
    check(page, size, "contacts-none")
    shown = make(page, "Quirin Möller", "quirin@example.net", "q.moeller@example.com")
    expect(shown.get_by_role("button", name="q.moeller@example.com")).to_be_visible()
    check(page, size, "contacts-one")
    back(page, size)
    expect(names(book)).to_have_count(1)
    expect(names(book)).to_contain_text("quirin@example.net")
    expect(book.get_by_role("status")).to_have_text("1 contact")


def test_a_long_name_stays_in_its_place(page: Page, size: str) -> None:
    book = contacts(page, size)
    make(page, LONG, f"{'w' * 60}@{'unaussprechlich.' * 8}example.org")
    check(page, size, "contacts-long")
    back(page, size)
    check(page, size, "contacts-long-list")
    expect(names(book).filter(has_text="Wilhelmine")).to_be_visible()


def test_what_is_wrong_is_told_at_the_field(page: Page, size: str) -> None:
    contacts(page, size)
    page.get_by_role("button", name="New contact").first.click()
    form = page.get_by_role("form", name="New contact")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("Give the contact a name")
    expect(form.get_by_label("Name")).to_be_focused()
    form.get_by_label("Name").fill("Half done")
    form.locator("input[type=email]").fill("no address")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("This is no email address")
    expect(form.locator("input[type=email]")).to_be_focused()
    check(page, size, "contacts-form")
    page.go_back()  # left without a word: it is there when one comes back
    page.go_forward()
    expect(form.get_by_label("Name")).to_have_value("Half done")
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)


def test_it_is_changed_deleted_and_comes_back(page: Page, size: str) -> None:
    book = contacts(page, size)
    shown = make(page, "Rosa Rot", "rosa@example.net")
    page.keyboard.press("e")
    form = page.get_by_role("form", name="Change contact")
    form.get_by_label("Name").fill("Rosa Blau")
    form.get_by_label("Phone", exact=True).fill("+49 30 1234")
    form.get_by_label("Kind of Phone").select_option("Work")
    form.get_by_label("Organisation").fill("Blaues Haus")
    form.get_by_label("Note").fill("Met in Rome\nin spring")
    form.get_by_role("button", name="Save").click()
    shown = page.get_by_role("article", name="Rosa Blau")
    expect(shown.get_by_role("link", name="+49 30 1234")).to_have_attribute("href", "tel:+49301234")
    expect(shown.get_by_text("Blaues Haus")).to_be_visible()
    page.reload()  # it has an address of its own
    expect(shown.get_by_text("Met in Rome")).to_be_visible()
    check(page, size, "contacts-whole")
    page.keyboard.press("#")
    expect(page.get_by_text("Rosa Blau deleted from your contacts")).to_be_visible()
    expect(names(book).filter(has_text="Rosa Blau")).to_have_count(0)
    undo(page)
    expect(shown.get_by_text("Met in Rome")).to_be_visible()


def test_search_and_keys(page: Page, size: str) -> None:
    book = contacts(page, size)
    for name in ("Zora Eins", "Zora Zwei"):
        make(page, name, f"{name.replace(' ', '.').lower()}@example.net")
        back(page, size)
    page.keyboard.press("/")
    search = book.get_by_role("searchbox", name="Search contacts")
    expect(search).to_be_focused()
    search.fill("zor")
    expect(names(book)).to_have_count(2)
    search.fill("zora zwei")
    expect(names(book)).to_have_count(1)
    search.press("Enter")
    expect(page.get_by_role("heading", name="Zora Zwei")).to_be_visible()
    back(page, size)
    search.fill("nobody at all")
    expect(book.get_by_text("Nobody fits")).to_be_visible()
    check(page, size, "contacts-nobody")
    search.fill("zora")
    expect(names(book)).to_have_count(2)
    search.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("o")
    expect(page.get_by_role("heading", name="Zora Zwei")).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_role("heading", name="Zora Eins")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.locator(".row .subject").first.wait_for()
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(names(book)).to_have_count(2)  # as it was left


def test_the_directory_is_read_only_and_one_writes_from_it(page: Page, size: str) -> None:
    book = contacts(page, size)
    book.get_by_role("button", name="Directory", exact=True).click()
    names(book).filter(has_text=BEN.address).click()
    card = page.get_by_role("article", name=BEN.name)
    expect(card.get_by_text("From your organisation’s directory")).to_be_visible()
    expect(card.get_by_role("button", name="Change contact")).to_have_count(0)
    expect(card.get_by_role("button", name="Delete contact")).to_have_count(0)
    check(page, size, "contacts-directory")
    card.get_by_role("button", name="Add to contacts").click()
    expect(card.get_by_text("In your contacts")).to_be_visible()
    card.get_by_role("button", name="Write a message").click()
    expect(page.locator(".person")).to_have_attribute("title", f"{BEN.name} <{BEN.address}>")
    page.get_by_role("button", name="Throw the draft away").click()


def test_a_card_that_another_device_made_is_there_at_once(page: Page, size: str) -> None:
    book = contacts(page, size)
    name = f"From afar {time.monotonic_ns()}"
    page.evaluate(
        """async (full) => {
          const session = await (await fetch("/jmap/session")).json();
          const accountId = session.primaryAccounts["urn:ietf:params:jmap:mail"];
          await fetch("/jmap/api", {
            method: "POST", headers: {"Content-Type": "application/json", "X-Everpost": "1"},
            body: JSON.stringify({
              using: ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:contacts"],
              methodCalls: [["ContactCard/set", {accountId, create: {c: {name: {full}}}}, "0"]],
            }),
          });
        }""",
        name,
    )
    expect(names(book).filter(has_text=name)).to_be_visible()


@pytest.mark.parametrize(("language", "title"), [("de", "Kontakte"), ("fr", "Contacts")])
def test_in_the_dark(installation: Standby, browser: Browser, size: str, language: str, title: str) -> None:
    pane = {"de": "Ordner", "fr": "Dossiers"}[language]
    for page in logged_in(installation, browser, size, locale=language, dark=True):
        book = contacts(page, size, title, pane)
        expect(names(book).filter(has_text=ANNA.address)).to_be_visible()
        check(page, size, f"contacts-dark-{language}")
        page.keyboard.press("n")
        expect(page.locator("form h2")).to_be_visible()
        check(page, size, f"contacts-form-dark-{language}")
