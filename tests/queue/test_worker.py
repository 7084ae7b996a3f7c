"""The queue's worker where something inside it goes wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from everpost.mail.address import Address
from everpost.mail.envelope import Recipient, Sender
from everpost.mail.reply import Reply
from everpost.queue.model import Delivery, DeliveryKey, Kind, ReadyMessage, Sighting, Status, primary_lane
from everpost.queue.outcome import Terms, judge
from everpost.queue.smtp_client import RecipientResult, Stage, TransactionResult
from everpost.queue.worker import ASKED_AGAIN
from world import Node, make_organisation, until


async def test_a_defect_gives_the_lease_back(database, master, keys, tmp_path) -> None:
    organisation = await make_organisation(database, master)
    node = Node(database, keys, tmp_path, organisation, run=7)
    lane = primary_lane(organisation.primary_id)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO delivery (organisation_id, message_id, number, recipient, accepted_as, kind, primary_id, lane,"
            " status, attempts, next_attempt_at, leased_by) VALUES ($1, 5, 0, 'anna@example.org', 'anna@example.org',"
            " 'primary', $2, $3, 'queued', 1, now() + interval '5 minutes', 7)",
            organisation.id,
            organisation.primary_id,
            lane,
        )

    async def broken(message: ReadyMessage, delivery: Delivery) -> Sighting:
        raise ZeroDivisionError

    node.worker._presence = broken
    await node.start()
    now = datetime.now(UTC)
    recipient = Recipient(Address.parse("anna@example.org"))
    delivery = Delivery(
        DeliveryKey(organisation.id, 5, 0), recipient, Kind.PRIMARY, lane, None, organisation.primary_id, 1, now, None,
        True,
    )  # fmt: skip
    node.worker.take(ReadyMessage(organisation.id, 5, 5, Sender(None), b"", 1, now, (delivery,), b"x"))

    async def given_back() -> bool:
        async with database.connection() as connection:
            row = await connection.fetchrow("SELECT status, leased_by, in_doubt, last_reply FROM delivery")
        return tuple(row) == ("queued", None, True, "internal error")

    await until(given_back)
    assert node.worker._active == {}
    await node.stop()


async def test_a_delivery_in_doubt_is_not_sent_while_the_primary_cannot_be_asked(
    database, master, keys, tmp_path
) -> None:
    organisation = await make_organisation(database, master)
    node = Node(database, keys, tmp_path, organisation, run=7)
    lane = primary_lane(organisation.primary_id)
    answers = {1: Sighting.UNKNOWN, 2: Sighting.THERE, ASKED_AGAIN + 1: Sighting.UNKNOWN}

    async def ask(message: ReadyMessage, delivery: Delivery) -> Sighting:
        return answers[delivery.attempts]

    node.worker._presence = ask
    now, recipient = datetime.now(UTC), Recipient(Address.parse("anna@example.org"))
    settled = {}
    for attempts in answers:
        key = DeliveryKey(organisation.id, 5, attempts)
        delivery = Delivery(
            key, recipient, Kind.PRIMARY, lane, None, organisation.primary_id, attempts, now, None, True
        )  # fmt: skip
        message = ReadyMessage(organisation.id, 5, 5, Sender(None), b"", 1, now, (delivery,), b"x")
        settled[attempts] = await node.worker._is_settled(message, delivery)
    assert settled == {1: True, 2: True, ASKED_AGAIN + 1: False}
    waiting, there = node.worker._outcomes.get_nowait(), node.worker._outcomes.get_nowait()
    assert waiting.reply is None
    assert judge(waiting, now, may_bounce=True, terms=Terms()).in_doubt
    assert judge(there, now, may_bounce=True, terms=Terms()).status is Status.DELIVERED


class _Connection:
    """To a server that takes everything after a moment."""

    usable, home, capabilities = True, None, ()

    def __init__(self) -> None:
        self.delivered = 0
        self.ended = False

    async def deliver(self, envelope, content, size) -> TransactionResult:
        await asyncio.sleep(0.02)
        self.delivered += 1
        replies = tuple(RecipientResult(recipient, Reply(250, "OK")) for recipient in envelope.recipients)
        return TransactionResult(replies, Stage.DONE, in_doubt=False, remote="there", tls=None)

    async def quit(self) -> None:
        self.ended = True


async def test_one_job_wakes_one_idle_connection_and_ends_none(database, master, keys, tmp_path) -> None:
    organisation = await make_organisation(database, master)
    node = Node(database, keys, tmp_path, organisation, run=7)
    node.primary_at(organisation, 25)
    dialled: list[_Connection] = []

    async def dial(hosts, home) -> _Connection:
        dialled.append(_Connection())
        dialled[-1].home = home
        return dialled[-1]

    node.worker._dial = dial
    await node.start()
    lane, now, number = primary_lane(organisation.primary_id), datetime.now(UTC), 0

    async def send(count: int) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            delivery = Delivery(
                DeliveryKey(organisation.id, number, 0), Recipient(Address.parse("anna@example.org")), Kind.PRIMARY,
                lane, None, organisation.primary_id, 1, now, None, False,
            )  # fmt: skip
            node.worker.take(ReadyMessage(organisation.id, number, 5, Sender(None), b"", 1, now, (delivery,), b"x"))
        async with asyncio.timeout(10):
            while sum(connection.delivered for connection in dialled) < number:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    await send(5)
    for _ in range(5):
        await send(1)
    await send(5)
    assert len(dialled) == 5
    assert not any(connection.ended for connection in dialled)
    await node.stop()
