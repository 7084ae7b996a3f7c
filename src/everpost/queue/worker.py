"""The queue's worker: leases what is due, sends it over reused connections, writes what came of it.

Deliveries of a message just accepted come in by `take` with their content in hand; all others are claimed from the
database. One process may end at any moment: what it had leased is tried again, in doubt, when the lease runs out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import structlog

from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.mail.edits import Editor, edited, growth
from everpost.mail.envelope import Envelope
from everpost.mail.reply import Reply
from everpost.queue.leases import Leases
from everpost.queue.model import Delivery, HoldReason, Kind, ReadyMessage, Sighting, Status
from everpost.queue.outcome import Attempted, Terms, judge
from everpost.queue.route import Host, Router, RouteUnknown, Undeliverable
from everpost.queue.smtp_client import SmtpConnection, SmtpFailure, Timeouts, TransactionResult, UnsafeContent
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.database import UNAVAILABLE
from everpost.store.ids import encode_id

log = structlog.get_logger()

POLL_S = 1.0
IDLE_CONNECTION_S = 5.0
RENEW_S = 60.0
OUTCOMES_AT_ONCE = 256
GATHER_S = 0.02
ASKED_AGAIN = 8
"""Attempts after which a delivery in doubt is sent although the primary could not be asked: rather twice than never."""
Presence = Callable[[ReadyMessage, Delivery], Awaitable[Sighting]]
Gate = Callable[[int, int], bool]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Bounds of one process. `outstanding` counts leased deliveries, `content_octets` their content in memory."""

    hostname: str
    outstanding: int = 2000
    content_octets: int = 32 * 1024 * 1024
    connections_per_lane: int = 20
    timeouts: Timeouts = field(default_factory=Timeouts)
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class _Job:
    message: ReadyMessage
    deliveries: tuple[Delivery, ...]


@dataclass(slots=True)
class _Lane:
    jobs: deque[_Job] = field(default_factory=deque)
    senders: int = 0
    idle: list[asyncio.Future[None]] = field(default_factory=list)  # the last to become idle is called first

    def call(self) -> bool:
        """Call one idle sender; False where there is none."""
        while self.idle:
            called = self.idle.pop()
            if not called.done():  # else it is giving up at this moment
                called.set_result(None)
                return True
        return False


