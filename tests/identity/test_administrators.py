"""Administrators against a real database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from everpost.crypto.keys import SealingKey
from everpost.directory.admin import DirectoryAdmin
from everpost.identity.administrators import IDLE, INSTALLATION, LIFETIME, Administrators
from everpost.identity.login import IdentityError
from everpost.store.database import Database

PASSWORD = "a long pass phrase"


@pytest.fixture
async def administrators(database: Database) -> Administrators:
    found = Administrators(database, actor="test")
    await found.create("root", PASSWORD)
    return found


async def fetchval(database: Database, query: str, *values: Any) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(query, *values)


async def test_password(database: Database, administrators: Administrators) -> None:
    found = await administrators.check_password("root", PASSWORD)
    assert found is not None
    assert (found.organisation_id, found.name, found.actor) == (INSTALLATION, "root", "admin:root")
    for name, password in (
        ("root", "wrong"),
        ("nobody", PASSWORD),
        ("Root", PASSWORD),
        ("a\0b", PASSWORD),
        ("root", ""),
    ):
        assert await administrators.check_password(name, password) is None
    assert str(await fetchval(database, "SELECT secret FROM administrator")).startswith("$argon2id$")
    assert PASSWORD not in str(await fetchval(database, "SELECT string_agg(e::text, '') FROM audit_event e"))


@pytest.mark.parametrize("name", ["", "a@b", "Root", "-a", "a-", "a b", "ä", "a" * 64, "a\n"])
async def test_names(administrators: Administrators, name: str) -> None:
    with pytest.raises(IdentityError, match="small letters"):
        await administrators.create(name, PASSWORD)


async def test_what_must_not_be(administrators: Administrators) -> None:
    for work, words in (
        (administrators.create("root", PASSWORD), "already"),
        (administrators.create("new", "too short"), "at least 12"),
        (administrators.create("new", "x" * 2000), "at most"),
        (administrators.create_token("root", 0), "1 to 366"),
        (administrators.create_token("nobody", 1), "no administrator"),
        (administrators.remove("nobody"), "no administrator"),
    ):
        with pytest.raises(IdentityError, match=words):
            await work


async def test_of_one_organisation(database: Database, master: SealingKey, administrators: Administrators) -> None:
    organisation = await DirectoryAdmin(database, master).create_organisation("example")
    await administrators.create("ann", PASSWORD, organisation.id)
    found = await administrators.check_password("ann", PASSWORD)
    assert found is not None
    assert found.may_see(organisation.id)
    assert not found.may_see(organisation.id + 1)
    assert [(each.name, each.organisation) for each in await administrators.records()] == [
        ("ann", "example"), ("root", None),
    ]  # fmt: skip
    rows = await fetchval(
        database,
        "SELECT array_agg(organisation_id ORDER BY id) FROM audit_event WHERE action = 'administrator.created'",
    )
    assert rows == [0, organisation.id]


async def test_sessions_end(database: Database, administrators: Administrators) -> None:
    root = await administrators.check_password("root", PASSWORD)
    assert root is not None

    async def session(moved: timedelta, column: str) -> str:
        text = await administrators.start_session(root, "a browser\0\n")
        assert await administrators.check_session(text) == root
        async with database.connection() as connection:
            await connection.execute(
                f"UPDATE administrator_session SET {column} = {column} - $1::interval WHERE client LIKE 'a browser%'",
                moved,
            )
        return text

    assert await administrators.check_session(await session(LIFETIME, "expires_at")) is None
    await administrators.forget_old()
    assert await fetchval(database, "SELECT count(*) FROM administrator_session") == 0
    assert await administrators.check_session(await session(IDLE, "seen_at")) is None
    await administrators.forget_old()
    used = await session(IDLE - timedelta(minutes=5), "seen_at")
    assert await administrators.check_session(used) == root  # and is used again from now
    assert await fetchval(database, "SELECT seen_at > now() - interval '1 minute' FROM administrator_session")
    assert used not in str(await fetchval(database, "SELECT string_agg(s::text, '') FROM administrator_session s"))
    await administrators.end_session(used)
    assert await administrators.check_session(used) is None
    for text in ("", "x" * 100, "\ud800", "x"):
        assert await administrators.check_session(text) is None


async def test_a_new_password_ends_sessions(administrators: Administrators) -> None:
    root = await administrators.check_password("root", PASSWORD)
    assert root is not None
    text, token = await administrators.start_session(root, ""), await administrators.create_token("root", 1)
    await administrators.set_password("root", "another pass phrase")
    assert await administrators.check_session(text) is None
    assert await administrators.check_password("root", PASSWORD) is None
    assert await administrators.check_password("root", "another pass phrase") == root
    assert await administrators.check_token(token) == root


async def test_tokens(database: Database, administrators: Administrators) -> None:
    token = await administrators.create_token("root", 2)
    found = await administrators.check_token(token)
    assert found is not None
    assert found.name == "root"
    assert await administrators.check_token(token + "x") is None
    assert await administrators.check_token(token.removeprefix("eva_")) is None
    stored = str(await fetchval(database, "SELECT string_agg(t::text, '') FROM administrator_token t"))
    assert token not in stored
    assert token.removeprefix("eva_") not in stored
    async with database.connection() as connection:
        await connection.execute("UPDATE administrator_token SET expires_at = expires_at - interval '2 days'")
    assert await administrators.check_token(token) is None
    await administrators.forget_old()
    assert await fetchval(database, "SELECT count(*) FROM administrator_token") == 0
    second = await administrators.create_token("root", 2)
    assert await administrators.revoke("root") == 1
    assert await administrators.check_token(second) is None


async def test_who_is_removed_is_out_at_once(database: Database, administrators: Administrators) -> None:
    root = await administrators.check_password("root", PASSWORD)
    assert root is not None
    text, token = await administrators.start_session(root, ""), await administrators.create_token("root", 1)
    await administrators.remove("root")
    assert await administrators.check_session(text) is None
    assert await administrators.check_token(token) is None
    assert await administrators.start_session(root, "")  # of one who is gone: it is worth nothing
    assert await fetchval(database, "SELECT count(*) FROM administrator_session") == 0
