"""The stand-in's SMTP server: local recipients only, into their inboxes before the 250."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import sqlite3
from datetime import UTC, datetime
from email.utils import format_datetime

from everpost.app.demo.standin.accounts import Accounts
from everpost.app.demo.standin.store import Store
from everpost.mail.envelope import Recipient, Sender
from everpost.mail.reply import Reply
from everpost.wire.smtp.events import (
    START_DATA,
    Authenticate,
    BodyChunk,
    BodyEnd,
    Closed,
    DataStart,
    Event,
    MailFrom,
    RcptTo,
    Reset,
    ServerLimits,
    ServerProfile,
    Signal,
    StartTls,
    fault_reply,
)
from everpost.wire.smtp.server import ServerEngine

TIMEOUT = 300.0  # seconds without a word from the client (RFC 5321 §4.5.3.2.7)
_READ = 65_536
_OK = Reply(250, "OK", (2, 0))
_ids = itertools.count(1)


class SmtpSession:
    """One connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        store: Store,
        accounts: Accounts,
        hostname: str,
        domain: str,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._store = store
        self._accounts = accounts
        self._domain = domain.lower()
        self._hostname = hostname
        self._engine = ServerEngine(ServerProfile(hostname, limits=ServerLimits()))
        self._drop()

    def _drop(self) -> None:
        self._sender: Sender | None = None
        self._recipients: list[tuple[Recipient, str]] = []
        self._chunks: list[bytes] = []

    async def serve(self) -> None:
        """Until the client leaves, or is silent for five minutes."""
        engine = self._engine
        engine.greet()
        try:
            while not engine.closing:
                await self._flush()
                async with asyncio.timeout(TIMEOUT):
                    data = await self._reader.read(_READ)
                engine.receive_data(data)
                while not isinstance(event := engine.next_event(), Signal | Closed):
                    await self._handle(event)
            await self._flush()
        except (TimeoutError, OSError):
            pass

    async def _flush(self) -> None:
        if data := self._engine.data_to_send():
            self._writer.write(data)
            await self._writer.drain()

    async def _handle(self, event: Event) -> None:
        match event:
            case BodyChunk(data):
                self._chunks.append(data)
            case MailFrom(sender):
                self._drop()
                self._sender = sender
                self._engine.reply(_OK)
            case RcptTo(recipient):
                self._engine.reply(self._judge(recipient))
            case DataStart():
                self._engine.reply(START_DATA)
            case BodyEnd(fault):
                self._engine.reply(fault_reply(fault) if fault else await self._deliver())
                self._drop()
            case Reset():
                self._drop()
            case Authenticate() | StartTls():
                raise RuntimeError("was not offered")
            case _:
                pass

    def _judge(self, recipient: Recipient) -> Reply:
        address = recipient.address
        if address.domain.lower() != self._domain:
            return Reply(550, "Relaying denied", (7, 1))
        user = self._accounts.mailbox_of(address.local, address.domain)
        if user is None:
            return Reply(550, "No such user here", (1, 1))
        self._recipients.append((recipient, user))
        return _OK

    async def _deliver(self) -> Reply:
        ident = f"{next(_ids):x}{secrets.token_hex(4)}"
        raw = self._trace(ident) + b"".join(self._chunks)
        users = tuple(dict.fromkeys(user for _, user in self._recipients))
        try:
            await self._store.deliver(raw, users)
        except sqlite3.Error:
            return Reply(451, "Storage is not available", (3, 0))
        return Reply(250, f"OK: stored as {ident}", (0, 0))

    def _trace(self, ident: str) -> bytes:
        """Return-Path and Received, as a server that makes final delivery adds them (RFC 5321 §4.4)."""
        path = str(self._sender.reverse_path or "") if self._sender else ""
        recipient = f"\r\n\tfor <{self._recipients[0][0].address}>" if len(self._recipients) == 1 else ""
        peer = self._writer.get_extra_info("peername")
        with_ = "ESMTP" if self._engine.esmtp else "SMTP"
        return (
            f"Return-Path: <{path}>\r\n"
            f"Received: from {self._engine.hello} ([{peer[0] if peer else 'unknown'}])\r\n"
            f"\tby {self._hostname} with {with_} id {ident}{recipient};\r\n"
            f"\t{format_datetime(datetime.now(UTC))}\r\n"
        ).encode()
