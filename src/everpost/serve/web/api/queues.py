"""The queue: what waits, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import msgspec

from everpost.continuity.homes import make_operator
from everpost.queue.lanes import LaneNames
from everpost.queue.model import HoldReason, Kind, Status
from everpost.queue.operator import ALL_LANES, LaneCount, QueueOperator, Result, Suspension
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.scopes import lane_names
from everpost.serve.web.api.values import Input, Nothing, OptionalReason, Output, Reason, Text, Time, refusal
from everpost.store.ids import encode_id

section = Section(
    "Queue",
    "What waits for a server. A lane is what goes to the same place: `primary:NAME`, or the domain that mail goes to.",
)


class QueueQuery(Input, frozen=True):
    """Which deliveries."""

    queued: Annotated[bool, msgspec.Meta(description="Those that wait for their next attempt.")] = True
    held: Annotated[bool, msgspec.Meta(description="Those that wait for somebody or something.")] = True
    lane: Text | None = None
    search: Annotated[Text | None, msgspec.Meta(description="Part of the recipient's or sender's address.")] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class QueuedDelivery(Output, frozen=True):
    """One line of the queue."""

    message: str
    number: int
    recipient: str
    kind: Kind
    lane: str
    status: Status
    hold_reason: HoldReason | None
    attempts: int
    next_attempt_at: datetime
    expires_at: datetime | None
    last_reply: str | None
    last_remote: str | None
    reverse_path: str | None
    subject: str
    received_at: datetime
    size: int


class QueueList(Output, frozen=True):
    """Open deliveries, those due next first. `more`: there are more than were asked for."""

    deliveries: list[QueuedDelivery]
    more: bool


class QueueCounts(Output, frozen=True):
    """What is open, by lane and reason."""

    counts: list[LaneCount]


class Binding(Output, frozen=True):
    """A lane that is sent to another server than its own."""

    lane: str
    host: str
    port: int
    actor: str
    since: datetime


class Stops(Output, frozen=True):
    """Lanes that nothing is sent to, and those that are sent elsewhere."""

    suspensions: list[Suspension]
    bindings: list[Binding]


class OneMessage(Input, frozen=True):
    """All deliveries of the message, or that to one `recipient`."""

    recipient: Text | None = None
    reason: OptionalReason = ""


class DeliveryDone(Output, frozen=True):
    """A delivery that was changed: its status now, and a remark where that needs one."""

    number: int
    recipient: str
    status: Status
    remark: str


class DeliveryLeft(Output, frozen=True):
    """A delivery that was left as it was, and why."""

    number: int
    recipient: str
    why: str


class Changed(Output, frozen=True):
    """What was done."""

    done: list[DeliveryDone]
    left: list[DeliveryLeft]


class LaneChoice(Input, frozen=True):
    """A lane; null for all lanes of the organisation."""

    lane: Text | None


class OneLane(Input, frozen=True):
    """A lane."""

    lane: Text


class Retried(Output, frozen=True):
    """So many are due now."""

    deliveries: int


class SuspendLane(LaneChoice, frozen=True):
    """A lane (null for all), why, and until when."""

    reason: Reason
    until: Annotated[Time | None, msgspec.Meta(description="It ends by itself then.")] = None


class RebindLane(OneLane, frozen=True):
    """A lane, and where it leads instead."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern="^[0-9A-Za-z.:\\[\\]_-]+$")]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 25


@section.get("/queue")
async def list_queue(call: Call[QueueQuery, Nothing]) -> QueueList:
    """Open deliveries."""
    asked, names = call.query, await _names(call)
    rows = await _operator(call).list(
        call.organisation.id, queued=asked.queued, held=asked.held,
        lane=names.parse(asked.lane) if asked.lane else None, search=asked.search or None, limit=asked.limit + 1,
    )  # fmt: skip
    fields = [name for name in QueuedDelivery.__struct_fields__ if name not in ("message", "lane")]
    return QueueList(
        deliveries=[
            QueuedDelivery(
                message=encode_id(row.message_id), lane=names.show(row.lane),
                **{name: getattr(row, name) for name in fields},
            )
            for row in rows[: asked.limit]
        ],
        more=len(rows) > asked.limit,
    )  # fmt: skip


@section.get("/queue/counts")
async def count_queue(call: Call[Nothing, Nothing]) -> QueueCounts:
    """What is open, by lane, with the age of the oldest."""
    names = await _names(call)
    return QueueCounts(counts=show_counts(names, await _operator(call).counts(call.organisation.id)))


@section.get("/queue/suspensions")
async def list_suspensions(call: Call[Nothing, Nothing]) -> Stops:
    """The lanes that are suspended, and those that are sent elsewhere."""
    return await _stops(call)


