"""GET /click/{token}: a link of a delivery copy is judged once more, and leads on or to a page that says why not."""

from __future__ import annotations

import base64
import hashlib
import html
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from string import Template
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from everpost.guard.links.clicked import Clicked, ClickOutcome, judge_click, read_click
from everpost.guard.links.clicks import ClickKey
from everpost.guard.links.findings import LinkContext
from everpost.guard.links.normalise import parse, unicode_host
from everpost.guard.verdict import Policy
from everpost.queue.clicks import record_click
from everpost.serve.web.click_words import Words, words_for
from everpost.store.database import UNAVAILABLE, Database

log = structlog.get_logger()
_STYLE: Final = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #1b1c1e; --soft: #565b63; --line: #d7dae0;
  --bad: #b3261e; --odd: #8a5300; --link: #1f4fc4; }
@media (prefers-color-scheme: dark) { :root { --ground: #131417; --card: #1d1f24; --ink: #eceef1; --soft: #a8aeb8;
  --line: #383c44; --bad: #ff8a80; --odd: #ffc36b; --link: #9db8ff; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 16px; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 40rem; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 24px; border-top: 6px solid var(--soft); }
main.blocked { border-top-color: var(--bad); } main.warned { border-top-color: var(--odd); }
h1 { font-size: 1.4rem; line-height: 1.25; margin: 0 0 12px; }
p, ul { margin: 0 0 12px; } li { overflow-wrap: anywhere; }
.address { font: 14px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; padding: 10px 12px; margin: 0 0 12px;
  border: 1px solid var(--line); border-radius: 8px; max-height: 9rem; overflow: auto; }
.soft { color: var(--soft); } strong { overflow-wrap: anywhere; }
a { color: var(--link); padding: 8px 0; display: inline-block; }
a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}
_PAGE: Final = Template(
    '<!doctype html><html lang="$lang"><head><meta charset="utf-8"><title>$title</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
    f"<style>{_STYLE}</style></head>"
    '<body><main class="$kind"><h1>$title</h1>$body</main></body></html>'
)
_STATUS: Final = {ClickOutcome.NOT_OURS: 404, ClickOutcome.EXPIRED: 410, ClickOutcome.BLOCKED: 403}


@dataclass(frozen=True, slots=True)
class ClickServices:
    """What the page needs: the keys still accepted, the thresholds, and what links of an organisation's mail are
    compared with now. `on_click` hears of every outcome, for the figures.
    """

    keys: Mapping[int, ClickKey]
    policy: Policy
    context: Callable[[int], Awaitable[LinkContext]]
    on_click: Callable[[ClickOutcome], None] = lambda _outcome: None


class ClickPage:
    """No login is asked for: what nobody of us has signed leads nowhere."""

    def __init__(self, services: ClickServices | None, database: Database) -> None:
        self._services = services
        self._database = database

    async def show(self, request: Request) -> Response:
        """302 to where the link leads, or a page. The database need not answer for it."""
        clicked = await self._judge(request.path_params["token"])
        if self._services is not None:
            self._services.on_click(clicked.outcome)
        if clicked.outcome is ClickOutcome.OPENED:
            assert clicked.click is not None
            headers = {name: value for name, value in HEADERS.items() if name != "Content-Security-Policy"}
            return RedirectResponse(clicked.click.url, 302, headers)
        words = words_for(request.headers.get("accept-language", ""))
        return Response(
            page_of(clicked, words), _STATUS.get(clicked.outcome, 200), HEADERS, "text/html; charset=utf-8"
        )  # fmt: skip

    async def _judge(self, token: str) -> Clicked:
        if self._services is None:
            return Clicked(ClickOutcome.NOT_OURS)
        click = read_click(token, self._services.keys, time.time())
        if isinstance(click, Clicked):
            return click
        try:
            context = await self._services.context(click.organisation)
        except (*UNAVAILABLE, LookupError) as error:
            log.warning("click.judged_without_names", error=str(error) or type(error).__name__)
            context = LinkContext()
        clicked = judge_click(click, context, self._services.policy)
        await self._record(clicked)
        return clicked

    async def _record(self, clicked: Clicked) -> None:
        click = clicked.click
        assert click is not None
        try:
            async with self._database.connection() as connection:
                await record_click(
                    connection, click.organisation, click.message, click.url, datetime.now(UTC),
                    blocked=clicked.outcome is ClickOutcome.BLOCKED,
                )  # fmt: skip
        except UNAVAILABLE as error:
            log.warning("click.not_recorded", error=str(error) or type(error).__name__, blocked=clicked.outcome)


def page_of(clicked: Clicked, words: Words) -> str:
    title, explained = words.outcomes[clicked.outcome]
    parts = [f"<p>{html.escape(explained)}</p>"]
    if clicked.reasons:
        parts.append(f"<ul>{''.join(f'<li>{html.escape(reason)}</li>' for reason in clicked.reasons[:5])}</ul>")
    if clicked.click is not None:
        address = parse(clicked.click.url)
        host = unicode_host(address.host) if address is not None else ""
        parts.append(f"<p>{html.escape(words.leads_to)} <strong>{html.escape(host)}</strong></p>")
        parts.append(f'<div class="address" tabindex="0">{html.escape(clicked.click.url)}</div>')
        if clicked.outcome is ClickOutcome.WARNED:
            target = html.escape(clicked.click.url, quote=True)
            parts.append(f'<p><a href="{target}" rel="noreferrer noopener nofollow">{html.escape(words.go_on)}</a></p>')
    parts.append(f'<p class="soft">{html.escape(words.help)}</p>')
    return _PAGE.substitute(
        lang=words.language, title=html.escape(title), kind=clicked.outcome.replace(" ", "-"), body="".join(parts)
    )
