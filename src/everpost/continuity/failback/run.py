"""Running a failback: waves of mailboxes, each brought up to date and then given back in one instant.

While a mailbox is worked on, its route stays with the standby: people go on working there, new mail is held, and both
are replayed in further rounds until nothing is left. The moment of return is a transaction in which nobody can change
anything. Everything may stop anywhere: `run` takes it up again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from everpost.continuity.alerts import AlertKind, raise_alert
from everpost.continuity.failback import begin, reconcile
from everpost.continuity.failback.ledger import (
    MailboxLedger,
    Run,
    RunMailbox,
    Stopped,
    read_folders,
    read_mailboxes,
    read_run,
)
from everpost.continuity.failback.model import Item, ItemKind, ItemState, MailboxState, RunState, key_of
from everpost.continuity.failback.remote import RemoteMailbox
from everpost.continuity.failback.replay import NO_CONNECTOR, Checkpoint, StateReplay, _nowhere
from everpost.continuity.failback.report import canonical, digest, make_report
from everpost.continuity.imap import ImapFailure, ImapRefusal, ImapSession
from everpost.continuity.snapshot import RouteSnapshot, advance
from everpost.continuity.trusting import TrustKeeper
from everpost.crypto import signing
from everpost.directory.primary import ImapConnector, Primary, load_primaries
from everpost.mail.address import Address
from everpost.queue.model import CHANNEL
from everpost.store import audit
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import UNAVAILABLE, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("failback")
_STORE = load("store")
_STANDBY = load("standby")
FOUND_THERE = "Found on the primary"
SIGNING_CONTEXT = "signing"


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """Bounds. `patience_s`: how long deliveries may make no progress before the mailbox is put aside for a while;
    `arrival_s`: how long a message the primary took may need to stand in its mailbox, `arrival_tries` times.
    """

    hostname: str
    mailboxes_at_once: int = 4
    release_at_once: int = 500
    rounds: int = 20
    patience_s: float = 120.0
    arrival_s: float = 30.0
    arrival_tries: int = 3
    retry_s: float = 30.0
    poll_s: float = 0.2
    imap_timeout_s: float = 60.0


class Waits(Exception):
    """The mailbox cannot be finished now; the message says why."""


class _NothingReady(Exception):
    """No mailbox can be given back at this instant."""


class FailbackRunner:
    """Runs failbacks. One process at a time calls `resume` (a singleton role)."""

    def __init__(
        self,
        settings: RunnerSettings,
        database: Database,
        keys: KeyRing,
        blobs: BlobReader,
        routes: RouteSnapshot,
        keeper: TrustKeeper,
        *,
        checkpoint: Checkpoint = _nowhere,
    ) -> None:
        self._settings = settings
        self._database = database
        self._keys = keys
        self._blobs = blobs
        self._routes = routes
        self._keeper = keeper
        self._checkpoint = checkpoint
        self._tasks: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._tries: dict[tuple[int, int], int] = {}

    # ------------------------------------------------------------------ life

    async def resume(self) -> int:
        """Take up every running failback that is not worked on yet; returns how many are. Call it again and again."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["running"])
        for row in rows:
            key = (row["organisation_id"], row["id"])
            if key not in self._tasks:
                task = asyncio.create_task(self._run_guarded(*key))
                self._tasks[key] = task
                task.add_done_callback(lambda _, key=key: self._tasks.pop(key, None))  # type: ignore[misc]
        return len(self._tasks)

    async def stop(self) -> None:
        """Let go of everything; another process or a later `resume` takes it up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run_guarded(self, organisation_id: int, run_id: int) -> None:
        try:
            await self.run(organisation_id, run_id)
        except UNAVAILABLE as error:
            log.warning("failback.interrupted", failback=run_id, error=str(error))
        except Exception:
            log.exception("failback.failed", failback=run_id)
            await asyncio.sleep(self._settings.retry_s)

    async def run(self, organisation_id: int, run_id: int) -> RunState:
        """Work until the failback is finished, paused or stopped. Raises what `UNAVAILABLE` lists."""
        while True:
            run = await read_run(self._database, organisation_id, run_id)
            if run.state is not RunState.RUNNING:
                return run.state
            async with self._database.connection() as connection:
                mailboxes = await read_mailboxes(connection, organisation_id, run_id)
            waiting = [mailbox for mailbox in mailboxes if mailbox.returned_at is None]
            if not waiting:
                if await self._finish(run):
                    return RunState.FINISHED
                continue
            ready = await self._round(run, _choose(waiting))
            if not await self._give_back(run, ready):
                await asyncio.sleep(self._settings.retry_s if not ready else self._settings.poll_s)

    # ------------------------------------------------------------------ one round of some mailboxes

    async def _round(self, run: Run, mailboxes: Sequence[RunMailbox]) -> list[int]:
        """Bring mailboxes up to date; returns those that can be given back."""
        primaries = {
            primary.id: primary for primary in await load_primaries(self._database, self._keys, run.organisation_id)
        }
        limit = asyncio.Semaphore(self._settings.mailboxes_at_once)

        async def one(mailbox: RunMailbox) -> int | None:
            async with limit:
                return await self._try_mailbox(run, mailbox, primaries[mailbox.primary_id])

        results = await asyncio.gather(*(one(mailbox) for mailbox in mailboxes), return_exceptions=True)
        ready: list[int] = []
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Stopped):
                raise result
            if isinstance(result, int):
                ready.append(result)
        return ready

    async def _try_mailbox(self, run: Run, mailbox: RunMailbox, primary: Primary) -> int | None:
        """None where it has to be tried again later: the ledger says why."""
        ledger = MailboxLedger(self._database, run, mailbox)
        try:
            await self._catch_up(ledger, primary)
        except (ImapFailure, ImapRefusal, Waits) as error:
            await ledger.set_state(MailboxState.PROBLEM, str(error))
            log.warning("failback.mailbox_waits", failback=run.id, mailbox=mailbox.id, why=str(error))
            if mailbox.state is not MailboxState.PROBLEM:
                await self._tell_problem(run, mailbox, str(error))
            return None
        return mailbox.id

    async def _tell_problem(self, run: Run, mailbox: RunMailbox, why: str) -> None:
        async with self._database.transaction() as connection:
            await raise_alert(
                connection,
                await self._database.ids.new(),
                run.organisation_id,
                AlertKind.FAILBACK_PROBLEM,
                f"Failback: {mailbox.address or mailbox.name} has to wait",
                f"{why}\nIt is tried again by itself; its mail stays readable in the standby.",
            )

    async def _catch_up(self, ledger: MailboxLedger, primary: Primary) -> None:
        """Rounds until nothing new came while the last one ran."""
        mailbox = ledger.mailbox
        given_up = mailbox.state is MailboxState.GIVEN_UP
        if not given_up:
            await ledger.set_state(MailboxState.REPLAYING)
        connector = None if given_up else primary.settings.imap
        async with contextlib.AsyncExitStack() as stack:
            remote = _Lazy(self, ledger, primary, connector, stack)
            replayed = mailbox.replayed_modseq
            for _ in range(self._settings.rounds):
                self._checkpoint("round")
                await self._deliver_inbound(ledger)
                modseq = await ledger.current_modseq()
                await self._replay_state(ledger, remote, replayed, modseq)
                await ledger.set_replayed(modseq)
                replayed = modseq
                self._checkpoint("replayed")
                if await self._is_settled(ledger, modseq):
                    break
            await self._reconcile(ledger, remote)

    async def _is_settled(self, ledger: MailboxLedger, modseq: int) -> bool:
        run = ledger.run
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["ready_to_return"], run.organisation_id, run.id, ledger.mailbox.id)
        return not row["held"] and await ledger.current_modseq() == modseq

    # ------------------------------------------------------------------ inbound mail

    async def _deliver_inbound(self, ledger: MailboxLedger) -> None:
        """Release what is held and wait until the queue is through with it. Raises `Waits`, `Stopped`."""
        await self._note_progress(ledger)
        await ledger.retry_inbound()
        while True:
            self._checkpoint("before release")
            released = await ledger.release_inbound(self._settings.release_at_once)
            self._checkpoint("released")
            if released:
                async with self._database.connection() as connection:
                    await connection.execute(_STORE["notify"], CHANNEL, "")
            await self._await_deliveries(ledger)
            if not released:
                return

    async def _await_deliveries(self, ledger: MailboxLedger) -> None:
        last, deadline, pause = -1, 0.0, 0.02
        while open_count := await self._note_progress(ledger):
            await ledger.check_running()
            now = time.monotonic()
            if open_count != last:
                last, deadline, pause = open_count, now + self._settings.patience_s, 0.02
            elif now > deadline:
                waiting = await ledger.inbound()
                raise Waits(f"{open_count} messages wait for the primary: {waiting[0].reply if waiting else ''}")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, self._settings.poll_s)

    async def _note_progress(self, ledger: MailboxLedger) -> int:
        """Write which released deliveries came to an end; returns how many did not yet."""
        ended: list[Item] = []
        open_count = 0
        for inbound in await ledger.inbound():
            item = Item(inbound.message_id, ItemKind.INBOUND, evidence=inbound.reply)
            if inbound.status == "delivered":
                state = ItemState.ALREADY if FOUND_THERE in inbound.reply else ItemState.DONE
                ended.append(Item(item.id, item.kind, state, item.evidence))
            elif inbound.status == "queued":
                open_count += 1
            elif inbound.hold_reason in ("activated", "compromised", "returning"):
                ended.append(Item(item.id, item.kind, ItemState.PENDING))  # held again: it will be released again
            else:
                reason = inbound.hold_reason or inbound.status
                ended.append(Item(item.id, item.kind, ItemState.HELD, f"{reason}: {inbound.reply}"))
        await ledger.note(ended)
        return open_count

    # ------------------------------------------------------------------ what people did

    async def _replay_state(self, ledger: MailboxLedger, remote: _Lazy, since: int, until: int) -> None:
        plan = await ledger.plan(since, until)
        self._checkpoint("planned")
        if plan.actions:
            await ledger.note_plan(plan)
            self._checkpoint("plan noted")
        actions = await ledger.open_actions()
        if not actions:
            return
        if remote.connector is None:
            why = "given up by a person" if ledger.mailbox.state is MailboxState.GIVEN_UP else NO_CONNECTOR
            await ledger.note([Item(*key_of(action), ItemState.HELD, why) for action, _ in actions])
            return
        opened = await remote.open()
        async with self._database.connection() as connection:
            opened.learn(await read_folders(connection, ledger.run.organisation_id, ledger.mailbox.id))
        oldest = [action.subject.accepted_at for action, _ in actions if hasattr(action, "subject")]
        await opened.load(min(oldest, default=datetime.now(UTC)))
        await self._await_arrivals(ledger, opened)
        await StateReplay(opened, ledger, self._blobs, self._checkpoint).run(actions)

    async def _await_arrivals(self, ledger: MailboxLedger, remote: RemoteMailbox) -> None:
        """Until everything the primary took stands in the mailbox. Raises `Waits`, some times, then gives in."""
        key = (ledger.run.id, ledger.mailbox.id)
        deadline = time.monotonic() + self._settings.arrival_s
        pause = 0.05
        while absent := await reconcile.missing_arrivals(ledger, remote):
            if time.monotonic() > deadline:
                self._tries[key] = self._tries.get(key, 0) + 1
                if self._tries[key] >= self._settings.arrival_tries:
                    return
                raise Waits(f"{len(absent)} messages were taken by the primary and do not stand in the mailbox yet")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
            await remote.look_again()

    async def _reconcile(self, ledger: MailboxLedger, remote: _Lazy) -> None:
        self._checkpoint("before reconcile")
        items = await ledger.items()
        if items and remote.connector is not None:
            subjects = await ledger.subjects([item.id for item, _ in items])
            opened = await remote.open()
            await opened.load(min((s.accepted_at for s in subjects.values()), default=datetime.now(UTC)))
            await self._await_arrivals(ledger, opened)
            figures = await reconcile.count(ledger, opened)
        else:
            figures = await reconcile.count(ledger, None)
            figures.looked = not items
        await ledger.set_figures(figures)
        self._checkpoint("reconciled")

    async def connect(
        self, ledger: MailboxLedger, primary: Primary, connector: ImapConnector
    ) -> tuple[ImapSession, RemoteMailbox]:
        """Open the primary's side of a mailbox. Raises `ImapFailure`, `ImapRefusal`, `Waits`, `Stopped`."""
        await ledger.check_running()
        if ledger.mailbox.address is None:
            raise Waits("the mailbox has no default address to log in with")
        login = connector.login(Address.parse(ledger.mailbox.address))
        session = await ImapSession.open(
            connector,
            login,
            primary.secrets.imap_password,
            hostname=self._settings.hostname,
            timeout_s=self._settings.imap_timeout_s,
        )
        return session, RemoteMailbox(session)

    # ------------------------------------------------------------------ giving back

    async def _give_back(self, run: Run, mailbox_ids: Sequence[int]) -> int:
        """The moment of return, for those of which nothing is on its way; returns how many."""
        if not mailbox_ids:
            return 0
        self._checkpoint("before return")
        try:
            async with self._database.transaction() as connection:
                await advance(connection)  # no intake runs from here to the commit
                state = await connection.fetchrow(_SQL["lock_run"], run.organisation_id, run.id)
                ready = []
                if state["state"] == RunState.RUNNING:
                    for mailbox_id in sorted(mailbox_ids):
                        key = (run.organisation_id, run.id, mailbox_id)
                        modseq = await connection.fetchval(_STANDBY["lock_mailbox"], run.organisation_id, mailbox_id)
                        row = await connection.fetchrow(_SQL["ready_to_return"], *key)
                        if row["replayed_modseq"] == modseq and not row["held"] and not row["open"]:
                            ready.append(mailbox_id)
                if not ready:
                    raise _NothingReady  # noqa: TRY301 (rolls back the new generation)
                await connection.execute(_SQL["set_returned"], run.organisation_id, run.id, ready, datetime.now(UTC))
                event = audit.Event(run.actor, "failback.return", f"failback {run.id}", {"mailboxes": ready})
                await audit.record(connection, run.organisation_id, await self._database.ids.new(), event)
        except _NothingReady:
            return 0
        self._checkpoint("returned")
        await self._routes.load()
        log.info("failback.returned", failback=run.id, mailboxes=len(ready))
        return len(ready)

    async def _finish(self, run: Run) -> bool:
        """Everything is back: report, signature, trust, and the end of the activation, in one transaction."""
        key = await self._keys.organisation(run.organisation_id)
        self._checkpoint("before finish")
        async with self._database.transaction() as connection:
            await advance(connection)
            state = await connection.fetchrow(_SQL["lock_run"], run.organisation_id, run.id)
            if state["state"] != RunState.RUNNING:
                return False
            mailboxes = await read_mailboxes(connection, run.organisation_id, run.id)
            finished_at = datetime.now(UTC)
            report = make_report(run, mailboxes, finished_at)
            row = await connection.fetchrow(_SQL["signing_key"], run.organisation_id)
            signature = signing.sign(key.open(row["signing_key"], SIGNING_CONTEXT), canonical(report))
            await connection.execute(_SQL["finish_run"], run.organisation_id, run.id, finished_at, report, signature)
            activation = await begin.lock_activation(connection, run.organisation_id, run.activation_id)
            if activation is not None:
                primaries = list(await begin.primaries_of_run(connection, run.organisation_id, run.id))
                await self._keeper.end_activation(
                    connection, run.organisation_id, activation, primaries, run.actor, "failback finished"
                )
            detail = {"digest": digest(report), "signature": signature.hex(), "totals": report["totals"]}
            event = audit.Event(run.actor, "failback.finish", f"failback {run.id}", detail)
            await audit.record(connection, run.organisation_id, await self._database.ids.new(), event)
            totals = report["totals"]
            figures = ", ".join(f"{name} {number}" for name, number in totals.items())
            await raise_alert(
                connection, await self._database.ids.new(), run.organisation_id, AlertKind.FAILBACK_FINISHED,
                f"Failback finished: {totals['lost']} lost, {totals['duplicated']} duplicated", figures,
            )  # fmt: skip
        self._checkpoint("finished")
        await self._routes.load()
        return True


class _Lazy:
    """The primary's side of a mailbox, opened when it is first needed and closed with the stack."""

    def __init__(
        self,
        runner: FailbackRunner,
        ledger: MailboxLedger,
        primary: Primary,
        connector: ImapConnector | None,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self._runner = runner
        self._ledger = ledger
        self._primary = primary
        self.connector = connector
        self._stack = stack
        self._opened: RemoteMailbox | None = None

    async def open(self) -> RemoteMailbox:
        if self._opened is None:
            assert self.connector is not None
            session, self._opened = await self._runner.connect(self._ledger, self._primary, self.connector)
            self._stack.push_async_callback(session.close)
        return self._opened


def _choose(waiting: Sequence[RunMailbox]) -> list[RunMailbox]:
    """The first wave that has mailboxes left; those with a problem again where no other is."""
    fresh = [mailbox for mailbox in waiting if mailbox.state is not MailboxState.PROBLEM]
    if not fresh:
        return list(waiting)
    wave = min(mailbox.wave for mailbox in fresh)
    return [mailbox for mailbox in fresh if mailbox.wave == wave]
