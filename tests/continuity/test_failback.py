"""Coming back to a real Postfix and Dovecot: everything once, as people left it, whatever interrupts."""

from __future__ import annotations

import asyncio
import itertools
import smtplib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from continuity.setting import execute, fetch, fetchval, organisation_with_primary, set_primary, settings
from everpost.continuity.activation import Continuity
from everpost.continuity.failback.ledger import read_mailboxes, read_run
from everpost.continuity.failback.model import ItemKind, MailboxState, RunState
from everpost.continuity.failback.preview import preview
from everpost.continuity.failback.report import as_html, as_text, digest, is_genuine
from everpost.continuity.failback.run import FailbackRunner, RunnerSettings
from everpost.continuity.presence import ImapPresence
from everpost.continuity.routes import Route, Scope, ScopeKind
from everpost.continuity.trust import TrustEvent
from everpost.directory.primary import PrimarySecrets
from everpost.queue.outcome import Terms
from everpost.queue.schedule import Backoff
from everpost.queue.smtp_client import Timeouts
from everpost.standby.filing import save_filter
from everpost.standby.filters import Comparison, Condition, Filter
from everpost.standby.filters import Field as FilterField
from everpost.standby.model import Role
from everpost.standby.service import Standby
from everpost.standby.values import Account
from everpost.store.audit import chain, verify_chain
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.store.ids import decode_id
from peers import PeerMissing
from peers.lossy import LossyProxy
from peers.primary import MASTER_PASSWORD, Primary, Stored
from world import Node, Organisation, until

pytestmark = pytest.mark.peer

HOSTNAME = "mx.everpost.example"
FAST = RunnerSettings(HOSTNAME, arrival_s=10, retry_s=0.1, poll_s=0.05, patience_s=5, imap_timeout_s=5)
INBOX, SENT, DRAFTS, TRASH = (role.folder_id for role in (Role.INBOX, Role.SENT, Role.DRAFTS, Role.TRASH))
LONG_AGO = datetime(2024, 3, 9, 8, 7, 6, tzinfo=timezone(timedelta(hours=1)))
MESSAGE = (
    b"From: <cora@example.com>\r\nTo: <anna@example.org>\r\nDate: Fri, 08 Mar 2024 10:00:00 +0000\r\nSubject: %b\r\n"
    b"Message-ID: <%b@example.com>\r\n\r\n%b\r\n"
)
MAILBOXES = 90
_numbers = itertools.count()


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    try:
        # All mailboxes from the start: Postfix may answer from its old table for a moment after a change.
        names = ("anna", "ben", "carl")
        peer = Primary(users=[f"{name}{number}@example.org" for name in names for number in range(MAILBOXES)])
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with peer:
        yield peer


