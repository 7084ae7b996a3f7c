"""Administrators: people who throw the switches. They have names, not mailboxes, and prove themselves with a password
(in a browser, then a session) or a token (in a program). Of sessions and tokens only the SHA-256 is stored.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from everpost.crypto.passwords import MAX_PASSWORD_OCTETS, hash_password, verify_password
from everpost.identity.login import IdentityError
from everpost.store.audit import Event, record
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("administrators")
TOKEN_PREFIX = "eva_"  # noqa: S105 (what tokens begin with, for people and secret scanners)
MIN_PASSWORD = 12
LIFETIME = timedelta(hours=12)
IDLE = timedelta(hours=2)
"""A session ends after its lifetime, or when nobody used it for so long."""
MAX_TOKEN_DAYS = 366
INSTALLATION = 0
"""Stands for the organisation of who administers all of them."""
_OCTETS = 32
_MAX_TEXT = 64
_MAX_CLIENT = 300
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class Administrator:
    """Somebody who proved to be one. `organisation_id` is the only one they may see, or `INSTALLATION`."""

    organisation_id: int
    id: int
    name: str

    @property
    def actor(self) -> str:
        """As the audit names them."""
        return f"admin:{self.name}"

    def may_see(self, organisation_id: int) -> bool:
        """Whether an organisation is theirs to look after."""
        return self.organisation_id in (INSTALLATION, organisation_id)


@dataclass(frozen=True, slots=True)
class AdministratorRecord:
    """An administrator in a list. `organisation` is None for the whole installation."""

    name: str
    organisation: str | None
    created_at: datetime
    sessions: int
    tokens: int


class Administrators:
    """Makes and checks administrators; `actor` is who the audit says did it.

    Raises `IdentityError` for what must not be, and what `store.database.UNAVAILABLE` lists.
    """

    def __init__(self, database: Database, *, actor: str = "everpost") -> None:
        self._database = database
        self._actor = actor

    # ------------------------------------------------------------------ who there is

    async def create(self, name: str, password: str, organisation_id: int = INSTALLATION) -> int:
        """An administrator of one organisation, or of all; returns the id."""
        if not _NAME.match(name):
            raise IdentityError(
                "an administrator's name has 1 to 63 small letters, digits, dots, hyphens or underscores, "
                "and begins and ends with a letter or digit"
            )
        stored = await _hash(password)
        administrator_id = await self._database.ids.new()
        async with self._database.transaction() as connection:
            made = await connection.fetchval(
                _SQL["insert_administrator"], organisation_id, administrator_id, name, stored
            )
            if made is None:
                raise IdentityError(f"there is an administrator {name} already")
            await self._record(connection, organisation_id, "administrator.created", name)
        return administrator_id

    async def set_password(self, name: str, password: str) -> None:
        """Every browser is logged out; tokens stay."""
        stored = await _hash(password)
        async with self._database.transaction() as connection:
            found = await _lock(connection, name)
            await connection.execute(_SQL["set_password"], found.organisation_id, found.id, stored)
            await connection.execute(_SQL["delete_sessions"], found.organisation_id, found.id)
            await self._record(connection, found.organisation_id, "administrator.password-set", name)

    async def remove(self, name: str) -> None:
        """With all sessions and tokens."""
        async with self._database.transaction() as connection:
            found = await _lock(connection, name)
            await connection.execute(_SQL["delete_administrator"], found.organisation_id, found.id)
            await self._record(connection, found.organisation_id, "administrator.removed", name)

    async def records(self) -> list[AdministratorRecord]:
        """All of them, by name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["administrators"])
        return [
            AdministratorRecord(row["name"], row["organisation"], row["created_at"], row["sessions"], row["tokens"])
            for row in rows
        ]

    # ------------------------------------------------------------------ programs

    async def create_token(self, name: str, days: int) -> str:
        """A fresh token (256 random bits) in its only readable form."""
        if not 1 <= days <= MAX_TOKEN_DAYS:
            raise IdentityError(f"a token lives 1 to {MAX_TOKEN_DAYS} days")
        text = TOKEN_PREFIX + secrets.token_urlsafe(_OCTETS)
        token_id = await self._database.ids.new()
        expires_at = datetime.now(UTC) + timedelta(days=days)
        async with self._database.transaction() as connection:
            found = await _lock(connection, name)
            await connection.execute(
                _SQL["insert_token"], found.organisation_id, token_id, found.id, _digest(text), expires_at
            )
            await self._record(connection, found.organisation_id, "administrator.token-created", name, days=days)
        return text

    async def revoke(self, name: str) -> int:
        """Make all tokens worthless and log every browser out; returns how many tokens there were."""
        async with self._database.transaction() as connection:
            found = await _lock(connection, name)
            gone = await connection.fetch(_SQL["delete_tokens"], found.organisation_id, found.id)
            await connection.execute(_SQL["delete_sessions"], found.organisation_id, found.id)
            await self._record(
                connection, found.organisation_id, "administrator.revoked", name, tokens=len(gone)
            )  # fmt: skip
        return len(gone)

    async def check_token(self, text: str) -> Administrator | None:
        """Whose token this is; None where it has expired or never was."""
        if not text.startswith(TOKEN_PREFIX) or len(text) > _MAX_TEXT:
            return None
        async with self._database.connection() as connection:
            return _administrator(await connection.fetchrow(_SQL["by_token"], _digest(text)))

    # ------------------------------------------------------------------ browsers

    async def check_password(self, name: str, password: str) -> Administrator | None:
        """None where name and password do not fit; unknown names take as long as wrong passwords."""
        row = None
        if _NAME.match(name):
            async with self._database.connection() as connection:
                row = await connection.fetchrow(_SQL["administrator_by_name"], name)
        fits = await verify_password(row["secret"] if row is not None else None, password)
        return _administrator(row) if fits else None

    async def start_session(self, administrator: Administrator, client: str) -> str:
        """The text for the cookie. `client` is the browser as its owner knows it; it stands in the audit."""
        text = secrets.token_urlsafe(_OCTETS)
        session_id = await self._database.ids.new()
        shown = "".join(letter for letter in client if letter.isprintable())[:_MAX_CLIENT]
        async with self._database.transaction() as connection:
            await connection.execute(
                _SQL["insert_session"],
                administrator.organisation_id, session_id, administrator.id, _digest(text), shown, LIFETIME,
            )  # fmt: skip
            event = Event(
                administrator.actor, "administrator.logged-in", f"administrator {administrator.name}", {"client": shown}
            )
            await record(connection, administrator.organisation_id, await self._database.ids.new(), event)
        return text

    async def check_session(self, text: str) -> Administrator | None:
        """Whose session it is; None where it has ended or never was."""
        if not 0 < len(text) <= _MAX_TEXT:
            return None
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["by_session"], _digest(text), IDLE)
            if row is not None and row["stale"]:
                await connection.execute(_SQL["session_seen"], _digest(text))
        return _administrator(row)

    async def end_session(self, text: str) -> None:
        """Log a browser out."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["delete_session"], _digest(text))

    async def forget_old(self) -> None:
        """Delete what has ended by itself."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["delete_old_sessions"], IDLE)
            await connection.execute(_SQL["delete_old_tokens"])

    async def _record(
        self, connection: Connection, organisation_id: int, action: str, name: str, **detail: Any
    ) -> None:
        event = Event(self._actor, action, f"administrator {name}", detail)
        await record(connection, organisation_id, await self._database.ids.new(), event)


async def _hash(password: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise IdentityError(f"an administrator's password has at least {MIN_PASSWORD} characters")
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_OCTETS:
        raise IdentityError(f"a password has at most {MAX_PASSWORD_OCTETS} octets")
    return await hash_password(password)


async def _lock(connection: Connection, name: str) -> Administrator:
    found = _administrator(await connection.fetchrow(_SQL["lock_administrator"], name))
    if found is None:
        raise IdentityError(f"there is no administrator {name}: see `everpost admin list`")
    return found


def _administrator(row: Any) -> Administrator | None:
    return None if row is None else Administrator(row["organisation_id"], row["id"], row["name"])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
