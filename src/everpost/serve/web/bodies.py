"""Small request bodies, read as a whole."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

BODY_S = 30


class BadBody(Exception):
    """There is no body to work with: `status` and the message say why."""

    def __init__(self, status: int, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title


async def read_json_octets(request: Request, most: int) -> bytes:
    """The octets of a JSON body, of at most `most`, within `BODY_S`. Raises `BadBody`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise BadBody(415, "The content type is application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise BadBody(413, f"A body has at most {most} octets")
    except TimeoutError:
        raise BadBody(408, "The request took too long") from None
    except ClientDisconnect:
        raise BadBody(400, "The client went away") from None
    return bytes(body)
