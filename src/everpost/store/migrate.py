"""Migrations: numbered SQL files that only go forward, each in a transaction of its own, on live data."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import asyncpg

_LOCK = 0x45564D47  # one migrating process at a time, whoever else is connected


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `migrations/`, named NNNN_what_it_does.sql."""

    number: int
    name: str
    sql: str


class NewerSchema(Exception):
    """The database was written by a newer Everpost; this one must not touch it."""


def all_migrations() -> list[Migration]:
    """Every migration, in order."""
    folder = resources.files("everpost.store.migrations")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [
        Migration(int(name[:4]), name.removesuffix(".sql"), (folder / name).read_text(encoding="utf-8"))
        for name in files
    ]


async def migrate(connection: asyncpg.Connection) -> list[str]:
    """Apply what is missing and return the names of what was applied. Raises `NewerSchema`."""
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        return await _apply_missing(connection)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _apply_missing(connection: asyncpg.Connection) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migration"
        " (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    done = {row["number"] for row in await connection.fetch("SELECT number FROM migration")}
    known = all_migrations()
    if unknown := done - {migration.number for migration in known}:
        raise NewerSchema(f"the database has migration {max(unknown)}, this version ends at {known[-1].number}")
    applied = []
    for migration in known:
        if migration.number in done:
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO migration (number, name) VALUES ($1, $2)", migration.number, migration.name
            )
        applied.append(migration.name)
    return applied
