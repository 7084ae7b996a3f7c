"""Email/get, Email/changes, Thread/get (RFC 8621 §3, §4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from everpost.mail.bodies import BodyLists, body_lists
from everpost.mail.header import Header, parse_header
from everpost.mail.part import Part
from everpost.mail.part import load as load_structure
from everpost.serve.web import content
from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    changes,
    changes_answer,
    read_changes,
    within_get_limit,
)
from everpost.serve.web.jmap.queries import read_filter
from everpost.serve.web.names import NOTHING, message_blob, number_of, state_of
from everpost.standby.changes import CannotCalculate, What
from everpost.standby.model import Origin
from everpost.standby.snippets import Wanted, mark_all, passage, wanted_words
from everpost.standby.summary import Person, scan_message
from everpost.standby.text import body_texts
from everpost.standby.values import Entry, NoSuchThing
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import EmailGet, EmailParse, Get, SnippetGet, properties_of
from everpost.wire.jmap.body import (
    DEFAULT_PART_PROPERTIES,
    PART_PROPERTIES,
    BodyRenderer,
    Sizes,
    body_value,
    render_headers,
)
from everpost.wire.jmap.core import MAX_OBJECTS_IN_GET, MethodError
from everpost.wire.jmap.headers import HeaderProperty, read_property, render_date, render_property

MAX_BODY_VALUES_OCTETS = 32 * 1024 * 1024
_HEADER_OCTETS = 1024 * 1024
_ASIDE_OCTETS = 256 * 1024
_SNIPPET_OCTETS = 1024 * 1024
_OF_ENTRY = ("id", "mailboxIds", "keywords", "receivedAt", "threadId")
_BODY = frozenset(("bodyStructure", "textBody", "htmlBody", "attachments"))
_DEFAULT = (
    "id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId", "inReplyTo", "references",
    "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "hasAttachment", "preview", "bodyValues",
    "textBody", "htmlBody", "attachments",
)  # fmt: skip
_DEFAULT_PARSED = (
    "messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt",
    "hasAttachment", "preview", "bodyValues", "textBody", "htmlBody", "attachments",
)  # fmt: skip


@dataclass(slots=True)
class _Plan:
    """What one Email/get asks for, and what of its bounds is left."""

    asked: EmailGet | EmailParse
    plain: list[str]
    headers: list[HeaderProperty]
    part_properties: tuple[str, ...]
    sizes: Sizes
    value_octets_left: int = MAX_BODY_VALUES_OCTETS

    @property
    def wants_bodies(self) -> bool:
        return "bodyValues" in self.plain or not _BODY.isdisjoint(self.plain)

    @property
    def fetches_values(self) -> bool:
        asked = self.asked
        fetches = asked.fetch_text_body_values or asked.fetch_html_body_values or asked.fetch_all_body_values
        return "bodyValues" in self.plain and fetches

    @property
    def part_headers(self) -> bool:
        return "headers" in self.part_properties or any(name.startswith("header:") for name in self.part_properties)


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Bodies are read one message at a time; what exceeds the bound of all values together is refused."""
    asked = context.read(arguments, EmailGet)
    plan = _plan(asked)
    state = await context.standby.state(context.account)
    texts = asked.ids
    if texts is None:
        newest = await context.standby.newest_entries(context.account, MAX_OBJECTS_IN_GET + 1)
        within_get_limit(newest)
        texts = [encode_id(number) for number in newest]
    numbers = {text: number_of(text) for text in dict.fromkeys(texts)}
    wanted = [number for number in numbers.values() if number != NOTHING]
    entries = await context.standby.entries(context.account, wanted, structure=plan.wants_bodies)
    found, missing = [], []
    for text, number in numbers.items():
        entry = entries.get(number)
        if entry is None:
            missing.append(text)
        else:
            found.append(await _render(context, plan, entry))
    return {"accountId": asked.account_id, "state": str(state), "list": found, "notFound": missing}


def _plan(asked: EmailGet | EmailParse, default: tuple[str, ...] = _DEFAULT, always: str = "id") -> _Plan:
    plain, headers = [], []
    for name in dict.fromkeys((*always.split(), *(default if asked.properties is None else asked.properties))):
        wanted = read_property(name)
        if wanted is not None:
            headers.append(wanted)
        elif name in _SIMPLE or name in _BODY or name in ("bodyValues", "headers"):
            plain.append(name)
        else:
            raise MethodError("invalidArguments", f"unknown property: {name[:80]}")
    parts = DEFAULT_PART_PROPERTIES if asked.body_properties is None else tuple(dict.fromkeys(asked.body_properties))
    for name in parts:
        if name not in PART_PROPERTIES and read_property(name) is None:
            raise MethodError("invalidArguments", f"unknown property of a part: {name[:80]}")
    return _Plan(asked, plain, headers, parts, Sizes())


