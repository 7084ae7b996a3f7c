"""What a person can do about the queue. Every verb is one transaction with an event in the audit, survives a restart,
and wakes the workers where it gives them something to do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from everpost.mail.address import Address, AddressError
from everpost.queue.model import CHANNEL, HoldReason, Kind, Status
from everpost.queue.verbs import Facts, Verb, judge
from everpost.store import audit
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("queue")
_STORE = load("store")
MAX_LISTED = 10_000
MAX_REASON = 500
EXACT_UP_TO = 20_000
"""So many open deliveries are looked at one by one for the age of the oldest."""
ALL_LANES = ""
"""The lane of a suspension that stops everything of an organisation."""

_RECIPIENTS_IN_AUDIT = 100
Homes = Callable[[Connection, int, Sequence[int]], Awaitable[Mapping[int, HoldReason]]]
"""Says of mailboxes (organisation, ids) why deliveries to their primary have to wait now; of others nothing."""


class QueueRefusal(Exception):
    """What was asked cannot be done; nothing was changed. The message is fit to be shown."""


@dataclass(frozen=True, slots=True)
class Done:
    """A delivery that was changed: its status now, and a remark where that needs one."""

    number: int
    recipient: str
    status: Status
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """A delivery that was left as it was, and why."""

    number: int
    recipient: str
    why: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb did to the deliveries of a message."""

    done: tuple[Done, ...]
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class LaneCount:
    """Open deliveries of one lane that are alike. `oldest` is when the first of their messages was accepted."""

    lane: str
    status: Status
    hold_reason: HoldReason | None
    count: int
    oldest: datetime
    next: datetime | None


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """One line of the queue."""

    message_id: int
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


@dataclass(frozen=True, slots=True)
class Suspension:
    """A lane, or all of them (`ALL_LANES`), that nothing is sent to."""

    lane: str
    reason: str
    actor: str
    since: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Binding:
    """A lane that is sent to another server than its own."""

    lane: str
    host: str
    port: int
    actor: str
    since: datetime


