"""A person's own list of senders against what the guard says."""

from __future__ import annotations

import pytest

from everpost.guard import kinds
from everpost.guard.copies import added_fields
from everpost.guard.guard import Assessment, Guard, GuardSettings
from everpost.guard.model import Disposition, Judgement, Signal, SignalKind, Verdict
from everpost.guard.wishes import SenderError, Wish, as_wished, sender_key, senders_of, wanted_instead, wish_about
from everpost.mail.address import Address
from everpost.mail.header import parse_header

HEADER = parse_header(b"From: News <News@Shop.Example>, x@other.example\r\n\r\n")
ALLOW, DENY = Wish.ALLOW, Wish.DENY


def test_addresses_and_domains_are_compared_in_one_form() -> None:
    assert sender_key(" Anna@EXAMPLE.org ") == "anna@example.org"
    assert sender_key("@Example.org") == sender_key("example.ORG") == "example.org"
    assert sender_key("bücher.example") == "xn--bcher-kva.example"
    for wrong in ("", "@", "a b@example.org", "exa mple.org", "a@b@", "x" * 300 + "@example.org"):
        with pytest.raises(SenderError):
            sender_key(wrong)


def test_who_sent_a_message() -> None:
    found = senders_of(HEADER, Address.parse("bounce@mailer.example"), None, inside=False)
    assert found == {"news@shop.example": False, "x@other.example": False, "bounce@mailer.example": False}
    assert all(senders_of(HEADER, None, None, inside=True).values())


@pytest.mark.parametrize(
    ("rules", "vouched", "wish"),
    [
        ({}, True, None),
        ({"news@shop.example": ALLOW}, True, ALLOW),
        ({"news@shop.example": ALLOW}, False, None),  # anybody can write that
        ({"shop.example": ALLOW}, True, ALLOW),
        ({"shop.example": DENY}, False, DENY),
        ({"news@shop.example": ALLOW, "shop.example": DENY}, True, ALLOW),
        ({"news@shop.example": ALLOW, "shop.example": DENY}, False, DENY),
        ({"news@shop.example": DENY, "shop.example": ALLOW}, True, DENY),
        ({"example": ALLOW}, True, None),
    ],
)
def test_an_address_counts_before_its_domain(rules: dict[str, Wish], vouched: bool, wish: Wish | None) -> None:
    assert wish_about(rules, {"news@shop.example": vouched}) is wish


@pytest.mark.parametrize(
    ("judgement", "disposition", "wish"),
    [
        (Judgement.CLEAN, Disposition.ACCEPT, DENY),
        (Judgement.SPAM, Disposition.QUARANTINE, ALLOW),
        (Judgement.SUSPICIOUS, Disposition.QUARANTINE, ALLOW),
        (Judgement.SPAM, Disposition.JUNK, ALLOW),
        (Judgement.PHISHING, Disposition.QUARANTINE, None),
        (Judgement.MALWARE, Disposition.QUARANTINE, None),
        (Judgement.POLICY, Disposition.QUARANTINE, None),
    ],
)
def test_no_wish_is_above_malware_and_phishing(
    judgement: Judgement, disposition: Disposition, wish: Wish | None
) -> None:
    assert wanted_instead(Verdict(judgement, disposition, 1.0, ())) is wish


@pytest.mark.parametrize("kind", [kinds.POLICY_RULE, kinds.SCANNER_AWAY_QUARANTINE])
def test_the_organisations_rules_and_scanners_that_were_away_are_above_wishes(kind: SignalKind) -> None:
    verdict = Verdict(Judgement.SPAM, Disposition.QUARANTINE, 6.0, (Signal(kind.name, 0.0, "said so"),))
    assert wanted_instead(verdict) is None
    shadow = Verdict(Judgement.SPAM, Disposition.QUARANTINE, 6.0, (Signal(kinds.POLICY_SHADOW.name, 0.0, "tried"),))
    assert wanted_instead(shadow) is ALLOW


def test_what_stands_on_top_of_their_copies_is_the_other_verdict_with_what_rules_put_there() -> None:
    guard = Guard(GuardSettings("mx.example"), ())
    spam = Verdict(Judgement.SPAM, Disposition.JUNK, 6.0, ())
    added = added_fields(spam, None, "mx.example") + b"X-Rule: yes\r\n"
    wished = guard.instead(Assessment(spam, None, added, ()), as_wished(spam, ALLOW, []))
    assert b"X-Spam-Flag" in added
    assert wished.added == b"X-Everpost-Verdict: clean score=6\r\nX-Rule: yes\r\n"
    outbound = guard.instead(Assessment(spam, None, b"X-Rule: yes\r\n", ()), as_wished(spam, ALLOW, []))
    assert outbound.added == b"X-Rule: yes\r\n"


def test_the_wish_is_among_the_evidence() -> None:
    verdict = as_wished(Verdict(Judgement.SPAM, Disposition.QUARANTINE, 6.0, ()), ALLOW, ["news@shop.example"])
    assert (verdict.judgement, verdict.disposition, verdict.score) == (Judgement.CLEAN, Disposition.ACCEPT, 6.0)
    assert [(each.kind, each.evidence) for each in verdict.signals] == [("person.allows", "news@shop.example")]