class QueueWorker:
    """One per process; `start` and `stop` it.

    `may_attempt` says whether anything may go to a primary at all, `may_bounce` whether its refusals are final,
    `presence` asks a primary whether a delivery in doubt stands there already, `failed` hears of primaries that
    cannot be reached.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        leases: Leases,
        blobs: BlobReader,
        router: Router,
        *,
        may_attempt: Gate,
        may_bounce: Gate,
        presence: Presence | None = None,
        failed: Callable[[int, int], None] = lambda _organisation, _primary: None,
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._blobs = blobs
        self._router = router
        self._may_attempt = may_attempt
        self._may_bounce = may_bounce
        self._presence = presence
        self._failed = failed
        self._lanes: dict[tuple[int, str], _Lane] = {}
        self._active: dict[tuple[int, int, int], Delivery] = {}
        self._octets = 0
        self._wake = asyncio.Event()
        self._outcomes: asyncio.Queue[Attempted] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.delivered = 0
        self._counts: Counter[Status] = Counter()

    @property
    def outstanding(self) -> int:
        """Deliveries leased to this worker."""
        return len(self._active)

    def take_counts(self) -> Counter[Status]:
        """What deliveries became by attempts since the last call."""
        counts, self._counts = self._counts, Counter()
        return counts

    # ------------------------------------------------------------------ the outlet of intake

    def room(self) -> int:
        """How many more deliveries are taken with their content in hand."""
        if self._stopping or self._octets > self._settings.content_octets:
            return 0
        return max(0, self._settings.outstanding - len(self._active))

    def take(self, message: ReadyMessage) -> None:
        """Deliveries leased to this worker: they share a transaction where they share a lane."""
        by_lane: dict[str, list[Delivery]] = {}
        for delivery in message.deliveries:
            by_lane.setdefault(delivery.lane, []).append(delivery)
            key = delivery.key
            self._active[key.organisation_id, key.message_id, key.number] = delivery
        for name, deliveries in by_lane.items():
            self._octets += len(message.content or b"")
            self._enqueue((message.organisation_id, name), _Job(message, tuple(deliveries)))

    def wake(self) -> None:
        """There is queued work that nobody has leased."""
        self._wake.set()

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        self._spawn(self._claim_for_ever())
        self._spawn(self._conclude_for_ever())
        self._spawn(self._renew_for_ever())

    async def stop(self) -> None:
        """Begin nothing new, give transactions under way 10 s, write their outcomes, give back the rest."""
        self._stopping = True
        unbegun = [delivery for lane in self._lanes.values() for job in lane.jobs for delivery in job.deliveries]
        for lane in self._lanes.values():
            lane.jobs.clear()
            while lane.call():
                pass
        for delivery in unbegun:
            self._forget(delivery)
        deadline = asyncio.get_running_loop().time() + 10
        while (self._active or not self._outcomes.empty()) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if unbegun:
            with contextlib.suppress(*UNAVAILABLE):
                await self._leases.give_back(unbegun)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _claim_for_ever(self) -> None:
        while not self._stopping:
            claimed = 0
            try:
                if room := self.room():
                    for message in await self._leases.claim(100, min(room, 200), self._busy_lanes()):
                        claimed += len(message.deliveries)
                        self.take(message)
            except UNAVAILABLE as error:
                log.warning("queue.claim_failed", error=str(error) or type(error).__name__)
            if not claimed:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_S)

    def _busy_lanes(self) -> list[str]:
        limit = self._settings.connections_per_lane * 4
        return [name for (_, name), lane in self._lanes.items() if len(lane.jobs) > limit]

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            if self._active:
                with contextlib.suppress(*UNAVAILABLE):
                    await self._leases.renew(list(self._active.values()))

    # ------------------------------------------------------------------ sending

    def _enqueue(self, key: tuple[int, str], job: _Job) -> None:
        lane = self._lanes.setdefault(key, _Lane())
        lane.jobs.append(job)
        if not lane.call() and lane.senders < self._settings.connections_per_lane:
            lane.senders += 1
            self._spawn(self._send_for(key, lane))

    async def _send_for(self, key: tuple[int, str], lane: _Lane) -> None:
        """One connection's life: it serves its lane until there has been nothing to send for a while."""
        connection: SmtpConnection | None = None
        try:
            while job := await self._next_job(lane):
                try:
                    connection = await self._attempt(key, job, connection)
                except Exception:
                    log.exception("queue.defect", id=encode_id(job.message.message_id))
                    self._conclude_defect(job)
                    if connection is not None:
                        connection.abort()
        finally:
            if connection is not None:
                await connection.quit()
            lane.senders -= 1
            if not lane.senders and not lane.jobs:
                self._lanes.pop(key, None)

    async def _next_job(self, lane: _Lane) -> _Job | None:
        while not lane.jobs and not self._stopping:  # whoever was busy may have taken the job one was called for
            called = asyncio.get_running_loop().create_future()
            lane.idle.append(called)
            try:
                await asyncio.wait_for(called, IDLE_CONNECTION_S)
            except TimeoutError:
                return None
            finally:
                if called in lane.idle:
                    lane.idle.remove(called)
        return lane.jobs.popleft() if lane.jobs else None

    async def _attempt(
        self, key: tuple[int, str], job: _Job, connection: SmtpConnection | None
    ) -> SmtpConnection | None:
        """Attempt one job; returns the connection where it can be used again. Every delivery gets an outcome."""
        self._octets -= len(job.message.content or b"")
        if self._router.suspended(*key):
            await self._give_back(job)
            return connection
        deliveries = await self._still_wanted(job)
        if not deliveries:
            return connection
        try:
            if connection is not None and connection.home != self._router.home(*key):
                await connection.quit()  # it was sent elsewhere meanwhile
            if connection is None or not connection.usable:
                connection = await self._dial(await self._router.hosts(*key), self._router.home(*key))
            result = await self._transact(connection, job.message, deliveries)
        except Undeliverable as error:
            self._conclude(deliveries, "", error.reply, str(error))
        except (RouteUnknown, SmtpFailure) as error:
            self._tell_failure(deliveries)
            reply = error.reply if isinstance(error, SmtpFailure) else None
            # A server that refuses the whole session says nothing about these recipients: try again later.
            transient = reply if reply is not None and reply.code < 500 else None
            self._conclude(deliveries, "", transient, str(error))
        except UnsafeContent as error:
            self._conclude(deliveries, "", None, str(error), hold=HoldReason.CONTENT)
        except (NoSuchBlob, DamagedBlob, KeyProblem) as error:
            log.warning("queue.content_unreadable", id=encode_id(job.message.message_id), error=str(error))
            self._conclude(deliveries, "", None, str(error), hold=HoldReason.CONTENT)
        except UNAVAILABLE as error:
            self._conclude(deliveries, "", None, f"content not available: {error}")
        else:
            self._conclude_result(deliveries, result, reports_onward="DSN" in connection.capabilities)
        return connection if connection is not None and connection.usable else None

    async def _still_wanted(self, job: _Job) -> list[Delivery]:
        """Without those that may not go now, and those in doubt that turn out to stand there already."""
        wanted = []
        for delivery in job.deliveries:
            if delivery.kind is Kind.PRIMARY and delivery.primary_id is not None:
                if not self._may_attempt(delivery.key.organisation_id, delivery.primary_id):
                    self._conclude([delivery], "", None, "the primary is isolated", hold=HoldReason.COMPROMISED)
                    continue
                if delivery.in_doubt and await self._is_settled(job.message, delivery):
                    continue
            wanted.append(delivery)
        return wanted

    async def _is_settled(self, message: ReadyMessage, delivery: Delivery) -> bool:
        """True where the primary has it already, or where it is better to ask again later than to send it twice."""
        sighting = Sighting.ABSENT if self._presence is None else await self._presence(message, delivery)
        if sighting is Sighting.THERE:
            self._conclude([delivery], "", Reply(250, "Found on the primary", (0, 0)), "")
        elif sighting is Sighting.UNKNOWN and delivery.attempts <= ASKED_AGAIN:
            self._conclude([delivery], "", None, "the primary may have it already and cannot be asked now")
        else:
            return False
        return True

    async def _give_back(self, job: _Job) -> None:
        """Not to be attempted now: `claim` finds them again when their lane is resumed."""
        with contextlib.suppress(*UNAVAILABLE):  # else the leases run out by themselves
            await self._leases.give_back(job.deliveries)
        for delivery in job.deliveries:
            self._forget(delivery)

    async def _dial(self, hosts: list[Host], home: Host | None) -> SmtpConnection:
        """The first server that answers. Raises the last `SmtpFailure`."""
        for number, host in enumerate(hosts, start=1):
            try:
                connection = await SmtpConnection.open(
                    host.name,
                    host.port,
                    hostname=self._settings.hostname,
                    tls=host.tls,
                    ssl_context=host.ssl_context,
                    credentials=host.credentials,
                    timeouts=self._settings.timeouts,
                )
                connection.home = home
                return connection
            except SmtpFailure:
                if number == len(hosts):
                    raise
        raise RouteUnknown("no server to dial")

    async def _transact(
        self, connection: SmtpConnection, message: ReadyMessage, deliveries: list[Delivery]
    ) -> TransactionResult:
        envelope = Envelope(message.sender, tuple(delivery.recipient for delivery in deliveries))
        size = message.size + len(message.trace) + growth(message.edits)
        if message.content is not None:
            return await connection.deliver(envelope, message.trace + edited(message.content, message.edits), size)
        return await connection.deliver(envelope, self._stream(message), size)

    async def _stream(self, message: ReadyMessage) -> AsyncIterator[bytes]:
        yield message.trace
        editor = Editor(message.edits)
        async for chunk in self._blobs.chunks(message.organisation_id, message.blob_id):
            yield editor.feed(chunk)

    # ------------------------------------------------------------------ outcomes

    def _conclude_result(self, deliveries: list[Delivery], result: TransactionResult, *, reports_onward: bool) -> None:
        reason = result.failure or ""
        if result.failure is not None:
            self._tell_failure(deliveries)
        for delivery, recipient in zip(deliveries, result.recipients, strict=True):
            undecided = recipient.reply is None
            self._outcomes.put_nowait(
                Attempted(
                    delivery,
                    recipient.reply,
                    reason,
                    result.remote,
                    result.in_doubt and undecided,
                    reports_onward=reports_onward,
                )
            )

    def _conclude(
        self,
        deliveries: list[Delivery],
        remote: str,
        reply: Reply | None,
        reason: str,
        hold: HoldReason | None = None,
    ) -> None:
        for delivery in deliveries:
            self._outcomes.put_nowait(Attempted(delivery, reply, reason, remote, hold=hold))

    def _conclude_defect(self, job: _Job) -> None:
        """A defect of ours must not keep deliveries leased for ever: they are tried again, as in doubt.

        One that has its outcome already keeps it: its lease is given up with the first.
        """
        for delivery in job.deliveries:
            self._outcomes.put_nowait(Attempted(delivery, None, "internal error", "", in_doubt=True))

    def _tell_failure(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries[:1]:
            if delivery.primary_id is not None:
                self._failed(delivery.key.organisation_id, delivery.primary_id)

    async def _conclude_for_ever(self) -> None:
        while True:
            batch = [await self._outcomes.get()]
            await asyncio.sleep(GATHER_S)  # nobody waits for an outcome: many of them share a statement
            while len(batch) < OUTCOMES_AT_ONCE and not self._outcomes.empty():
                batch.append(self._outcomes.get_nowait())
            await self._write(batch)

    async def _write(self, batch: list[Attempted]) -> None:
        """Until it is written: an outcome that is lost would be an attempt repeated."""
        now = datetime.now(UTC)
        firsts = {item.delivery.key: item for item in reversed(batch)}
        verdicts = [
            judge(item, now, may_bounce=self._is_final(item.delivery), terms=self._settings.terms)
            for item in firsts.values()
        ]
        while True:
            try:
                await self._leases.complete(verdicts)
                break
            except UNAVAILABLE as error:
                log.warning("queue.outcomes_waiting", count=len(verdicts), error=str(error))
                await asyncio.sleep(0.5)
            except asyncpg.PostgresError:
                # The leases run out and the attempts are repeated, in doubt: late, but nothing is lost.
                log.exception("queue.outcomes_refused", count=len(verdicts))
                break
        for verdict in verdicts:
            self._forget(verdict.delivery)
            self._counts[verdict.status] += 1
            self.delivered += verdict.status is Status.DELIVERED
            log.debug(
                "queue.attempted",
                id=encode_id(verdict.delivery.key.message_id),
                number=verdict.delivery.key.number,
                status=verdict.status,
                reply=verdict.reply,
            )

    def _is_final(self, delivery: Delivery) -> bool:
        if delivery.kind is not Kind.PRIMARY or delivery.primary_id is None:
            return True
        return self._may_bounce(delivery.key.organisation_id, delivery.primary_id)

    def _forget(self, delivery: Delivery) -> None:
        key = delivery.key
        self._active.pop((key.organisation_id, key.message_id, key.number), None)
