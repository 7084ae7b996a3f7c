"""What an attempt came to, and what follows from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from everpost.mail.reply import Outcome, Reply
from everpost.queue.model import Delivery, HoldReason, Kind, Report, Status
from everpost.queue.schedule import DEFAULT, Backoff


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next state of a delivery after an attempt."""

    delivery: Delivery
    status: Status
    hold_reason: HoldReason | None
    next_attempt_at: datetime
    in_doubt: bool
    report: Report | None
    remote: str
    reply: str


@dataclass(frozen=True, slots=True)
class Attempted:
    """What was seen of one attempt for one recipient. `reply` is None where the server never decided.

    `reports_onward`: the server takes over the reports of success (it offers DSN, RFC 3461 §5.2.2).
    """

    delivery: Delivery
    reply: Reply | None
    reason: str
    remote: str
    in_doubt: bool = False
    hold: HoldReason | None = None
    reports_onward: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """The rules in force: the pauses, and how long after its arrival a delay is told to the sender. None: never."""

    backoff: Backoff = DEFAULT
    delay_notice_after: timedelta | None = None


def judge(attempted: Attempted, now: datetime, *, may_bounce: bool, terms: Terms) -> Verdict:
    """`may_bounce` is False for a primary that is not simply trusted: its refusals become holds (DESIGN I3)."""
    delivery, reply = attempted.delivery, attempted.reply
    text = str(reply) if reply is not None else attempted.reason
    pause = now + terms.backoff.after(delivery.attempts)

    def verdict(
        status: Status, report: Report | None = None, hold: HoldReason | None = None, *, in_doubt: bool = False
    ) -> Verdict:
        return Verdict(delivery, status, hold, pause, in_doubt, report, attempted.remote, text[:1000])

    if attempted.hold is not None:
        return verdict(Status.HELD, hold=attempted.hold)
    if reply is not None and reply.outcome is Outcome.SUCCESS:
        wants = delivery.recipient.wants_success_report and not attempted.reports_onward
        return verdict(Status.DELIVERED, Report.RELAYED if wants else None)
    failure = Report.FAILED if delivery.recipient.wants_failure_report else None
    if reply is not None and reply.outcome is Outcome.PERMANENT:
        if may_bounce:
            return verdict(Status.FAILED, failure)
        return verdict(Status.HELD, hold=HoldReason.REFUSED_BY_PRIMARY)
    if delivery.kind is Kind.INTERNET and delivery.expires_at is not None and pause > delivery.expires_at:
        return verdict(Status.EXPIRED, failure)
    return verdict(Status.QUEUED, _delay_report(delivery, now, terms), in_doubt=attempted.in_doubt or delivery.in_doubt)


def _delay_report(delivery: Delivery, now: datetime, terms: Terms) -> Report | None:
    """Once, and not for a primary: the standby mailbox has that message already."""
    after = terms.delay_notice_after
    if after is None or delivery.delay_told or delivery.kind is not Kind.INTERNET:
        return None
    if now - delivery.received_at < after:
        return None
    return Report.DELAYED if delivery.recipient.wants_delay_report else None
