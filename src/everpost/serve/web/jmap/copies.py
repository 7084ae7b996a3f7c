"""Copying between accounts (RFC 8620 §5.4, §6.3; RFC 8621 §4.7; RFC 9610 §3.6): mailboxes shared with a person."""

from __future__ import annotations

from typing import Any

from everpost.serve.web import content
from everpost.serve.web.jmap import blobs, contact_cards
from everpost.serve.web.jmap.changes_to_emails import take_copies
from everpost.serve.web.jmap.context import Arguments, Context, check_creation_ids
from everpost.serve.web.names import number_of, upload_blob
from everpost.standby.values import NoSuchThing
from everpost.wire.jmap.arguments import BlobCopy, EmailCopy
from everpost.wire.jmap.core import MAX_SIZE_UPLOAD, MethodError, SetError
from everpost.wire.jmap.headers import render_date

_OF_COPY = ("id", "mailboxIds", "keywords", "receivedAt")


async def copy_blobs(context: Context, arguments: Arguments) -> Arguments:
    """Blob/copy."""
    asked = context.read_to_change(arguments, BlobCopy)
    source = context.elsewhere(asked.from_account_id)
    copied, missing = {}, {}
    for text in dict.fromkeys(asked.blob_ids):
        try:
            copied[text] = await _copy_blob(context, source, text)
        except SetError as error:
            missing[text] = error.as_json()
    return {
        "fromAccountId": asked.from_account_id, "accountId": asked.account_id, "copied": copied, "notCopied": missing,
    }  # fmt: skip


async def _copy_blob(context: Context, source: Context, text: str) -> str:
    try:
        found = await content.find(source.standby, source.account, text)
    except NoSuchThing:
        raise SetError("blobNotFound", extra={"notFound": [text]}) from None
    if found.size > MAX_SIZE_UPLOAD:
        raise SetError("tooLarge", f"at most {MAX_SIZE_UPLOAD} octets")
    octets = await content.read(source.standby, source.account, found)
    return upload_blob(await blobs.keep_octets(context, octets))


async def copy_emails(context: Context, arguments: Arguments) -> Arguments:
    """Email/copy. A copy is a message of its own: nothing is shared between two mailboxes."""
    asked = context.read_to_change(arguments, EmailCopy)
    source = context.elsewhere(asked.from_account_id)
    check_creation_ids(asked.create)
    state = await source.standby.state(source.account)
    if asked.if_from_in_state not in (None, str(state)):
        raise MethodError("stateMismatch", "the account to copy from has changed")
    copies: dict[str, tuple[bytes, Arguments] | SetError] = {}
    for name, properties in asked.create.items():
        try:
            copies[name] = await _original(source, properties)
        except SetError as error:
            copies[name] = error
    answer = await take_copies(context, asked.account_id, asked.if_in_state, copies)
    _destroy_originals(context, asked, answer, "Email/set")
    kept = {name: answer[name] for name in ("accountId", "oldState", "newState", "created", "notCreated")}
    return {"fromAccountId": asked.from_account_id} | kept


async def _original(source: Context, properties: dict[str, Any]) -> tuple[bytes, Arguments]:
    """The octets, and what the copy is given: of the original where nothing else is said."""
    unknown = tuple(name[:80] for name in properties if name not in _OF_COPY)
    if unknown:
        raise SetError("invalidProperties", "cannot be set", properties=unknown)
    number = number_of(str(properties.get("id")))
    entry = (await source.standby.entries(source.account, (number,))).get(number)
    if entry is None:
        raise SetError("notFound", "there is no such Email in the account to copy from")
    octets = await source.standby.blobs.read(source.account.organisation_id, entry.blob_id)
    given: Arguments = {
        "keywords": dict.fromkeys(sorted(entry.keywords), True), "receivedAt": render_date(entry.received_at),
    }  # fmt: skip
    return octets, given | {name: value for name, value in properties.items() if name != "id" and value is not None}


async def copy_cards(context: Context, arguments: Arguments) -> Arguments:
    """ContactCard/copy."""
    asked = context.read_to_change(arguments, EmailCopy)
    source = context.elsewhere(asked.from_account_id)
    state = (await contact_cards.get(source, {"accountId": asked.from_account_id, "ids": []}))["state"]
    if asked.if_from_in_state not in (None, state):
        raise MethodError("stateMismatch", "the account to copy from has changed")
    create, missing = {}, {}
    for name, properties in asked.create.items():
        async with source.services.database.connection() as connection:
            found = await contact_cards.named_cards(source, connection, [str(properties.get("id"))])
        if not found:
            missing[name] = SetError("notFound", "there is no such card in the account to copy from").as_json()
            continue
        card = contact_cards.shown_card(found[0])
        given = {key: value for key, value in card.items() if key not in ("id", "addressBookIds", "updated")}
        create[name] = given | {key: value for key, value in properties.items() if key != "id"}
    set_arguments = {"accountId": asked.account_id, "ifInState": asked.if_in_state, "create": create}
    answer = await contact_cards.change(context, set_arguments)
    answer["notCreated"] = answer["notCreated"] | missing
    _destroy_originals(context, asked, answer, "ContactCard/set")
    kept = {name: answer[name] for name in ("accountId", "oldState", "newState", "created", "notCreated")}
    return {"fromAccountId": asked.from_account_id} | kept


def _destroy_originals(context: Context, asked: EmailCopy, answer: Arguments, method: str) -> None:
    """With onSuccessDestroyOriginal the call implies another one, in the account that was copied from."""
    done = [asked.create[name]["id"] for name in answer["created"]]
    if asked.on_success_destroy_original and done:
        implied = {
            "accountId": asked.from_account_id, "ifInState": asked.destroy_from_if_in_state, "destroy": done
        }  # fmt: skip
        context.then.append((method, implied))
