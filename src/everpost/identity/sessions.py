"""Browsers that are logged in: a random text in a cookie, of which only the SHA-256 is stored."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from everpost.identity.login import Login
from everpost.mail.address import Address
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("identity")
_OCTETS = 32
_MAX_TEXT = 64
_MAX_CLIENT = 300
LIFETIME = timedelta(days=30)
IDLE = timedelta(days=7)
"""A session ends after its lifetime, or when nobody used it for so long."""


class Sessions:
    """One per process. Each method raises what `store.database.UNAVAILABLE` lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, organisation_id: int, mailbox_id: int, client: str) -> str:
        """The text for the cookie. `client` is what its owner will know it by."""
        text = secrets.token_urlsafe(_OCTETS)
        session_id = await self._database.ids.new()
        shown = "".join(letter for letter in client if letter.isprintable())[:_MAX_CLIENT]
        async with self._database.connection() as connection:
            await connection.execute(
                _SQL["insert_session"],
                organisation_id, session_id, mailbox_id, _digest(text), shown, LIFETIME,
            )  # fmt: skip
        return text

    async def check(self, text: str) -> Login | None:
        """Whose session it is; None where it has ended or never was."""
        if not 0 < len(text) <= _MAX_TEXT:
            return None
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["login_by_session"], _digest(text), IDLE)
            if row is not None and row["stale"]:
                await connection.execute(_SQL["session_seen"], _digest(text))
        if row is None:
            return None
        return Login(row["organisation_id"], row["mailbox_id"], Address.parse(row["address"]), row["name"])

    async def end(self, text: str) -> None:
        """Log a browser out."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["delete_session"], _digest(text))

    async def forget_old(self) -> None:
        """Delete what has ended by itself."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["delete_old_sessions"], IDLE)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
