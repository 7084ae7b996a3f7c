"""People in a real browser: who is offered as a recipient, and contacts made of senders."""

from __future__ import annotations

import json
import time

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from browser.conftest import logged_in
from browser.test_webmail import check, row, send, undo
from browser_tools import BEN, Standby

CONTACTS = "urn:ietf:params:jmap:contacts"


def asked(page: Page) -> list[str]:
    """The JMAP methods that are called from now on."""
    names: list[str] = []

    def note(body: str | None) -> None:
        names.extend(name for name, _, _ in json.loads(body or "{}").get("methodCalls", []))

    page.on("request", lambda request: note(request.post_data) if request.url.endswith("/jmap/api") else None)
    return names


def composer(page: Page) -> Locator:
    page.keyboard.press("c")
    return page.get_by_role("combobox", name="To")


def discard(page: Page) -> None:
    page.get_by_role("button", name="Throw the draft away").click()


def details(page: Page) -> None:
    page.get_by_title("Show details").last.click()


def test_the_directory_is_offered(page: Page, size: str) -> None:
    names = asked(page)
    to = composer(page)
    to.press_sequentially("b")
    page.wait_for_timeout(400)
    assert "ContactCard/query" not in names
    assert "Email/query" not in names
    to.press_sequentially("en", delay=20)
    ben = page.get_by_role("option").filter(has_text=BEN.address)
    expect(ben).to_be_visible()
    assert names.count("ContactCard/query") == 1  # once nobody types, not for each letter
    check(page, size, "people-directory")
    while ben.get_attribute("aria-selected") != "true":
        to.press("ArrowDown")
    to.press("Enter")
    expect(page.locator(".person")).to_have_attribute("title", f"Ben <{BEN.address}>")
    expect(to).to_have_value("")
    discard(page)


def test_a_sender_becomes_a_contact(page: Page, installation: Standby, size: str) -> None:
    stamp = time.monotonic_ns()
    subject, address = f"Keep me {size} {stamp}", f"quirin.{size}.{stamp}@example.net"
    send(installation, subject, sender=address)
    row(page, subject)
    details(page)
    add, kept = page.get_by_role("button", name="Add to contacts"), page.get_by_text("In your contacts")
    expect(add).to_be_visible()
    check(page, size, "people-sender")
    add.click()
    expect(kept).to_be_visible()
    check(page, size, "people-added")
    undo(page)
    expect(kept).to_have_count(0)
    add.click()
    expect(kept).to_be_visible()
    page.reload()
    page.locator("article").first.wait_for()
    details(page)
    expect(kept).to_be_visible()
    expect(add).to_have_count(0)


def test_a_contact_is_offered_that_never_wrote(page: Page, size: str) -> None:
    address = f"zacharias.{size}.{time.monotonic_ns()}@example.net"
    page.evaluate(
        """async ([name, address]) => {
          const session = await (await fetch("/jmap/session")).json();
          const accountId = session.primaryAccounts["urn:ietf:params:jmap:mail"];
          const card = {name: {full: name}, emails: {e1: {address}}};
          await fetch("/jmap/api", {
            method: "POST", headers: {"Content-Type": "application/json", "X-Everpost": "1"},
            body: JSON.stringify({
              using: ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:contacts"],
              methodCalls: [["ContactCard/set", {accountId, create: {c: card}}, "0"]],
            }),
          });
        }""",
        [f"Zacharias Mönch {size}", address],
    )
    to = composer(page)
    to.fill(f"zach monch {size}")
    expect(page.get_by_role("option").filter(has_text=address).first).to_be_visible()
    discard(page)


def test_without_contacts_at_the_server_the_mail_is_enough(page: Page) -> None:
    """As at a server without RFC 9610."""

    def without(route: Route) -> None:
        response = route.fetch()
        session = response.json()
        for places in (session["capabilities"], session["primaryAccounts"]):
            places.pop(CONTACTS)
        for account in session["accounts"].values():
            account["accountCapabilities"].pop(CONTACTS)
        route.fulfill(response=response, json=session)

    page.route("**/jmap/session", without)
    page.reload()
    page.locator(".row .subject").first.wait_for()
    names = asked(page)
    to = composer(page)
    to.fill("ali")
    expect(page.get_by_role("option").first).to_be_visible()
    to.press("Enter")
    expect(page.locator(".person")).to_have_count(1)
    discard(page)
    page.locator(".row .subject").first.click()
    page.locator("article").first.wait_for()
    details(page)
    expect(page.get_by_role("button", name="Add to contacts")).to_have_count(0)
    assert not [name for name in names if name.startswith("ContactCard/")]


@pytest.mark.parametrize("language", ["de", "fr"])
def test_people_in_the_dark(installation: Standby, browser: Browser, size: str, language: str) -> None:
    for page in logged_in(installation, browser, size, locale=language, dark=True):
        subject = f"Dunkel {size} {time.monotonic_ns()}"
        send(installation, subject, sender=f"dunkel.{time.monotonic_ns()}@example.net")
        row(page, subject)
        page.locator(".to > button").last.click()
        expect(page.locator("dl button")).to_be_visible()
        check(page, size, f"people-sender-dark-{language}")
        page.keyboard.press("Escape")
        page.keyboard.press("c")
        page.get_by_role("combobox").first.fill("ben")
        expect(page.get_by_role("option").filter(has_text=BEN.address)).to_be_visible()
        check(page, size, f"people-directory-dark-{language}")
