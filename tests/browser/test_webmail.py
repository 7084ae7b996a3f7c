"""The webmail in a real browser, on a desktop and on a phone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from browser.conftest import logged_in
from browser_tools import ANNA, BEN, Standby

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
SHOTS = ROOT / "build/screenshots"


def check(page: Page, size: str, name: str) -> None:
    """A picture; nothing is cut off at the side; and what axe says about the page: nothing serious."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(250)  # motion has ended
    page.screenshot(path=SHOTS / f"{name}-{size}.png")
    too_wide = page.evaluate(
        "[document.documentElement, ...document.querySelectorAll('dialog[open]')]"
        ".filter(box => box.scrollWidth > box.clientWidth).map(box => box.tagName)"
    )
    assert too_wide == []
    if not AXE.exists():
        pytest.skip("web/node_modules has no axe-core")
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run(document, {iframes: false})).violations")
    serious = [
        (item["id"], [node["html"][:160] for node in item["nodes"][:4]])
        for item in found
        if item["impact"] in ("serious", "critical")
    ]
    assert serious == []


def send(
    installation: Standby, subject: str, body: str = "hello", kind: str = "text/plain", sender: str = "s@example.com"
) -> None:
    text = (
        f"From: Sender <{sender}>\r\nTo: {ANNA.address}\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
        f"Message-ID: <{time.monotonic_ns()}@example.com>\r\nContent-Type: {kind}; charset=utf-8\r\n\r\n{body}\r\n"
    )
    installation.send(text.encode())


def row(page: Page, subject: str) -> None:
    page.locator(".row", has_text=subject).first.locator(".subject").click()
    page.locator("article").first.wait_for()


def written(page: Page, what: str) -> AbstractContextManager[object]:
    """Until the server has answered a change of emails that names `what`: that one was read is another change."""

    def is_that(response: Response) -> bool:
        asked = response.request.post_data or ""
        return '"Email/set"' in asked and what in asked

    return page.expect_response(is_that)


def moved(page: Page) -> AbstractContextManager[object]:
    """Until the server has answered a move; that an email was read meanwhile is none."""
    return page.expect_response(lambda response: '"mailboxIds/' in (response.request.post_data or ""))


def undo(page: Page) -> None:
    page.get_by_role("button", name="Undo").click()


def test_the_pages(page: Page, size: str) -> None:
    check(page, size, "list")
    page.locator(".row .subject").nth(3).click()
    page.locator("article").first.wait_for()
    page.wait_for_timeout(500)
    check(page, size, "reader")
    page.keyboard.press("?")
    check(page, size, "keys")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")


def test_new_mail_appears_and_is_read(page: Page, installation: Standby) -> None:
    began = time.monotonic()
    send(installation, "Fresh from outside", "See https://example.org/x\r\n\r\nOn Monday Ann wrote:\r\n> quoted words")
    page.locator(".row", has_text="Fresh from outside").first.wait_for()
    assert time.monotonic() - began < 5
    fresh = page.locator(".row", has_text="Fresh from outside").first
    expect(fresh).to_have_class(re.compile("unread"))
    row(page, "Fresh from outside")
    expect(page.get_by_role("link", name="https://example.org/x")).to_be_visible()
    quoted = page.locator("article").get_by_text("> quoted words")
    expect(quoted).to_be_hidden()
    page.get_by_text("Show quoted text").click()
    expect(quoted).to_be_visible()
    page.keyboard.press("Escape")
    expect(fresh).not_to_have_class(re.compile("unread"))


def test_an_open_message_leaves_the_server_alone(page: Page, installation: Standby, size: str) -> None:
    subject = f"Lying open {size} {time.monotonic_ns()}"
    send(installation, subject)
    row(page, subject)
    page.wait_for_timeout(1500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1500)
    assert len(asked) <= 2, asked


