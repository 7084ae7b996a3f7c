"""Who is asking: password or token, then the access switch of their mailbox."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from everpost.serve.web.problems import Problem, limit, unauthorized
from everpost.serve.web.services import Login, OpenMailbox, Visitor, WebServices

_MAX_AUTHORIZATION = 4096
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
OUR_HEADER = "x-everpost"
"""What a page of ours sends along: a foreign page cannot, without being asked for permission first."""


class Doorkeeper:
    """Lets people in. One per process."""

    def __init__(self, services: WebServices) -> None:
        self._services = services
        self._busy: Counter[tuple[str, int, int]] = Counter()

    async def admit(self, request: HTTPConnection) -> Visitor:
        """Raises `Problem`: 401, or 403 where the standby is closed for this mailbox."""
        login = await self._log_in(request)
        if login is None:
            raise unauthorized()
        try:
            place = await self._services.directory.place(login.organisation_id, login.mailbox_id)
        except LookupError:
            raise unauthorized() from None
        table = self._services.routes.table
        if not table.access_open(place):
            raise Problem(403, "The standby mailbox is closed", "Use your usual mail server: it is up and in charge.")
        own = OpenMailbox(place, login.address, login.name, table.standby_is_master(place))
        return Visitor(login, own, client_of(request), await self._shared(login))

    async def _shared(self, login: Login) -> tuple[OpenMailbox, ...]:
        """The mailboxes of others that are open to a person; a closed one is closed to delegates too."""
        shares = await self._services.directory.shared_with(login.organisation_id, login.mailbox_id)
        table = self._services.routes.table
        return tuple(
            OpenMailbox(share.place, share.address, share.name, table.standby_is_master(share.place), share.rights)
            for share in shares
            if table.access_open(share.place)
        )

    @contextlib.contextmanager
    def busy(self, what: str, visitor: Visitor, most: int) -> Iterator[None]:
        """Hold one of a mailbox's `most` places; raises `Problem` where all are taken (RFC 8620 §3.6.1)."""
        key = (what, visitor.account.organisation_id, visitor.account.mailbox_id)
        if self._busy[key] >= most:
            raise limit(what, f"at most {most} at the same time")
        self._busy[key] += 1
        try:
            yield
        finally:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]

    async def check_password(self, ip: str, address: str, password: str) -> Login | None:
        """Raises `Problem` (429) for a client that guessed too often."""
        throttle = self._services.throttle
        if wait := throttle.wait_s(ip, address):
            raise Problem(429, "Too many tries", "Wait a few minutes.", headers={"Retry-After": f"{wait:.0f}"})
        login = await self._services.login.check_password(address, password)
        if login is None:
            throttle.failed(ip, address)
        else:
            throttle.succeeded(ip, address)
        return login

    async def _log_in(self, request: HTTPConnection) -> Login | None:
        header = request.headers.get("authorization", "")
        if not header:
            return await self._check_session(request)
        scheme, _, rest = header.partition(" ")
        rest = rest.strip()
        if not rest or len(header) > _MAX_AUTHORIZATION:
            return None
        if scheme.lower() == "bearer":
            return await self._services.login.check_token(rest)
        return await self._check_basic(client_of(request), rest) if scheme.lower() == "basic" else None

    async def _check_session(self, request: HTTPConnection) -> Login | None:
        text = request.cookies.get(cookie_name(request))
        if not text:
            return None
        if request.scope["type"] == "websocket":
            check_origin(request)
        elif request.scope["method"] not in _SAFE:
            check_same_site(request)
        return await self._services.sessions.check(text)

    async def _check_basic(self, ip: str, credentials: str) -> Login | None:
        try:
            text = base64.b64decode(credentials, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            return None
        address, colon, password = text.partition(":")
        if not colon or "\0" in text:
            return None
        return await self.check_password(ip, address, password)


def client_of(request: HTTPConnection) -> str:
    """The address of who is asking."""
    return request.client.host if request.client else "0.0.0.0"  # noqa: S104 (says "unknown", binds nothing)


def cookie_name(request: HTTPConnection) -> str:
    """Over HTTPS one that only this host over HTTPS can have set (RFC 6265bis §4.1.3.2)."""
    return "__Host-everpost" if request.url.scheme in ("https", "wss") else "everpost"


def check_same_site(request: HTTPConnection) -> None:
    """Raises `Problem` for a request that a page of ours did not send."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    if request.headers.get(OUR_HEADER) is None or site not in ("same-origin", "none"):
        raise Problem(403, "This was not asked for by a page of ours", "Send the header X-Everpost: 1.")


def check_origin(request: HTTPConnection) -> None:
    """Raises `Problem` for a WebSocket that a page of somebody else opens (RFC 6455 §10.2)."""
    origin = urlsplit(request.headers.get("origin", ""))
    if not origin.netloc or origin.netloc.lower() != request.headers.get("host", "").lower():
        raise Problem(403, "This was not asked for by a page of ours")
