"""The trace of one message: how it came, where it stands, what was tried, and what people did about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from everpost.guard.model import Verdict, decode_verdict
from everpost.queue.clicks import TracedClick, clicks_of
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("queue")


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """The message itself, with its envelope. `digest` is the SHA-256 of the original bytes, `client` who handed it
    over, `header_id` its Message-ID, `verdict` what the guard said, where it has seen the message.
    """

    id: int
    blob_id: int
    direction: str
    source: str
    received_at: datetime
    reverse_path: str | None
    body: str
    smtputf8: bool
    ret: str | None
    envid: str | None
    size: int
    header_id: str | None
    subject: str
    thread_id: int
    client: str
    digest: str
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class TracedAttempt:
    """An attempt that did not end in success."""

    attempt: int
    at: datetime
    remote: str
    outcome: str
    reply: str


@dataclass(frozen=True, slots=True)
class TracedDelivery:
    """One obligation. `attempts` counts all of them, `failures` are those kept."""

    number: int
    recipient: str
    accepted_as: str
    kind: str
    lane: str
    status: str
    hold_reason: str | None
    attempts: int
    next_attempt_at: datetime
    expires_at: datetime | None
    in_hand: bool
    in_doubt: bool
    last_remote: str | None
    last_reply: str | None
    done_at: datetime | None
    failures: tuple[TracedAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class TracedEntry:
    """A standby mailbox that the message stands in."""

    mailbox_id: int
    address: str | None
    received_at: datetime
    origin: str
    keywords: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TracedEvent:
    """An event of the audit that names the message."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """All of it."""

    message: TracedMessage
    entries: tuple[TracedEntry, ...]
    deliveries: tuple[TracedDelivery, ...]
    events: tuple[TracedEvent, ...]
    clicks: tuple[TracedClick, ...]


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message with a Message-ID that was looked for."""

    id: int
    direction: str
    received_at: datetime
    reverse_path: str | None
    subject: str


async def read_message(connection: Connection, organisation_id: int, message_id: int) -> TracedMessage | None:
    """The message's own part of its trace; None where the organisation has none of this id."""
    row = await connection.fetchrow(_SQL["message_trace"], organisation_id, message_id)
    if row is None:
        return None
    values = dict(row)
    values["header_id"] = values.pop("message_id")
    values["verdict"] = decode_verdict(row["verdict"]) if row["verdict"] else None
    return TracedMessage(**values)


async def read_trace(connection: Connection, organisation_id: int, message_id: int) -> Trace | None:
    """The trace of a message; None where the organisation has none of this id."""
    message = await read_message(connection, organisation_id, message_id)
    if message is None:
        return None
    key = (organisation_id, message_id)
    failures: dict[int, list[TracedAttempt]] = {}
    for row in await connection.fetch(_SQL["attempts_of_message"], *key):
        values = dict(row)
        failures.setdefault(values.pop("number"), []).append(TracedAttempt(**values))
    deliveries = tuple(
        TracedDelivery(**dict(row), failures=tuple(failures.get(row["number"], ())))
        for row in await connection.fetch(_SQL["deliveries_of_message"], *key)
    )
    entries = tuple(
        TracedEntry(
            row["mailbox_id"], row["address"], row["received_at"], row["origin"], tuple(row["keywords"]),
            tuple(row["folders"]),
        )
        for row in await connection.fetch(_SQL["entries_of_message"], *key)
    )  # fmt: skip
    events = tuple(
        TracedEvent(**dict(row))
        for row in await connection.fetch(_SQL["events_of_message"], *key, encode_id(message_id))
    )
    clicks = await clicks_of(connection, organisation_id, message_id)
    return Trace(message, entries, deliveries, events, clicks)


async def find_by_header_id(
    connection: Connection, organisation_id: int, header_id: str, reference: int
) -> list[FoundMessage]:
    """Messages with this Message-ID (without brackets), the oldest first, at most 50. `reference` is its hash in the
    index of conversations. One that began no conversation and stands in no mailbox is not found.
    """
    rows = await connection.fetch(_SQL["messages_by_header_id"], organisation_id, reference, header_id)
    return [FoundMessage(**dict(row)) for row in rows]
