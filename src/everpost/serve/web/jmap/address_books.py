"""AddressBook/* (RFC 9610 §2): a person's own, and the organisation's directory, which is read-only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    check_creation_ids,
    check_state,
    noted_answer,
    notes_since,
    read_changes,
    set_answer,
    set_error,
)
from everpost.serve.web.names import NOTHING
from everpost.standby.contacts import (
    DIRECTORY,
    FIRST_BOOK,
    MAX_BOOKS,
    Book,
    books,
    delete_book,
    make_default,
    save_book,
)
from everpost.standby.values import StandbyRefusal
from everpost.standby.work import Work
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import BookSet, Get, properties_of
from everpost.wire.jmap.core import SetError

_PROPERTIES = frozenset(
    ("id", "name", "description", "sortOrder", "isDefault", "isSubscribed", "shareWith", "myRights")
)
MAX_NAME_OCTETS = 255
MAX_DESCRIPTION = 10_000


async def get(context: Context, arguments: Arguments) -> Arguments:
    """AddressBook/get."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _PROPERTIES)
    state = await context.standby.state(context.account)
    async with context.services.database.connection() as connection:
        known = await books(connection, context.account)
    shown = {encode_id(book.id): _shown(book, read_only=context.read_only) for book in known.values()}
    shown[DIRECTORY] = _directory()
    ids = list(shown) if asked.ids is None else list(dict.fromkeys(asked.ids))
    rows = [{name: shown[text][name] for name in wanted} for text in ids if text in shown]
    missing = [text for text in ids if text not in shown]
    return {"accountId": asked.account_id, "state": str(state), "list": rows, "notFound": missing}


def _shown(book: Book, *, read_only: bool) -> dict[str, Any]:
    return {
        "id": encode_id(book.id), "name": book.name, "description": book.description, "sortOrder": book.sort_order,
        "isDefault": book.is_default, "isSubscribed": book.subscribed, "shareWith": None,
        "myRights": {
            "mayRead": True, "mayWrite": not read_only, "mayShare": False,
            "mayDelete": not read_only and book.id != FIRST_BOOK,
        },
    }  # fmt: skip


def _directory() -> dict[str, Any]:
    return {
        "id": DIRECTORY, "name": "Directory", "description": "Everybody in the organisation.", "sortOrder": 1000,
        "isDefault": False, "isSubscribed": True, "shareWith": None,
        "myRights": {"mayRead": True, "mayWrite": False, "mayShare": False, "mayDelete": False},
    }  # fmt: skip


async def changes(context: Context, arguments: Arguments) -> Arguments:
    """AddressBook/changes."""
    asked, most = read_changes(context, arguments)
    found = await notes_since(context, "AddressBook", asked.since_state, most)
    return noted_answer(asked.account_id, found)


async def change(context: Context, arguments: Arguments) -> Arguments:
    """AddressBook/set."""
    asked = context.read_to_change(arguments, BookSet)
    check_creation_ids(asked.create)
    numbers = {name: await context.standby.new_id() for name in asked.create or {}}
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        known = await books(work.connection, work.account)
        for name, properties in (asked.create or {}).items():
            try:
                answer["created"][name] = await _create(work, known, numbers[name], properties)
                context.dialogue.remember(name, encode_id(numbers[name]))
            except SetError as error:
                answer["notCreated"][name] = error.as_json()
        for text, patch in (asked.update or {}).items():
            try:
                await _update(context, work, known, text, patch)
                answer["updated"][text] = None
            except SetError as error:
                answer["notUpdated"][text] = error.as_json()
        for text in dict.fromkeys(asked.destroy or ()):
            try:
                await _destroy(context, work, known, text, with_cards=asked.on_destroy_remove_contents)
                answer["destroyed"].append(text)
            except SetError as error:
                answer["notDestroyed"][text] = error.as_json()
        failed = answer["notCreated"] or answer["notUpdated"] or answer["notDestroyed"]
        default = context.number(asked.on_success_set_is_default)
        if default in known and not failed:
            await make_default(work, known, default)
        answer["newState"] = str(work.modseq)
    return answer


async def _create(work: Work, known: dict[int, Book], number: int, properties: dict[str, Any]) -> dict[str, Any]:
    if len(known) >= MAX_BOOKS:
        raise SetError("overQuota", f"at most {MAX_BOOKS} address books")
    if "name" not in properties:
        raise SetError("invalidProperties", "an address book has a name", properties=("name",))
    book = replace(Book(number, ""), **_values(properties))
    await save_book(work, book, "created")
    known[number] = book
    shown = _shown(book, read_only=False)
    return {name: value for name, value in shown.items() if name not in properties}


async def _update(context: Context, work: Work, known: dict[int, Book], text: str, patch: dict[str, Any]) -> None:
    if text == DIRECTORY:
        raise SetError("forbidden", "the directory is kept by the administrators")
    book = known.get(context.number(text))
    if book is None:
        raise SetError("notFound")
    same = _shown(book, read_only=False)
    new = replace(book, **_values({name: value for name, value in patch.items() if same.get(name, NOTHING) != value}))
    if new != book:
        await save_book(work, new, "updated")
        known[book.id] = new


async def _destroy(context: Context, work: Work, known: dict[int, Book], text: str, *, with_cards: bool) -> None:
    if text == DIRECTORY:
        raise SetError("forbidden", "the directory is kept by the administrators")
    try:
        if not await delete_book(work, known, context.number(text), with_cards=with_cards):
            raise SetError("addressBookHasContents", "there are cards in it")
    except StandbyRefusal as error:
        raise set_error(error, {}) from error


def _values(properties: dict[str, Any]) -> dict[str, Any]:
    """As they are stored; raises `SetError`."""
    values: dict[str, Any] = {}
    for name, value in properties.items():
        match name:
            case "name" if isinstance(value, str) and _is_name(value):
                values["name"] = value
            case "description" if value is None or (isinstance(value, str) and _is_description(value)):
                values["description"] = value
            case "sortOrder" if type(value) is int and 0 <= value < 2**31:
                values["sort_order"] = value
            case "isSubscribed" if isinstance(value, bool):
                values["subscribed"] = value
            case "shareWith" if value is None:
                pass
            case _:
                raise SetError("invalidProperties", "cannot be set, or not to this", properties=(name[:80],))
    return values


def _is_name(text: str) -> bool:
    return bool(text.strip()) and text.isprintable() and len(text.encode("utf-8", "replace")) <= MAX_NAME_OCTETS


def _is_description(text: str) -> bool:
    return len(text) <= MAX_DESCRIPTION and "\0" not in text
