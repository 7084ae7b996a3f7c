"""Sends messages over SMTP: the sans-IO client engine on an asyncio transport.

One `SmtpConnection` carries any number of transactions, one after the other. What a transaction came to stands in
its `TransactionResult`; only what prevents a connection from being opened is raised, as `SmtpFailure`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import socket
import ssl
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass

from everpost.mail.envelope import Envelope
from everpost.mail.reply import Outcome, Reply
from everpost.queue.smtp_transport import ConnectionLost, EngineProtocol
from everpost.wire.smtp.body import UnsafeContent, encode_message
from everpost.wire.smtp.client import (
    AuthDone,
    BodyWanted,
    Capabilities,
    ClientEngine,
    ClientEvent,
    Done,
    Greeted,
    HelloDone,
    ProtocolError,
    RecipientResult,
    ServerClosing,
    TlsReady,
)

__all__ = [
    "RecipientResult",
    "SmtpConnection",
    "SmtpFailure",
    "Stage",
    "Timeouts",
    "TlsMode",
    "TransactionResult",
    "UnsafeContent",
    "client_context",
]


class TlsMode(enum.Enum):
    """How a route wants TLS. OPPORTUNISTIC falls back to clear text; REQUIRED and IMPLICIT never do."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"
    REQUIRED = "required"
    IMPLICIT = "implicit"


class Stage(enum.Enum):
    """How far a connection or transaction came."""

    CONNECT = "connect"
    GREETING = "greeting"
    HELLO = "hello"
    TLS = "tls"
    AUTH = "auth"
    ENVELOPE = "envelope"
    BODY = "body"
    END = "end"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds, after RFC 5321 §4.5.3.2. `body` is for each time the transport must drain."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    tls: float = 60.0
    body: float = 180.0
    end: float = 600.0


class SmtpFailure(Exception):
    """No usable connection. `reply` is what the server said, where it said it."""

    def __init__(self, stage: Stage, reason: str, reply: Reply | None = None) -> None:
        super().__init__(f"{stage.value}: {reason}")
        self.stage = stage
        self.reason = reason
        self.reply = reply


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """What one transaction came to.

    `failure` is None where every recipient has a reply. Else it says what went wrong, and recipients without a reply
    were not decided. `in_doubt` is True exactly where the end of the content may have reached the server and no
    reply to it was read: those recipients may or may not have the message.
    """

    recipients: tuple[RecipientResult, ...]
    stage: Stage
    in_doubt: bool
    remote: str
    tls: str | None
    failure: str | None = None


Content = bytes | Iterable[bytes] | AsyncIterable[bytes]


