"""Logging in and out of a browser."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everpost.serve.web.bodies import BadBody, read_json_octets
from everpost.serve.web.problems import Problem
from everpost.serve.web.services import WebServices
from everpost.serve.web.visitors import Doorkeeper, check_same_site, client_of, cookie_name

_MAX_BODY = 8192
_MAX_AGE = 30 * 86_400


class _Credentials(msgspec.Struct, forbid_unknown_fields=True):
    address: str
    password: str


class LoginPages:
    """What the login form of the webmail calls."""

    def __init__(self, services: WebServices, door: Doorkeeper) -> None:
        self._services = services
        self._door = door

    async def log_in(self, request: Request) -> Response:
        """204 and a cookie; 401 where address and password do not fit, 429 after too many tries."""
        check_same_site(request)
        credentials = await _read(request)
        login = await self._door.check_password(client_of(request), credentials.address, credentials.password)
        if login is None:
            raise Problem(401, "Address and password do not fit")
        client = f"{client_of(request)} {request.headers.get('user-agent', '')}"
        text = await self._services.sessions.create(login.organisation_id, login.mailbox_id, client)
        response = Response(status_code=204, headers={"Cache-Control": "no-store"})
        response.set_cookie(
            cookie_name(request), text, _MAX_AGE, path="/", secure=request.url.scheme == "https", httponly=True,
            samesite="strict",
        )  # fmt: skip
        return response

    async def log_out(self, request: Request) -> Response:
        """204, whether somebody was logged in or not."""
        check_same_site(request)
        if text := request.cookies.get(cookie_name(request)):
            await self._services.sessions.end(text)
        response = Response(status_code=204, headers={"Cache-Control": "no-store"})
        response.delete_cookie(
            cookie_name(request), path="/", secure=request.url.scheme == "https", httponly=True, samesite="strict"
        )
        return response


async def _read(request: Request) -> _Credentials:
    try:
        return msgspec.json.decode(await read_json_octets(request, _MAX_BODY), type=_Credentials)
    except BadBody as error:
        raise Problem(error.status, error.title) from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Problem(400, "Send an object with `address` and `password`") from None
