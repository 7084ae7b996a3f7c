"""Delivery reports about messages and replies of strangers."""

from __future__ import annotations

from datetime import UTC, datetime

from everpost.mail.address import Address
from everpost.mail.dsn import Action, RecipientStatus, build_report
from everpost.mail.envelope import Envelope, Recipient, Sender
from everpost.mail.mime import scan
from everpost.mail.reply import Reply

SEEDS: list[bytes] = [
    b"550 5.1.1 no such user\nFrom: a@example.org\r\nSubject: =?utf-8?q?=C3=A9?=\r\nMessage-ID: <m@x>\r\n\r\nbody\r\n",
    b"\xff\r\n--=_x\r\n\0Subject: a\rb\nc\r\n\r\n" + b"x" * 1200,
]
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def run(data: bytes) -> None:
    """The report is fit to be sent and has its three parts, whatever it is about."""
    said, _, original = data.partition(b"\n")
    text = said.decode("utf-8", "replace")
    recipient = Recipient(Address("b", "example.org"), orcpt=text)
    status = RecipientStatus(recipient, Action.FAILED, Reply(550, text, (1, 1)), text, _NOW, _NOW)
    report = build_report(
        reporting_mta="mx.example.org",
        original_envelope=Envelope(Sender(Address("a", "example.com"), envid=text), (recipient,)),
        original_header=original,
        original=original,
        statuses=[status],
        arrival=_NOW,
        now=_NOW,
        message_id="r@mx.example.org",
        report_from="postmaster@example.org",
    )
    rest = report.replace(b"\r\n", b"")
    assert b"\r" not in rest
    assert b"\n" not in rest
    assert max(map(len, report.split(b"\r\n"))) <= 998
    root = scan(report)
    assert len(root.children) == 3
    assert not root.problems
