"""Changing who is who: every change is one audited transaction that all processes hear of."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Literal

import msgspec

from everpost.crypto.keys import SealingKey, new_key, organisation_context
from everpost.crypto.passwords import hash_password
from everpost.crypto.signing import new_signing_key
from everpost.directory import changes
from everpost.directory.changes import Change, check_address, check_domain, check_text
from everpost.directory.lookups import Lookups
from everpost.directory.primary import PrimarySecrets, PrimarySettings, open_secrets, seal_secrets
from everpost.directory.records import (
    DirectoryError,
    GroupRecord,
    IpNetwork,
    MailboxRecord,
    OrganisationRecord,
)
from everpost.mail.address import Address, domain_key
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("directory")
_STORE = load("store")
_SHORT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
Networks = Iterable[str | IpNetwork]
NO_SECRETS = PrimarySecrets()


class Keep(enum.Enum):
    """Says that something stays as it is, where None means something."""

    KEEP = enum.auto()


KEEP = Keep.KEEP


class DirectoryAdmin(Lookups):
    """Creates and changes organisations and all that is in them. `actor` is who the audit says did it.

    Every method raises `DirectoryError` for what must not be, and what `store.database.UNAVAILABLE` lists.
    """

    def __init__(self, database: Database, master: SealingKey, *, actor: str = "everpost") -> None:
        super().__init__(database)
        self._master = master
        self._actor = actor

    def change(self, organisation_id: int) -> AbstractAsyncContextManager[Change]:
        """A change of several steps in one transaction (for synchronisation)."""
        return changes.change(self._database, organisation_id, self._actor)

    # ------------------------------------------------------------------ organisations, primaries, domains

    async def create_organisation(self, name: str, display_name: str = "") -> OrganisationRecord:
        """A tenant with keys of its own. `name` is short and lower case, as used on the command line."""
        check_short_name(name)
        shown = check_text(display_name or name, "display name")
        organisation_id = await self._database.ids.new()
        key = new_key()
        private, public = new_signing_key()
        wrapped = self._master.seal(key, organisation_context(organisation_id))
        sealed = SealingKey.from_bytes(key).seal(private, "signing")
        async with self.change(organisation_id) as change:
            await change.execute("insert_organisation", name, shown, wrapped, sealed, public)
            await change.audit("organisation.created", name, display_name=shown)
        return OrganisationRecord(organisation_id, name, shown, public)

    async def create_primary(
        self,
        organisation_id: int,
        name: str,
        settings: PrimarySettings,
        secrets: PrimarySecrets = NO_SECRETS,
        *,
        smarthost_networks: Networks = (),
        relay_login: str | None = None,
        relay_password: str | None = None,
    ) -> int:
        """A mail server to protect; returns its id.

        It may relay through us from `smarthost_networks`, or with a login by AUTH.
        """
        check_short_name(name)
        check_relay(relay_login, relay_password)
        networks = check_networks(smarthost_networks)
        key = await self._organisation_key(organisation_id)
        relay_secret = await hash_password(relay_password) if relay_password else None
        async with self.change(organisation_id) as change:
            primary_id = await change.new_id()
            await change.announce_primary()
            await _refuse_overlap(change, primary_id, networks)
            sealed = seal_secrets(key, organisation_id, primary_id, secrets)
            await change.execute(
                "insert_primary", primary_id, name, settings, sealed, networks, relay_login or None, relay_secret
            )
            await change.audit(
                "primary.created", name, primary=primary_id, settings=msgspec.to_builtins(settings),
                networks=[str(network) for network in networks], relay_login=relay_login,
            )  # fmt: skip
        return primary_id

    async def update_primary(
        self,
        organisation_id: int,
        primary_id: int,
        *,
        settings: PrimarySettings | None = None,
        secrets: PrimarySecrets | None = None,
        smarthost_networks: Networks | None = None,
        relay_login: str | None = None,
        relay_password: str | None = None,
    ) -> None:
        """Change what is given, keep the rest. An empty `relay_login` takes the login away."""
        networks = None if smarthost_networks is None else check_networks(smarthost_networks)
        key = await self._organisation_key(organisation_id)
        relay_secret = await hash_password(relay_password) if relay_password else None
        async with self.change(organisation_id) as change:
            row = await change.row("lock_primary_settings", primary_id)
            if row is None:
                raise DirectoryError("there is no such primary in this organisation")
            login = row["relay_login"] if relay_login is None else relay_login or None
            secret = (relay_secret or row["relay_secret"]) if login else None
            if login and not secret:
                raise DirectoryError("a relay login needs a password")
            if networks is not None:
                await _refuse_overlap(change, primary_id, networks)
            await change.execute(
                "update_primary",
                primary_id,
                row["settings"] if settings is None else settings,
                row["secrets"] if secrets is None else seal_secrets(key, organisation_id, primary_id, secrets),
                row["smarthost_networks"] if networks is None else networks,
                login,
                secret,
            )
            given = {
                "settings": None if settings is None else msgspec.to_builtins(settings),
                "networks": None if networks is None else [str(network) for network in networks],
                "relay_login": relay_login,
                "secrets": "changed" if secrets is not None or relay_password else None,
            }
            changed = {name: value for name, value in given.items() if value is not None}
            await change.audit("primary.changed", row["name"], primary=primary_id, **changed)

    async def primary_secrets(self, organisation_id: int, primary_id: int) -> PrimarySecrets:
        """What we log in to a primary with."""
        key = await self._organisation_key(organisation_id)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["lock_primary_settings"], organisation_id, primary_id)
        if row is None:
            raise DirectoryError("there is no such primary in this organisation")
        return open_secrets(key, organisation_id, primary_id, row["secrets"])

    async def create_domain(
        self, organisation_id: int, name: str, *, primary_id: int | None = None, journal_local: str | None = None
    ) -> int:
        """A mail domain; returns its id. Without a primary the standby is the only home of its mailboxes."""
        key = check_domain(name)
        journal = check_journal(journal_local, key)
        async with self.change(organisation_id) as change:
            domain_id = await change.new_id()
            await change.execute("insert_domain", domain_id, key, primary_id, journal)
            await change.audit("domain.created", key, domain=domain_id, primary=primary_id, journal=journal)
        return domain_id

    async def set_domain(
        self,
        organisation_id: int,
        name: str,
        *,
        primary_id: int | Keep | None = KEEP,
        journal_local: str | Keep | None = KEEP,
    ) -> None:
        """Give a domain another primary or journal address, or none."""
        key = check_domain(name)
        async with self.change(organisation_id) as change:
            row = await change.row("domain_in_organisation", key)
            if row is None:
                raise DirectoryError(f"{key} is not a domain of this organisation")
            primary = row["primary_id"] if isinstance(primary_id, Keep) else primary_id
            journal = row["journal_local"] if isinstance(journal_local, Keep) else check_journal(journal_local, key)
            if journal and await change.row("address_owner", f"{journal}@{key}"):
                raise DirectoryError(f"{journal}@{key} is an address of a mailbox or group: choose another one")
            await change.execute("update_domain", row["id"], primary, row["catch_all_id"], journal)
            await change.audit("domain.changed", key, domain=row["id"], primary=primary, journal=journal)

    async def set_catch_all(self, organisation_id: int, domain: str, mailbox: Address | str | None) -> None:
        """The mailbox that takes what is for no other address of the domain; None refuses such mail."""
        key = check_domain(domain)
        found = None if mailbox is None else await self.mailbox(mailbox, organisation_id)
        async with self.change(organisation_id) as change:
            row = await change.row("domain_in_organisation", key)
            if row is None:
                raise DirectoryError(f"{key} is not a domain of this organisation")
            mailbox_id = found.id if found else None
            await change.execute("update_domain", row["id"], row["primary_id"], mailbox_id, row["journal_local"])
            await change.audit("domain.catch-all-set", key, domain=row["id"], mailbox=mailbox_id)

    # ------------------------------------------------------------------ mailboxes and addresses

    async def create_mailbox(
        self,
        organisation_id: int,
        address: Address | str,
        name: str = "",
        *,
        kind: Literal["person", "shared"] = "person",
        source: str = "manual",
        external_id: str | None = None,
        alternate: Address | str | None = None,
        aliases: Iterable[Address | str] = (),
    ) -> int:
        """A mailbox with its six system folders; returns its id. `alternate` takes notices on the day."""
        parsed = check_address(address)
        shown = check_text(name or parsed.local, "name")
        elsewhere = str(check_address(alternate)) if alternate else None
        others = [check_address(alias) for alias in aliases]
        async with self.change(organisation_id) as change:
            mailbox_id = await changes.insert_mailbox(change, parsed, shown, kind, source, external_id, elsewhere)
            for alias in others:
                await changes.insert_alias(change, alias, mailbox_id=mailbox_id, source=source)
        return mailbox_id

    async def rename_mailbox(self, organisation_id: int, address: Address | str, name: str) -> None:
        """Another name for people."""
        shown = check_text(name, "name")
        found = await self.mailbox(address, organisation_id)
        async with self.change(organisation_id) as change:
            await changes.rename_mailbox(change, found.id, shown)

    async def set_default_address(self, organisation_id: int, address: Address | str, new: Address | str) -> None:
        """Make `new` the default address of the mailbox; the old one stays as an alias."""
        found = await self.mailbox(address, organisation_id)
        async with self.change(organisation_id) as change:
            await changes.change_default(change, found.id, check_address(new), "manual")

    async def set_alternate(
        self, organisation_id: int, address: Address | str, alternate: Address | str | None
    ) -> None:
        """Where notices for the person go on the day; None for nowhere."""
        found = await self.mailbox(address, organisation_id)
        elsewhere = str(check_address(alternate)) if alternate else None
        async with self.change(organisation_id) as change:
            await changes.set_alternate(change, found.id, elsewhere)

    async def add_alias(self, organisation_id: int, target: Address | str, alias: Address | str) -> None:
        """One more address for the mailbox that `target` reaches."""
        found = await self.mailbox(target, organisation_id)
        async with self.change(organisation_id) as change:
            await changes.insert_alias(change, check_address(alias), mailbox_id=found.id, source="manual")

    async def remove_alias(self, organisation_id: int, alias: Address | str) -> None:
        """Take an alias of a mailbox, or an address of a group, away."""
        async with self.change(organisation_id) as change:
            await changes.delete_alias(change, check_address(alias))

    async def disable(self, organisation_id: int, address: Address | str) -> None:
        """Take no more mail for a mailbox and let nobody in. What it holds stays."""
        await self._set_status(organisation_id, address, "disabled")

    async def enable(self, organisation_id: int, address: Address | str) -> None:
        """Undo `disable`."""
        await self._set_status(organisation_id, address, "active")

    async def _set_status(self, organisation_id: int, address: Address | str, status: str) -> None:
        found = await self.mailbox(address, organisation_id)
        if found.status == status:
            return
        async with self.change(organisation_id) as change:
            await changes.set_status(change, found.id, status)

    # ------------------------------------------------------------------ groups

    async def create_group(
        self,
        organisation_id: int,
        name: str,
        address: Address | str | None = None,
        *,
        source: str = "manual",
        external_id: str | None = None,
    ) -> int:
        """A distribution list, or without an address a mere scope for switches; returns its id."""
        shown = check_text(name, "name of a group")
        parsed = check_address(address) if address else None
        async with self.change(organisation_id) as change:
            return await changes.insert_group(change, shown, parsed, source, external_id)

    async def add_group_address(self, organisation_id: int, group: str, address: Address | str) -> None:
        """One more address by which a group is reached."""
        found = await self.group(organisation_id, group)
        async with self.change(organisation_id) as change:
            await changes.insert_alias(change, check_address(address), group_id=found.id, source="manual")

    async def add_member(self, organisation_id: int, group: str, member: str) -> None:
        """Add a mailbox (by address), a group (by name or address) or an outside address to a group."""
        await self._member(organisation_id, group, member, "insert_member", "group.member-added")

    async def remove_member(self, organisation_id: int, group: str, member: str) -> None:
        """Take a member out of a group."""
        await self._member(organisation_id, group, member, "delete_member", "group.member-removed")

    async def _member(self, organisation_id: int, group: str, member: str, statement: str, action: str) -> None:
        found = await self.group(organisation_id, group)
        which = await self._member_of(organisation_id, member)
        if which[1] == found.id:
            raise DirectoryError("a group cannot be a member of itself")
        async with self.change(organisation_id) as change:
            await change.execute(statement, found.id, *which)
            await change.audit(action, found.name, group=found.id, member=member)

    async def _member_of(self, organisation_id: int, member: str) -> tuple[int | None, int | None, str | None]:
        """(mailbox, group, outside address), one of which is set."""
        target = await self.target(organisation_id, member)
        if isinstance(target, MailboxRecord):
            return target.id, None, None
        if isinstance(target, GroupRecord):
            return None, target.id, None
        parsed = check_address(member)
        if await self.own_domain(organisation_id, domain_key(parsed.domain)):
            raise DirectoryError(f"there is no mailbox or group {parsed} in this organisation")
        return None, None, str(parsed)

    async def delete_group(self, organisation_id: int, group: str) -> None:
        """Remove a group and its addresses. Its members' mailboxes stay as they are."""
        found = await self.group(organisation_id, group)
        async with self.change(organisation_id) as change:
            if await change.row("group_switches", found.id):
                raise DirectoryError(
                    f"the group {found.name} is activated or its access was switched: bring it back first"
                )
            await change.execute("delete_memberships_of_group", found.id)
            await change.execute("delete_group", found.id)
            await change.audit("group.deleted", found.name, group=found.id)

    async def _organisation_key(self, organisation_id: int) -> SealingKey:
        async with self._database.connection() as connection:
            wrapped = await connection.fetchval(_STORE["organisation_key"], organisation_id)
        if wrapped is None:
            raise DirectoryError("there is no such organisation")
        return SealingKey.from_bytes(self._master.open(wrapped, organisation_context(organisation_id)))


