"""The console in a real browser, with a mail server that dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from browser.conftest import SIZES
from browser.test_webmail import check
from browser_tools.console import ADMINISTRATOR, DOMAIN, PASSWORD, ROOT, Site, site
from everpost.serve.web.static import FOLDER

SLOW_MS = 60_000
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def house() -> Iterator[Site]:
    """Its event loop has a thread of its own: Playwright's has this one."""
    if not (FOLDER / "console/index.html").exists():
        pytest.skip("the front end is not built")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    manager = site()
    made = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(120)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(120)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture
def open_console(house: Site, browser: Browser) -> Iterator[Open]:
    """Opens the console, logged in where `who` says so. A script error anywhere fails the test."""
    errors: list[str] = []
    with contextlib.ExitStack() as stack:

        def opened(
            path: str = "", who: str | None = ADMINISTRATOR, size: str = "desktop", dark: bool = False,
            locale: str = "en-GB",
        ) -> Page:  # fmt: skip
            context = browser.new_context(
                viewport=SIZES[size], has_touch=size == "phone", locale=locale,
                color_scheme="dark" if dark else "light",
            )  # fmt: skip
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda said: errors.append(said.text) if "Security Policy" in said.text else None)
            page.goto(house.url + path)
            if who is not None:
                log_in(page, who)
                page.locator("#page").wait_for()
            return page

        yield opened
    assert errors == []


def log_in(page: Page, who: str = ADMINISTRATOR, password: str = PASSWORD) -> None:
    page.locator("input[name=name]").fill(who)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()