@functools.cache  # reading the certificates of the authorities takes 10 ms
def client_context(*, verify: bool) -> ssl.SSLContext:
    """A TLS context: `verify` checks chain and name; without it any certificate will do (RFC 7435)."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class SmtpConnection:
    """An open session with one server. Not for concurrent use."""

    def __init__(self, protocol: EngineProtocol, remote: str, timeouts: Timeouts) -> None:
        self._protocol = protocol
        self._timeouts = timeouts
        self._broken = False
        self.remote = remote
        self.tls: str | None = None
        self.transactions = 0
        self.home: object = None  # for whoever opened it: where it was to lead

    # ------------------------------------------------------------------ opening

    @classmethod
    async def open(
        cls,
        host: str,
        port: int,
        *,
        hostname: str,
        tls: TlsMode = TlsMode.OPPORTUNISTIC,
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        credentials: tuple[str, str] | None = None,
        timeouts: Timeouts | None = None,
        local_address: str | None = None,
    ) -> SmtpConnection:
        """Connect, greet, start TLS and authenticate as asked; raises `SmtpFailure`.

        `hostname` is our own name for EHLO; `server_hostname` the name the certificate must have, by default `host`.
        Credentials are never sent in clear text unless `tls` is NONE.
        """
        attempt = _Opening(
            host,
            port,
            hostname,
            tls,
            ssl_context or client_context(verify=tls is not TlsMode.OPPORTUNISTIC),
            server_hostname or host,
            credentials,
            timeouts or Timeouts(),
            local_address,
        )
        try:
            return await attempt.run(starttls=tls in (TlsMode.OPPORTUNISTIC, TlsMode.REQUIRED))
        except SmtpFailure as failure:
            if tls is not TlsMode.OPPORTUNISTIC or failure.stage is not Stage.TLS:
                raise
        return await attempt.run(starttls=False)

    @property
    def usable(self) -> bool:
        """Whether another transaction may be tried on it."""
        engine = self._protocol.engine
        if self._broken or self._protocol.error is not None or engine.closing:
            return False
        limit = engine.capabilities.limit("MAILMAX")
        return limit is None or self.transactions < limit

    @property
    def in_doubt(self) -> bool:
        """As in `TransactionResult`: for a host whose `deliver` was cancelled or raised."""
        return self._protocol.engine.end_written

    @property
    def capabilities(self) -> Capabilities:
        return self._protocol.engine.capabilities

    # ------------------------------------------------------------------ transactions

    async def deliver(self, envelope: Envelope, body: Content, size: int) -> TransactionResult:
        """Send one message of `size` octets.

        Raises `UnsafeContent` where the content cannot be sent safely; its end was then never sent, and a streamed
        body costs the connection. An error raised by a streamed body itself passes through in the same way.
        """
        encoded = encode_message(body) if isinstance(body, bytes) else None
        self._protocol.pump()  # what came after the last transaction must not answer this one
        if not self.usable or self._protocol.event is not None:
            return self._lost(envelope, Stage.ENVELOPE, "the connection is no longer usable")
        self.transactions += 1
        stage = Stage.ENVELOPE
        completed = False
        try:
            self._protocol.engine.start(envelope, size)
            self._protocol.flush()
            event = await self._protocol.wait(self._timeouts.command)
            if isinstance(event, BodyWanted):
                stage = Stage.BODY
                if encoded is not None:
                    await self._send_encoded(encoded)
                elif not isinstance(body, bytes):
                    await self._send_stream(body)
                stage = Stage.END if self._protocol.engine.end_written else Stage.BODY
                event = await self._protocol.wait(self._timeouts.end)
            if not isinstance(event, Done):
                return self._lost(envelope, stage, "the server is closing")
            completed = True
        except (ProtocolError, ConnectionLost, TimeoutError, OSError) as error:
            return self._lost(envelope, stage, str(error) or type(error).__name__)
        finally:
            if not completed or self._protocol.engine.closing:
                self.abort()
        return TransactionResult(event.results, Stage.DONE, False, self.remote, self.tls)

    async def check(self, envelope: Envelope) -> TransactionResult:
        """Ask for the recipients and send nothing: MAIL and RCPT without DATA. Raises nothing."""
        self._protocol.pump()
        if not self.usable or self._protocol.event is not None:
            return self._lost(envelope, Stage.ENVELOPE, "the connection is no longer usable")
        try:
            self._protocol.engine.start(envelope, 0, only_envelope=True)
            self._protocol.flush()
            event = await self._protocol.wait(self._timeouts.command)
        except (ProtocolError, ConnectionLost, TimeoutError, OSError) as error:
            self.abort()
            return self._lost(envelope, Stage.ENVELOPE, str(error) or type(error).__name__)
        if not isinstance(event, Done):
            self.abort()
            return self._lost(envelope, Stage.ENVELOPE, "the server is closing")
        return TransactionResult(event.results, Stage.DONE, False, self.remote, self.tls)

    async def _send_encoded(self, encoded: bytes) -> None:
        """Write a whole message and its end, unless the server spoke before."""
        protocol = self._protocol
        protocol.pump()
        if protocol.event is None and protocol.error is None:
            assert protocol.transport is not None
            protocol.engine.end_encoded()
            protocol.transport.write(encoded)
            await protocol.drain(self._timeouts.body)

    async def _send_stream(self, body: Iterable[bytes] | AsyncIterable[bytes]) -> None:
        """Write the content and its end. Returns early where the server spoke before the end."""
        protocol = self._protocol
        protocol.pump()
        if isinstance(body, AsyncIterable):
            async for chunk in body:
                if not await self._write(chunk):
                    return
        else:
            for chunk in body:
                if not await self._write(chunk):
                    return
        if protocol.event is None and protocol.error is None:
            assert protocol.transport is not None
            protocol.transport.write(protocol.engine.end_body())

    async def _write(self, chunk: bytes) -> bool:
        """Write a piece of the content; False where the server has spoken or is gone."""
        protocol = self._protocol
        if protocol.event is None and protocol.error is None:
            assert protocol.transport is not None
            protocol.transport.write(protocol.engine.body(chunk))
            await protocol.drain(self._timeouts.body)
        return protocol.event is None and protocol.error is None

    def _lost(self, envelope: Envelope, stage: Stage, reason: str) -> TransactionResult:
        engine = self._protocol.engine
        in_doubt = engine.end_written
        running = stage is not Stage.ENVELOPE or engine.envelope_is(envelope)
        results = (
            engine.partial_results()
            if running
            else tuple(RecipientResult(recipient, None) for recipient in envelope.recipients)
        )
        if in_doubt:
            stage = Stage.END
        return TransactionResult(results, stage, in_doubt, self.remote, self.tls, reason)

    # ------------------------------------------------------------------ closing

    async def quit(self) -> None:
        """Say QUIT without waiting for the answer, and close. Raises nothing."""
        if self.usable:
            with contextlib.suppress(OSError, RuntimeError):
                self._protocol.engine.quit()
                self._protocol.flush()
        if self._protocol.transport is not None:
            self._protocol.transport.close()
        self._broken = True

    def abort(self) -> None:
        """Drop the connection at once."""
        self._broken = True
        if self._protocol.transport is not None:
            self._protocol.transport.abort()


@dataclass(frozen=True, slots=True)
class _Opening:
    """One try to open a connection."""

    host: str
    port: int
    hostname: str
    mode: TlsMode
    context: ssl.SSLContext
    server_hostname: str
    credentials: tuple[str, str] | None
    timeouts: Timeouts
    local_address: str | None

    async def run(self, *, starttls: bool) -> SmtpConnection:
        connection = await self._connect()
        protocol = connection._protocol
        try:
            await self._greet(protocol)
            if starttls:
                await self._starttls(connection)
            if self.credentials is not None:
                await self._authenticate(protocol, *self.credentials)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _connect(self) -> SmtpConnection:
        loop = asyncio.get_running_loop()
        implicit = self.mode is TlsMode.IMPLICIT
        engine = ClientEngine(self.hostname, tls_active=implicit)
        try:
            async with asyncio.timeout(self.timeouts.connect):
                transport, protocol = await loop.create_connection(
                    lambda: EngineProtocol(loop, engine),
                    self.host,
                    self.port,
                    ssl=self.context if implicit else None,
                    server_hostname=self.server_hostname if implicit else None,
                    local_addr=(self.local_address, 0) if self.local_address else None,
                )
        except TimeoutError:
            raise SmtpFailure(Stage.CONNECT, "timed out") from None
        except (OSError, ssl.SSLError) as error:
            stage = Stage.TLS if isinstance(error, ssl.SSLError) else Stage.CONNECT
            raise SmtpFailure(stage, str(error)) from error
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = transport.get_extra_info("peername")
        remote = f"{peer[0]}:{peer[1]}" if peer else f"{self.host}:{self.port}"
        connection = SmtpConnection(protocol, remote, self.timeouts)
        connection.tls = _tls_name(transport)
        return connection

    async def _greet(self, protocol: EngineProtocol) -> None:
        event = await self._wait(protocol, Stage.GREETING, self.timeouts.greeting)
        if not isinstance(event, Greeted) or event.reply.outcome is not Outcome.SUCCESS:
            raise _refused(Stage.GREETING, event)
        await self._hello(protocol)

    async def _hello(self, protocol: EngineProtocol) -> None:
        protocol.engine.hello()
        protocol.flush()
        event = await self._wait(protocol, Stage.HELLO, self.timeouts.command)
        if not isinstance(event, HelloDone) or event.reply.outcome is not Outcome.SUCCESS:
            raise _refused(Stage.HELLO, event)

    async def _starttls(self, connection: SmtpConnection) -> None:
        """Start TLS where the server offers it. What the server fails at raises with `Stage.TLS`."""
        protocol = connection._protocol
        if "STARTTLS" not in protocol.engine.capabilities:
            if self.mode is TlsMode.REQUIRED:
                raise SmtpFailure(Stage.TLS, "the server does not offer STARTTLS")
            return
        protocol.engine.starttls()
        protocol.flush()
        event = await self._wait(protocol, Stage.TLS, self.timeouts.command)
        if not isinstance(event, TlsReady) or event.reply.code != 220:
            raise _refused(Stage.TLS, event)
        loop = asyncio.get_running_loop()
        assert protocol.transport is not None
        try:
            transport = await loop.start_tls(
                protocol.transport,
                protocol,
                self.context,
                server_hostname=self.server_hostname,
                ssl_handshake_timeout=self.timeouts.tls,
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            raise SmtpFailure(Stage.TLS, str(error) or "handshake failed") from error
        if transport is None or protocol.event is not None or protocol.error is not None:
            raise SmtpFailure(Stage.TLS, "connection lost, or the server spoke before the handshake")
        protocol.transport = transport
        try:
            protocol.engine.tls_started()
        except ProtocolError as error:
            raise SmtpFailure(Stage.TLS, str(error)) from error
        connection.tls = _tls_name(transport)
        await self._hello(protocol)

    async def _authenticate(self, protocol: EngineProtocol, user: str, password: str) -> None:
        if not protocol.engine.tls_active and self.mode is not TlsMode.NONE:
            raise SmtpFailure(Stage.AUTH, "credentials are not sent without TLS")
        try:
            protocol.engine.authenticate(user, password)
        except ProtocolError as error:
            raise SmtpFailure(Stage.AUTH, str(error)) from error
        protocol.flush()
        event = await self._wait(protocol, Stage.AUTH, self.timeouts.command)
        if not isinstance(event, AuthDone) or event.reply.outcome is not Outcome.SUCCESS:
            raise _refused(Stage.AUTH, event)

    async def _wait(self, protocol: EngineProtocol, stage: Stage, timeout: float) -> ClientEvent:
        try:
            return await protocol.wait(timeout)
        except (ProtocolError, ConnectionLost, TimeoutError, OSError) as error:
            raise SmtpFailure(stage, str(error) or type(error).__name__) from error


def _refused(stage: Stage, event: ClientEvent) -> SmtpFailure:
    if isinstance(event, Greeted | HelloDone | TlsReady | AuthDone | ServerClosing):
        return SmtpFailure(stage, f"refused: {event.reply}", event.reply)
    return SmtpFailure(stage, "the server answered out of turn")


def _tls_name(transport: asyncio.BaseTransport) -> str | None:
    """Protocol and cipher, as for a Received field."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return None
    cipher = tls.cipher()
    return f"{tls.version()} {cipher[0]}" if cipher else str(tls.version())
