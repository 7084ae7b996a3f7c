"""Email/set and Email/import (RFC 8621 §4.6, §4.8): prepared outside the transaction, written inside it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from everpost.mail.address import domain_key
from everpost.serve.web import content
from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    check_creation_ids,
    check_state,
    set_answer,
    set_error,
)
from everpost.serve.web.names import NOTHING, account_id, message_blob
from everpost.standby.drafts import PreparedMessage, normalise_line_ends
from everpost.standby.model import Origin
from everpost.standby.values import NoSuchThing, StandbyRefusal
from everpost.standby.work import Held, Work
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import EmailImport, EmailImportItem, Set
from everpost.wire.jmap.compose import NewEmail, compose, read_email
from everpost.wire.jmap.core import MAX_SIZE_UPLOAD, SetError
from everpost.wire.jmap.headers import read_date
from everpost.wire.jmap.request import patched

MAX_ATTACHMENT_OCTETS = 36_000_000
MAX_PREPARED_OCTETS = 150_000_000
"""What one call may create in all."""
_ASIDE_OCTETS = 256 * 1024
_ABOUT = {"folders": "mailboxIds"}


@dataclass(slots=True)
class _New:
    """Creations on their way: prepared ones by creation id, refused ones with their error."""

    prepared: dict[str, PreparedMessage] = field(default_factory=dict)
    places: dict[str, Arguments] = field(default_factory=dict)
    refused: dict[str, SetError] = field(default_factory=dict)
    octets_left: int = MAX_PREPARED_OCTETS

    def close(self) -> None:
        for message in self.prepared.values():
            message.blob.close()


async def change(context: Context, arguments: Arguments) -> Arguments:
    """Email/set."""
    asked = context.read_to_change(arguments, Set)
    check_creation_ids(asked.create)
    new = _New()
    try:
        for name, properties in (asked.create or {}).items():
            await _prepare(context, new, name, properties, _compose)
        return await _write(context, asked, new)
    finally:
        new.close()


async def bring_in(context: Context, arguments: Arguments) -> Arguments:
    """Email/import."""
    asked = context.read_to_change(arguments, EmailImport)
    check_creation_ids(asked.emails)
    new = _New()
    try:
        for name, properties in asked.emails.items():
            await _prepare(context, new, name, properties, _import)
        as_set = Set(account_id=asked.account_id, if_in_state=asked.if_in_state)
        answer = await _write(context, as_set, new, Origin.IMPORT)
    finally:
        new.close()
    kept = ("accountId", "oldState", "newState", "created", "notCreated")
    return {name: answer[name] for name in kept}


async def take_copies(
    context: Context, account: str, if_in_state: str | None, copies: Mapping[str, tuple[bytes, Arguments] | SetError]
) -> Arguments:
    """Messages of another account as new Emails of this one, each with its mailboxIds, keywords and receivedAt."""
    new = _New()

    async def make(_: Context, properties: Arguments) -> tuple[bytes, str]:
        return properties["octets"], "webmail"

    try:
        for name, item in copies.items():
            if isinstance(item, SetError):
                new.refused[name] = item
            else:
                await _prepare(context, new, name, item[1] | {"octets": item[0]}, make)
        return await _write(context, Set(account_id=account, if_in_state=if_in_state), new)
    finally:
        new.close()


async def _prepare(context: Context, new: _New, name: str, properties: dict[str, Any], make: Any) -> None:
    try:
        octets, source = await make(context, properties)
        _take_room(new, len(octets))
        new.prepared[name] = await context.standby.prepare(octets, source)
        new.places[name] = properties
    except SetError as error:
        new.refused[name] = error


def _take_room(new: _New, octets: int) -> None:
    if octets > MAX_SIZE_UPLOAD:
        raise SetError("tooLarge", f"a message has at most {MAX_SIZE_UPLOAD} octets")
    new.octets_left -= octets
    if new.octets_left < 0:
        raise SetError("rateLimit", f"at most {MAX_PREPARED_OCTETS} octets can be created at once")


async def _compose(context: Context, properties: dict[str, Any]) -> tuple[bytes, str]:
    for name in ("keywords", "mailboxIds"):
        _set_of(properties.get(name, {}), name)
    email = read_email(properties)
    blobs = await _read_blobs(context, email)
    message_id = f"{secrets.token_hex(16)}@{domain_key(context.visitor.mailbox.address.domain)}"

    def work() -> bytes:
        return compose(email, blobs.__getitem__, date=datetime.now(UTC), message_id=message_id)

    if sum(map(len, blobs.values())) > _ASIDE_OCTETS:
        return await asyncio.to_thread(work), "webmail"
    return work(), "webmail"


async def _read_blobs(context: Context, email: NewEmail) -> dict[str, bytes]:
    """The attachments' octets; refused before they are read where they are too many."""
    found: dict[str, content.Content] = {}
    missing, octets = [], 0
    for blob_id in email.root.blob_ids():
        if blob_id in found:
            octets += found[blob_id].size
            continue
        try:
            found[blob_id] = await content.find(context.standby, context.account, blob_id)
            octets += found[blob_id].size
        except NoSuchThing:
            missing.append(blob_id)
    if missing:
        raise SetError("blobNotFound", extra={"notFound": missing})
    if octets > MAX_ATTACHMENT_OCTETS:
        raise SetError("tooLarge", f"attachments have at most {MAX_ATTACHMENT_OCTETS} octets in all")
    return {
        blob_id: await content.read(context.standby, context.account, where) for blob_id, where in found.items()
    }  # fmt: skip