@dataclass
class World:
    database: Database
    keys: KeyRing
    node: Node
    standby: Standby
    continuity: Continuity
    organisation: Organisation
    primary: Primary
    people: list[str]
    nothing: Callable[[str], None] = field(default=lambda _step: None)

    @property
    def anna(self) -> str:
        return self.people[0]

    def address(self, person: str | None = None) -> str:
        return f"{person or self.anna}@{self.organisation.domain}"

    def account(self, person: str | None = None) -> Account:
        return Account(self.organisation.id, self.organisation.mailboxes[person or self.anna])

    @property
    def scope(self) -> Scope:
        return Scope(self.organisation.id, ScopeKind.PRIMARY, self.organisation.primary_id)

    async def receive(self, *words: str, person: str | None = None) -> list[int]:
        """Messages from outside; their ids. The word is subject, Message-ID and body."""

        def send() -> list[int]:
            found = []
            with smtplib.SMTP("127.0.0.1", self.node.mx.port, timeout=20) as client:
                for word in words:
                    content = MESSAGE % ((word.encode(),) * 3)
                    client.ehlo_or_helo_if_needed()
                    client.mail("cora@example.com")
                    client.rcpt(self.address(person))
                    code, text = client.data(content)
                    assert code == 250, text
                    found.append(decode_id(text.decode().rsplit(" ", 1)[1]))
            return found

        return await asyncio.to_thread(send)

    async def keep(self, word: str, folder: int, *keywords: str, person: str | None = None) -> int:
        """A message that somebody makes in the standby."""
        return await self.standby.create_entry(
            self.account(person), "test", MESSAGE % ((word.encode(),) * 3), [folder], frozenset(keywords),
            received_at=LONG_AGO,
        )  # fmt: skip

    async def down(self) -> None:
        await self.continuity.handle(
            self.organisation.id, self.organisation.primary_id, TrustEvent.WENT_DOWN, "test", "test"
        )

    async def begin(self, wave_size: int = 50) -> int:
        run_id = (await self.continuity.deactivate(self.scope, "admin", "it is back", wave_size=wave_size)).failback_id
        assert run_id is not None
        return run_id

    def runner(self, checkpoint: Callable[[str], None] | None = None, **changes: float) -> FailbackRunner:
        return FailbackRunner(
            replace(FAST, **changes), self.database, self.keys, self.node.blobs, self.node.routes,
            self.continuity.keeper, checkpoint=checkpoint or self.nothing,
        )  # fmt: skip

    async def come_back(self) -> dict:
        run_id = await self.begin()
        async with asyncio.timeout(30):
            assert await self.runner().run(self.organisation.id, run_id) is RunState.FINISHED
        return await self.report(run_id)

    async def report(self, run_id: int) -> dict:
        report = (await read_run(self.database, self.organisation.id, run_id)).report
        assert report is not None
        return report

    def there(self, person: str | None = None) -> dict[str, list[Stored]]:
        """What stands on the primary, by the word in the subject."""
        found: dict[str, list[Stored]] = {}
        for stored in self.primary.messages(self.address(person)):
            word = stored.raw.split(b"Subject: ", 1)[1].split(b"\r\n", 1)[0].decode()
            found.setdefault(word, []).append(stored)
        return found

    async def arrived(self, *words: str, person: str | None = None) -> None:
        async def all_there() -> bool:
            return set(words) <= set(await asyncio.to_thread(self.there, person))

        await until(all_there, 15)

    async def state(self) -> str:
        return await fetchval(self.database, "SELECT trust_state FROM primary_server")

    async def route(self, person: str | None = None) -> Route:
        place = await self.node.directory.place(self.organisation.id, self.account(person).mailbox_id)
        return self.node.routes.table.decide(place).route


@pytest.fixture
async def world(database: Database, master, keys: KeyRing, tmp_path: Path, primary: Primary) -> AsyncIterator[World]:
    number = next(_numbers) % MAILBOXES
    people = [f"{name}{number}" for name in ("anna", "ben", "carl")]
    organisation = await organisation_with_primary(
        database, master, keys, settings(primary.smtp_port, primary.imap_port),
        PrimarySecrets(imap_password=MASTER_PASSWORD), people=tuple(people),
    )  # fmt: skip
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.primary_at(organisation, primary.smtp_port)
    node.worker._settings = replace(
        node.worker._settings,
        terms=Terms(Backoff(first=timedelta(seconds=0.2), longest=timedelta(seconds=0.5))),
        timeouts=Timeouts(connect=5, greeting=10, command=10, tls=5, body=10, end=20),  # a busy machine is no outage
    )
    await node.start()
    continuity = Continuity(database, node.routes)
    standby = Standby(database, keys, node.blobs, tmp_path)
    yield World(database, keys, node, standby, continuity, organisation, primary, people)
    await node.stop()
    primary.welcome()


def flags(stored: list[Stored]) -> list[tuple[str, set[str]]]:
    return [(message.folder, set(message.flags)) for message in stored]


