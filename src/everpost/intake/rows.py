"""The rows of one intake transaction, written by one statement: a statement costs more than many rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from everpost.standby.model import ChangeKind
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("intake")
_BLOB, _MESSAGE, _DELIVERY, _ENTRY, _AUDIT = 6, 24, 19, 11, 7
UNSEEN = (None, None, None)
"""Judgement, verdict and edits of a message that the guard has not seen."""

Row = tuple[Any, ...]


@dataclass(slots=True)
class Rows:
    """What a batch of messages comes to; the columns are those of `insert_batch` in store/sql/intake.sql.

    Each entry makes a row in `entry`, `placement` and `change`, each audit event one in `audit_event` and
    `audit_unlinked`.
    """

    blob: list[Row] = field(default_factory=list)
    message: list[Row] = field(default_factory=list)
    delivery: list[Row] = field(default_factory=list)
    entry: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)


async def insert(connection: Connection, rows: Rows) -> None:
    """Write them inside the caller's transaction."""
    await connection.execute(
        _SQL["insert_batch"],
        *_columns(rows.blob, _BLOB),
        *_columns(rows.message, _MESSAGE),
        *_columns(rows.delivery, _DELIVERY),
        *_columns(rows.entry, _ENTRY),
        *_columns(rows.audit, _AUDIT),
        datetime.now(UTC),
        ChangeKind.RECEIVED,
    )


def _columns(rows: list[Row], width: int) -> list[list[Any]]:
    assert all(len(row) == width for row in rows), "a row does not fit the statement"
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