def heading(page: Page, text: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("heading", level=1, name=text)


def card(page: Page) -> Locator:
    return page.locator("article", has=page.get_by_role("link", name="main"))


def ask(page: Page, verb: str, reason: str | None = None) -> None:
    """Fill in the form that asks, and say yes."""
    form = page.locator("form.ask")
    if reason is not None:
        form.get_by_label("Reason").fill(reason)
    form.get_by_role("button", name=f"{verb} …").click()
    form.get_by_role("button", name=f"Yes: {verb}").click()


def go(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name, exact=True).click()


def check_both(page: Page, name: str) -> None:
    """As `check`, on a desktop, on a phone, and there in the dark."""
    for size, dark in (("desktop", False), ("phone", False), ("phone", True)):
        page.set_viewport_size(SIZES[size])
        page.emulate_media(color_scheme="dark" if dark else "light")
        check(page, size, f"{name}{'-dark' if dark else ''}")
    page.set_viewport_size(SIZES["desktop"])
    page.emulate_media(color_scheme="light")


def test_logging_in_and_out(open_console: Open) -> None:
    page = open_console("audit?action=queue.", who=None)
    expect(page.locator("h1")).to_have_text("Console")
    check(page, "desktop", "console-login")
    log_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_contain_text("Name and password do not fit")
    log_in(page)
    expect(heading(page, "Audit")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/console/audit\?action=queue\.$"))
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("input[name=password]")).to_be_visible()
    page.reload()
    expect(page.locator("input[name=password]")).to_be_visible()


def test_a_session_that_ends_leads_back(open_console: Open) -> None:
    page = open_console("trace?sender=s%40elsewhere.example.com")
    expect(heading(page, "Message trace")).to_be_visible()
    page.context.clear_cookies()
    expect(page.get_by_text("Your session has ended. Log in")).to_be_visible()
    log_in(page)
    expect(heading(page, "Message trace")).to_be_visible()
    expect(page.get_by_label("Sender")).to_have_value("s@elsewhere.example.com")


def test_addresses_the_back_button_and_nothing_there(open_console: Open) -> None:
    page = open_console()
    card(page).get_by_role("link", name="main").click()
    expect(heading(page, "Primary main")).to_be_focused()
    go(page, "Queue")
    expect(heading(page, "Queue")).to_be_focused()
    page.go_back()
    expect(heading(page, "Primary main")).to_be_visible()
    page.reload()
    expect(heading(page, "Primary main")).to_be_visible()
    for path, words in (
        ("primary/zzz", "There is no such primary"), ("trace/zzz", "There is no such thing here"),
        ("failback/zzz", "There is no such thing here"), ("run/zzz", "There is no such thing here"),
        ("nowhere", "Every primary is trusted"),
    ):  # fmt: skip
        page.goto(page.url.split("/console/")[0] + "/console/" + path)
        expect(page.locator("#page")).to_contain_text(words)


def test_several_organisations(open_console: Open) -> None:
    page = open_console(who=ROOT)
    for name in ("Acme", "Harbour"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.get_by_role("combobox", name="Organisation").select_option("Harbour")
    expect(page.get_by_role("heading", name="Acme")).to_have_count(0)
    expect(page.get_by_text("This organisation has no primary")).to_be_visible()
    go(page, "People")
    page.get_by_label("Part of a name").fill("dora")
    expect(page.get_by_text("dora@harbour.example").first).to_be_visible()
    expect(page).to_have_url(re.compile("search=dora.*organisation=harbour|organisation=harbour.*search=dora"))
    go(page, "Audit")
    page.get_by_label("That of the installation").check()
    expect(page.get_by_text("Administrator made").first).to_be_visible()


def test_another_organisation_is_not_there(open_console: Open) -> None:
    page = open_console("queue?organisation=harbour")
    expect(page.get_by_role("alert").filter(has_text="There is no such thing here").first).to_be_visible()


def test_a_message_is_traced(open_console: Open, house: Site) -> None:
    house.send("Minutes of today", "anna", message_id="minutes@elsewhere.example.com")
    page = open_console("trace")
    expect(page.get_by_text("Give one of these")).to_be_visible()
    page.get_by_label("Message-ID").fill("<minutes@elsewhere.example.com>")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Minutes of today").click()
    way = page.get_by_role("region", name="Its way").get_by_role("listitem")
    expect(way.filter(has_text=f"Readable in the standby mailbox of anna@{DOMAIN}")).to_be_visible()
    expect(way.filter(has_text=f"anna@{DOMAIN}: delivered")).to_be_visible()
    expect(way.first).to_contain_text("Accepted by mx from")
    queue_id = page.url.rsplit("/", 1)[1]
    page.goto(f"{house.url}trace")
    page.get_by_label("Queue id").fill(queue_id)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Minutes of today")).to_be_visible()
    page.goto(f"{house.url}trace?recipient=anna%40{DOMAIN}")
    expect(page.get_by_role("link", name="Minutes of today")).to_be_visible()
    page.goto(f"{house.url}trace?sender=nobody%40{DOMAIN}")
    expect(page.get_by_text("Nothing was found")).to_be_visible()


def test_the_queue_and_its_verbs(open_console: Open, house: Site) -> None:
    page = open_console("queue")
    page.get_by_role("button", name="Suspend everything").click()
    ask(page, "Suspend", "maintenance of the network")
    expect(page.get_by_text("All destinations are suspended: maintenance of the network")).to_be_visible()
    house.send("Waits a little", "ben", message_id="waits@elsewhere.example.com")
    row = page.locator(".entries li", has_text="Waits a little")
    expect(row).to_be_visible()
    row.get_by_role("button", name="Give up").click()
    expect(page.get_by_role("heading", name="Give up “Waits a little”")).to_be_focused()
    page.get_by_role("button", name="Cancel").click()
    expect(row.get_by_role("button", name="Give up")).to_be_focused()
    row.get_by_role("button", name="Hold").click()
    ask(page, "Hold", "look at it first")
    expect(row).to_contain_text("held: by an administrator")
    page.get_by_label("Show").select_option("Waiting")
    expect(row).to_have_count(0)
    page.get_by_label("Show").select_option("Held")
    row.get_by_role("button", name="Release").click()
    ask(page, "Release", "it is fine")
    page.get_by_label("Show").select_option("Waiting and held")
    expect(row).to_contain_text("next attempt")
    page.get_by_role("button", name="Suspend primary:main").click()
    ask(page, "Suspend", "this one, too")
    expect(page.get_by_text("Suspended: this one, too")).to_be_visible()
    page.get_by_role("button", name="Resume primary:main").click()
    ask(page, "Resume")
    page.get_by_role("button", name="Resume everything").click()
    ask(page, "Resume")
    expect(row).to_have_count(0, timeout=SLOW_MS)
    expect(page.get_by_text("Nothing waits.")).to_be_visible()
    page.goto(f"{house.url}audit?action=queue.")
    for words in ("Delivery held", "Delivery released", "Destination suspended"):
        expect(page.locator(".entries li", has_text=words).first).to_be_visible()
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.get_by_text(re.compile("^Intact: [0-9]+ events"))).to_be_visible()


def test_giving_up_tells_the_sender(open_console: Open, house: Site) -> None:
    page = open_console("queue")
    page.get_by_role("button", name="Suspend everything").click()
    ask(page, "Suspend", "for a moment")
    house.send("Is given up", "ben", message_id="gone@elsewhere.example.com")
    for subject in ("Is given up", "Not delivered: Is given up"):
        row = page.locator(".entries li", has=page.get_by_role("link", name=subject, exact=True))
        row.get_by_role("button", name="Give up").click()
        expect(page.locator("form.ask")).to_contain_text("the sender is told")
        ask(page, "Give up", "nobody wants it")
        expect(page.get_by_text("1 delivery was changed.")).to_be_visible()
        expect(row).to_have_count(0)
    page.get_by_role("button", name="Resume everything").click()
    ask(page, "Resume")
    expect(page.get_by_text("Nothing waits.")).to_be_visible(timeout=SLOW_MS)


def test_a_switch_for_one_mailbox(open_console: Open) -> None:
    page = open_console("switch/activate")
    page.get_by_label("How far").select_option("Mailbox")
    page.get_by_label("Find a mailbox").fill("cora")
    effect = page.get_by_role("region", name="Effect")
    expect(effect).to_contain_text("Mailboxes in this scope 1")
    expect(effect).to_contain_text(f"cora@{DOMAIN}")
    button = page.get_by_role("button", name="Switch to the standby …")
    expect(button).to_be_disabled()
    ask(page, "Switch to the standby", "her laptop was stolen")
    expect(page.get_by_text(f"cora@{DOMAIN} is switched to the standby: 1 mailbox.")).to_be_visible()
    entry = page.locator(".entries li", has_text="her laptop was stolen")
    entry.get_by_role("link", name="Bring back").click()
    expect(heading(page, f"Bring cora@{DOMAIN} back")).to_be_visible()
    expect(page.get_by_role("region", name="What would be done now")).to_contain_text("Mailboxes in all 1")
    ask(page, "Begin the failback", "found again")
    expect(page.get_by_text(re.compile("The failback has begun|the activation has ended")).first).to_be_visible()
    page.goto(page.url.split("/console/")[0] + "/console/switch")
    expect(page.get_by_text("Nothing is switched to the standby.")).to_be_visible(timeout=SLOW_MS)


def test_a_drill(open_console: Open) -> None:
    page = open_console("switch/drill?kind=group")
    page.get_by_label("Also measure").uncheck()
    expect(page.get_by_role("region", name="Effect")).to_contain_text("Mailboxes in this scope 1")
    ask(page, "Drill")
    expect(page.get_by_text("The drill with Team has begun.")).to_be_visible()
    done = page.get_by_role("region", name="Drills").get_by_role("listitem")
    expect(done.first).to_contain_text(re.compile("Passed.*0 lost, 0 doubled", re.DOTALL), timeout=SLOW_MS)


def test_a_primary_falls_and_comes_back(open_console: Open, house: Site) -> None:
    page = open_console()
    expect(card(page)).to_contain_text("trusted")
    house.lose()
    try:
        expect(card(page)).to_contain_text("It does not answer.", timeout=SLOW_MS)
        expect(page.get_by_text("1 primary is not in charge as usual")).to_be_visible()
        expect(page.get_by_label("Who is affected")).to_contain_text("Mailboxes affected 3 of 3")
        house.send("During the outage", "anna", "ben", message_id="outage@elsewhere.example.com")
        held = page.locator("dl div", has_text="Held")
        expect(held).to_contain_text("2", timeout=SLOW_MS)
        check_both(page, "console-down")
        held.get_by_role("link").click()
        expect(page.get_by_text("2 for the return from the standby")).to_be_visible()
        page.locator(".entries li", has_text="During the outage").first.get_by_role("button", name="Give up").click()
        ask(page, "Give up", "trying")
        expect(page.locator("form.ask").get_by_role("alert")).to_contain_text("Nothing was changed.")
        check_both(page, "console-queue-held")
        page.locator("form.ask").get_by_role("button", name="No, change it").click()
        page.locator("form.ask").get_by_role("button", name="Cancel").click()
        page.go_back()
        page.get_by_role("link", name="Bring back").click()
        would = page.get_by_role("region", name="What would be done now")
        expect(would).to_contain_text("Received messages 2")
        expect(page.get_by_text("In the way:")).to_be_visible()
        begin = page.get_by_role("button", name="Begin the failback …")
        page.get_by_label("Reason").fill("it is back")
        expect(begin).to_be_disabled()
        page.get_by_label("Mailboxes in a wave").fill("1")
        expect(page.get_by_text("That is 3 waves.")).to_be_visible()
        check_both(page, "console-dry-run")
    finally:
        house.restore()
    _bring_back(page)
    expect(heading(page, "Failback of main")).to_be_visible()
    expect(page.get_by_role("heading", name="Failback finished")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_text("3 of 3 (100 %)")).to_be_visible()
    report = page.get_by_role("region", name="Reconciliation report")
    expect(report).to_contain_text("The signature fits")
    expect(report).to_contain_text("Received 2")
    expect(report).to_contain_text("Lost 0")
    with page.context.expect_page() as opened:
        report.get_by_role("link", name="Open the whole report").click()
    expect(opened.value.locator("body")).to_contain_text("Everything came back")
    go(page, "Overview")
    expect(card(page)).to_contain_text("trusted", timeout=SLOW_MS)
    card(page).get_by_role("link", name="main").click()
    history = page.get_by_role("region", name="History")
    for words in ("went down", "failback started", "failback finished"):
        expect(history.get_by_role("listitem").filter(has_text=words).first).to_be_visible()


def test_a_failback_is_paused_goes_on_and_is_stopped(open_console: Open, house: Site) -> None:
    page = open_console()
    expect(card(page)).to_contain_text("trusted", timeout=SLOW_MS)
    house.lose()
    try:
        expect(card(page)).to_contain_text("It does not answer.", timeout=SLOW_MS)
        house.send("Comes back later", "anna", message_id="later@elsewhere.example.com")
        page.get_by_role("link", name="Bring back").click()
        expect(page.get_by_text("In the way:")).to_be_visible()
        page.get_by_label("Begin all the same").check()
        ask(page, "Begin the failback", "against better knowledge")
        expect(page.get_by_role("heading", name="Failback under way")).to_be_visible()
        expect(page.get_by_text("0 of 3 (0 %)")).to_be_visible()
        page.get_by_role("button", name="Pause …").click()
        ask(page, "Pause", "lunch")
        expect(page.get_by_role("heading", name="Failback paused")).to_be_visible()
        expect(page.get_by_text("Why: lunch")).to_be_visible()
        check(page, "desktop", "console-paused")
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("heading", name="Failback under way")).to_be_visible()
        page.get_by_role("button", name="Stop …").click()
        expect(page.locator("form.ask")).to_contain_text("the rest stays with the standby")
        ask(page, "Stop", "it is dead")
        expect(page.get_by_role("heading", name="Failback stopped")).to_be_visible()
        expect(page.get_by_role("button", name="Stop …")).to_have_count(0)
    finally:
        house.restore()
    go(page, "Switch")
    page.get_by_role("link", name="Bring back").click()
    page.get_by_role("region", name="What would be done now").wait_for()
    _bring_back(page)
    expect(page.get_by_role("heading", name="Failback finished")).to_be_visible(timeout=SLOW_MS)
    expect(page.get_by_role("region", name="Reconciliation report")).to_contain_text("Lost 0")