async def busy_outage(world: World) -> None:
    """Mail before, mail during, and a person who does everything there is to do."""
    before = await world.receive("read", "moved", "removed", "untouched")
    await world.arrived("read", "moved", "removed", "untouched")
    await world.down()
    new = await world.receive("new", "new-flagged", "new-moved", "new-removed")
    account, standby = world.account(), world.standby
    await standby.set_keywords(account, "anna", before[0], frozenset({"$seen", "$answered", "work"}))
    await standby.set_folders(account, "anna", before[1], [TRASH])
    await standby.destroy(account, "anna", before[2])
    await standby.set_keywords(account, "anna", new[1], frozenset({"$flagged"}))
    async with standby.work(account, "anna") as (work, _):
        projects = await work.create_folder(await standby.new_id(), "Projects", None)
        inner = await work.create_folder(await standby.new_id(), "Grün", projects.id)
    async with standby.work(account, "anna") as (work, _):
        await work.update(new[2], keywords=frozenset({"$seen"}), folder_ids=[inner.id])
    await standby.destroy(account, "anna", new[3])
    await world.keep("sent", SENT, "$seen")
    await world.keep("draft", DRAFTS, "$draft", "$seen")
    await standby.destroy(account, "anna", await world.keep("dropped", DRAFTS, "$draft"))


def check_busy_outage(world: World) -> None:
    there = world.there()
    assert {word: flags(stored) for word, stored in there.items()} == {
        "read": [("INBOX", {"\\Seen", "\\Answered", "work"})],
        "moved": [("Trash", set())],
        "untouched": [("INBOX", set())],
        "new": [("INBOX", set())],
        "new-flagged": [("INBOX", {"\\Flagged"})],
        "new-moved": [("Projects/Grün", {"\\Seen"})],
        "sent": [("Sent", {"\\Seen"})],
        "draft": [("Drafts", {"\\Draft", "\\Seen"})],
    }
    assert there["sent"][0].internaldate == LONG_AGO
    assert there["sent"][0].raw == MESSAGE % ((b"sent",) * 3)
    assert b"Return-Path: <cora@example.com>" in there["new"][0].raw  # the original envelope


async def test_everything_comes_back_once_and_as_people_left_it(world: World) -> None:
    await busy_outage(world)
    report = await world.come_back()
    check_busy_outage(world)
    assert await world.state() == "trusted"
    assert await world.route() is Route.PRIMARY
    totals = report["totals"]
    assert (totals["received"], totals["replayed"], totals["appended"]) == (4, 4, 2)
    assert (totals["lost"], totals["duplicated"], totals["altered"], totals["held"], totals["missing"]) == (0,) * 5
    assert totals["changes"] == 9  # flags of 3, moves of 2, deletions of 2, folders
    await world.receive("afterwards")
    await world.arrived("afterwards")

    async def all_delivered() -> bool:  # an outcome is written a moment after the mail stands there
        return await fetchval(world.database, "SELECT count(*) FROM delivery WHERE status <> 'delivered'") == 0

    await until(all_delivered)


async def test_filtered_mail_comes_back_into_its_folder_once(world: World) -> None:
    account, standby = world.account(), world.standby
    async with standby.work(account, "anna") as (work, _):
        plans = await work.create_folder(await standby.new_id(), "Plans", None)
        wanted = Condition(FilterField.SUBJECT, Comparison.CONTAINS, "plan")
        labels = frozenset(("$flagged", "plans"))
        made = Filter(await standby.new_id(), "Plans", conditions=(wanted,), folder_id=plans.id, keywords=labels)
        await save_filter(work, made, "created")
    await world.receive("plan-before", "other-before")
    await world.arrived("plan-before", "other-before")
    await world.down()
    (first, second) = await world.receive("plan-1", "plan-2")
    await world.receive("other")
    await standby.set_keywords(account, "anna", first, labels | {"$seen"})
    await standby.set_folders(account, "anna", second, [INBOX])  # she wants it elsewhere
    entries = await standby.entries(account, [first, second])
    assert (entries[first].folder_ids, entries[second].folder_ids) == ((plans.id,), (INBOX,))
    report = await world.come_back()
    assert {word: flags(stored) for word, stored in world.there().items()} == {
        "plan-before": [("INBOX", set())],  # the primary was the master
        "other-before": [("INBOX", set())],
        "plan-1": [("Plans", {"\\Seen", "\\Flagged", "plans"})],
        "plan-2": [("INBOX", {"\\Flagged", "plans"})],
        "other": [("INBOX", set())],
    }
    totals = report["totals"]
    assert (totals["received"], totals["replayed"], totals["lost"], totals["duplicated"]) == (3, 3, 0, 0)


