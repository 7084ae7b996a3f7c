"""One change of the directory: a transaction that announces itself first and is audited before it ends."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg

from everpost.directory.records import DirectoryError
from everpost.mail.address import Address, AddressError, domain_key
from everpost.store.audit import Event, record
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("directory")
_STORE = load("store")
CHANNEL = "everpost_directory"
SWITCHES_CHANNEL = "everpost_continuity"
MAX_NAME = 200
SYSTEM_FOLDERS = ("inbox", "drafts", "sent", "archive", "junk", "trash")
"""Roles of the folders every mailbox starts with; their ids count from 1 (`standby.model.Role.folder_id`)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TAKEN = {
    "organisation_name_key": "there is an organisation of this name already",
    "domain_name_key": "this domain is already served by this installation",
    "address_key_key": "this address is already taken",
    "primary_server_organisation_id_name_key": "there is a primary of this name already",
    "primary_server_relay_login_key": "this relay login is already taken: choose another",
    "mail_group_organisation_id_name_key": "there is a group of this name already",
    "mailbox_organisation_id_source_external_id_key": "the source names two mailboxes alike",
}


class Change:
    """What a change needs: the connection inside the transaction, identifiers, and the audit."""

    def __init__(self, connection: Connection, database: Database, organisation_id: int, actor: str) -> None:
        self.connection = connection
        self.organisation_id = organisation_id
        self._database = database
        self._actor = actor

    async def new_id(self) -> int:
        """A fresh identifier."""
        return await self._database.ids.new()

    async def announce_primary(self) -> None:
        """A new primary is a new trust state: no message may be routed by a table that does not know it."""
        value = await self.connection.fetchval(_STORE["advance_generation"], "continuity")
        await self.connection.execute(_STORE["notify"], SWITCHES_CHANNEL, str(value))

    async def audit(self, action: str, subject: str, **detail: Any) -> None:
        """Record what was done, in the same transaction."""
        event = Event(self._actor, action, subject, detail)
        await record(self.connection, self.organisation_id, await self.new_id(), event)

    async def execute(self, name: str, *values: Any) -> None:
        """Run a named statement with the organisation as its first value."""
        await self.connection.execute(_SQL[name], self.organisation_id, *values)

    async def row(self, name: str, *values: Any) -> Any:
        """The first row of a named query with the organisation as its first value, or None."""
        return await self.connection.fetchrow(_SQL[name], self.organisation_id, *values)


@contextlib.asynccontextmanager
async def change(database: Database, organisation_id: int, actor: str) -> AsyncIterator[Change]:
    """A transaction on one organisation's directory. Caches everywhere are dropped when it commits.

    Raises `DirectoryError` for what exists already or must not be.
    """
    async with database.transaction() as connection:
        await connection.fetchval(_STORE["advance_generation"], "directory")
        await connection.execute(_STORE["notify"], CHANNEL, str(organisation_id))
        with refusals():
            yield Change(connection, database, organisation_id, actor)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what the database refuses into sentences."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise DirectoryError(_TAKEN.get(str(error.constraint_name), "that exists already")) from error
    except (asyncpg.ForeignKeyViolationError, asyncpg.CheckViolationError) as error:
        raise DirectoryError("something this refers to does not exist, or is still referred to") from error


def check_text(text: str, what: str) -> str:
    """A name for people: one line, not empty, at most `MAX_NAME` characters. Raises `DirectoryError`."""
    text = text.strip()
    if not text or len(text) > MAX_NAME or _CONTROL.search(text) or not text.isprintable():
        raise DirectoryError(f"the {what} must be one line of 1 to {MAX_NAME} printable characters")
    return text


def check_address(address: Address | str) -> Address:
    """Raises `DirectoryError` for what is no address."""
    if isinstance(address, Address):
        return address
    try:
        return Address.parse(address.strip())
    except AddressError as error:
        raise DirectoryError(f"{address[:100]!r} is no mail address: {error}") from error


def check_domain(name: str) -> str:
    """A domain as it is stored, lower case in A-labels. Raises `DirectoryError`."""
    try:
        return domain_key(Address.parse(f"x@{name.strip()}").domain)
    except (AddressError, UnicodeError) as error:
        raise DirectoryError(f"{name[:100]!r} is no domain: {error}") from error


