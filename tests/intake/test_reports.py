"""Senders are told what became of their messages: once, and only those who are to be told."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from everpost.intake.reports import ReportSender
from everpost.intake.submission import Client, Owner, Receipt, RoutedRecipient, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Body, Notify, Recipient, Ret, Sender
from everpost.queue.outcome import Attempted, Terms, judge
from everpost.standby.drafts import seal_content
from everpost.standby.summary import scan_message
from everpost.store.database import Connection
from world import Node, Organisation, make_organisation, until

HOST = "mx.everpost.example"
CONTENT = (
    b"From: Anna <anna@example.org>\r\nTo: you@example.net\r\nSubject: Plans\r\n"
    b"Message-ID: <plans@example.org>\r\n\r\nSee you at noon.\r\n"
)


@dataclass
class World:
    node: Node
    organisation: Organisation
    reports: ReportSender
    folder: Any

    async def execute(self, statement: str, *values: Any) -> None:
        async with self.node.database.connection() as connection:
            await connection.execute(statement, *values)

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        async with self.node.database.connection() as connection:
            return await connection.fetch(statement, *values)

    async def message(
        self,
        *recipients: str,
        sender: str | None = "anna@example.org",
        content: bytes = CONTENT,
        notify: Notify | None = None,
        orcpt: str | None = None,
        envelope: dict[str, Any] | None = None,
        received_at: datetime | None = None,
    ) -> int:
        """A message of the organisation to people elsewhere; its id."""
        targets = []
        for text in recipients or ("you@example.net",):
            address = Address.parse(text)
            resolution = await self.node.directory.resolve(address)
            targets.append(RoutedRecipient(Recipient(address, notify, orcpt), resolution))
        path = Sender(Address.parse(sender) if sender else None, len(content), **(envelope or {}))
        submission = Submission(
            Source.SUBMISSION, path, tuple(targets), seal_content(content, self.folder), scan_message(content),
            Client("192.0.2.1", "pc", "ESMTPSA"), received_at or datetime.now(UTC), Owner(self.organisation.id),
        )  # fmt: skip
        return (await self.node.intake.accept(submission)).message_ids[0]

    async def fails(self, message_id: int, report: str = "failed", reply: str = "550 5.1.1 No such user") -> None:
        status = {"failed": "failed", "delayed": "queued"}.get(report, "delivered")
        await self.execute(
            "UPDATE delivery SET status = $2, report_due = $3, last_reply = $4, last_remote = '192.0.2.7:25',"
            " done_at = now() WHERE message_id = $1",
            message_id, status, report, reply,
        )  # fmt: skip

    async def sent(self) -> list[Any]:
        """The reports, with everything that hangs on them."""
        return await self.fetch(
            "SELECT m.*, d.recipient, d.kind, d.status, d.notify, d.lane FROM message m JOIN delivery d"
            " ON d.organisation_id = m.organisation_id AND d.message_id = m.id WHERE m.source = 'notice'"
            " ORDER BY m.id, d.number"
        )

    async def open(self, row: Any) -> bytes:
        return await self.node.blobs.read(row["organisation_id"], row["blob_id"])

    async def due(self) -> int:
        return (await self.fetch("SELECT count(*) FROM delivery WHERE report_due IS NOT NULL"))[0][0]


@pytest.fixture
async def world(database, master, keys, tmp_path) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.worker.room = lambda: 0
    await node.routes.load()
    node.intake.start()
    yield World(node, organisation, ReportSender(database, node.blobs, node.intake, node.directory, HOST), tmp_path)
    await node.intake.stop()


def read(content: bytes) -> tuple[email.message.EmailMessage, str, list[dict[str, str]], email.message.EmailMessage]:
    """(the report, its text, the fields of each recipient, the returned part) as Python's library reads it."""
    report = email.message_from_bytes(content, policy=email.policy.default)
    assert (report.get_content_type(), report.get_param("report-type")) == ("multipart/report", "delivery-status")
    text, status, returned = report.iter_parts()
    blocks = [dict(block.items()) for block in status.get_payload()]
    return report, text.get_content(), blocks, returned