async def test_the_report_is_signed_readable_and_in_the_audit(world: World) -> None:
    await world.down()
    await world.receive("one")
    report = await world.come_back()
    [(signature, public)] = await fetch(
        world.database, "SELECT report_signature, signing_public FROM failback, organisation"
    )
    assert is_genuine(report, signature, public)
    assert not is_genuine({**report, "actor": "somebody"}, signature, public)
    [(detail,)] = await fetch(world.database, "SELECT detail FROM audit_event WHERE action = 'failback.finish'")
    assert detail["digest"] == digest(report)
    assert detail["signature"] == signature.hex()
    await chain(world.database)
    assert (await verify_chain(world.database, world.organisation.id)).broken_at is None
    assert world.address() in as_text(report)
    page = as_html({**report, "actor": "<script>"}, signature)
    assert "<script>" not in page
    assert world.address() in page


async def test_interrupted_at_every_step_and_run_again(world: World) -> None:
    await busy_outage(world)
    run_id = await world.begin()
    interrupted: set[str] = set()

    class Interruption(Exception):
        pass

    while True:
        counts: Counter[str] = Counter()

        def checkpoint(step: str, counts: Counter[str] = counts) -> None:
            counts[step] += 1
            key = f"{step} {counts[step]}"
            if key not in interrupted:
                interrupted.add(key)
                raise Interruption(key)

        try:
            async with asyncio.timeout(30):
                state = await world.runner(checkpoint).run(world.organisation.id, run_id)
        except Interruption:
            continue
        if state is RunState.FINISHED:
            break
    kinds = Counter(step.split(" ", 1)[0] for step in interrupted)
    assert kinds["performed"] == 11  # 2 folders, 2 appends, 3 flags, 2 moves, 2 deletions
    assert {"released 1", "before return 1", "returned 1", "before finish 1"} <= interrupted
    check_busy_outage(world)
    totals = (await world.report(run_id))["totals"]
    assert (totals["lost"], totals["duplicated"], totals["altered"], totals["received"]) == (0, 0, 0, 4)


async def test_mail_and_work_go_on_during_the_failback(world: World) -> None:
    await world.down()
    [first] = await world.receive("first")
    run_id = await world.begin()
    loop = asyncio.get_running_loop()
    happened: list[str] = []

    def checkpoint(step: str) -> None:
        if step == "planned" and "mail" not in happened:
            happened.append("mail")
            pending.append(loop.create_task(world.receive("second")))
        if step == "before reconcile" and "work" not in happened:
            happened.append("work")
            pending.append(
                loop.create_task(world.standby.set_keywords(world.account(), "anna", first, frozenset({"$seen"})))
            )

    pending: list[asyncio.Task] = []
    async with asyncio.timeout(30):
        assert await world.runner(checkpoint).run(world.organisation.id, run_id) is RunState.FINISHED
    await asyncio.gather(*pending)
    assert happened == ["mail", "work"]
    await world.arrived("first", "second")
    there = world.there()
    assert flags(there["first"]) == [("INBOX", {"\\Seen"})]
    assert flags(there["second"]) == [("INBOX", set())]