@pytest.mark.parametrize(("key", "folder"), [("e", "Archive"), ("#", "Trash"), ("!", "Junk")])
def test_moved_and_undone(page: Page, installation: Standby, size: str, key: str, folder: str) -> None:
    subject = f"To {folder} {size} {time.monotonic_ns()}"
    send(installation, subject)
    row(page, subject)
    with moved(page):
        page.keyboard.press(key)
    expect(page.locator(".row", has_text=subject)).to_have_count(0)
    with moved(page):
        undo(page)
    expect(page.locator(".row", has_text=subject)).to_have_count(1)
    page.reload()
    page.locator(".row .subject").first.wait_for()
    expect(page.locator(".row", has_text=subject)).to_have_count(1)
    row(page, subject)
    with moved(page):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press({"e": "a", "#": "#", "!": "i"}[key])
    if key != "!":
        expect(page.locator(".row", has_text=subject)).to_have_count(1)


def test_flagged_by_key_and_counted_by_the_search(page: Page, installation: Standby, size: str) -> None:
    subject = f"Flag {size} {time.monotonic_ns()}"
    send(installation, subject)
    row(page, subject)
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    expect(page.locator(".row", has_text=subject).get_by_role("img", name="Flagged")).to_be_visible()
    page.get_by_role("combobox", name="Search mail").fill(f'is:flagged subject:"{subject}"')
    page.get_by_role("combobox", name="Search mail").press("Enter")
    expect(page.locator(".row")).to_have_count(1)
    check(page, size, "search")


def pretend_many(page: Page, total: int) -> None:
    """The server's own rows again and again, so that the folder has `total` of them."""

    def answer(route: Route) -> None:
        body = json.loads(route.request.post_data or "{}")
        queries = [args for name, args, _ in body["methodCalls"] if name == "Email/query"]
        for args in queries:
            args["position"] = args.get("position", 0) % 50
        response = route.fetch(post_data=json.dumps(body))
        if not queries:
            route.fulfill(response=response)
            return
        answers = response.json()
        for name, args, _ in answers["methodResponses"]:
            if name == "Email/query" and "total" in args:
                args["total"] = total
        route.fulfill(response=response, json=answers)

    page.route("**/jmap/api", answer)


def test_a_hundred_thousand_rows_stay_smooth(page: Page) -> None:
    pretend_many(page, 100_000)
    began = time.monotonic()
    page.reload()
    page.get_by_text("100,000 conversations").wait_for()
    page.locator(".row .subject").first.wait_for()
    assert time.monotonic() - began < 3
    for part in (0.5, 1, 0.25, 0):
        began = time.monotonic()
        page.locator(".rows > div").evaluate("(box, part) => box.scrollTo(0, box.scrollHeight * part)", part)
        page.wait_for_timeout(50)
        page.locator(".row .subject").first.wait_for()
        assert time.monotonic() - began < 1.5
        assert page.locator(".row").count() < 60


def test_many_are_selected_and_moved(page: Page, installation: Standby) -> None:
    for number in range(3):
        send(installation, f"Many {number}")
    expect(page.locator(".row", has_text="Many 2")).not_to_have_count(0)
    page.keyboard.press("j")
    for _ in range(3):
        page.keyboard.press("x")
        page.keyboard.press("j")
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.keyboard.press("v")
    page.get_by_role("textbox", name="Folder").fill("arch")
    page.get_by_role("textbox", name="Folder").press("Enter")
    expect(page.get_by_text("3 conversations moved to Archive")).to_be_visible()
    undo(page)
    page.locator(".row", has_text="Many 2").first.wait_for()