async def test_a_local_sender_finds_it_in_the_standby_and_on_the_primary(world: World) -> None:
    message_id = await world.message(envelope={"envid": "e=1"}, orcpt="rfc822;You@example.net")
    await world.fails(message_id)
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    assert (row["reverse_path"], row["direction"], row["organisation_id"]) == (None, "internal", world.organisation.id)
    assert (row["recipient"], row["kind"], row["status"], row["notify"]) == ("anna@example.org", "primary", "queued", 0)
    (entry,) = await world.fetch("SELECT * FROM entry")
    assert (entry["mailbox_id"], entry["message_id"]) == (world.organisation.mailboxes["anna"], row["id"])
    report, text, (about, recipient), returned = read(await world.open(row))
    assert report["From"].addresses[0].addr_spec == f"MAILER-DAEMON@{HOST}"
    assert (report["To"], report["In-Reply-To"]) == ("anna@example.org", "<plans@example.org>")
    assert report["Auto-Submitted"].startswith("auto-")
    assert (about["Reporting-MTA"], about["Original-Envelope-Id"]) == (f"dns; {HOST}", "e=1")
    assert recipient["Final-Recipient"] == "rfc822; you@example.net"
    assert recipient["Original-Recipient"] == "rfc822; You@example.net"
    assert (recipient["Action"], recipient["Status"]) == ("failed", "5.1.1")
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert recipient["Remote-MTA"] == "dns; [192.0.2.7]"
    assert "[192.0.2.7] said: 550 5.1.1 No such user" in text
    assert returned.get_payload(0).get_content() == "See you at noon.\r\n"
    # A conversation: the report stands with what it is about.
    assert len({r["thread_id"] for r in await world.fetch("SELECT thread_id FROM message")}) == 1
    assert (await world.reports.send_due(), await world.due()) == (0, 0)
    assert len(await world.sent()) == 1


async def test_an_outsider_is_told_over_the_internet(world: World) -> None:
    message_id = await world.message("anna@example.org", sender="cora@example.com")
    await world.fails(message_id)
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    assert (row["recipient"], row["kind"], row["lane"]) == ("cora@example.com", "internet", "domain:example.com")
    assert (row["organisation_id"], row["direction"]) == (world.organisation.id, "outbound")
    assert (await world.fetch("SELECT count(*) FROM entry WHERE message_id = $1", row["id"]))[0][0] == 0


async def test_a_sender_of_another_organisation_is_told_as_its_own(world: World, master) -> None:
    other = await make_organisation(world.node.database, master, "other", ("olga",))
    message_id = await world.message("anna@example.org", sender="olga@other.org")
    await world.fails(message_id)
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    assert (row["organisation_id"], row["direction"], row["recipient"]) == (other.id, "internal", "olga@other.org")


@pytest.mark.parametrize(
    "sender",
    [None, "gone@example.org", "journal@example.org", f"MAILER-DAEMON@{HOST}", f"everpost@{HOST.upper()}"],
)
async def test_where_nobody_is_to_be_told_it_is_due_no_more(world: World, sender: str | None) -> None:
    await world.fails(await world.message(sender=sender))
    assert (await world.reports.send_due(), await world.due()) == (0, 0)
    assert await world.sent() == []


async def test_a_report_that_fails_is_never_reported(world: World) -> None:
    await world.fails(await world.message("anna@example.org", sender="cora@example.com"))
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    await world.fails(row["id"])
    assert (await world.reports.send_due(), await world.due()) == (0, 0)
    assert len(await world.sent()) == 1


async def test_several_recipients_are_one_report(world: World) -> None:
    message_id = await world.message("a@example.net", "b@example.com", "c@example.net")
    await world.fails(message_id)
    await world.execute("UPDATE delivery SET report_due = 'relayed', status = 'delivered' WHERE number = 1")
    assert await world.reports.send_due() == 2
    both = [read(await world.open(row))[2] for row in await world.sent()]
    failed, relayed = sorted(both, key=lambda fields: str(fields[1]["Action"]))  # they are sent at the same time
    assert [r["Final-Recipient"] for r in failed[1:]] == ["rfc822; a@example.net", "rfc822; c@example.net"]
    assert [(r["Final-Recipient"], r["Action"]) for r in relayed[1:]] == [("rfc822; b@example.com", "relayed")]


async def test_more_messages_than_one_page(world: World, monkeypatch) -> None:
    monkeypatch.setattr("everpost.intake.reports.MESSAGES_AT_ONCE", 2)
    for _ in range(5):
        await world.fails(await world.message())
    assert await world.reports.send_due() == 5
    assert await world.due() == 0


# ---------------------------------------------------------------------- exactly once


async def test_a_crash_before_the_commit_tells_nobody_and_the_next_round_tells_once(world: World) -> None:
    await world.fails(await world.message())
    node = world.node
    accept = node.intake.accept

    async def dies(submission: Submission, within: Any = None) -> Receipt:
        async def and_dies(connection: Connection, receipt: Receipt, /) -> None:
            await within(connection, receipt)
            raise ConnectionResetError("the process is gone")

        return await accept(submission, and_dies)

    node.intake.accept = dies
    assert await world.reports.send_due() == 0
    node.intake.accept = accept
    assert (await world.sent(), await world.due()) == ([], 1)
    fresh = ReportSender(node.database, node.blobs, node.intake, node.directory, HOST)
    assert [await fresh.send_due() for _ in range(3)] == [1, 0, 0]
    assert len(await world.sent()) == 1


