"""Address books and contact cards of a mailbox (RFC 9610), and the organisation's directory as cards."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from everpost.standby.cards import Card, Contact
from everpost.standby.values import Account, NoSuchThing, NotPermitted
from everpost.standby.work import Work
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("contacts")
FIRST_BOOK: Final = 1
DIRECTORY: Final = "directory"
"""The address book of everybody in the organisation."""
PERSON, GROUP = "person-", "group-"  # what the ids of the directory's cards begin with
MAX_BOOKS: Final = 100
MAX_CARDS: Final = 10_000
MAX_DIRECTORY: Final = 5000
"""So many people and groups of the directory are looked at for one query."""


@dataclass(frozen=True, slots=True)
class Book:
    """An address book of a mailbox."""

    id: int
    name: str
    description: str | None = None
    sort_order: int = 0
    is_default: bool = False
    subscribed: bool = True


async def books(connection: Connection, account: Account) -> dict[int, Book]:
    """By number; the first is always there."""
    rows = await connection.fetch(_SQL["books"], account.organisation_id, account.mailbox_id)
    found = {row["id"]: Book(*row.values()) for row in rows}
    if FIRST_BOOK not in found:
        default = not any(book.is_default for book in found.values())
        found = {FIRST_BOOK: Book(FIRST_BOOK, "Contacts", is_default=default)} | found
    return found


async def save_book(work: Work, book: Book, how: str) -> None:
    """`how`: created or updated."""
    await work.connection.execute(
        _SQL["save_book"], work.account.organisation_id, work.account.mailbox_id, book.id, book.name, book.description,
        book.sort_order, book.is_default, book.subscribed,
    )  # fmt: skip
    work.note("AddressBook", encode_id(book.id), how)


async def make_default(work: Work, known: dict[int, Book], book_id: int) -> None:
    """Exactly one address book is the default."""
    for book in list(known.values()):
        if book.is_default != (book.id == book_id):
            known[book.id] = replace(book, is_default=book.id == book_id)
            await save_book(work, known[book.id], "updated")


async def delete_book(work: Work, known: dict[int, Book], book_id: int, *, with_cards: bool) -> bool:
    """Whether it could go; it cannot with cards in it, except together with those that stand nowhere else.

    Raises `NoSuchThing`, `NotPermitted`.
    """
    if book_id not in known:
        raise NoSuchThing("there is no such address book")
    if book_id == FIRST_BOOK:
        raise NotPermitted("the first address book stays")
    inside = [row for row in await _rows(work.connection, work.account, None) if book_id in row["book_ids"]]
    if inside and not with_cards:
        return False
    for row in inside:
        others = [number for number in row["book_ids"] if number != book_id]
        if others:
            await save_card(work, row["id"], others, row["card"], row["created_at"], "updated")
        else:
            await delete_card(work, row["id"])
    await work.connection.execute(
        _SQL["delete_book"], work.account.organisation_id, work.account.mailbox_id, book_id
    )  # fmt: skip
    work.note("AddressBook", encode_id(book_id), "destroyed")
    was_default = known.pop(book_id).is_default
    if was_default:
        await make_default(work, known, FIRST_BOOK)
    return True


async def _rows(connection: Connection, account: Account, ids: Iterable[int] | None) -> list[Any]:
    wanted = None if ids is None else list(ids)
    found = await connection.fetch(
        _SQL["cards"], account.organisation_id, account.mailbox_id, wanted, MAX_CARDS
    )  # fmt: skip
    return list(found)


async def cards(connection: Connection, account: Account, ids: Iterable[int] | None = None) -> dict[int, Contact]:
    """The cards of a mailbox's own address books, all or those named."""
    return {
        row["id"]: Contact(
            encode_id(row["id"]), tuple(map(encode_id, row["book_ids"])), row["card"], row["created_at"],
            row["updated_at"],
        )
        for row in await _rows(connection, account, ids)
    }  # fmt: skip


async def count_cards(work: Work) -> int:
    found = await work.connection.fetchval(
        _SQL["count_cards"], work.account.organisation_id, work.account.mailbox_id
    )  # fmt: skip
    return int(found)


async def card_of_uid(work: Work, uid: str) -> int | None:
    """The card that has this uid already."""
    found = await work.connection.fetchval(
        _SQL["card_of_uid"], work.account.organisation_id, work.account.mailbox_id, uid
    )  # fmt: skip
    return None if found is None else int(found)


async def save_card(
    work: Work, card_id: int, book_ids: Iterable[int], card: Card, created: datetime, how: str
) -> datetime:
    """`how`: created or updated. Returns the time it was updated."""
    updated = datetime.now(UTC).replace(microsecond=0)
    await work.connection.execute(
        _SQL["save_card"], work.account.organisation_id, work.account.mailbox_id, card_id, card["uid"],
        sorted(book_ids), card, created, updated,
    )  # fmt: skip
    work.note("ContactCard", encode_id(card_id), how)
    return updated


async def delete_card(work: Work, card_id: int) -> None:
    await work.connection.execute(
        _SQL["delete_card"], work.account.organisation_id, work.account.mailbox_id, card_id
    )  # fmt: skip
    work.note("ContactCard", encode_id(card_id), "destroyed")


# ---------------------------------------------------------------------- the directory


async def directory_mark(connection: Connection, organisation_id: int) -> str:
    """Another one after every change of the organisation's directory that its cards show."""
    return str(await connection.fetchval(_SQL["directory_mark"], organisation_id) or "none")[:12]


async def directory_cards(
    connection: Connection,
    organisation_id: int,
    *,
    people: list[int] | None = None,
    groups: list[int] | None = None,
    part: str | None = None,
) -> list[Contact]:
    """Everybody, those named, or those whose name or address has `part` in it; at most `MAX_DIRECTORY` and one more."""
    pattern = None if part is None else f"%{_escaped(part)}%"
    limit = MAX_DIRECTORY + 1
    found = await connection.fetch(_SQL["directory_people"], organisation_id, people, pattern, limit)
    listed = [_person(row) for row in found]
    rows = await connection.fetch(_SQL["directory_groups"], organisation_id, groups, pattern, limit)
    return (listed + [_group(row) for row in rows])[:limit]


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _person(row: Any) -> Contact:
    kind = "individual" if row["kind"] == "person" else "org"
    return _contact(PERSON, row, kind, row["created_at"])


def _group(row: Any) -> Contact:
    return _contact(GROUP, row, "group", datetime(1970, 1, 1, tzinfo=UTC))  # nobody wrote down when it was made


def _contact(prefix: str, row: Any, kind: str, at: datetime) -> Contact:
    card_id = prefix + encode_id(row["id"])
    card: Card = {
        "@type": "Card", "version": "1.0", "uid": uuid.uuid5(uuid.NAMESPACE_URL, f"everpost:{card_id}").urn,
        "kind": kind, "name": {"full": row["name"]},
        "emails": {f"e{number}": {"address": address} for number, address in enumerate(row["addresses"], start=1)},
    }  # fmt: skip
    return Contact(card_id, (DIRECTORY,), card, at, at)
