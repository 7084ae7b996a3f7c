"""From rows of the queue to reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.mail.dsn import Action
from everpost.mail.envelope import Body, Ret
from everpost.mail.reply import Reply
from everpost.queue.model import Report
from everpost.queue.reports import MAX_STATUSES, group, read_reply

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_row(number: int = 0, accepted_as: str = "you@example.net", **more) -> dict:
    return {
        "organisation_id": 1, "message_id": 2, "number": number, "accepted_as": accepted_as, "orcpt": None,
        "report_due": "failed", "last_reply": "550 5.1.1 No such user", "last_remote": "192.0.2.7:25", "done_at": NOW,
        "expires_at": NOW + timedelta(days=5), "reverse_path": "me@example.org", "body": "8BITMIME", "ret": "HDRS",
        "envid": "e1", "blob_id": 3, "size": 100, "received_at": NOW, "smtputf8": False,
    } | more  # fmt: skip


def test_one_report_for_each_message_and_kind() -> None:
    rows = [
        a_row(0, "a@example.net"),
        a_row(1, "b@example.net", report_due="delayed", last_reply="connection refused", last_remote=""),
        a_row(2, "c@example.net"),
        a_row(0, "d@example.net", message_id=9, reverse_path=None),
        a_row(0, "e@example.net", message_id=9, organisation_id=5),
    ]
    reports = group(rows)
    told = [(r.organisation_id, r.message_id, r.kind, r.numbers) for r in reports]
    assert told == [
        (1, 2, Report.FAILED, (0, 2)), (1, 2, Report.DELAYED, (1,)), (1, 9, Report.FAILED, (0,)),
        (5, 9, Report.FAILED, (0,)),
    ]  # fmt: skip
    failed, delayed, nobody = reports[:3]
    assert (failed.sender.ret, failed.sender.envid, failed.sender.body) == (Ret.HEADERS, "e1", Body.EIGHT_BIT)
    assert nobody.sender.reverse_path is None
    first = failed.statuses[0]
    assert (first.action, first.reply, first.remote) == (
        Action.FAILED, Reply(550, "No such user", (1, 1)), "[192.0.2.7]",
    )  # fmt: skip
    assert first.retry_until is None
    late = delayed.statuses[0]
    assert (late.action, late.reply, late.remote) == (Action.DELAYED, None, None)
    assert late.retry_until == NOW + timedelta(days=5)


def test_a_list_is_told_of_once_and_its_members_are_not_named() -> None:
    rows = [a_row(n, "list@example.org", orcpt="rfc822;list@example.org") for n in range(3)]
    (report,) = group(rows)
    assert report.numbers == (0, 1, 2)
    (status,) = report.statuses
    assert str(status.recipient.address) == "list@example.org"
    assert status.recipient.orcpt == "rfc822;list@example.org"


def test_many_recipients_are_several_reports_of_bounded_size() -> None:
    rows = [a_row(n, f"u{n}@example.net", last_reply="550 " + "x" * 990) for n in range(2 * MAX_STATUSES + 1)]
    reports = group(rows)
    assert [len(report.statuses) for report in reports] == [MAX_STATUSES, MAX_STATUSES, 1]
    assert [n for report in reports for n in report.numbers] == [row["number"] for row in rows]
    assert len(reports[0].statuses[0].reply.text) == 300


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("550 5.1.1 No such user", Reply(550, "No such user", (1, 1))),
        ("550 No such user", Reply(550, "No such user")),
        ("550 4.1.1 crooked", Reply(550, "crooked")),
        ("250 ", Reply(250, "")),
        ("250", Reply(250, "")),
        ("connection refused", None),
        ("550x", None),
        ("350 5.1.1 go on", None),
        ("", None),
    ],
)
def test_replies_are_read_back(text: str, reply: Reply | None) -> None:
    assert read_reply(text) == reply


@given(
    st.sampled_from((250, 450, 421, 550)),
    st.text(max_size=200),
    st.none() | st.tuples(st.integers(0, 999), st.integers(0, 999)),
)
def test_what_was_written_of_a_reply_reads_the_same(code: int, text: str, detail) -> None:
    written = str(Reply(code, text, detail))
    found = read_reply(written)
    assert found is not None
    assert str(found) == written


@pytest.mark.parametrize(
    ("peer", "host"),
    [("192.0.2.7:25", "[192.0.2.7]"), ("2001:db8::1:25", "[IPv6:2001:db8::1]"), ("mx.example.net:25", "mx.example.net"),
     ("", None)],
)  # fmt: skip
def test_remote_hosts_are_named_as_mail_names_them(peer: str, host: str | None) -> None:
    assert group([a_row(last_remote=peer)])[0].statuses[0].remote == host