async def test_a_crash_after_the_commit_does_not_tell_twice(world: World) -> None:
    await world.fails(await world.message())
    accept = world.node.intake.accept

    async def dies(submission: Submission, within: Any = None) -> Receipt:
        await accept(submission, within)
        raise ConnectionResetError("the process is gone")

    world.node.intake.accept = dies
    assert await world.reports.send_due() == 0
    world.node.intake.accept = accept
    assert await world.reports.send_due() == 0
    assert len(await world.sent()) == 1


async def test_two_at_the_same_time_tell_once(world: World) -> None:
    node = world.node
    for _ in range(10):
        await world.fails(await world.message())
    senders = [ReportSender(node.database, node.blobs, node.intake, node.directory, HOST) for _ in range(3)]
    assert sum(await asyncio.gather(*(sender.send_due() for sender in senders))) == 10
    assert (len(await world.sent()), await world.due()) == (10, 0)


async def test_what_has_changed_meanwhile_is_told_as_it_is_now(world: World) -> None:
    """It was late, and fails while the report of the delay is under way."""
    message_id = await world.message()
    await world.fails(message_id, "delayed", "450 4.2.1 later")
    accept = world.node.intake.accept

    async def slow(submission: Submission, within: Any = None) -> Receipt:
        world.node.intake.accept = accept
        await world.fails(message_id)
        return await accept(submission, within)

    world.node.intake.accept = slow
    assert [await world.reports.send_due() for _ in range(3)] == [0, 1, 0]
    (row,) = await world.sent()
    assert read(await world.open(row))[2][1]["Action"] == "failed"


async def test_one_that_cannot_be_made_does_not_stop_the_others(world: World) -> None:
    bad, good = await world.message(), await world.message(sender="ben@example.org")
    await world.fails(bad)
    await world.fails(good)
    build = world.reports._build

    async def broken(report):
        if report.message_id == bad:
            raise ZeroDivisionError
        return await build(report)

    world.reports._build = broken
    assert await world.reports.send_due() == 1
    assert await world.due() == 1
    world.reports._build = build
    assert await world.reports.send_due() == 1


# ---------------------------------------------------------------------- what is returned