async def _stops(call: Call[Any, Any]) -> Stops:
    names, operator = await _names(call), _operator(call)
    return Stops(
        suspensions=show_suspensions(names, await operator.suspensions(call.organisation.id)),
        bindings=[
            Binding(lane=names.show(row.lane), host=row.host, port=row.port, actor=row.actor, since=row.since)
            for row in await operator.bindings(call.organisation.id)
        ],
    )


@section.post("/queue/messages/{message}/hold")
async def hold_message(call: Call[Nothing, OneMessage]) -> Changed:
    """Keep what is queued of a message until it is released."""
    return _changed(
        await _operator(call).hold(
            call.organisation.id, call.ids["message"], call.body.recipient, reason=call.body.reason
        )
    )


@section.post("/queue/messages/{message}/release")
async def release_message(call: Call[Nothing, OneMessage]) -> Changed:
    """Let a message go on after a hold. Nothing goes to a primary that is isolated, or came from it."""
    return _changed(
        await _operator(call).release(
            call.organisation.id, call.ids["message"], call.body.recipient, reason=call.body.reason
        )
    )


@section.post("/queue/messages/{message}/retry")
async def retry_message(call: Call[Nothing, OneMessage]) -> Changed:
    """Attempt a message at once."""
    return _changed(
        await _operator(call).retry_now(
            call.organisation.id, call.ids["message"], call.body.recipient, reason=call.body.reason
        )
    )


@section.post("/queue/messages/{message}/expire")
async def expire_message(call: Call[Nothing, OneMessage]) -> Changed:
    """Give a message up; the sender is told. Refused for what can wait for its primary."""
    return _changed(
        await _operator(call).expire(
            call.organisation.id, call.ids["message"], call.body.recipient, reason=call.body.reason
        )
    )


@section.post("/queue/retry")
async def retry_lane(call: Call[Nothing, LaneChoice]) -> Retried:
    """Attempt everything that waits in a lane, or in any, at once."""
    names = await _names(call)
    lane = None if call.body.lane is None else names.parse(call.body.lane)
    return Retried(deliveries=await _operator(call).retry_lane(call.organisation.id, lane))


@section.post("/queue/suspend")
async def suspend_lane(call: Call[Nothing, SuspendLane]) -> Stops:
    """Send nothing to a lane, or to any, until it is resumed. Mail is accepted all the same, and waits."""
    asked, lane = call.body, await _lane(call)
    await _operator(call).suspend(call.organisation.id, lane, asked.reason, expires_at=asked.until)
    return await _stops(call)


@section.post("/queue/resume")
async def resume_lane(call: Call[Nothing, LaneChoice]) -> Stops:
    """Send to a lane again. A suspension of all lanes is lifted with null."""
    if not await _operator(call).resume(call.organisation.id, await _lane(call)):
        raise refusal(409, "nothing-done", "It is not suspended")
    return await _stops(call)


@section.post("/queue/rebind")
async def rebind_lane(call: Call[Nothing, RebindLane]) -> Stops:
    """Send what is for a lane to another server, from the next connection on."""
    await _operator(call).rebind(call.organisation.id, await _lane(call), call.body.host, call.body.port)
    return await _stops(call)


@section.post("/queue/unbind")
async def unbind_lane(call: Call[Nothing, OneLane]) -> Stops:
    """Let a lane lead to its own servers again."""
    if not await _operator(call).unbind(call.organisation.id, await _lane(call)):
        raise refusal(409, "nothing-done", "It is not sent elsewhere")
    return await _stops(call)


def show_counts(names: LaneNames, counts: Iterable[LaneCount]) -> list[LaneCount]:
    """With lanes as people write them."""
    return [replace(row, lane=names.show(row.lane)) for row in counts]


def show_suspensions(names: LaneNames, suspensions: Iterable[Suspension]) -> list[Suspension]:
    """With lanes as people write them."""
    return [replace(row, lane=names.show(row.lane)) for row in suspensions]


def _operator(call: Call[Any, Any]) -> QueueOperator:
    return make_operator(call.services.database, call.actor)


async def _names(call: Call[Any, Any]) -> LaneNames:
    async with call.services.database.connection() as connection:
        return await lane_names(connection, call.organisation.id)


async def _lane(call: Call[Any, Any]) -> str:
    text: str | None = call.body.lane
    return ALL_LANES if text is None else (await _names(call)).parse(text)


def _changed(result: Result) -> Changed:
    changed = Changed(
        done=[DeliveryDone(number=d.number, recipient=d.recipient, status=d.status, remark=d.remark)
              for d in result.done],
        left=[DeliveryLeft(number=left.number, recipient=left.recipient, why=left.why) for left in result.left],
    )  # fmt: skip
    if not result.done:
        why = "; ".join(sorted({left.why for left in result.left}))[:500]
        raise refusal(409, "nothing-done", "Nothing was changed", why, left=msgspec.to_builtins(changed.left))
    return changed
