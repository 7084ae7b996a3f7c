"""What an attempt comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.mail.address import Address
from everpost.mail.envelope import Notify, Recipient
from everpost.mail.reply import Reply
from everpost.queue.model import Delivery, DeliveryKey, HoldReason, Kind, Report, Status
from everpost.queue.outcome import Attempted, Terms, judge
from everpost.queue.route import NULL_MX, POINTS_TO_US, Router, Undeliverable
from everpost.queue.schedule import LEASE, Backoff, next_try

NOW = datetime(2026, 1, 1, tzinfo=UTC)


DAY = timedelta(days=1)


def a_delivery(
    kind: Kind = Kind.INTERNET, *, notify: Notify | None = None, age: timedelta = DAY, left: timedelta = DAY, told=False
):
    recipient = Recipient(Address("anna", "example.org"), notify)
    expires = NOW + left if kind is Kind.INTERNET else None
    return Delivery(DeliveryKey(1, 2, 0), recipient, kind, "lane", None, None, 1, NOW - age, expires, False, told)


def verdict(delivery: Delivery, reply: Reply | None, *, may_bounce: bool = True, **attempt: bool):
    attempted = Attempted(delivery, reply, "lost", "remote", **attempt)
    return judge(attempted, NOW, may_bounce=may_bounce, terms=Terms(delay_notice_after=timedelta(hours=4)))


@pytest.mark.parametrize(("notify", "report"), [(None, None), (Notify.NEVER, None), (Notify.SUCCESS, Report.RELAYED)])
def test_success_is_reported_only_where_asked_for(notify, report) -> None:
    found = verdict(a_delivery(notify=notify), Reply(250, "OK"))
    assert (found.status, found.report) == (Status.DELIVERED, report)


@pytest.mark.parametrize(("notify", "report"), [(None, Report.FAILED), (Notify.NEVER, None), (Notify.SUCCESS, None)])
def test_failure_is_reported_unless_declined(notify, report) -> None:
    found = verdict(a_delivery(notify=notify), Reply(550, "no"))
    assert (found.status, found.report) == (Status.FAILED, report)


def test_a_refusal_that_must_not_bounce_is_a_hold() -> None:
    found = verdict(a_delivery(Kind.PRIMARY), Reply(550, "no"), may_bounce=False)
    assert (found.status, found.hold_reason, found.report) == (Status.HELD, HoldReason.REFUSED_BY_PRIMARY, None)


def test_doubt_stays_until_it_is_decided() -> None:
    assert verdict(a_delivery(), None, in_doubt=True).in_doubt
    assert not verdict(a_delivery(), Reply(250, "OK"), in_doubt=False).in_doubt


def test_mail_for_the_internet_expires_and_mail_for_a_primary_never_does() -> None:
    assert verdict(a_delivery(left=timedelta(seconds=1)), None).status is Status.EXPIRED
    assert verdict(a_delivery(Kind.PRIMARY), Reply(450, "later")).status is Status.QUEUED


@pytest.mark.parametrize(
    ("delivery", "report"),
    [
        (a_delivery(), Report.DELAYED),
        (a_delivery(age=timedelta(hours=4)), Report.DELAYED),
        (a_delivery(age=timedelta(hours=4, seconds=-1)), None),
        (a_delivery(told=True), None),
        (a_delivery(notify=Notify.DELAY), Report.DELAYED),
        (a_delivery(notify=Notify.FAILURE), None),
        (a_delivery(notify=Notify.NEVER), None),
        (a_delivery(Kind.PRIMARY), None),
    ],
)
def test_a_delay_is_told_after_its_time_once_and_never_for_a_primary(delivery, report) -> None:
    for reply in (Reply(450, "later"), None):
        found = verdict(delivery, reply)
        assert (found.status, found.report) == (Status.QUEUED, report)


def test_delays_are_not_told_where_nobody_set_a_time() -> None:
    attempted = Attempted(a_delivery(age=timedelta(days=4)), None, "lost", "")
    assert judge(attempted, NOW, may_bounce=True, terms=Terms()).report is None


def test_success_is_left_to_a_server_that_reports_it_itself() -> None:
    found = verdict(a_delivery(notify=Notify.SUCCESS), Reply(250, "OK"), reports_onward=True)
    assert (found.status, found.report) == (Status.DELIVERED, None)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_and_stay_bounded(attempts: int, draw: float) -> None:
    backoff = Backoff()
    pause = backoff.after(attempts, draw)
    assert backoff.first * 0.79 <= pause <= backoff.longest * 1.21
    assert backoff.after(attempts + 1, 0.5) >= backoff.after(attempts, 0.5)
    assert next_try(NOW, attempts) >= NOW + LEASE


def test_mail_exchangers_in_order_of_preference() -> None:
    router = Router("us.example")
    assert [host.name for host in router._order([(20, "b.example"), (10, "a.example")])] == ["a.example", "b.example"]
    assert [host.name for host in router._order([(10, "a.example"), (20, "us.example"), (30, "c.example")])] == [
        "a.example"
    ]
    for records, reply in (([(0, "")], NULL_MX), ([(5, "us.example"), (9, "b.example")], POINTS_TO_US)):
        with pytest.raises(Undeliverable) as error:
            router._order(records)
        assert error.value.reply == reply
