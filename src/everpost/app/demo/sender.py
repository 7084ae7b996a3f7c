"""The world that sends: messages over SMTP on a few connections, in their order, each tried until it is accepted."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from everpost.app.demo.count import Copy, copy_of
from everpost.app.demo.messages import GeneratedMessage
from everpost.mail.address import Address
from everpost.mail.envelope import Body, Envelope, Recipient, Sender
from everpost.mail.reply import Outcome
from everpost.queue.smtp_client import SmtpConnection, SmtpFailure, TlsMode

CONNECTIONS = 20
TRIES = 20


@dataclass
class Sent:
    """What was acknowledged, kept by the sender itself."""

    accepted: int = 0
    copies: list[Copy] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds from the end of a message to its 250
    seconds: float = 0.0


class World:
    """Sends to one MX. `heard` is told of every accepted message."""

    def __init__(self, port: int, heard: Callable[[GeneratedMessage], None] = lambda _: None) -> None:
        self._port = port
        self.heard = heard
        self.sent = Sent()

    async def send(self, messages: Iterable[GeneratedMessage], connections: int = CONNECTIONS) -> None:
        """Send them all; returns when each is accepted or refused for good."""
        began = time.monotonic()
        waiting = deque(messages)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(connections, len(waiting))):
                group.create_task(self._send_from(waiting))
        self.sent.seconds += time.monotonic() - began

    async def _send_from(self, waiting: deque[GeneratedMessage]) -> None:
        connection: SmtpConnection | None = None
        while waiting:
            message = waiting.popleft()
            for attempt in range(1, TRIES + 1):
                try:
                    if connection is None or not connection.usable:
                        connection = await SmtpConnection.open(
                            "127.0.0.1", self._port, hostname="world.example.net", tls=TlsMode.NONE
                        )
                    if await self._transact(connection, message):
                        break
                except SmtpFailure as failure:
                    connection = None
                    if attempt == TRIES:
                        self.sent.refused.append(str(failure))
                await asyncio.sleep(min(0.05 * 2**attempt, 2))
        if connection is not None:
            await connection.quit()

    async def _transact(self, connection: SmtpConnection, message: GeneratedMessage) -> bool:
        """True where nothing more is to be tried."""
        body = Body.SEVEN_BIT if message.raw.isascii() else Body.EIGHT_BIT
        envelope = Envelope(
            Sender(Address.parse(message.sender), len(message.raw), body),
            tuple(Recipient(Address.parse(address)) for address in message.recipients),
        )
        began = time.monotonic()
        result = await connection.deliver(envelope, message.raw, len(message.raw))
        replies = [recipient.reply for recipient in result.recipients]
        if not any(reply is not None and reply.outcome is not Outcome.TRANSIENT for reply in replies):
            return False
        self.sent.waits.append(time.monotonic() - began)
        good = [
            address
            for address, reply in zip(message.recipients, replies, strict=True)
            if reply is not None and reply.outcome is Outcome.SUCCESS
        ]
        self.sent.refused += [str(reply) for reply in replies if reply is None or reply.code >= 400]
        if good:
            self.sent.accepted += 1
            self.sent.copies += [copy_of(address, message.raw) for address in good]
            self.heard(message)
        return True
