"""ContactCard/* (RFC 9610 §3): a person's contacts, and the cards of the organisation's directory."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from everpost.serve.web import content
from everpost.serve.web.jmap.card_filters import Test, read_card_filter, sort_cards
from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    check_creation_ids,
    noted_answer,
    notes_since,
    query_answer,
    read_changes,
    set_answer,
    set_error,
    within_get_limit,
)
from everpost.serve.web.names import NOTHING, number_of
from everpost.standby.cards import MAX_CARD_OCTETS, Card, Contact, check_card
from everpost.standby.contacts import (
    DIRECTORY,
    GROUP,
    MAX_CARDS,
    MAX_DIRECTORY,
    PERSON,
    Book,
    books,
    card_of_uid,
    cards,
    count_cards,
    delete_card,
    directory_cards,
    directory_mark,
    save_card,
)
from everpost.standby.values import BadValue, NoSuchThing
from everpost.standby.work import Work
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import Get, Query, QueryChanges, Set
from everpost.wire.jmap.core import MethodError, SetError
from everpost.wire.jmap.headers import read_date
from everpost.wire.jmap.patch import patch_object

MAX_MEDIA_OCTETS = 150_000
_OURS = frozenset(("id", "addressBookIds"))


async def get(context: Context, arguments: Arguments) -> Arguments:
    """ContactCard/get. Any property may be asked for: JSContact has more than we know."""
    asked = context.read(arguments, Get)
    state = await context.standby.state(context.account)
    async with context.services.database.connection() as connection:
        mark = await directory_mark(connection, context.account.organisation_id)
        if asked.ids is None:
            found = [*(await cards(connection, context.account)).values(), *await _directory(context, connection, None)]
            within_get_limit(found)
        else:
            found = await named_cards(context, connection, asked.ids)
    shown = {contact.id: shown_card(contact) for contact in found}
    wanted = None if asked.properties is None else {*asked.properties, "id"}
    rows = [{name: row[name] for name in row if wanted is None or name in wanted} for row in shown.values()]
    missing = [text for text in dict.fromkeys(asked.ids or ()) if text not in shown]
    return {"accountId": asked.account_id, "state": f"{state}.{mark}", "list": rows, "notFound": missing}


async def named_cards(context: Context, connection: Connection, ids: list[str]) -> list[Contact]:
    own = [n for text in ids if (n := number_of(text)) != NOTHING]
    people, groups = (
        [n for text in ids if text.startswith(prefix) and (n := number_of(text.removeprefix(prefix))) != NOTHING]
        for prefix in (PERSON, GROUP)
    )
    """Cards of the account and of the directory, by their ids."""
    found = list((await cards(connection, context.account, own)).values()) if own else []
    if people or groups:
        found += await directory_cards(
            connection, context.account.organisation_id, people=people, groups=groups
        )  # fmt: skip
    return found


async def _directory(context: Context, connection: Connection, part: str | None) -> list[Contact]:
    """Of a large directory only those that have `part` in their name or address, as it is written.

    Raises `MethodError` where that are too many still.
    """
    found = await directory_cards(connection, context.account.organisation_id)
    if len(found) > MAX_DIRECTORY and part is not None:
        found = await directory_cards(connection, context.account.organisation_id, part=part)
    if len(found) > MAX_DIRECTORY:
        raise MethodError("requestTooLarge", "the directory is large: ask for a name, an address or a text")
    return found


def shown_card(contact: Contact) -> Card:
    """As the client sees it."""
    ours = {"id": contact.id, "addressBookIds": dict.fromkeys(contact.books, True)}
    times = {"created": _date(contact.created), "updated": _date(contact.updated)}
    return {**ours, "@type": "Card", "version": "1.0", "kind": "individual", **times, **contact.card}


def _date(date: datetime) -> str:
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------------- changes and queries


async def changes(context: Context, arguments: Arguments) -> Arguments:
    """ContactCard/changes. Where the directory changed, everything has to be asked for anew."""
    asked, most = read_changes(context, arguments)
    since = await _own_state(context, asked.since_state)
    found = await notes_since(context, "ContactCard", since, most)
    return noted_answer(asked.account_id, found, asked.since_state[len(since) :])


async def _own_state(context: Context, state: str) -> str:
    """What a state says of the person's own cards; raises `MethodError` where the directory is another by now."""
    since, _, mark = state.partition(".")
    async with context.services.database.connection() as connection:
        if mark != await directory_mark(connection, context.account.organisation_id):
            raise MethodError("cannotCalculateChanges", "the directory has changed")
    return since


