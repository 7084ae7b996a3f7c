"""EmailSubmission/* (RFC 8621 §7): a message of the mailbox goes through intake to the world, now or later."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from everpost.intake.submission import Receipt
from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    check_creation_ids,
    check_state,
    query_answer,
    read_changes,
    set_answer,
    within_get_limit,
)
from everpost.serve.web.jmap.identities import identity_of
from everpost.serve.web.jmap.sending import Author, HeldBack, Ready, check, hold_until, kept_envelope, make_ready, send
from everpost.serve.web.names import NOTHING, number_of, state_of
from everpost.standby import outbox
from everpost.standby.changes import CannotCalculate
from everpost.standby.outbox import NewSubmission, Submitted
from everpost.standby.settings import Noted
from everpost.standby.values import Entry
from everpost.store.database import UNAVAILABLE, Connection
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import Get, Query, QueryChanges, SubmissionSet, properties_of
from everpost.wire.jmap.core import MAX_OBJECTS_IN_GET, MethodError, SetError
from everpost.wire.jmap.headers import read_date

_SUBMISSION = frozenset(
    ("id", "identityId", "emailId", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus", "dsnBlobIds",
     "mdnBlobIds")
)  # fmt: skip
_DELIVERED = {"delivered": "yes", "failed": "no", "expired": "no", "cancelled": "no"}
_SETTABLE = frozenset(("identityId", "emailId", "envelope"))


async def get(context: Context, arguments: Arguments) -> Arguments:
    """EmailSubmission/get."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _SUBMISSION)
    state = await context.standby.state(context.account)
    numbers = None if asked.ids is None else [n for text in asked.ids if (n := number_of(text)) != NOTHING]
    database = context.services.database
    found = await outbox.listed(database, context.account, numbers, MAX_OBJECTS_IN_GET + 1)
    within_get_limit(found)
    fates = await outbox.fates(database, context.account, found)
    rows = [{name: _property(item, fates.get(item.id, []), name) for name in wanted} for item in found]
    there = {encode_id(item.id) for item in found}
    missing = [text for text in dict.fromkeys(asked.ids or ()) if text not in there]
    return {"accountId": asked.account_id, "state": str(state), "list": rows, "notFound": missing}


def _property(item: Submitted, fates: list[tuple[str, str, str]], name: str) -> Any:
    match name:
        case "id":
            return encode_id(item.id)
        case "identityId":
            return item.identity
        case "emailId":
            return encode_id(item.entry_id)
        case "threadId":
            return encode_id(item.thread_id)
        case "sendAt":
            return _date(item.send_at)
        case "undoStatus":
            return item.undo_status
        case "envelope":
            return item.envelope or {
                "mailFrom": {"email": item.reverse_path or "", "parameters": None},
                "rcptTo": [{"email": address, "parameters": None} for address in dict.fromkeys(f[0] for f in fates)],
            }
        case "deliveryStatus":
            return _delivery_status(item, fates)
        case _:
            return []


def _date(date: datetime) -> str:
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _delivery_status(item: Submitted, fates: list[tuple[str, str, str]]) -> dict[str, Any] | None:
    """The fate of each recipient; of a list's members, the one that is worst off. None before it is sent."""
    order = ("no", "queued", "unknown", "yes")
    worst: dict[str, dict[str, str]] = {}
    for address, status, reply in fates:
        fate = _DELIVERED.get(status, "queued")
        known = worst.get(address)
        if known is None or order.index(fate) < order.index(known["delivered"]):
            default = "250 2.0.0 Accepted"
            worst[address] = {"smtpReply": reply or default, "delivered": fate, "displayed": "unknown"}
    if item.failure is not None:
        for recipient in (item.envelope or {}).get("rcptTo", ()):
            reply = f"550 5.7.0 {item.failure}"
            worst[recipient["email"]] = {"smtpReply": reply, "delivered": "no", "displayed": "unknown"}
    return worst or None


# ---------------------------------------------------------------------- finding


async def query(context: Context, arguments: Arguments) -> Arguments:
    """EmailSubmission/query (RFC 8621 §7.3)."""
    asked = context.read(arguments, Query)
    state = await context.standby.state(context.account)
    ids = await _results(context, asked)
    return query_answer(asked, state, ids)


async def query_changes(context: Context, arguments: Arguments) -> Arguments:
    """EmailSubmission/queryChanges."""
    asked = context.read(arguments, QueryChanges)
    found = await _noted(context, asked.since_query_state, 5000)
    if found.more:
        raise MethodError("cannotCalculateChanges")
    ids = await _results(context, asked)
    changed = {*found.created, *found.updated}
    added = [{"id": text, "index": place} for place, text in enumerate(ids) if text in changed]
    removed = [*found.updated, *found.destroyed]
    if asked.max_changes is not None and len(removed) + len(added) > asked.max_changes:
        raise MethodError("tooManyChanges")
    answer: Arguments = {
        "accountId": asked.account_id, "oldQueryState": str(found.old), "newQueryState": str(found.new),
        "removed": removed, "added": added,
    }  # fmt: skip
    return answer | ({"total": len(ids)} if asked.calculate_total else {})


