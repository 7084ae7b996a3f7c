"""The control process: probes, schedule, failback, alerts, reports, audit chain; one process at a time leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from everpost.app import gauges, metrics
from everpost.app.assembly import NotifyingOutlet, make_failback_runner, make_ground, make_intake, make_links
from everpost.app.child import run_child
from everpost.app.config import Config
from everpost.app.guarding import make_guarding
from everpost.app.leader import Leader
from everpost.app.refresh import Refresher, Repeater
from everpost.app.scanner_watch import SCANNERS_S, ScannerWatch
from everpost.app.scanning import make_scanners
from everpost.continuity import snapshot
from everpost.continuity.alerts import AlertSender
from everpost.continuity.homes import waiting_mailboxes
from everpost.continuity.monitor import CHANNEL as PROBE_CHANNEL
from everpost.continuity.monitor import Monitor
from everpost.directory import changes
from everpost.guard.learn.models import Models
from everpost.guard.policy.store import Policies
from everpost.guard.sending.counts import forget_old as forget_old_sending
from everpost.identity.administrators import Administrators
from everpost.identity.sessions import Sessions
from everpost.intake.digests import AnswerSender, DigestSender, OwnMail
from everpost.intake.follow import Following
from everpost.intake.follow import Settings as FollowSettings
from everpost.intake.forwards import Forwarder
from everpost.intake.learning import Learning
from everpost.intake.notices import Notices
from everpost.intake.quarantine import Quarantine
from everpost.intake.reports import ReportSender
from everpost.intake.senders import SenderLists
from everpost.serve.web.jmap.answering import VacationResponder
from everpost.serve.web.jmap.later import DelayedSender
from everpost.serve.web.jmap.sending import SendingParts
from everpost.store import audit
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from everpost.store.sql import load

_STORE = load("store")
LEADER_LOCK = 0x4556434F
CONNECTIONS = 8
UPLOADS_KEPT = timedelta(days=1)


class Control:
    """One per host."""

    def __init__(self, config: Config, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._ground = ground = make_ground(config, database, keys)
        self._intake = make_intake(ground, NotifyingOutlet(database), 0)
        self._monitor = Monitor(database, keys, ground.continuity, config.hostname)
        self._runner = make_failback_runner(ground)
        notices = Notices(database, self._intake, ground.directory, config.hostname)
        self._alerts = AlertSender(database, notices)
        self._reports = ReportSender(database, ground.blobs, self._intake, ground.directory, config.hostname)
        self._switches = Refresher("switches", ground.routes.load)
        scanners = make_scanners(config) if config.guard.enabled else []
        self._policies = Policies(database)
        self._guarding = make_guarding(config, database, ground.directory, Models(database), scanners)
        screen = self._guarding.screen(ground.directory, self._policies, self._intake, SenderLists(database))
        parts = SendingParts(database, ground.standby, ground.directory, self._intake, config.spool_folder, screen)
        self._delayed = DelayedSender(parts)
        self._vacation = VacationResponder(parts, ground.routes, config.hostname)
        self._forwarder = Forwarder(
            database, ground.blobs, self._intake, ground.directory, config.hostname, config.spool_folder
        )
        mail = OwnMail(database, self._intake, ground.directory, config.hostname)
        self._digests = DigestSender(database, mail, make_links(config))
        self._answers = AnswerSender(database, mail)
        self._quarantine = Quarantine(database, actor="everpost", homes=waiting_mailboxes)
        self._kept_for = timedelta(days=config.quarantine.retention_days)
        self._following = _make_following(config, database, keys)
        self._scanners = ScannerWatch(database, scanners)
        self._learning = _make_learning(config, database, ground.blobs)
        self._failbacks = Repeater("failbacks", self._runner.resume, 1.0)
        self._told = Repeater("alerts", self._alerts.deliver_due, 1.0)
        self._roles = self._make_roles()
        self._leader = Leader(database, LEADER_LOCK, self._all_roles, lambda leads: metrics.LEADER.set(int(leads)))
        self._tasks: list[asyncio.Task[None]] = []

    def _make_roles(self) -> list[Repeater]:
        following = [] if self._following is None else [Repeater("following", self._following.run_once, 5.0)]
        learning = [] if self._learning is None else [Repeater("learning", self._learning.run_once, 15.0)]
        return [
            *following,
            *learning,
            self._told,
            Repeater("delayed mail", self._delayed.run_once, 1.0),
            Repeater("vacation", self._vacation.run_once, 3.0),
            Repeater("forwards", self._forwarder.run_once, 1.0),
            Repeater("digests", self._digests.run_once, 10.0),
            Repeater("quarantine answers", self._answers.run_once, 5.0),
            Repeater("quarantine", self._expire, 300.0),
            Repeater("schedule", self._ground.continuity.run_due, 1.0),
            Repeater("audit", self._chain, 1.0),
            Repeater("reports", self._reports.send_due, 2.0),
            Repeater("gauges", self._measure, 5.0),
            Repeater("scanners", self._scanners.run_once, SCANNERS_S),
            Repeater("housekeeping", self._tidy, 600.0),
        ]

    def _all_roles(self) -> Sequence[Coroutine[Any, Any, None]]:
        return [self._monitor.run(), self._run_failbacks(), *(role.run() for role in self._roles)]

    async def start(self) -> None:
        """Raises what `store.database.UNAVAILABLE` lists."""
        await self._ground.routes.load()
        self._intake.start()
        channels: dict[str, Callable[[str], None]] = {
            snapshot.CHANNEL: self._heard_of_switch,
            changes.CHANNEL: lambda _: self._forget_directory(),
            PROBE_CHANNEL: self._monitor.heard,
        }
        runs = [self._database.listen(channels), self._switches.run(), self._leader.run(), self._guarding.keep_lists()]
        self._tasks = [asyncio.create_task(run) for run in runs]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._intake.stop()
        await self._alerts.close()

    def _forget_directory(self) -> None:
        self._ground.forget_directory()
        self._policies.forget()

    def _heard_of_switch(self, payload: str) -> None:
        self._switches.kick(payload)
        self._failbacks.kick()
        self._told.kick()

    async def _run_failbacks(self) -> None:
        """As a role: what it has begun ends with it."""
        try:
            await self._failbacks.run()
        finally:
            await self._runner.stop()

    # ------------------------------------------------------------------ small roles

    async def _chain(self) -> None:
        while await audit.chain(self._database):
            pass

    async def _measure(self) -> None:
        await gauges.measure(self._database)

    async def _expire(self) -> None:
        while await self._quarantine.expire(datetime.now(UTC) - self._kept_for):
            pass

    async def _tidy(self) -> None:
        await self._ground.standby.forget_uploads(datetime.now(UTC) - UPLOADS_KEPT)
        await self._forwarder.forget_old()
        await forget_old_sending(self._database)
        await self._digests.forget_old()
        await Sessions(self._database).forget_old()
        await Administrators(self._database).forget_old()
        async with self._database.connection() as connection:
            await connection.execute(_STORE["workers_lost"])


def _make_following(config: Config, database: Database, keys: KeyRing) -> Following | None:
    if not config.follow.enabled:
        return None
    settings = FollowSettings(config.follow.interval_s, config.follow.connections, config.follow.rate)
    return Following(
        database, keys, config.hostname, config.spool_folder, settings,
        ended=lambda how: metrics.FOLLOW_ROUNDS.labels(how).inc(),
    )  # fmt: skip


def _make_learning(config: Config, database: Database, blobs: BlobReader) -> Learning | None:
    if not (config.guard.enabled and config.guard.classifier):
        return None
    return Learning(
        database, blobs, from_primary=config.guard.learn_from_primary,
        on_learned=lambda verdict: metrics.LESSONS.labels(verdict).inc(),
    )  # fmt: skip


async def make_control(config: Config, database: Database, keys: KeyRing) -> Control:
    """The control process's part."""
    return Control(config, database, keys)


if __name__ == "__main__":
    run_child(make_control, connections=CONNECTIONS)