async def test_waves_give_back_one_after_the_other(world: World) -> None:
    await world.down()
    for person in world.people:
        await world.receive(f"for-{person}", person=person)
    run_id = await world.begin(wave_size=1)
    order: list[int] = []

    def checkpoint(step: str) -> None:
        if step == "returned":
            order.append(step == "returned")

    assert await world.runner(checkpoint).run(world.organisation.id, run_id) is RunState.FINISHED
    assert len(order) == 3
    returned = await fetch(world.database, "SELECT wave FROM failback_mailbox ORDER BY returned_at")
    assert returned == [(0,), (1,), (2,)]
    for person in world.people:
        assert list(world.there(person)) == [f"for-{person}"]


async def test_what_the_primary_refuses_is_held_and_listed(world: World) -> None:
    await world.down()
    await world.receive("fine")
    await world.receive("refused", person=world.people[1])
    world.primary.refuse(550, "5.7.1 not here", recipient=world.address(world.people[1]))
    report = await world.come_back()
    assert report["totals"]["held"] == 1
    entry = next(entry for entry in report["mailboxes"] if entry["mailbox"] == world.address(world.people[1]))
    assert "550" in entry["remarks"][0]
    held = await fetch(world.database, "SELECT status, hold_reason, report_due FROM delivery WHERE status = 'held'")
    assert held == [("held", "refused by primary", None)]


async def test_a_mailbox_in_trouble_does_not_hold_up_the_others(world: World) -> None:
    await world.down()
    ben = world.people[1]
    for person in world.people:
        await world.receive(f"for-{person}", person=person)
    world.primary.refuse(452, "4.2.2 mailbox full", recipient=world.address(ben))
    run_id = await world.begin()
    runner = world.runner(patience_s=2)
    task = asyncio.create_task(runner.run(world.organisation.id, run_id))

    async def others_are_back() -> bool:
        return await fetchval(world.database, "SELECT count(*) FROM failback_mailbox WHERE state = 'returned'") == 2

    await until(others_are_back, 20)
    async with world.database.connection() as connection:
        boxes = {box.address: box for box in await read_mailboxes(connection, world.organisation.id, run_id)}
    assert boxes[world.address(ben)].returned_at is None
    assert (await world.route(), await world.route(ben)) == (Route.PRIMARY, Route.STANDBY)

    async def told() -> bool:
        return await fetchval(world.database, "SELECT count(*) FROM alert WHERE kind = 'failback problem'") == 1

    await until(told, 10)
    world.primary.welcome()
    async with asyncio.timeout(20):
        assert await task is RunState.FINISHED
    assert list(world.there(ben)) == [f"for-{ben}"]


async def test_a_lost_250_makes_no_duplicate_where_one_can_look(world: World) -> None:
    async with LossyProxy(world.primary.smtp_port) as proxy:
        world.node.primary_at(world.organisation, proxy.port)
        world.node.worker._presence = ImapPresence(world.database, world.keys, HOSTNAME)
        await world.down()
        await world.receive("one")
        proxy.lose_after_data()
        report = await world.come_back()
        assert proxy.lost_replies
    assert len(world.there()["one"]) == 1
    totals = report["totals"]
    assert (totals["already"], totals["replayed"], totals["duplicated"], totals["lost"]) == (1, 0, 0, 0)


async def test_without_imap_only_mail_comes_back_and_the_rest_is_listed(world: World) -> None:
    await set_primary(world.database, world.keys, world.organisation, settings(world.primary.smtp_port))
    await world.down()
    [message] = await world.receive("one")
    await world.standby.set_keywords(world.account(), "anna", message, frozenset({"$seen"}))
    await world.keep("sent", SENT)
    [activation] = await fetch(world.database, "SELECT id FROM activation")
    dry = await preview(world.database, world.keys, world.organisation.id, activation[0])
    assert "IMAP" in dry.warnings[0]
    report = await world.come_back()
    await world.arrived("one")
    assert flags(world.there()["one"]) == [("INBOX", set())]
    entry = next(entry for entry in report["mailboxes"] if entry["mailbox"] == world.address())
    assert (entry["looked"], entry["replayed"], entry["held"]) == (False, 1, 2)
    assert report["looked"] is False


