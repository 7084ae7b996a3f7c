"""From an envelope address to the mailboxes it reaches. Answers are cached until the directory changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from everpost.directory.model import (
    CopyPolicy,
    JournalAddress,
    MailboxTarget,
    OutsideTarget,
    Place,
    Resolution,
    Resolved,
    Rights,
    Share,
    Unresolved,
)
from everpost.directory.settings import OrganisationSettings
from everpost.mail.address import Address, domain_key
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("directory")
CACHED = 20_000
SHARED = 500  # addresses in one look-up
K = TypeVar("K")
V = TypeVar("V")


class _Cache(Generic[K, V]):
    """So many answers; the oldest goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[K, V] = OrderedDict()
        self.get = self._kept.get
        self.clear = self._kept.clear

    def put(self, key: K, value: V) -> None:
        self._kept[key] = value
        if len(self._kept) > CACHED:
            self._kept.popitem(last=False)


class _Addresses:
    """Looks addresses up. Who asks while a look-up is under way shares the next one: planning costs more than rows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: dict[str, asyncio.Future[Any]] = {}
        self._task: asyncio.Task[None] | None = None

    async def rows(self, keys: Sequence[str]) -> Mapping[str, Any]:
        """By key; those that there are. Raises what `store.database.UNAVAILABLE` lists."""
        loop = asyncio.get_running_loop()
        futures = {key: self._asked.setdefault(key, loop.create_future()) for key in keys}
        if self._task is None:
            self._task = loop.create_task(self._look_up_all())
        found = {key: await asyncio.shield(future) for key, future in futures.items()}
        return {key: row for key, row in found.items() if row is not None}

    async def _look_up_all(self) -> None:
        try:
            while self._asked:
                keys = list(self._asked)[:SHARED]
                await self._look_up({key: self._asked.pop(key) for key in keys})
        finally:
            self._task = None

    async def _look_up(self, asked: Mapping[str, asyncio.Future[Any]]) -> None:
        try:
            async with self._database.connection() as connection:
                rows = {row["key"]: row for row in await connection.fetch(_SQL["find_addresses"], list(asked))}
        except Exception as error:  # noqa: BLE001 it is raised where it was asked
            for future in asked.values():
                future.set_exception(error)
                future.exception()  # whoever asked may be gone
        else:
            for key, future in asked.items():
                future.set_result(rows.get(key))


class Directory:
    """Resolves addresses against the database. One per process; `forget` drops what was cached.

    Domains and mailboxes are kept by themselves too: an address that is met for the first time then costs one look-up.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._addresses = _Addresses(database)
        self._answers: _Cache[str, Resolution] = _Cache()
        self._domains: _Cache[str, Any] = _Cache()
        self._mailboxes: _Cache[tuple[int, int], Place] = _Cache()
        self._shares: _Cache[tuple[int, int], tuple[Share, ...]] = _Cache()
        self._own: _Cache[int, frozenset[str]] = _Cache()
        self._copies: _Cache[int, CopyPolicy] = _Cache()
        self._epoch = 0

    def forget(self) -> None:
        """The directory has changed."""
        self._epoch += 1
        for cache in (self._answers, self._domains, self._mailboxes, self._shares, self._own, self._copies):
            cache.clear()

    @property
    def epoch(self) -> int:
        """Rises whenever the directory has changed."""
        return self._epoch

    def cached(self, address: Address) -> Resolution | None:
        """The answer without waiting, where it is known."""
        return self._answers.get(str(address))

    async def resolve(self, address: Address) -> Resolution:
        """Whom `address` reaches. Raises what `store.database.UNAVAILABLE` lists."""
        text = str(address)
        known = self._answers.get(text)
        if known is not None:
            return known
        epoch = self._epoch
        answer = await self._resolve(address)
        if epoch == self._epoch:  # else it may have been read before the change
            self._answers.put(text, answer)
        return answer

    async def place(self, organisation_id: int, mailbox_id: int) -> Place:
        """Where a mailbox stands; raises `LookupError`."""
        async with self._database.connection() as connection:
            targets = await _mailbox_targets(connection, organisation_id, [mailbox_id], None)
        if not targets:
            raise LookupError(f"no mailbox {mailbox_id}")
        return targets[0].place

    async def domains_of(self, organisation_id: int) -> frozenset[str]:
        """All domains of an organisation (A-labels, lower case). Raises what `store.database.UNAVAILABLE` lists."""
        known = self._own.get(organisation_id)
        if known is not None:
            return known
        epoch = self._epoch
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["domain_names"], organisation_id)
        found = frozenset(row["name"] for row in rows)
        if epoch == self._epoch:
            self._own.put(organisation_id, found)
        return found

    async def copies_of(self, organisation_id: int) -> CopyPolicy:
        """How its delivery copies may differ from the original. Raises what `store.database.UNAVAILABLE` lists."""
        known = self._copies.get(organisation_id)
        if known is not None:
            return known
        epoch = self._epoch
        found = (await OrganisationSettings(self._database, actor="").read(organisation_id)).copies
        if epoch == self._epoch:
            self._copies.put(organisation_id, found)
        return found

    async def shared_with(self, organisation_id: int, mailbox_id: int) -> tuple[Share, ...]:
        """The mailboxes that a person may use besides their own. Raises what `store.database.UNAVAILABLE` lists."""
        key = (organisation_id, mailbox_id)
        known = self._shares.get(key)
        if known is not None:
            return known
        epoch = self._epoch
        async with self._database.connection() as connection:
            rows = {row["mailbox_id"]: row for row in await connection.fetch(_SQL["shared_with"], *key)}
            targets = await _mailbox_targets(connection, organisation_id, list(rows), None) if rows else []
        found = tuple(
            Share(each.place, each.deliver_to, row["name"], Rights(row["rights"]))
            for each in targets
            if (row := rows.get(each.place.mailbox_id)) is not None
        )
        if epoch == self._epoch:
            self._shares.put(key, found)
        return found

    async def _resolve(self, address: Address) -> Resolution:
        domain = await self._domain(domain_key(address.domain))
        if domain is None:
            return Unresolved.NOT_OURS
        organisation_id = domain["organisation_id"]
        if domain["journal_local"] and address.local.lower() == domain["journal_local"]:
            return JournalAddress(organisation_id, domain["id"], domain["primary_id"])
        mailbox_id, group_id, status = await self._find(organisation_id, address)
        if group_id is not None:
            async with self._database.connection() as connection:
                targets = await _group_targets(connection, organisation_id, group_id)
            return Resolved(organisation_id, domain["id"], targets, group_id)
        if mailbox_id is None:
            mailbox_id, status = domain["catch_all_id"], "active"
        if mailbox_id is None:
            return Unresolved.NO_SUCH_MAILBOX
        if status != "active":
            return Unresolved.DISABLED
        place = await self._mailbox(organisation_id, mailbox_id, address)
        if place is None:
            return Unresolved.NO_SUCH_MAILBOX
        return Resolved(organisation_id, domain["id"], (MailboxTarget(place, address),))

    async def _domain(self, name: str) -> Any:
        """The domain's row; None where it is not ours, which is not kept: strangers name any number of domains."""
        known = self._domains.get(name)
        if known is None:
            epoch = self._epoch
            async with self._database.connection() as connection:
                known = await connection.fetchrow(_SQL["find_domain"], name)
            if known is not None and epoch == self._epoch:
                self._domains.put(name, known)
        return known

    async def _mailbox(self, organisation_id: int, mailbox_id: int, address: Address) -> Place | None:
        """Where an active mailbox stands, that `address` reaches."""
        key = (organisation_id, mailbox_id)
        known = self._mailboxes.get(key)
        if known is None:
            epoch = self._epoch
            async with self._database.connection() as connection:
                targets = await _mailbox_targets(connection, organisation_id, [mailbox_id], address)
            known = targets[0].place if targets else None
            if known is not None and epoch == self._epoch:
                self._mailboxes.put(key, known)
        return known

    async def _find(self, organisation_id: int, address: Address) -> tuple[int | None, int | None, str | None]:
        """(mailbox, group, mailbox's status) of an address, with and without its "+detail" (RFC 5233)."""
        base = address.local.split("+", 1)[0]
        keys = [address.key]
        if base and base != address.local:
            keys.append(Address(base, address.domain).key)
        rows = await self._addresses.rows(keys)
        for key in keys:
            row = rows.get(key)
            if row is not None and row["organisation_id"] == organisation_id:
                return row["mailbox_id"], row["group_id"], row["status"]
        return None, None, None


