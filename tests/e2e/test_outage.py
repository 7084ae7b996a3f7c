"""The primary stays dead for five days. Time is shifted, not waited for: every moment the database knows moves back.

That is the same as the clock going on, but for what is in a worker's hands just now, which keeps its lease, and for
the audit, which must not be changed.
"""

from __future__ import annotations

import asyncio
import smtplib
from datetime import timedelta

import asyncpg
import pytest

from crash_tools import make_message, mark_of
from everpost.app.demo.count import Difference, compare, copy_of
from serve_tools import OUTSIDER, PEOPLE, House, eventually, house

DAY = timedelta(days=1)
DAYS = 6
DAILY = 12
OPEN = "SELECT count(*) FROM delivery WHERE kind = 'primary' AND status IN ('queued', 'held')"


async def a_day_passes(place: House) -> None:
    """For what is leased it does not: it is waited for, so that the day passes for all."""
    connection = await asyncpg.connect(place.dsn)
    try:
        await eventually(lambda: nothing_leased(connection), 60)
        columns = await connection.fetch(
            "SELECT table_name, array_agg(column_name::text) AS columns FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'"
            " AND table_name NOT LIKE 'audit%' AND table_name <> 'worker' GROUP BY table_name ORDER BY table_name"
        )
        assert {"delivery", "message", "entry", "change", "activation"} <= {row["table_name"] for row in columns}
        for row in columns:
            moves = ", ".join(f"{name} = {name} - $1::interval" for name in row["columns"])
            only = " WHERE leased_by IS NULL" if row["table_name"] == "delivery" else ""
            await connection.execute(f"UPDATE {row['table_name']} SET {moves}{only}", DAY)
    finally:
        await connection.close()


async def nothing_leased(connection: asyncpg.Connection) -> bool:
    return await connection.fetchval("SELECT count(*) FROM delivery WHERE leased_by IS NOT NULL") == 0


def send(port: int, day: int) -> dict[str, tuple[str, bytes]]:
    """From a sender whose server would show every report we made: mark → (recipient, content)."""
    sent = {}
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for number in range(DAILY):
            mark, recipient = f"day-{day}-{number}", PEOPLE[number % len(PEOPLE)]
            content = make_message(mark, number)
            assert client.sendmail(OUTSIDER, [recipient], content, ["BODY=8BITMIME"]) == {}
            sent[mark] = recipient, content
    return sent


async def five_days_and_more(place: House) -> dict[str, tuple[str, bytes]]:
    """Mail comes in every day, and what is queued is attempted every day."""
    sent: dict[str, tuple[str, bytes]] = {}
    for day in range(1, DAYS + 1):
        sent |= await asyncio.to_thread(send, place.installation.mx_port, day)
        before = await attempts(place)
        await a_day_passes(place)

        async def all_attempted_again(before: dict[int, int] = before) -> bool:
            now = await attempts(place)
            return all(now.get(message, count + 1) > count for message, count in before.items())

        await eventually(all_attempted_again)
    return sent


async def attempts(place: House) -> dict[int, int]:
    """Of what waits in the queue."""
    rows = await place.rows("SELECT message_id, attempts FROM delivery WHERE status = 'queued' AND kind = 'primary'")
    return dict(rows)


async def check_nobody_was_told_anything(place: House) -> None:
    """No bounce, no expiry, no report, no loop: neither in the database nor at the sender's own server."""
    assert (
        await place.rows("SELECT DISTINCT status FROM delivery WHERE status IN ('failed', 'expired', 'cancelled')")
        == []
    )
    assert await place.rows("SELECT subject FROM message WHERE source = 'notice' AND reverse_path IS NULL") == []
    assert await place.value("SELECT count(*) FROM delivery WHERE report_due IS NOT NULL OR delay_told") == 0
    assert [mark_of(item.raw) for item in await place.on_internet()] == []