async def own_domain(change: Change, address: Address) -> Any:
    """The domain's row of an address; raises `DirectoryError` unless it is the organisation's own and free to use."""
    name = domain_key(address.domain)
    row = await change.row("domain_in_organisation", name)
    if row is None:
        raise DirectoryError(f"{name} is not a domain of this organisation: create it first (everpost domain create)")
    if row["journal_local"] and address.local.lower() == row["journal_local"]:
        raise DirectoryError(f"{address} takes the primary's journal reports: choose another address")
    return row


async def insert_mailbox(
    change: Change, address: Address, name: str, kind: str, source: str, external_id: str | None, alternate: str | None
) -> int:
    """A mailbox with its default address and system folders; returns its id."""
    domain = await own_domain(change, address)
    mailbox_id = await change.new_id()
    await change.execute("insert_mailbox", mailbox_id, domain["id"], name, kind, source, external_id, alternate)
    await change.execute("insert_sourced_address", address.key, str(address), mailbox_id, None, True, source)
    numbers = list(range(1, len(SYSTEM_FOLDERS) + 1))
    names = [role.capitalize() for role in SYSTEM_FOLDERS]
    await change.execute("insert_system_folders", mailbox_id, numbers, names, list(SYSTEM_FOLDERS), numbers)
    await change.audit("mailbox.created", str(address), mailbox=mailbox_id, name=name, kind=kind, source=source)
    return mailbox_id


async def insert_alias(
    change: Change, address: Address, *, mailbox_id: int | None = None, group_id: int | None = None, source: str
) -> None:
    """One more address of a mailbox, or one of a group."""
    await own_domain(change, address)
    default = group_id is not None
    await change.execute("insert_sourced_address", address.key, str(address), mailbox_id, group_id, default, source)
    await change.audit("address.added", str(address), mailbox=mailbox_id, group=group_id)


async def delete_alias(change: Change, address: Address) -> None:
    """Take an alias away; raises `DirectoryError` for a mailbox's only or default address."""
    owner = await change.row("address_owner", address.key)
    if owner is None:
        raise DirectoryError(f"there is no address {address} in this organisation")
    if owner["is_default"] and owner["mailbox_id"] is not None:
        raise DirectoryError(f"{address} is the mailbox's default address: give it another one first")
    await change.connection.execute(_SQL["delete_any_address"], change.organisation_id, address.key)
    await change.audit("address.removed", str(address), mailbox=owner["mailbox_id"], group=owner["group_id"])


async def change_default(change: Change, mailbox_id: int, address: Address, source: str) -> None:
    """Make `address` the mailbox's default one; the old default stays as an alias."""
    domain = await own_domain(change, address)
    owner = await change.row("address_owner", address.key)
    if owner is None:
        await change.execute("insert_sourced_address", address.key, str(address), mailbox_id, None, False, source)
    elif owner["mailbox_id"] != mailbox_id:
        raise DirectoryError(f"{address} is already taken")
    await change.execute("set_default_address", mailbox_id, address.key)
    await change.execute("set_mailbox_domain", mailbox_id, domain["id"])
    await change.audit("mailbox.address-changed", str(address), mailbox=mailbox_id)


async def set_status(change: Change, mailbox_id: int, status: str) -> None:
    """`active` or `disabled`: a disabled mailbox takes no mail and nobody logs in; what it holds stays."""
    await change.execute("update_mailbox", mailbox_id, None, status, None)
    await change.audit(f"mailbox.{'enabled' if status == 'active' else 'disabled'}", str(mailbox_id))


async def rename_mailbox(change: Change, mailbox_id: int, name: str) -> None:
    """Another name for people."""
    await change.execute("update_mailbox", mailbox_id, name, None, None)
    await change.audit("mailbox.renamed", str(mailbox_id), name=name)


async def set_alternate(change: Change, mailbox_id: int, alternate: str | None) -> None:
    """The address elsewhere that takes notices on the day."""
    await change.execute("set_mailbox_alternate", mailbox_id, alternate)
    await change.audit("mailbox.alternate-changed", str(mailbox_id), alternate=alternate)


async def insert_group(change: Change, name: str, address: Address | None, source: str, external_id: str | None) -> int:
    """A group, perhaps with an address; returns its id."""
    group_id = await change.new_id()
    await change.execute("insert_group", group_id, name, source, external_id)
    await change.audit("group.created", name, group=group_id, source=source)
    if address is not None:
        await insert_alias(change, address, group_id=group_id, source=source)
    return group_id
