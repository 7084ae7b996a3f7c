"""What the guard keeps apart, and how it is let go: once, whole, on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from e2e.test_guard import guard_with, message
from e2e.test_mail_flow import Sink, World, send, statuses
from everpost.continuity.homes import make_operator, waiting_mailboxes
from everpost.guard.model import Judgement
from everpost.intake.quarantine import Quarantine, Wanted
from everpost.queue.operator import QueueRefusal
from everpost.standby.model import Role
from everpost.store.ids import decode_id
from quarantine_tools import content, keep
from world import Node, make_organisation, until

BAD = message("bank.example")


@pytest.fixture
async def world(database, master, keys, tmp_path, request) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master, with_primary=getattr(request, "param", True))
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    node = Node(database, keys, tmp_path, organisation, run=1, guard=guard_with())
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, primary, Sink())
    await node.stop()
    server.close()


def quarantine(world: World) -> Quarantine:
    return Quarantine(world.node.database, actor="ann", homes=waiting_mailboxes)


async def kept(world: World, *people: str) -> int:
    addresses = [f"{person}@example.org" for person in people]
    return decode_id(await asyncio.to_thread(send, world.node.mx.port, addresses, BAD, "c@bank.example"))


async def values(world: World, query: str) -> list[tuple[object, ...]]:
    async with world.node.database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def test_a_released_message_stands_in_the_inbox_and_goes_to_the_primary_once(world: World) -> None:
    message_id = await kept(world, "anna", "ben")
    [listed] = await quarantine(world).list(world.organisation.id)
    assert (listed.message_id, listed.recipients) == (message_id, ("anna@example.org", "ben@example.org"))
    assert listed.verdict.signals
    released = await quarantine(world).release(world.organisation.id, message_id, ["anna@example.org"], reason="asked")
    assert [each.recipient for each in released] == ["anna@example.org"]

    async def is_delivered() -> bool:
        return await statuses(world) == [("primary", "delivered", None), ("primary", "held", "quarantined")]

    await until(is_delivered)
    assert [recipients for _, recipients, _ in world.primary.got] == [["anna@example.org"]]
    entries = await values(world, "SELECT mailbox_id, folder_ids FROM entry")
    assert entries == [(world.organisation.mailboxes["anna"], [Role.INBOX.folder_id])]
    assert await values(world, "SELECT kind, folder_id FROM change") == [("received", Role.INBOX.folder_id)]
    events = await values(world, "SELECT actor, detail->>'reason' FROM audit_event WHERE action = 'quarantine.release'")
    assert events == [("ann", "asked")]
    with pytest.raises(QueueRefusal):
        await quarantine(world).release(world.organisation.id, message_id, ["anna@example.org"])
    assert len(await values(world, "SELECT 1 FROM entry")) == 1


async def test_what_is_released_while_the_standby_is_in_charge_waits_for_the_failback(world: World) -> None:
    message_id = await kept(world, "anna")
    async with world.node.database.transaction() as connection:
        await connection.execute("UPDATE primary_server SET trust_state = 'compromised'")
    [released] = await quarantine(world).release(world.organisation.id, message_id)
    assert released.remark == "held: compromised"
    assert await statuses(world) == [("primary", "held", "compromised")]
    assert len(await values(world, "SELECT 1 FROM entry")) == 1
    assert world.primary.got == []


@pytest.mark.parametrize("world", [False], indirect=True)
async def test_a_mailbox_without_a_primary(world: World) -> None:
    message_id = await kept(world, "anna")
    assert await statuses(world) == [("standby", "held", "quarantined")]
    await quarantine(world).release(world.organisation.id, message_id)
    assert await statuses(world) == [("standby", "delivered", None)]
    assert len(await values(world, "SELECT 1 FROM entry")) == 1


async def test_the_queue_leaves_it_alone_and_other_organisations_do_not_see_it(world: World) -> None:
    message_id = await kept(world, "anna")
    operator = make_operator(world.node.database, "ann")
    for verb in (operator.release, operator.expire, operator.retry_now, operator.hold):
        result = await verb(world.organisation.id, message_id)
        assert not result.done
        assert "quarantine release" in result.left[0].why
    assert await statuses(world) == [("primary", "held", "quarantined")]
    assert await quarantine(world).list(world.organisation.id + 1) == []
    with pytest.raises(QueueRefusal):
        await quarantine(world).release(world.organisation.id + 1, message_id)


async def test_the_list_is_searched_and_paged(world: World) -> None:
    intake, directory = world.node.intake, world.node.directory
    spam = await keep(intake, directory, ["anna@example.org", "ben@example.org"], octets=content("Win a PRIZE"))
    phish = await keep(intake, directory, ["ben@example.org"], judgement=Judgement.PHISHING, sender="x@other.example")

    async def found(**wanted: object) -> list[int]:
        kept = await quarantine(world).list(world.organisation.id, Wanted(**wanted))  # type: ignore[arg-type]
        return [each.message_id for each in kept]

    assert await found() == [phish, spam]
    assert await found(before=phish) == [spam]
    assert await found(judgement=Judgement.SPAM) == [spam]
    assert await found(recipient="ANNA@") == [spam]
    assert await found(sender="other.example") == [phish]
    assert await found(subject="prize") == [spam]
    assert await found(mailbox_id=world.organisation.mailboxes["anna"]) == [spam]
    assert await found(since=datetime.now(UTC)) == []
    assert await found(until=datetime.now(UTC)) == [phish, spam]
    [listed] = await quarantine(world).list(world.organisation.id, Wanted(recipient="anna"))
    assert listed.recipients == ("anna@example.org", "ben@example.org")
    assert listed.author == "Bank <news@bank.example>"


async def test_a_message_is_looked_at_and_some_recipients_get_it(world: World) -> None:
    message_id = await keep(world.node.intake, world.node.directory, ["anna@example.org", "ben@example.org"])
    view = await quarantine(world).look(world.organisation.id, message_id, world.node.blobs)
    assert view is not None
    assert view.text == "Click here\n"
    assert ("Subject", "Your account") in view.fields
    assert await values(world, "SELECT actor FROM audit_event WHERE action = 'quarantine.look'") == [("ann",)]
    assert await quarantine(world).look(world.organisation.id + 1, message_id, world.node.blobs) is None
    assert await quarantine(world).get(world.organisation.id + 1, message_id) is None
    with pytest.raises(QueueRefusal, match=r"for nobody@example\.org"):
        await quarantine(world).release(world.organisation.id, message_id, ["ben@example.org", "nobody@example.org"])
    await quarantine(world).release(world.organisation.id, message_id, ["ben@example.org"])
    details = await quarantine(world).get(world.organisation.id, message_id)
    assert details is not None
    assert [each.recipient for each in details.recipients] == ["anna@example.org"]


async def test_what_is_kept_for_too_long_ends_without_a_report(world: World) -> None:
    now = datetime.now(UTC)
    both, fresh = [
        await keep(world.node.intake, world.node.directory, ["anna@example.org", "ben@example.org"], received_at=at)
        for at in (now - timedelta(days=31), now - timedelta(days=29))
    ]
    await quarantine(world).release(world.organisation.id, both, ["ben@example.org"])

    async def is_delivered() -> bool:
        return ("primary", "delivered", None) in await statuses(world)

    await until(is_delivered)
    assert await quarantine(world).expire(now - timedelta(days=30)) == 1
    assert await quarantine(world).expire(now - timedelta(days=30)) == 0
    rows = await values(world, f"SELECT recipient, status, report_due FROM delivery WHERE message_id = {both}")
    assert sorted(rows) == [("anna@example.org", "expired", None), ("ben@example.org", "delivered", None)]
    assert [each.message_id for each in await quarantine(world).list(world.organisation.id)] == [fresh]
    assert len(await values(world, "SELECT 1 FROM audit_event WHERE action = 'quarantine.expire'")) == 1
    assert await quarantine(world).give_up(world.organisation.id, fresh, reason="spam") == (
        "anna@example.org", "ben@example.org",
    )  # fmt: skip
    assert await quarantine(world).list(world.organisation.id) == []
