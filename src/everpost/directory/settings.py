"""What an organisation decides about its mail, for all its people."""

from __future__ import annotations

from dataclasses import dataclass

from everpost.directory import changes
from everpost.directory.model import Banner, CopyPolicy, Forwarding, Language, LinkRewriting
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("directory")


@dataclass(frozen=True, slots=True)
class Settings:
    """`forwarding`: how far filters may pass mail on. `copies`: how delivery copies may differ from the original."""

    forwarding: Forwarding
    copies: CopyPolicy


class OrganisationSettings:
    """Reads and changes them; `actor` stands in the audit. Changes hold from the next message on."""

    def __init__(self, database: Database, *, actor: str) -> None:
        self._database = database
        self._actor = actor

    async def read(self, organisation_id: int) -> Settings:
        """Raises what `store.database.UNAVAILABLE` lists."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["settings"], organisation_id)
        copies = CopyPolicy(LinkRewriting(row["links"]), Banner(row["banner"]), Language(row["language"]))
        return Settings(Forwarding(row["forwarding"]), copies)

    async def set_forwarding(self, organisation_id: int, forwarding: Forwarding) -> None:
        async with changes.change(self._database, organisation_id, self._actor) as change:
            await change.execute("set_forwarding", forwarding)
            await change.audit("organisation.forwarding-changed", str(organisation_id), forwarding=forwarding)

    async def set_copies(self, organisation_id: int, policy: CopyPolicy) -> None:
        async with changes.change(self._database, organisation_id, self._actor) as change:
            await change.execute("set_copy_policy", policy.links, policy.banner, policy.language)
            await change.audit(
                "organisation.copies-changed", str(organisation_id), links=policy.links, banner=policy.banner,
                language=policy.language,
            )  # fmt: skip
