"""Every verb on every delivery there can be: what may never come of it, whatever else is the case."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from everpost.queue.model import HoldReason, Kind, Status
from everpost.queue.verbs import Facts, Verb, judge

STATES = ("trusted", "down", "suspect", "compromised", "recovering", None)
OPEN = (Status.QUEUED, Status.HELD)


def everything() -> Iterator[Facts]:
    waits = (None, HoldReason.ACTIVATED, HoldReason.COMPROMISED)
    for status, reason, in_hand, isolated in itertools.product(
        Status, (None, *HoldReason), (False, True), (False, True)
    ):
        for state, wait in itertools.product(STATES, waits):
            yield Facts(Kind.PRIMARY, status, reason, in_hand, "main", state, wait, isolated)
        for kind in Kind:
            if kind is not Kind.PRIMARY:
                yield Facts(kind, status, reason, in_hand, from_isolated=isolated)


def test_what_never_happens() -> None:
    seen: Counter[tuple[Verb, Status]] = Counter()
    for verb, facts in itertools.product(Verb, everything()):
        fate = judge(verb, facts)
        if fate.why_not is not None:
            assert fate.status is facts.status
            continue
        seen[verb, fate.status] += 1
        assert facts.status in OPEN, "what is done is not done again"
        assert facts.hold_reason is not HoldReason.RETURNING or verb is Verb.RETRY, "failback has it in hand"
        if verb is Verb.RELEASE and fate.status is Status.QUEUED:
            assert not facts.from_isolated
            assert facts.waits_for is None
            assert facts.kind is not Kind.PRIMARY or facts.trust_state != "compromised"
        if fate.to_failback:
            assert (verb, fate.status, facts.waits_for) == (Verb.RELEASE, Status.HELD, HoldReason.ACTIVATED)
        if fate.status is Status.EXPIRED:
            assert verb is Verb.EXPIRE
            assert not facts.in_hand
            assert facts.kind is not Kind.PRIMARY or (facts.trust_state == "trusted" and facts.waits_for is None)
    assert seen.keys() == {
        (Verb.HOLD, Status.HELD), (Verb.RELEASE, Status.QUEUED), (Verb.RELEASE, Status.HELD),
        (Verb.RETRY, Status.QUEUED), (Verb.EXPIRE, Status.EXPIRED),
    }  # fmt: skip
