"""How delivery copies differ from the original."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everpost.guard import kinds
from everpost.guard.copies import Cutter, added_fields, cut_octets, cuts_of, without
from everpost.guard.model import Way, signal
from everpost.guard.verdict import Policy, judge
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
    cuts = cuts_of(parse_header(FORGED), Way.INBOUND)
    copy = without(FORGED, cuts)
    assert copy == (b"From: a@example.com\r\nSubject: Authentication-Results: not a field\r\n\r\nX-Spam-Flag: NO\r\n")
    assert len(copy) == len(FORGED) - cut_octets(cuts)


def test_our_own_peoples_mail_stays_as_it_is() -> None:
    assert cuts_of(parse_header(FORGED), Way.OUTBOUND) == ()


def test_added_fields_are_folded_and_flag_what_is_bad() -> None:
    verdict = judge([signal(kind, "x") for kind in kinds.all_kinds()], Way.INBOUND, Policy())
    fields = added_fields(verdict, None, "mx.everpost.example")
    assert fields.startswith(b"X-Everpost-Verdict: phishing score=")
    assert fields.endswith(b"X-Spam-Flag: YES\r\n")
    assert all(len(line) <= 78 for line in fields.split(b"\r\n"))
    header = parse_header(fields + b"\r\n")
    assert [field.key for field in header.fields] == ["x-everpost-verdict", "x-spam-flag"]
    clean = added_fields(judge([], Way.INBOUND, Policy()), None, "mx.everpost.example")
    assert clean == b"X-Everpost-Verdict: clean score=0\r\n"


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8, unique=True), st.data())
def test_chunks_are_cut_as_the_whole_is(data: bytes, offsets: list[int], draw: st.DataObject) -> None:
    places = sorted(offset for offset in offsets if offset <= len(data))
    cuts = tuple(places[: len(places) // 2 * 2])
    cutter, copy, position = Cutter(cuts), b"", 0
    while position < len(data):
        size = draw.draw(st.integers(1, 50))
        copy += cutter.feed(data[position : position + size])
        position += size
    assert copy == without(data, cuts)