async def _group_targets(
    connection: Connection, organisation_id: int, group_id: int
) -> tuple[MailboxTarget | OutsideTarget, ...]:
    rows = await connection.fetch(_SQL["members_of_group"], organisation_id, group_id)
    mailboxes = [row["mailbox_id"] for row in rows if row["mailbox_id"] is not None]
    outside = [OutsideTarget(Address.parse(row["outside_address"])) for row in rows if row["outside_address"]]
    return (*await _mailbox_targets(connection, organisation_id, mailboxes, None), *outside)


async def _mailbox_targets(
    connection: Connection, organisation_id: int, mailbox_ids: list[int], address: Address | None
) -> list[MailboxTarget]:
    """Active mailboxes, reached by `address` or else by their default address."""
    rows = await connection.fetch(_SQL["mailbox_place"], organisation_id, mailbox_ids)
    groups = {
        row["mailbox_id"]: frozenset(row["group_ids"])
        for row in await connection.fetch(_SQL["groups_of_mailboxes"], organisation_id, mailbox_ids)
    }
    return [
        MailboxTarget(
            Place(organisation_id, row["id"], row["domain_id"], row["primary_id"], groups.get(row["id"], frozenset())),
            address or Address.parse(row["default_address"]),
        )
        for row in rows
        if row["status"] == "active" and (address or row["default_address"])
    ]
