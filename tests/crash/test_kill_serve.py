"""kill -9 of everything that `everpost serve` runs, under load and with people at work; then counting from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import smtplib
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpx
import pytest

from crash_tools import make_message, mark_of
from everpost.app.demo.installation import DidNotStart
from everpost.app.demo.jmap import Mailbox, Refused
from serve_tools import OUTSIDER, PEOPLE, House, children, descendants, house, kill

KILLS = int(os.environ.get("EVERPOST_TEST_KILLS", "10"))
SEED = int(os.environ.get("EVERPOST_TEST_SEED", str(KILLS)))
SENDERS = 4
PAUSE_S = 0.03
KINDS = ("worker", "postgres", "control", "worker", "primary", "everything")


@dataclass
class Ledger:
    """The sender's own: mark → (recipients, content). `doubtful`: the end was sent, no reply was read."""

    acknowledged: dict[str, tuple[tuple[str, ...], bytes]] = field(default_factory=dict)
    doubtful: dict[str, tuple[tuple[str, ...], bytes]] = field(default_factory=dict)
    refused: int = 0


class Sender(threading.Thread):
    """Sends one message after the other, each once."""

    def __init__(self, port: int, name: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port, self._name, self._stop_sending = port, name, stop
        self._number = 0
        self.ledger = Ledger()

    def run(self) -> None:
        while not self._stop_sending.is_set():
            with (
                contextlib.suppress(OSError, smtplib.SMTPException),
                smtplib.SMTP("127.0.0.1", self._port, timeout=20) as client,
            ):
                client.ehlo()
                while not self._stop_sending.wait(PAUSE_S):
                    self._send(client)
            self._stop_sending.wait(0.1)

    def _send(self, client: smtplib.SMTP) -> None:
        self._number += 1
        mark = f"{self._name}-{self._number}"
        first = self._number % len(PEOPLE)
        recipients = (PEOPLE[first], PEOPLE[first - 1])[: 1 + self._number % 2]
        content = make_message(mark, self._number)
        good = client.mail("x@example.com")[0] == 250
        for recipient in recipients:
            good = good and client.rcpt(recipient)[0] == 250
        if not good or client.docmd("DATA")[0] != 354:
            self.ledger.refused += 1
            client.rset()
            return
        self.ledger.doubtful[mark] = recipients, content
        client.send(content + b".\r\n")
        code, _ = client.getreply()  # raises where the connection is lost: in doubt
        del self.ledger.doubtful[mark]
        if code == 250:
            self.ledger.acknowledged[mark] = recipients, content
        else:
            assert 400 <= code < 500, "refused for good"
            self.ledger.refused += 1


@dataclass
class Work:
    """What a person was told has been done."""

    keywords: dict[str, str] = field(default_factory=dict)  # email → the keyword it has got
    folders: dict[str, str] = field(default_factory=dict)  # email → the folder it was moved to
    sent: set[str] = field(default_factory=set)  # subjects
    perhaps_sent: set[str] = field(default_factory=set)


class PersonAtWork:
    """Works on without pause, each change once."""

    def __init__(self, house: House, address: str, colleague: str) -> None:
        self._house, self._address, self._colleague = house, address, colleague
        self.work = Work()
        self._number = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            box = self._house.mailbox(self._address)
            with contextlib.suppress(httpx.HTTPError, Refused):
                if await box.open():
                    while not stop.is_set():
                        await self._one_round(box)
                        await asyncio.sleep(0.1)
            await box.close()
            await asyncio.sleep(0.2)

    async def _one_round(self, box: Mailbox) -> None:
        self._number += 1
        for email in await box.emails("inbox", 3):
            if email not in self.work.keywords:
                word = f"done-{self._number}"
                await box.update({email: {f"keywords/{word}": True}})
                self.work.keywords[email] = word
        if self._number % 3 == 0:
            for email in (await box.emails("inbox", 2))[-1:]:
                self.work.folders.pop(email, None)
                await box.update({email: {"mailboxIds": {box.folders["archive"]: True}}})
                self.work.folders[email] = box.folders["archive"]
        if self._number % 4 == 0:
            subject = f"note-{self._address}-{self._number}"
            self.work.perhaps_sent.add(subject)
            draft = await box.draft([self._colleague, OUTSIDER], subject, "from the standby\n")
            await box.send(draft)
            self.work.perhaps_sent.remove(subject)
            self.work.sent.add(subject)


class Killer:
    """Kills at random. By hand it does only what a machine's own service manager does: start `serve` when it ended."""

    def __init__(self, house: House, seed: int) -> None:
        self._house = house
        self._chance = random.Random(seed)
        self._up = asyncio.Event()
        self._up.set()
        self.kills: Counter[str] = Counter()
        self._absence: asyncio.Task[None] | None = None

    async def manage(self) -> None:
        """Until cancelled. A supervisor ends by itself where a process is killed before it was ready the first time."""
        while True:
            await self._supervisor().wait()
            self._up.clear()
            with contextlib.suppress(DidNotStart):
                await self._house.installation.start()
            self._up.set()

    def _supervisor(self) -> asyncio.subprocess.Process:
        child = self._house.installation.child
        assert child is not None
        assert child.process is not None
        return child.process

    async def run(self, count: int) -> None:
        bag = ["primary"]
        while self.kills.total() < count:
            await asyncio.sleep(self._chance.uniform(0.5, 3.0))
            await self._up.wait()
            if not bag:
                bag = self._chance.sample(KINDS, len(KINDS))
            kind = bag.pop()
            if await getattr(self, f"_kill_{kind}")():
                self.kills[kind] += 1
        assert self._absence is not None
        await self._absence

    def _children(self, prefix: str) -> list[int]:
        try:
            found = children(self._supervisor().pid)
        except OSError:  # it has just ended
            return []
        return [pid for name, pid in found.items() if name.startswith(prefix)]

    async def _kill_child(self, prefix: str) -> bool:
        pids = self._children(prefix)
        if pids:
            kill(self._chance.choice(pids))
        return bool(pids)

    async def _kill_worker(self) -> bool:
        return await self._kill_child("worker")

    async def _kill_control(self) -> bool:
        return await self._kill_child("control")

    async def _kill_postgres(self) -> bool:
        return await self._kill_child("postgres")

    async def _kill_primary(self) -> bool:
        """Long enough to be noticed: people go to work in the standby. It comes back, and a failback begins, while
        others are killed.
        """
        if self._absence is not None and not self._absence.done():
            return False
        await self._house.primary.kill()
        self._absence = asyncio.create_task(self._come_back())
        return True

    async def _come_back(self) -> None:
        await asyncio.sleep(self._chance.uniform(5, 9))
        await self._house.primary.start()

    async def _kill_everything(self) -> bool:
        supervisor = self._supervisor()
        for pid in (supervisor.pid, *descendants(supervisor.pid)):
            kill(pid)
        while self._supervisor() is supervisor or not self._up.is_set():
            await asyncio.sleep(0.05)
        return True


@pytest.mark.crash
@pytest.mark.timeout(180 + 30 * KILLS)
async def test_nothing_acknowledged_is_lost_or_doubled() -> None:
    async with house(automatic_failback=True) as place:
        killer = Killer(place, SEED)
        manager = asyncio.create_task(killer.manage())
        try:
            senders, people = await _run(place, killer)
            await _settle(place)
        finally:
            manager.cancel()
        acknowledged = {mark: item for sender in senders for mark, item in sender.ledger.acknowledged.items()}
        doubtful = {mark: item for sender in senders for mark, item in sender.ledger.doubtful.items()}
        works = [person.work for person in people]
        assert len(acknowledged) > 20 * KILLS, "there was no load"
        standby = {address: await place.standby(address) for address in PEOPLE}
        primary = {address: [item.raw for item in await place.on_primary(address)] for address in PEOPLE}
        _check_standby(standby, acknowledged, doubtful, works)
        _check_primary(primary, standby, await _attempts(place))
        outside = await _check_internet(place, works)
        changes = await _check_work(place, people)
        assert changes > 20, "the people did not work"
        assert await place.value("SELECT count(*) FROM delivery WHERE status <> 'delivered'") == 0
    print(
        f"{dict(killer.kills)}: {len(acknowledged)} messages acknowledged, {len(doubtful)} in doubt,"
        f" {changes} changes and {sum(len(work.sent) for work in works)} sent by people acknowledged: all stand once;"
        f" on the internet {outside} twice"
    )


async def _run(place: House, killer: Killer) -> tuple[list[Sender], list[PersonAtWork]]:
    stop, stop_work = threading.Event(), asyncio.Event()
    senders = [Sender(place.installation.mx_port, f"sender{number}", stop) for number in range(SENDERS)]
    people = [PersonAtWork(place, PEOPLE[number], PEOPLE[number + 2]) for number in range(2)]
    for sender in senders:
        sender.start()
    at_work = [asyncio.create_task(person.run(stop_work)) for person in people]
    try:
        await killer.run(KILLS)
        await asyncio.sleep(1)
    finally:
        stop.set()
        stop_work.set()
    for sender in senders:
        await asyncio.to_thread(sender.join, 60)
        assert not sender.is_alive()
    await asyncio.wait_for(asyncio.gather(*at_work), 90)
    return senders, people


async def _settle(place: House) -> None:
    """All by itself: nobody does anything here but wait."""
    await place.until("SELECT count(*) FROM delivery WHERE status IN ('queued', 'held')", 0, 150)
    await place.until("SELECT count(*) FROM failback WHERE finished_at IS NULL", 0, 60)
    await place.until_trust("trusted", 60)


def _check_standby(standby: dict, acknowledged: dict, doubtful: dict, works: list[Work]) -> None:
    """Each acknowledged message stands once, with identical bytes, one in doubt at most once, and nothing else."""
    for address in PEOPLE:
        found = Counter(standby[address])
        sure = {content for recipients, content in acknowledged.values() if address in recipients}
        perhaps = {content for recipients, content in doubtful.values() if address in recipients}
        assert sure <= found.keys(), f"{len(sure - found.keys())} acknowledged messages are lost"
        assert [mark_of(raw) for raw, count in found.items() if count > 1] == []
        strangers = Counter(mark_of(raw) for raw in found.keys() - sure - perhaps)
        notes = {subject for work in works for subject in work.sent | work.perhaps_sent}
        assert strangers.keys() <= notes, "something stands there that nobody sent"
        assert all(count == 1 for count in strangers.values()), f"sent twice: {strangers}"
    for recipients, content in doubtful.values():
        assert len({content in standby[address] for address in recipients}) == 1, "a message is half there"
    for number, work in enumerate(works):
        for place in (PEOPLE[number], PEOPLE[number + 2]):
            marks = {mark_of(raw) for raw in standby[place]}
            assert work.sent <= marks, "what a person sent is lost"


async def _attempts(place: House) -> dict[str, list[str]]:
    """By mark, for the message of a test that failed."""
    found: dict[str, list[str]] = {}
    for mark, *rest in await place.rows(
        "SELECT m.subject, a.number, a.attempt, a.at, a.outcome, a.reply FROM attempt a"
        " JOIN message m ON m.organisation_id = a.organisation_id AND m.id = a.message_id"
        " UNION ALL SELECT m.subject, d.number, d.attempts, d.done_at, d.status, d.last_reply FROM delivery d"
        " JOIN message m ON m.organisation_id = d.organisation_id AND m.id = d.message_id ORDER BY 1, 2, 3, 4"
    ):
        found.setdefault(mark, []).append(" ".join(map(str, rest)))
    return found


def _check_primary(
    primary: dict[str, list[bytes]], standby: dict[str, list[bytes]], attempts: dict[str, list[str]]
) -> None:
    """What the standby has is there as well, once, with identical content."""
    for address in PEOPLE:
        there = Counter(mark_of(raw) for raw in primary[address])
        by_mark = {mark_of(raw): raw for raw in primary[address]}
        for raw in standby[address]:
            mark = mark_of(raw)
            if mark.startswith(f"note-{address}") and mark not in by_mark:
                continue  # in Sent or Drafts of one whose mailbox did not go back and forth meanwhile
            assert mark in by_mark, f"{mark} never reached the primary"
            assert by_mark[mark].endswith(raw), f"{mark} was altered"
        twice = {mark for mark, count in there.items() if count > 1}
        how = [head_of(raw) for raw in primary[address] if mark_of(raw) in twice]
        assert twice == set(), "\n".join(how + [line for mark in twice for line in attempts[mark]])


def head_of(raw: bytes) -> str:
    """How it came."""
    return raw.partition(b"\r\n\r\n")[0].decode()


async def _check_internet(place: House, works: list[Work]) -> int:
    """Sent at least once. Nobody can be asked there: one that was in doubt at a kill may have been sent again."""
    there = Counter(mark_of(item.raw) for item in await place.on_internet())
    assert {subject for work in works for subject in work.sent} <= there.keys()
    assert there.keys() <= {subject for work in works for subject in work.sent | work.perhaps_sent}
    return sum(count - 1 for count in there.values())


async def _check_work(place: House, people: Iterable[PersonAtWork]) -> int:
    """Every change that was acknowledged stands."""
    checked = 0
    for person in people:
        box = place.mailbox(person._address)
        assert await box.open()
        wanted = sorted(person.work.keywords.keys() | person.work.folders.keys())
        for start in range(0, len(wanted), 100):
            rows = await box.get(wanted[start : start + 100], "keywords", "mailboxIds")
            assert len(rows) == len(wanted[start : start + 100])
            for row in rows:
                word, folder = person.work.keywords.get(row["id"]), person.work.folders.get(row["id"])
                assert word is None or word in row["keywords"]
                assert folder is None or folder in row["mailboxIds"]
                checked += (word is not None) + (folder is not None)
        await box.close()
    return checked