async def check_everything_is_there_once(place: House, sent: dict[str, tuple[str, bytes]]) -> None:
    expected = [copy_of(recipient, content) for recipient, content in sent.values()]
    there, standby = [], []
    for person in PEOPLE:
        for item in await place.on_primary(person):
            there.append(copy_of(person, item.raw))
            assert item.raw.partition(b"\r\n\r\n")[0].count(b"by mx.everpost.example") == 1, "it went round"
        standby += [copy_of(person, raw) for raw in await place.standby(person)]
    assert compare(expected, there) == Difference(0, 0, 0, 0)
    assert compare(expected, standby) == Difference(0, 0, 0, 0)


@pytest.mark.timeout(240)
async def test_five_days_in_the_standby() -> None:
    async with house() as place:
        sent = await asyncio.to_thread(send, place.installation.mx_port, 0)
        await place.until(OPEN, 0)
        await place.primary.kill()
        await place.until_trust("down")
        await place.until("SELECT count(*) FROM activation WHERE ended_at IS NULL", 1)
        sent |= await five_days_and_more(place)
        assert await place.rows("SELECT DISTINCT status, hold_reason FROM delivery WHERE status <> 'delivered'") == [
            ("held", "activated")
        ]
        assert await place.value("SELECT now() - min(started_at) > interval '6 days' FROM activation")
        assert await place.value("SELECT count(*) FROM attempt") < 100  # before the activation, and none since
        await check_nobody_was_told_anything(place)
        await place.primary.start()
        await place.until("SELECT ok AND run_length >= 2 FROM probe_result", True)
        async with place.continuity() as continuity:
            assert (await continuity.deactivate(place.scope, "test", "it is back")).failback_id is not None
        await place.until("SELECT state FROM failback", "finished")
        await place.until_trust("trusted")
        await place.until(OPEN, 0)
        await check_nobody_was_told_anything(place)
        await check_everything_is_there_once(place, sent)
        totals = await place.value("SELECT (report->'totals')::text FROM failback")
        assert f'"replayed": {DAYS * DAILY}' in totals


@pytest.mark.timeout(240)
async def test_five_days_in_the_queue() -> None:
    """Without automatic activation mail waits for the primary and is tried again and again."""
    async with house(automatic_activation=False) as place:
        sent = await asyncio.to_thread(send, place.installation.mx_port, 0)
        await place.until(OPEN, 0)
        await place.primary.kill()
        await place.until_trust("down")
        sent |= await five_days_and_more(place)
        assert await place.rows("SELECT DISTINCT status, kind FROM delivery WHERE status <> 'delivered'") == [
            ("queued", "primary")
        ]
        assert await place.value("SELECT max(attempts) FROM delivery WHERE status = 'queued'") >= DAYS
        assert await place.value("SELECT count(*) FROM activation") == 0
        await check_nobody_was_told_anything(place)
        await place.primary.start()
        await place.until(OPEN, 0)
        await place.until_trust("trusted")
        await check_nobody_was_told_anything(place)
        await check_everything_is_there_once(place, sent)


@pytest.mark.timeout(240)
async def test_what_waits_for_the_internet_does_expire() -> None:
    """The other side of it: the same days do pass for mail that may not wait for ever, and its sender is told."""
    async with house() as place:
        await place.internet.kill()
        await place.primary.kill()
        await place.until_trust("down")
        box = place.mailbox(PEOPLE[0])
        assert await box.open()
        await box.send(await box.draft([OUTSIDER], "never-arrives", "hello\n"))
        await box.close()
        for _ in range(DAYS):
            await a_day_passes(place)
        await place.until("SELECT status FROM delivery WHERE kind = 'internet'", "expired")

        async def is_told() -> bool:
            return any(b"Action: failed" in raw for raw in await place.standby(PEOPLE[0]))

        await eventually(is_told)
        reports = [raw for raw in await place.standby(PEOPLE[0]) if b"multipart/report" in raw]
        assert sum(b"Action: failed" in raw for raw in reports) == 1
        assert len(reports) <= 2  # a delay, and the end
