"""The driver against a server made of our own engine, a scripted server, and aiosmtpd."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
import uvloop
from aiosmtpd.controller import UnthreadedController

from everpost.mail.address import Address
from everpost.mail.envelope import Envelope, Recipient, Sender
from everpost.queue.smtp_client import (
    SmtpConnection,
    SmtpFailure,
    Stage,
    Timeouts,
    TlsMode,
    TransactionResult,
    UnsafeContent,
)
from everpost.wire.smtp.events import ServerProfile
from smtp_tools.host import Host

HOST = "127.0.0.1"
QUICK = Timeouts(connect=2, greeting=2, command=2, tls=2, body=2, end=0.3)
BODY = b"Subject: x\r\n\r\n.dot\r\n" + b"y" * 70 + b"\r\n"
MULTI = pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])


def run(loop_kind: str, main: Callable[[], object]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop_kind == "uvloop" else None) as runner:
        runner.run(main())  # type: ignore[arg-type]


def envelope(*locals_: str) -> Envelope:
    recipients = tuple(Recipient(Address(local, "example.org")) for local in locals_ or ("one",))
    return Envelope(Sender(Address("a", "example.com")), recipients)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mx.example.org").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class EngineServer:
    def __init__(self, profile: ServerProfile, context: ssl.SSLContext | None) -> None:
        self.profile, self.context = profile, context
        self.hosts: list[Host] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = Host(self.profile)
        self.hosts.append(host)
        host.run()
        try:
            while True:
                writer.write(host.sent)
                host.sent = b""
                await writer.drain()
                if host.wants_tls:
                    assert self.context is not None
                    await writer.start_tls(self.context)
                    host.start_tls()
                if host.engine.closing:
                    break
                host.feed(await reader.read(65536))
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def engine_server(
    *, tls: ssl.SSLContext | None = None, implicit: bool = False, **profile: object
) -> AsyncIterator[tuple[EngineServer, int]]:
    server = EngineServer(ServerProfile("mx.example.org", **profile), tls)  # type: ignore[arg-type]
    listener = await asyncio.start_server(server.serve, HOST, 0, ssl=tls if implicit else None)
    try:
        yield server, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def connect(port: int, **options: object) -> SmtpConnection:
    options = {"hostname": "gw.example.org", "tls": TlsMode.NONE, "timeouts": QUICK, **options}
    return await SmtpConnection.open(HOST, port, **options)  # type: ignore[arg-type]


def codes(result: TransactionResult) -> list[int | None]:
    return [item.reply.code if item.reply else None for item in result.recipients]


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@MULTI
def test_deliver_and_reuse(loop_kind: str) -> None:
    async def main() -> None:
        async with engine_server() as (server, port):
            connection = await connect(port)
            assert connection.remote == f"{HOST}:{port}"
            for _ in range(3):
                result = await connection.deliver(envelope("one", "unknown", "later"), BODY, len(BODY))
                assert codes(result) == [250, 550, 451]
                assert (result.stage, result.in_doubt, result.failure) == (Stage.DONE, False, None)
            result = await connection.deliver(envelope("unknown"), BODY, len(BODY))
            assert codes(result) == [550]
            result = await connection.deliver(envelope("two"), pieces(BODY, 3), len(BODY))
            assert codes(result) == [250]
            result = await connection.deliver(envelope("two"), [BODY[:20], BODY[20:]], len(BODY))
            assert codes(result) == [250]
            await connection.quit()
            assert not connection.usable
            assert len(server.hosts) == 1
            assert server.hosts[0].messages == [BODY] * 5

    run(loop_kind, main)


@MULTI
def test_large_streamed_body(loop_kind: str) -> None:
    async def main() -> None:
        content = b"\r\n" + (b"." * 998 + b"\r\n") * 8000
        async with engine_server() as (server, port):
            connection = await connect(port, timeouts=Timeouts())
            result = await connection.deliver(envelope(), pieces(content, 100_003), len(content))
            assert codes(result) == [250]
            assert server.hosts[0].messages == [content]
            connection.abort()

    run(loop_kind, main)


@MULTI
def test_tls_modes(loop_kind: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def main() -> None:
        verified = {"ssl_context": client_tls, "server_hostname": "mx.example.org"}
        async with engine_server(tls=server_tls, starttls=True, auth_mechanisms=("PLAIN",)) as (server, port):
            connection = await connect(port, tls=TlsMode.OPPORTUNISTIC)
            assert connection.tls is not None
            assert connection.tls.startswith("TLSv1.")
            assert codes(await connection.deliver(envelope(), BODY, len(BODY))) == [250]
            connection.abort()
            connection = await connect(port, tls=TlsMode.REQUIRED, credentials=("user", "secret"), **verified)
            assert server.hosts[-1].engine.authenticated == "user"
            connection.abort()
            with pytest.raises(SmtpFailure) as caught:
                await connect(port, tls=TlsMode.REQUIRED, ssl_context=client_tls, server_hostname="other.example.org")
            assert caught.value.stage is Stage.TLS
            with pytest.raises(SmtpFailure) as caught:
                await connect(port, tls=TlsMode.REQUIRED, credentials=("user", "wrong"), **verified)
            assert (caught.value.stage, caught.value.reply and caught.value.reply.code) == (Stage.AUTH, 535)
        async with engine_server(tls=server_tls, implicit=True) as (_, port):
            connection = await connect(port, tls=TlsMode.IMPLICIT, **verified)
            assert connection.tls is not None
            assert codes(await connection.deliver(envelope(), BODY, len(BODY))) == [250]
            connection.abort()
        async with engine_server() as (_, port):
            with pytest.raises(SmtpFailure):
                await connect(port, tls=TlsMode.REQUIRED, **verified)
            with pytest.raises(SmtpFailure, match="not sent without TLS"):
                await connect(port, tls=TlsMode.OPPORTUNISTIC, credentials=("user", "secret"))

    run(loop_kind, main)


@MULTI
def test_opportunistic_falls_back_to_clear_text(loop_kind: str, client_tls: ssl.SSLContext) -> None:
    async def main() -> None:
        broken = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # no certificate: every handshake fails
        async with engine_server(tls=broken, starttls=True) as (server, port):
            connection = await connect(port, tls=TlsMode.OPPORTUNISTIC)
            assert connection.tls is None
            assert codes(await connection.deliver(envelope(), BODY, len(BODY))) == [250]
            assert len(server.hosts) == 2
            with pytest.raises(SmtpFailure):
                await connect(port, tls=TlsMode.REQUIRED, ssl_context=client_tls)
            assert not server.hosts[-1].messages
            connection.abort()

    run(loop_kind, main)


class Script:
    """A server that answers by script: each step waits for some octets, then writes, closes, or stays silent."""

    def __init__(self, *steps: tuple[bytes, bytes | None]) -> None:
        self.steps = steps
        self.received = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        buffer = b""
        try:
            for wanted, answer in self.steps:
                while wanted not in buffer:
                    data = await reader.read(65536)
                    if not data:
                        return
                    buffer += data
                    self.received += data
                buffer = buffer[buffer.index(wanted) + len(wanted) :]
                if answer is None:
                    writer.transport.abort()
                    return
                writer.write(answer)
            while data := await reader.read(65536):
                self.received += data
        except OSError:
            pass
        finally:
            writer.close()


HELLO = (b"EHLO gw.example.org\r\n", b"250-mx\r\n250 PIPELINING\r\n")
GO = (b"DATA\r\n", b"250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n")
DOT = b"\r\n.\r\n"


@MULTI
@pytest.mark.parametrize(
    ("steps", "in_doubt", "expected", "stage"),
    [
        ([HELLO, (b"MAIL", None)], False, [None, None], Stage.ENVELOPE),
        ([HELLO, (b"DATA", b"250 ok\r\n")], False, [None, None], Stage.ENVELOPE),
        ([HELLO, (b"DATA", b"250 ok\r\n250 ok\r\nnonsense\r\n")], False, [None, None], Stage.ENVELOPE),
        ([HELLO, (b"DATA", b"421 bye\r\n")], False, [421, 421], Stage.DONE),
        ([HELLO, (b"DATA\r\n", GO[1] + b"250 lie\r\n")], False, [None, 550], Stage.BODY),
        ([HELLO, (b"DATA\r\n", GO[1] + b"552 early\r\n")], False, [552, 550], Stage.DONE),
        ([HELLO, GO, (DOT, None)], True, [None, 550], Stage.END),
        ([HELLO, GO, (DOT, b"")], True, [None, 550], Stage.END),
        ([HELLO, GO, (DOT, b"250")], True, [None, 550], Stage.END),
        ([HELLO, GO, (DOT, b"250-half\r\n")], True, [None, 550], Stage.END),
        ([HELLO, GO, (DOT, b"nonsense\r\n")], True, [None, 550], Stage.END),
        ([HELLO, GO, (DOT, b"354 what\r\n")], True, [None, 550], Stage.END),
        ([HELLO, GO, (DOT, b"250 ok\r\n250 more\r\n")], False, [250, 550], Stage.DONE),
        ([HELLO, GO, (DOT, b"451 no\r\n")], False, [451, 550], Stage.DONE),
        ([HELLO, GO, (DOT, b"421 no\r\n")], False, [421, 550], Stage.DONE),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_in_doubt_exactly_where_it_is(
    loop_kind: str,
    steps: list[tuple[bytes, bytes | None]],
    in_doubt: bool,
    expected: list[int | None],
    stage: Stage,
    streamed: bool,
) -> None:
    async def main() -> None:
        script = Script(*steps)
        listener = await asyncio.start_server(script.serve, HOST, 0)
        quick = Timeouts(connect=2, greeting=2, command=0.2, tls=2, body=2, end=0.2)
        connection = await connect(listener.sockets[0].getsockname()[1], timeouts=quick)
        body = [BODY] if streamed else BODY
        result = await connection.deliver(envelope("one", "two"), body, len(BODY))
        assert (result.in_doubt, codes(result), result.stage) == (in_doubt, expected, stage)
        assert (result.failure is None) == (stage is Stage.DONE)
        assert connection.in_doubt == in_doubt
        if result.failure or 421 in expected:
            assert not connection.usable
        connection.abort()
        listener.close()

    run(loop_kind, main)


@MULTI
@pytest.mark.parametrize("extra", [b"250 more\r\n", b"25"])
def test_what_comes_after_the_last_reply_answers_nothing(loop_kind: str, extra: bytes) -> None:
    async def main() -> None:
        script = Script(HELLO, GO, (DOT, b"250 ok\r\n" + extra), GO, (DOT, b"250 ok\r\n"))
        listener = await asyncio.start_server(script.serve, HOST, 0)
        connection = await connect(listener.sockets[0].getsockname()[1])
        assert codes(await connection.deliver(envelope("one", "two"), BODY, 1)) == [250, 550]
        result = await connection.deliver(envelope("one", "two"), BODY, 1)
        assert (codes(result), result.in_doubt, result.stage) == ([None, None], False, Stage.ENVELOPE)
        assert script.received.count(b"MAIL") == 1
        listener.close()

    run(loop_kind, main)


@MULTI
def test_content_that_fails_half_way_is_never_ended(loop_kind: str) -> None:
    async def main() -> None:
        async def dying() -> AsyncIterator[bytes]:
            yield BODY
            raise LookupError("the blob is gone")

        async with engine_server() as (server, port):
            for body, error in ((dying(), LookupError), ([BODY, b"bare\n", BODY], UnsafeContent)):
                connection = await connect(port)
                with pytest.raises(error):
                    await connection.deliver(envelope(), body, 100)
                assert not connection.in_doubt
                assert not connection.usable
                result = await connection.deliver(envelope(), BODY, len(BODY))
                assert (codes(result), result.in_doubt) == ([None], False)
            connection = await connect(port)
            with pytest.raises(UnsafeContent):
                await connection.deliver(envelope(), b"bare\rcr\r\n", 9)
            assert codes(await connection.deliver(envelope(), BODY, len(BODY))) == [250]
            connection.abort()
            assert [host.messages for host in server.hosts] == [[], [], [BODY]]

    run(loop_kind, main)


@MULTI
def test_cancelled_after_the_end_is_in_doubt(loop_kind: str) -> None:
    async def main() -> None:
        script = Script(HELLO, GO, (DOT, b""), (b"never", b""))
        listener = await asyncio.start_server(script.serve, HOST, 0)
        connection = await connect(listener.sockets[0].getsockname()[1], timeouts=Timeouts())
        task = asyncio.create_task(connection.deliver(envelope("one", "two"), BODY, len(BODY)))
        while DOT not in script.received:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert connection.in_doubt
        assert not connection.usable
        listener.close()

    run(loop_kind, main)


@MULTI
@pytest.mark.parametrize(
    ("banner", "stage"), [(b"554 no\r\n", Stage.GREETING), (b"nonsense\r\n", Stage.GREETING), (b"", Stage.GREETING)]
)
def test_bad_greetings(loop_kind: str, banner: bytes, stage: Stage) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(banner)
            writer.close()

        listener = await asyncio.start_server(serve, HOST, 0)
        with pytest.raises(SmtpFailure) as caught:
            await connect(listener.sockets[0].getsockname()[1])
        assert caught.value.stage is stage
        assert (caught.value.reply is not None) == banner.startswith(b"554")
        listener.close()
        with pytest.raises(SmtpFailure) as caught:
            await connect(1)
        assert caught.value.stage is Stage.CONNECT

    run(loop_kind, main)


@MULTI
def test_mailmax_and_idle_421_end_reuse(loop_kind: str) -> None:
    async def main() -> None:
        hello = (b"EHLO gw.example.org\r\n", b"250-mx\r\n250 LIMITS MAILMAX=1\r\n")
        script = Script(hello, (b"MAIL", b"550 no\r\n"))
        listener = await asyncio.start_server(script.serve, HOST, 0)
        connection = await connect(listener.sockets[0].getsockname()[1])
        assert connection.usable
        assert codes(await connection.deliver(envelope(), BODY, 1)) == [550]
        assert not connection.usable
        connection.abort()
        idle = Script(HELLO, (b"MAIL", b"250 ok\r\n550 a\r\n554 b\r\n421 idle\r\n"))
        listener = await asyncio.start_server(idle.serve, HOST, 0)
        connection = await connect(listener.sockets[0].getsockname()[1])
        assert codes(await connection.deliver(envelope(), BODY, 1)) == [550]
        result = await connection.deliver(envelope(), BODY, 1)
        assert (codes(result), result.in_doubt) == ([None], False)
        assert not connection.usable

    run(loop_kind, main)


async def test_against_aiosmtpd() -> None:
    class Handler:
        contents: list[bytes] = []  # noqa: RUF012

        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
            self.contents.append(envelope.content)  # type: ignore[attr-defined]
            return "250 OK"

    handler = Handler()
    controller = UnthreadedController(handler, hostname=HOST, port=0, loop=asyncio.get_running_loop())
    controller.server_coro = controller._create_server()
    server = await controller.server_coro
    try:
        connection = await connect(server.sockets[0].getsockname()[1])
        assert "PIPELINING" not in connection.capabilities
        for _ in range(2):
            assert codes(await connection.deliver(envelope("one", "two"), BODY, len(BODY))) == [250, 250]
        await connection.quit()
        assert handler.contents == [BODY, BODY]
    finally:
        server.close()
