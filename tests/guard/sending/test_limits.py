"""Whose limit a message counts for, and what happens beyond it."""

from __future__ import annotations

from typing import Any

import pytest

from everpost.guard.case import Insider
from everpost.guard.model import Way
from everpost.guard.sending.model import (
    Action,
    Amount,
    Counted,
    Limit,
    SendingLimits,
    Sent,
    Totals,
    beyond,
    sent_of,
)
from everpost.guard.steps.sending import Sending
from everpost.mail.address import Address
from guard_tools import case_of

MESSAGE = b"From: a@example.org\r\nSubject: Hi\r\n\r\nText\r\n"
BOTH = SendingLimits(Limit(Action.QUARANTINE, Amount(2, 5, 3)), Limit(Action.MARK, Amount(3)))


ANNA = Insider(1, 7, 3)


def outgoing(path: str | None = "anna@example.org", insider: Insider | None = ANNA, **values: Any) -> Any:
    return case_of(
        MESSAGE, way=Way.OUTBOUND, insider=insider, reverse_path=Address.parse(path) if path else None, **values
    )


@pytest.mark.parametrize(
    ("path", "insider", "login", "person", "primary"),
    [
        ("anna@example.org", Insider(1, 7), "anna@example.org", "mailbox 7", None),
        ("anna@example.org", Insider(1, 7, 3), None, "mailbox 7", "primary 3"),
        ("app@example.org", Insider(1, None, 3), "smarthost", "address app@example.org", "primary 3"),
        ("App+5@Example.org", Insider(1, None, 3), None, "address app@example.org", "primary 3"),
        ("list-bob=example.com@example.org", Insider(1, None, 3), None, "address @example.org", "primary 3"),
        ("who@elsewhere.example", Insider(1, None, 3), None, None, "primary 3"),
        (None, Insider(1, None, 3), None, None, "primary 3"),
        (None, Insider(1, None), "Somebody", "login somebody", None),
    ],
)
def test_whose_it_is(path: str | None, insider: Insider, login: str | None, person: str, primary: str) -> None:
    sent = sent_of(outgoing(path, insider, login=login), BOTH)
    assert sent is not None
    assert (sent.person, sent.primary) == (person, primary)


def test_what_nobody_counts() -> None:
    assert sent_of(case_of(MESSAGE), BOTH) is None
    assert sent_of(outgoing(), SendingLimits()) is None
    only_primary = sent_of(outgoing(), SendingLimits(primary=Limit(Action.MARK)))
    assert only_primary is not None
    assert only_primary.person is None


def test_recipients_outside_count_once_each() -> None:
    texts = ("bob@example.org", "x@example.com", "X@Example.com", "y@example.com")
    sent = sent_of(outgoing(recipients=tuple(map(Address.parse, texts))), BOTH)
    assert sent is not None
    assert len(sent.recipients) == 2


def test_what_is_beyond_is_said_in_words() -> None:
    limit = Limit(Action.MARK, Amount(100, 0, 20), Amount(500))
    assert list(beyond(limit, Totals(Amount(100, 9000, 20), Amount(500, 9000, 9000)))) == []
    assert list(beyond(limit, Totals(Amount(101, 0, 21), Amount(1501)))) == [
        "101 messages within an hour, 100 are usual at most",
        "21 recipients never written to before within an hour, 20 are usual at most",
        "1,501 messages within a day, 500 are usual at most",
    ]


class Tally:
    """Answers that were agreed upon, and what it was told."""

    def __init__(self, person: int = 1, primary: int = 1) -> None:
        self.counted = Counted(
            Totals(Amount(person), Amount(person)), Totals(Amount(primary), Amount(primary)), (b"1" * 8,)
        )
        self.learned = self.taken_back = 0

    async def count(self, sent: Sent) -> Counted:
        return self.counted

    def learn(self, sent: Sent, counted: Counted) -> None:
        self.learned += 1

    def take_back(self, sent: Sent, counted: Counted) -> None:
        self.taken_back += 1


async def kinds_of(tally: Tally, limits: SendingLimits = BOTH, case: Any = None) -> list[str]:
    return [each.kind for each in await Sending(tally, limits)(case or outgoing())]


async def test_within_the_limits_nothing_is_said_and_recipients_are_learned() -> None:
    tally = Tally(2, 3)
    assert await kinds_of(tally) == []
    assert (tally.learned, tally.taken_back) == (1, 0)


async def test_beyond_the_limits_nobody_is_learned() -> None:
    """Else the second wave of a stolen account would write to people it knows."""
    tally = Tally(3, 4)
    assert await kinds_of(tally) == ["sending.limit-quarantine", "sending.limit"]
    assert (tally.learned, tally.taken_back) == (0, 0)


async def test_what_has_to_wait_is_not_counted_twice() -> None:
    tally = Tally(3)
    assert await kinds_of(tally, SendingLimits(Limit(Action.DEFER, Amount(2)))) == ["sending.limit-defer"]
    assert (tally.learned, tally.taken_back) == (0, 1)


async def test_evidence_names_the_sender() -> None:
    [found] = await Sending(Tally(3), SendingLimits(BOTH.person))(outgoing("anna+x@example.org"))
    assert found.evidence == "anna@example.org: 3 messages within an hour, 2 are usual at most"
