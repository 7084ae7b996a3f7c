"""Counts in the database: right for all workers together, over restarts, in few transactions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from everpost.guard.sending.counts import SharedCounts, forget_old
from everpost.guard.sending.model import Amount, Sent
from everpost.store.database import Database

AT = datetime(2026, 3, 1, 12, 15, tzinfo=UTC)


def sent(number: int = 0, at: datetime = AT, person: str | None = "mailbox 7", organisation: int = 1) -> Sent:
    return Sent(organisation, person, "primary 3", (number.to_bytes(8, "big"),), at)


async def rows(database: Database, table: str) -> int:
    async with database.connection() as connection:
        return await connection.fetchval(f"SELECT count(*) FROM {table}")


async def test_two_workers_and_a_restart_count_as_one(database: Database) -> None:
    one, two = SharedCounts(database), SharedCounts(database)
    found = await asyncio.gather(*(counts.count(sent(n)) for n in range(100) for counts in (one, two)))
    reached = sorted(each.person.hour.messages for each in found if each.person)
    assert reached == list(range(1, 201))  # each message knows its own place
    after = await SharedCounts(database).count(sent())
    assert after.person is not None
    assert after.primary is not None
    assert (after.person.hour, after.person.day) == (Amount(201, 201, 201), Amount(201, 201, 201))
    assert after.primary.hour.messages == 201
    assert await rows(database, "sending_count") == 2  # one for the person, one for the primary


async def test_an_hour_slides_and_a_day_has_24(database: Database) -> None:
    counts = SharedCounts(database)
    for back in (0, 1, 2, 23, 24):
        for _ in range(8):
            await counts.count(sent(at=AT - timedelta(hours=back)))
    found = await counts.count(sent())
    assert found.person is not None
    assert found.person.hour.messages == 9 + 6  # a quarter past: three quarters of the hour before
    assert found.person.day.messages == 9 + 3 * 8


async def test_strangers_are_those_never_written_to(database: Database) -> None:
    counts = SharedCounts(database)
    first = await counts.count(sent(1))
    assert first.strangers == sent(1).recipients
    assert (await counts.count(sent(1))).strangers  # not learned yet: perhaps it was not sent
    counts.learn(sent(1), first)
    await counts.count(sent(9))  # whoever comes next finds it learned
    again = await counts.count(sent(1))
    assert (again.strangers, again.fading) == ((), ())
    assert (await counts.count(sent(1, person="mailbox 8"))).strangers
    assert (await counts.count(sent(1, organisation=2))).strangers
    later = await counts.count(sent(1, at=datetime.now(UTC) + timedelta(days=40)))
    assert later.fading == sent(1).recipients
    assert later.strangers == ()


async def test_what_is_taken_back_was_never_there(database: Database) -> None:
    counts = SharedCounts(database)
    await counts.count(sent())
    found = await counts.count(sent(2))
    counts.take_back(sent(2), found)
    after = await counts.count(sent(2))
    assert after.person is not None
    assert after.person.hour == Amount(2, 2, 2)


async def test_a_message_of_nobody_counts_for_its_primary(database: Database) -> None:
    found = await SharedCounts(database).count(sent(person=None))
    assert found.person is None
    assert found.primary is not None
    assert found.primary.hour == Amount(1, 1, 0)


async def test_old_hours_are_forgotten(database: Database) -> None:
    counts = SharedCounts(database)
    now = datetime.now(UTC)
    for days in (0, 1, 3):
        await counts.count(sent(at=now - timedelta(days=days)))
    await forget_old(database)
    assert await rows(database, "sending_count") == 4
