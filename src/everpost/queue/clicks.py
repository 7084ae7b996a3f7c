"""Which links of a message's delivery copies were opened, for its trace."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("clicks")


@dataclass(frozen=True, slots=True)
class TracedClick:
    """A link and how often it was opened. `blocked`: that is what came of it last."""

    url: str
    blocked: bool
    times: int
    first_at: datetime
    last_at: datetime


async def record_click(
    connection: Connection, organisation_id: int, message_id: int, url: str, at: datetime, *, blocked: bool
) -> None:
    """Note one click; nothing where there is no such message (any more)."""
    digest = hashlib.sha256(url.encode("utf-8", "replace")).digest()
    await connection.execute(_SQL["record"], organisation_id, message_id, digest, url, blocked, at)


async def clicks_of(connection: Connection, organisation_id: int, message_id: int) -> tuple[TracedClick, ...]:
    """The first 1,000 links that were opened, in the order of their first click."""
    rows = await connection.fetch(_SQL["of_message"], organisation_id, message_id)
    return tuple(TracedClick(**dict(row)) for row in rows)
