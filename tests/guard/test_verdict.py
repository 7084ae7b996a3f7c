"""From signals to a verdict."""

from __future__ import annotations

import random

import pytest

from everpost.guard import kinds
from everpost.guard.model import (
    MAX_EVIDENCE,
    Disposition,
    Group,
    Judgement,
    Signal,
    Way,
    decode_verdict,
    encode_verdict,
    signal,
)
from everpost.guard.verdict import CAPS, Policy, judge


def judged(*signals: Signal, policy: Policy | None = None, way: Way = Way.INBOUND) -> tuple[Judgement, Disposition]:
    verdict = judge(signals, way, policy or Policy())
    return verdict.judgement, verdict.disposition


def test_nothing_noticed_is_clean() -> None:
    assert judged() == (Judgement.CLEAN, Disposition.ACCEPT)


def test_a_few_points_are_suspicious_and_delivered() -> None:
    assert judged(signal(kinds.LISTED, "x", weight=3.0)) == (Judgement.SUSPICIOUS, Disposition.ACCEPT)


def test_many_points_are_what_most_of_them_point_to() -> None:
    spam = [signal(kinds.LISTED, "x"), signal(kinds.SPF_FAIL, "x")]
    assert judged(*spam) == (Judgement.SPAM, Disposition.JUNK)
    phishing = [signal(kinds.OWN_DOMAIN, "x"), signal(kinds.NAME_IS_ADDRESS, "x"), signal(kinds.SPF_FAIL, "x")]
    assert judged(*phishing) == (Judgement.PHISHING, Disposition.QUARANTINE)


def test_a_decisive_signal_needs_no_others() -> None:
    assert judged(signal(kinds.DMARC_REJECT, "x"))[0] is Judgement.PHISHING


def test_a_decisive_signal_can_be_switched_off() -> None:
    policy = Policy(weights={kinds.DMARC_REJECT.name: 0.0})
    assert judged(signal(kinds.DMARC_REJECT, "x"), policy=policy) == (Judgement.CLEAN, Disposition.ACCEPT)


def test_no_group_decides_beyond_its_cap() -> None:
    many = [signal(kinds.NO_REVERSE_NAME, str(number)) for number in range(100)]
    assert judge(many, Way.INBOUND, Policy()).score == CAPS[Group.NETWORK][1]


def test_nothing_but_content_speaks_for_a_message() -> None:
    for group, (least, _) in CAPS.items():
        assert least == 0 or group is Group.CONTENT
    favour = signal(kinds.SPF_FAIL, "x", weight=-50.0)
    assert judge([favour, signal(kinds.LISTED, "x")], Way.INBOUND, Policy()).score == kinds.LISTED.weight


def test_faults_alone_change_nothing() -> None:
    faults = [signal(kinds.STEP_LATE, "a"), signal(kinds.STEP_FAILED, "b"), signal(kinds.NO_DNS, "c")]
    assert judged(*faults) == (Judgement.CLEAN, Disposition.ACCEPT)


def test_order_does_not_matter() -> None:
    signals = [signal(kind, "x") for kind in kinds.all_kinds()]
    first = judge(signals, Way.INBOUND, Policy())
    random.Random(7).shuffle(signals)
    assert judge(signals, Way.INBOUND, Policy()) == first


def test_evidence_is_bounded_and_printable() -> None:
    made = signal(kinds.SPF_FAIL, "a\r\nX-Evil: \x1b[31m" + "b" * 10_000)
    assert len(made.evidence) == MAX_EVIDENCE
    assert made.evidence.isprintable()


def test_a_verdict_survives_storage() -> None:
    verdict = judge([signal(kinds.SPF_FAIL, "ümläut")], Way.OUTBOUND, Policy())
    assert decode_verdict(encode_verdict(verdict)) == verdict


@pytest.mark.parametrize("kind", list(kinds.all_kinds()), ids=lambda kind: kind.name)
def test_every_kind_says_what_it_means(kind: kinds.SignalKind) -> None:
    assert kind.meaning.endswith((".", ")"))
    assert kinds.kind_of(kind.name) is kind


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        (kinds.SCANNER_AWAY, Disposition.ACCEPT),
        (kinds.SCANNER_AWAY_QUARANTINE, Disposition.QUARANTINE),
        (kinds.SCANNER_AWAY_DEFER, Disposition.DEFER),
    ],
)
def test_mail_that_a_needed_scanner_has_not_seen_is_not_delivered(kind, instead: Disposition) -> None:
    unseen = signal(kind, "x")
    assert judged(unseen) == (Judgement.CLEAN, instead)
    spam = [signal(kinds.LISTED, "x"), signal(kinds.SPF_FAIL, "x")]
    assert judged(*spam, unseen)[1] is (Disposition.JUNK if instead is Disposition.ACCEPT else instead)
    assert judged(unseen, signal(kinds.SCANNER_MALWARE, "x"))[1] is Disposition.QUARANTINE  # kept apart anyway
    both = [signal(kinds.SCANNER_AWAY_QUARANTINE, "x"), signal(kinds.SCANNER_AWAY_DEFER, "x")]
    assert judged(*both) == (Judgement.CLEAN, Disposition.DEFER)
