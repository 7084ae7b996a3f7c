"""From signals to a verdict: a capped sum for each group, thresholds, and what policy does about it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from everpost.guard.kinds import (
    SCANNER_AWAY_DEFER,
    SCANNER_AWAY_QUARANTINE,
    SENDING_LIMIT_DEFER,
    SENDING_LIMIT_QUARANTINE,
    kind_of,
)
from everpost.guard.model import Disposition, Group, Judgement, Signal, Verdict, Way

_UNBOUNDED: Final = 100.0
CAPS: Final[Mapping[Group, tuple[float, float]]] = {
    # Only how a message reads may speak for it; everything else that looks good can be had by an attacker.
    Group.IDENTITY: (0.0, 8.0),
    Group.NETWORK: (0.0, 6.0),
    Group.PAYLOAD: (0.0, 10.0),
    Group.LINKS: (0.0, 8.0),
    Group.CONTENT: (-3.0, 8.0),
    Group.POLICY: (0.0, _UNBOUNDED),
    Group.FAULT: (0.0, 2.0),
}
_GRAVITY: Final = (Judgement.POLICY, Judgement.MALWARE, Judgement.PHISHING, Judgement.SPAM)
"""Of several that are meant, the first is what the message is called."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Thresholds of the score, and what is done with each judgement, for each way.

    A `decisive` signal makes its judgement whatever the score. `weights` replaces those of signal kinds. `instead` says
    by kinds of signals what is done with a message that would be delivered otherwise.
    """

    suspicious: float = 3.0
    bad: float = 5.0
    dispositions: Mapping[tuple[Way, Judgement], Disposition] = field(
        default_factory=lambda: dict(DEFAULT_DISPOSITIONS)
    )
    weights: Mapping[str, float] = field(default_factory=dict)
    instead: Mapping[str, Disposition] = field(default_factory=lambda: dict(INSTEAD))

    def disposition(self, way: Way, judgement: Judgement, signals: Iterable[Signal] = ()) -> Disposition:
        chosen = self.dispositions.get((way, judgement), Disposition.ACCEPT)
        if chosen not in (Disposition.ACCEPT, Disposition.JUNK):
            return chosen
        wanted = {self.instead[each.kind] for each in signals if each.kind in self.instead}
        return next((each for each in _STRICTEST if each in wanted), chosen)


INSTEAD: Final[Mapping[str, Disposition]] = {
    SCANNER_AWAY_DEFER.name: Disposition.DEFER,
    SCANNER_AWAY_QUARANTINE.name: Disposition.QUARANTINE,
    SENDING_LIMIT_DEFER.name: Disposition.DEFER,
    SENDING_LIMIT_QUARANTINE.name: Disposition.QUARANTINE,
}
"""What is done with mail that a scanner was to see first, or that is more than its sender usually sends."""
UNSCANNED: Final = frozenset({SCANNER_AWAY_DEFER.name, SCANNER_AWAY_QUARANTINE.name})
"""Of those, what no rule lets in."""
_STRICTEST: Final = (Disposition.REJECT, Disposition.DEFER, Disposition.QUARANTINE, Disposition.JUNK)

DEFAULT_DISPOSITIONS: Final[Mapping[tuple[Way, Judgement], Disposition]] = {
    (Way.INBOUND, Judgement.SPAM): Disposition.JUNK,
    (Way.INBOUND, Judgement.PHISHING): Disposition.QUARANTINE,
    (Way.INBOUND, Judgement.MALWARE): Disposition.QUARANTINE,
    (Way.INBOUND, Judgement.POLICY): Disposition.REJECT,
    (Way.OUTBOUND, Judgement.PHISHING): Disposition.QUARANTINE,
    (Way.OUTBOUND, Judgement.MALWARE): Disposition.QUARANTINE,
    (Way.OUTBOUND, Judgement.POLICY): Disposition.REJECT,
}


def judge(signals: Iterable[Signal], way: Way, policy: Policy) -> Verdict:
    """The verdict on a message of which these signals are known. The order of the signals does not matter."""
    weighed = tuple(_weigh(each, policy) for each in signals)
    score = _score(weighed)
    judgement = _judgement(weighed, score, policy)
    ordered = tuple(sorted(weighed, key=lambda each: (-abs(each.weight), each.kind, each.evidence)))
    return Verdict(judgement, policy.disposition(way, judgement, weighed), round(score, 2), ordered)


def _weigh(each: Signal, policy: Policy) -> Signal:
    weight = policy.weights.get(each.kind)
    return each if weight is None else Signal(each.kind, weight, each.evidence)


def _group(each: Signal) -> Group:
    kind = kind_of(each.kind)
    return kind.group if kind is not None else Group.POLICY


def _score(signals: Iterable[Signal]) -> float:
    sums: dict[Group, float] = defaultdict(float)
    for each in signals:
        sums[_group(each)] += each.weight
    return sum(min(max(total, CAPS[group][0]), CAPS[group][1]) for group, total in sums.items())


def _judgement(signals: Iterable[Signal], score: float, policy: Policy) -> Judgement:
    decided: set[Judgement] = set()
    against: dict[Judgement, float] = defaultdict(float)
    for each in signals:
        kind = kind_of(each.kind)
        if kind is None or each.weight <= 0:
            continue  # a weight of zero or less switches a decisive signal off as well
        if kind.decisive:
            decided.add(kind.points_to)
        against[kind.points_to] += each.weight
    for judgement in _GRAVITY:
        if judgement in decided:
            return judgement
    if score >= policy.bad:
        return max(_GRAVITY, key=lambda judgement: against.get(judgement, 0.0))
    return Judgement.SUSPICIOUS if score >= policy.suspicious else Judgement.CLEAN