class QueueOperator:
    """The verbs. `actor` stands in the audit; `homes` says whose mail may not go to its primary.

    Raises `QueueRefusal`, and what `store.database.UNAVAILABLE` lists.
    """

    def __init__(self, database: Database, *, actor: str, homes: Homes | None = None) -> None:
        self._database = database
        self._actor = actor
        self._homes = homes

    # ------------------------------------------------------------------ one message, or one recipient of it

    async def hold(
        self, organisation_id: int, message_id: int, recipient: str | None = None, *, reason: str = ""
    ) -> Result:
        """Keep queued deliveries until they are released. An attempt under way counts if it succeeds."""
        return await self._change(Verb.HOLD, organisation_id, message_id, recipient, reason)

    async def release(
        self, organisation_id: int, message_id: int, recipient: str | None = None, *, reason: str = ""
    ) -> Result:
        """Let held deliveries go on. What belongs to a mailbox that is at the standby is left to the failback, and
        nothing is let out to, or from, an isolated primary (DESIGN I6).
        """
        return await self._change(Verb.RELEASE, organisation_id, message_id, recipient, reason)

    async def retry_now(
        self, organisation_id: int, message_id: int, recipient: str | None = None, *, reason: str = ""
    ) -> Result:
        """Attempt queued deliveries at once instead of after their pause."""
        return await self._change(Verb.RETRY, organisation_id, message_id, recipient, reason)

    async def expire(
        self, organisation_id: int, message_id: int, recipient: str | None = None, *, reason: str = ""
    ) -> Result:
        """Give deliveries up; the sender is told. Refused for what can wait for its primary (DESIGN I3)."""
        return await self._change(Verb.EXPIRE, organisation_id, message_id, recipient, reason)

    async def _change(
        self, verb: Verb, organisation_id: int, message_id: int, recipient: str | None, reason: str
    ) -> Result:
        _check_reason(reason)
        async with self._database.transaction() as connection:
            await connection.execute(_STORE["share_generations"])  # trust and routes stay as they are meanwhile
            wanted = await _recipients(connection, organisation_id, message_id, recipient)
            rows = await connection.fetch(_SQL["lock_deliveries"], organisation_id, message_id, list(wanted))
            waiting = await self._waiting(connection, organisation_id, rows)
            fates = {row["number"]: judge(verb, _facts(row, waiting)) for row in rows}
            done = [number for number, fate in fates.items() if fate.why_not is None]
            failback = [number for number in done if fates[number].to_failback]
            await _apply(connection, verb, organisation_id, message_id, [n for n in done if n not in failback])
            if failback:
                await connection.execute(_SQL["leave_to_failback"], organisation_id, message_id, failback)
            if done:
                detail = _detail(message_id, [wanted[number] for number in done], reason)
                await self._finish(connection, organisation_id, f"queue.{verb}", f"message {encode_id(message_id)}",
                                   detail, wakes=verb in (Verb.RELEASE, Verb.RETRY))  # fmt: skip
        return Result(
            tuple(Done(number, wanted[number], fates[number].status, fates[number].remark) for number in done),
            tuple(
                Left(number, name, fate.why_not if fate and fate.why_not else "a worker has it in hand just now")
                for number, name in wanted.items()
                if (fate := fates.get(number)) is None or fate.why_not is not None
            ),
        )

    async def _waiting(
        self, connection: Connection, organisation_id: int, rows: Sequence[Any]
    ) -> Mapping[int, HoldReason]:
        mailboxes = sorted({r["mailbox_id"] for r in rows if r["kind"] == Kind.PRIMARY and r["mailbox_id"] is not None})
        if not mailboxes or self._homes is None:
            return {}
        return await self._homes(connection, organisation_id, mailboxes)

    # ------------------------------------------------------------------ lanes

    async def retry_lane(self, organisation_id: int, lane: str | None) -> int:
        """Attempt all that waits in a lane, or (None) in any, at once; returns how many deliveries."""
        async with self._database.transaction() as connection:
            answer = await connection.execute(_SQL["retry_lane"], organisation_id, lane)
            count = int(answer.rpartition(" ")[2])
            if count:
                await self._finish(
                    connection, organisation_id, "queue.retry", _subject(lane or ALL_LANES), {"deliveries": count}
                )
        return count

    async def suspend(
        self, organisation_id: int, lane: str, reason: str, *, expires_at: datetime | None = None
    ) -> None:
        """Send nothing to a lane, or to none (`ALL_LANES`), until it is resumed or `expires_at` has come."""
        if not reason.strip():
            raise QueueRefusal("say why it is suspended")
        _check_reason(reason)
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise QueueRefusal("it would end before it begins")
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["suspend"], organisation_id, lane, reason, self._actor, expires_at)
            until = None if expires_at is None else expires_at.isoformat()
            await self._finish(
                connection, organisation_id, "queue.suspend", _subject(lane), {"reason": reason, "until": until}
            )

    async def resume(self, organisation_id: int, lane: str) -> bool:
        """Take a suspension away; False where there is none."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_SQL["resume"], organisation_id, lane) is None:
                return False
            await self._finish(connection, organisation_id, "queue.resume", _subject(lane), {})
        return True

    async def rebind(self, organisation_id: int, lane: str, host: str, port: int) -> None:
        """Send what is for a lane to `host` instead, from the next connection on."""
        if not 0 < port < 65536 or not 0 < len(host) <= 255 or not host.isprintable():
            raise QueueRefusal("a lane is bound to a host and a port from 1 to 65535")
        async with self._database.transaction() as connection:
            await connection.execute(_SQL["rebind"], organisation_id, lane, host, port, self._actor)
            await self._finish(
                connection, organisation_id, "queue.rebind", _subject(lane), {"host": host, "port": port}
            )

    async def unbind(self, organisation_id: int, lane: str) -> bool:
        """Let a lane lead to its own servers again; False where it does."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_SQL["unbind"], organisation_id, lane) is None:
                return False
            await self._finish(connection, organisation_id, "queue.unbind", _subject(lane), {})
        return True

    async def _finish(
        self,
        connection: Connection,
        organisation_id: int,
        action: str,
        subject: str,
        detail: dict[str, Any],
        *,
        wakes: bool = True,
    ) -> None:
        event = audit.Event(self._actor, action, subject, detail)
        await audit.record(connection, organisation_id, await self._database.ids.new(), event)
        if wakes:
            await connection.execute(_STORE["notify"], CHANNEL, "")

    # ------------------------------------------------------------------ looking

    async def counts(self, organisation_id: int) -> list[LaneCount]:
        """What is open, by lane and reason."""
        async with self._database.connection() as connection:
            return await read_counts(connection, organisation_id)

    async def list(
        self,
        organisation_id: int,
        *,
        queued: bool = True,
        held: bool = True,
        lane: str | None = None,
        search: str | None = None,
        limit: int = 100,
    ) -> Sequence[OpenDelivery]:
        """Open deliveries, those due next first. `search` is a part of the recipient's or the sender's address."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SQL["open_deliveries"], organisation_id, queued, held, lane, search, min(limit, MAX_LISTED)
            )
        return [_open_delivery(row) for row in rows]

    async def suspensions(self, organisation_id: int) -> Sequence[Suspension]:
        """Those in force."""
        async with self._database.connection() as connection:
            return await read_suspensions(connection, organisation_id)

    async def bindings(self, organisation_id: int) -> Sequence[Binding]:
        """The lanes that are sent elsewhere."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["bindings"], organisation_id)
        return [Binding(**dict(row)) for row in rows]


