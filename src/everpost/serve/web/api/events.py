"""A stream that says that something changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from everpost.serve.web.api.changes import Listener, TooMany
from everpost.serve.web.api.door import Door
from everpost.serve.web.api.registry import Access, Call, Section
from everpost.serve.web.api.values import Input, Nothing, refusal
from everpost.serve.web.problems import Problem

PING_S = 20.0
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Accel-Buffering": "no"}
section = Section("Events", "Told instead of asked again and again: for `EventSource` in a browser.")


class EventsQuery(Input, frozen=True):
    """`ping`: after so many seconds without an event a comment keeps the connection alive, and it is looked whether the
    session has ended.
    """

    ping: Annotated[float, msgspec.Meta(ge=0.05, le=60)] = PING_S


class Change(msgspec.Struct, frozen=True):
    """`data` of an event `change`: look again at these topics of this organisation."""

    organisation: str
    topics: list[str]


@section.get("/events", access=Access.ADMINISTRATOR, answer=Change, media=("text/event-stream",))
async def stream_events(call: Call[EventsQuery, Nothing]) -> Response:
    """Events `change` whose data is {"organisation", "topics"}, for all organisations this administrator may see.

    Topics: primaries, activations, failbacks, drills, alerts, queue, mail. First comes an event `ready`: whoever
    connects (again) looks at everything. The stream ends when the session does, and when the service stops.
    """
    services, administrator = call.services, call.administrator
    names = {each.id: each.name for each in await Door(services).organisations(administrator)}
    try:
        listener = services.changes.listen(administrator.id, names)
    except TooMany:
        raise refusal(429, "busy", "Too many streams are open", "Close one of them.") from None
    return StreamingResponse(_stream(call, listener), 200, _HEADERS, "text/event-stream")


async def _stream(call: Call[EventsQuery, Nothing], listener: Listener) -> AsyncIterator[bytes]:
    door = Door(call.services)
    try:
        yield b"retry: 3000\nevent: ready\ndata: {}\n\n"
        while (changed := await listener.next(call.query.ping)) is not None:
            for organisation, topics in changed.items():
                data = msgspec.json.encode(Change(organisation, topics))
                yield b"event: change\ndata: " + data + b"\n\n"
            if not changed:
                administrator = await door.admit(call.request)
                listener.organisations = {each.id: each.name for each in await door.organisations(administrator)}
                yield b": ping\n\n"
    except Problem:
        return
    finally:
        call.services.changes.leave(listener)