async def query(context: Context, arguments: Arguments) -> Arguments:
    """ContactCard/query."""
    asked = context.read(arguments, Query)
    state = await context.standby.state(context.account)
    ids, mark = await _results(context, asked)
    return query_answer(asked, f"{state}.{mark}", ids)


async def query_changes(context: Context, arguments: Arguments) -> Arguments:
    """ContactCard/queryChanges: every card that changed is taken out and put in again where it is now."""
    asked = context.read(arguments, QueryChanges)
    since = await _own_state(context, asked.since_query_state)
    found = await notes_since(context, "ContactCard", since, 5000)
    if found.more:
        raise MethodError("cannotCalculateChanges")
    ids, mark = await _results(context, asked)
    changed = {*found.created, *found.updated}
    added = [{"id": text, "index": place} for place, text in enumerate(ids) if text in changed]
    removed = [*found.updated, *found.destroyed]
    if asked.max_changes is not None and len(removed) + len(added) > asked.max_changes:
        raise MethodError("tooManyChanges")
    answer: Arguments = {
        "accountId": asked.account_id, "oldQueryState": asked.since_query_state,
        "newQueryState": f"{found.new}.{mark}", "removed": removed, "added": added,
    }  # fmt: skip
    return answer | ({"total": len(ids)} if asked.calculate_total else {})


async def _results(context: Context, asked: Query | QueryChanges) -> tuple[list[str], str]:
    test: Test = read_card_filter(asked.filter or {})
    part, book = _narrowed(asked.filter or {})
    async with context.services.database.connection() as connection:
        mark = await directory_mark(connection, context.account.organisation_id)
        found = [] if book == DIRECTORY else list((await cards(connection, context.account)).values())
        if book in (None, DIRECTORY):
            found += await _directory(context, connection, part)
    matching = [contact for contact in found if test(contact)]
    sort_cards(matching, asked.sort or [])
    return [contact.id for contact in matching], mark


def _narrowed(wanted: dict[str, Any]) -> tuple[str | None, str | None]:
    """A word that every match has in its name or address, and the address book it stands in, where that is known."""
    words = [text for name in ("text", "email", "name") if isinstance(text := wanted.get(name), str)]
    longest = max((word for text in words for word in text.split() if word.isascii()), key=len, default=None)
    book = wanted.get("inAddressBook")
    return longest, book if isinstance(book, str) else None


# ---------------------------------------------------------------------- changing


async def change(context: Context, arguments: Arguments) -> Arguments:
    """ContactCard/set."""
    asked = context.read_to_change(arguments, Set)
    check_creation_ids(asked.create)
    async with context.services.database.connection() as connection:
        mark = await directory_mark(connection, context.account.organisation_id)
    prepared = {name: await _embedded(context, properties) for name, properties in (asked.create or {}).items()}
    numbers = {name: await context.standby.new_id() for name in prepared}
    patches = {text: await _embedded(context, patch) for text, patch in (asked.update or {}).items()}
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        old = f"{work.first_modseq}.{mark}"
        if asked.if_in_state not in (None, old):
            raise MethodError("stateMismatch")
        answer = set_answer(context, 0, 0) | {"oldState": old}
        known = await books(work.connection, work.account)
        for name, properties in prepared.items():
            try:
                answer["created"][name] = await _create(context, work, known, numbers[name], properties)
                context.dialogue.remember(name, encode_id(numbers[name]))
            except SetError as error:
                answer["notCreated"][name] = error.as_json()
        for text, patch in patches.items():
            try:
                answer["updated"][text] = await _update(context, work, known, text, patch)
            except SetError as error:
                answer["notUpdated"][text] = error.as_json()
        for text in dict.fromkeys(asked.destroy or ()):
            try:
                await delete_card(work, number_of((await _own(context, work, text)).id))
                answer["destroyed"].append(text)
            except SetError as error:
                answer["notDestroyed"][text] = error.as_json()
        answer["newState"] = f"{work.modseq}.{mark}"
    return answer


Prepared = Card | SetError


async def _embedded(context: Context, properties: dict[str, Any]) -> Prepared:
    """The same with the octets of blobs in it: uploads are forgotten, a photo must not be."""
    done = dict(properties)
    try:
        for name, value in properties.items():
            if name == "media" and isinstance(value, dict):
                done[name] = {key: await _with_octets(context, item) for key, item in value.items()}
            elif name.startswith("media/"):
                done[name] = await _with_octets(context, value)
    except SetError as error:
        return error
    return done