async def _render(context: Context, plan: _Plan, entry: Entry) -> dict[str, Any]:
    data = await _data(context, plan, entry)
    if len(data) > _ASIDE_OCTETS:
        return await asyncio.to_thread(_render_with, plan, entry, data)
    return _render_with(plan, entry, data)


async def _data(context: Context, plan: _Plan, entry: Entry) -> bytes:
    """As much of the message as is needed, nothing where its row says all."""
    needed = _HEADER_OCTETS if plan.headers or "headers" in plan.plain else 0
    if entry.structure is not None:
        needed = max(needed, _needed_for_bodies(plan, entry.structure))
    if not needed:
        return b""
    return await context.standby.blobs.read(context.account.organisation_id, entry.blob_id, limit=needed)


def _needed_for_bodies(plan: _Plan, root: Part) -> int:
    ends = [0]
    parts = list(root.walk())
    if plan.part_headers:
        ends += [part.body_start for part in parts]
    if "size" in plan.part_properties and not _BODY.isdisjoint(plan.plain):
        ends += [
            part.body_end
            for part in parts
            if part.encoding not in ("7bit", "8bit", "binary") and part.size <= plan.sizes.left
        ]
    if plan.fetches_values:
        ends += [part.body_end for part in _value_parts(plan, root, body_lists(root))]
    return max(ends)


def _value_parts(plan: _Plan, root: Part, lists: BodyLists) -> list[Part]:
    asked, parts = plan.asked, []
    if asked.fetch_all_body_values:
        return [part for part in root.walk() if part.type.startswith("text/")]
    if asked.fetch_text_body_values:
        parts += [part for part in lists.text if part.type.startswith("text/")]
    if asked.fetch_html_body_values:
        parts += [part for part in lists.html if part.type.startswith("text/")]
    return list({part.part_id: part for part in parts}.values())


