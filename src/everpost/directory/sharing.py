"""Who else may use a mailbox: delegates and their rights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from everpost.directory.changes import change
from everpost.directory.lookups import Lookups
from everpost.directory.model import Rights
from everpost.directory.records import DirectoryError
from everpost.mail.address import Address
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("directory")
MAX_DELEGATES: Final = 200
"""Of one mailbox."""
MAX_SHARED_WITH_ONE: Final = 50
"""Mailboxes that one person may use besides their own."""
MAX_LISTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Delegate:
    """Somebody who may use a mailbox besides its owner."""

    mailbox: str
    address: str
    name: str
    rights: Rights


class Sharing(Lookups):
    """Gives and takes rights. Raises `DirectoryError`, and what `store.database.UNAVAILABLE` lists."""

    def __init__(self, database: Database, *, actor: str = "everpost") -> None:
        super().__init__(database)
        self._actor = actor

    async def share(
        self, organisation_id: int, address: Address | str, delegate: Address | str, rights: Rights
    ) -> None:
        """Let `delegate` use the mailbox `address`, from the next request on; other rights replace those there were."""
        mailbox, person = await self.mailbox(address, organisation_id), await self.mailbox(delegate, organisation_id)
        if mailbox.id == person.id:
            raise DirectoryError(f"{mailbox.address} has all rights in its own mailbox")
        async with change(self._database, organisation_id, self._actor) as work:
            counts = await work.row("count_delegations", mailbox.id, person.id)
            if counts["given"] >= MAX_DELEGATES or counts["taken"] >= MAX_SHARED_WITH_ONE:
                raise DirectoryError(
                    f"a mailbox has at most {MAX_DELEGATES} delegates, and a person at most {MAX_SHARED_WITH_ONE} "
                    "mailboxes besides their own"
                )
            await work.execute("save_delegate", mailbox.id, person.id, rights)
            await work.audit(
                "mailbox.shared", mailbox.address, mailbox=mailbox.id, delegate=person.address, rights=rights
            )  # fmt: skip

    async def unshare(self, organisation_id: int, address: Address | str, delegate: Address | str) -> None:
        """Take all rights away, at once."""
        mailbox, person = await self.mailbox(address, organisation_id), await self.mailbox(delegate, organisation_id)
        async with change(self._database, organisation_id, self._actor) as work:
            if await work.row("delete_delegate", mailbox.id, person.id) is None:
                raise DirectoryError(f"{person.address} has no rights in {mailbox.address}")
            await work.audit("mailbox.unshared", mailbox.address, mailbox=mailbox.id, delegate=person.address)

    async def delegates(self, organisation_id: int, address: Address | str | None) -> list[Delegate]:
        """Those who may use a mailbox, by address; of all mailboxes where none is named, at most `MAX_LISTED`."""
        mailbox_id = None if address is None else (await self.mailbox(address, organisation_id)).id
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["delegates"], organisation_id, mailbox_id, MAX_LISTED)
        return [Delegate(row["mailbox"], row["address"], row["name"], Rights(row["rights"])) for row in rows]
