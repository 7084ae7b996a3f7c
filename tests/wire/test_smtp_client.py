"""The client engine: dialogues, damaged replies, and its round trip with the server engine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everpost.mail.address import Address
from everpost.mail.envelope import Body, Envelope, Notify, Recipient, Ret, Sender
from everpost.mail.reply import Reply
from everpost.wire.smtp.client import (
    AuthDone,
    BodyWanted,
    ClientEngine,
    Done,
    Greeted,
    HelloDone,
    ProtocolError,
    ServerClosing,
    TlsReady,
    UnsafeContent,
)
from everpost.wire.smtp.replies import ReplyReader
from everpost.wire.smtp.syntax import encode_xtext, parse_rcpt
from smtp_tools.host import Host

EXTENSIONS = "PIPELINING\nSIZE 1000\n8BITMIME\nSMTPUTF8\nDSN\nAUTH PLAIN LOGIN\nLIMITS RCPTMAX=5 MAILMAX=2"


def envelope(*locals_: str, sender: Sender | None = None) -> Envelope:
    recipients = tuple(Recipient(Address(local, "example.org")) for local in locals_)
    return Envelope(sender or Sender(Address("a", "example.com")), recipients)


def opened(extensions: str = EXTENSIONS) -> ClientEngine:
    client = ClientEngine("gw.example.org")
    client.receive_data(b"220-hello\r\n220 there\r\n")
    assert isinstance(client.next_event(), Greeted)
    client.hello()
    assert client.data_to_send() == b"EHLO gw.example.org\r\n"
    client.receive_data(Reply(250, "mx.example.org\n" + extensions if extensions else "mx").encode())
    assert isinstance(client.next_event(), HelloDone)
    return client


def send(client: ClientEngine, content: bytes, step: int) -> None:
    for start in range(0, len(content), step):
        client.body(content[start : start + step])
    client.end_body()


def read(reader: ReplyReader, octets: bytes) -> None:
    for octet in octets:
        reader.feed(bytes([octet]))
        assert reader.take() is None


def codes(event: object) -> list[int | None]:
    assert isinstance(event, Done), event
    return [result.reply.code if result.reply else None for result in event.results]


def test_pipelined_transaction_in_one_write() -> None:
    client = opened()
    client.start(envelope("one", "two"), 10)
    assert client.data_to_send() == (
        b"MAIL FROM:<a@example.com> SIZE=10\r\nRCPT TO:<one@example.org>\r\nRCPT TO:<two@example.org>\r\nDATA\r\n"
    )
    client.receive_data(b"250 2.1.0 ok\r\n250 ok\r\n550-5.1.1 no\r\n550 5.1.1 such\r\n354 go\r\n")
    assert isinstance(client.next_event(), BodyWanted)
    assert client.whole_body(b".x\r\n.\r\n") == b"..x\r\n..\r\n.\r\n"
    assert client.end_written
    client.receive_data(b"250 2.0.0 queued as 1\r\n")
    done = client.next_event()
    assert codes(done) == [250, 550]
    assert isinstance(done, Done)
    assert done.results[1].reply == Reply(550, "no\nsuch", (1, 1))
    assert not client.end_written


def test_one_by_one_without_pipelining() -> None:
    client = opened("")
    client.start(envelope("one", "two"), 10)
    sent = []
    for answer in (b"250 ok\r\n", b"250 ok\r\n", b"450 later\r\n", b"354 go\r\n"):
        sent.append(client.data_to_send())
        client.receive_data(answer)
        event = client.next_event()
    assert sent == [
        b"MAIL FROM:<a@example.com>\r\n",
        b"RCPT TO:<one@example.org>\r\n",
        b"RCPT TO:<two@example.org>\r\n",
        b"DATA\r\n",
    ]
    assert isinstance(event, BodyWanted)


@pytest.mark.parametrize(("answer", "next_sent"), [(b"250 ok", b"MAIL"), (b"451 no", b"RSET"), (b"554 no", b"RSET")])
def test_a_refusal_of_the_whole_message_may_leave_the_transaction_open(answer: bytes, next_sent: bytes) -> None:
    """Postfix does so where a policy refuses the end of the content: 503 to the next MAIL, which would be final."""
    client = opened("PIPELINING")
    client.start(envelope("one"), 10)
    client.data_to_send()
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert isinstance(client.next_event(), BodyWanted)
    client.body(b"x\r\n")
    client.end_body()
    client.receive_data(answer + b"\r\n")
    assert codes(client.next_event()) == [int(answer[:3])]
    client.start(envelope("one"), 10)
    assert client.data_to_send().startswith(next_sent)


@pytest.mark.parametrize(
    ("extensions", "answers", "expected", "next_sent"),
    [
        ("", b"550 no\r\n", [550, 550], b"MAIL"),
        ("", b"250 ok\r\n550 no\r\n450 later\r\n", [550, 450], b"RSET"),
        ("PIPELINING", b"550 no\r\n503 a\r\n503 b\r\n503 c\r\n", [550, 550], b"RSET"),
        ("PIPELINING", b"250 ok\r\n550 a\r\n451 b\r\n554 c\r\n", [550, 451], b"RSET"),
        ("PIPELINING", b"250 ok\r\n550 a\r\n451 b\r\n354 go\r\n554 none\r\n", [550, 451], b"RSET"),
        ("PIPELINING", b"250 ok\r\n250 a\r\n551 b\r\n451 full\r\n", [451, 551], b"RSET"),
    ],
)
def test_refusals(extensions: str, answers: bytes, expected: list[int], next_sent: bytes) -> None:
    client = opened(extensions)
    client.start(envelope("one", "two"), 10)
    event = None
    sent = client.data_to_send()
    for line in answers.splitlines(keepends=True):
        client.receive_data(line)
        assert event is None
        event = client.next_event()
        sent += client.data_to_send()
    assert codes(event) == expected
    assert (b"\r\n.\r\n" in sent) == (b"354" in answers)
    client.start(envelope("three"), 10)
    assert client.data_to_send().startswith(next_sent)


def test_421_ends_a_transaction_and_keeps_what_was_refused() -> None:
    client = opened()
    client.start(envelope("one", "two", "three"), 10)
    client.receive_data(b"250 ok\r\n250 a\r\n550 b\r\n421 shutting down\r\n")
    assert codes(client.next_event()) == [421, 550, 421]
    assert client.closing


def test_parameters_only_where_announced() -> None:
    sender = Sender(Address("a", "example.com"), body=Body.EIGHT_BIT, ret=Ret.HEADERS, envid="a+b")
    recipient = Recipient(Address("b", "example.org"), Notify.SUCCESS | Notify.DELAY, "rfc822;x+y@example.org")
    never = Recipient(Address("c d", "example.org"), Notify.NEVER)
    client = opened()
    client.start(Envelope(sender, (recipient, never)), 7)
    assert client.data_to_send().split(b"\r\n")[:3] == [
        b"MAIL FROM:<a@example.com> SIZE=7 BODY=8BITMIME RET=HDRS ENVID=a+2Bb",
        b"RCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@example.org",
        b'RCPT TO:<"c d"@example.org> NOTIFY=NEVER',
    ]
    client = opened("PIPELINING")
    client.start(Envelope(sender, (recipient,)), 7)
    assert client.data_to_send().split(b"\r\n")[:2] == [b"MAIL FROM:<a@example.com>", b"RCPT TO:<b@example.org>"]


def test_smtputf8() -> None:
    client = opened("PIPELINING")
    client.start(envelope("zoë"), 1)
    event = client.next_event()
    assert codes(event) == [550]
    assert isinstance(event, Done)
    assert event.results[0].reply is not None
    assert event.results[0].reply.enhanced == "5.6.7"
    assert client.data_to_send() == b""
    client.start(Envelope(Sender(None), (Recipient(Address("b", "bücher.example")),)), 1)
    assert client.data_to_send().startswith(b"MAIL FROM:<>\r\nRCPT TO:<b@xn--bcher-kva.example>\r\n")
    client = opened()
    client.start(envelope("zoë"), 1)
    assert client.data_to_send().startswith(b"MAIL FROM:<a@example.com> SIZE=1 SMTPUTF8\r\nRCPT TO:<zo\xc3\xab@")


@pytest.mark.parametrize("bad", ["a\r\nRCPT TO:<x@y>", "a\nb", "a\0b", "a\x7fb"])
def test_an_address_never_becomes_a_command(bad: str) -> None:
    client = opened()
    client.start(envelope(bad), 1)
    assert codes(client.next_event()) == [553]
    assert client.data_to_send() == b""


@pytest.mark.parametrize(
    "content", [b"a\nb\r\n", b"a\rb\r\n", b"a\r", b"a\r\n\r", b"x\n.\r\nMAIL FROM:<x@y>\r\n", b"x\r\n.\rq\r\n"]
)
def test_unsafe_content_is_never_ended(content: bytes) -> None:
    for step in (1, 2, 100):
        client = opened()
        client.start(envelope("one"), 1)
        client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
        assert isinstance(client.next_event(), BodyWanted)
        with pytest.raises(UnsafeContent):
            send(client, content, step)
        assert not client.end_written
        with pytest.raises(UnsafeContent):
            client.whole_body(content)
        assert not client.end_written


def test_early_refusal_ends_it_and_early_success_is_a_lie() -> None:
    for answer in (b"552 too big\r\n", b"421 bye\r\n"):
        client = opened()
        client.start(envelope("one"), 1)
        client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n" + answer)
        assert isinstance(client.next_event(), BodyWanted)
        assert codes(client.next_event()) == [int(answer[:3])]
        assert client.closing
    client = opened()
    client.start(envelope("one"), 1)
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n")
    assert isinstance(client.next_event(), BodyWanted)
    with pytest.raises(ProtocolError):
        client.next_event()


def test_unsolicited_replies() -> None:
    client = opened()
    client.receive_data(b"250 surprise\r\n")
    with pytest.raises(ProtocolError):
        client.next_event()
    client = opened()
    client.receive_data(b"421 4.4.2 idle\r\n")
    assert isinstance(client.next_event(), ServerClosing)


@pytest.mark.parametrize("rest", [b"250 injected\r\n", b"2", b"\r\n"])
def test_nothing_after_the_220_of_starttls(rest: bytes) -> None:
    client = opened()
    client.starttls()
    client.receive_data(b"220 go\r\n" + rest)
    with pytest.raises(ProtocolError):
        client.next_event()
    client = opened()
    client.starttls()
    client.receive_data(b"220 go\r\n")
    assert isinstance(client.next_event(), TlsReady)
    client.receive_data(rest)
    with pytest.raises(ProtocolError):
        client.tls_started()


def test_helo_fallback_and_auth_login() -> None:
    client = ClientEngine("gw.example.org")
    client.receive_data(b"220 hi\r\n")
    client.next_event()
    client.hello()
    client.receive_data(b"502 what\r\n")
    assert client.next_event() is None
    assert client.data_to_send() == b"EHLO gw.example.org\r\nHELO gw.example.org\r\n"
    client.receive_data(b"250 mx\r\n")
    assert isinstance(client.next_event(), HelloDone)
    with pytest.raises(ProtocolError):
        client.authenticate("user", "secret")
    client = opened("AUTH=LOGIN")
    client.authenticate("user", "secret")
    assert client.data_to_send() == b"AUTH LOGIN\r\n"
    client.receive_data(b"334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 2.7.0 ok\r\n")
    assert isinstance(client.next_event(), AuthDone)
    assert client.data_to_send() == b"dXNlcg==\r\nc2VjcmV0\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"hello\r\n",
        b"25 x\r\n",
        b"250x\r\n",
        b"600 x\r\n",
        b"150 x\r\n",
        b"250-a\r\n251 b\r\n",
        b"2" * 5000,
        b"250-a\r\n" * 101,
        b"\r\n",
        b"\xff\xff\xff\r\n",
    ],
)
def test_malformed_replies(bad: bytes) -> None:
    reader = ReplyReader()
    with pytest.raises(ProtocolError):
        read(reader, bad)


def test_capabilities() -> None:
    offered = opened().capabilities
    assert offered.size_limit == 1000
    assert offered.auth_mechanisms == {"PLAIN", "LOGIN"}
    assert (offered.limit("RCPTMAX"), offered.limit("MAILMAX"), offered.limit("X")) == (5, 2, None)


LINES = st.lists(
    st.binary(max_size=30).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b""))
    | st.sampled_from([b".", b"..", b""])
)


@settings(max_examples=200, deadline=None)
@given(LINES, st.lists(st.integers(1, 40), min_size=1, max_size=8), st.booleans())
def test_round_trip_is_byte_exact(lines: list[bytes], sizes: list[int], final_crlf: bool) -> None:
    content = b"\r\n".join(lines) + (b"\r\n" if final_crlf else b"")
    host = Host()
    host.run()
    client = ClientEngine("gw.example.org")

    def pump() -> object:
        event = None
        for _ in range(4):
            data = client.data_to_send()
            if data:
                host.feed(data)
            client.receive_data(host.sent)
            host.sent = b""
            event = event or client.next_event()
        return event

    assert isinstance(pump(), Greeted)
    client.hello()
    assert isinstance(pump(), HelloDone)
    client.start(envelope("one", "unknown", "later"), len(content))
    assert isinstance(pump(), BodyWanted)
    position, wire = 0, b""
    while position < len(content):
        size = sizes[position % len(sizes)]
        wire += client.body(content[position : position + size])
        position += size
    wire += client.end_body()
    for start in range(0, len(wire), sizes[0]):
        host.feed(wire[start : start + sizes[0]])
    assert codes(pump()) == [250, 550, 451]
    expected = content if content.endswith(b"\r\n") or not content else content + b"\r\n"
    assert host.messages == [expected]


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=60))
def test_xtext_round_trip(text: str) -> None:
    line = f"TO:<a@example.org> ORCPT=rfc822;{encode_xtext(text)}"
    assert parse_rcpt(line, smtputf8=False, dsn=True, hostname="mx").orcpt == f"rfc822;{text}"
