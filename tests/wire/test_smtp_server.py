"""The server engine against hostile input."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from everpost.mail.reply import Reply
from everpost.wire.smtp.body import BodyReader
from everpost.wire.smtp.events import (
    NEED_DATA,
    BodyEnd,
    BodyFault,
    Closed,
    Quit,
    RcptTo,
    ServerLimits,
    ServerProfile,
    StartTls,
)
from everpost.wire.smtp.server import ServerEngine
from smtp_tools.host import OK, Host

OPENING = b"EHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"


def opened(**limits: int) -> Host:
    host = Host(ServerProfile("mx.example.org", limits=ServerLimits(**limits)))
    host.feed(OPENING)
    assert host.sent.endswith(b"354 End data with <CR><LF>.<CR><LF>\r\n")
    host.sent = b""
    return host


SMUGGLES = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r.\r",
    b"\n.\r",
    b"\r.\n",
    b"\n\n.\r\n",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
    b"\r\r\n.\n\r\n",
    b"\r\n\x85.\r\n",
]


@pytest.mark.parametrize("fake", SMUGGLES, ids=repr)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_no_fake_end_ends_the_message(fake: bytes, step: int) -> None:
    host = opened()
    data = b"Subject: x\r\n\r\nhello" + fake + b"MAIL FROM:<evil@example.com>\r\nDATA\r\nx"
    for start in range(0, len(data), step):
        host.feed(data[start : start + step])
    assert not any(isinstance(event, BodyEnd) for event in host.events)
    assert host.sent == b""
    host.feed(b"\r\n.\r\nQUIT\r\n")
    ends = [event for event in host.events if isinstance(event, BodyEnd)]
    assert len(ends) == 1
    bare = b"\r" in (rest := data.replace(b"\r\n", b"")) or b"\n" in rest
    assert (ends[0].fault is not None) == bare
    assert host.sent.startswith(b"554 5.6.0" if bare else b"250 ")
    assert len(host.messages) == (0 if bare else 1)
    assert any(isinstance(event, Quit) for event in host.events)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\r\n", b"\r\n.\r\n", b"\0", b"\xff"]), max_size=40))
def test_content_equals_the_reference(parts: list[bytes]) -> None:
    stream = b"".join(parts) + b"\r\n.\r\n"
    padded = b"\r\n" + stream
    raw = padded[: padded.find(b"\r\n.\r\n") + 2][2:]
    expected = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in raw.split(b"\r\n"))
    host = opened()
    for octet in stream:
        host.feed(bytes([octet]))
    bare = expected.replace(b"\r\n", b"")
    if b"\r" in bare or b"\n" in bare:
        assert host.messages[:1] == []
    else:
        assert host.messages[0] == expected


COMMANDS = st.sampled_from(
    [
        b"EHLO x\r\n",
        b"HELO y\r\n",
        b"MAIL FROM:<a@example.com>\r\n",
        b"RCPT TO:<b@example.org>\r\n",
        b"DATA\r\n",
        b"BDAT 5\r\nabcde",
        b"BDAT 3 LAST\r\na\r\n",
        b"BDAT 99999999999\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b".\r\n",
        b"\r\n",
        b"text\r\n",
        b"bare\n",
        b"bare\r",
        b"..\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH LOGIN\r\n",
        b"AHVzZXIAc2VjcmV0\r\n",
        b"*\r\n",
        b"RCPT TO:<unknown@example.org>\r\n",
        b"x" * 3000,
        b"\xff\0",
        b"MAIL FROM:<\xc3\xa9@example.com> SMTPUTF8\r\n",
        b"GET / HTTP/1.0\r\n",
        b"QUIT\r\n",
        b"STARTTLS\r\n",
    ]
)
LIMITS = ServerLimits(
    line_octets=512,
    message_octets=4000,
    header_octets=200,
    text_line_octets=100,
    recipients=3,
    errors=8,
    commands_without_mail=10,
    refused_recipients=4,
    transactions=4,
)


def run(stream: bytes, cuts: list[int]) -> tuple[list[object], bytes, int]:
    profile = ServerProfile(
        "mx.example.org", limits=LIMITS, auth_mechanisms=("PLAIN", "LOGIN"), auth_requires_tls=False
    )
    host = Host(profile)
    previous = 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        if cut > previous:
            host.feed(stream[previous:cut])
        previous = cut
    host.feed(b"")
    return list(host.events), host.sent, host.most_buffered


@settings(max_examples=400, deadline=None)
@given(st.lists(COMMANDS | st.binary(max_size=20), max_size=40), st.lists(st.integers(0, 100_000), max_size=12))
@example([b"HELO x\r\n", b"BDAT 3\r\na\r\n", b"NOOP\r\n"], [9, 17, 18])
def test_events_do_not_depend_on_cuts(parts: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(parts)
    whole = run(stream, [])
    assert run(stream, cuts)[:2] == whole[:2]
    assert run(stream, list(range(len(stream))))[:2] == whole[:2]
    assert whole[2] <= LIMITS.auth_line_octets


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000))
def test_random_octets_raise_nothing(stream: bytes) -> None:
    run(stream, [7, 100])
    host = opened(message_octets=1000)
    host.feed(stream)
    host.feed(b"")
    assert isinstance(host.events[-1], Closed)


def test_giant_line_is_refused_and_not_kept() -> None:
    host = Host()
    host.feed(b"EHLO x\r\n")
    for _ in range(20):
        host.feed(b"A" * 65536)
    assert b"500 5.5.2 Line too long" in host.sent
    assert host.sent.endswith(b"421 4.5.2 Line too long\r\n")
    assert host.most_buffered <= 2048
    assert host.engine.closing


def test_giant_line_that_ends_costs_one_error() -> None:
    host = Host()
    host.feed(b"NOOP " + b"A" * 100_000 + b"\r\nNOOP\r\n")
    assert host.sent.splitlines()[1:] == [b"500 5.5.2 Line too long", b"250 2.0.0 OK"]


def test_a_hundred_thousand_recipients_are_bounded() -> None:
    host = Host()
    host.feed(b"EHLO x\r\nMAIL FROM:<a@example.com>\r\n")
    started = time.process_time()
    for start in range(0, 100_000, 100):
        host.feed(b"".join(b"RCPT TO:<r%d@example.org>\r\n" % n for n in range(start, start + 100)))
    assert sum(isinstance(event, RcptTo) for event in host.events) == 1000
    assert host.sent.count(b"452 4.5.3 ") == 9001
    assert host.sent.endswith(b"421 4.5.3 Far too many recipients\r\n")
    assert time.process_time() - started < 3


def test_harvesting_ends_the_session() -> None:
    host = Host()
    host.feed(b"EHLO x\r\nMAIL FROM:<a@example.com>\r\n" + b"RCPT TO:<unknown@example.org>\r\n" * 2000)
    assert host.sent.count(b"550 5.1.1") == 1001
    assert host.engine.closing


@pytest.mark.parametrize(
    "command",
    [
        b"NOOP\r\n",
        b"RSET\r\n",
        b"EHLO x\r\n",
        b"VRFY x\r\n",
        b"HELP\r\n",
        b"BDAT 0\r\n",
        b"MAIL FROM:<refused@example.com>\r\n",
    ],
)
def test_floods_end_with_421(command: bytes) -> None:
    host = Host()
    host.feed(b"EHLO x\r\n" + command * 500)
    assert b"421 4.7.0 Too many commands without mail" in host.sent
    assert host.engine.closing


def test_many_tiny_pipelined_commands_are_linear() -> None:
    profile = ServerProfile("mx.example.org", limits=ServerLimits(commands_without_mail=10**9))

    def cost(count: int) -> float:
        host = Host(profile)
        started = time.process_time()
        host.feed(b"NOOP\r\n" * count)
        return time.process_time() - started

    cost(1000)
    assert cost(160_000) < 16 * max(cost(20_000), 0.005)


@pytest.mark.parametrize(
    ("content", "limits", "fault"),
    [
        (b"a\r\n" * 400, {"message_octets": 1000}, BodyFault.TOO_BIG),
        (b"h: x\r\n" * 100 + b"\r\nbody\r\n", {"header_octets": 599}, BodyFault.HEADER_TOO_BIG),
        (b"h: x\r\n" * 100 + b"\r\nbody\r\n", {"header_octets": 600}, None),
        (b"\r\n" + b"x" * 999 + b"\r\n", {"text_line_octets": 1000}, BodyFault.LINE_TOO_LONG),
        (b"\r\n" + b"x" * 998 + b"\r\n", {"text_line_octets": 1000}, None),
        (b"\r\n" + b"x" * 99_998 + b"\r\n", {"text_line_octets": 0}, None),
        (b"nul\0\r\n", {}, None),
        (b"\xff\xfe\r\n", {}, None),
        (b"both\r \n\r\n", {}, BodyFault.BARE_LF),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10**6])
def test_faults(content: bytes, limits: dict[str, int], fault: BodyFault | None, step: int) -> None:
    host = opened(**limits)
    data = content + b".\r\n"
    for start in range(0, len(data), step):
        host.feed(data[start : start + step])
    ends = [event for event in host.events if isinstance(event, BodyEnd)]
    assert [end.fault for end in ends] == [fault]
    assert host.messages == ([] if fault else [content])
    host.sent = b""
    host.feed(b"NOOP\r\n")
    assert host.sent == b"250 2.0.0 OK\r\n"


def test_refuse_nul() -> None:
    host = Host(ServerProfile("mx.example.org", refuse_nul=True))
    host.feed(OPENING + b"nul\0\r\n.\r\n")
    assert host.sent.endswith(b"554 5.6.0 NUL octet in message\r\n")


def test_endless_message_is_cut_off_with_bounded_memory() -> None:
    host = opened(message_octets=1_000_000)
    tracemalloc.start()
    for _ in range(1000):
        host.feed(b"x" * 60 + b"\r\n" + b"y" * 9938)
        if host.engine.closing:
            break
        host._body.clear()
        host.events.clear()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert host.engine.closing
    assert host.sent == b"552 5.3.4 Message exceeds the size limit\r\n"
    assert peak < 500_000


def test_octets_between_220_and_handshake_do_not_survive() -> None:
    host = Host(ServerProfile("mx.example.org", starttls=True))
    host.feed(b"EHLO x\r\nSTARTTLS\r\nEHLO in")
    assert isinstance(host.events[-1], StartTls)
    host.engine.receive_data(b"jected\r\nMAIL FROM:<evil@example.com>\r\n")
    host.start_tls()
    host.sent = b""
    host.run()
    assert host.sent == b""
    assert host.engine.plaintext_discarded == 7 + 38
    assert host.engine.hello is None
    host.feed(b"NOOP\r\n")
    assert host.sent == b"250 2.0.0 OK\r\n"


def test_a_fault_cannot_be_accepted() -> None:
    engine = ServerEngine(ServerProfile("mx.example.org"))
    host = Host()
    host.engine = engine
    engine.receive_data(OPENING + b"a\nb\r\n.\r\n")
    while not isinstance(event := engine.next_event(), BodyEnd):
        reply = host.decide(event) if event is not NEED_DATA else None  # type: ignore[arg-type]
        if reply is not None:
            engine.reply(reply)
    with pytest.raises(RuntimeError, match="bare LF"):
        engine.reply(OK)
    engine.reply(Reply(554, "No", (6, 0)))
    with pytest.raises(RuntimeError, match="no answer"):
        engine.reply(OK)


def test_hello_can_be_refused_and_421_closes() -> None:
    engine = ServerEngine(
        ServerProfile("mx"), hello_check=lambda name: Reply(550, "No", (7, 1)) if name == "bad" else None
    )
    engine.receive_data(b"EHLO bad\r\nEHLO good\r\n")
    assert engine.next_event() is not NEED_DATA
    assert engine.hello == "good"
    assert engine.data_to_send().startswith(b"550 5.7.1 No\r\n250-")
    engine.close(Reply(421, "Shutting down", (3, 2)))
    engine.close(Reply(421, "Again", (3, 2)))
    assert engine.data_to_send() == b"421 4.3.2 Shutting down\r\n"
    assert engine.next_event() == Closed("Shutting down")


def test_binary_chunks() -> None:
    host = Host(ServerProfile("mx.example.org", binarymime=True))
    host.feed(
        b"EHLO x\r\nMAIL FROM:<a@example.com> BODY=BINARYMIME\r\n"
        b"RCPT TO:<b@example.org>\r\nDATA\r\nBDAT 4 LAST\r\n\r\0\n\r"
    )
    assert b"503 5.5.1 BDAT is needed here" in host.sent
    assert host.messages == [b"\r\0\n\r"]


def test_reader_keeps_nothing() -> None:
    reader = BodyReader(ServerLimits())
    buffer = bytearray(b"x" * 100_000 + b"\r\n.")
    reader.start_dots(buffer)
    chunk, ended = reader.read_dots(buffer)
    assert (len(chunk), ended, bytes(buffer)) == (100_000, False, b"\r\n.")
