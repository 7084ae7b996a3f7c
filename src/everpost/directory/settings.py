"""What an organisation decides about its mail, for all its people."""

from __future__ import annotations

from dataclasses import dataclass

from everpost.directory import changes
from everpost.directory.model import Banner, CopyPolicy, Forwarding, Language, LinkRewriting
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("directory")
MAX_DISCLAIMER = 4000
MAX_LINE = 400


class BadDisclaimer(ValueError):
    """A text that cannot stand at the end of mail; the message says why."""


def check_disclaimer(text: str) -> str:
    """The text with plain line ends. Raises `BadDisclaimer`."""
    lines = text.strip().splitlines()
    if len(text) > MAX_DISCLAIMER or any(len(line) > MAX_LINE for line in lines):
        raise BadDisclaimer(
            f"a disclaimer has at most {MAX_DISCLAIMER} characters, and {MAX_LINE} in each line"
        )  # fmt: skip
    if any(not line.replace("\t", " ").isprintable() for line in lines):
        raise BadDisclaimer("a disclaimer has characters that cannot be shown")
    return "\n".join(line.rstrip() for line in lines)


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
        copies = CopyPolicy(
            LinkRewriting(row["links"]), Banner(row["banner"]), Language(row["language"]), row["disclaimer"]
        )
        return Settings(Forwarding(row["forwarding"]), copies)

    async def set_forwarding(self, organisation_id: int, forwarding: Forwarding) -> None:
        async with changes.change(self._database, organisation_id, self._actor) as change:
            await change.execute("set_forwarding", forwarding)
            await change.audit("organisation.forwarding-changed", str(organisation_id), forwarding=forwarding)

    async def set_disclaimer(self, organisation_id: int, text: str) -> None:
        """Empty for none. Raises `BadDisclaimer`."""
        text = check_disclaimer(text)
        async with changes.change(self._database, organisation_id, self._actor) as change:
            await change.execute("set_disclaimer", text)
            await change.audit("organisation.disclaimer-changed", str(organisation_id), disclaimer=text[:300])

    async def set_copies(self, organisation_id: int, policy: CopyPolicy) -> None:
        """All of it but the disclaimer."""
        async with changes.change(self._database, organisation_id, self._actor) as change:
            await change.execute("set_copy_policy", policy.links, policy.banner, policy.language)
            await change.audit(
                "organisation.copies-changed", str(organisation_id), links=policy.links, banner=policy.banner,
                language=policy.language,
            )  # fmt: skip