async def _import(context: Context, properties: dict[str, Any]) -> tuple[bytes, str]:
    item = _import_item(properties)
    try:
        where = await content.find(context.standby, context.account, context.dialogue.real_id(item.blob_id))
    except (NoSuchThing, KeyError):
        # RFC 8621 §4.8 calls it invalidProperties, §4.6 and the public conformance suite blobNotFound, which says more.
        raise SetError("blobNotFound", properties=("blobId",), extra={"notFound": [item.blob_id]}) from None
    octets = normalise_line_ends(await content.read(context.standby, context.account, where))
    head = octets[:4096]
    if not octets or b":" not in head.split(b"\r\n", 1)[0] or b"\0" in head:
        raise SetError("invalidEmail", "this is no message")
    return octets, "import"


def _import_item(properties: dict[str, Any]) -> EmailImportItem:
    """Raises `SetError`, which names what is wrong."""
    missing = tuple(name for name in ("blobId", "mailboxIds") if properties.get(name) is None)
    unknown = tuple(name[:80] for name in properties if name not in ("blobId", "mailboxIds", "keywords", "receivedAt"))
    if missing or unknown:
        raise SetError("invalidProperties", "missing or unknown", properties=missing + unknown)
    for name in ("mailboxIds", "keywords"):
        _set_of(properties.get(name, {}), name)
    for name in ("blobId", "receivedAt"):
        if properties.get(name) is not None and not isinstance(properties[name], str):
            raise SetError("invalidProperties", "a text is expected", properties=(name,))
    try:
        return msgspec.convert(properties, EmailImportItem)
    except msgspec.ValidationError as error:
        raise SetError("invalidProperties", str(error), properties=("blobId",)) from error


async def _write(context: Context, asked: Set, new: _New, origin: Origin = Origin.LOCAL) -> Arguments:
    names = list(new.prepared)
    visitor = context.visitor
    async with context.standby.work(
        context.account, visitor.actor, context.gate, [new.prepared[name] for name in names]
    ) as (work, threaded):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        answer["accountId"] = account_id(context.account)
        for name, message in zip(names, threaded, strict=True):
            try:
                held = await _create(context, work, message, new.places[name], origin)
                context.dialogue.remember(name, encode_id(held.id))
                answer["created"][name] = _created(held, message)
            except SetError as error:
                new.refused[name] = error
        answer["notCreated"] = {name: error.as_json() for name, error in new.refused.items()}
        await work.load(
            number
            for text in (*(asked.update or ()), *(asked.destroy or ()))
            if (number := context.number(text)) != NOTHING
        )
        for text, patch in (asked.update or {}).items():
            try:
                await _update(context, work, text, patch)
                answer["updated"][text] = None
            except SetError as error:
                answer["notUpdated"][text] = error.as_json()
        for text in dict.fromkeys(asked.destroy or ()):
            try:
                await work.destroy(context.number(text))
                answer["destroyed"].append(text)
            except StandbyRefusal as error:
                answer["notDestroyed"][text] = set_error(error, _ABOUT).as_json()
        answer["newState"] = str(work.modseq)
    return answer


def _created(held: Held, message: PreparedMessage) -> dict[str, Any]:
    return {
        "id": encode_id(held.id), "blobId": message_blob(held.id), "threadId": encode_id(held.thread_id),
        "size": message.scanned.size,
    }  # fmt: skip


async def _create(
    context: Context, work: Work, message: PreparedMessage, properties: dict[str, Any], origin: Origin
) -> Held:
    folders = _set_of(properties.get("mailboxIds"), "mailboxIds")
    keywords = frozenset(key.lower() for key in _set_of(properties.get("keywords", {}), "keywords"))
    received_at = None
    if properties.get("receivedAt") is not None:
        try:
            received_at = read_date(properties["receivedAt"])
        except ValueError as error:
            raise SetError("invalidProperties", str(error), properties=("receivedAt",)) from error
    try:
        return await work.create(message, [context.number(text) for text in folders], keywords, received_at, origin)
    except StandbyRefusal as error:
        raise set_error(error, _ABOUT) from error


async def _update(context: Context, work: Work, text: str, patch: dict[str, Any]) -> None:
    try:
        held = await work.entry(context.number(text))
        unknown = tuple(
            key[:80] for key in patch if key.partition("/")[0] not in ("keywords", "mailboxIds")
        )  # fmt: skip
        if unknown:
            raise SetError("invalidProperties", "cannot be changed", properties=unknown)
        keywords = patched(dict.fromkeys(held.keywords, True), patch, "keywords", str.lower)
        now = {encode_id(number): True for number in held.folder_ids}
        folders = patched(now, patch, "mailboxIds", context.dialogue.real_id)
        await work.update(
            held.id, keywords=frozenset(keywords), folder_ids=[context.number(folder) for folder in folders]
        )
    except StandbyRefusal as error:
        raise set_error(error, _ABOUT) from error
    except KeyError:
        raise SetError("invalidProperties", "there is no such creation", properties=("mailboxIds",)) from None
    except ValueError as error:
        raise SetError("invalidPatch", str(error)) from error


def _set_of(value: Any, name: str) -> list[str]:
    """The keys of a map to true."""
    if not isinstance(value, dict) or len(value) > 1000 or any(inner is not True for inner in value.values()):
        raise SetError("invalidProperties", "a map to true is expected", properties=(name,))
    return list(value)
