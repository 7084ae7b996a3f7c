"""An organisation whose primary has settings, and short ways to look at the database."""

from __future__ import annotations

from typing import Any

import msgspec

from everpost.crypto.keys import SealingKey
from everpost.directory.primary import (
    ImapConnector,
    PrimarySecrets,
    PrimarySettings,
    ProbeSettings,
    SmtpConnector,
    seal_secrets,
)
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.store.sql import load
from world import Organisation, make_organisation

_SQL = load("directory")
NO_SECRETS = PrimarySecrets()


async def organisation_with_primary(
    database: Database,
    master: SealingKey,
    keys: KeyRing,
    settings: PrimarySettings,
    secrets: PrimarySecrets = NO_SECRETS,
    name: str = "example",
    people: tuple[str, ...] = ("anna", "ben"),
) -> Organisation:
    made = await make_organisation(database, master, name, people)
    await set_primary(database, keys, made, settings, secrets)
    return made


async def set_primary(
    database: Database,
    keys: KeyRing,
    organisation: Organisation,
    settings: PrimarySettings,
    secrets: PrimarySecrets = NO_SECRETS,
) -> None:
    key = await keys.organisation(organisation.id)
    sealed = seal_secrets(key, organisation.id, organisation.primary_id, secrets)
    async with database.connection() as connection:
        await connection.execute(
            _SQL["update_primary"], organisation.id, organisation.primary_id,
            msgspec.to_builtins(settings), sealed, ["127.0.0.0/8"], None, None,
        )  # fmt: skip


def settings(
    smtp_port: int = 9, imap_port: int | None = None, *, activate: bool = True, failback: bool = False, **probe: Any
) -> PrimarySettings:
    return PrimarySettings(
        SmtpConnector("127.0.0.1", smtp_port, "none"),
        ImapConnector("127.0.0.1", imap_port, "none") if imap_port else None,
        ProbeSettings(**probe),
        automatic_activation=activate,
        automatic_failback=failback,
    )


async def fetch(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, *values)]


async def fetchval(database: Database, query: str, *values: Any) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(query, *values)


async def execute(database: Database, query: str, *values: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(query, *values)


async def add_delivery(
    database: Database,
    organisation: Organisation,
    person: str,
    message_id: int,
    *,
    status: str = "queued",
    hold: str | None = None,
    kind: str = "primary",
    source: str = "mx",
    reverse_path: str | None = "x@example.com",
) -> None:
    """A message with one delivery, as intake would have written it, without content."""
    primary = organisation.primary_id if kind == "primary" else None
    lane = f"primary:{primary}" if primary else "domain:example.com"
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO message VALUES ($1, $2, 0, 'inbound', $3, now(), $4, '7BIT', false, NULL, NULL, 10, '', '', "
            "$5, 'subject', $2, '', '', '', '')",
            organisation.id, message_id, source, reverse_path, f"{message_id}@example.com",
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO delivery (organisation_id, message_id, number, recipient, accepted_as, mailbox_id, kind, "
            "primary_id, lane, status, hold_reason, next_attempt_at) "
            "VALUES ($1, $2, 0, $3, $3, $4, $5, $6, $7, $8, $9, now())",
            organisation.id, message_id, f"{person}@{organisation.domain}", organisation.mailboxes[person], kind,
            primary, lane, status, hold,
        )  # fmt: skip


async def deliveries(database: Database) -> list[tuple[int, str, str | None]]:
    return await fetch(database, "SELECT message_id, status, hold_reason FROM delivery ORDER BY message_id")  # type: ignore[return-value]
