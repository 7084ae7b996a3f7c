"""The steps that ask who sends, from where, and under whose name."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

import pytest

from auth_tools.zone import Zone
from everpost.auth.check import CheckSettings
from everpost.auth.resolver import RecordType
from everpost.guard import kinds
from everpost.guard.model import Signal
from everpost.guard.steps.author import Author
from everpost.guard.steps.greeting import BlockList, BlockLists, greeting_signals
from everpost.guard.steps.sender import Sender
from guard_tools import case_of

PLAIN = b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: hello\r\n\r\nBody\r\n"
GOOD = {
    "example.com": {RecordType.TXT: ["v=spf1 ip4:192.0.2.1 -all"]},
    "_dmarc.example.com": {RecordType.TXT: ["v=DMARC1; p=reject"]},
    "1.2.0.192.in-addr.arpa": {RecordType.PTR: ["mx.example.com"]},
    "mx.example.com": {RecordType.A: ["192.0.2.1"]},
}


def names(signals: Iterable[Signal]) -> set[str]:
    return {each.kind for each in signals}


async def test_an_honest_sender_raises_nothing() -> None:
    case = case_of(PLAIN)
    assert names(await Sender(Zone(GOOD), CheckSettings())(case)) == set()
    assert case.authentication is not None
    assert names(await Author()(case)) == set()


@pytest.mark.parametrize(
    ("policy", "kind"),
    [("reject", kinds.DMARC_REJECT), ("quarantine", kinds.DMARC_QUARANTINE), ("none", kinds.DMARC_FAIL)],
)
async def test_a_forged_author_is_what_its_domain_asks_for(policy: str, kind: kinds.SignalKind) -> None:
    zone = {**GOOD, "_dmarc.example.com": {RecordType.TXT: [f"v=DMARC1; p={policy}"]}}
    case = case_of(PLAIN, client=ip_address("198.51.100.9"))
    found = names(await Sender(Zone(zone), CheckSettings())(case))
    assert {kinds.SPF_FAIL.name, kind.name, kinds.NO_REVERSE_NAME.name} <= found


async def test_nobody_vouches() -> None:
    found = names(await Sender(Zone({}), CheckSettings())(case_of(PLAIN)))
    assert kinds.NOBODY_VOUCHES.name in found


async def test_large_messages_are_split_at_their_header() -> None:
    case = case_of(PLAIN, open=lambda: (PLAIN[at : at + 3] for at in range(0, len(PLAIN), 3)))
    assert names(await Sender(Zone(GOOD), CheckSettings())(case)) == set()


@pytest.mark.parametrize(
    ("helo", "kind"),
    [
        ("mx.example.com", None), ("[192.0.2.1]", None), ("[IPv6:2001:db8::1]", None),
        ("MX.Everpost.example", kinds.HELO_IS_OURS), ("localhost", kinds.HELO_BARE), ("192.0.2.1", kinds.HELO_BARE),
        ("", kinds.HELO_BARE),
    ],
)  # fmt: skip
def test_greetings(helo: str, kind: kinds.SignalKind | None) -> None:
    found = names(greeting_signals(helo, frozenset({"mx.everpost.example"})))
    assert found == ({kind.name} if kind else set())


async def test_block_lists_count_only_real_listings() -> None:
    zone = Zone(
        {
            "8.8.8.8.bad.example.net": {RecordType.A: ["127.0.0.2"]},
            "8.8.8.8.refuses.example.net": {RecordType.A: ["127.255.255.254"]},
            "8.8.8.8.parked.example.net": {RecordType.A: ["203.0.113.1"]},
            "1.2.0.192.bad.example.net": {RecordType.A: ["127.0.0.2"]},
        }
    )
    lists = tuple(BlockList(f"{name}.example.net") for name in ("bad", "refuses", "parked", "silent"))
    [found] = await BlockLists(zone, lists)(case_of(PLAIN, client=ip_address("8.8.8.8")))
    assert found.kind == kinds.LISTED.name
    assert "bad.example.net (127.0.0.2)" in found.evidence
    assert await BlockLists(zone, lists)(case_of(PLAIN)) == ()  # no public address


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ("From: ceo@example.org", kinds.OWN_DOMAIN),
        ("From: ceo@EXAMPLE.ORG", kinds.OWN_DOMAIN),
        ('From: "ceo@example.org" <x@evil.example>', kinds.NAME_IS_ADDRESS),
        ('From: "ann@mail.example.com" <ann@example.com>', None),
        ("From: ann@example.com\r\nFrom: ben@example.com", kinds.SEVERAL_AUTHORS),
        ("To: nobody", kinds.SEVERAL_AUTHORS),
        ("From: ann@example.com\r\nReply-To: x@evil.example", kinds.REPLY_ELSEWHERE),
        ("From: ann@example.com\r\nReply-To: x@sub.example.com", None),
        ("From: ann@example.com\r\nReply-To: x@lists.example\r\nList-Id: <x.lists.example>", None),
    ],
)
async def test_authors(fields: str, kind: kinds.SignalKind | None) -> None:
    found = names(await Author()(case_of(f"{fields}\r\n\r\nhello\r\n".encode())))
    assert found == ({kind.name} if kind else set())