def _render_with(plan: _Plan, entry: Entry, data: bytes, blob_id: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    header: Header | None = None
    if plan.headers or "headers" in plan.plain:
        header = parse_header(data)
    for name in plan.plain:
        if name in _SIMPLE:
            found[name] = _SIMPLE[name](entry)
    if header is not None:
        for wanted in plan.headers:
            found[wanted.text] = render_property(header, wanted)
        if "headers" in plan.plain:
            found["headers"] = render_headers(header)
    if entry.structure is not None:
        _add_bodies(plan, blob_id or message_blob(entry.id), entry.structure, data, found)
    return found


def _add_bodies(plan: _Plan, blob_id: str, root: Part, data: bytes, found: dict[str, Any]) -> None:
    lists = body_lists(root)
    render = BodyRenderer(data, root, blob_id, plan.part_properties, plan.sizes)
    if "bodyStructure" in plan.plain:
        found["bodyStructure"] = render.part(root, nested=True)
    for name, parts in (("textBody", lists.text), ("htmlBody", lists.html), ("attachments", lists.attachments)):
        if name in plan.plain:
            found[name] = [render.part(part) for part in parts]
    if "bodyValues" not in plan.plain:
        return
    values = {}
    for part in _value_parts(plan, root, lists) if plan.fetches_values else ():
        values[part.part_id] = body_value(data, part, plan.asked.max_body_value_bytes)
        plan.value_octets_left -= len(values[part.part_id]["value"])
        if plan.value_octets_left < 0:
            raise MethodError("requestTooLarge", "fetch fewer bodies at once, or set maxBodyValueBytes")
    found["bodyValues"] = values


def _people(people: tuple[Person, ...]) -> list[dict[str, str | None]] | None:
    return [{"name": person.name, "email": person.address} for person in people] or None


_SIMPLE: dict[str, Callable[[Entry], Any]] = {
    "id": lambda e: encode_id(e.id),
    "blobId": lambda e: message_blob(e.id),
    "threadId": lambda e: encode_id(e.thread_id),
    "mailboxIds": lambda e: {encode_id(folder): True for folder in e.folder_ids},
    "keywords": lambda e: dict.fromkeys(sorted(e.keywords), True),
    "size": lambda e: e.size,
    "receivedAt": lambda e: render_date(e.received_at.astimezone(UTC)),
    "messageId": lambda e: [e.summary.message_id] if e.summary.message_id else None,
    "inReplyTo": lambda e: list(e.summary.in_reply_to) or None,
    "references": lambda e: list(e.summary.references) or None,
    "sender": lambda e: _people(e.summary.sender),
    "from": lambda e: _people(e.summary.from_),
    "to": lambda e: _people(e.summary.to),
    "cc": lambda e: _people(e.summary.cc),
    "bcc": lambda e: _people(e.summary.bcc),
    "replyTo": lambda e: _people(e.summary.reply_to),
    "subject": lambda e: e.summary.subject or None,
    "sentAt": lambda e: render_date(e.summary.sent_at),
    "hasAttachment": lambda e: e.summary.has_attachment,
    "preview": lambda e: e.summary.preview,
}


async def parse(context: Context, arguments: Arguments) -> Arguments:
    """Email/parse (RFC 8621 §4.9): blobs as Emails that stand nowhere."""
    asked = context.read(arguments, EmailParse)
    plan = _plan(asked, _DEFAULT_PARSED, "")
    parsed: dict[str, Any] = {}
    missing, unreadable = [], []
    for text in dict.fromkeys(asked.blob_ids):
        try:
            where = await content.find(context.standby, context.account, text)
        except NoSuchThing:
            missing.append(text)
            continue
        data = await content.read(context.standby, context.account, where)
        if not looks_like_message(data):
            unreadable.append(text)
        else:
            parsed[text] = await asyncio.to_thread(_parsed, plan, text, data)
    return {"accountId": asked.account_id, "parsed": parsed, "notParsable": unreadable, "notFound": missing}


def looks_like_message(data: bytes) -> bool:
    """Whether it begins with a header field (RFC 5322 §2.2), perhaps after an mbox line."""
    line, _, rest = data[:4096].partition(b"\n")
    if line.startswith(b"From "):
        line = rest.partition(b"\n")[0]
    name, colon, _ = line.partition(b":")
    return bool(colon and name) and b"\0" not in data[:4096] and all(33 <= octet <= 126 for octet in name.rstrip())


def _parsed(plan: _Plan, blob_id: str, data: bytes) -> dict[str, Any]:
    scanned = scan_message(data)
    entry = Entry(
        0, datetime.now(UTC), 0, (), frozenset(), Origin.IMPORT, 0, 0, scanned.size, scanned.summary,
        load_structure(scanned.structure),
    )  # fmt: skip
    found = _render_with(plan, entry, data, blob_id)
    unknown: dict[str, Any] = dict.fromkeys(_OF_ENTRY)
    known = {"blobId": blob_id} if "blobId" in found else {}
    return {name: unknown.get(name, value) for name, value in found.items()} | known


async def snippets(context: Context, arguments: Arguments) -> Arguments:
    """SearchSnippet/get (RFC 8621 §5.1)."""
    asked = context.read(arguments, SnippetGet)
    wanted = wanted_words(read_filter(asked.filter))
    numbers = {text: number_of(text) for text in dict.fromkeys(asked.email_ids)}
    entries = await context.standby.entries(context.account, numbers.values(), structure=bool(wanted.body))
    found, missing = [], []
    for text, number in numbers.items():
        entry = entries.get(number)
        if entry is None:
            missing.append(text)
            continue
        row = {
            "emailId": text, "subject": mark_all(entry.summary.subject, wanted.subject),
            "preview": await _preview(context, entry, wanted),
        }  # fmt: skip
        found.append(row)
    return {"accountId": asked.account_id, "list": found, "notFound": missing}


async def _preview(context: Context, entry: Entry, wanted: Wanted) -> str | None:
    if not wanted.body or entry.structure is None:
        return None
    limit = min(entry.size, _SNIPPET_OCTETS)
    data = await context.standby.blobs.read(context.account.organisation_id, entry.blob_id, limit=limit)
    return await asyncio.to_thread(_passage, data, entry.structure, wanted)


def _passage(data: bytes, root: Part, wanted: Wanted) -> str | None:
    return next((found for text in body_texts(data, root) if (found := passage(text, wanted.body))), None)


async def thread_changed(context: Context, arguments: Arguments) -> Arguments:
    """Thread/changes (RFC 8621 §3.2)."""
    asked, most = read_changes(context, arguments)
    try:
        found = await context.standby.thread_changes(context.account, state_of(asked.since_state), most)
    except CannotCalculate:
        raise MethodError("cannotCalculateChanges") from None
    return changes_answer(asked.account_id, found)


async def changed(context: Context, arguments: Arguments) -> Arguments:
    return (await changes(context, arguments, What.ENTRIES))[0]


async def threads(context: Context, arguments: Arguments) -> Arguments:
    """Thread/get (RFC 8621 §3.1)."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, frozenset(("id", "emailIds")))
    if asked.ids is None:
        raise MethodError("requestTooLarge", "name the threads")
    state = await context.standby.state(context.account)
    numbers = {text: number_of(text) for text in dict.fromkeys(asked.ids)}
    found = await context.standby.threads(context.account, [n for n in numbers.values() if n != NOTHING])
    rows = []
    for text, number in numbers.items():
        if number in found:
            row = {"id": text, "emailIds": [encode_id(entry_id) for entry_id in found[number]]}
            rows.append({name: row[name] for name in wanted})
    missing = [text for text, number in numbers.items() if number not in found]
    return {"accountId": asked.account_id, "state": str(state), "list": rows, "notFound": missing}
