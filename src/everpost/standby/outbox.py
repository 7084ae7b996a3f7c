"""What people sent, and what they told to be sent later (JMAP EmailSubmission)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from everpost.standby.values import Account
from everpost.standby.work import Work
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("standby")
PENDING, FINAL, CANCELED = "pending", "final", "canceled"  # RFC 8621 §7
MAX_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class NewSubmission:
    """`message_id` is that of the queue; None where it waits until `send_at`."""

    id: int
    entry_id: int
    thread_id: int
    message_id: int | None
    identity: str
    envelope: dict[str, Any] | None
    send_at: datetime


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a person sent or wants to be sent, with each recipient's (accepted address, status, last reply)."""

    id: int
    entry_id: int
    thread_id: int
    message_id: int | None
    identity: str
    envelope: dict[str, Any] | None
    send_at: datetime
    undo_status: str
    failure: str | None
    reverse_path: str | None
    recipients: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A submission whose time has come."""

    account: Account
    id: int
    entry_id: int
    identity: str
    envelope: dict[str, Any] | None
    actor: str


async def insert(work: Work, new: NewSubmission) -> None:
    """Keep what a person sends: at once, or later."""
    status = PENDING if new.message_id is None else FINAL
    await work.connection.execute(
        _SQL["insert_submission"], work.account.organisation_id, work.account.mailbox_id, new.id, new.entry_id,
        new.thread_id, new.message_id, new.identity, new.envelope, new.send_at, status, work.actor,
    )  # fmt: skip
    work.note("EmailSubmission", encode_id(new.id), "created")


async def cancel(work: Work, submission_id: int) -> bool:
    """Whether it was still waiting (RFC 8621 §7.5)."""
    key = (work.account.organisation_id, work.account.mailbox_id, submission_id)
    if await work.connection.fetchval(_SQL["cancel_submission"], *key) is None:
        return False
    work.note("EmailSubmission", encode_id(submission_id), "updated")
    return True


async def forget(work: Work, submission_id: int) -> bool:
    """Take one that does not wait off the record; what was sent stays sent."""
    key = (work.account.organisation_id, work.account.mailbox_id, submission_id)
    if await work.connection.fetchval(_SQL["delete_submission"], *key) is None:
        return False
    work.note("EmailSubmission", encode_id(submission_id), "destroyed")
    return True


async def finish(work: Work, submission_id: int, message_id: int | None, failure: str | None = None) -> bool:
    """Whether it was still waiting: then it is final now, sent as a message or failed."""
    key = (work.account.organisation_id, work.account.mailbox_id, submission_id)
    if await work.connection.fetchval(_SQL["finish_submission"], *key, message_id, failure) is None:
        return False
    work.note("EmailSubmission", encode_id(submission_id), "updated")
    return True


async def postpone(work: Work, submission_id: int, until: datetime) -> bool:
    """Whether it was still waiting: then it waits until then."""
    key = (work.account.organisation_id, work.account.mailbox_id, submission_id)
    if await work.connection.fetchval(_SQL["postpone_submission"], *key, until) is None:
        return False
    work.note("EmailSubmission", encode_id(submission_id), "updated")
    return True


async def due(connection: Connection, now: datetime, limit: int) -> list[Due]:
    """Of all mailboxes, the longest due first."""
    rows = await connection.fetch(_SQL["due_submissions"], now, limit)
    return [
        Due(Account(row["organisation_id"], row["mailbox_id"]), row["id"], row["email_id"], row["identity"],
            row["envelope"], row["actor"])
        for row in rows
    ]  # fmt: skip


async def listed(database: Database, account: Account, ids: Sequence[int] | None, limit: int) -> list[Submitted]:
    """Those named, or the newest; without the fate of their recipients."""
    key = (account.organisation_id, account.mailbox_id)
    async with database.connection() as connection:
        if ids is None:
            ids = [row["id"] for row in await connection.fetch(_SQL["newest_submissions"], *key, limit)]
        rows = await connection.fetch(_SQL["submissions"], *key, list(ids))
    return [Submitted(*row.values()) for row in rows]


async def fates(database: Database, account: Account, items: Sequence[Submitted]) -> dict[int, Any]:
    """The recipients of each by its id, as (accepted address, status, last reply)."""
    messages = {item.message_id: item.id for item in items if item.message_id is not None}
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL["submission_deliveries"], account.organisation_id, list(messages))
    found: dict[int, list[tuple[str, str, str]]] = {}
    for row in rows:
        found.setdefault(messages[row["message_id"]], []).append(
            (row["accepted_as"], row["status"], row["last_reply"])
        )  # fmt: skip
    return found
