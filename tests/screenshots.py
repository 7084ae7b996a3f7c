"""The pictures of the README: webmail and console during an outage. `make screenshots`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

from everpost.app.demo.mailgen import generate
from everpost.app.demo.messages import GeneratedMessage
from everpost.app.demo.people import make_people
from everpost.app.demo.sender import World
from everpost.app.demo.story import ADMINISTRATOR, DOMAIN, PASSWORD, Stage, make_messages, set_stage

PICTURES = Path(__file__).parents[1] / "docs/pictures"
CHROMIUM = "/usr/bin/chromium"
MESSAGES = 600
SIZE = {"width": 1280, "height": 800}


class _Silent:
    def chapter(self, title: str) -> None: ...

    def say(self, text: str) -> None: ...

    def progress(self, done: int, total: int) -> None: ...


async def main() -> None:
    """An outage as the demo makes it; the pictures are taken while the server is away."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    people = make_people(DOMAIN)
    span = timedelta(days=21)
    to_first = generate(people[:1], MESSAGES // 3, 5, datetime.now(UTC) - span, span)
    messages = [message for message in to_first if _is_latin(message)]
    messages += [each for each in make_messages(people, MESSAGES, None) if people[0].address not in each.recipients]
    with tempfile.TemporaryDirectory(prefix="everpost-screenshots-") as name:
        Path(name).chmod(0o711)
        async with set_stage(Path(name), _Silent()) as stage:
            await _outage(stage, messages)
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
                )
                await _webmail(stage, await _page(browser))
                await _console(stage, await _page(browser))
                await browser.close()


def _is_latin(message: GeneratedMessage) -> bool:
    """The fonts of a bare Debian draw no others."""
    read = message_from_bytes(message.raw, policy=policy.default)
    body = read.get_body(("plain", "html"))
    shown = f"{read['subject']}{read['from']}{body.get_content() if body else ''}"
    return "xxxx" not in shown and all(ord(character) < 0x250 for character in shown)


async def _outage(stage: Stage, messages: list[GeneratedMessage]) -> None:
    world = World(stage.installation.mx_port)
    await world.send(messages[: MESSAGES // 2])
    await stage.primary.kill()
    box = stage.mailbox(stage.people[0])
    async with asyncio.timeout(60):
        while not await box.open():
            await asyncio.sleep(0.1)
    await box.close()
    await world.send(messages[MESSAGES // 2 :])


async def _page(browser: Browser) -> Page:
    context = await browser.new_context(viewport=SIZE, device_scale_factor=1.5, locale="en-GB", color_scheme="light")
    page = await context.new_page()
    page.set_default_timeout(20_000)
    return page


async def _webmail(stage: Stage, page: Page) -> None:
    await page.goto(stage.installation.url)
    await page.locator("input[type=email]").fill(stage.people[0].address)
    await page.locator("input[type=password]").fill(PASSWORD)
    await page.locator("button[type=submit]").click()
    await page.locator(".row", has_text="Contract").first.click()
    await page.wait_for_timeout(1500)
    await page.screenshot(path=PICTURES / "webmail.png")


async def _console(stage: Stage, page: Page) -> None:
    await page.goto(f"{stage.installation.url}/console/")
    await page.locator("input[autocomplete=username]").fill(ADMINISTRATOR)
    await page.locator("input[type=password]").fill(PASSWORD)
    await page.locator("button[type=submit]").click()
    await page.locator("main h1").wait_for()
    await page.wait_for_timeout(6000)  # the flow's chart has a few points
    await page.screenshot(path=PICTURES / "console.png")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
