"""One SMTP session on asyncio: moves octets between a socket and the engine, and answers the engine's questions."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Coroutine
from typing import Any, cast

import structlog

from everpost.intake.submission import Client
from everpost.mail.envelope import Sender
from everpost.mail.reply import Reply
from everpost.serve.smtpd.policy import Gatekeeper, SessionPolicy
from everpost.serve.smtpd.receive import TRY_LATER, Body, Receiver
from everpost.serve.smtpd.settings import ListenerSettings
from everpost.wire.smtp.events import (
    NEED_DATA,
    PAUSED,
    START_DATA,
    Authenticate,
    BodyChunk,
    BodyEnd,
    Closed,
    DataStart,
    MailFrom,
    RcptTo,
    Reset,
    Role,
    ServerProfile,
    StartTls,
    fault_reply,
)
from everpost.wire.smtp.proxy import ProxyError, parse_proxy
from everpost.wire.smtp.server import ServerEngine

log = structlog.get_logger()


class SmtpSession(asyncio.Protocol):
    """The protocol of one connection."""

    def __init__(
        self, listener: ListenerSettings, hostname: str, gate: Gatekeeper, receiver: Receiver, census: Census
    ) -> None:
        self._listener = listener
        self._hostname = hostname
        self._gate = gate
        self._receiver = receiver
        self._census = census
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._engine: ServerEngine | None = None
        self._policy: SessionPolicy | None = None
        self._proxy_input: bytearray | None = None
        self._task: asyncio.Task[None] | None = None
        self._sender: Sender | None = None
        self._body: Body | None = None
        self._ip = ""
        self._counted = False
        self._last_activity = self._started = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._starting_tls = False

    # ------------------------------------------------------------------ asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        if self._starting_tls:  # the same session, on the encrypted transport
            return
        peer = transport.get_extra_info("peername")
        self._ip = peer[0] if peer else "unknown"
        self._arm_timer()
        if self._census.trusts_proxy(self._ip):
            self._proxy_input = bytearray()
        else:
            self._begin()

    def data_received(self, data: bytes) -> None:
        self._last_activity = self._loop.time()
        if self._proxy_input is not None:
            self._read_proxy(data)
        elif self._engine is not None:
            self._engine.receive_data(data)
            self._pump()

    def eof_received(self) -> bool:
        if self._engine is not None:
            self._engine.receive_data(b"")
            self._pump()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._counted:
            self._counted = False
            self._census.leave(self._ip, self)
        if self._body is not None and self._task is None:
            self._body.discard()
            self._body = None

    # ------------------------------------------------------------------ beginning and end

    def _begin(self) -> None:
        refusal = self._census.enter(self._ip, self)
        listener = self._listener
        tls = listener.tls_context() is not None
        role = listener.role
        profile = ServerProfile(
            hostname=self._hostname,
            role=role,
            limits=listener.limits,
            starttls=tls and not listener.implicit_tls,
            auth_mechanisms=() if role is Role.MX else ("PLAIN", "LOGIN"),
            require_tls=role is Role.SUBMISSION and not listener.implicit_tls,
            require_auth=role is Role.SUBMISSION,
        )
        self._engine = ServerEngine(profile, tls_active=listener.implicit_tls)
        if refusal is not None:
            self._engine.close(refusal)
        else:
            self._counted = True
            self._policy = SessionPolicy(self._gate, role, self._ip)
            self._policy.connected()
            self._engine.greet()
        self._pump()

    def _read_proxy(self, data: bytes) -> None:
        """The PROXY protocol's header comes before everything else and tells who the client really is."""
        assert self._proxy_input is not None
        assert self._transport is not None
        self._proxy_input += data
        try:
            parsed = parse_proxy(self._proxy_input)
        except ProxyError as error:
            log.warning("smtpd.proxy_header", peer=self._ip, error=str(error))
            self._transport.abort()
            return
        if parsed is None:
            return
        header, used = parsed
        rest, self._proxy_input = bytes(self._proxy_input[used:]), None
        if header.source is not None:
            self._ip = header.source
        self._begin()
        if rest:
            self.data_received(rest)

    def shut_down(self) -> None:
        """Let a message under way finish; then, or at once where there is none, say goodbye."""
        if self._engine is not None and self._task is None and self._body is None:
            self._engine.close(Reply(421, "Service shutting down, try again later", (3, 2)))
            self._pump()

    def _arm_timer(self) -> None:
        self._timer = self._loop.call_later(min(self._listener.idle_s, 30.0), self._check_time)

    def _check_time(self) -> None:
        now = self._loop.time()
        idle = now - self._last_activity > self._listener.idle_s
        if self._task is None and (idle or now - self._started > self._listener.session_s):
            if self._engine is not None:
                self._engine.close(Reply(421, "Timed out, closing connection", (4, 2)))
                self._pump()
            elif self._transport is not None:
                self._transport.abort()
            return
        self._arm_timer()

    # ------------------------------------------------------------------ the engine's side

    def _pump(self) -> None:
        """Answer what can be answered at once; leave the rest to a task."""
        engine, transport = self._engine, self._transport
        assert engine is not None
        assert transport is not None
        while self._task is None:
            event = engine.next_event()
            if event is NEED_DATA or event is PAUSED:
                break
            if isinstance(event, Closed):
                self._flush()
                transport.close()
                return
            self._handle(event)
        self._flush()
        if self._task is None and not self._starting_tls and not transport.is_closing():
            transport.resume_reading()

    def _flush(self) -> None:
        assert self._engine is not None
        assert self._transport is not None
        data = self._engine.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _handle(self, event: Any) -> None:
        engine, policy = self._engine, self._policy
        assert engine is not None
        assert policy is not None
        match event:
            case BodyChunk(data):
                assert self._body is not None
                self._body.add(data)
            case RcptTo(recipient):
                reply = policy.rcpt_to_known(recipient)
                if reply is not None:
                    engine.reply(reply)
                else:
                    self._wait(policy.rcpt_to(recipient))
            case MailFrom(sender):
                self._sender = sender
                if policy.role is Role.MX:
                    engine.reply(policy.from_anybody())
                else:
                    self._wait(policy.mail_from(sender))
            case DataStart():
                self._body = Body(self._receiver.settings)
                engine.reply(START_DATA)
            case BodyEnd(fault):
                self._end_of_body(engine, policy, None if fault is None else fault_reply(fault))
            case Authenticate():
                self._wait(policy.authenticate(event))
            case StartTls():
                self._start_tls()
            case Reset():
                if self._body is not None:
                    self._body.discard()
                    self._body = None
            case _:
                pass

    def _end_of_body(self, engine: ServerEngine, policy: SessionPolicy, refusal: Reply | None) -> None:
        body, self._body = self._body, None
        assert body is not None
        assert self._sender is not None
        if refusal is not None:
            body.discard()
            engine.reply(refusal)
            return
        client = Client(self._ip, engine.hello or "", self._protocol(engine), self._tls_name(), policy.login)
        recipients = tuple(policy.recipients)
        self._wait(self._receiver.receive(policy.role, self._sender, recipients, body, client, policy.owner))

    def _wait(self, answer: Coroutine[Any, Any, Reply]) -> None:
        """Answer later; the client is not read from until then."""
        assert self._transport is not None
        self._transport.pause_reading()
        self._task = self._loop.create_task(self._answer(answer))

    async def _answer(self, answer: Coroutine[Any, Any, Reply]) -> None:
        engine = self._engine
        assert engine is not None
        try:
            reply = await answer
        except Exception:  # a defect of ours must cost the client a retry, never a message
            log.exception("smtpd.defect", client=self._ip)
            reply = TRY_LATER
        self._task = None
        self._last_activity = self._loop.time()
        engine.reply(reply)
        self._pump()

    def _start_tls(self) -> None:
        assert self._transport is not None
        self._transport.pause_reading()
        self._flush()
        self._starting_tls = True
        self._task = self._loop.create_task(self._shake_hands())

    async def _shake_hands(self) -> None:
        context = self._listener.tls_context()
        assert context is not None
        assert self._engine is not None
        assert self._transport is not None
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=30
            )
        except (OSError, asyncio.CancelledError) as error:
            log.info("smtpd.tls_failed", client=self._ip, error=str(error))
            if self._transport is not None:
                self._transport.abort()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._starting_tls = False
        self._task = None
        self._engine.tls_started()
        self._pump()

    def _tls_name(self) -> str | None:
        assert self._transport is not None
        tls = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return None
        cipher = tls.cipher()
        return f"{tls.version()} {cipher[0]}" if cipher else tls.version()

    def _protocol(self, engine: ServerEngine) -> str:
        """The "with" keyword of the Received field (RFC 3848, RFC 6531 §4.3)."""
        if not engine.esmtp:
            return "SMTP"
        assert self._policy is not None
        assert self._sender is not None
        name = "UTF8SMTP" if self._sender.smtputf8 else "ESMTP"
        return name + ("S" if engine.tls_active else "") + ("A" if self._policy.login else "")


