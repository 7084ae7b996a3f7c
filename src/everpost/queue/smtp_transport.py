"""The SMTP client engine on an asyncio transport: what `smtp_client` waits on."""

from __future__ import annotations

import asyncio
from typing import cast

from everpost.wire.smtp.client import ClientEngine, ClientEvent, ProtocolError


class ConnectionLost(Exception):
    """The transport is gone."""


class EngineProtocol(asyncio.Protocol):
    """Carries bytes between transport and engine; one reader waits at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: ClientEngine) -> None:
        self.engine = engine
        self.transport: asyncio.Transport | None = None
        self.event: ClientEvent | None = None
        self.error: Exception | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.error is not None:
            return
        self.engine.receive_data(data)
        self.pump()

    def pump(self) -> None:
        """Move the engine on. A second event before the first was taken waits in the engine."""
        if self.event is not None or self.error is not None:
            return
        try:
            self.event = self.engine.next_event()
        except ProtocolError as error:
            self.error = error
        self.flush()
        if self.event is not None or self.error is not None:
            self._wake()

    def flush(self) -> None:
        data = self.engine.data_to_send()
        if data and self.transport is not None:
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.error is None:
            self.error = ConnectionLost(str(exc) if exc else "connection closed by the server")
        self._wake()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    def _wake(self) -> None:
        for future in (self._waiter, self._drain):
            if future is not None and not future.done():
                future.set_result(None)

    async def wait(self, timeout: float) -> ClientEvent:
        """The next event; raises `ProtocolError`, `ConnectionLost` or `TimeoutError`."""
        if self.event is None:
            self.pump()
        while self.event is None:
            if self.error is not None:
                raise self.error
            self._waiter = self._loop.create_future()
            await self._bounded(self._waiter, timeout)
        event, self.event = self.event, None
        return event

    async def drain(self, timeout: float) -> None:
        """Wait until the transport takes more, an event is there, or the connection is lost."""
        if not self._writable and self.event is None and self.error is None:
            self._drain = self._loop.create_future()
            await self._bounded(self._drain, timeout)

    async def _bounded(self, future: asyncio.Future[None], timeout: float) -> None:
        # Much cheaper than asyncio.timeout, and nothing here needs its cancellation rules.
        handle = self._loop.call_later(timeout, _expire, future)
        try:
            await future
        finally:
            handle.cancel()


def _expire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError("timed out"))
