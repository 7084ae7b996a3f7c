"""Logins against a real database."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from everpost.crypto import passwords
from everpost.crypto.keys import SealingKey
from everpost.directory.admin import DirectoryAdmin
from everpost.identity.login import Identity, IdentityError
from everpost.store.database import Database


@pytest.fixture
def admin(database: Database, master: SealingKey) -> DirectoryAdmin:
    return DirectoryAdmin(database, master)


@pytest.fixture
async def mailbox(admin: DirectoryAdmin) -> tuple[int, int]:
    organisation = await admin.create_organisation("example")
    await admin.create_domain(organisation.id, "example.org")
    mailbox_id = await admin.create_mailbox(organisation.id, "anna@example.org", "Anna", aliases=["sales@example.org"])
    return organisation.id, mailbox_id


async def test_password(database: Database, mailbox: tuple[int, int]) -> None:
    identity = Identity(database)
    await identity.set_password(*mailbox, "correct horse")
    login = await identity.check_password("Sales@Example.org", "correct horse")
    assert login is not None
    assert (login.organisation_id, login.mailbox_id, str(login.address), login.name) == (
        *mailbox, "anna@example.org", "Anna",
    )  # fmt: skip
    assert await identity.check_password("anna@example.org", "wrong horse") is None
    assert await identity.check_password("ben@example.org", "correct horse") is None
    assert await identity.check_password("no address", "correct horse") is None
    assert await identity.check_password("anna@example.org", "x" * 5000) is None
    assert await identity.check_password("anna@example.org", "") is None
    async with database.connection() as connection:
        assert (await connection.fetchval("SELECT secret FROM credential")).startswith(
            "$argon2id$v=19$m=19456,t=2,p=1$"
        )
        text = await connection.fetchval("SELECT string_agg(detail::text, '') FROM audit_event")
    assert "horse" not in text


async def test_new_password_replaces_the_old_one(database: Database, mailbox: tuple[int, int]) -> None:
    identity = Identity(database)
    await identity.set_password(*mailbox, "correct horse")
    assert await identity.check_password("anna@example.org", "correct horse")
    await identity.set_password(*mailbox, "battery staple")
    assert await identity.check_password("anna@example.org", "correct horse") is None
    assert await identity.check_password("anna@example.org", "battery staple")
    assert await identity.remove_password(*mailbox)
    assert await identity.check_password("anna@example.org", "battery staple") is None
    assert not await identity.remove_password(*mailbox)


async def test_right_password_is_remembered_until_something_changes(
    database: Database, admin: DirectoryAdmin, mailbox: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = Identity(database)
    await identity.set_password(*mailbox, "correct horse")
    hashes = 0
    real = passwords._verify

    def counting(stored: str | None, password: str) -> bool:
        nonlocal hashes
        hashes += 1
        return real(stored, password)

    monkeypatch.setattr(passwords, "_verify", counting)
    for _ in range(5):
        assert await identity.check_password("anna@example.org", "correct horse")
    assert hashes == 1
    for _ in range(2):
        assert await identity.check_password("anna@example.org", "wrong horse") is None
    assert hashes == 3
    await admin.disable(mailbox[0], "anna@example.org")
    identity.forget()
    assert await identity.check_password("anna@example.org", "correct horse") is None
    await admin.enable(mailbox[0], "anna@example.org")
    assert await identity.check_password("anna@example.org", "correct horse")
    now = time.monotonic() + passwords.CACHED_FOR_S + 1
    monkeypatch.setattr(passwords.time, "monotonic", lambda: now)
    before = hashes
    assert await identity.check_password("anna@example.org", "correct horse")
    assert hashes == before + 1


async def test_unknown_logins_cost_a_hash_as_well(
    database: Database, mailbox: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []
    real = passwords._hasher.verify

    class Counting:
        hash = passwords._hasher.hash

        def verify(self, stored: str, password: bytes) -> bool:
            hashed.append(password)
            return real(stored, password)

    monkeypatch.setattr(passwords, "_hasher", Counting())
    identity = Identity(database)
    for address in ("anna@example.org", "nobody@example.org", "nobody@elsewhere.example", "nonsense"):
        assert await identity.check_password(address, "guess word") is None
    assert hashed == [b"guess word"] * 4


async def test_token(database: Database, admin: DirectoryAdmin, mailbox: tuple[int, int]) -> None:
    identity = Identity(database)
    token = await identity.create_token(*mailbox, "phone")
    login = await identity.check_token(token)
    assert login is not None
    assert login.mailbox_id == mailbox[1]
    assert await identity.check_password("sales@example.org", token) == login
    await admin.create_mailbox(mailbox[0], "ben@example.org")
    assert await identity.check_password("ben@example.org", token) is None
    for wrong in (token + "x", token[:-1], "", "evp_", "evp_" + "é" * 43, token.upper()):
        assert await identity.check_token(wrong) is None
    async with database.connection() as connection:
        assert token not in await connection.fetchval("SELECT secret FROM credential")
    (listed,) = await identity.tokens(*mailbox)
    assert listed.label == "phone"
    assert not await identity.remove_token(mailbox[0] + 1, mailbox[1], listed.id)
    assert await identity.remove_token(*mailbox, listed.id)
    assert await identity.check_token(token) is None


async def test_token_ends(database: Database, admin: DirectoryAdmin, mailbox: tuple[int, int]) -> None:
    identity = Identity(database)
    old = await identity.create_token(*mailbox, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    new = await identity.create_token(*mailbox, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert await identity.check_token(old) is None
    assert await identity.check_token(new)
    await admin.disable(mailbox[0], "anna@example.org")
    assert await identity.check_token(new) is None


async def test_refused(database: Database, mailbox: tuple[int, int]) -> None:
    identity = Identity(database)
    for password in ("short", "x" * 2000, "evp_looks like a token"):
        with pytest.raises(IdentityError):
            await identity.set_password(*mailbox, password)
    with pytest.raises(IdentityError, match="no such mailbox"):
        await identity.set_password(mailbox[0] + 1, mailbox[1], "correct horse")
    with pytest.raises(IdentityError, match="no such mailbox"):
        await identity.create_token(mailbox[0] + 1, mailbox[1])