async def changes(context: Context, arguments: Arguments) -> Arguments:
    """EmailSubmission/changes."""
    asked, most = read_changes(context, arguments)
    found = await _noted(context, asked.since_state, most)
    return {
        "accountId": asked.account_id, "oldState": str(found.old), "newState": str(found.new),
        "hasMoreChanges": found.more, "created": found.created, "updated": found.updated,
        "destroyed": found.destroyed,
    }  # fmt: skip


async def _noted(context: Context, since: str, most: int) -> Noted:
    try:
        return await context.standby.noted(context.account, "EmailSubmission", state_of(since), most)
    except CannotCalculate:
        raise MethodError("cannotCalculateChanges") from None


async def _results(context: Context, asked: Query | QueryChanges) -> list[str]:
    items = await outbox.listed(context.services.database, context.account, None, outbox.MAX_LISTED)
    matching = [item for item in items if _matches(item, asked.filter or {})]
    for comparator in reversed(asked.sort or []):
        name, ascending = str(comparator.get("property")), comparator.get("isAscending", True)
        key = {
            "emailId": lambda i: encode_id(i.entry_id), "threadId": lambda i: encode_id(i.thread_id),
            "sentAt": lambda i: i.send_at, "sendAt": lambda i: i.send_at,
        }.get(name)  # fmt: skip
        if key is None or not isinstance(ascending, bool) or comparator.get("collation") is not None:
            raise MethodError("unsupportedSort", name[:80])
        matching.sort(key=key, reverse=not ascending)
    return [encode_id(item.id) for item in matching]


def _matches(item: Submitted, wanted: dict[str, Any]) -> bool:
    if "operator" in wanted:
        parts = wanted.get("conditions")
        if not isinstance(parts, list) or len(parts) > 50 or not all(isinstance(part, dict) for part in parts):
            raise MethodError("invalidArguments", "an operator has conditions")
        if any("operator" in part for part in parts):
            raise MethodError("unsupportedFilter", "operators inside operators")
        found = [_matches(item, part) for part in parts]
        tests = {"AND": all(found), "OR": any(found), "NOT": not any(found)}
        if wanted["operator"] not in tests:
            raise MethodError("invalidArguments", "the operators are AND, OR and NOT")
        return tests[wanted["operator"]]
    found = [_holds(item, name, value) for name, value in wanted.items()]  # all of them: an unknown one is an error
    return all(found)


def _holds(item: Submitted, name: str, value: Any) -> bool:
    try:
        match name:
            case "identityIds":
                return item.identity in _texts(value)
            case "emailIds":
                return encode_id(item.entry_id) in _texts(value)
            case "threadIds":
                return encode_id(item.thread_id) in _texts(value)
            case "undoStatus":
                return bool(item.undo_status == value)
            case "before":
                return item.send_at < read_date(value)
            case "after":
                return item.send_at >= read_date(value)
    except (ValueError, TypeError):
        raise MethodError("invalidArguments", f"filter: {name} cannot be this") from None
    raise MethodError("unsupportedFilter", name[:80])


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise TypeError
    return value


# ---------------------------------------------------------------------- sending


async def change(context: Context, arguments: Arguments) -> Arguments:
    """EmailSubmission/set: what waits can be cancelled; what was sent cannot be called back."""
    asked = context.read_to_change(arguments, SubmissionSet)
    check_creation_ids(asked.create)
    state = await context.standby.state(context.account)
    check_state(asked.if_in_state, state)
    answer = set_answer(context, state, state)
    emails: dict[str, str] = {}
    for name, properties in (asked.create or {}).items():
        try:
            made = await _create(context, properties)
        except SetError as error:
            answer["notCreated"][name] = error.as_json()
            continue
        except UNAVAILABLE:
            answer["notCreated"][name] = SetError("serverUnavailable", "try again in a moment").as_json()
            continue
        emails[encode_id(made.id)] = encode_id(made.entry.id)
        context.dialogue.remember(name, encode_id(made.id))
        answer["created"][name] = {
            "id": encode_id(made.id), "threadId": encode_id(made.entry.thread_id), "undoStatus": made.status,
            "sendAt": _date(made.at),
        }  # fmt: skip
    await _change_others(context, asked, answer, emails)
    answer["newState"] = str(await context.standby.state(context.account))
    afterwards = _afterwards(asked, answer, emails)
    if afterwards:
        context.then.append(("Email/set", afterwards))
    return answer


