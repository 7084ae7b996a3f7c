"""The API endpoint's work: one request, its calls one after the other (RFC 8620 §3)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from everpost.serve.web.jmap import (
    address_books,
    blobs,
    changes_to_emails,
    contact_cards,
    copies,
    emails,
    filter_runs,
    filters,
    folder_queries,
    folders,
    identities,
    preferences,
    quarantine,
    queries,
    quotas,
    sender_rules,
    submissions,
    subscriptions,
    vacation,
)
from everpost.serve.web.jmap.context import Arguments, Context, Method, cannot_calculate
from everpost.serve.web.jmap.sending import MAX_DELAY_S
from everpost.serve.web.names import account_id
from everpost.serve.web.services import OpenMailbox, Visitor, WebServices
from everpost.standby.values import NoSuchThing, ReadOnly
from everpost.store.database import UNAVAILABLE
from everpost.wire.jmap.core import (
    BLOB,
    CONTACTS,
    CORE,
    FILTERS,
    MAIL,
    MAX_ANSWER_OCTETS,
    MAX_BLOB_SET_OCTETS,
    MAX_DATA_SOURCES,
    QUARANTINE,
    QUOTA,
    SETTINGS,
    SUBMISSION,
    VACATION,
    WEBSOCKET,
    MethodError,
    core_capability,
)
from everpost.wire.jmap.request import Dialogue, Invocation, Request

log = structlog.get_logger()


async def _echo(_: Context, arguments: Arguments) -> Arguments:
    return arguments


METHODS: dict[str, tuple[str, Method]] = {
    "Core/echo": (CORE, _echo),
    "Blob/copy": (CORE, copies.copy_blobs),
    "PushSubscription/get": (CORE, subscriptions.get),
    "PushSubscription/set": (CORE, subscriptions.change),
    "Mailbox/get": (MAIL, folders.get),
    "Mailbox/changes": (MAIL, folders.changed),
    "Mailbox/query": (MAIL, folder_queries.query),
    "Mailbox/queryChanges": (MAIL, folder_queries.query_changes),
    "Mailbox/set": (MAIL, folders.change),
    "Thread/get": (MAIL, emails.threads),
    "Thread/changes": (MAIL, emails.thread_changed),
    "Email/get": (MAIL, emails.get),
    "Email/changes": (MAIL, emails.changed),
    "Email/query": (MAIL, queries.query),
    "Email/queryChanges": (MAIL, queries.query_changes),
    "Email/set": (MAIL, changes_to_emails.change),
    "Email/copy": (MAIL, copies.copy_emails),
    "Email/import": (MAIL, changes_to_emails.bring_in),
    "Email/parse": (MAIL, emails.parse),
    "SearchSnippet/get": (MAIL, emails.snippets),
    "Identity/get": (SUBMISSION, identities.get),
    "Identity/changes": (SUBMISSION, identities.changes),
    "Identity/set": (SUBMISSION, identities.change),
    "EmailSubmission/get": (SUBMISSION, submissions.get),
    "EmailSubmission/changes": (SUBMISSION, submissions.changes),
    "EmailSubmission/query": (SUBMISSION, submissions.query),
    "EmailSubmission/queryChanges": (SUBMISSION, submissions.query_changes),
    "EmailSubmission/set": (SUBMISSION, submissions.change),
    "VacationResponse/get": (VACATION, vacation.get),
    "VacationResponse/set": (VACATION, vacation.change),
    "Filter/get": (FILTERS, filters.get),
    "Filter/changes": (FILTERS, filters.changes),
    "Filter/set": (FILTERS, filters.change),
    "Filter/apply": (FILTERS, filter_runs.apply),
    "QuarantinedEmail/get": (QUARANTINE, quarantine.get),
    "QuarantinedEmail/changes": (QUARANTINE, cannot_calculate),
    "QuarantinedEmail/query": (QUARANTINE, quarantine.query),
    "QuarantinedEmail/queryChanges": (QUARANTINE, cannot_calculate),
    "QuarantinedEmail/release": (QUARANTINE, quarantine.release),
    "QuarantinedEmail/askForRelease": (QUARANTINE, quarantine.ask),
    "QuarantinedEmail/reportNotJunk": (QUARANTINE, quarantine.report_not_junk),
    "SenderRule/get": (QUARANTINE, sender_rules.get),
    "SenderRule/changes": (QUARANTINE, sender_rules.changes),
    "SenderRule/set": (QUARANTINE, sender_rules.change),
    "QuarantineSettings/get": (QUARANTINE, sender_rules.get_settings),
    "QuarantineSettings/set": (QUARANTINE, sender_rules.change_settings),
    "Settings/get": (SETTINGS, preferences.get),
    "Settings/set": (SETTINGS, preferences.change),
    "Blob/upload": (BLOB, blobs.upload),
    "Blob/get": (BLOB, blobs.get),
    "Blob/lookup": (BLOB, blobs.lookup),
    "AddressBook/get": (CONTACTS, address_books.get),
    "AddressBook/changes": (CONTACTS, address_books.changes),
    "AddressBook/set": (CONTACTS, address_books.change),
    "ContactCard/get": (CONTACTS, contact_cards.get),
    "ContactCard/changes": (CONTACTS, contact_cards.changes),
    "ContactCard/query": (CONTACTS, contact_cards.query),
    "ContactCard/queryChanges": (CONTACTS, contact_cards.query_changes),
    "ContactCard/set": (CONTACTS, contact_cards.change),
    "ContactCard/copy": (CONTACTS, copies.copy_cards),
    "Quota/get": (QUOTA, quotas.get),
    "Quota/query": (QUOTA, quotas.query),
    "Quota/changes": (QUOTA, cannot_calculate),
    "Quota/queryChanges": (QUOTA, cannot_calculate),
}


def session_state(visitor: Visitor) -> str:
    """Changes with everything the session object says about a person."""
    words = (f"{account_id(m.account)} {m.address} {m.name} {m.rights} {m.read_only}" for m in visitor.mailboxes)
    return hashlib.blake2b("\n".join(words).encode("utf-8", "replace"), digest_size=8).hexdigest()


def session_object(visitor: Visitor, base: str) -> dict[str, Any]:
    """The JMAP Session resource (RFC 8620 §2); `base` is how the client reached us, without the last slash."""
    accounts = {account_id(mailbox.account): _account(mailbox) for mailbox in visitor.mailboxes}
    socket = {"url": f"ws{base.removeprefix('http')}/jmap/ws", "supportsPush": True}
    own = {CORE: core_capability(), WEBSOCKET: socket}
    name = account_id(visitor.account)
    of_account = accounts[name]["accountCapabilities"]
    return {
        "capabilities": own | {capability: {} for capability in of_account},
        "accounts": accounts,
        "primaryAccounts": dict.fromkeys(of_account, name),
        "username": visitor.actor,
        "apiUrl": f"{base}/jmap/api",
        "downloadUrl": base + "/jmap/download/{accountId}/{blobId}/{name}?type={type}",
        "uploadUrl": base + "/jmap/upload/{accountId}/",
        "eventSourceUrl": base + "/jmap/events/?types={types}&closeafter={closeafter}&ping={ping}",
        "state": session_state(visitor),
    }


def _account(mailbox: OpenMailbox) -> dict[str, Any]:
    """One of the session's accounts: a person's own mailbox, or one that is shared with them."""
    mail = {
        "maxMailboxesPerEmail": 50, "maxMailboxDepth": 10, "maxSizeMailboxName": 255,
        "maxSizeAttachmentsPerEmail": changes_to_emails.MAX_ATTACHMENT_OCTETS,
        "emailQuerySortOptions": queries.SORT_OPTIONS, "mayCreateTopLevelMailbox": not mailbox.read_only,
    }  # fmt: skip
    submission = {
        "maxDelayedSend": MAX_DELAY_S,
        "submissionExtensions": {"DSN": [], "FUTURERELEASE": [str(MAX_DELAY_S), "9998-12-31T23:59:59Z"]},
    }
    blob = {
        "maxSizeBlobSet": MAX_BLOB_SET_OCTETS, "maxDataSources": MAX_DATA_SOURCES,
        "supportedTypeNames": list(blobs.TYPE_NAMES), "supportedDigestAlgorithms": list(blobs.DIGESTS),
    }  # fmt: skip
    contacts = {"maxAddressBooksPerCard": None, "mayCreateAddressBook": not mailbox.read_only}
    capabilities: dict[str, Any] = {MAIL: mail, BLOB: blob, QUOTA: {}, CONTACTS: contacts}
    if mailbox.may_send:
        capabilities |= {
            SUBMISSION: submission,
            VACATION: {},
            FILTERS: filters.capability(),
            QUARANTINE: quarantine.capability(),
        }
    if mailbox.rights is None:
        capabilities |= {SETTINGS: preferences.capability()}
    return {
        "name": str(mailbox.address), "isPersonal": mailbox.rights is None, "isReadOnly": mailbox.read_only,
        "accountCapabilities": capabilities,
    }  # fmt: skip


async def perform(services: WebServices, visitor: Visitor, request: Request) -> bytes:
    """The Response object, encoded (RFC 8620 §3.4)."""
    dialogue = Dialogue(request)
    responses: list[list[Any]] = []
    octets_left = MAX_ANSWER_OCTETS
    for call in request.method_calls:
        for name, arguments in await _call(services, visitor, dialogue, call):
            encoded = msgspec.json.encode(arguments)
            octets_left -= len(encoded)
            if octets_left < 0:
                error = MethodError("requestTooLarge", "the answers would be too large").as_arguments()
                name, arguments, encoded = "error", error, msgspec.json.encode(error)
            dialogue.answer(call, name, arguments)
            responses.append([name, msgspec.Raw(encoded), call.call_id])
    answer: dict[str, Any] = {"methodResponses": responses, "sessionState": session_state(visitor)}
    if request.created_ids is not None:
        answer["createdIds"] = dialogue.created
    return msgspec.json.encode(answer)


async def _call(
    services: WebServices, visitor: Visitor, dialogue: Dialogue, call: Invocation
) -> list[tuple[str, Arguments]]:
    """One call's responses: its own, and those of the calls that it implies."""
    try:
        arguments = dialogue.arguments_of(call)
    except MethodError as error:
        return [("error", error.as_arguments())]
    context = Context(services, visitor.at(arguments.get("accountId")) or visitor, dialogue, [])
    answers = [await _answer(context, call.name, arguments)]
    for name, implied in context.then[:1]:
        there = replace(context, visitor=visitor.at(implied["accountId"]) or visitor)
        answers.append(await _answer(there, name, implied))
    return answers


