"""Figures of the whole installation, read from the database by the control process that leads."""

from __future__ import annotations

from prometheus_client import Gauge

from everpost.app import metrics
from everpost.continuity.trust import TrustState
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("gauges")


async def measure(database: Database) -> None:
    """Set every gauge anew. Raises what `store.database.UNAVAILABLE` lists."""
    async with database.connection() as connection:
        await _queue(connection)
        await _primaries(connection)
        await _continuity(connection)
        metrics.ALERTS_OPEN.set(await connection.fetchval(_SQL["open_calls"]))
        metrics.AUDIT_UNLINKED.set(await connection.fetchval(_SQL["unlinked"]))


async def _queue(connection: Connection) -> None:
    rows = await connection.fetch(_SQL["queue"])
    keys = [(row["organisation"], row["kind"], row["status"], row["reason"]) for row in rows]
    _set_all(metrics.QUEUE, {key: row["count"] for key, row in zip(keys, rows, strict=True)})
    metrics.QUEUE_OLDEST.set(await connection.fetchval(_SQL["queue_oldest"]))


async def _primaries(connection: Connection) -> None:
    for row in await connection.fetch(_SQL["primaries"]):
        for state in TrustState:
            value = 1 if state.value == row["trust_state"] else 0
            metrics.PRIMARY_STATE.labels(row["organisation"], row["name"], state.value).set(value)
        if row["ok"] is not None:
            metrics.PROBE_OK.labels(row["organisation"], row["name"]).set(int(row["ok"]))
            metrics.PROBE_SECONDS.labels(row["organisation"], row["name"]).set(row["latency_ms"] / 1000)


async def _continuity(connection: Connection) -> None:
    for row in await connection.fetch(_SQL["activations"]):
        metrics.ACTIVATIONS.labels(row["organisation"]).set(row["count"])
    rows = await connection.fetch(_SQL["failbacks"])
    _set_all(metrics.FAILBACKS, {(row["organisation"], row["state"]): row["count"] for row in rows})


_shown: dict[Gauge, set[tuple[str, ...]]] = {}


def _set_all(gauge: Gauge, values: dict[tuple[str, ...], int]) -> None:
    """Set these and no others: several processes' files know no clearing, so what is gone becomes 0."""
    known = _shown.setdefault(gauge, set())
    for labels in known - values.keys():
        gauge.labels(*labels).set(0)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    known |= values.keys()
