"""The bar that says what is going on, for every trust state (the state itself is told by the test)."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from browser.test_webmail import check


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("down", "This is your standby mailbox; everything you do here comes back with you."),
        ("suspect", "This is your standby mailbox"),
        ("compromised", "Do not use it."),
        ("recovering", "Your mail server is coming back."),
    ],
)
def test_it_says_what_is_going_on(page: Page, size: str, state: str, words: str) -> None:
    answer = {
        "access": True,
        "master": "standby",
        "state": state,
        "since": "2026-11-24T09:12:00Z",
        "organisation": "Acme",
    }
    page.route(
        "**/api/v1/standby", lambda route: route.fulfill(body=json.dumps(answer), content_type="application/json")
    )
    page.reload()
    expect(page.get_by_text(words)).to_be_visible()
    check(page, size, f"state-{state}")
