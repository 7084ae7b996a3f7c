"""The demo: an outage from beginning to end, told as it happens, and counted from outside when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Protocol

from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo import mailgen
from everpost.app.demo.browser import why_not, work_in_webmail
from everpost.app.demo.count import Copy, OnPrimary, compare, copy_of, read_primary
from everpost.app.demo.hostile import make_hostile
from everpost.app.demo.installation import Installation, StandIn
from everpost.app.demo.jmap import Mailbox
from everpost.app.demo.messages import GeneratedMessage, Person
from everpost.app.demo.nameserver import NameServer
from everpost.app.demo.people import make_people
from everpost.app.demo.person import Work, work
from everpost.app.demo.report import Report
from everpost.app.demo.sender import World
from everpost.continuity.activation import Continuity
from everpost.continuity.failback.ledger import read_run
from everpost.continuity.failback.model import RunState
from everpost.continuity.homes import waiting_mailboxes
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.snapshot import RouteSnapshot
from everpost.continuity.trust import TrustState
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.primary import ImapConnector, PrimarySecrets, PrimarySettings, ProbeSettings, SmtpConnector
from everpost.identity.administrators import Administrators
from everpost.identity.login import Identity
from everpost.intake.quarantine import MAX_LISTED, Quarantine
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("demo")
DOMAIN = "example.org"
OUTSIDE = "partner.example.com"
OUTSIDER = f"office@{OUTSIDE}"
PASSWORD = "standby-demo"  # noqa: S105 (of an installation that is thrown away)
ADMINISTRATOR = "admin"
MASTER = "gateway"
AT_WORK = 5
SEED = 20240229
HEALTHY_PART = 0.35
DYING_PART = 0.05
FAST = ProbeSettings(interval_s=1.0, failures=3, successes=2, timeout_s=1.0)
PATIENCE_S = 600.0


class Failed(Exception):
    """The story did not come to its end; the message says where."""


class Narrator(Protocol):
    """Tells the reader what happens."""

    def chapter(self, title: str) -> None: ...

    def say(self, text: str) -> None: ...

    def progress(self, done: int, total: int) -> None: ...


@dataclass
class Stage:
    """What stands on it: the servers and the organisation."""

    installation: Installation
    primary: StandIn
    internet: StandIn
    people: list[Person]
    database: Database
    organisation_id: int
    primary_id: int

    @property
    def scope(self) -> Scope:
        return Scope(self.organisation_id, ScopeKind.PRIMARY, self.primary_id)

    def pages(self) -> list[str]:
        """Where a reader can look, with a login for each."""
        url = self.installation.url
        return [
            f"webmail: {url}    {self.people[0].address} / {PASSWORD}",
            f"console: {url}/console/    {ADMINISTRATOR} / {PASSWORD}",
        ]

    def mailbox(self, person: Person) -> Mailbox:
        return Mailbox(self.installation.url, person.address, PASSWORD)


@contextlib.asynccontextmanager
async def set_stage(folder: Path, tell: Narrator) -> AsyncIterator[Stage]:
    """Start Everpost and the servers around it, and create the people."""
    people = make_people(DOMAIN)
    users = {person.address: PASSWORD for person in people} | {MASTER: PASSWORD}
    primary = StandIn(folder / "primary", DOMAIN, users)
    internet = StandIn(folder / "internet", OUTSIDE, {OUTSIDER: PASSWORD})
    async with contextlib.AsyncExitStack() as stack:
        for server in (primary, internet):
            stack.push_async_callback(server.stop)
            await server.start()
        names = NameServer()
        stack.callback(names.close)
        installation = Installation(folder / "everpost", relay_port=internet.smtp_port, name_server=await names.start())
        installation.write_configuration()
        config = load_config(installation.config_path)
        config.load_master_key(create=True)
        stack.push_async_callback(installation.stop)
        await installation.start()
        database = await stack.enter_async_context(open_database(config))
        tell.say(
            f"Everpost is up: SMTP {installation.mx_port}, web {installation.url}, {config.worker_processes} workers"
        )
        master = config.load_master_key()
        admin, identity = DirectoryAdmin(database, master, actor="demo"), Identity(database, actor="demo")
        organisation = await admin.create_organisation("demo", "Demo organisation")
        settings = PrimarySettings(
            SmtpConnector("127.0.0.1", primary.smtp_port, "none"),
            ImapConnector("127.0.0.1", primary.imap_port, "none"),
            FAST,
        )
        secrets = PrimarySecrets(imap_password=PASSWORD)
        primary_id = await admin.create_primary(organisation.id, "main", settings, secrets)
        await admin.create_domain(organisation.id, DOMAIN, primary_id=primary_id)
        for person in people:
            mailbox_id = await admin.create_mailbox(organisation.id, person.address, person.name)
            await identity.set_password(organisation.id, mailbox_id, PASSWORD)
        await Administrators(database, actor="demo").create(ADMINISTRATOR, PASSWORD, organisation.id)
        tell.say(
            f"{len(people)} people at {DOMAIN}; their mail server: SMTP {primary.smtp_port}, IMAP {primary.imap_port}"
        )
        stage = Stage(installation, primary, internet, people, database, organisation.id, primary_id)
        for page in stage.pages():
            tell.say(page)
        yield stage


class Story:
    """One outage."""

    def __init__(self, stage: Stage, messages: Sequence[GeneratedMessage], tell: Narrator) -> None:
        self._stage = stage
        self._messages = messages
        self._tell = tell
        self._world = World(stage.installation.mx_port, self._heard)
        self._recent: deque[tuple[GeneratedMessage, float]] = deque(maxlen=1)
        self._lags: list[float] = []
        self._done = Work()
        self.report = Report()

    async def run(self) -> Report:
        """From a quiet day to the reconciliation. Raises `Failed`."""
        total = len(self._messages)
        healthy, dying = int(total * HEALTHY_PART), int(total * (HEALTHY_PART + DYING_PART))
        self._tell.chapter("A quiet day")
        await self._world.send(self._messages[:healthy])
        await self._until_row(_SQL["nothing_queued"], 0)
        self._tell.say(f"{healthy:,} messages have gone through to the mail server, each with a copy in the standby")
        self._tell.chapter("The mail server dies while mail is coming in")
        sending = asyncio.create_task(self._world.send(self._messages[healthy:dying]))
        await self._until(lambda: self._world.sent.accepted >= (healthy + dying) // 2 or sending.done())
        await self._kill()
        await sending
        self._tell.chapter("People work in the standby, mail keeps coming")
        boxes = await self._log_in()
        await asyncio.gather(
            self._world.send(self._messages[dying:]), self._people_at_work(), self._webmail_at_work(),
            self._watch_lag(boxes),
        )  # fmt: skip
        self._tell.say(
            f"all {total:,} messages are in; {AT_WORK} people have read, filed, deleted, answered and drafted"
        )
        self._tell.chapter("Strangers try their luck")
        await self._meet_strangers()
        self._tell.chapter("The mail server is back: everything returns")
        await self._revive()
        await self._fail_back()
        self._tell.chapter("Counting")
        await self._count()
        return self.report

    # ------------------------------------------------------------------ chapters

    async def _kill(self) -> None:
        await self._stage.primary.kill()
        died = time.monotonic()
        self._tell.say("the mail server's process has been killed")
        await self._until_trust(TrustState.DOWN)
        noticed = time.monotonic()
        self.report.detect_s = noticed - died
        box = self._stage.mailbox(self._stage.people[0])
        try:
            while not await box.open():
                if time.monotonic() - noticed > PATIENCE_S:
                    raise Failed("the standby did not open")
                await asyncio.sleep(0.02)
        finally:
            await box.close()
        self.report.switch_s = time.monotonic() - noticed
        self._tell.say(
            f"noticed after {self.report.detect_s:.1f} s; people can log in {self.report.switch_s:.2f} s later"
        )

    async def _people_at_work(self) -> None:
        for number in range(AT_WORK):
            box = self._stage.mailbox(self._stage.people[number])
            try:
                if not await box.open():
                    raise Failed(f"the standby is closed to {box.address}")
                colleague = self._stage.people[(number + AT_WORK) % len(self._stage.people)].address
                await work(box, colleague, OUTSIDER, self._done)
            finally:
                await box.close()

    async def _webmail_at_work(self) -> None:
        """One more person, who uses the webmail as everybody would."""
        if reason := why_not():
            self._tell.say(f"{reason}: the webmail is for you to open; its calls are made by the others")
            return
        stage = self._stage
        box = stage.mailbox(stage.people[AT_WORK])
        try:
            if not await box.open():
                raise Failed(f"the standby is closed to {box.address}")
            self.report.webmail_first_rows_s = await work_in_webmail(
                box, stage.installation.url, PASSWORD, OUTSIDER, self._done
            )
        finally:
            await box.close()
        self._tell.say("somebody has read, flagged, archived, written and sent in the webmail, in Chromium")

    async def _log_in(self) -> dict[str, Mailbox]:
        """Everybody's mailbox by address: the password's check is not part of what is measured later."""
        boxes = {person.address: self._stage.mailbox(person) for person in self._stage.people}
        await asyncio.gather(*(box.open() for box in boxes.values()))
        return boxes

    async def _watch_lag(self, boxes: dict[str, Mailbox]) -> None:
        """For a sample of messages: from the 250 until its reader's list shows it."""
        total = len(self._messages)
        try:
            while self._world.sent.accepted + len(self._world.sent.refused) < total:
                self._recent.clear()  # the newest only: a sample, not a backlog
                while not self._recent and self._world.sent.accepted < total:
                    await asyncio.sleep(0.001)
                if self._recent:
                    await self._measure_lag(boxes, *self._recent[-1])
        finally:
            await asyncio.gather(*(box.close() for box in boxes.values()))

    async def _measure_lag(self, boxes: dict[str, Mailbox], message: GeneratedMessage, accepted_at: float) -> None:
        box = boxes[message.recipients[0]]
        ident = copy_of("", message.raw).ident.strip(b"<>").decode("ascii", "replace")
        if not ident:
            return
        while time.monotonic() - accepted_at < PATIENCE_S:
            ids = await box.emails("inbox", 50)
            if any(ident in (row["messageId"] or ()) for row in await box.get(ids, "messageId")):
                break
        self._lags.append(time.monotonic() - accepted_at)

    async def _meet_strangers(self) -> None:
        """What they send must be kept apart. What else was is let go, so that all mail can be counted."""
        stage, hostile = self._stage, make_hostile(self._stage.people)
        world = World(stage.installation.mx_port)
        await world.send(hostile)
        subjects = {str(message_from_bytes(each.raw)["Subject"]) for each in hostile}
        quarantine = Quarantine(stage.database, actor="demo", homes=waiting_mailboxes)
        kept: set[str] = set()
        while found := [
            each for each in await quarantine.list(stage.organisation_id, limit=MAX_LISTED) if each.subject not in kept
        ]:
            for each in found:
                if each.subject in subjects:
                    kept.add(each.subject)
                else:
                    await quarantine.release(stage.organisation_id, each.message_id, reason="looked at")
                    self.report.released += 1
        self.report.hostile, self.report.hostile_kept = len(hostile), len(kept)
        self._tell.say(
            f"{len(hostile)} messages with something dangerous in them, {len(kept)} of them in quarantine"
            + (f"; {self.report.released} others released" if self.report.released else "")
        )

    async def _revive(self) -> None:
        await self._stage.primary.start()
        self._tell.say("the mail server is up again, with everything it had before")
        await self._until_probe_ok()
        self._tell.say("it answers; the administrator trusts it and starts the failback")

    async def _fail_back(self) -> None:
        stage, began = self._stage, time.monotonic()
        continuity = Continuity(stage.database, RouteSnapshot(stage.database))
        run_id = (await continuity.deactivate(stage.scope, "demo", "the server is back")).failback_id
        if run_id is None:
            raise Failed("there was nothing to bring back")
        while time.monotonic() - began < PATIENCE_S:
            run = await read_run(stage.database, stage.organisation_id, run_id)
            if run.state is not RunState.RUNNING:
                break
            await self._show_failback(run_id)
            await asyncio.sleep(0.25)
        if run.state is not RunState.FINISHED or run.report is None:
            raise Failed(f"the failback is {run.state}: {run.reason}")
        totals = run.report["totals"]
        self.report.failback_s = time.monotonic() - began
        self.report.replayed_messages = totals["replayed"] + totals["appended"]
        self.report.replayed_changes = totals["changes"]
        self.report.reconciliation = totals
        await self._until_trust(TrustState.TRUSTED)
        self._tell.say("every mailbox is reconciled and returned; the server is trusted again")

    async def _show_failback(self, run_id: int) -> None:
        async with self._stage.database.connection() as connection:
            row = await connection.fetchrow(_SQL["failback_progress"], self._stage.organisation_id, run_id)
        self._tell.progress(row["returned"], row["total"])

    # ------------------------------------------------------------------ counting

    async def _count(self) -> None:
        sent, report = self._world.sent, self.report
        continuity = Continuity(self._stage.database, RouteSnapshot(self._stage.database))
        await continuity.set_access(self._stage.scope, "demo", opened=True)  # to look at the standby once more
        expected = list((Counter(sent.copies) + Counter(self._done.added) - Counter(self._done.removed)).elements())
        standby = await self._read_standby()
        users = [person.address for person in self._stage.people]
        on_primary = await asyncio.to_thread(read_primary, self._stage.primary.imap_port, users, PASSWORD)
        places = [compare(expected, standby), compare(expected, [item.copy for item in on_primary])]
        report.accepted, report.refused, report.copies = sent.accepted, len(sent.refused), len(expected)
        report.readable_in_standby, report.delivered_to_primary = len(standby), len(on_primary)
        report.lost = sum(place.lost for place in places)
        report.duplicated = sum(place.duplicated for place in places)
        report.altered = sum(place.altered for place in places)
        report.unexpected = sum(place.unexpected for place in places)
        report.read_by_people = self._done.read
        report.rate_msg_s = sent.accepted / sent.seconds if sent.seconds else 0.0
        report.accept_ms_p99 = percentile(sent.waits, 99) * 1000
        if not self._lags:
            raise Failed("no message was seen on its way into a reader's list")
        report.standby_lag_ms_p50 = percentile(self._lags, 50) * 1000
        report.standby_lag_ms_p99 = percentile(self._lags, 99) * 1000
        self._check_changes(on_primary)

    async def _read_standby(self) -> list[Copy]:
        found: list[Copy] = []
        waiting = list(self._stage.people)

        async def read() -> None:
            while waiting:
                person = waiting.pop()
                box = self._stage.mailbox(person)
                if not await box.open():
                    raise Failed(f"the standby is closed to {person.address}")
                found.extend([copy_of(person.address, raw) async for raw in box.everything()])
                await box.close()
                self._tell.progress(len(self._stage.people) - len(waiting), len(self._stage.people))

        await asyncio.gather(*(read() for _ in range(8)))
        return found

    def _check_changes(self, on_primary: list[OnPrimary]) -> None:
        """What people did in the standby must be seen on the server: folder, flags, and nothing that was deleted."""
        there = {item.copy: item for item in on_primary}
        for wanted in self._done.wanted:
            found = there.get(wanted.copy)
            good = found is not None and found.folder == wanted.folder and wanted.flags <= found.flags
            self.report.changes_wrong += not good
        self.report.changes_wrong += sum(copy in there for copy in self._done.removed)
        self.report.changes_checked = len(self._done.wanted) + len(self._done.removed)

    # ------------------------------------------------------------------ waiting

    def _heard(self, message: GeneratedMessage) -> None:
        self._recent.append((message, time.monotonic()))
        self._tell.progress(self._world.sent.accepted, len(self._messages))

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.005)

    async def _until_trust(self, state: TrustState) -> None:
        await self._until_row(_SQL["trust_is"], state.value)

    async def _until_probe_ok(self) -> None:
        await self._until_row(_SQL["probes_are_good"], FAST.successes)

    async def _until_row(self, query: str, value: object) -> None:
        stage, deadline = self._stage, time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            async with stage.database.connection() as connection:
                if await connection.fetchval(query, stage.organisation_id, stage.primary_id, value):
                    return
            await asyncio.sleep(0.02)
        raise Failed(f"waited in vain for: {value}")


def percentile(values: Sequence[float], percent: float) -> float:
    """By the nearest rank; 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def make_messages(people: Sequence[Person], count: int, mbox: Path | None) -> list[GeneratedMessage]:
    """Generated conversations of the last three weeks, or the first `count` messages of a mailbox file."""
    if mbox is not None:
        return list(itertools.islice(mailgen.from_mbox(mbox, people), count))
    span = timedelta(days=21)
    return list(mailgen.generate(people, count, SEED, datetime.now(UTC) - span, span))
