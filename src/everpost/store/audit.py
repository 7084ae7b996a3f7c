"""The audit: every event is committed with what it reports, then chained by hash so that none can be changed,
taken out or put in unnoticed. One chain per organisation (0: the installation itself).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("store")
_GENESIS = bytes(32)


@dataclass(frozen=True, slots=True)
class Event:
    """One audited fact: who did what to what. `detail` holds plain JSON values."""

    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChainVerdict:
    """What a walk along one chain found; `broken_at` is the first sequence number that does not fit."""

    links: int
    broken_at: int | None
    head: str


async def record(
    connection: Connection, organisation_id: int, event_id: int, event: Event, at: datetime | None = None
) -> None:
    """Write an event inside the caller's transaction."""
    await connection.execute(
        _SQL["insert_audit"],
        organisation_id, event_id, at or datetime.now(UTC), event.actor, event.action, event.subject, event.detail,
    )  # fmt: skip


def link_hash(previous: bytes, row: Any) -> bytes:
    """SHA-256 over the previous link and the event in one canonical form."""
    fields = [row["id"], row["at"].isoformat(), row["actor"], row["action"], row["subject"], row["detail"]]
    return hashlib.sha256(previous + msgspec.json.encode(fields, order="sorted")).digest()


async def chain(database: Database) -> int:
    """Link committed events that are not linked yet; returns how many. Run by one process at a time."""
    async with database.transaction() as connection:
        events = await connection.fetch(_SQL["unlinked_events"])
        if not events:
            return 0
        organisations = list({row["organisation_id"] for row in events})
        heads = {
            row["organisation_id"]: (row["sequence"], row["hash"])
            for row in await connection.fetch(_SQL["last_links"], organisations)
        }
        links = []
        for event in events:
            organisation = event["organisation_id"]
            sequence, previous = heads.get(organisation, (0, _GENESIS))
            heads[organisation] = (sequence + 1, link_hash(previous, event))
            links.append((organisation, sequence + 1, event["id"], heads[organisation][1]))
        await connection.execute(_SQL["insert_links"], *(list(column) for column in zip(*links, strict=True)))
        await connection.execute(_SQL["delete_unlinked"], [link[0] for link in links], [link[2] for link in links])
        return len(links)


async def verify_chain(database: Database, organisation_id: int) -> ChainVerdict:
    """Walk one chain from the start, in pages."""
    previous, sequence = _GENESIS, 0
    async with database.connection() as connection:
        while page := await connection.fetch(_SQL["chain_page"], organisation_id, sequence, 1000):
            for row in page:
                if row["id"] is None or row["sequence"] != sequence + 1 or row["hash"] != link_hash(previous, row):
                    return ChainVerdict(sequence, sequence + 1, previous.hex())
                previous, sequence = row["hash"], row["sequence"]
    return ChainVerdict(sequence, None, previous.hex())
