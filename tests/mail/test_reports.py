"""What we write and compare: trace fields, digests, delivery reports, notices; and journal reports we read."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.mail.address import Address
from everpost.mail.compose import build_message
from everpost.mail.digest import body_digest, content_digest
from everpost.mail.dsn import Action, RecipientStatus, build_report
from everpost.mail.envelope import Body, Envelope, Recipient, Ret, Sender
from everpost.mail.header import as_date, as_text, parse_header
from everpost.mail.journal import JournalKind, Redirection, parse_journal
from everpost.mail.mime import scan
from everpost.mail.reply import Reply
from everpost.mail.trace import hops, passed_through, queue_ids, received
from everpost.mail.xtext import decode_xtext, encode_xtext

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def parse(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


def assert_fit_to_send(data: bytes) -> None:
    assert b"\r" not in data.replace(b"\r\n", b"")
    assert b"\n" not in data.replace(b"\r\n", b"")
    assert b"\0" not in data
    assert max(map(len, data.split(b"\r\n"))) <= 998


def stamp(**changes: object) -> bytes:
    values: dict[str, object] = {
        "by": "mx.example.org",
        "queue_id": "q1",
        "from_helo": "client.example.com",
        "from_ip": "192.0.2.1",
        "from_rdns": None,
        "protocol": "ESMTPS",
        "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384",
        "recipient": None,
        "when": NOW,
    }
    return received(**(values | changes))  # type: ignore[arg-type]


def test_received_field() -> None:
    assert stamp(recipient="a@example.org", from_ip="2001:db8::1", from_rdns="r.example.com") == (
        b"Received: from client.example.com (r.example.com [IPv6:2001:db8::1]) (using\r\n"
        b"\tTLSv1.3 TLS_AES_256_GCM_SHA384) by mx.example.org with ESMTPS id q1 for\r\n"
        b"\t<a@example.org>; Sun, 01 Mar 2026 12:00:00 +0000\r\n"
    )
    header = parse_header(stamp() + stamp(queue_id="q0", by="MX.example.org") + stamp(by="other.example") + b"\r\n")
    assert hops(header) == 3
    assert passed_through(header, "mx.example.org") == 2
    assert queue_ids(header, "mx.example.org") == ("q1", "q0")
    with pytest.raises(ValueError):
        stamp(when=datetime(2026, 1, 1))


@pytest.mark.parametrize(
    "helo", ["by", "x by other.example id z", "(by other.example id z)", "a\r\nX: y", ";", "\\", "\0", ""]
)
def test_a_client_cannot_hide_or_add_a_stamp(helo: str) -> None:
    data = stamp(from_helo=helo, from_rdns=helo) + b"\r\n"
    header = parse_header(data)
    assert len(header.fields) == 1
    assert passed_through(header, "mx.example.org") == 1
    assert passed_through(header, "other.example") == 0
    assert queue_ids(header, "mx.example.org") == ("q1",)


@given(st.text(max_size=400), st.text(max_size=400), st.text(max_size=400))
def test_received_of_anything(helo: str, rdns: str, tls: str) -> None:
    data = stamp(from_helo=helo, from_rdns=rdns, tls=tls, recipient=helo)
    assert_fit_to_send(data)
    header = parse_header(data + b"\r\n")
    assert len(header.fields) == 1
    assert passed_through(header, "mx.example.org") == 1
    assert as_date(header.fields[0].raw.rpartition(b";")[2]) == NOW


ORIGINAL = (
    b"From: a@example.com\r\nTo: b@example.org\r\nSubject: a long\r\n subject\r\nMessage-ID: <m@example.com>\r\n"
    b"Date: Sun, 1 Mar 2026 11:00:00 +0000\r\n\r\nbody\r\n"
)


def test_digests_survive_servers_and_nothing_else() -> None:
    copy = b"Return-Path: <a@example.com>\r\n" + stamp() + ORIGINAL.replace(b"long\r\n subject", b"long subject")
    reordered = copy.replace(b"To: b@example.org\r\n", b"", 1).replace(b"\r\n\r\n", b"\r\nTo: b@example.org\r\n\r\n", 1)
    for same in (copy, reordered, copy + b"\r\n\r\n", copy[:-2]):
        assert content_digest(same) == content_digest(ORIGINAL)
        assert body_digest(same) == body_digest(ORIGINAL)
    for other in (
        ORIGINAL.replace(b"body", b"Body"),
        ORIGINAL.replace(b"a long", b"a short"),
        ORIGINAL.replace(b"b@example.org", b"c@example.org"),
        ORIGINAL.replace(b"\r\n\r\n", b"\r\nTo: c@example.org\r\n\r\n", 1),
        ORIGINAL.replace(b"body", b"\r\nbody"),
    ):
        assert content_digest(other) != content_digest(ORIGINAL)
    assert body_digest(b"A: b\r\n\r\nx" + b"\r\n" * 200_000) == body_digest(b"A: b\r\n\r\nx")


def report(statuses: list[RecipientStatus], *, original: bytes | None = ORIGINAL, **sender: object) -> bytes:
    values = {"reverse_path": Address.parse("a@example.com"), **sender}
    envelope = Envelope(Sender(**values), tuple(status.recipient for status in statuses))  # type: ignore[arg-type]
    return build_report(
        reporting_mta="mx.example.org",
        original_envelope=envelope,
        original_header=(original or ORIGINAL).partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        original=original,
        statuses=statuses,
        arrival=NOW,
        now=NOW,
        message_id="r@mx.example.org",
        report_from="postmaster@example.org",
    )


def status(action: Action = Action.FAILED, reply: Reply | None = None, **recipient: object) -> RecipientStatus:
    address = Address.parse(str(recipient.pop("address", "b@example.org")))
    return RecipientStatus(
        Recipient(address, **recipient),  # type: ignore[arg-type]
        action,
        reply,
        remote="mail.example.net",
        last_attempt=NOW,
        retry_until=NOW,
    )


REFUSED = Reply(550, "No such mailbox\nreally", (1, 1))


def test_failure_report() -> None:
    data = report([status(reply=REFUSED, orcpt="rfc822;old@example.org")], envid="e+1")
    assert_fit_to_send(data)
    assert data.isascii()
    message = parse(data)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["To"].addresses[0].addr_spec == "a@example.com"
    assert message["Subject"] == "Not delivered: a long subject"
    assert message["In-Reply-To"] == "<m@example.com>"
    text, fields, returned = message.iter_parts()
    shown = text.get_content()
    assert "<b@example.org>" in shown
    assert "(you wrote to old@example.org)" in shown
    assert "550 5.1.1 No such mailbox really" in shown
    per_message, recipient = fields.get_payload()
    assert per_message["Reporting-MTA"] == "dns; mx.example.org"
    assert per_message["Original-Envelope-Id"] == "e+1"
    assert as_date(per_message["Arrival-Date"].encode()) == NOW
    assert recipient["Original-Recipient"] == "rfc822; old@example.org"
    assert recipient["Final-Recipient"] == "rfc822; b@example.org"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 No such mailbox really"
    assert recipient["Remote-MTA"] == "dns; mail.example.net"
    assert "Will-Retry-Until" not in recipient
    assert returned.get_content_type() == "message/rfc822"
    assert returned.get_payload()[0].get_payload() == "body\r\n"


def test_one_report_for_several_fates() -> None:
    fates = [status(action, None, address=f"{action}@example.org") for action in Action]
    groups = list(parse(report(fates)).iter_parts())[1].get_payload()[1:]
    assert [group["Action"] for group in groups] == [action.value for action in Action]
    assert [group["Status"] for group in groups] == ["5.4.7", "4.0.0", "2.0.0", "2.0.0", "2.0.0"]
    assert ["Will-Retry-Until" in group for group in groups] == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("action", "ret", "original", "kind"),
    [
        (Action.FAILED, None, ORIGINAL, "message/rfc822"),
        (Action.FAILED, Ret.FULL, ORIGINAL, "message/rfc822"),
        (Action.FAILED, Ret.HEADERS, ORIGINAL, "text/rfc822-headers"),
        (Action.DELAYED, Ret.FULL, ORIGINAL, "text/rfc822-headers"),
        (Action.DELIVERED, None, ORIGINAL, "text/rfc822-headers"),
        (Action.FAILED, None, ORIGINAL + b"x\r\n" * 40_000, "text/rfc822-headers"),
        (Action.FAILED, None, ORIGINAL + b"x" * 2000, "text/rfc822-headers"),
        (Action.FAILED, None, ORIGINAL + b"bare\nfeed", "text/rfc822-headers"),
        (Action.FAILED, None, ORIGINAL + b"\0", "text/rfc822-headers"),
    ],
)
def test_what_is_returned(action: Action, ret: Ret | None, original: bytes, kind: str) -> None:
    data = report([status(action)], original=original, ret=ret)
    assert_fit_to_send(data)
    returned = list(parse(data).iter_parts())[2]
    assert returned.get_content_type() == kind
    if kind == "text/rfc822-headers":
        assert "From: a@example.com" in returned.get_payload(decode=True).decode()
        assert b"\r\nbody\r\n" not in data


def test_international_report() -> None:
    address = "jürgen@example.org"
    header = "Subject: Grüße\r\n\r\n".encode()
    data = report(
        [status(reply=Reply(550, "unbekannt: jürgen"), address=address, orcpt=f"utf-8;{address}")],
        original=header,
        smtputf8=True,
        body=Body.EIGHT_BIT,
        ret=Ret.HEADERS,
    )
    assert_fit_to_send(data)
    parts = scan(data).children
    assert [part.type for part in parts] == [
        "text/plain",
        "message/global-delivery-status",
        "message/global-headers",
    ]
    assert "Final-Recipient: utf-8; jürgen@example.org\r\n".encode() in data
    assert "Original-Recipient: utf-8; jürgen@example.org\r\n".encode() in data
    assert not scan(data).problems


def test_no_report_about_a_report() -> None:
    with pytest.raises(ValueError, match="null"):
        report([status()], reverse_path=None)
    with pytest.raises(ValueError, match="recipient"):
        report([])


@given(st.text(max_size=2000), st.text(max_size=300), st.binary(max_size=500), st.sampled_from(list(Action)))
def test_reports_of_anything(said: str, remote: str, original: bytes, action: Action) -> None:
    chosen = Recipient(Address("b", "example.org"), orcpt=remote)
    fate = RecipientStatus(chosen, action, Reply(550, said, (1, 1)), remote, NOW, NOW)
    data = report([fate], original=b"Subject: " + original, envid=said)
    assert_fit_to_send(data)
    message = parse(data)
    parts = list(message.iter_parts())
    assert len(parts) == 3
    assert len(scan(data).children) == 3
    assert not scan(data).problems
    if parts[1].get_content_type() == "message/delivery-status":
        groups = parts[1].get_payload()
        assert len(groups) == 2
        assert len(groups[1].get_all("Final-Recipient")) == 1
        assert groups[1]["Action"] == action.value


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_xtext_round_trip(text: str) -> None:
    encoded = encode_xtext(text)
    assert all("!" <= letter <= "~" for letter in encoded)
    assert decode_xtext(encoded) == text


@pytest.mark.parametrize("text", ["a b", "+", "+zz", "+ab", "=", "é", "+FF"])
def test_bad_xtext(text: str) -> None:
    assert decode_xtext(text) is None


def notice(**changes: object) -> bytes:
    values: dict[str, object] = {
        "sender": Address.parse("alerts@example.org"),
        "recipients": [Address.parse("a@example.com"), Address.parse("b@example.com")],
        "subject": "The primary is down",
        "text": "Hello\n",
        "message_id": "n@example.org",
        "date": NOW,
    }
    return build_message(**(values | changes))  # type: ignore[arg-type]


def test_notice() -> None:
    data = notice(html="<p>Grüße", sender_name='The "Post" Ünit', headers={"Auto-Submitted": "auto-generated"})
    assert_fit_to_send(data)
    assert data.isascii()
    assert data == notice(html="<p>Grüße", sender_name='The "Post" Ünit', headers={"Auto-Submitted": "auto-generated"})
    message = parse(data)
    assert message["From"].addresses[0].display_name == 'The "Post" Ünit'
    assert [address.addr_spec for address in message["To"].addresses] == ["a@example.com", "b@example.com"]
    assert message["Message-ID"] == "<n@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    plain, html = message.iter_parts()
    assert plain.get_content() == "Hello\r\n"
    assert html.get_content().strip() == "<p>Grüße"


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": {"From": "x"}},
        {"headers": {"A B": "x"}},
        {"headers": {"A:": "x"}},
        {"headers": {"A\r\nB": "x"}},
        {"headers": {"": "x"}},
        {"recipients": []},
        {"date": datetime(2026, 1, 1)},
    ],
)
def test_bad_notices_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        notice(**changes)


@given(st.text(max_size=1500), st.text(max_size=200))
def test_notices_of_anything(text: str, short: str) -> None:
    data = notice(text=text, html=text, subject=short, sender_name=short, message_id=short, headers={"X-A": text})
    assert_fit_to_send(data)
    header = parse_header(data)
    assert [field.key for field in header.fields] == [
        *("from", "to", "subject", "date", "message-id", "x-a"),
        *(field.key for field in header.fields[6:]),
    ]
    assert {field.key for field in header.fields[6:]} == {"mime-version", "content-type"}
    assert len(scan(data).children) == 2
    subject = header.first("subject")
    assert subject is not None
    if "=?" not in short:
        spaced = short.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
        assert as_text(subject.raw).strip() == as_text(spaced.encode("utf-8", "replace")).strip()


ENVELOPE = """Sender: a@example.org
Subject: =?not decoded
Message-Id: <m@example.org>
On-Behalf-Of: boss@example.org
To: b@example.org
Cc: "C" <c@example.org>
Bcc: d@example.org, Expanded: list@example.org
Recipient: e@example.org, Forwarded: f@example.org
To: /o=Org/cn=Recipients/cn=x
Label: whatever
"""


def journal(
    envelope: str = ENVELOPE, *, field: str = "X-MS-Journal-Report:\r\n", kind: str = "message/rfc822"
) -> bytes:
    text = envelope.replace("\n", "\r\n")
    return (
        (
            f"From: journal@example.org\r\n{field}Content-Type: multipart/mixed;\r\n boundary=j\r\n\r\n--j\r\n"
            f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--j\r\nContent-Type: {kind}\r\n\r\n"
        ).encode()
        + ORIGINAL
        + b"\r\n--j--\r\n"
    )


def test_journal_report() -> None:
    data = journal()
    found = parse_journal(data)
    assert found is not None
    assert data[found.message_start : found.message_end] == ORIGINAL
    assert str(found.sender) == "a@example.org"
    assert str(found.on_behalf_of) == "boss@example.org"
    assert (found.message_id, found.subject) == ("m@example.org", "=?not decoded")
    assert [(str(r.address), r.kind, r.original and str(r.original), r.redirection) for r in found.recipients] == [
        ("b@example.org", JournalKind.TO, None, None),
        ("c@example.org", JournalKind.CC, None, None),
        ("d@example.org", JournalKind.BCC, "list@example.org", Redirection.EXPANDED),
        ("e@example.org", JournalKind.RECIPIENT, "f@example.org", Redirection.FORWARDED),
    ]
    assert found.unreadable == ("/o=Org/cn=Recipients/cn=x",)


def test_journal_variants() -> None:
    unmarked = parse_journal(journal(field=""))
    assert unmarked is not None
    null = parse_journal(journal("Sender: <>\nMessage-ID: <m@x>\nTo: b@example.org\n"))
    assert null is not None
    assert null.sender is None
    assert null.unreadable == ()
    assert len(null.recipients) == 1
    quoted = (
        journal()
        .replace(b"charset=utf-8\r\n\r\n", b"charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
        .replace(b"Sender: a@example.org", b"Sender: a=40exam=\r\nple.org")
        .replace(b"=?not", b"=3D?not")
    )
    encoded = parse_journal(quoted)
    assert encoded is not None
    assert str(encoded.sender) == "a@example.org"


@pytest.mark.parametrize(
    "data",
    [
        ORIGINAL,
        b"",
        journal(field="", envelope="Sender: a@example.org\n"),
        journal("Hello\n"),
        journal(kind="application/octet-stream"),
        journal(kind="message/rfc822\r\nContent-Transfer-Encoding: base64"),
    ],
)
def test_other_messages_are_no_journal_reports(data: bytes) -> None:
    assert parse_journal(data) is None


@given(st.binary(max_size=200), st.integers(0, 700), st.integers(0, 700))
def test_journal_of_anything(noise: bytes, start: int, end: int) -> None:
    data = journal()
    data = data[:start] + noise + data[end:]
    found = parse_journal(data)
    if found is not None:
        assert 0 < found.message_start <= found.message_end <= len(data)