def test_a_reply_is_written_saved_and_sent(page: Page, installation: Standby, size: str) -> None:
    subject = f"Answer me {size} {time.monotonic_ns()}"
    send(installation, subject, "<p>Some <b>bold</b> words</p>", "text/html", BEN.address)
    row(page, subject)
    page.get_by_role("button", name="Reply", exact=True).click()
    editor = page.get_by_role("textbox", name="Message")
    expect(editor).to_contain_text("Some bold words")
    page.keyboard.type("See the attached list.")
    expect(page.get_by_text("Saved in Drafts")).to_be_visible()
    check(page, size, "composer")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("You write of an attachment")).to_be_visible()
    page.locator("input[type=file]").set_input_files({"name": "list.txt", "mimeType": "text/plain", "buffer": b"1,2"})
    expect(page.get_by_role("button", name="Remove list.txt")).to_be_visible()
    expect(page.locator("progress")).to_have_count(0)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Message sent in 8 s")).to_be_visible()
    undo(page)
    expect(page.get_by_role("textbox", name="Message")).to_contain_text("See the attached list.")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Message sent", exact=True)).to_be_visible(timeout=20_000)
    page.goto(installation.url)
    page.locator(".row .subject").first.wait_for()
    page.keyboard.press("g")
    page.keyboard.press("t")
    sent = page.locator(".row", has_text=subject).first
    sent.locator(".subject").click()
    expect(page.locator("article").last).to_contain_text("list.txt")


def test_recipients_are_completed(page: Page) -> None:
    page.keyboard.press("c")
    to = page.get_by_role("combobox", name="To")
    to.fill("ali")
    page.get_by_role("option").first.wait_for()
    to.press("Enter")
    expect(page.locator(".person")).to_have_count(1)
    to.fill(f"Ben <{BEN.address}>, wrong")
    to.press("Enter")
    expect(page.locator(".person")).to_have_count(3)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("wrong is no email address.")).to_be_visible()
    page.get_by_role("button", name="Throw the draft away").click()


def test_folders_come_and_go(page: Page, size: str) -> None:
    name = f"Projects {size}"
    if size == "phone":
        page.get_by_role("button", name="Folders").click()
        check(page, size, "folders")
    page.get_by_role("button", name="New folder").click()
    page.get_by_label("Name of the folder").fill(name)
    page.get_by_role("button", name="Create folder").click()
    folder = page.get_by_role("link", name=name)
    expect(folder).to_be_visible()
    folder.hover()
    page.get_by_role("button", name=f"Actions for {name}").click()
    page.get_by_role("button", name="Delete folder").click()
    expect(folder).to_have_count(0)


def test_rows_are_dragged_to_folders(installation: Standby, browser: Browser) -> None:
    for page in logged_in(installation, browser, "desktop"):
        subject = f"Drag {time.monotonic_ns()}"
        send(installation, subject)
        dragged = page.locator(".row", has_text=subject)
        dragged.drag_to(page.get_by_role("link", name="Archive"))
        expect(dragged).to_have_count(0)


@pytest.mark.parametrize("language", ["de", "fr"])
def test_settings_are_kept(installation: Standby, browser: Browser, size: str, language: str) -> None:
    for page in logged_in(installation, browser, size, locale=language, dark=True):
        expect(page.locator("html")).to_have_attribute("lang", language)
        check(page, size, f"list-dark-{language}")
        if size == "phone":
            page.get_by_role("button", name={"de": "Ordner", "fr": "Dossiers"}[language]).click()
        page.get_by_role("button", name={"de": "Einstellungen", "fr": "Réglages"}[language]).click()
        check(page, size, f"settings-{language}")
        page.locator("dialog select").nth(2).select_option("compact")
        page.locator("dialog select").nth(0).select_option("en")
        expect(page.get_by_role("heading", name="Settings")).to_be_visible()
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-density", "compact")
        expect(page.locator("html")).to_have_attribute("lang", "en")


@pytest.fixture
def login_page(installation: Standby, browser: Browser, size: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390 if size == "phone" else 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    page.goto(installation.url)
    yield page
    context.close()


def test_a_wrong_password_is_told(login_page: Page, size: str) -> None:
    login_page.get_by_label("Email address").fill(ANNA.address)
    login_page.get_by_label("Password").fill("wrong")
    login_page.get_by_role("button", name="Log in").click()
    expect(login_page.get_by_role("alert")).to_contain_text("do not fit")
    check(login_page, size, "login")
