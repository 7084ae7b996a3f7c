"""Counts in the database: all that is waiting is counted in one transaction, so that many messages at once cost few.

An hour is the current hour of the clock and the share of the one before that still lies within 60 minutes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import asyncpg
import structlog

from everpost.guard.sending.model import Amount, Counted, Sent, Totals
from everpost.store.database import UNAVAILABLE, Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("sending")
MAX_BATCH: Final = 500  # messages
MAX_PAIRS: Final = 5000  # recipients of a batch, unless one message alone has more
NOTED_AGAIN: Final = timedelta(days=30)

Pair = tuple[int, str, bytes]
"""Organisation, sender, recipient."""
Key = tuple[int, str, datetime]
"""Organisation, sender, hour."""


@dataclass(slots=True)
class _Waiting:
    """A message to be counted; or, without `done`, to be taken back."""

    sent: Sent
    done: asyncio.Future[Counted] | None = None
    less: Mapping[Key, Amount] = field(default_factory=dict)


class SharedCounts:
    """One per process; see `guard.sending.model.Counts`. It works while there is something to do: nobody starts it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._to_learn: set[Pair] = set()
        self._task: asyncio.Task[None] | None = None

    async def count(self, sent: Sent) -> Counted:
        """Raises what `store.database.UNAVAILABLE` lists."""
        waiting = _Waiting(sent, asyncio.get_running_loop().create_future())
        assert waiting.done is not None
        self._waiting.append(waiting)
        self._wake()
        return await waiting.done

    def take_back(self, sent: Sent, counted: Counted) -> None:
        less = {key: -amount for key, amount in _amounts(sent, len(counted.strangers)).items()}
        self._waiting.append(_Waiting(sent, less=less))
        self._wake()

    def learn(self, sent: Sent, counted: Counted) -> None:
        if sent.person is not None and (counted.strangers or counted.fading):
            new = (*counted.strangers, *counted.fading)
            self._to_learn.update((sent.organisation_id, sent.person, each) for each in new)
            self._wake()

    def _wake(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while self._waiting or self._to_learn:
            batch = self._take_batch()
            learned, self._to_learn = self._to_learn, set()
            try:
                found = await self._transact(batch, learned)
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("sending.not_counted", messages=len(batch), error=str(error) or type(error).__name__)
                _fail(batch, error)
            except BaseException as error:
                _fail(batch, error)
                raise
            else:
                for each, counted in zip(batch, found, strict=True):
                    if each.done is not None and not each.done.done():
                        each.done.set_result(counted)

    def _take_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        pairs = 0
        while self._waiting and len(batch) < MAX_BATCH:
            pairs += len(self._waiting[0].sent.recipients)
            if batch and pairs > MAX_PAIRS:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _transact(self, batch: Sequence[_Waiting], learned: set[Pair]) -> list[Counted]:
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["relaxed"])
            known = await _known(connection, batch)
            counted = await _count(connection, batch, known)
            if learned:
                pairs = sorted(learned)
                today = datetime.now(UTC).date()
                await connection.execute(_SQL["learn"], *(list(column) for column in zip(*pairs, strict=True)), today)
        return counted


async def forget_old(database: Database) -> None:
    """Counts of days that are over, and correspondents of long ago. Raises what `store.database.UNAVAILABLE` lists."""
    async with database.connection() as connection:
        for name in ("forget_counts", "forget_correspondents", "forget_told"):
            await connection.execute(_SQL[name])


async def _known(connection: Connection, batch: Iterable[_Waiting]) -> dict[Pair, date]:
    pairs = {
        (each.sent.organisation_id, each.sent.person, recipient)
        for each in batch
        if each.done is not None and each.sent.person is not None
        for recipient in each.sent.recipients
    }
    if not pairs:
        return {}
    columns = [list(column) for column in zip(*pairs, strict=True)]
    rows = await connection.fetch(_SQL["known"], *columns)
    return {(row["organisation_id"], row["sender"], row["recipient"]): row["seen"] for row in rows}


async def _count(connection: Connection, batch: Sequence[_Waiting], known: Mapping[Pair, date]) -> list[Counted]:
    """Each message of the batch with the totals up to itself."""
    found = [_strangers(each.sent, known) for each in batch]
    shares = [
        each.less or _amounts(each.sent, len(new)) for each, (new, _) in zip(batch, found, strict=True)
    ]  # fmt: skip
    sums: dict[Key, Amount] = defaultdict(Amount)
    for share in shares:
        for key, amount in share.items():
            sums[key] += amount
    if not sums:
        return [Counted() for _ in batch]
    columns = [[*key, amount.messages, amount.recipients, amount.strangers] for key, amount in sums.items()]
    rows = await connection.fetch(_SQL["count"], *(list(column) for column in zip(*columns, strict=True)))
    by_key = {(row["organisation_id"], row["sender"], row["hour"]): row for row in rows}
    reached = {key: _amount(row) + -sums[key] for key, row in by_key.items()}
    answers = []
    for each, share, (new, fading) in zip(batch, shares, found, strict=True):
        totals = {}
        for key, amount in share.items():
            reached[key] += amount
            totals[key[1]] = _totals(reached[key], by_key[key], each.sent.at)
        sent = each.sent
        answers.append(
            Counted(totals.get(sent.person or ""), totals.get(sent.primary or ""), new, fading)
        )  # fmt: skip
    return answers


def _strangers(sent: Sent, known: Mapping[Pair, date]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    if sent.person is None:
        return (), ()
    before = sent.at.date() - NOTED_AGAIN
    new, fading = [], []
    for recipient in sent.recipients:
        seen = known.get((sent.organisation_id, sent.person, recipient))
        if seen is None:
            new.append(recipient)
        elif seen < before:
            fading.append(recipient)
    return tuple(new), tuple(fading)


def _amounts(sent: Sent, strangers: int) -> dict[Key, Amount]:
    hour = sent.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    one = Amount(1, len(sent.recipients), strangers)
    return {(sent.organisation_id, name, hour): one for name in (sent.person, sent.primary) if name is not None}


def _amount(row: Any, prefix: str = "") -> Amount:
    return Amount(row[f"{prefix}messages"], row[f"{prefix}recipients"], row[f"{prefix}strangers"])


def _totals(reached: Amount, row: Any, at: datetime) -> Totals:
    left = 1 - (at.astimezone(UTC) - row["hour"]) / timedelta(hours=1)
    last = _amount(row, "last_")
    still = Amount(int(last.messages * left), int(last.recipients * left), int(last.strangers * left))
    return Totals(reached + still, reached + _amount(row, "before_"))


def _fail(batch: Iterable[_Waiting], error: BaseException) -> None:
    for each in batch:
        if each.done is not None and not each.done.done():
            each.done.set_exception(error if isinstance(error, Exception) else ConnectionError("shutting down"))