class Census:
    """Counts a listener's connections, in all and by client."""

    def __init__(self, listener: ListenerSettings) -> None:
        self._listener = listener
        self._by_client: dict[str, int] = {}
        self.sessions: set[SmtpSession] = set()

    def trusts_proxy(self, ip: str) -> bool:
        """Whether a host speaks for others by the PROXY protocol."""
        if not self._listener.proxy_from:
            return False
        return in_networks(ip, self._listener.proxy_from)

    def enter(self, ip: str, session: SmtpSession) -> Reply | None:
        """Count a connection; a refusal where there are too many."""
        if len(self.sessions) >= self._listener.connections:
            return Reply(421, "Too many connections, try again later", (3, 2))
        if self._by_client.get(ip, 0) >= self._listener.connections_per_client:
            return Reply(421, "Too many connections from your address", (7, 0))
        self._by_client[ip] = self._by_client.get(ip, 0) + 1
        self.sessions.add(session)
        return None

    def leave(self, ip: str, session: SmtpSession) -> None:
        """A counted connection has ended."""
        self.sessions.discard(session)
        left = self._by_client.get(ip, 1) - 1
        if left:
            self._by_client[ip] = left
        else:
            self._by_client.pop(ip, None)


def in_networks(ip: str, networks: tuple[Any, ...]) -> bool:
    """Whether an address, IPv4-mapped or not, is in one of the networks."""
    try:
        address: Any = ipaddress.ip_address(ip)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return any(address in network for network in networks if network.version == address.version)
