"""Which administrator is asking: a session in a browser, or a program's token."""

from __future__ import annotations

from starlette.requests import Request

from everpost.identity.administrators import INSTALLATION, Administrator
from everpost.serve.web.api.registry import Organisation
from everpost.serve.web.api.services import ApiServices
from everpost.serve.web.api.values import nothing_there, refusal
from everpost.serve.web.problems import Problem
from everpost.serve.web.visitors import check_same_site, client_of
from everpost.store.sql import load

_SQL = load("api")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_MAX_AUTHORIZATION = 4096


def admin_cookie(request: Request) -> str:
    """Another than that of people's mailboxes: a browser may hold both."""
    return "__Host-everpost-admin" if request.url.scheme == "https" else "everpost-admin"


def check_page(request: Request) -> None:
    """Refuse what a foreign page asks for with the cookie of ours."""
    try:
        check_same_site(request)
    except Problem as problem:
        raise refusal(403, "foreign-page", problem.title, problem.detail) from None


class Door:
    """Lets administrators in. Raises `Problem`."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services

    async def admit(self, request: Request) -> Administrator:
        """Who is asking; 401 for all ways of not being logged in."""
        found = await self._find(request)
        if found is None:
            raise refusal(401, "not-logged-in", "Log in first")
        return found

    async def organisations(self, administrator: Administrator, name: str | None = None) -> list[Organisation]:
        """Those that an administrator may see, by name; with `name` that one, if it is theirs."""
        only = None if administrator.organisation_id == INSTALLATION else administrator.organisation_id
        if name is not None and "\0" in name:
            return []
        async with self._services.database.connection() as connection:
            rows = await connection.fetch(_SQL["organisations"], only, name)
        return [Organisation(**dict(row)) for row in rows]

    async def organisation(self, administrator: Administrator, name: str | None) -> Organisation:
        """The one a call is about: the one named, or the only one there is for this administrator."""
        found = await self.organisations(administrator, name)
        if len(found) == 1:
            return found[0]
        if name is not None or not found:
            raise nothing_there("organisation")
        raise refusal(
            400, "organisation-needed", "Which organisation?", "Name it in the parameter `organisation`.",
            field="organisation",
        )  # fmt: skip

    async def log_in(self, request: Request, name: str, password: str) -> Administrator:
        """401 where name and password do not fit, 429 for a client that guessed too often."""
        ip, throttle = client_of(request), self._services.throttle
        if wait := throttle.wait_s(ip, name):
            problem = refusal(429, "too-many-tries", "Too many tries", "Wait a few minutes.")
            problem.headers = {"Retry-After": f"{wait:.0f}"}
            raise problem
        found = await self._services.administrators.check_password(name, password)
        if found is None:
            throttle.failed(ip, name)
            raise refusal(401, "wrong-credentials", "Name and password do not fit")
        throttle.succeeded(ip, name)
        return found

    async def _find(self, request: Request) -> Administrator | None:
        header = request.headers.get("authorization", "")
        if header:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or len(header) > _MAX_AUTHORIZATION:
                return None
            return await self._services.administrators.check_token(token.strip())
        text = request.cookies.get(admin_cookie(request))
        if not text:
            return None
        if request.method not in _SAFE:
            check_page(request)
        return await self._services.administrators.check_session(text)
