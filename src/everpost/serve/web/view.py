"""What the message frame of the webmail shows: the HTML of a message, cleaned, and the empty frame it is put in."""

from __future__ import annotations

import asyncio
import html as markup
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everpost.mail.bodies import body_lists
from everpost.mail.content import decode_text
from everpost.mail.part import Part
from everpost.serve.web.html import MAX_HTML, render_html
from everpost.serve.web.names import NOTHING, account_id, message_blob, number_of
from everpost.serve.web.problems import not_found
from everpost.serve.web.services import Visitor, WebServices
from everpost.serve.web.visitors import Doorkeeper
from everpost.wire.jmap.body import part_blob_id

MAX_PARTS: Final = 20
"""Body parts shown of one message; the rest is in the list of its attachments."""
_FRAME_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self' data:",
        "style-src 'unsafe-inline'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'self'",
        "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox allow-modals",  # printing is modal
    )
)
_FRAME: Final = b"""<!doctype html>
<html><head><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Message</title><style>
:root { color-scheme: light; }
html { overflow-x: auto; overflow-y: hidden; }
body { margin: 0; padding: 16px; background: #fff; color: #1b1c1e; font: 15px/1.5 system-ui, sans-serif;
  overflow-wrap: break-word; width: fit-content; min-width: 100%; box-sizing: border-box; position: relative;
  contain: layout paint; }
img { max-width: 100%; height: auto; }
pre { white-space: pre-wrap; }
blockquote { margin: 0 0 0 4px; padding-left: 12px; border-left: 2px solid #c9ccd1; }
a { color: #1f4fc4; }
</style></head><body></body></html>
"""


class Views:
    """GET /view/frame and GET /view/{account}/{email}."""

    def __init__(self, services: WebServices, door: Doorkeeper) -> None:
        self._services = services
        self._door = door

    async def frame(self, _: Request) -> Response:
        """The empty page in which a message is shown. Its policy lets nothing run and nothing be fetched."""
        headers = {
            "Content-Security-Policy": _FRAME_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "private, max-age=3600",
        }
        return Response(_FRAME, 200, headers, "text/html; charset=utf-8")

    async def show(self, request: Request) -> Response:
        """{"html", "blockedRemote", "trackers", "canShowRemote"} of one message.

        With `?remote=show` its pictures of other servers come through our proxy, where that is on.
        """
        visitor = (await self._door.admit(request)).at(request.path_params["account"])
        if visitor is None:
            raise not_found()
        number = number_of(request.path_params["email"])
        if number == NOTHING:
            raise not_found()
        entries = await self._services.standby.entries(visitor.account, (number,), structure=True)
        entry = entries.get(number)
        if entry is None or entry.structure is None:
            raise not_found()
        parts = [part for part in body_lists(entry.structure).html if not part.is_multipart][:MAX_PARTS]
        end = max((part.body_end for part in parts if part.type.startswith("text/")), default=0)
        data = await self._services.standby.blobs.read(visitor.account.organisation_id, entry.blob_id, limit=end)
        remote = self._remote(visitor) if request.query_params.get("remote") == "show" else None
        page = _Page(visitor, message_blob(entry.id), entry.structure, remote)
        answer = await asyncio.to_thread(page.render, data, parts) | {
            "canShowRemote": self._services.remote is not None
        }
        return Response(msgspec.json.encode(answer), 200, {"Cache-Control": "private, no-store"}, "application/json")

    def _remote(self, visitor: Visitor) -> Callable[[str], str | None] | None:
        remote = self._services.remote
        return None if remote is None else partial(remote.signer.address, visitor.account, now=time.time())


class _Page:
    """Renders the body parts of one message."""

    def __init__(
        self, visitor: Visitor, message_blob_id: str, root: Part, remote: Callable[[str], str | None] | None
    ) -> None:
        self._account = account_id(visitor.account)
        self._blob = message_blob_id
        self._root = root
        self._remote = remote

    def render(self, data: bytes, parts: list[Part]) -> dict[str, object]:
        addresses = dict(self._addresses())
        cid = {part.cid: addresses[id(part)] for part in self._root.walk() if part.cid and id(part) in addresses}
        pieces, blocked, trackers, room = [], 0, 0, MAX_HTML
        for part in parts:
            if part.type == "text/html":
                text, _ = decode_text(data, part, limit=4 * MAX_HTML)
                rendered = render_html(text[: max(room, 0)], cid=cid, remote=self._remote)
                pieces.append(f"<div>{rendered.html}</div>")
                blocked += rendered.blocked_remote
                trackers += rendered.trackers
                room -= len(text)
            elif part.type.startswith("text/"):
                text, _ = decode_text(data, part, limit=MAX_HTML)
                pieces.append(f"<pre>{markup.escape(text[: max(room, 0)])}</pre>")
                room -= len(text)
            elif part.type.startswith("image/") and id(part) in addresses:
                pieces.append(f'<p><img src="{markup.escape(addresses[id(part)])}" alt=""></p>')
        return {"html": "\n".join(pieces), "blockedRemote": blocked, "trackers": trackers}

    def _addresses(self) -> Iterator[tuple[int, str]]:
        """Where the pictures of the message itself are; only of the types a browser shows as pictures without more."""
        for number, part in enumerate(self._root.walk()):
            if part.type in ("image/png", "image/gif", "image/jpeg", "image/webp"):
                blob = part_blob_id(self._blob, number)
                yield id(part), f"/jmap/download/{self._account}/{blob}/image?type={quote(part.type, safe='')}"
