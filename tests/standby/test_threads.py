"""Conversations that two transactions start at the same moment."""

from __future__ import annotations

import asyncio

from everpost.standby.summary import reference_hash, scan_message
from everpost.standby.threads import Unthreaded, assign_threads
from everpost.store.database import Database


def cites(number: int, *ids: str) -> Unthreaded:
    header = f"Message-ID: <{ids[-1]}>\r\nReferences: {' '.join(f'<{cited}>' for cited in ids[:-1])}\r\n\r\n"
    return Unthreaded(1, number, scan_message(header.encode()).summary)


async def test_the_second_takes_the_thread_of_the_first_with_all_its_ids(database: Database) -> None:
    first_has_written, second_waits = asyncio.Event(), asyncio.Event()

    async def first() -> list[int]:
        async with database.transaction() as connection:
            threads = await assign_threads(connection, [cites(10, "root@x", "a@x")])
            first_has_written.set()
            await second_waits.wait()
            await asyncio.sleep(0.2)  # the other is inside its insert by now, waiting for this commit
        return threads

    async def second() -> list[int]:
        await first_has_written.wait()
        async with database.transaction() as connection:
            second_waits.set()
            return await assign_threads(connection, [cites(20, "root@x", "b@x")])

    assert await asyncio.gather(first(), second()) == [[10], [10]]
    async with database.transaction() as connection:
        found = dict(await connection.fetch("SELECT ref, thread_id FROM message_ref"))
        assert found == {reference_hash(name): 10 for name in ("root@x", "a@x", "b@x")}
        assert await assign_threads(connection, [cites(30, "b@x", "c@x")]) == [10]


async def test_two_organisations_share_no_conversation(database: Database) -> None:
    mine = cites(10, "root@x", "a@x")
    theirs = Unthreaded(2, 20, mine.summary)
    async with database.transaction() as connection:
        assert await assign_threads(connection, [mine, theirs]) == [10, 20]