async def _change_others(context: Context, asked: SubmissionSet, answer: Arguments, emails: dict[str, str]) -> None:
    texts = [*(asked.update or {}), *(asked.destroy or [])]
    if not texts:
        return
    known = await outbox.listed(
        context.services.database, context.account, [context.number(text) for text in texts], len(texts)
    )
    emails |= {encode_id(item.id): encode_id(item.entry_id) for item in known}
    there = {item.id: item for item in known}
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        for text, patch in (asked.update or {}).items():
            number = context.number(text)
            if number not in there:
                answer["notUpdated"][text] = SetError("notFound").as_json()
            elif patch != {"undoStatus": outbox.CANCELED}:
                names = tuple(key[:80] for key in patch if key != "undoStatus") or ("undoStatus",)
                error = SetError("invalidProperties", "cannot be changed", properties=names)
                answer["notUpdated"][text] = error.as_json()
            elif await outbox.cancel(work, number):
                answer["updated"][text] = None
            else:
                answer["notUpdated"][text] = SetError("cannotUnsend", "it is on its way").as_json()
        for text in dict.fromkeys(asked.destroy or ()):
            number = context.number(text)
            if number not in there:
                answer["notDestroyed"][text] = SetError("notFound").as_json()
            elif await outbox.forget(work, number):
                answer["destroyed"].append(text)
            else:
                answer["notDestroyed"][text] = SetError("forbidden", "it waits to be sent: cancel it first").as_json()


def _afterwards(asked: SubmissionSet, answer: Arguments, emails: dict[str, str]) -> Arguments:
    """The Email/set that a successful submission asks for (RFC 8621 §7.5), or nothing.

    `emails` tells the Email behind each submission, by its id.
    """
    done = {f"#{name}": row["id"] for name, row in answer["created"].items()}
    done |= {row["id"]: row["id"] for row in answer["created"].values()}
    done |= {text: text for text in (*answer["updated"], *answer["destroyed"])}
    updates = {
        emails[done[key]]: patch
        for key, patch in (asked.on_success_update_email or {}).items()
        if key in done and done[key] in emails
    }
    destroys = [
        emails[done[key]]
        for key in asked.on_success_destroy_email or []
        if key in done and done[key] in emails
    ]  # fmt: skip
    if not updates and not destroys:
        return {}
    return {"accountId": answer["accountId"], "update": updates or None, "destroy": destroys or None}


@dataclass(frozen=True, slots=True)
class _Made:
    id: int
    entry: Entry
    at: datetime
    status: str


async def _create(context: Context, properties: dict[str, Any]) -> _Made:
    unknown = tuple(key[:80] for key in properties if key not in _SETTABLE)
    if unknown:
        raise SetError("invalidProperties", "cannot be set", properties=unknown)
    identity = await identity_of(context, properties.get("identityId"))
    entry = await _entry(context, properties.get("emailId"))
    envelope = properties.get("envelope")
    ready = await make_ready(context.services, context.account, entry.blob_id, identity.address, envelope)
    envelope = kept_envelope(envelope)
    until = hold_until(envelope, datetime.now(UTC))
    visitor = context.visitor
    author = Author(context.account, visitor.place, visitor.actor, visitor.ip)
    if until is not None:
        await _check_unless_later(context, author, ready)
        number = await context.standby.new_id()
        new = NewSubmission(number, entry.id, entry.thread_id, None, identity.id, envelope, until)
        async with context.standby.work(context.account, visitor.actor, context.gate) as (work, _):
            await outbox.insert(work, new)
        return _Made(number, entry, until, outbox.PENDING)
    now = datetime.now(UTC)

    async def put_on_record(connection: Connection, receipt: Receipt, /) -> None:
        """With the message itself: what left is on record, and what is not on record has not left."""
        await context.gate.check(connection)
        async with context.standby.work_within(connection, context.account, visitor.actor) as work:
            number = receipt.message_ids[0]
            work.submitted(entry.id, entry.summary.message_id, number)
            new = NewSubmission(number, entry.id, entry.thread_id, number, identity.id, envelope, now)
            await outbox.insert(work, new)

    receipt, at = await send(context.services, author, ready, put_on_record)
    return _Made(receipt.message_ids[0], entry, at, outbox.FINAL)


async def _check_unless_later(context: Context, author: Author, ready: Ready) -> None:
    """What is refused for good is refused now; what only has to wait waits anyway."""
    with contextlib.suppress(HeldBack):
        await check(context.services, author, ready)


async def _entry(context: Context, wanted: Any) -> Entry:
    number = context.number(wanted)
    entry = (await context.standby.entries(context.account, (number,))).get(number)
    if entry is None:
        raise SetError("invalidProperties", "there is no such Email", properties=("emailId",))
    return entry