def _bring_back(page: Page) -> None:
    """Once nothing is in the way any more, which the open page sees by itself."""
    expect(page.get_by_text("In the way:")).to_have_count(0, timeout=SLOW_MS)
    page.get_by_label("Mailboxes in a wave").fill("1")
    ask(page, "Begin the failback", "it is back")


def test_isolated_by_keyboard_and_given_a_clean_bill(open_console: Open) -> None:
    page = open_console()
    card(page).wait_for()
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    press("Enter")
    _tab_to(page, card(page).get_by_role("link", name="main"))
    press("Enter")
    expect(heading(page, "Primary main")).to_be_focused()
    _tab_to(page, page.get_by_role("link", name="Isolate as compromised"))
    press("Enter")
    expect(heading(page, "Isolate as compromised")).to_be_focused()
    expect(page.get_by_role("region", name="Effect")).to_contain_text("Mailboxes in this scope 3")
    _tab_to(page, page.get_by_label("Reason"))
    page.keyboard.type("a stranger logs in there")
    press("Enter")
    expect(page.get_by_text("Sure? Isolate main as compromised – a stranger logs in there")).to_be_focused()
    press("Tab")
    expect(page.get_by_role("button", name="Yes: Isolate as compromised")).to_be_focused()
    press("Enter")
    expect(page.get_by_text("main is isolated. Every worker has confirmed it.")).to_be_visible()
    expect(card(page)).to_contain_text("It is cut off")
    expect(card(page)).to_contain_text("a stranger logs in there")
    check(page, "desktop", "console-isolated")
    page.goto(f"{page.url.split('/console/')[0]}/console/switch/isolate")
    expect(page.get_by_text("This primary is compromised")).to_be_visible()
    page.get_by_label("Reason").fill("twice")
    expect(page.get_by_role("button", name="Isolate as compromised …")).to_be_disabled()
    go(page, "Audit")
    entry = page.locator(".entries li", has_text="a stranger logs in there").filter(has_text="Trust state changed")
    expect(entry).to_contain_text("after: compromised")
    expect(entry).to_contain_text("admin:alice")
    go(page, "Switch")
    page.get_by_role("link", name="Give a clean bill").click()
    expect(page.get_by_role("button", name="Give a clean bill …")).to_be_disabled()
    for box in page.locator("form.ask input[type=checkbox]").all():
        box.check()
    page.get_by_label("Where the report stands").fill("report 7, signed by the auditors")
    ask(page, "Give a clean bill")
    expect(page.get_by_text("main has its clean bill.")).to_be_visible()
    expect(card(page)).to_contain_text("It does not answer.")
    go(page, "Switch")
    page.get_by_role("link", name="Bring back").click()
    page.get_by_role("region", name="What would be done now").wait_for()
    _bring_back(page)
    go(page, "Overview")
    expect(card(page)).to_contain_text("trusted", timeout=SLOW_MS)


