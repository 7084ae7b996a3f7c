"""What is kept from a person, in a real browser: looked at, released, asked for; senders allowed and blocked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import SIZES, logged_in
from browser.test_webmail import check
from browser_tools import ANNA, BEN, Standby
from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.guard.model import Judgement
from everpost.intake.links import Deed, DigestLinks
from everpost.standby.values import Account
from quarantine_tools import content, keep_at

LONG = "Zurückhaltungsbenachrichtigungseinstellung" * 6


def kept(installation: Standby, **more: Any) -> int:
    """Beside Playwright's event loop, which has this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(keep_at(installation.installation, [ANNA.address], **more))).result(60)


def open_quarantine(page: Page, size: str, name: str = "Kept from you") -> Locator:
    if size == "phone":
        page.locator(".menu button").click()
    page.get_by_role("button", name=name).click()
    return page.get_by_role("dialog", name=name)


def test_spam_is_looked_at_and_released(page: Page, installation: Standby, size: str) -> None:
    subject = f"Offer {size} {time.monotonic_ns()}"
    html = content(
        subject, body='<p>Buy <script>document.title = "owned"</script>this</p><img src=x>\r\n',
        fields={"Content-Type": "text/html"},
    )  # fmt: skip
    kept(installation, octets=html)
    dialog = open_quarantine(page, size)
    line = dialog.get_by_role("button", name=subject)
    expect(line).to_contain_text("Spam")
    check(page, size, "quarantine")
    line.click()
    expect(dialog.get_by_role("heading", name=subject)).to_be_focused()
    expect(dialog.get_by_role("region", name="What it says")).to_contain_text("Buy this")
    expect(dialog.locator("script, img")).to_have_count(0)
    expect(dialog.get_by_text("192.0.2.1 may not send for bank.example")).to_be_visible()
    check(page, size, "quarantine-message")
    dialog.get_by_role("button", name="Release", exact=True).click()
    check(page, size, "quarantine-release")
    dialog.get_by_role("button", name="Yes, release it").click()
    expect(dialog.get_by_role("status")).to_have_text("Released: it stands in your Inbox.")
    expect(line).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".row", has_text=subject)).to_be_visible()


def test_phishing_is_asked_for_and_malware_is_not(page: Page, installation: Standby, size: str) -> None:
    number = time.monotonic_ns()
    phishing, malware = f"Log in {size} {number}", f"Invoice {size} {number}"
    kept(
        installation, octets=content(phishing, author=f"{LONG} <{'x' * 60}@bank.example>"), judgement=Judgement.PHISHING
    )
    kept(installation, octets=content(malware), judgement=Judgement.MALWARE)
    dialog = open_quarantine(page, size)
    dialog.get_by_role("button", name=malware).click()
    expect(dialog.get_by_text("Only an administrator can look at it and release it.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Release")).to_have_count(0)
    expect(dialog.get_by_role("region", name="What it says")).to_have_count(0)
    check(page, size, "quarantine-malware")
    dialog.get_by_role("button", name="Back").click()
    dialog.get_by_role("button", name=phishing).click()
    expect(dialog.get_by_role("button", name="Release", exact=True)).to_have_count(0)
    dialog.get_by_role("button", name="Ask for release").click()
    dialog.get_by_label("Why you need it").fill("I wait for it")
    check(page, size, "quarantine-ask")
    dialog.get_by_role("button", name="Yes, ask").click()
    expect(dialog.get_by_role("status")).to_have_text("The administrators were asked.")
    expect(dialog.get_by_text("You asked for its release.")).to_be_visible()
    expect(dialog.get_by_role("button", name="Ask for release")).to_have_count(0)
    dialog.get_by_role("button", name="This is no junk").click()
    expect(dialog.get_by_role("status")).to_have_text("Thank you: the administrators see it.")
    expect(dialog.get_by_role("button", name="This is no junk")).to_have_count(0)


def test_senders_are_blocked_and_allowed(page: Page, installation: Standby, size: str) -> None:
    subject = f"News {size} {time.monotonic_ns()}"
    sender = f"news{time.monotonic_ns()}@bank.example"
    kept(installation, octets=content(subject, author=sender))
    dialog = open_quarantine(page, size)
    dialog.get_by_role("button", name=subject).click()
    dialog.get_by_role("button", name="Block this sender").click()
    expect(dialog.get_by_role("status")).to_have_text(f"Blocked: {sender}")
    expect(dialog.get_by_role("button", name="Block this sender")).to_have_count(0)
    dialog.get_by_role("button", name="Back").click()
    dialog.get_by_role("button", name="Allowed and blocked senders").click()
    rules = page.get_by_role("dialog", name="Allowed and blocked senders")
    expect(rules.get_by_text(sender, exact=True)).to_be_visible()
    rules.get_by_label("Address or domain").fill("not an address")
    rules.get_by_role("button", name="Add").click()
    expect(rules.get_by_role("alert")).to_contain_text("Write an address, or a domain like example.org.")
    rules.get_by_label("Address or domain").fill("Shop.example")
    rules.get_by_label("What happens").select_option("Allowed")
    rules.get_by_role("button", name="Add").click()
    expect(rules.locator("li", has_text="shop.example")).to_contain_text("Allowed")
    check(page, size, "quarantine-senders")
    for each in (sender, "shop.example"):
        rules.get_by_role("button", name=f"Remove {each}").click()
        expect(rules.get_by_text(each, exact=True)).to_have_count(0)


