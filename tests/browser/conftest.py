"""One installation and one browser for all tests of the webmail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from browser_tools import ANNA, PASSWORD, Standby, standby
from everpost.app.demo.mailgen import Person
from everpost.serve.web.static import FOLDER

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
MESSAGES = 160


@pytest.fixture(scope="session")
def installation() -> Iterator[Standby]:
    """With mail in it. Its event loop has a thread of its own: Playwright's has this one."""
    if not (FOLDER / "index.html").exists():
        pytest.skip("the front end is not built")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    manager = standby()
    made = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(120)
    try:
        made.send_generated(MESSAGES)
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(120)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as made:
        yield made


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("Debian's chromium is not installed")
    made = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
    yield made
    made.close()


@pytest.fixture(params=list(SIZES))
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(installation: Standby, browser: Browser, size: str) -> Iterator[Page]:
    """Logged in, at the inbox. A script error anywhere fails the test."""
    yield from logged_in(installation, browser, size)


def logged_in(
    installation: Standby,
    browser: Browser,
    size: str,
    locale: str = "en-GB",
    dark: bool = False,
    service_workers: Literal["allow", "block"] = "block",
    person: Person = ANNA,
) -> Iterator[Page]:
    context = browser.new_context(
        viewport=SIZES[size],
        has_touch=size == "phone",
        locale=locale,
        color_scheme="dark" if dark else "light",
        service_workers=service_workers,
    )
    made = context.new_page()
    made.set_default_timeout(15_000)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on(
        "console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else None
    )
    made.goto(installation.url)
    made.locator("input[type=email]").fill(person.address)
    made.locator("input[type=password]").fill(PASSWORD)
    made.locator("button[type=submit]").click()
    made.locator(".row .subject").first.wait_for()
    yield made
    made.close()
    context.set_offline(False)
    forget_settings(context, installation)
    context.close()
    assert errors == []


def forget_settings(context: BrowserContext, installation: Standby) -> None:
    """They are at the server, and the installation is everybody's. Who was logged out has nothing to forget."""
    session = context.request.get(f"{installation.url}/jmap/session")
    if not session.ok:
        return
    account = session.json()["primaryAccounts"]["urn:ietf:params:jmap:mail"]
    names = ("language", "theme", "readingPane", "threads", "richText", "undoSeconds", "labels", "picturesFrom")
    patch = dict.fromkeys((*names, "identityId"))
    call = ["Settings/set", {"accountId": account, "update": {"singleton": patch}}, "0"]
    using = ["urn:ietf:params:jmap:core", "urn:everpost:jmap:settings"]
    context.request.post(
        f"{installation.url}/jmap/api", headers={"X-Everpost": "1"}, data={"using": using, "methodCalls": [call]}
    )