def _tab_to(page: Page, wanted: Locator) -> None:
    for _ in range(60):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key does not lead to {wanted}")


def test_the_rail_on_a_phone(open_console: Open) -> None:
    page = open_console(size="phone")
    card(page).wait_for()
    rail = page.get_by_role("navigation", name="Pages")
    expect(rail).to_be_hidden()
    menu = page.get_by_role("button", name="Pages")
    menu.click()
    expect(rail).to_be_visible()
    check(page, "phone", "console-rail")
    page.keyboard.press("Escape")
    expect(rail).to_be_hidden()
    menu.click()
    go(page, "Queue")
    expect(heading(page, "Queue")).to_be_visible()
    expect(rail).to_be_hidden()


@pytest.mark.parametrize(("size", "dark"), [("desktop", False), ("desktop", True), ("phone", False), ("phone", True)])
def test_every_page(open_console: Open, house: Site, size: str, dark: bool) -> None:
    page = open_console(who=ROOT, size=size, dark=dark)
    card(page).wait_for()
    seen = page.evaluate("async () => (await (await fetch('/api/v1/overview')).json()).organisations[0]")
    ids = _ids(page)
    name = "dark-" if dark else ""
    for path, title in {
        "": "Overview", f"primary/{seen['primaries'][0]['id']}": "Primary main", "switch": "Switch",
        "switch/activate": "Switch to the standby", "switch/isolate": "Isolate as compromised",
        "switch/clean-bill": "Give a clean bill", "switch/drill": "Drill", "switch/access": "Open or close mailboxes",
        f"run/{ids['failback']}": "Failback of", "queue": "Queue", "trace": "Message trace",
        f"trace/{ids['message']}": "Message trace", "people?search=an": "People", "audit": "Audit",
    }.items():  # fmt: skip
        page.goto(house.url + path + ("&" if "?" in path else "?") + ("organisation=acme" if path else ""))
        expect(heading(page, re.compile(f"^{title}"))).to_be_visible()
        page.wait_for_load_state("load")
        page.wait_for_timeout(400)
        check(page, size, f"console-{name}{path.split('?')[0].split('/')[0] or 'overview'}{_last(path)}")