async def test_the_dry_run_says_what_would_be_done_and_does_nothing(world: World) -> None:
    await busy_outage(world)
    [(activation,)] = await fetch(world.database, "SELECT id FROM activation")
    before = await fetch(world.database, "SELECT message_id, status, hold_reason FROM delivery ORDER BY 1")
    dry = await preview(world.database, world.keys, world.organisation.id, activation)
    mine = next(box for box in dry.mailboxes if box.address == world.address())
    assert (mine.inbound, mine.appends, mine.flags, mine.moves, mine.deletions, mine.folders) == (4, 2, 3, 2, 2, 2)
    assert sum(box.is_empty for box in dry.mailboxes) == 2
    assert (dry.obstacles, dry.warnings) == ((), ())
    assert await fetch(world.database, "SELECT message_id, status, hold_reason FROM delivery ORDER BY 1") == before
    assert await fetchval(world.database, "SELECT count(*) FROM failback") == 0
    await world.continuity.isolate(world.organisation.id, world.organisation.primary_id, "admin", "x")
    dry = await preview(world.database, world.keys, world.organisation.id, activation)
    assert "clean bill" in dry.obstacles[0]


async def test_isolation_stops_a_failback_before_its_next_step(world: World) -> None:
    await world.down()
    [message] = await world.receive("one")
    await world.standby.set_keywords(world.account(), "anna", message, frozenset({"$seen"}))
    run_id = await world.begin()
    isolated = asyncio.Event()

    async def isolate() -> None:
        await world.continuity.isolate(world.organisation.id, world.organisation.primary_id, "admin", "odd")
        isolated.set()

    runner = world.runner()
    replay = runner._await_arrivals

    async def interposed(*args: object) -> None:
        await replay(*args)  # type: ignore[arg-type]
        await isolate()

    runner._await_arrivals = interposed  # type: ignore[method-assign]
    async with asyncio.timeout(20):
        assert await runner.run(world.organisation.id, run_id) is RunState.STOPPED
    assert isolated.is_set()
    assert flags(world.there()["one"]) == [("INBOX", set())]
    assert await world.state() == "compromised"


@pytest.mark.parametrize("isolate", [False, True], ids=["stopped", "isolated"])
async def test_what_a_stopped_failback_had_released_is_held_again(world: World, isolate: bool) -> None:
    world.node.primary_at(world.organisation, 9)  # nobody answers there
    await world.down()
    await world.receive("one", "two")
    run_id = await world.begin()
    running = asyncio.create_task(world.runner().run(world.organisation.id, run_id))

    async def refused() -> bool:
        return await fetchval(world.database, "SELECT count(*) FROM delivery WHERE last_reply <> ''") == 2

    await until(refused, 20)
    if isolate:
        await world.continuity.isolate(world.organisation.id, world.organisation.primary_id, "admin", "odd")
    else:
        assert await world.continuity.stop_failback(world.organisation.id, run_id, "admin", "wait")
    async with asyncio.timeout(20):
        assert await running is RunState.STOPPED
    reason = "compromised" if isolate else "activated"
    assert await fetch(world.database, "SELECT status, hold_reason FROM delivery") == [("held", reason)] * 2