async def _with_octets(context: Context, item: Any) -> Any:
    if not isinstance(item, dict) or item.get("blobId") is None:
        return item
    blob_id = str(item["blobId"])
    try:
        found = await content.find(context.standby, context.account, context.dialogue.real_id(blob_id))
    except (NoSuchThing, KeyError):
        raise SetError("blobNotFound", extra={"notFound": [blob_id[:255]]}) from None
    if found.size > MAX_MEDIA_OCTETS:
        raise SetError("tooLarge", f"a picture has at most {MAX_MEDIA_OCTETS} octets")
    octets = await content.read(context.standby, context.account, found)
    kind = item.get("mediaType") if isinstance(item.get("mediaType"), str) else "application/octet-stream"
    uri = f"data:{kind};base64,{base64.b64encode(octets).decode('ascii')}"
    return {name: value for name, value in item.items() if name != "blobId"} | {"uri": uri}


async def _create(
    context: Context, work: Work, known: dict[int, Book], number: int, properties: Prepared
) -> dict[str, Any]:
    if isinstance(properties, SetError):
        raise properties
    if "id" in properties:
        raise SetError("invalidProperties", "the server makes it", properties=("id",))
    if await count_cards(work) >= MAX_CARDS:
        raise SetError("overQuota", f"at most {MAX_CARDS} cards")
    card = {name: value for name, value in properties.items() if name not in _OURS and value is not None}
    card.setdefault("uid", uuid.uuid4().urn)
    default = next(encode_id(book.id) for book in known.values() if book.is_default)
    places = _books_of(context, known, properties.get("addressBookIds", {default: True}))
    _check(card)
    existing = await card_of_uid(work, card["uid"])
    if existing is not None:
        raise SetError("alreadyExists", "there is a card of this uid", extra={"existingId": encode_id(existing)})
    created = read_date(card["created"]) if "created" in card else datetime.now(UTC).replace(microsecond=0)
    updated = await save_card(work, number, places, _kept(card), created, "created")
    contact = Contact(encode_id(number), tuple(map(encode_id, places)), _kept(card), created, updated)
    shown = shown_card(contact)
    return {name: shown[name] for name in shown if name not in properties or name == "updated"}


def _kept(card: Card) -> Card:
    """As it is stored: the times stand beside it."""
    return {name: value for name, value in card.items() if name not in ("created", "updated")}


async def _update(
    context: Context, work: Work, known: dict[int, Book], text: str, patch: Prepared
) -> dict[str, Any] | None:
    contact = await _own(context, work, text)
    if isinstance(patch, SetError):
        raise patch
    before = shown_card(contact)
    try:
        after = patch_object(before, patch)
    except ValueError as error:
        raise SetError("invalidPatch", str(error)) from error
    changed = tuple(name for name in ("id", "uid", "created") if after.get(name) != before[name])
    if changed:
        raise SetError("invalidProperties", "stays as it is", properties=changed)
    places = _books_of(context, known, after.get("addressBookIds"))
    card = {name: value for name, value in after.items() if name not in _OURS}
    _check(card)
    updated = await save_card(work, number_of(contact.id), places, _kept(card), contact.created, "updated")
    return {"updated": _date(updated)}


async def _own(context: Context, work: Work, text: str) -> Contact:
    """Raises `SetError` for a card that is none of the person's own."""
    if text.startswith((PERSON, GROUP)):
        raise SetError("forbidden", "the directory is kept by the administrators")
    number = context.number(text)
    found = (await cards(work.connection, work.account, [number])).get(number)
    if found is None:
        raise SetError("notFound")
    return found


def _books_of(context: Context, known: dict[int, Book], value: Any) -> list[int]:
    if not isinstance(value, dict) or not value or any(inner is not True for inner in value.values()):
        raise SetError("invalidProperties", "a card stands in an address book", properties=("addressBookIds",))
    if DIRECTORY in value:
        raise SetError("forbidden", "the directory is kept by the administrators")
    numbers = [context.number(text) for text in value]
    if any(number not in known for number in numbers):
        raise SetError("invalidProperties", "there is no such address book", properties=("addressBookIds",))
    return sorted(numbers)


def _check(card: Card) -> None:
    try:
        check_card(card)
    except BadValue as error:
        raise set_error(error, {}) from error
    if len(msgspec.json.encode(card)) > MAX_CARD_OCTETS:
        raise SetError("tooLarge", f"a card has at most {MAX_CARD_OCTETS} octets")
