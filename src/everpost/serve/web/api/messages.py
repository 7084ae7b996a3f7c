"""The way of any message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from everpost.guard.model import Verdict
from everpost.mail.address import Address, AddressError
from everpost.queue.trace import FoundMessage, Trace, TracedAttempt, find_by_header_id, read_trace
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.scopes import lane_names
from everpost.serve.web.api.values import Input, Nothing, Output, Text, Time, nothing_there, refusal
from everpost.standby.summary import reference_hash
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("api")
SEARCHED = 20_000
"""So many messages a search looks at, the latest first."""
FURTHEST = timedelta(days=31)
section = Section("Messages", "What became of a message: how it came, where it stands, what was tried, what was done.")


class MessageFound(Output, frozen=True):
    """A message that was looked for. `reverse_path` is null for a report."""

    id: str
    direction: str
    received_at: datetime
    reverse_path: str | None
    subject: str


class MessagesFound(Output, frozen=True):
    """The latest first. `complete`: nothing older that would fit was left out for the bounds of the search."""

    messages: list[MessageFound]
    complete: bool


class MessageSearch(Input, frozen=True):
    """`message_id` finds by the Message-ID field; else `recipient`, `sender` or both, between `since` (a day ago, at
    most 31) and `until`.
    """

    message_id: Annotated[Text | None, msgspec.Meta(description="With or without angle brackets.")] = None
    recipient: Annotated[Text | None, msgspec.Meta(description="An address of the envelope.")] = None
    sender: Annotated[Text | None, msgspec.Meta(description="The reverse-path of the envelope.")] = None
    since: Time | None = None
    until: Time | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class MessageShown(Output, frozen=True):
    """The message with its envelope. `digest`: SHA-256 of the original bytes; `header_id`: its Message-ID."""

    id: str
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
    client: str
    digest: str
    verdict: Verdict | None


class EntryShown(Output, frozen=True):
    """A standby mailbox that the message stands in."""

    mailbox: str
    address: str | None
    received_at: datetime
    origin: str
    keywords: list[str]
    folders: list[str]


class DeliveryShown(Output, frozen=True):
    """One obligation. `attempts` counts all of them, `failures` are those that did not end in success."""

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
    failures: list[TracedAttempt]


class EventShown(Output, frozen=True):
    """An event of the audit."""

    id: str
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class MessageTrace(Output, frozen=True):
    """All that is known of a message."""

    message: MessageShown
    entries: list[EntryShown]
    deliveries: list[DeliveryShown]
    events: list[EventShown]


@section.get("/messages")
async def find_messages(call: Call[MessageSearch, Nothing]) -> MessagesFound:
    """Find messages by Message-ID, or by recipient or sender and time."""
    asked = call.query
    if asked.message_id is not None:
        return await _by_header_id(call, asked.message_id)
    if asked.recipient is None and asked.sender is None:
        raise refusal(400, "invalid", "What is looked for?", "Give message_id, recipient or sender.", field="recipient")
    now = datetime.now(UTC)
    until = min(asked.until or now, now) + timedelta(microseconds=1)
    since = max(asked.since or until - timedelta(days=1), until - FURTHEST)
    key = call.organisation.id
    async with call.services.database.connection() as connection:
        rows = await connection.fetch(
            _SQL["messages_since"],
            key, since, until, _key(asked.recipient), _key(asked.sender), SEARCHED, asked.limit + 1,
        )  # fmt: skip
        beyond = await connection.fetchval(_SQL["oldest_searched"], key, since, until, SEARCHED)
    found = [FoundMessage(**dict(row)) for row in rows]
    return MessagesFound(
        messages=[_found(each) for each in found[: asked.limit]],
        complete=beyond is None and len(found) <= asked.limit and (asked.since is None or since <= asked.since),
    )


@section.get("/messages/{message}")
async def get_message(call: Call[Nothing, Nothing]) -> MessageTrace:
    """The trace of a message."""
    async with call.services.database.connection() as connection:
        names = await lane_names(connection, call.organisation.id)
        trace = await read_trace(connection, call.organisation.id, call.ids["message"])
    if trace is None:
        raise nothing_there("message")
    return _shown(trace, names.show)


async def _by_header_id(call: Call[MessageSearch, Nothing], text: str) -> MessagesFound:
    wanted = text.strip().removeprefix("<").removesuffix(">")
    if not wanted:
        raise refusal(400, "invalid", "That is no Message-ID", field="message_id")
    async with call.services.database.connection() as connection:
        found = await find_by_header_id(connection, call.organisation.id, wanted, reference_hash(wanted))
    return MessagesFound(messages=[_found(each) for each in reversed(found)], complete=len(found) < 50)


def _key(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        return str(Address.parse(address.strip())).lower()
    except AddressError:
        return address.strip().lower()


def _found(message: FoundMessage) -> MessageFound:
    return MessageFound(
        id=encode_id(message.id),
        direction=message.direction,
        received_at=message.received_at,
        reverse_path=message.reverse_path,
        subject=message.subject,
    )


def _shown(trace: Trace, lane: Any) -> MessageTrace:
    message = {name: getattr(trace.message, name) for name in MessageShown.__struct_fields__}
    return MessageTrace(
        message=MessageShown(**{**message, "id": encode_id(trace.message.id)}),
        entries=[
            EntryShown(
                mailbox=encode_id(entry.mailbox_id), address=entry.address, received_at=entry.received_at,
                origin=entry.origin, keywords=list(entry.keywords), folders=list(entry.folders),
            )
            for entry in trace.entries
        ],
        deliveries=[
            DeliveryShown(**{
                **{name: getattr(each, name) for name in DeliveryShown.__struct_fields__},
                "lane": lane(each.lane), "failures": list(each.failures),
            })
            for each in trace.deliveries
        ],
        events=[
            EventShown(id=encode_id(event.id), at=event.at, actor=event.actor, action=event.action,
                       subject=event.subject, detail=event.detail)
            for event in trace.events
        ],
    )  # fmt: skip