async def test_pause_and_go_on_and_resume_finds_it(world: World) -> None:
    await world.down()
    await world.receive("one")
    run_id = await world.begin()
    organisation_id = world.organisation.id
    assert await world.continuity.pause_failback(organisation_id, run_id, "admin", paused=True, reason="lunch")
    assert await world.runner().run(organisation_id, run_id) is RunState.PAUSED
    runner = world.runner()
    assert await runner.resume() == 0
    assert await world.continuity.pause_failback(organisation_id, run_id, "admin", paused=False)
    assert await runner.resume() == 1

    async def finished() -> bool:
        return await fetchval(world.database, "SELECT state FROM failback") == "finished"

    await until(finished, 20)
    await runner.stop()
    assert not await world.continuity.pause_failback(organisation_id, run_id, "admin", paused=True)


async def test_a_second_outage_replays_only_what_is_new(world: World) -> None:
    await busy_outage(world)
    await world.come_back()

    def read_on_the_primary() -> None:
        with world.primary.imap(world.address()) as client:
            client.select_folder("INBOX")
            client.remove_flags(client.search(["SUBJECT", "read"]), ["\\Answered"])
            client.add_flags(client.search(["SUBJECT", "untouched"]), ["\\Seen"])

    await asyncio.to_thread(read_on_the_primary)
    await world.down()
    await world.receive("later")
    report = await world.come_back()
    there = world.there()
    assert flags(there["read"]) == [("INBOX", {"\\Seen", "work"})]
    assert flags(there["untouched"]) == [("INBOX", {"\\Seen"})]
    assert flags(there["later"]) == [("INBOX", set())]
    totals = report["totals"]
    assert (totals["replayed"], totals["appended"], totals["changes"], totals["already"]) == (1, 0, 0, 0)


async def test_a_stopped_failback_begun_again_makes_no_duplicate(world: World) -> None:
    await busy_outage(world)
    run_id = await world.begin()

    class Interruption(Exception):
        pass

    def checkpoint(step: str) -> None:
        if step == "before reconcile":
            raise Interruption

    with pytest.raises(Interruption):
        await world.runner(checkpoint).run(world.organisation.id, run_id)
    assert await world.continuity.stop_failback(world.organisation.id, run_id, "admin", "wait")
    assert await world.state() == "down"
    [(sent,)] = await fetch(
        world.database, "SELECT message_id FROM replay_item WHERE kind = 'append' ORDER BY message_id LIMIT 1"
    )
    await world.standby.destroy(world.account(), "anna", sent)
    report = await world.come_back()
    there = world.there()
    assert "sent" not in there  # put there by the first run, removed by the person afterwards
    assert all(len(stored) == 1 for stored in there.values())
    assert (report["totals"]["lost"], report["totals"]["duplicated"]) == (0, 0)


async def test_deletions_spare_what_we_did_not_put_there(world: World) -> None:
    """Another message with the same Message-ID stays (DESIGN I4)."""
    [message] = await world.receive("one")
    await world.arrived("one")

    def forge() -> None:
        with world.primary.imap(world.address()) as client:
            other = (MESSAGE % ((b"one",) * 3)).replace(b"Subject: one", b"Subject: other")
            client.append("INBOX", other)

    await asyncio.to_thread(forge)
    await world.down()
    await world.standby.destroy(world.account(), "anna", message)
    await world.come_back()
    assert list(world.there()) == ["other"]


async def test_given_up_mailboxes_return_without_their_changes(world: World) -> None:
    await world.down()
    [message] = await world.receive("one")
    await world.standby.set_keywords(world.account(), "anna", message, frozenset({"$seen"}))
    run_id = await world.begin()
    await execute(
        world.database, "UPDATE failback_mailbox SET state = $1 WHERE mailbox_id = $2",
        MailboxState.GIVEN_UP, world.account().mailbox_id,
    )  # fmt: skip
    assert await world.runner().run(world.organisation.id, run_id) is RunState.FINISHED
    await world.arrived("one")
    assert flags(world.there()["one"]) == [("INBOX", set())]
    items = await fetch(world.database, "SELECT kind, state, evidence FROM replay_item WHERE kind <> 'inbound'")
    assert items == [(ItemKind.FLAGS, "held", "given up by a person")]
