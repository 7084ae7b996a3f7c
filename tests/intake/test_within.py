"""What a caller puts into the transaction that makes a message ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from everpost.directory.resolve import Directory
from everpost.intake.accept import Intake, IntakeUnavailable
from everpost.intake.own import own_submission, routed
from everpost.intake.submission import Owner, Receipt, Submission
from everpost.mail.address import Address
from everpost.store.database import Connection
from world import Node, Organisation, make_organisation

CONTENT = b"From: me@example.org\r\nSubject: %d\r\nMessage-ID: <%d@example.org>\r\n\r\nHi\r\n"


class Refused(Exception):
    """The caller's own."""


@pytest.fixture
async def organisation(database, master) -> Organisation:
    return await make_organisation(database, master)


@pytest.fixture
async def intake(database, keys, tmp_path, organisation) -> AsyncIterator[Intake]:
    """Not started: what is asked of it waits, and shares one transaction."""
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.worker.room = lambda: 0
    await node.routes.load()
    yield node.intake
    await node.intake.stop()


async def a_message(database, organisation: Organisation, number: int = 1) -> Submission:
    address = Address.parse("anna@example.org")
    recipient = routed(address, await Directory(database).resolve(address))
    return own_submission(CONTENT % (number, number), (recipient,), Owner(organisation.id), "mx.everpost.example")


async def kept(database) -> list[str]:
    async with database.connection() as connection:
        for table in ("blob", "delivery", "entry", "placement", "change"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == await connection.fetchval(
                "SELECT count(*) FROM message"
            ), table
        rows = await connection.fetch("SELECT subject FROM message ORDER BY subject")
    return [row["subject"] for row in rows]


def failing(error: Exception):
    async def within(connection: Connection, receipt: Receipt, /) -> None:
        assert await connection.fetchval("SELECT count(*) FROM message WHERE id = $1", receipt.message_ids[0]) == 1
        raise error

    return within


async def note(connection: Connection, receipt: Receipt, /) -> None:
    await connection.execute("INSERT INTO suspension VALUES (1, $1, 'note', 'test')", str(receipt.message_ids[0]))


async def test_it_is_committed_with_the_message(database, intake, organisation) -> None:
    asked = asyncio.create_task(intake.accept(await a_message(database, organisation), note))
    intake.start()
    receipt = await asked
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT lane FROM suspension") == str(receipt.message_ids[0])
    assert await kept(database) == ["1"]


@pytest.mark.parametrize(
    "error", [Refused("no"), ValueError("no"), LookupError("no"), asyncpg.UniqueViolationError("no")]
)
async def test_its_error_reaches_the_caller_and_harms_nobody_else(database, intake, organisation, error) -> None:
    """Four messages wait for one transaction: the second and the third raise."""
    withins: list[Any] = [note, failing(error), failing(Refused("another")), None]
    asked = [
        asyncio.create_task(intake.accept(await a_message(database, organisation, number), within))
        for number, within in enumerate(withins)
    ]
    await asyncio.sleep(0)
    intake.start()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert results[1] is error
    assert str(results[2]) == "another"
    assert all(isinstance(result, Receipt) for result in (results[0], results[3]))
    assert await kept(database) == ["0", "3"]
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM suspension") == 1
        events = await connection.fetch("SELECT detail FROM audit_event")
    assert sum(len(event["detail"]["messages"]) for event in events) == 2


async def test_the_database_away_is_a_try_later(database, intake, organisation) -> None:
    asked = [
        asyncio.create_task(intake.accept(await a_message(database, organisation, number), within))
        for number, within in enumerate((failing(TimeoutError("lock")), None))
    ]
    await asyncio.sleep(0)
    intake.start()
    first, second = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(first, IntakeUnavailable)
    assert isinstance(second, Receipt)
    assert await kept(database) == ["1"]


async def test_an_error_of_the_database_kept_secret_is_no_commit(database, intake, organisation) -> None:
    async def secretive(connection: Connection, receipt: Receipt, /) -> None:
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("SELECT * FROM no_such_table")

    asked = asyncio.create_task(intake.accept(await a_message(database, organisation), secretive))
    intake.start()
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await asked
    assert await kept(database) == []


async def test_a_caller_that_is_gone_stops_nobody(database, intake, organisation) -> None:
    asked = [
        asyncio.create_task(intake.accept(await a_message(database, organisation, number), failing(Refused("no"))))
        for number in range(2)
    ]
    await asyncio.sleep(0)
    asked[0].cancel()
    await asyncio.sleep(0)
    intake.start()
    with pytest.raises(Refused):
        await asked[1]
    assert (await intake.accept(await a_message(database, organisation, 5))).message_ids
    assert await kept(database) == ["5"]