def test_the_page_behind_a_link(browser: Browser, installation: Standby, size: str) -> None:
    message_id = kept(installation, octets=content(LONG, author=f"{'x' * 60}@bank.example"))
    config = load_config(installation.installation.config_path)
    links = DigestLinks(config.load_master_key().derived("quarantine links"), installation.url)
    with ThreadPoolExecutor(1) as pool:
        account = pool.submit(lambda: asyncio.run(_account(installation))).result(60)
    context = browser.new_context(viewport=SIZES[size], java_script_enabled=True, locale="en-GB")
    page = context.new_page()
    page.goto(links.address(account, message_id, Deed.RELEASE, time.time()))
    expect(page.get_by_role("status")).to_contain_text("Release this message?")
    check_page(page, size, "quarantine-link")
    page.get_by_role("button", name="Yes, release it").click()
    expect(page.get_by_role("status")).to_have_text("The message was released. It is in your mailbox.")
    expect(page.get_by_role("button")).to_have_count(0)
    check_page(page, size, "quarantine-link-done")
    context.close()


def test_a_digest_comes_by_itself_and_its_link_leads_there(page: Page, installation: Standby, size: str) -> None:
    subject = f"Told of {size} {time.monotonic_ns()}"
    kept(installation, octets=content(subject))
    lines = page.locator(".row", has_text="kept from you")
    before = lines.count()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(_digest_is_due(installation))).result(60)
    expect(lines).to_have_count(before + 1, timeout=60_000)
    lines.first.click()
    reader = page.frame_locator("iframe").first
    entry = reader.locator("div", has_text=subject).last
    expect(entry).to_be_visible()
    link = entry.get_by_role("link", name="Release").get_attribute("href")
    assert link
    page.goto(f"{installation.url}{urlsplit(link).path}")
    expect(page.get_by_role("status")).to_contain_text("Release this message?")
    expect(page.locator("dd").last).to_contain_text("Told of")


async def _digest_is_due(installation: Standby) -> None:
    async with (
        open_database(load_config(installation.installation.config_path)) as database,
        database.connection() as connection,
    ):
        await connection.execute("UPDATE organisation SET digest_due_at = now() - interval '1 second'")
        await connection.execute("DELETE FROM quarantine_digest")


def check_page(page: Page, size: str, name: str) -> None:
    """As `check`, of a page that lets nothing run in it: axe looks at the same page without its policy."""
    copy = page.context.new_page()
    copy.set_content(page.content())
    check(copy, size, name)
    copy.close()


async def _account(installation: Standby) -> Account:
    async with (
        open_database(load_config(installation.installation.config_path)) as database,
        database.connection() as connection,
    ):
        row = await connection.fetchrow("SELECT organisation_id, mailbox_id FROM address WHERE key = $1", ANNA.address)
    return Account(*row.values())


@pytest.mark.parametrize(
    ("locale", "title", "none"),
    [
        ("en-GB", "Kept from you", "Nothing is kept from you."),
        ("de-DE", "Zurückgehaltene Nachrichten", "Nichts wird zurückgehalten."),
        ("fr-FR", "Messages retenus", "Rien n’est retenu."),
    ],
)
def test_nothing_is_kept_and_what_is_written_follows_the_language(
    installation: Standby, browser: Browser, size: str, locale: str, title: str, none: str
) -> None:
    sent = installation
    sent.send(content(f"Hello {locale}", author="a@example.com"), recipients=(BEN.address,))
    for page in _pages(installation, browser, size, locale):
        dialog = open_quarantine(page, size, title)
        expect(dialog.get_by_text(none)).to_be_visible()
        check(page, size, f"quarantine-none-{locale}")
        language = page.evaluate(LANGUAGE)
        assert language == locale[:2]


def test_where_the_server_does_not_answer(page: Page, size: str) -> None:
    dialog = open_quarantine(page, size)
    expect(dialog.get_by_role("button", name="Allowed and blocked senders")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.route("**/jmap/api", lambda route: route.fulfill(status=503, json={"title": "Try again in a moment"}))
    dialog = open_quarantine(page, size)
    expect(dialog.get_by_role("alert")).to_contain_text("Try again in a moment")


def _pages(installation: Standby, browser: Browser, size: str, locale: str) -> Iterator[Page]:
    yield from logged_in(installation, browser, size, locale, person=BEN)


LANGUAGE = """async () => {
  const session = await (await fetch("/jmap/session")).json();
  const accountId = session.primaryAccounts["urn:ietf:params:jmap:mail"];
  const answer = await (await fetch("/jmap/api", {
    method: "POST", headers: {"Content-Type": "application/json", "X-Everpost": "1"},
    body: JSON.stringify({using: ["urn:ietf:params:jmap:core", "urn:everpost:jmap:quarantine"],
                          methodCalls: [["QuarantineSettings/get", {accountId}, "0"]]}),
  })).json();
  return answer.methodResponses[0][1].list[0].language;
}"""
