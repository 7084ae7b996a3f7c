"""The quarantine in the console, in a real browser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser.test_console import Open, ask, check_both, go, heading, house, open_console
from browser_tools.console import DOMAIN, Site
from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.continuity.homes import waiting_mailboxes
from everpost.guard.model import Judgement
from everpost.intake.kept_from_me import KeptMail
from everpost.standby.values import Account
from everpost.store.ids import decode_id, encode_id
from quarantine_tools import content, keep_at

__all__ = ["house", "open_console"]
LONG = "Ihre Kontobewegungenübersichtsbestätigungserinnerung" * 6
HARMFUL = """<p>Dear customer</p><script>document.title = "owned"</script><img src=x onerror="document.title='owned'">\r
<a href="https://evil.example/">Log in</a>\r\n"""


def kept(house: Site, *people: str, **more: Any) -> str:
    recipients = [f"{person}@{DOMAIN}" for person in people]
    done = asyncio.run_coroutine_threadsafe(keep_at(house.installation, recipients, **more), house.loop)
    return encode_id(done.result(60))


def entry(page: Page, subject: str) -> Any:
    return page.locator(".entries li", has=page.get_by_role("link", name=subject, exact=True))


@pytest.mark.parametrize(
    ("locale", "title", "empty"),
    [
        ("en-GB", "Quarantine", "Nothing in quarantine fits the search."),
        ("de-DE", "Quarantäne", "Nichts in der Quarantäne passt zur Suche."),
        ("fr-FR", "Quarantaine", "Rien dans la quarantaine ne correspond à la recherche."),
    ],
)
def test_where_nothing_is_kept(open_console: Open, locale: str, title: str, empty: str) -> None:
    page = open_console("quarantine?subject=no-such-thing", locale=locale)
    expect(heading(page, title)).to_be_visible()
    expect(page.get_by_text(empty)).to_be_visible()
    check_both(page, f"console-quarantine-empty-{locale}")


def test_a_message_is_found_looked_at_and_released(open_console: Open, house: Site) -> None:
    kept(house, "anna", "ben", octets=content(LONG, author=f"{LONG} <{'x' * 200}@bank.example>"))
    html = content(
        "Log in now", body=HARMFUL, fields={"Content-Type": "text/html", "MIME-Version": "1.0"}
    )  # fmt: skip
    kept(house, "anna", "ben", octets=html, judgement=Judgement.PHISHING)
    page = open_console()
    go(page, "Quarantine")
    expect(entry(page, "Log in now")).to_contain_text("Phishing")
    expect(entry(page, LONG)).to_be_visible()
    check_both(page, "console-quarantine")
    page.get_by_label("Taken for").select_option("Phishing")
    page.get_by_role("button", name="Find").click()
    expect(entry(page, LONG)).to_have_count(0)
    entry(page, "Log in now").get_by_role("link").click()
    text = page.get_by_role("region", name="What it says")
    expect(text).to_contain_text("stands in the audit")
    expect(page.get_by_text("Dear customer")).to_have_count(0)
    page.get_by_role("button", name="Look at it").click()
    expect(text.first).to_contain_text("Dear customer")
    expect(page.locator("main script, main img")).to_have_count(0)
    expect(page.get_by_role("link", name="Log in")).to_have_count(0)
    expect(page).to_have_title("Quarantine – Everpost console")
    page.get_by_text("header fields").click()
    check_both(page, "console-quarantine-message")
    page.get_by_role("button", name="Release …").click()
    form = page.locator("form.ask")
    expect(form).to_contain_text("Whoever gets it can be harmed by it.")
    form.get_by_label(f"anna@{DOMAIN}").uncheck()
    check_both(page, "console-quarantine-release")
    ask(page, "Release", "they wait for it")
    expect(page.get_by_text("Released for 1 recipient.")).to_be_visible()
    people = page.get_by_role("region", name="Log in now").locator(".entries")
    expect(people).to_contain_text(f"anna@{DOMAIN}")
    expect(people).not_to_contain_text(f"ben@{DOMAIN}")
    page.get_by_role("button", name="Give up …").click()
    ask(page, "Give up", "nobody wants it")
    expect(page.get_by_text("Given up for 1 recipient.")).to_be_visible()
    expect(entry(page, "Log in now")).to_have_count(0)
    page.goto(f"{house.url}audit?action=quarantine.")
    for words in ("Released from quarantine", "Given up in quarantine", "Looked at in quarantine"):
        expect(page.locator(".entries li", has_text=words).first).to_be_visible()


def test_requests_are_found_and_refused(open_console: Open, house: Site) -> None:
    message = kept(house, "ben", octets=content("Wanted mail"), judgement=Judgement.PHISHING)
    asyncio.run_coroutine_threadsafe(_ask(house, message), house.loop).result(60)
    page = open_console("quarantine")
    page.get_by_label("Only what somebody asks for").check()
    page.get_by_role("button", name="Find").click()
    expect(entry(page, "Wanted mail")).to_contain_text("1 asks for it")
    entry(page, "Wanted mail").get_by_role("link").click()
    expect(page.get_by_role("region", name="Wanted mail")).to_contain_text("I wait for it")
    page.get_by_role("button", name="Refuse …").click()
    ask(page, "Refuse", "a forgery")
    expect(page.get_by_text("1 request was refused.")).to_be_visible()
    expect(page.get_by_role("button", name="Refuse …")).to_have_count(0)


async def _ask(house: Site, message: str) -> None:
    async with open_database(load_config(house.installation.config_path)) as database, database.connection() as found:
        row = await found.fetchrow("SELECT organisation_id, mailbox_id FROM address WHERE key = $1", f"ben@{DOMAIN}")
        ben = KeptMail(database, Account(*row.values()), actor="ben", homes=waiting_mailboxes)
        await ben.ask(decode_id(message), "I wait for it")


def test_what_the_organisation_decides(open_console: Open) -> None:
    page = open_console("quarantine")
    form = page.get_by_role("region", name="What people may do")
    form.get_by_label("Mail about what is kept").select_option("Every hour")
    expect(form.get_by_label("At this hour")).to_be_disabled()
    form.get_by_label("Not allowed").check()
    form.get_by_label("Time zone").fill("Mars/Olympus")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("no time zone")
    form.get_by_label("Time zone").fill("Europe/Berlin")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    page.reload()
    expect(form.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    expect(form.get_by_label("Not allowed")).to_be_checked()
    form.get_by_label("Mail about what is kept").select_option("Every day")
    check_both(page, "console-quarantine-settings")


def test_what_is_gone_says_so(open_console: Open, house: Site) -> None:
    page = open_console("quarantine/0")
    expect(page.get_by_role("alert")).to_contain_text("There is no such thing here.")
    check_both(page, "console-quarantine-gone")


def test_pages_of_a_long_quarantine(open_console: Open, house: Site) -> None:
    for number in range(3):
        kept(house, "cora", octets=content(f"Page {number}"))
    page = open_console("quarantine?recipient=cora")
    page.route("**/api/v1/quarantine?*", lambda route: route.continue_(url=f"{route.request.url}&limit=2"))
    page.reload()
    expect(entry(page, "Page 2")).to_be_visible()
    expect(entry(page, "Page 0")).to_have_count(0)
    page.get_by_role("link", name="Older").click()
    expect(entry(page, "Page 0")).to_be_visible()
    expect(entry(page, "Page 2")).to_have_count(0)
