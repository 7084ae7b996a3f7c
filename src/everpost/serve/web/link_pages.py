"""/quarantine/{token}: the pages behind a digest's links.

They need no login: the link is signed for one mailbox, one message and one deed. Opening one changes nothing, so that
programs that follow links trigger nothing: the deed is done by the button (POST). Following a link again says what was
done already.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from everpost.continuity.homes import waiting_mailboxes
from everpost.guard.model import Judgement
from everpost.guard.wishes import SenderError, Wish, sender_key
from everpost.intake.digest_mail import plainly
from everpost.intake.kept_from_me import KeptMail, NotAllowed, NotKept
from everpost.intake.links import Claim, Deed
from everpost.intake.quarantine_settings import May, may, released_of
from everpost.intake.senders import TooManyRules, put_rule, rules_of
from everpost.queue.model import HoldReason, Status
from everpost.queue.operator import QueueRefusal
from everpost.serve.web.link_texts import LinkTexts, link_texts
from everpost.serve.web.services import WebServices
from everpost.standby.summary import Summary, decode_summary
from everpost.standby.values import Account
from everpost.store.sql import load

_SQL = load("quarantine")
_LANGUAGES: Final = ("en", "de", "fr")
_STYLE: Final = (
    "body{font:17px/1.5 system-ui,sans-serif;margin:0;padding:24px;color:#1b1f24;background:#fff}"
    "main{max-width:560px;margin:0 auto}h1{font-size:22px}dt{font-size:14px;color:#57606a}"
    "dd{margin:0 0 12px;overflow-wrap:anywhere}"
    "button{font:inherit;padding:12px 20px;border:0;border-radius:8px;background:#1f5fbf;color:#fff;cursor:pointer}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14171b}dt{color:#a3adb8}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_WISHES: Final = {Deed.ALLOW: Wish.ALLOW, Deed.DENY: Wish.DENY}


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a link is about, as things stand. `done`: what there is to say where nothing is to be done any more."""

    claim: Claim
    language: str
    summary: Summary
    subject: str
    done: str | None
    address: str

    @property
    def actor(self) -> str:
        """As the audit names who did it: whoever has the mail, not somebody who logged in."""
        return f"link:{self.address}"

    @property
    def texts(self) -> LinkTexts:
        return link_texts(self.language)

    @property
    def author(self) -> str:
        return self.summary.from_[0].address if self.summary.from_ else ""