@pytest.mark.parametrize(
    ("ret", "report", "size", "kind"),
    [
        (None, "failed", 0, "message/rfc822"),
        (Ret.FULL, "failed", 0, "message/rfc822"),
        (Ret.HEADERS, "failed", 0, "text/rfc822-headers"),
        (None, "failed", 70_000, "text/rfc822-headers"),
        (Ret.FULL, "failed", 3_000_000, "text/rfc822-headers"),
        (Ret.FULL, "delayed", 0, "text/rfc822-headers"),
        (Ret.FULL, "relayed", 0, "text/rfc822-headers"),
    ],
)
async def test_how_much_of_the_original_comes_back(world: World, ret, report, size, kind) -> None:
    content = CONTENT + b"0123456789abcdef\r\n" * (size // 18)
    await world.fails(await world.message(content=content, envelope={"ret": ret}), report, "450 4.2.1 x")
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    returned = read(await world.open(row))[3]
    assert returned.get_content_type() == kind
    assert row["size"] < 20_000
    assert "plans@example.org" in returned.as_string()
    assert ("See you at noon" in returned.as_string()) is (kind == "message/rfc822")


async def test_an_eight_bit_original_comes_back_as_it_was(world: World) -> None:
    content = CONTENT.replace(b"noon", "zwölf".encode())
    await world.fails(await world.message(content=content, envelope={"body": Body.EIGHT_BIT}))
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    assert (row["body"], row["smtputf8"]) == ("8BITMIME", False)
    assert content in await world.open(row)


async def test_addresses_beyond_ascii(world: World) -> None:
    message_id = await world.message("jörg@bücher.example", sender="märta@example.com", envelope={"smtputf8": True})
    await world.fails(message_id)
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    assert (row["recipient"], row["smtputf8"], row["body"]) == ("märta@example.com", True, "8BITMIME")
    content = await world.open(row)
    assert "Content-Type: message/global-delivery-status" in content.decode()
    assert "Final-Recipient: utf-8; jörg@bücher.example" in content.decode()
    assert "To: <märta@example.com>" in content.decode()


async def test_an_original_that_was_erased_is_reported_all_the_same(world: World) -> None:
    await world.fails(await world.message())
    await world.execute("UPDATE blob SET wrapped_key = 'erased'")
    assert await world.reports.send_due() == 1


@pytest.mark.parametrize("content", [b"", b"no header at all", b"\r\n\r\nbody", b"Subject: \xff\xfe\r\n\r\n\x00\r\r\n"])
async def test_any_original_can_be_reported_on(world: World, content: bytes) -> None:
    await world.fails(await world.message(content=content))
    assert await world.reports.send_due() == 1


# ---------------------------------------------------------------------- who asked for what


async def test_delivery_to_the_standby_alone_is_reported_where_asked_for(world: World) -> None:
    await world.execute("UPDATE domain SET primary_id = NULL")
    for notify in (None, Notify.NEVER, Notify.FAILURE, Notify.SUCCESS | Notify.FAILURE):
        await world.message("ben@example.org", sender="cora@example.com", notify=notify)
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    assert read(await world.open(row))[2][1]["Action"] == "delivered"


async def attempt(world: World, terms: Terms, now: datetime, reply: Any = None) -> list[Any]:
    """One attempt of everything that is due."""
    leases = world.node.worker._leases
    await world.execute("UPDATE delivery SET next_attempt_at = now() WHERE status = 'queued'")
    messages = await leases.claim(10, 10, [])
    verdicts = [
        judge(Attempted(delivery, reply, "connection refused", ""), now, may_bounce=True, terms=terms)
        for message in messages
        for delivery in message.deliveries
    ]
    await leases.complete(verdicts)
    return verdicts


@pytest.mark.parametrize("told_between", [True, False])
async def test_a_delay_is_told_once(world: World, told_between: bool) -> None:
    """Also where the next attempts come before the report is sent."""
    start = datetime.now(UTC) - timedelta(hours=10)
    await world.message(received_at=start)
    terms = Terms(delay_notice_after=timedelta(hours=4))
    sent = []
    for hours in (1, 3, 4, 5, 9):
        await attempt(world, terms, start + timedelta(hours=hours))
        if told_between:
            sent.append(await world.reports.send_due())
            await world.execute("UPDATE delivery SET status = 'cancelled' WHERE notify = 0")  # the report itself
    sent.append(await world.reports.send_due())
    assert sent == ([0, 0, 1, 0, 0, 0] if told_between else [1])
    (row,) = await world.sent()
    about = read(await world.open(row))[2][1]
    assert about["Action"] == "delayed"
    assert email.utils.parsedate_to_datetime(about["Will-Retry-Until"]) == (start + timedelta(days=5)).replace(
        microsecond=0
    )


async def test_mail_expires_as_set_and_its_sender_is_told(world: World) -> None:
    world.node.intake._writer._internet_lifetime = timedelta(days=2)
    start = datetime.now(UTC) - timedelta(days=3)
    for notify in (None, Notify.NEVER):
        await world.message(received_at=start, notify=notify)
    await attempt(world, Terms(), start + timedelta(days=2, minutes=1))
    assert [row["status"] for row in await world.fetch("SELECT status FROM delivery")] == ["expired", "expired"]
    assert await world.reports.send_due() == 1
    (row,) = await world.sent()
    about = read(await world.open(row))[2][1]
    assert (about["Action"], about["Status"]) == ("failed", "5.4.7")


async def test_from_a_refusal_on_the_wire_to_the_senders_mailbox(database, master, keys, tmp_path) -> None:
    class Refusing:
        async def handle_RCPT(self, server, session, envelope, address, options) -> str:
            if address.startswith("no"):
                return "550 5.1.1 Nobody"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server, session, envelope) -> str:
            got.append((envelope.mail_from, envelope.original_content))
            return "250 OK"

    got: list[tuple[str, bytes]] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(Refusing(), loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    organisation = await make_organisation(database, master)
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.primary_at(organisation, port)
    node.internet_at(port)
    await node.start()
    world = World(node, organisation, ReportSender(database, node.blobs, node.intake, node.directory, HOST), tmp_path)
    await world.message("nobody@example.net", "you@example.net")

    async def reported() -> bool:
        return await world.reports.send_due() == 1

    await until(reported)

    async def delivered() -> bool:
        return len(got) == 2

    await until(delivered)
    ((_, report),) = [item for item in got if b"multipart/report" in item[1]]
    assert read(report)[2][1]["Diagnostic-Code"] == "smtp; 550 5.1.1 Nobody"
    assert b"\r\nReceived: from mx.everpost.example ([127.0.0.1])" in b"\r\n" + report
    await node.stop()
    server.close()
    assert [row["notify"] for row in await world.sent()] == [0]
