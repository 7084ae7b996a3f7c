"""The event source of RFC 8620 §7.3 as a page."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from everpost.serve.web.jmap.api import session_state
from everpost.serve.web.jmap.push import MAX_STREAMS, Listener, Push, clamp_ping, stream
from everpost.serve.web.names import NOTHING, account_id, state_of
from everpost.serve.web.problems import Problem, limit
from everpost.serve.web.services import OpenMailbox, WebServices
from everpost.serve.web.visitors import Doorkeeper
from everpost.standby.values import Account

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that gathered events would make them late
    "X-Content-Type-Options": "nosniff",
}
MAX_TYPES = 100


def accounts_of(mailboxes: Iterable[OpenMailbox]) -> dict[Account, str]:
    """Their names in JMAP."""
    return {mailbox.account: account_id(mailbox.account) for mailbox in mailboxes}


class EventPage:
    """Opens streams. `push.close()` ends them all."""

    def __init__(self, services: WebServices, door: Doorkeeper) -> None:
        # Shares stand in the directory; who is the master, and which mailboxes are open, with the routes.
        self.push = Push(services.database, lambda: (services.directory.epoch, services.routes.table.generation))
        self._door = door

    async def show(self, request: Request) -> Response:
        """types: comma-separated or "*"; closeafter: state or no; ping: seconds, 0 for none."""
        visitor = await self._door.admit(request)
        asked = request.query_params
        types = [name for name in asked.get("types", "*").split(",") if name]
        if len(types) > MAX_TYPES or asked.get("closeafter", "no") not in ("state", "no"):
            raise Problem(400, "The parameters cannot be this", "closeafter is state or no")
        try:
            ping_s = clamp_ping(asked.get("ping", "0"))
        except ValueError:
            raise Problem(400, "The parameters cannot be this", "ping is a number of seconds") from None
        if self.push.streams_of(visitor.account) >= MAX_STREAMS:
            raise limit("maxConcurrentRequests", f"at most {MAX_STREAMS} event streams at the same time")
        since = state_of(request.headers.get("last-event-id", ""))
        if since == NOTHING:  # read before the answer begins: what comes after it, the client is told
            since = await self.push.state(visitor.account)
        listener = Listener(
            visitor.account, account_id(visitor.account), frozenset(() if "*" in types or not types else types),
            accounts_of(visitor.others), session_state=session_state(visitor),
        )  # fmt: skip

        async def session() -> str | None:
            try:
                return session_state(await self._door.admit(request))
            except Problem:
                return None

        events = stream(
            self.push, listener, since=since, ping_s=ping_s,
            close_after_state=asked.get("closeafter") == "state", session=session,
        )  # fmt: skip
        return StreamingResponse(events, 200, dict(_HEADERS), "text/event-stream")
