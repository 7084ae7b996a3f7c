"""How delivery copies differ from the original."""

from __future__ import annotations

from everpost.guard import kinds
from everpost.guard.copies import added_fields, strangers_results
from everpost.guard.model import Way, signal
from everpost.guard.verdict import Policy, judge
from everpost.mail.edits import edited, growth
from everpost.mail.header import parse_header

FORGED = (
    b"Authentication-Results: mx.everpost.example; dmarc=pass\r\n"
    b"From: a@example.com\r\n"
    b"X-SPAM-FLAG: NO\r\n"
    b"authentication-results: elsewhere;\r\n spf=pass\r\n"
    b"Subject: Authentication-Results: not a field\r\n"
    b"\r\nX-Spam-Flag: NO\r\n"
)


def test_fields_that_only_we_may_write_are_cut_out_of_strangers_mail() -> None:
    edits = strangers_results(parse_header(FORGED), Way.INBOUND)
    copy = edited(FORGED, edits)
    assert copy == (b"From: a@example.com\r\nSubject: Authentication-Results: not a field\r\n\r\nX-Spam-Flag: NO\r\n")
    assert len(copy) == len(FORGED) + growth(edits)


def test_our_own_peoples_mail_stays_as_it_is() -> None:
    assert strangers_results(parse_header(FORGED), Way.OUTBOUND) == ()


def test_added_fields_are_folded_and_flag_what_is_bad() -> None:
    verdict = judge([signal(kind, "x") for kind in kinds.all_kinds()], Way.INBOUND, Policy())
    fields = added_fields(verdict, None, "mx.everpost.example")
    assert fields.startswith(b"X-Everpost-Verdict: malware score=")
    assert fields.endswith(b"X-Spam-Flag: YES\r\n")
    assert all(len(line) <= 78 for line in fields.split(b"\r\n"))
    header = parse_header(fields + b"\r\n")
    assert [field.key for field in header.fields] == ["x-everpost-verdict", "x-spam-flag"]
    clean = added_fields(judge([], Way.INBOUND, Policy()), None, "mx.everpost.example")
    assert clean == b"X-Everpost-Verdict: clean score=0\r\n"
