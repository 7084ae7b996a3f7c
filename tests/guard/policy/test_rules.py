"""Rules: each condition, actions in their order, stop, shadow, and what a bad policy is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.guard import kinds
from everpost.guard.attachments.model import FindingKind
from everpost.guard.model import Disposition, Judgement, Way, signal
from everpost.guard.policy.apply import apply_rules
from everpost.guard.policy.document import MAX_OCTETS, plain, read_policy
from everpost.guard.policy.evaluate import BadPolicy, RuleBook
from everpost.guard.policy.model import PolicyDocument
from everpost.guard.verdict import Policy, judge
from guard.policy.setting import ANNA, BEN, GROUPS, MESSAGE, MONDAY, book, case, facts, rule

READERS = (ANNA, BEN)


def hit(condition: str, **more) -> bool:
    return bool(rule(condition).decide(facts(**more), READERS).hits)


@pytest.mark.parametrize(
    "condition",
    [
        '{ field = "direction", any = ["inbound"] }',
        '{ field = "sender", any = ["bounce@lists.partner.example"] }',
        '{ field = "sender", any = ["*.partner.example"] }',
        '{ field = "sender", any = ["*@LISTS.partner.example"] }',
        '{ field = "author", any = ["partner.example"] }',
        '{ field = "author", any = ["cora@partner.example"] }',
        '{ field = "author", any = ["evil.example"], not = true }',
        '{ field = "network", any = ["10.0.0.0/8", "192.0.2.0/24"] }',
        '{ field = "header", name = "x-mailer", any = ["^Blaster \\\\d"] }',
        '{ field = "subject", any = ["grüsse", "GRÜSSE", "grüße"] }',
        '{ field = "body", any = ["invoice .* attached"] }',
        '{ field = "content", any = ["iban", "card"], not = true }',
        '{ field = "size", any = ["> 10", "< 5"] }',
        '{ field = "size", any = ["<= 1 kB"] }',
        '{ field = "file-name", any = ["*.pdf"] }',
        '{ field = "file-type", any = ["application/*"] }',
        '{ field = "time", any = ["mon-fri 08:00-18:00 Europe/Berlin"] }',
        '{ field = "time", any = ["22:00-08:00"] }',
        '{ field = "time", any = ["sun 22:00-08:00"] }',
        '{ field = "judgement", any = ["clean", "suspicious"] }',
        '{ field = "score", any = ["< 3"] }',
        '{ field = "recipient", any = ["info@example.org"] }',
        '{ field = "recipient", any = ["group:Sales"] }',
        '{ field = "sealed", any = ["tls", "encrypted"], not = true }',
    ],
)
def test_conditions_that_are_true_of_it(condition: str) -> None:
    assert hit(condition)


@pytest.mark.parametrize(
    "condition",
    [
        '{ field = "direction", any = ["outbound"] }',
        '{ field = "sender", any = ["partner.example", "<>", "*.lists.partner.example"] }',
        '{ field = "author", any = ["artner.example", "*.partner.example"] }',
        '{ field = "network", any = ["2001:db8::/32"] }',
        '{ field = "country", any = ["DE"] }',
        '{ field = "header", name = "x-mailer-x", any = ["."] }',
        '{ field = "subject", any = ["^from"] }',
        '{ field = "body", any = ["invoice$"] }',
        '{ field = "size", any = ["> 10 MB"] }',
        '{ field = "file-name", any = ["*.pdf.exe", "invoice"] }',
        '{ field = "time", any = ["sat-sun 00:00-24:00"] }',
        '{ field = "time", any = ["mon 22:00-08:00"] }',
        '{ field = "signal", any = ["link.qr"] }',
        '{ field = "judgement", any = ["spam"] }',
        '{ field = "recipient", any = ["group:board", "nobody.example"] }',
        '{ field = "sealed", any = ["signed"] }',
    ],
)
def test_conditions_that_are_not(condition: str) -> None:
    assert not hit(condition)


def test_signals_countries_encryption_and_reports() -> None:
    odd = [signal(kinds.REPLY_ELSEWHERE, "x")]
    assert hit('{ field = "signal", any = ["' + kinds.REPLY_ELSEWHERE.name + '"] }', signals=odd)
    assert hit('{ field = "country", any = ["de", "FR"] }', country="DE")
    assert hit('{ field = "sealed", any = ["tls"] }', tls=True)
    sealed = b"From: a@b.example\r\nContent-Type: multipart/encrypted; boundary=x\r\n\r\n--x--\r\n"
    assert hit('{ field = "sealed", any = ["encrypted"] }', content=sealed)
    armoured = b"From: a@b.example\r\n\r\n-----BEGIN PGP MESSAGE-----\r\nx\r\n"
    assert hit('{ field = "sealed", any = ["encrypted"] }', content=armoured)


TWO = """
[[rule]]
id = "board"
name = "The board reads everything"
state = "on"
stop = true
when = [{ field = "recipient", any = ["group:sales"] }]
do = [{ do = "accept" }]

