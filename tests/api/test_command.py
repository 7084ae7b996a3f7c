"""`everpost admin`."""

from __future__ import annotations

from pathlib import Path

from app_tools import make_office
from everpost.store.database import Database


async def test_admin(tmp_path: Path, database: Database, database_dsn: str) -> None:
    office = await make_office(tmp_path, database, database_dsn)
    run, error = office.everpost.run, office.everpost.error
    secret = tmp_path / "secret"
    secret.write_text("a long pass phrase\n")
    file = ("--password-file", str(secret))
    assert "the whole installation" in await run("admin", "create", "root", *file)
    assert "administer example" in await run("admin", "create", "ann", "--org", "example", *file)
    assert "already" in await error("admin", "create", "ann", *file)
    assert "small letters" in await error("admin", "create", "ann@example.org", *file)
    assert "no organisation" in await error("admin", "create", "bob", "--org", "nobody", *file)
    assert (await run("admin", "token", "ann")).startswith("eva_")
    listed = await office.everpost.json("admin", "list")
    assert [(each["name"], each["organisation"], each["tokens"]) for each in listed] == [
        ("ann", "example", 1), ("root", None, 0),
    ]  # fmt: skip
    await run("admin", "password", "ann", *file)
    assert (await office.everpost.json("admin", "revoke", "ann"))["tokens"] == 1
    await run("admin", "remove", "ann")
    assert "no administrator" in await error("admin", "remove", "ann")
    events = await office.fetch(
        "SELECT organisation_id = 0, action FROM audit_event WHERE action LIKE 'administrator.%' ORDER BY id"
    )
    assert events == [
        (True, "administrator.created"), (False, "administrator.created"), (False, "administrator.token-created"),
        (False, "administrator.password-set"), (False, "administrator.revoked"), (False, "administrator.removed"),
    ]  # fmt: skip
    actors = await office.fetch(
        "SELECT DISTINCT actor LIKE 'cli:%' FROM audit_event WHERE action LIKE 'administrator.%'"
    )
    assert actors == [(True,)]
