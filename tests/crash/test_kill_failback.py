"""A failback of the real service whose processes are killed finishes by itself, and nothing is there twice."""

from __future__ import annotations

import asyncio
import os
import random
import smtplib
from collections import Counter
from pathlib import Path

import pytest

from crash_tools import make_message
from everpost.app.demo.count import Copy, Difference, compare, copy_of
from everpost.app.demo.person import Work, work
from serve_tools import DOMAIN, OUTSIDER, House, children, eventually, house, kill

KILLS = max(4, int(os.environ.get("EVERPOST_TEST_KILLS", "8")) // 5)
NAMES = ("anna", "ben", "clara", "david", "emma", "felix", "greta", "hugo")
STAFF = tuple(f"{name}@{DOMAIN}" for name in NAMES)


def send(port: int, first: int, count: int) -> list[Copy]:
    """Messages for everybody in turn, each acknowledged."""
    copies = []
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for number in range(first, first + count):
            content, recipient = make_message(f"mail-{number}", number), STAFF[number % len(STAFF)]
            assert client.sendmail("x@example.com", [recipient], content) == {}
            copies.append(copy_of(recipient, content))
    return copies


async def kill_again_and_again(place: House) -> Counter[str]:
    """The control process soon after it has taken the lead, and workers beside it, while the failback goes on."""
    chance, kills = random.Random(KILLS), Counter[str]()
    supervisor = place.installation.child.process.pid
    log = place.installation.folder / "log"
    before = times_led(log) - 1
    while kills["control"] < KILLS:

        async def leads_or_done(wanted: int = before + kills["control"] + 1) -> bool:
            return times_led(log) >= wanted or await finished(place)

        await eventually(leads_or_done, 60)
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        if await finished(place):
            break
        now = children(supervisor)
        kill(now["control-0"])
        kills["control"] += 1
        if kills["control"] % 2:
            kill(now[chance.choice([name for name in now if name.startswith("worker")])])
            kills["worker"] += 1
    return kills


def times_led(log: Path) -> int:
    """How often a control process has taken the lead."""
    return sum("leader.leads" in line and '"process": "control"' in line for line in log.read_text().splitlines())


async def finished(place: House) -> bool:
    return await place.value("SELECT count(*) FROM failback WHERE finished_at IS NOT NULL") > 0


@pytest.mark.crash
@pytest.mark.timeout(180 + 20 * KILLS)
async def test_it_finishes_by_itself_and_nothing_is_there_twice() -> None:
    async with house(people=STAFF, workers=3) as place:
        port, done = place.installation.mx_port, Work()
        sent = await asyncio.to_thread(send, port, 0, 160)
        await place.until("SELECT count(*) FROM delivery WHERE status <> 'delivered'", 0)
        await place.primary.kill()
        await place.until_trust("down")
        sent += await asyncio.to_thread(send, port, 1000, 320)
        for number, person in enumerate(STAFF):
            box = place.mailbox(person)
            assert await box.open()
            await work(box, STAFF[number - 1], OUTSIDER, done)
            await box.close()
        assert len(done.removed) == len(STAFF), "the people did not work"
        await place.primary.start()
        await place.until("SELECT ok AND run_length >= 2 FROM probe_result", True)
        async with place.continuity() as continuity:
            assert (await continuity.deactivate(place.scope, "test", "it is back", wave_size=1)).failback_id
        kills = await kill_again_and_again(place)
        assert kills["control"] >= min(4, KILLS), "it was over too soon"
        await place.until("SELECT state FROM failback", "finished", 150)
        await place.until_trust("trusted")
        assert await place.value("SELECT count(*) FROM delivery WHERE status <> 'delivered'") == 0
        await check(place, sent, done)
        report = await place.value("SELECT report->'totals' FROM failback")
    print(f"{dict(kills)} during the failback: {len(sent)} messages and the work of {len(STAFF)} people are back once")
    print(report)


async def check(place: House, sent: list[Copy], done: Work) -> None:
    expected = list((Counter(sent) + Counter(done.added) - Counter(done.removed)).elements())
    stored = {person: await place.on_primary(person) for person in STAFF}
    there = {copy_of(person, item.raw): item for person, items in stored.items() for item in items}
    copies = [copy_of(person, item.raw) for person, items in stored.items() for item in items]
    assert compare(expected, copies) == Difference(0, 0, 0, 0)
    standby = [copy_of(person, raw) for person in STAFF for raw in await place.standby(person)]
    assert compare(expected, standby) == Difference(0, 0, 0, 0)
    for wanted in done.wanted:
        item = there[wanted.copy]
        assert item.folder == wanted.folder
        assert wanted.flags <= item.flags