[[rule]]
id = "others"
state = "on"
when = [{ field = "subject", any = ["fair"] }]
do = [{ do = "junk" }, { do = "quarantine" }, { do = "field", value = "X-Fair: yes" }]

[[rule]]
id = "tried"
when = [{ field = "subject", any = ["fair"] }]
do = [{ do = "reject" }]

[[rule]]
id = "off"
state = "off"
do = [{ do = "reject" }]
"""


def test_top_down_with_stop_for_each_reader() -> None:
    decision = book(TWO).decide(facts(), READERS)
    assert decision.dispositions == {0: Disposition.ACCEPT, 1: Disposition.QUARANTINE}  # the later action counts
    assert decision.fields == ["X-Fair: yes"]
    assert [(each.rule_id, each.acted, each.recipients) for each in decision.hits] == [
        ("board", True, 1), ("others", True, 1), ("tried", False, 1),
    ]  # fmt: skip
    assert [(each.kind, each.weight, each.evidence) for each in decision.signals()] == [
        ("policy.rule", 0, "The board reads everything: accept"), ("policy.rule", 0, "others: junk, quarantine, field"),
        ("policy.shadow", 0, "tried: reject"),
    ]  # fmt: skip


def test_what_it_comes_to_for_each_mailbox() -> None:
    clean = judge([], Way.INBOUND, Policy())
    ruled = apply_rules(clean, case(), {1: book(TWO)})
    assert ruled.verdict.disposition is Disposition.ACCEPT
    assert ruled.dispositions == {12: Disposition.QUARANTINE}
    assert ruled.fields == ("X-Fair: yes",)
    assert apply_rules(clean, case(), {2: book(TWO)}).verdict == clean  # another organisation's rules see nothing of it


def test_a_message_is_refused_for_all_or_kept_apart_for_some() -> None:
    clean = judge([], Way.INBOUND, Policy())
    reject = 'state = "on"\nwhen = [{ field = "recipient", any = ["ben@example.org"] }]\ndo = [{ do = "reject" }]\n'
    some = apply_rules(clean, case(), {1: book(f'[[rule]]\nid = "r"\n{reject}')})
    assert (some.verdict.disposition, some.dispositions) == (Disposition.ACCEPT, {12: Disposition.QUARANTINE})
    alone = apply_rules(clean, case(readers=(BEN,)), {1: book(f'[[rule]]\nid = "r"\n{reject}')})
    assert (alone.verdict.disposition, alone.dispositions) == (Disposition.REJECT, {})


def test_malware_is_never_let_in_by_a_rule() -> None:
    virus = judge([signal(kinds.ATTACHMENT_KINDS[FindingKind.LNK], "x", weight=20.0)], Way.INBOUND, Policy())
    assert virus.judgement is Judgement.MALWARE
    ruled = apply_rules(virus, case(), {1: book('[[rule]]\nid = "r"\nstate = "on"\ndo = [{ do = "accept" }]')})
    assert ruled.verdict.disposition is Disposition.QUARANTINE


def test_nor_what_a_scanner_had_to_see_first() -> None:
    unseen = judge([signal(kinds.SCANNER_AWAY_QUARANTINE, "clamd: away")], Way.INBOUND, Policy())
    ruled = apply_rules(unseen, case(), {1: book('[[rule]]\nid = "r"\nstate = "on"\ndo = [{ do = "accept" }]')})
    assert ruled.verdict.disposition is Disposition.QUARANTINE


def test_the_strictest_word_counts_for_what_goes_out() -> None:
    text = '[[rule]]\nid = "r"\nstate = "on"\nwhen = [{ field = "recipient", any = ["rival.example"] }]\n'
    readers = (BEN, type(BEN)(None, None, frozenset({"x@rival.example"})))
    out = case(way=Way.OUTBOUND, readers=readers)
    ruled = apply_rules(judge([], Way.OUTBOUND, Policy()), out, {1: book(text + 'do = [{ do = "reject" }]')})
    assert ruled.verdict.disposition is Disposition.REJECT


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[rule]]\nid = "R"', "small letters"),
        ('[[rule]]\nid = "r"\n[[rule]]\nid = "r"', "2 rules have the id 'r'"),
        ('[[rule]]\nid = "r"\nwhat = 1', "unknown field `what`"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "colour", any = ["x"] }]', "Invalid enum value 'colour'"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "subject", any = [] }]', "1 to 1000 values"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "subject", any = ["(?=x)"] }]', "no pattern (RE2)"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "subject", any = ["x{1000}{1000}"] }]', "no pattern (RE2)"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "network", any = ["300.0.0.0/8"] }]', "192.0.2.0/24"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "size", any = ["big"] }]', "> 10 MB"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "time", any = ["08:00-18:00 Nowhere/Town"] }]', "no time zone"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "time", any = ["xyz 08:00-18:00"] }]', "days are mon"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "time", any = ["08:00-25:00"] }]', "no time of the day"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "country", any = ["Germany"] }]', "two letters"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "signal", any = ["link.qrr"] }]', "docs/signals.md"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "header", any = ["x"] }]', "names the field"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "recipient", any = ["group:nobody"] }]', "no group 'nobody'"),
        ('[[rule]]\nid = "r"\nwhen = [{ field = "sender", any = ["a b"] }]', "no address or domain"),
        ('[[rule]]\nid = "r"\ndo = [{ do = "field", value = "X-Everpost-Verdict: clean" }]', "no field to add"),
        ('[[rule]]\nid = "r"\ndo = [{ do = "field", value = "X-A: b\\r\\nBcc: c" }]', "no field to add"),
        ('[[rule]]\nid = "r"\ndo = [{ do = "junk", value = "x" }]', "belongs to the action field"),
        ("[[rule]", "Expected"),
        ("{", "truncated"),
        ("x" * (MAX_OCTETS + 1), "octets"),
    ],
)
def test_a_bad_policy_is_told_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(BadPolicy) as caught:
        RuleBook(read_policy(text.encode()), GROUPS)
    assert why in str(caught.value)


def test_as_json_and_back() -> None:
    document = read_policy(TWO.encode())
    assert RuleBook(document, GROUPS)
    assert read_policy(msgspec.json.encode(document)) == document
    assert plain(PolicyDocument()) == {}


def test_patterns_take_no_longer_than_the_text_is_long() -> None:
    content = b"From: a@b.example\r\n\r\n" + b"a" * 200_000 + b"\r\n"
    bad = rule('{ field = "body", any = ["(a*)*b", "(a|aa)+$x", "(.*)(.*)(.*)(.*)z"] }')
    looked = facts(content)
    began = time.process_time()
    assert not bad.decide(looked, READERS).hits
    assert time.process_time() - began < 2.0


@given(st.binary(max_size=400))
def test_whatever_strangers_write_is_looked_at(content: bytes) -> None:
    everything = book(
        '[[rule]]\nid = "r"\nwhen = [{ field = "subject", any = ["x"], not = true },'
        '{ field = "author", any = ["<>"], not = true }, { field = "file-name", any = ["*"], not = true },'
        '{ field = "body", any = ["(?s)^.*$"] }, { field = "sealed", any = ["signed"], not = true }]'
    )
    everything.decide(facts(content), READERS)


def test_times_follow_the_zone() -> None:
    condition = '{ field = "time", any = ["mon 00:00-09:00 Asia/Tokyo"] }'
    assert hit(condition, at=datetime(2026, 3, 1, 15, 30, tzinfo=UTC))  # Monday half past midnight there
    assert not hit(condition, at=MONDAY)
    assert MESSAGE


LEAK = (
    b"From: a@example.org\r\nSubject: Payments\r\nX-Classification: Confidential\r\n\r\n"
    b"DE89 3704 0044 0532 0130 00\r\n4111 1111 1111 1111\r\n"
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("iban", True), ("card >= 2", False), ("card", True), ("mark:confidential", True), ("mark:secret", False)],
)
def test_what_must_not_leave(value: str, expected: bool) -> None:
    assert hit(f'{{ field = "content", any = ["{value}"] }}', content=LEAK) is expected


def test_a_wrong_value_of_content_is_explained() -> None:
    with pytest.raises(BadPolicy, match=r"national-id:XX.*only of DE, ES, FR, GB, IT, NL, PL, US"):
        hit('{ field = "content", any = ["national-id:XX"] }')
