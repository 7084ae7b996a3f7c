"""Rules and settings of an organisation in the console, in a real browser."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from browser.test_console import Open, check_both, heading, house, open_console
from browser_tools.console import Site

__all__ = ["house", "open_console"]
LONG = "Rechnungsprüfungsbenachrichtigungsverteilerausnahme" * 3


def apply(page: Page, reason: str) -> None:
    form = page.locator("form.ask")
    form.get_by_label("Reason").fill(reason)
    form.get_by_role("button", name="Put in force …").click()
    form.get_by_role("button", name="Yes: Put in force").click()


def test_rules_are_written_tried_put_in_force_and_taken_back(open_console: Open, house: Site) -> None:
    house.send("An offer you cannot refuse", "anna", message_id="offer@elsewhere.example.com")
    page = open_console("policy")
    expect(heading(page, "Policy")).to_be_visible()
    expect(page.get_by_text("There are no rules yet")).to_be_visible()
    check_both(page, "console-policy-empty")
    page.get_by_role("button", name="Begin with an example").click()
    rules = json.loads(page.locator("textarea").input_value())
    rules["rule"].append(
        {"id": "offers", "name": LONG, "when": [{"field": "subject", "any": ["offer"]}], "do": [{"do": "junk"}]}
    )
    page.locator("textarea").fill(json.dumps(rules))
    page.get_by_role("button", name="Try on past mail").click()
    expect(page.get_by_text("would have hit 1 of")).to_be_visible()
    page.get_by_text("would have hit 1 of").click()
    expect(page.get_by_role("link", name="An offer you cannot refuse")).to_be_visible()
    check_both(page, "console-policy-trial")
    page.get_by_role("button", name="Put in force …").first.click()
    apply(page, "first rules")
    expect(page.get_by_text("Version 1 is in force: 2 rules.")).to_be_visible()
    expect(page.get_by_role("list").filter(has_text="No programs from outside")).to_contain_text("file-name is *.exe")

    page.get_by_label(f"State of {LONG}").select_option("on")
    apply(page, "it works")
    expect(page.get_by_text("Version 2 is in force: 2 rules.")).to_be_visible()
    expect(page.get_by_label(f"State of {LONG}")).to_have_value("on")
    history = page.get_by_role("region", name="Earlier versions")
    expect(history.get_by_text("it works")).to_be_visible()
    check_both(page, "console-policy")
    history.get_by_role("button", name="Open 1").click()
    expect(page.get_by_text("Version 1 is in the field now. It is not in force.")).to_be_visible()
    page.get_by_role("button", name="Put in force …").first.click()
    apply(page, "back")
    expect(page.get_by_text("Version 3 is in force: 2 rules.")).to_be_visible()
    expect(page.get_by_label(f"State of {LONG}")).to_have_value("shadow")


def test_what_is_wrong_is_said(open_console: Open) -> None:
    page = open_console("policy")
    page.locator("textarea").fill('{"rule": [')
    page.get_by_role("button", name="Try on past mail").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be read as JSON")
    page.locator("textarea").fill('{"rule": [{"id": "x", "when": [{"field": "subject", "any": ["("]}]}]}')
    page.get_by_role("button", name="Try on past mail").click()
    expect(page.get_by_role("alert")).to_contain_text("'(' is no pattern (RE2)")
    check_both(page, "console-policy-wrong")


@pytest.mark.parametrize(
    ("locale", "title", "save"),
    [
        ("en-GB", "Mail of this organisation", "Save"),
        ("de-DE", "Mail dieser Organisation", "Speichern"),
        ("fr-FR", "Courrier de cette organisation", "Enregistrer"),
    ],
)
def test_settings_are_kept(open_console: Open, locale: str, title: str, save: str) -> None:
    page = open_console("policy", locale=locale)
    settings = page.get_by_role("region", name=title)
    choice = settings.locator("select").nth(1)
    for wanted in ("external", "none"):
        choice.select_option(wanted)
        with page.expect_response("**/api/v1/settings*"):
            settings.get_by_role("button", name=save).click()
        page.reload()
        expect(choice).to_have_value(wanted)
