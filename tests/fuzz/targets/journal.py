"""Exchange journal reports."""

from __future__ import annotations

from everpost.mail.journal import parse_journal

SEEDS: list[bytes] = [
    b"X-MS-Journal-Report:\r\nContent-Type: multipart/mixed; boundary=j\r\n\r\n--j\r\nContent-Type: text/plain\r\n\r\n"
    b"Sender: a@example.org\r\nSubject: s\r\nMessage-Id: <m@example.org>\r\nTo: b@example.org\r\n"
    b"Bcc: d@example.org, Expanded: list@example.org\r\nRecipient: e@example.org, Forwarded: f@example.org\r\n"
    b"--j\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nbody\r\n--j--\r\n",
]


def run(data: bytes) -> None:
    """Nothing may raise, and the message lies inside the report."""
    report = parse_journal(data)
    if report is not None:
        assert 0 < report.message_start <= report.message_end <= len(data)
