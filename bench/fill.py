"""Many stored messages at once, for measuring what they cost those that come later. Nothing here is timed.

Rows are copies of what the installation itself has accepted before, with new identifiers, spread over the mailboxes and
back in time. Content is cut to 1 KiB each, so that a million fits on a disk; it is never read again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum

from bench.installation import Everpost, Sql

_BATCH = 50_000
_TEMPLATES = 500
_TABLES = ("blob", "message", "delivery", "entry", "placement", "change")

_PREPARE = f"""
CREATE TEMP TABLE template AS
SELECT row_number() OVER (ORDER BY m.id) - 1 AS k, m.organisation_id AS org, m.id, m.blob_id, e.mailbox_id
FROM message m JOIN LATERAL (
    SELECT mailbox_id FROM entry e WHERE e.organisation_id = m.organisation_id AND e.message_id = m.id LIMIT 1
) e ON true
ORDER BY m.id LIMIT {_TEMPLATES};
CREATE TEMP TABLE box AS
SELECT row_number() OVER (ORDER BY id) - 1 AS k, id, modseq FROM mailbox ORDER BY id LIMIT %(boxes)s;
ANALYZE template;
ANALYZE box;
"""

# n counts the copies; t is the message copied, b the mailbox it goes to.
_SOURCE = """FROM generate_series($1::bigint, $2::bigint) n
JOIN template t ON t.k = n % (SELECT count(*) FROM template)
JOIN box b ON b.k = n % (SELECT count(*) FROM box)"""
_AT = "now() - n * interval '1 second' - interval '1 hour'"
_MODSEQ = "b.modseq + n / (SELECT count(*) FROM box) + 1"

_SAME: Mapping[str, str] = {
    "blob": "x.organisation_id = t.org AND x.id = t.blob_id",
    "message": "x.organisation_id = t.org AND x.id = t.id",
    "delivery": "x.organisation_id = t.org AND x.message_id = t.id AND x.number = 0",
    "entry": "x.organisation_id = t.org AND x.message_id = t.id AND x.mailbox_id = t.mailbox_id",
    "placement": "x.organisation_id = t.org AND x.message_id = t.id AND x.mailbox_id = t.mailbox_id",
    "change": "x.organisation_id = t.org AND x.message_id = t.id AND x.mailbox_id = t.mailbox_id"
    " AND x.kind = 'received'",
}
_NEW: Mapping[str, Mapping[str, str]] = {
    "blob": {"id": "$3 + 2 * n", "data": "substring(x.data for 1024)", "chunks": "1", "created_at": _AT},
    "message": {
        "id": "$3 + 2 * n + 1", "blob_id": "$3 + 2 * n", "received_at": _AT, "thread_id": "$3 + 2 * n + 1",
        "message_id": "n || '.' || $3 || '.' || coalesce(x.message_id, '')",
    },
    "delivery": {"message_id": "$3 + 2 * n + 1", "mailbox_id": "b.id", "done_at": _AT, "next_attempt_at": _AT},
    "entry": {
        "message_id": "$3 + 2 * n + 1", "mailbox_id": "b.id", "received_at": _AT, "thread_id": "$3 + 2 * n + 1",
        "modseq": _MODSEQ,
    },
    "placement": {"message_id": "$3 + 2 * n + 1", "mailbox_id": "b.id", "received_at": _AT},
    "change": {"message_id": "$3 + 2 * n + 1", "mailbox_id": "b.id", "modseq": _MODSEQ, "at": _AT},
}  # fmt: skip
_REFS = """INSERT INTO message_ref (organisation_id, ref, thread_id)
SELECT m.organisation_id, hashtextextended(m.message_id, 0), m.thread_id FROM message m
WHERE m.organisation_id = (SELECT org FROM template LIMIT 1) AND m.id BETWEEN $1 AND $2 ON CONFLICT DO NOTHING"""


class Queued(Enum):
    """What has become of the copies' deliveries."""

    DELIVERED = "delivered"
    HELD = "held"
    LATER = "queued for another destination, not due"


_STATES: Mapping[Queued, Mapping[str, str]] = {
    Queued.DELIVERED: {},
    Queued.HELD: {"status": "'held'", "hold_reason": "'operator'", "done_at": "NULL"},
    Queued.LATER: {
        "status": "'queued'", "kind": "'internet'", "lane": "'domain:elsewhere.example'", "done_at": "NULL",
        "primary_id": "NULL", "next_attempt_at": "now() + interval '1 day'", "expires_at": "now() + interval '5 days'",
    },
}  # fmt: skip


def fill(
    everpost: Everpost,
    count: int,
    queued: Queued = Queued.DELIVERED,
    progress: Callable[[int], None] = lambda done: None,
    boxes: int | None = None,
) -> None:
    """Add `count` stored messages; there must be some that have been accepted already. Ends with fresh statistics.

    They go to the first `boxes` mailboxes, or to all.
    """
    sql = everpost.sql
    if count <= 0:
        return
    sql.run(_PREPARE % {"boxes": "ALL" if boxes is None else boxes})
    try:
        base = _reserve(sql, 2 * count + 2)
        sql.run("SET synchronous_commit = off")
        for first in range(0, count, _BATCH):
            last = min(first + _BATCH, count) - 1
            for table in _TABLES:
                sql.run(_insert(sql, table, _STATES[queued]), first, last, base)
            sql.run(_REFS, base + 2 * first, base + 2 * last + 1)
            progress(last + 1)
        sql.run("UPDATE mailbox m SET modseq = b.modseq + $1 FROM box b WHERE b.id = m.id", _rounds(sql, count))
    finally:
        sql.run("DROP TABLE IF EXISTS template, box")
        sql.run("RESET synchronous_commit")
    sql.run("VACUUM ANALYZE")
    sql.run("CHECKPOINT")


def _reserve(sql: Sql, count: int) -> int:
    """Identifiers that no worker will hand out: its blocks come from the same sequence."""
    blocks = math.ceil(count / 1024) + 1
    first = int(sql.value("SELECT nextval('id_block')"))
    sql.value("SELECT setval('id_block', nextval('id_block') + $1)", blocks)
    return (first + 1) * 1024


def _rounds(sql: Sql, count: int) -> int:
    boxes = int(sql.value("SELECT count(*) FROM box"))
    return (count - 1) // boxes + 1


def _insert(sql: Sql, table: str, state: Mapping[str, str]) -> str:
    columns = [
        row[0]
        for row in sql.rows(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attgenerated = ''", table
        )
    ]  # fmt: skip
    new = {**_NEW[table], **(state if table == "delivery" else {})}
    values = [new.get(column, f"x.{column}") for column in columns]
    names, source = ", ".join(columns), f"{_SOURCE} JOIN {table} x ON {_SAME[table]}"
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} {source}"
