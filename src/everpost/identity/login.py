"""Passwords and tokens of mailboxes: set here, checked here, never asked of the primary."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from everpost.crypto.passwords import MAX_PASSWORD_OCTETS, RecentlyVerified, hash_password, verify_password
from everpost.directory.changes import CHANNEL
from everpost.mail.address import Address, AddressError
from everpost.store.audit import Event, record
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("identity")
_STORE = load("store")
TOKEN_PREFIX = "evp_"  # noqa: S105 (what tokens begin with, for people and secret scanners)
_TOKEN_OCTETS = 32
_MAX_TOKEN = 64
MIN_PASSWORD = 8
MAX_LABEL = 200


class IdentityError(Exception):
    """A credential cannot be set. The message is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Login:
    """A person who proved who they are; `address` is the mailbox's default one."""

    organisation_id: int
    mailbox_id: int
    address: Address
    name: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as people see it; its text was shown once."""

    id: int
    label: str
    created_at: datetime
    expires_at: datetime | None


class Identity:
    """Sets and checks credentials. One per process; call `forget` whenever the directory changes."""

    def __init__(self, database: Database, *, actor: str = "everpost") -> None:
        self._database = database
        self._actor = actor
        self._verified: RecentlyVerified[Login] = RecentlyVerified()
        self._epoch = 0

    def forget(self) -> None:
        """Passwords, addresses or mailboxes have changed: check everything anew."""
        self._epoch += 1
        self._verified.forget()

    async def set_password(self, organisation_id: int, mailbox_id: int, password: str) -> None:
        """Set or replace a mailbox's password; browsers have to log in again. Raises `IdentityError`."""
        if len(password) < MIN_PASSWORD:
            raise IdentityError(f"a password has at least {MIN_PASSWORD} characters")
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_OCTETS:
            raise IdentityError(f"a password has at most {MAX_PASSWORD_OCTETS} octets")
        if password.startswith(TOKEN_PREFIX):
            raise IdentityError(f"a password must not begin with {TOKEN_PREFIX}, as tokens do")
        stored = await hash_password(password)
        credential_id = await self._database.ids.new()
        async with self._database.transaction() as connection:
            await _lock(connection, organisation_id, mailbox_id)
            await connection.execute(_SQL["delete_passwords"], organisation_id, mailbox_id)
            await connection.execute(_SQL["delete_sessions"], organisation_id, mailbox_id)
            await connection.execute(
                _SQL["insert_credential"], organisation_id, credential_id, mailbox_id, "password", "", stored, None
            )
            await self._changed(connection, organisation_id, mailbox_id, "credential.password-set")
        self.forget()

    async def remove_password(self, organisation_id: int, mailbox_id: int) -> bool:
        """Take the password away; tokens stay. False where there was none."""
        async with self._database.transaction() as connection:
            await _lock(connection, organisation_id, mailbox_id)
            gone = await connection.fetch(_SQL["delete_passwords"], organisation_id, mailbox_id)
            await connection.execute(_SQL["delete_sessions"], organisation_id, mailbox_id)
            if gone:
                await self._changed(connection, organisation_id, mailbox_id, "credential.password-removed")
        self.forget()
        return bool(gone)

    async def create_token(
        self, organisation_id: int, mailbox_id: int, label: str = "", expires_at: datetime | None = None
    ) -> str:
        """A fresh token (256 random bits) in its only readable form: just its SHA-256 is stored."""
        if len(label) > MAX_LABEL or (label and not label.isprintable()):
            raise IdentityError(f"a token's label is one line of at most {MAX_LABEL} printable characters")
        text = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_OCTETS)
        credential_id = await self._database.ids.new()
        async with self._database.transaction() as connection:
            await _lock(connection, organisation_id, mailbox_id)
            await connection.execute(
                _SQL["insert_credential"],
                organisation_id, credential_id, mailbox_id, "token", label, _digest(text), expires_at,
            )  # fmt: skip
            await self._changed(
                connection, organisation_id, mailbox_id, "credential.token-created", token=credential_id, label=label
            )
        return text

    async def tokens(self, organisation_id: int, mailbox_id: int) -> list[TokenRecord]:
        """A mailbox's tokens, oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["tokens"], organisation_id, mailbox_id)
        return [TokenRecord(row["id"], row["label"], row["created_at"], row["expires_at"]) for row in rows]

    async def remove_token(self, organisation_id: int, mailbox_id: int, token_id: int) -> bool:
        """Make a token worthless; False where the mailbox has no such token."""
        async with self._database.transaction() as connection:
            label = await connection.fetchval(_SQL["delete_token"], organisation_id, mailbox_id, token_id)
            if label is None:
                return False
            await self._changed(
                connection, organisation_id, mailbox_id, "credential.token-removed", token=token_id, label=label
            )
        return True

    async def check_password(self, address: str, password: str) -> Login | None:
        """Who logs in with any of their addresses and a password (or a token in its place); None where it is wrong.

        Unknown addresses, disabled mailboxes and mailboxes without a password take as long as wrong passwords.
        """
        if password.startswith(TOKEN_PREFIX):
            return await self._check_token_of(address, password)
        try:
            key = Address.parse(address).key
        except AddressError:
            await verify_password(None, password)
            return None
        known = self._verified.get(key, password)
        if known is not None:
            return known
        epoch = self._epoch
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["login_by_address"], key)
        stored = row["secret"] if row is not None and row["status"] == "active" else None
        if not await verify_password(stored, password):
            return None
        login = _login(row)
        if epoch == self._epoch:  # nothing changed while we were checking
            self._verified.put(key, password, login)
        return login

    async def check_token(self, text: str) -> Login | None:
        """Whose token this is, unless it expired or the mailbox is disabled."""
        if not text.startswith(TOKEN_PREFIX) or len(text) > _MAX_TOKEN:
            return None
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["login_by_token"], _digest(text))
        return None if row is None else _login(row)

    async def _check_token_of(self, address: str, text: str) -> Login | None:
        """A token counts as a password for its own mailbox only."""
        login = await self.check_token(text)
        try:
            key = Address.parse(address).key
        except AddressError:
            return None
        if login is None:
            return None
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["login_by_address"], key)
        if row is None:
            return None
        same = (row["organisation_id"], row["mailbox_id"]) == (login.organisation_id, login.mailbox_id)
        return login if same else None

    async def _changed(
        self, connection: Connection, organisation_id: int, mailbox_id: int, action: str, **detail: Any
    ) -> None:
        event = Event(self._actor, action, str(mailbox_id), detail)
        await record(connection, organisation_id, await self._database.ids.new(), event)
        await connection.execute(_STORE["notify"], CHANNEL, str(organisation_id))


async def _lock(connection: Connection, organisation_id: int, mailbox_id: int) -> None:
    """One change of a mailbox's credentials at a time; raises `IdentityError` where there is no such mailbox."""
    if await connection.fetchrow(_SQL["lock_credentials"], organisation_id, mailbox_id) is None:
        raise IdentityError("there is no such mailbox in this organisation")


def _login(row: Any) -> Login:
    return Login(row["organisation_id"], row["mailbox_id"], Address.parse(row["address"]), row["name"])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
