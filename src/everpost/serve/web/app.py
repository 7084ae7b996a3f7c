"""The web application: JMAP's endpoints and the health of the process."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import ASGIApp

from everpost.serve.web import content
from everpost.serve.web.clicks import ClickPage
from everpost.serve.web.jmap.api import perform, session_object
from everpost.serve.web.jmap.events import EventPage
from everpost.serve.web.jmap.sockets import Sockets
from everpost.serve.web.link_pages import LinkPages
from everpost.serve.web.login import LoginPages
from everpost.serve.web.names import account_id, upload_blob
from everpost.serve.web.problems import (
    Problem,
    limit,
    not_found,
    on_failure,
    on_problem,
    on_request_error,
    on_unavailable,
)
from everpost.serve.web.remote.page import RemotePictures
from everpost.serve.web.services import Visitor, WebServices
from everpost.serve.web.standing import StandingPage
from everpost.serve.web.static import Pages
from everpost.serve.web.view import Views
from everpost.serve.web.visitors import Doorkeeper
from everpost.standby.values import NoSuchThing, OverLimit
from everpost.store.blobs import BlobWriter
from everpost.store.database import UNAVAILABLE
from everpost.wire.jmap.core import (
    MAX_CONCURRENT_REQUESTS,
    MAX_CONCURRENT_UPLOAD,
    MAX_SIZE_REQUEST,
    MAX_SIZE_UPLOAD,
    RequestError,
)
from everpost.wire.jmap.request import parse_request

log = structlog.get_logger()
REQUEST_BODY_S = 60
UPLOAD_BODY_S = 600
READY_S = 5
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+\-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+\-]{0,126}\Z")
_PRIVATE = {"Cache-Control": "no-cache, no-store, must-revalidate", "X-Content-Type-Options": "nosniff"}
_DOWNLOAD = {
    # What a stranger sent must never run with the person's rights, whatever it says it is.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, immutable, max-age=31536000",
}


def create_app(services: WebServices, api: ASGIApp | None = None) -> Starlette:
    """The ASGI application of one process; `api` is that of administrators."""
    web = _Web(services)
    routes = [
        Route("/.well-known/jmap", web.discover, methods=["GET"]),
        Route("/jmap/session", web.session, methods=["GET"]),
        Route("/jmap/api", web.api, methods=["POST"]),
        Route("/jmap/upload/{account}/", web.upload, methods=["POST"]),
        Route("/jmap/download/{account}/{blob}/{name}", web.download, methods=["GET"]),
        Route("/jmap/events/", web.events.show, methods=["GET"]),
        WebSocketRoute("/jmap/ws", web.sockets.serve),
        Route("/auth/login", web.logins.log_in, methods=["POST"]),
        Route("/auth/logout", web.logins.log_out, methods=["POST"]),
        Route("/api/v1/standby", web.standing.show, methods=["GET"]),
        Route("/view/frame", web.views.frame, methods=["GET"]),
        Route("/view/{account}/{email}", web.views.show, methods=["GET"]),
        Route("/proxy/{expires}/{mac}/{url}", web.pictures.show, methods=["GET"]),
        Route("/click/{token}", web.clicks.show, methods=["GET"]),
        Route("/quarantine/{token}", web.links.show, methods=["GET"]),
        Route("/quarantine/{token}", web.links.act, methods=["POST"]),
        Route("/healthz", web.healthy, methods=["GET"]),
        Route("/readyz", web.ready, methods=["GET"]),
        *([Mount("/api/v1", api)] if api is not None else []),
        Mount("/", Pages()),
    ]
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        Problem: on_problem,
        RequestError: on_request_error,
        Exception: on_failure,
    }
    handlers |= dict.fromkeys(UNAVAILABLE, on_unavailable)
    app = Starlette(routes=routes, exception_handlers=dict(handlers))
    app.state.push = web.events.push
    return app


class _Web:
    def __init__(self, services: WebServices) -> None:
        self._services = services
        self._door = Doorkeeper(services)
        self.logins = LoginPages(services, self._door)
        self.standing = StandingPage(services, self._door)
        self.events = EventPage(services, self._door)
        self.sockets = Sockets(services, self._door, self.events.push)
        self.views = Views(services, self._door)
        self.pictures = RemotePictures(services, self._door)
        self.clicks = ClickPage(services.clicks, services.database)
        self.links = LinkPages(services)

    async def discover(self, _: Request) -> Response:
        """RFC 8620 §2.2."""
        return RedirectResponse("/jmap/session", 307)

    async def session(self, request: Request) -> Response:
        visitor = await self._door.admit(request)
        return _json(msgspec.json.encode(session_object(visitor, str(request.base_url).rstrip("/"))))

    async def api(self, request: Request) -> Response:
        visitor = await self._door.admit(request)
        with self._door.busy("maxConcurrentRequests", visitor, MAX_CONCURRENT_REQUESTS):
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise RequestError("notJSON", "the content type is application/json")
            body = bytearray()
            async for piece in _body(request, MAX_SIZE_REQUEST, REQUEST_BODY_S, "maxSizeRequest"):
                body += piece
            return _json(await perform(self._services, visitor, parse_request(bytes(body))))

    async def upload(self, request: Request) -> Response:
        """RFC 8620 §6.1."""
        visitor = await self._admit_to(request)
        if not visitor.mailbox.may_write:
            raise Problem(403, "You may only read this mailbox")
        with self._door.busy("maxConcurrentUpload", visitor, MAX_CONCURRENT_UPLOAD):
            writer = BlobWriter(self._services.spool_folder)
            try:
                async for piece in _body(request, MAX_SIZE_UPLOAD, UPLOAD_BODY_S, "maxSizeUpload"):
                    writer.write(piece)
                blob = writer.finish()
                blob_id = await self._services.standby.upload(visitor.account, blob)
            except OverLimit as error:
                raise Problem(413, "Too much was uploaded", str(error)) from error
            finally:
                writer.discard()
        kind = request.headers.get("content-type", "application/octet-stream")[:255]
        answer = {"accountId": account_id(visitor.account), "blobId": upload_blob(blob_id), "type": kind}
        return _json(msgspec.json.encode(answer | {"size": blob.size}), 201)

    async def download(self, request: Request) -> Response:
        """RFC 8620 §6.2."""
        visitor = await self._admit_to(request)
        standby = self._services.standby
        try:
            found = await content.find(standby, visitor.account, request.path_params["blob"])
        except NoSuchThing:
            raise not_found() from None
        kind = request.query_params.get("type") or found.type
        if not _MEDIA_TYPE.match(kind):
            raise Problem(400, "That is no media type")
        name = "".join(letter if letter.isprintable() else "_" for letter in request.path_params["name"])[:200]
        headers = _DOWNLOAD | {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}"}
        headers["Content-Type"] = kind  # as it was asked for, to the letter
        if found.part is None:
            headers["Content-Length"] = str(found.size)
        return StreamingResponse(content.stream(standby, visitor.account, found), 200, headers)

    async def healthy(self, _: Request) -> Response:
        """The process answers."""
        return _json(b'{"status":"ok"}')

    async def ready(self, _: Request) -> Response:
        """The database answers too."""
        try:
            async with asyncio.timeout(READY_S), self._services.database.connection() as connection:
                await connection.fetchval("SELECT 1")
        except UNAVAILABLE:
            raise Problem(503, "The database does not answer") from None
        return _json(b'{"status":"ready"}')

    async def _admit_to(self, request: Request) -> Visitor:
        """For addresses with an account in them: another's is not there."""
        visitor = (await self._door.admit(request)).at(request.path_params["account"])
        if visitor is None:
            raise not_found()
        return visitor


async def _body(request: Request, most: int, seconds: float, name: str) -> AsyncIterator[bytes]:
    """The body in pieces, of at most `most` octets, within a time. Raises `Problem`."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > most:
        raise limit(name, f"at most {most} octets")
    octets, deadline = 0, asyncio.get_running_loop().time() + seconds
    stream = request.stream().__aiter__()
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                piece = await anext(stream, None)
        except TimeoutError:
            raise Problem(408, "The request took too long") from None
        except ClientDisconnect:
            raise Problem(400, "The client went away") from None
        if piece is None:
            return
        octets += len(piece)
        if octets > most:
            raise limit(name, f"at most {most} octets")
        yield piece


def _json(encoded: bytes, status: int = 200) -> Response:
    return Response(encoded, status, dict(_PRIVATE), "application/json")
