"""Lessons and models in the database: teaching, making a model of the lessons, and the models a worker has at hand."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import zstandard

from everpost.guard.learn.features import VERSION, feature_number
from everpost.guard.learn.model import MAX_KNOWN, MOST_OF_ONE, WHOLE, Amount, Class, Table, make_table
from everpost.guard.learn.speak import Model
from everpost.store.database import Connection, Database
from everpost.store.sql import load

CHANNEL: Final = "everpost_classifier"
PRIOR: Final = 0
"""The organisation number under which the prior stands that all organisations of an installation share."""
MAX_TAUGHT: Final = 10_000  # lessons of each class that come from files, of one organisation; the newest are kept
MAX_OF_PERSON: Final = 250  # lessons of each class
_QUORUM: Final = 2  # people that have to have taught a feature
_KEPT: Final = 200  # organisations whose models a worker has at hand
_SQL: Final = load("classifier")


def signed(features: Iterable[str]) -> list[int]:
    """The numbers of features as PostgreSQL keeps them: 32 bits with a sign, in order."""
    return sorted(number - (1 << 32) if number >> 31 else number for number in map(feature_number, features))


async def teach(
    connection: Connection, organisation_id: int, key: int, verdict: Class, features: Sequence[str]
) -> bool:
    """A lesson from a file, inside the caller's transaction; `key` names the message. False: it was known."""
    row = await connection.fetchval(
        _SQL["teach"], organisation_id, key, verdict, datetime.now(UTC), VERSION, signed(features)
    )
    return row is not None


async def forget(
    connection: Connection, organisation_id: int, *, mailbox_id: int | None = None, keys: list[int] | None = None
) -> int:
    """Take lessons away: all of an organisation, of one teacher, of certain messages. Returns how many."""
    done = await connection.execute(_SQL["forget"], organisation_id, mailbox_id, keys)
    await connection.execute(_SQL["spoil"], organisation_id)
    return int(done.rpartition(" ")[2])


async def make_stale_models(database: Database, pause: timedelta) -> int:
    """Make those models anew whose lessons have changed and that are older than `pause`. Returns how many."""
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL["stale"], datetime.now(UTC) - pause)
    for row in rows:
        await make_model(database, row["organisation_id"])
    return len(rows)


async def make_model(database: Database, organisation_id: int) -> Amount:
    """Make a model of all lessons, as one transaction, and tell the workers. Returns what it rests on."""
    async with database.transaction() as connection:
        await connection.execute(_SQL["spoil"], organisation_id)
        await connection.fetchval(_SQL["lock_model"], organisation_id)
        await connection.execute(_SQL["trim_lessons"], organisation_id, 0, MAX_TAUGHT)
        quorum = 1 if await connection.fetchval(_SQL["people"], organisation_id) == 1 else _QUORUM
        row = await connection.fetchrow(_SQL["amounts"], organisation_id, VERSION, MOST_OF_ONE)
        total = Amount(row["spam"], row["ham"])
        found = await connection.fetch(_SQL["features"], organisation_id, VERSION, MOST_OF_ONE, quorum, MAX_KNOWN)
        prior = await _load(connection, PRIOR) if organisation_id != PRIOR else None
        weights = await asyncio.to_thread(_pack, found, total, prior.table if prior else None)
        await connection.execute(
            _SQL["save_model"], organisation_id, datetime.now(UTC), VERSION, total.spam, total.ham, weights
        )
        if organisation_id == PRIOR:
            await connection.execute(_SQL["spoil_others"])
        await connection.execute(_SQL["notify"], str(organisation_id))
    return total


def _pack(rows: Sequence[Any], total: Amount, prior: Table | None) -> bytes:
    counts = {row["feature"] & 0xFFFFFFFF: Amount(row["spam"], row["ham"]) for row in rows}
    return zstandard.ZstdCompressor().compress(make_table(counts, total, prior).to_bytes())


async def _load(connection: Connection, organisation_id: int) -> Model | None:
    row = await connection.fetchrow(_SQL["model"], organisation_id)
    if row is None or row["version"] != VERSION:
        return None
    data = zstandard.ZstdDecompressor().decompress(row["weights"], max_output_size=8 * MAX_KNOWN)
    return Model(Table.from_bytes(data), row["spam"] / WHOLE, row["ham"] / WHOLE)


@dataclass(frozen=True, slots=True)
class State:
    """What is known, for people: lessons of each class, people who gave some, what they weigh together in messages."""

    spam: int
    ham: int
    people: int
    waiting: int
    spam_weight: float
    ham_weight: float
    octets: int
    made_at: datetime | None
    stale: bool


async def state_of(database: Database, organisation_id: int) -> State:
    """Of an organisation, or of the prior."""
    async with database.connection() as connection:
        row = await connection.fetchrow(_SQL["state"], organisation_id)
    return State(
        row["spam_lessons"], row["ham_lessons"], row["people"], row["waiting"], (row["spam"] or 0) / WHOLE,
        (row["ham"] or 0) / WHOLE, row["octets"] or 0, row["made_at"], bool(row["stale"]),
    )  # fmt: skip


class Models:
    """The models of a worker: loaded when a message asks for them, replaced when a newer one was made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._generations: dict[int, int] = {}
        self._models: OrderedDict[int, tuple[int, Model | None]] = OrderedDict()
        self._loading = asyncio.Lock()

    async def refresh(self) -> None:
        """See which models were made anew. Raises what `store.database.UNAVAILABLE` lists."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["generations"])
        self._generations = {row["organisation_id"]: row["generation"] for row in rows}

    async def of(self, organisation_ids: frozenset[int]) -> tuple[Model | None, Model | None]:
        """(prior, own) for mail of these organisations; of several, none has a say in what the others get.

        Raises what `store.database.UNAVAILABLE` lists, where a model is needed that is not at hand.
        """
        own = await self._get(next(iter(organisation_ids))) if len(organisation_ids) == 1 else None
        return await self._get(PRIOR), own

    async def _get(self, organisation_id: int) -> Model | None:
        generation = self._generations.get(organisation_id)
        if generation is None:
            return None
        held = self._models.get(organisation_id)
        if held is None or held[0] != generation:
            async with self._loading:
                held = await self._fetch(organisation_id, generation)
        self._models.move_to_end(organisation_id)
        return held[1]

    async def _fetch(self, organisation_id: int, generation: int) -> tuple[int, Model | None]:
        held = self._models.get(organisation_id)
        if held is not None and held[0] == generation:
            return held  # somebody was faster
        async with self._database.connection() as connection:
            held = self._models[organisation_id] = (generation, await _load(connection, organisation_id))
        self._models.move_to_end(organisation_id)
        while len(self._models) > _KEPT:
            self._models.popitem(last=False)
        return held