class LinkPages:
    """GET shows what a link does, with a button; POST does it."""

    def __init__(self, services: WebServices, clock: Callable[[], float] = time.time) -> None:
        self._services = services
        self._clock = clock

    async def show(self, request: Request) -> Response:
        """404 for what is no link of ours, 410 for one that is over."""
        found = await self._scene(request)
        if isinstance(found, Response):
            return found
        if found.done is not None:
            return _page(found.language, found.texts, found.done, 200, found)
        return _page(found.language, found.texts, found.texts.asks[found.claim.deed], 200, found, asks=True)

    async def act(self, request: Request) -> Response:
        """The button. Pressing it again changes nothing, and says so."""
        found = await self._scene(request)
        if isinstance(found, Response):
            return found
        texts = found.texts
        if found.done is not None:
            return _page(found.language, texts, found.done, 200, found)
        try:
            await self._do(found)
        except NotKept:  # somebody was faster
            return await self.show(request)
        except (NotAllowed, QueueRefusal, SenderError, TooManyRules):
            return _page(found.language, texts, texts.not_allowed, 409, found)
        return _page(found.language, texts, texts.done[found.claim.deed], 200, found)

    async def _do(self, scene: _Scene) -> None:
        claim, database = scene.claim, self._services.database
        mail = KeptMail(database, claim.account, actor=scene.actor, homes=waiting_mailboxes)
        if claim.deed is Deed.RELEASE:
            await mail.release(claim.message_id)
        elif claim.deed is Deed.ASK:
            await mail.ask(claim.message_id)
        else:
            new_ids = (await database.ids.new(), await database.ids.new())
            async with self._services.standby.work(claim.account, scene.actor) as (work, _):
                await put_rule(work, new_ids, scene.author, _WISHES[claim.deed], scene.address)

    async def _scene(self, request: Request) -> _Scene | Response:
        """Raises what `store.database.UNAVAILABLE` lists."""
        links, spoken = self._services.links, _spoken(request)
        claim = links.read(request.path_params["token"]) if links is not None else None
        if claim is None:
            return _page(spoken, link_texts(spoken), link_texts(spoken).unknown, 404)
        if claim.is_over(self._clock()):
            return _page(spoken, link_texts(spoken), link_texts(spoken).over, 410)
        async with self._services.database.connection() as connection:
            row = await connection.fetchrow(
                _SQL["state_for_mailbox"], claim.account.organisation_id, claim.account.mailbox_id, claim.message_id
            )
            place = await connection.fetchrow(
                _SQL["digest_address"], claim.account.organisation_id, claim.account.mailbox_id
            )
        if row is None or place is None or place["address"] is None:
            return _page(spoken, link_texts(spoken), link_texts(spoken).unknown, 404)
        summary = decode_summary(row["summary"])
        done = await self._done(claim, row, summary)
        return _Scene(claim, row["language"], summary, row["subject"], done, place["address"])

    async def _done(self, claim: Claim, row: Any, summary: Summary) -> str | None:
        texts = link_texts(row["language"])
        if claim.deed in _WISHES:
            return await self._wish_done(claim, summary, texts)
        if (row["status"], row["hold_reason"]) != (Status.HELD, HoldReason.QUARANTINED):
            return texts.kept_no_more["expired" if row["status"] == Status.EXPIRED else "released"]
        allowed = may(Judgement(row["judgement"]), released_of(row["self_release"]))
        if allowed is May.NOTHING or (claim.deed is Deed.RELEASE and allowed is not May.RELEASE):
            return texts.not_allowed
        if claim.deed is Deed.ASK and await self._is_asked(claim.account, claim.message_id):
            return texts.done[Deed.ASK]
        return None

    async def _wish_done(self, claim: Claim, summary: Summary, texts: LinkTexts) -> str | None:
        if not summary.from_:
            return texts.not_allowed
        try:
            key = sender_key(summary.from_[0].address)
        except SenderError:
            return texts.not_allowed
        async with self._services.database.connection() as connection:
            rules = await rules_of(connection, claim.account.organisation_id, claim.account.mailbox_id)
        wish = _WISHES[claim.deed]
        return texts.done[claim.deed] if any(each.sender == key and each.wish is wish for each in rules) else None

    async def _is_asked(self, account: Account, message_id: int) -> bool:
        mail = KeptMail(self._services.database, account, actor="", homes=waiting_mailboxes)
        return any(each.asked_at is not None for each in await mail.list([message_id]))


def _spoken(request: Request) -> str:
    """The first of our languages that the browser asks for; for pages about nobody."""
    for part in request.headers.get("accept-language", "")[:200].split(","):
        code = part.strip()[:2].lower()
        if code in _LANGUAGES:
            return code
    return "en"


def _page(
    language: str, texts: LinkTexts, says: str, status: int, scene: _Scene | None = None, *, asks: bool = False
) -> Response:
    about = ""
    if scene is not None:
        about = (
            f'<dl><dt>{escape(texts.sender)}</dt><dd dir="auto">{escape(plainly(scene.author))}</dd>'
            f'<dt>{escape(texts.subject)}</dt><dd dir="auto">{escape(plainly(scene.subject))}</dd></dl>'
        )
    button = ""
    if asks and scene is not None:
        button = f'<form method="post"><button type="submit">{escape(texts.buttons[scene.claim.deed])}</button></form>'
    html = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(texts.title)}</title><style>{_STYLE}</style></head><body><main>"
        f'<h1>{escape(texts.title)}</h1><p role="status">{escape(says)}</p>{about}{button}</main></body></html>'
    )
    return Response(html, status, _HEADERS, "text/html; charset=utf-8")