async def read_counts(connection: Connection, organisation_id: int) -> list[LaneCount]:
    """As `QueueOperator.counts`."""
    rows = await connection.fetch(_SQL["open_counts"], organisation_id)
    oldest = await _oldest(connection, organisation_id, rows)
    return [
        LaneCount(row["lane"], Status(row["status"]), HoldReason(row["hold_reason"]) if row["hold_reason"] else None,
                  row["count"], oldest[row["lane"], row["status"], row["hold_reason"]], row["next"])
        for row in rows
    ]  # fmt: skip


async def read_suspensions(connection: Connection, organisation_id: int) -> list[Suspension]:
    """As `QueueOperator.suspensions`."""
    return [Suspension(**dict(row)) for row in await connection.fetch(_SQL["suspensions"], organisation_id)]


async def _oldest(
    connection: Connection, organisation_id: int, rows: Sequence[Any]
) -> dict[tuple[str, str, str | None], datetime]:
    """Of each group when its first message was accepted. Where very many are open, that with the lowest number
    stands for it: numbers are handed out in blocks, which are soon used up where there is so much mail.
    """
    keys = [(row["lane"], row["status"], row["hold_reason"]) for row in rows]
    found: dict[tuple[str, str, str | None], datetime] = {}
    if sum(row["count"] for row in rows) <= EXACT_UP_TO:
        for row in await connection.fetch(_SQL["open_oldest"], organisation_id):
            found[row["lane"], row["status"], row["hold_reason"]] = row["oldest"]
    lowest = [row["lowest_id"] for row in rows]
    accepted: dict[int, datetime] = dict(await connection.fetch(_SQL["accepted_at"], organisation_id, lowest))
    return {key: found.get(key, accepted[number]) for key, number in zip(keys, lowest, strict=True)}


async def _recipients(
    connection: Connection, organisation_id: int, message_id: int, recipient: str | None
) -> dict[int, str]:
    """Number → address of a message's deliveries, or of those to one recipient (as accepted, or as sent)."""
    rows = await connection.fetch(_SQL["recipients_of_message"], organisation_id, message_id)
    if not rows:
        raise QueueRefusal(f"there is no message {encode_id(message_id)} in this organisation, or it has no recipients")
    if recipient is None:
        return {row["number"]: row["recipient"] for row in rows}
    key = _key(recipient)
    found = {r["number"]: r["recipient"] for r in rows if key in (_key(r["recipient"]), _key(r["accepted_as"]))}
    if not found:
        shown = ", ".join(row["recipient"] for row in rows[:5]) + (", …" if len(rows) > 5 else "")
        raise QueueRefusal(f"{recipient[:260]} is no recipient of {encode_id(message_id)}: it goes to {shown}")
    return found


def _key(address: str) -> str:
    try:
        return Address.parse(address).key
    except AddressError:
        return address.lower()


def _facts(row: Any, waiting: Mapping[int, HoldReason]) -> Facts:
    kind = Kind(row["kind"])
    return Facts(
        kind,
        Status(row["status"]),
        HoldReason(row["hold_reason"]) if row["hold_reason"] else None,
        in_hand=row["in_hand"],
        primary=row["primary_name"],
        trust_state=row["trust_state"],
        waits_for=waiting.get(row["mailbox_id"]) if kind is Kind.PRIMARY else None,
        from_isolated=row["from_isolated"],
    )


async def _apply(
    connection: Connection, verb: Verb, organisation_id: int, message_id: int, numbers: Sequence[int]
) -> None:
    if numbers:
        await connection.execute(_SQL[verb.value], organisation_id, message_id, list(numbers))


def _detail(message_id: int, recipients: Sequence[str], reason: str) -> dict[str, Any]:
    detail: dict[str, Any] = {"message": encode_id(message_id), "recipients": list(recipients[:_RECIPIENTS_IN_AUDIT])}
    if len(recipients) > _RECIPIENTS_IN_AUDIT:
        detail["count"] = len(recipients)
    return {**detail, "reason": reason} if reason else detail


def _subject(lane: str) -> str:
    return f"lane {lane}" if lane else "all lanes"


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON or "\0" in reason:
        raise QueueRefusal(f"a reason has at most {MAX_REASON} characters")


def _open_delivery(row: Any) -> OpenDelivery:
    values = dict(row)
    reason = values["hold_reason"]
    values |= {
        "kind": Kind(values["kind"]),
        "status": Status(values["status"]),
        "hold_reason": HoldReason(reason) if reason else None,
    }
    return OpenDelivery(**values)