def _ids(page: Page) -> dict[str, Any]:
    """Of what the tests before this one left, or of what is made now."""
    found: dict[str, Any] = page.evaluate(
        """async () => {
            const get = async (path) => (await fetch(`/api/v1${path}organisation=acme`)).json();
            const failbacks = (await get('/failbacks?')).failbacks;
            const messages = (await get('/messages?sender=s%40elsewhere.example.com&')).messages;
            return {failback: failbacks[0]?.id, message: messages[0]?.id};
        }"""
    )
    if found["failback"] is None or found["message"] is None:
        pytest.skip("needs what the tests before it left")
    return found


def _last(path: str) -> str:
    page, _, verb = path.partition("/")
    return f"-{verb}" if page == "switch" and verb else "-one" if verb else ""


@pytest.mark.parametrize(("locale", "words"), [("de-DE", "Überblick"), ("fr-FR", "Vue d’ensemble")])
def test_other_languages(open_console: Open, house: Site, locale: str, words: str) -> None:
    page = open_console(size="phone", locale=locale)
    expect(heading(page, words)).to_be_visible()
    for path in ("", "switch/isolate", "queue", "audit"):
        page.goto(house.url + path)
        page.locator("h1").wait_for()
        page.wait_for_timeout(300)
        check(page, "phone", f"console-{locale[:2]}-{path.replace('/', '-') or 'overview'}")


def test_a_server_that_does_not_answer(open_console: Open) -> None:
    page = open_console()
    card(page).wait_for()
    page.route("**/api/v1/**", lambda route: route.abort())
    expect(page.get_by_role("alert").filter(has_text="The server cannot be reached").first).to_be_visible()
    expect(card(page)).to_be_visible()
    page.unroute("**/api/v1/**")
    expect(page.get_by_text("The server cannot be reached")).to_have_count(0, timeout=SLOW_MS)
