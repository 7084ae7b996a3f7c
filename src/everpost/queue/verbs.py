"""What a person may do about a delivery, and what becomes of it. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from everpost.queue.model import HoldReason, Kind, Status

TRUSTED = "trusted"
COMPROMISED = "compromised"


class Verb(enum.StrEnum):
    """Done to the deliveries of one message."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a delivery. `waits_for`: why mail to its primary has to wait now; `in_hand`: it is being
    attempted; `from_isolated`: a primary that is isolated now had relayed it.
    """

    kind: Kind
    status: Status
    hold_reason: HoldReason | None = None
    in_hand: bool = False
    primary: str | None = None
    trust_state: str | None = None
    waits_for: HoldReason | None = None
    from_isolated: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """What the verb makes of it, or why it is left alone. `to_failback`: it stays held, and the failback brings it."""

    status: Status
    why_not: str | None = None
    to_failback: bool = False
    remark: str = ""


def judge(verb: Verb, facts: Facts) -> Fate:
    """Decide one delivery. Nothing that is done is done again."""
    if facts.status not in (Status.QUEUED, Status.HELD):
        return Fate(facts.status, f"it is {facts.status.value} already")
    if facts.hold_reason is HoldReason.RETURNING and verb is not Verb.RETRY:
        return Fate(facts.status, "a failback has it in hand: pause the failback instead (everpost failback pause)")
    if facts.hold_reason is HoldReason.QUARANTINED:
        return Fate(facts.status, "the guard keeps it apart: `everpost quarantine release` lets it go")
    return _JUDGES[verb](facts)


def _hold(facts: Facts) -> Fate:
    if facts.status is Status.HELD:
        return Fate(facts.status, f"it is held already ({_reason(facts)})")
    return Fate(Status.HELD, remark="an attempt is under way: if it succeeds, it counts" if facts.in_hand else "")


def _release(facts: Facts) -> Fate:
    if facts.status is Status.QUEUED:
        return Fate(facts.status, "it is queued already: `retry` attempts it at once")
    if facts.kind is Kind.PRIMARY and COMPROMISED in (facts.trust_state, facts.waits_for):
        return Fate(
            facts.status,
            f"the primary {facts.primary} is isolated as compromised: nothing goes to it before its clean bill "
            f"(everpost trust clean-bill {facts.primary}) and a failback",
        )
    if facts.from_isolated:
        return Fate(facts.status, "the primary that relayed it is isolated as compromised: nothing of it goes out")
    if facts.waits_for is not None:
        if facts.hold_reason is HoldReason.ACTIVATED:
            return Fate(facts.status, "its mailbox is at the standby: the failback brings it")
        remark = "its mailbox is at the standby: the failback brings it, with all that waits there"
        return Fate(Status.HELD, to_failback=True, remark=remark)
    return Fate(Status.QUEUED)


def _retry(facts: Facts) -> Fate:
    if facts.status is Status.HELD:
        return Fate(facts.status, f"it is held ({_reason(facts)}): `release` lets it go on")
    if facts.in_hand:
        return Fate(facts.status, "it is being attempted just now")
    return Fate(Status.QUEUED)


def _expire(facts: Facts) -> Fate:
    if facts.in_hand and facts.status is Status.QUEUED:
        return Fate(facts.status, "it is being attempted just now: hold it, then expire it when that has ended")
    if facts.in_hand:
        return Fate(facts.status, "the attempt that was under way when it was held has not ended yet: try again later")
    if facts.kind is Kind.PRIMARY:
        if facts.trust_state != TRUSTED:
            return Fate(
                facts.status,
                f"the primary {facts.primary} is {facts.trust_state or 'unknown'}: what can wait for it is never "
                "given up; it stands in the standby mailbox",
            )
        if facts.waits_for is not None or facts.hold_reason is HoldReason.ACTIVATED:
            return Fate(facts.status, "its mailbox is at the standby: it waits for the failback, and is read there")
    return Fate(Status.EXPIRED)


_JUDGES = {Verb.HOLD: _hold, Verb.RELEASE: _release, Verb.RETRY: _retry, Verb.EXPIRE: _expire}


def _reason(facts: Facts) -> str:
    return facts.hold_reason.value if facts.hold_reason else "without a reason"