def check_short_name(name: str) -> None:
    """Raises `DirectoryError` unless the name is fit for the command line."""
    if not _SHORT_NAME.match(name):
        raise DirectoryError(
            f"{name[:80]!r} is no short name: use 1 to 63 lower-case letters, digits and hyphens, like acme-north"
        )


def check_relay(login: str | None, password: str | None) -> None:
    """A relay login and its password come together or not at all."""
    if bool(login) != bool(password):
        raise DirectoryError("a relay login and its password belong together: give both or none")
    if login:
        check_text(login, "relay login")


def check_journal(local: str | None, domain: str) -> str | None:
    """The local part of a journal address in lower case; raises `DirectoryError`."""
    if not local:
        return None
    return check_address(f"{local}@{domain}").local.lower()


def check_networks(networks: Networks) -> list[IpNetwork]:
    """Raises `DirectoryError` for what is no network, or is the whole world: that would be an open relay."""
    checked: list[IpNetwork] = []
    for network in networks:
        try:
            parsed = ipaddress.ip_network(network)
        except ValueError as error:
            raise DirectoryError(f"{network!s} is no network: write it like 192.0.2.0/24 or 2001:db8::/64") from error
        if parsed.prefixlen == 0:
            raise DirectoryError(f"{parsed} is the whole internet, which would make this an open relay")
        checked.append(parsed)
    return checked


async def _refuse_overlap(change: Change, primary_id: int, networks: list[IpNetwork]) -> None:
    """One client address must lead to one organisation, and inside it to the narrowest network's primary."""
    if not networks:
        return
    rows = await change.connection.fetch(_SQL["overlapping_networks"], change.organisation_id, primary_id, networks)
    for row in rows:
        if row["organisation_id"] != change.organisation_id or row["network"] in networks:
            raise DirectoryError("one of these networks overlaps with another primary's: relay with a login instead")
