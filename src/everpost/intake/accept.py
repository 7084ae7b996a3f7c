"""Group commit: whoever is ready shares the next transaction. `accept` returns when the message is on disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import asyncpg
import structlog

from everpost.continuity.routes import RouteTable
from everpost.intake.commit import NewMessage, Writer
from everpost.intake.signing import Signer
from everpost.intake.submission import Receipt, Submission
from everpost.queue.model import ReadyMessage
from everpost.store.blobs import SealedBlob
from everpost.store.database import UNAVAILABLE, Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

log = structlog.get_logger()
_STORE = load("store")

BATCH_MESSAGES = 64
BATCH_OCTETS = 16 * 1024 * 1024


class IntakeUnavailable(Exception):
    """The message could not be made ours now; nothing of it was kept. The sender must try again."""


class Routes(Protocol):
    """Knows the switches and trust states as of some generation."""

    @property
    def table(self) -> RouteTable: ...

    async def refresh(self, connection: Connection) -> RouteTable:
        """Read them again, inside the caller's transaction."""


class Within(Protocol):
    """What else belongs into the transaction that makes a message ours: both are committed, or neither."""

    async def __call__(self, connection: Connection, receipt: Receipt, /) -> None:
        """Other messages wait meanwhile: be short. It may be called again where their common transaction is
        repeated; what it raises undoes this message and reaches the caller of `accept`.
        """


class Outlet(Protocol):
    """Attempts deliveries whose content is still in hand."""

    def room(self) -> int:
        """How many it takes right now."""

    def take(self, message: ReadyMessage) -> None:
        """Deliveries of a committed message, leased to this worker."""

    def wake(self) -> None:
        """There is queued work that nobody has leased."""


@dataclass(slots=True)
class _Pending:
    submission: Submission
    done: asyncio.Future[Receipt]
    within: Within | None = None


class _WithinFailed(Exception):
    """One message's `within` raised: the transaction is rolled back, and repeated without that message."""

    def __init__(self, pending: _Pending, error: Exception) -> None:
        super().__init__(repr(error))
        self.pending = pending
        self.error = error


@dataclass(slots=True)
class _Line:
    """Who waits for the next commit. One commit at a time: while it goes on, the next batch grows."""

    waiting: deque[_Pending] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def take_batch(self) -> list[_Pending]:
        batch: list[_Pending] = []
        octets = 0
        while self.waiting and len(batch) < BATCH_MESSAGES and octets < BATCH_OCTETS:
            pending = self.waiting.popleft()
            octets += pending.submission.scanned.size
            batch.append(pending)
        if not self.waiting:
            self.ready.clear()
        return batch


class Intake:
    """Makes messages ours. One per process; `start` and `stop` it."""

    def __init__(
        self, database: Database, writer: Writer, routes: Routes, outlet: Outlet, signer: Signer | None = None
    ) -> None:
        self._database = database
        self._writer = writer
        self.new_message_id = writer.new_message_id
        self._routes = routes
        self._outlet = outlet
        self._signer = signer
        self._small, self._large = _Line(), _Line()
        self._tasks: list[asyncio.Task[None]] = []
        self.accepted = 0
        self.on_commit: Callable[[int], None] = lambda _: None

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._commit_for_ever(line)) for line in (self._small, self._large)]

    async def stop(self) -> None:
        """Commit what is waiting, then end."""
        while self._small.waiting or self._large.waiting:
            await asyncio.sleep(0.01)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self, submission: Submission, within: Within | None = None) -> Receipt:
        """Returns once the message and all it obliges us to are committed, and what `within` did with them.

        Raises `IntakeUnavailable`, and whatever `within` raises but what `UNAVAILABLE` lists.
        """
        if self._signer is not None:
            submission = replace(submission, signature=await self._signer.sign(submission))
        pending = _Pending(submission, asyncio.get_running_loop().create_future(), within)
        blob = submission.blob
        line = self._large if isinstance(blob, SealedBlob) and blob.spool is not None else self._small
        line.waiting.append(pending)
        line.ready.set()
        return await pending.done

    async def _commit_for_ever(self, line: _Line) -> None:
        while True:
            await line.ready.wait()
            batch = line.take_batch()
            if batch:
                try:
                    await self._commit(batch)
                except asyncio.CancelledError:
                    _fail(batch, "shutting down")
                    raise

    async def _commit(self, batch: list[_Pending]) -> None:
        try:
            messages = await self._transact(batch)
        except _WithinFailed as failed:
            _fail_within(failed)
            rest = [pending for pending in batch if pending is not failed.pending]
            if rest:
                await self._commit(rest)
        except UNAVAILABLE as error:
            log.warning("intake.unavailable", error=str(error) or type(error).__name__, messages=len(batch))
            _fail(batch, "the database is not available")
        except (asyncpg.PostgresError, ValueError, TypeError, LookupError) as error:
            await self._isolate_failure(batch, error)
        except Exception:
            log.exception("intake.defect", messages=len(batch))  # the senders try again; the next batch goes on
            _fail(batch, "the message could not be stored")
        else:
            self._conclude(batch, messages)

    async def _isolate_failure(self, batch: list[_Pending], error: Exception) -> None:
        """One message that the database will not take must not fail those that share its transaction."""
        if len(batch) > 1:
            for pending in batch:
                await self._commit([pending])
            return
        log.error("intake.refused", error=repr(error), subject=batch[0].submission.scanned.summary.subject[:80])
        _fail(batch, "the message could not be stored")

    async def _transact(self, batch: list[_Pending]) -> list[list[NewMessage]]:
        async with self._database.transaction() as connection:
            generation = await connection.fetchval(_STORE["share_generations"])
            table = self._routes.table
            if generation != table.generation:
                table = await self._routes.refresh(connection)
            submissions = [pending.submission for pending in batch]
            committed = await self._writer.write(connection, submissions, table, self._outlet.room())
            for pending, messages in zip(batch, committed.messages, strict=True):
                if pending.within is not None:
                    await _run_within(connection, pending, pending.within, _receipt(messages))
        return committed.messages

    def _conclude(self, batch: list[_Pending], committed: list[list[NewMessage]]) -> None:
        wake = False
        for pending, messages in zip(batch, committed, strict=True):
            for message in messages:
                if message.leased:
                    self._outlet.take(message.ready())
                else:
                    wake = wake or bool(message.share.deliveries)
                log.debug(
                    "intake.accepted", id=encode_id(message.message_id), organisation=message.share.organisation_id,
                    source=message.submission.source, size=message.submission.scanned.size,
                )  # fmt: skip
            if not pending.done.done():
                pending.done.set_result(_receipt(messages))
        self.accepted += len(batch)
        self.on_commit(len(batch))
        if wake:
            self._outlet.wake()


def _receipt(messages: list[NewMessage]) -> Receipt:
    return Receipt(tuple(message.message_id for message in messages))


async def _run_within(connection: Connection, pending: _Pending, within: Within, receipt: Receipt) -> None:
    """Raises `_WithinFailed`."""
    try:
        await within(connection, receipt)
        # An error of the database that it kept to itself would make a silent ROLLBACK of our COMMIT.
        await connection.execute("SELECT")
    except Exception as error:
        raise _WithinFailed(pending, error) from error


def _fail_within(failed: _WithinFailed) -> None:
    if isinstance(failed.error, UNAVAILABLE):
        log.warning("intake.unavailable", error=str(failed), messages=1)
        _fail([failed.pending], "the database is not available")
    elif not failed.pending.done.done():
        failed.pending.done.set_exception(failed.error)


def _fail(batch: list[_Pending], why: str) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(IntakeUnavailable(why))
