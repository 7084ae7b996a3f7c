"""Reading the directory for people: by name, by address, as lists. Never across organisations."""

from __future__ import annotations

from typing import Any

import msgspec

from everpost.directory.changes import check_address, check_domain
from everpost.directory.primary import PrimarySettings
from everpost.directory.records import (
    DirectoryError,
    DomainRecord,
    GroupRecord,
    MailboxRecord,
    MemberRecord,
    OrganisationRecord,
    PrimaryRecord,
)
from everpost.mail.address import Address, AddressError, domain_key
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("directory")
MAX_LISTED = 100_000


class Lookups:
    """Questions about the directory. What is not found raises `DirectoryError` with a sentence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def organisation(self, name: str) -> OrganisationRecord:
        """An organisation by its short name."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["organisation_by_name"], name)
        if row is None:
            raise DirectoryError(f"there is no organisation {name!r}: see `everpost org list`")
        return _organisation(row)

    async def organisations(self) -> list[OrganisationRecord]:
        """All of them, by name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["organisations"])
        return [_organisation(row) for row in rows]

    async def only_organisation(self) -> OrganisationRecord:
        """The one organisation of an installation that has just one."""
        found = await self.organisations()
        if len(found) == 1:
            return found[0]
        if not found:
            raise DirectoryError("there is no organisation yet: create one with `everpost org create NAME`")
        names = ", ".join(each.name for each in found[:10])
        raise DirectoryError(f"there are several organisations, say which with --org: {names}")

    async def organisation_of(self, address: Address | str) -> OrganisationRecord:
        """The organisation that an address's domain belongs to."""
        key = domain_key(check_address(address).domain)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["organisation_of_domain"], key)
        if row is None:
            raise DirectoryError(f"{key} is no domain here: create it first (everpost domain create {key})")
        return _organisation(row)

    async def domains(self, organisation_id: int) -> list[DomainRecord]:
        """An organisation's domains, by name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["domains"], organisation_id)
        return [DomainRecord(**dict(row)) for row in rows]

    async def domain(self, organisation_id: int, name: str) -> DomainRecord:
        """A domain by its name."""
        key = check_domain(name)
        for each in await self.domains(organisation_id):
            if each.name == key:
                return each
        raise DirectoryError(f"{key} is not a domain of this organisation: see `everpost domain list`")

    async def own_domain(self, organisation_id: int, key: str) -> bool:
        """Whether the organisation has the domain (A-labels, lower case)."""
        async with self._database.connection() as connection:
            return await connection.fetchrow(_SQL["domain_in_organisation"], organisation_id, key) is not None

    async def mailbox(self, address: Address | str, organisation_id: int) -> MailboxRecord:
        """The mailbox an address belongs to, by default address or alias."""
        parsed = check_address(address)
        found = await self.target(organisation_id, str(parsed))
        if not isinstance(found, MailboxRecord):
            kind = "is a group, not a mailbox" if found else "is no mailbox of this organisation"
            raise DirectoryError(f"{parsed} {kind}: see `everpost mailbox list`")
        return found

    async def mailboxes(
        self, organisation_id: int, search: str | None = None, limit: int = MAX_LISTED
    ) -> list[MailboxRecord]:
        """Mailboxes by address, those whose name or default address contains `search`; without their aliases."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["mailboxes"], organisation_id, search, min(limit, MAX_LISTED))
        return [_mailbox(row) for row in rows]

    async def groups(self, organisation_id: int) -> list[GroupRecord]:
        """An organisation's groups, by name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["groups"], organisation_id)
        return [_group(row) for row in rows]

    async def group(self, organisation_id: int, name: str) -> GroupRecord:
        """A group by its name or one of its addresses."""
        found = await self.target(organisation_id, name)
        if not isinstance(found, GroupRecord):
            raise DirectoryError(f"there is no group {name[:80]!r}: see `everpost group list`")
        return found

    async def members(self, organisation_id: int, group_id: int) -> list[MemberRecord]:
        """A group's direct members, by label."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["group_members"], organisation_id, group_id)
        members = [
            MemberRecord(
                row["address"] or row["group_name"] or row["outside_address"] or "?",
                row["mailbox_id"],
                row["member_group_id"],
                row["outside_address"],
            )
            for row in rows
        ]
        return sorted(members, key=lambda member: member.label)

    async def target(self, organisation_id: int, text: str) -> MailboxRecord | GroupRecord | None:
        """What an address, or a group's name, stands for in this organisation."""
        try:
            key = Address.parse(text).key
        except AddressError:
            key = None
        async with self._database.connection() as connection:
            owner = await connection.fetchrow(_SQL["address_owner"], organisation_id, key) if key else None
            if owner is not None and owner["mailbox_id"] is not None:
                return await _read_mailbox(connection, organisation_id, owner["mailbox_id"])
            if owner is not None:
                return _group(await connection.fetchrow(_SQL["one_group"], organisation_id, owner["group_id"], None))
            row = await connection.fetchrow(_SQL["one_group"], organisation_id, None, text)
        return None if row is None else _group(row)

    async def primaries(self, organisation_id: int) -> list[PrimaryRecord]:
        """An organisation's primaries, by name, without their secrets."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["primaries"], organisation_id)
        return [
            PrimaryRecord(
                row["id"],
                row["name"],
                msgspec.convert(row["settings"], PrimarySettings),
                tuple(row["smarthost_networks"]),
                row["relay_login"],
                row["trust_state"],
                row["state_since"],
                row["state_cause"],
                row["state_actor"],
                row["state_reason"],
            )
            for row in rows
        ]

    async def primary(self, organisation_id: int, name: str) -> PrimaryRecord:
        """A primary by its name."""
        found = await self.primaries(organisation_id)
        for each in found:
            if each.name == name:
                return each
        names = ", ".join(each.name for each in found[:10]) or "none yet"
        raise DirectoryError(f"there is no primary {name[:80]!r} in this organisation (there is: {names})")


async def _read_mailbox(connection: Connection, organisation_id: int, mailbox_id: int) -> MailboxRecord:
    row = await connection.fetchrow(_SQL["mailbox_by_id"], organisation_id, mailbox_id)
    addresses = await connection.fetch(_SQL["addresses_of_mailbox"], organisation_id, mailbox_id)
    return _mailbox(row, tuple(each["written"] for each in addresses if not each["is_default"]))


def _mailbox(row: Any, aliases: tuple[str, ...] = ()) -> MailboxRecord:
    return MailboxRecord(
        row["id"], row["address"], row["name"], row["kind"], row["status"], row["source"], row["external_id"],
        row["alternate"], row["domain_id"], aliases,
    )  # fmt: skip


def _group(row: Any) -> GroupRecord:
    return GroupRecord(
        row["id"], row["name"], row["source"], row["external_id"], tuple(sorted(row["addresses"])), row["members"]
    )


def _organisation(row: Any) -> OrganisationRecord:
    return OrganisationRecord(row["id"], row["name"], row["display_name"], row["signing_public"])
