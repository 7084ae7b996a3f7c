"""Refusals on the level of HTTP, as problem details (RFC 7807)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everpost.wire.jmap.core import RequestError


class Problem(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        kind: str = "about:blank",
        extra: Mapping[str, Any] = {},
        headers: Mapping[str, str] = {},
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.kind = kind
        self.extra = extra
        self.headers = headers

    def response(self) -> Response:
        document = {"type": self.kind, "status": self.status, "title": self.title} | dict(self.extra)
        if self.detail:
            document["detail"] = self.detail
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(msgspec.json.encode(document), self.status, headers, "application/problem+json")


def unauthorized() -> Problem:
    """One answer for every way of not being logged in."""
    return Problem(
        401, "Log in first", headers={"WWW-Authenticate": 'Basic realm="Everpost", charset="UTF-8", Bearer'}
    )  # fmt: skip


def not_found() -> Problem:
    """Also for what exists but is another's."""
    return Problem(404, "There is no such thing")


def limit(name: str, detail: str) -> Problem:
    """RFC 8620 §3.6.1, §6.1."""
    return Problem(
        400, "A limit was reached", detail, kind="urn:ietf:params:jmap:error:limit", extra={"limit": name}
    )  # fmt: skip


async def on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def on_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    extra = {"limit": error.limit} if error.limit else {}
    return Problem(error.status, "The request was refused", error.detail, kind=error.kind, extra=extra).response()


async def on_unavailable(_: Request, __: Exception) -> Response:
    return Problem(503, "Try again in a moment", headers={"Retry-After": "5"}).response()


async def on_failure(_: Request, __: Exception) -> Response:
    return Problem(500, "Something is wrong here", "It was written down.").response()
