"""Logging in and out."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from everpost.identity.administrators import INSTALLATION, LIFETIME, Administrator
from everpost.serve.web.api.door import Door, admin_cookie, check_page
from everpost.serve.web.api.registry import Access, Call, Organisation, Section
from everpost.serve.web.api.values import Input, Nothing, Output
from everpost.serve.web.visitors import client_of

section = Section(
    "Administrators",
    "Who may call: administrators, made with `everpost admin create`. Programs send `Authorization: Bearer TOKEN` "
    "(`everpost admin token`). Pages log in, hold a cookie, and send the header `X-Everpost: 1` with everything that "
    "changes something.",
)


class Credentials(Input, frozen=True):
    """What an administrator types."""

    name: Annotated[str, msgspec.Meta(max_length=100)]
    password: Annotated[str, msgspec.Meta(max_length=1024)]


class OrganisationName(Output, frozen=True):
    """An organisation, by its short name and as people know it."""

    name: str
    display_name: str


class Me(Output, frozen=True):
    """Who is logged in. `installation`: not bound to one organisation."""

    name: str
    installation: bool
    organisations: list[OrganisationName]


@section.post("/login", access=Access.PUBLIC, answer=Me)
async def log_in(call: Call[Nothing, Credentials]) -> Response:
    """Log a browser in.

    The cookie lives 12 hours, and ends after 2 without use. 429 after too many wrong passwords.
    """
    check_page(call.request)
    door = Door(call.services)
    administrator = await door.log_in(call.request, call.body.name, call.body.password)
    client = f"{client_of(call.request)} {call.request.headers.get('user-agent', '')}"
    text = await call.services.administrators.start_session(administrator, client)
    shown = _me(administrator, await door.organisations(administrator))
    response = Response(msgspec.json.encode(shown), 200, {"Cache-Control": "no-store"}, "application/json")
    response.set_cookie(
        admin_cookie(call.request), text, int(LIFETIME.total_seconds()), path="/",
        secure=call.request.url.scheme == "https", httponly=True, samesite="strict",
    )  # fmt: skip
    return response


@section.post("/logout", access=Access.PUBLIC, status=204)
async def log_out(call: Call[Nothing, Nothing]) -> Response:
    """Log a browser out, whether somebody was logged in or not."""
    check_page(call.request)
    if text := call.request.cookies.get(admin_cookie(call.request)):
        await call.services.administrators.end_session(text)
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    response.delete_cookie(
        admin_cookie(call.request), path="/", secure=call.request.url.scheme == "https", httponly=True,
        samesite="strict",
    )  # fmt: skip
    return response


@section.get("/me", access=Access.ADMINISTRATOR)
async def me(call: Call[Nothing, Nothing]) -> Me:
    """Who is logged in, and the organisations they may see."""
    return _me(call.administrator, await Door(call.services).organisations(call.administrator))


def _me(administrator: Administrator, organisations: list[Organisation]) -> Me:
    return Me(
        name=administrator.name,
        installation=administrator.organisation_id == INSTALLATION,
        organisations=[OrganisationName(name=each.name, display_name=each.display_name) for each in organisations],
    )