async def _answer(context: Context, name: str, arguments: Arguments) -> tuple[str, Arguments]:
    try:
        return name, _nothing_is_null(await _method(context, name)(context, arguments))
    except MethodError as error:
        return "error", error.as_arguments()
    except ReadOnly as error:
        return "error", MethodError("accountReadOnly", str(error)).as_arguments()
    except NoSuchThing:
        return "error", MethodError("accountNotFound").as_arguments()
    except UNAVAILABLE as error:
        log.warning("web.unavailable", method=name, error=repr(error))
        return "error", MethodError("serverUnavailable", "try again in a moment").as_arguments()
    except Exception:
        log.exception("web.failed", method=name)
        return "error", MethodError("serverFail", "it was written down").as_arguments()


_NULL_WHEN_EMPTY = frozenset(
    ("created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed", "copied", "notCopied")
)


def _nothing_is_null(answer: Arguments) -> Arguments:
    """RFC 8620 §5.3: what names no object at all is null in the answer of a /set; only there has it an old state."""
    if "notCreated" not in answer and "notCopied" not in answer:
        return answer
    return {name: None if name in _NULL_WHEN_EMPTY and not value else value for name, value in answer.items()}


def _method(context: Context, name: str) -> Method:
    capability, method = METHODS.get(name, ("", None))
    if method is None or not context.dialogue.uses(capability):
        raise MethodError("unknownMethod")
    if capability in (SUBMISSION, VACATION, FILTERS, QUARANTINE) and not context.visitor.mailbox.may_send:
        raise MethodError("accountNotSupportedByMethod", "you may not write as this mailbox")
    if capability == SETTINGS and context.visitor.mailbox.rights is not None:
        raise MethodError("accountNotSupportedByMethod", "settings are those of a person's own mailbox")
    return method
