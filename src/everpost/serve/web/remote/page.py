"""GET /proxy/{expires}/{mac}/{url}: one picture of another server."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from everpost.serve.web.problems import Problem, not_found
from everpost.serve.web.remote.fetch import NotFetched
from everpost.serve.web.services import WebServices
from everpost.serve.web.visitors import Doorkeeper

MAX_CONCURRENT = 8
"""Pictures fetched for one mailbox at a time; a browser asks for six at most."""
_KEPT_S = 86_400
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": f"private, max-age={_KEPT_S}",
}
_STATUS = {"slow": 504, "unreachable": 502, "refused": 502, "redirects": 502, "large": 502}


class RemotePictures:
    """The proxy."""

    def __init__(self, services: WebServices, door: Doorkeeper) -> None:
        self._remote = services.remote
        self._door = door

    async def show(self, request: Request) -> Response:
        """The picture; 404 for an address that is not ours or what is no picture, 502 or 504 where it cannot be had."""
        visitor = await self._door.admit(request)
        if self._remote is None:
            raise not_found()
        path = request.path_params
        url = self._remote.signer.url(visitor.account, path["expires"], path["mac"], path["url"], time.time())
        if url is None:
            raise not_found()
        with self._door.busy("maxConcurrentPictures", visitor, MAX_CONCURRENT):
            try:
                picture, data = await self._remote.fetcher.fetch(url)
            except NotFetched as error:
                raise Problem(_STATUS.get(error.reason, 404), "The picture is not shown", error.reason) from None
        return Response(data, 200, _HEADERS, picture.type)
