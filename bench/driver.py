"""A load driver that measures how long each message waits for its 250. The same for both sides.

A closed loop over a number of connections that are kept: each sends a message, waits for its 250, sends the next.
MAIL, RCPT and DATA go in one write (RFC 2920), so that the driver itself costs little. With a rate, messages start when
they are due instead, whether earlier ones were quick or not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

_CONNECT_S, _REPLY_S = 30, 300
_MAX_REASONS = 5


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to be sent: `wire` has its dots doubled and ends with the lone dot."""

    sender: str
    recipients: tuple[str, ...]
    wire: bytes

    @classmethod
    def of(cls, sender: str, recipients: Sequence[str], raw: bytes) -> Outgoing:
        """From content with CRLF line ends (the last one is added where it is missing)."""
        body = raw if raw.endswith(b"\r\n") or not raw else raw + b"\r\n"
        stuffed = body.replace(b"\r\n.", b"\r\n..")
        return cls(sender, tuple(recipients), (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n")


@dataclass(slots=True)
class Outcome:
    """What a load came to: messages with a 250, recipients accepted for them, and how long it took.

    `latencies` are seconds from handing the content to the socket until its 250 was read.
    """

    messages: int = 0
    copies: int = 0
    refused: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def refuse(self, reply: bytes) -> None:
        """Note a message or recipient that was not taken."""
        self.refused += 1
        if len(self.reasons) < _MAX_REASONS:
            self.reasons.append(reply.decode("utf-8", "replace"))


class ConnectionLost(Exception):
    """The server hung up."""


class Client(asyncio.Protocol):
    """One SMTP connection; replies are lines, the last of each is told by the space after its code."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.last_reply_at = 0.0
        self._rest = b""
        self._replies: list[bytes] = []
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None
        self._lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        self._replies += [line for line in lines if line[3:4] != b"-"]
        self.last_reply_at = time.perf_counter()
        if self._waiter and len(self._replies) >= self._wanted and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or ConnectionLost("the server closed the connection")
        if self._waiter and not self._waiter.done():
            self._waiter.set_exception(self._lost)

    async def replies(self, count: int) -> list[bytes]:
        """The next `count` replies, the last line of each. Raises `ConnectionLost`, `OSError` or `TimeoutError`."""
        if len(self._replies) < count:
            if self._lost:
                raise self._lost
            self._wanted = count
            self._waiter = asyncio.get_running_loop().create_future()
            async with asyncio.timeout(_REPLY_S):
                await self._waiter
            self._waiter = None
        taken, self._replies = self._replies[:count], self._replies[count:]
        return taken

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    async def greet(self) -> None:
        """Greeting and EHLO."""
        await self.replies(1)
        self.write(b"EHLO client.example.com\r\n")
        await self.replies(1)

    async def send(self, message: Outgoing, outcome: Outcome) -> None:
        """One message; what the server says of it goes into `outcome`."""
        head = [f"MAIL FROM:<{message.sender}>", *(f"RCPT TO:<{each}>" for each in message.recipients), "DATA\r\n"]
        self.write("\r\n".join(head).encode())
        mail, *recipients, data = await self.replies(len(head))
        if not data.startswith(b"354"):
            outcome.refuse(mail if not mail.startswith(b"250") else recipients[0])
            self.write(b"RSET\r\n")
            await self.replies(1)
            return
        started = time.perf_counter()
        self.write(message.wire)
        (final,) = await self.replies(1)
        if not final.startswith(b"250"):
            outcome.refuse(final)
            return
        outcome.latencies.append(self.last_reply_at - started)
        outcome.messages += 1
        for reply in recipients:
            if reply.startswith(b"25"):
                outcome.copies += 1
            else:
                outcome.refuse(reply)

    def close(self) -> None:
        if self.transport:
            self.write(b"QUIT\r\n")
            self.transport.close()


async def connect(port: int, source: str | None = None) -> Client:
    """A connection that has been greeted; `source` is a loopback address to come from."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_CONNECT_S):
        local = (source, 0) if source else None
        _, client = await loop.create_connection(Client, "127.0.0.1", port, local_addr=local)
        await client.greet()
    return client


def drive(port: int, messages: Sequence[Outgoing], connections: int, rate: float | None = None) -> Outcome:
    """Send all messages; raises `ConnectionLost`, `OSError` or `TimeoutError` where the server gives up."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(port, messages, connections, rate))


async def _drive(port: int, messages: Sequence[Outgoing], connections: int, rate: float | None) -> Outcome:
    clients = [await connect(port) for _ in range(min(connections, max(len(messages), 1)))]
    outcome = Outcome()
    queue = iter(enumerate(messages))
    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(_send_all(client, queue, outcome, started, rate))
        outcome.seconds = time.perf_counter() - started
    finally:
        for client in clients:
            client.close()
    return outcome


async def _send_all(
    client: Client, queue: Iterator[tuple[int, Outgoing]], outcome: Outcome, started: float, rate: float | None
) -> None:
    for number, message in queue:
        if rate:
            await asyncio.sleep(max(started + number / rate - time.perf_counter(), 0))
        await client.send(message, outcome)
