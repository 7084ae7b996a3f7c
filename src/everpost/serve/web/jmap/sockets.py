"""JMAP over WebSocket (RFC 8887): requests of one connection side by side, and push."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from everpost.serve.web.jmap.api import perform
from everpost.serve.web.jmap.events import accounts_of
from everpost.serve.web.jmap.push import MAX_STREAMS, QUIET_S, SETTLE_S, Listener, Push
from everpost.serve.web.names import NOTHING, account_id, state_of
from everpost.serve.web.problems import Problem
from everpost.serve.web.services import Visitor, WebServices
from everpost.serve.web.visitors import Doorkeeper
from everpost.standby.values import Account
from everpost.store.database import UNAVAILABLE
from everpost.wire.jmap.core import MAX_CONCURRENT_REQUESTS, RequestError
from everpost.wire.jmap.websocket import (
    PROTOCOL,
    Numbered,
    PushDisable,
    PushEnable,
    WebSocketError,
    error_message,
    read_message,
    response_message,
    state_change_message,
)

log = structlog.get_logger()
GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
POLICY: Final = 1008
WAITING_REQUESTS: Final = 2 * MAX_CONCURRENT_REQUESTS
"""Messages of one connection under way; more are not read before one of them is answered."""


class Sockets:
    """Serves the connections of one process."""

    def __init__(self, services: WebServices, door: Doorkeeper, push: Push) -> None:
        self._services = services
        self._door = door
        self._push = push
        self._open: Counter[Account] = Counter()

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from its handshake on. Who is not let in gets the status that HTTP would give."""
        try:
            visitor = await self._admit(socket)
        except Problem as problem:
            await socket.send_denial_response(problem.response())
            return
        await socket.accept(PROTOCOL)
        self._open[visitor.account] += 1
        try:
            await _Connection(self._services, self._door, self._push, socket, visitor).run()
        finally:
            self._open[visitor.account] -= 1
            if not self._open[visitor.account]:
                del self._open[visitor.account]

    async def _admit(self, socket: WebSocket) -> Visitor:
        """Raises `Problem`."""
        visitor = await self._door.admit(socket)
        if PROTOCOL not in socket.scope["subprotocols"]:
            raise Problem(400, "The subprotocol is jmap")
        if self._open[visitor.account] >= MAX_STREAMS:
            raise Problem(429, "Too many connections", f"At most {MAX_STREAMS} at the same time.")
        return visitor


class _Connection:
    def __init__(
        self, services: WebServices, door: Doorkeeper, push: Push, socket: WebSocket, visitor: Visitor
    ) -> None:
        self._services = services
        self._door = door
        self._push = push
        self._socket = socket
        self._visitor = visitor
        self._room = asyncio.Semaphore(WAITING_REQUESTS)
        self._pushing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until one of the two hangs up."""
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text")
                if text is None:  # RFC 8887 §4: text only
                    await self._socket.close(UNSUPPORTED, "messages are texts")
                    return
                await self._take(text)
        except WebSocketDisconnect:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, text: str) -> None:
        try:
            asked = read_message(text)
        except WebSocketError as refused:
            await self._send(error_message(refused.error, refused.request_id))
            return
        match asked:
            case Numbered():
                await self._room.acquire()
                self._start(self._answer(asked))
            case PushEnable():
                self._stop_pushing()
                self._pushing = self._start(self._tell(asked))
            case PushDisable():
                self._stop_pushing()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _stop_pushing(self) -> None:
        if self._pushing is not None:
            self._pushing.cancel()
            self._pushing = None

    async def _answer(self, asked: Numbered) -> None:
        try:
            visitor = await self._door.admit(self._socket)  # what was right at the handshake may be over
            with self._door.busy("maxConcurrentRequests", visitor, MAX_CONCURRENT_REQUESTS):
                answer = response_message(await perform(self._services, visitor, asked.request), asked.id)
        except Problem as problem:
            if "limit" not in problem.extra:
                await self._close(POLICY, problem.title)
                return
            error = RequestError("limit", problem.detail, limit=str(problem.extra["limit"]))
            answer = error_message(error, asked.id)
        except UNAVAILABLE:
            answer = error_message(RequestError("serverUnavailable", "try again in a moment", status=503), asked.id)
        finally:
            self._room.release()
        await self._send(answer)

    async def _tell(self, asked: PushEnable) -> None:
        """StateChange messages (RFC 8887 §4.3.5), until push is disabled or the person may not come in any more."""
        account, others = self._visitor.account, accounts_of(self._visitor.others)
        listener = Listener(account, account_id(account), frozenset(asked.data_types or ()), others)
        since = None if asked.push_state is None else state_of(asked.push_state)
        try:
            async with self._push.listen(listener, None if since == NOTHING else since):
                while not listener.is_over():
                    try:
                        await asyncio.wait_for(listener.changed.wait(), QUIET_S)
                    except TimeoutError:
                        if not await self._still_welcome():
                            await self._close(POLICY, "log in again")
                            return
                        continue
                    if listener.is_over():
                        break
                    if listener.doubted and not await self._still_welcome():
                        await self._close(POLICY, "the session has changed")
                        return
                    listener.doubted = False
                    await asyncio.sleep(SETTLE_S)
                    listener.changed.clear()
                    if not listener.pending:
                        continue
                    await self._send(state_change_message(listener.take(), str(listener.modseq)))
            await self._close(GOING_AWAY, "the server is going away")
        except UNAVAILABLE as error:
            log.warning("push.unavailable", error=repr(error))
            await self._close(GOING_AWAY, "try again in a moment")

    async def _still_welcome(self) -> bool:
        try:
            now = await self._door.admit(self._socket)
        except Problem:
            return False
        return accounts_of(now.others) == accounts_of(self._visitor.others)

    async def _send(self, text: str) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # who has hung up needs no answer
            await self._socket.send_text(text)

    async def _close(self, code: int, reason: str) -> None:
        if self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(code, reason)
