"""The pages that clicked links of delivery copies may lead to, as a reader sees them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from browser.conftest import SIZES
from browser.test_webmail import check
from everpost.guard.links.clicked import Clicked, ClickOutcome
from everpost.guard.links.clicks import Click
from everpost.serve.web.click_words import words_for
from everpost.serve.web.clicks import HEADERS, page_of

URL = "https://accounts.exarnple.org/" + "very/long/" * 60 + "?next=<script>alert(1)</script>"
REASONS = ("exarnple.org looks like example.org", "on the list of the day: " + "x" * 200)


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("outcome", [each for each in ClickOutcome if each is not ClickOutcome.OPENED])
def test_each_page_is_clear_and_leads_on_only_where_it_says_so(
    browser: Browser, outcome: ClickOutcome, size: str, dark: bool
) -> None:
    click = Click(1, 2, URL, 0) if outcome is not ClickOutcome.NOT_OURS else None
    answered = dict(HEADERS) | {"Content-Type": "text/html; charset=utf-8"}
    shown = page_of(Clicked(outcome, click, REASONS if click else ()), words_for("de" if dark else "en"))
    context = browser.new_context(viewport=SIZES[size], color_scheme="dark" if dark else "light", bypass_csp=False)
    try:
        page = context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: asked.append(said.text) if "Security Policy" in said.text else None)
        page.route("**/click/*", lambda route: route.fulfill(status=200, headers=answered, body=shown))
        page.goto("https://standby.example.org/click/token")
        assert page.evaluate("getComputedStyle(document.querySelector('main')).borderTopWidth") == "6px"
        assert asked == ["https://standby.example.org/click/token"]
        expect(page.get_by_role("link")).to_have_count(1 if outcome is ClickOutcome.WARNED else 0)
        check(page, size, f"click-{outcome.value.replace(' ', '-')}{'-dark' if dark else ''}")
    finally:
        context.close()
