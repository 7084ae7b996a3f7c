"""The classifier in the running service: workers speak from a model as soon as it is made, and people teach it."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.test_serve import PASSWORD, eventually, folder
from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import Installation, free_port
from everpost.directory.admin import DirectoryAdmin
from everpost.guard.contents import read_contents
from everpost.guard.learn.features import features_of
from everpost.guard.learn.model import Class
from everpost.guard.learn.models import PRIOR, make_model, teach
from everpost.guard.model import decode_verdict
from everpost.identity.login import Identity
from everpost.mail.header import parse_header
from everpost.store.database import Database
from guard_tools.corpus import mail

__all__ = ["folder"]
USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]


@pytest.fixture
async def installation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    """Its name server is not there: the guard does without."""
    monkeypatch.setenv("EVERPOST_GUARD_SENDER_S", "0.5")
    made = Installation(folder, workers=2, name_server=f"127.0.0.1:{free_port()}")
    made.write_configuration()
    config = load_config(made.config_path)
    config.load_master_key(create=True)
    await made.start()
    async with open_database(config) as database:
        admin = DirectoryAdmin(database, config.load_master_key())
        organisation = await admin.create_organisation("acme")
        await admin.create_domain(organisation.id, "example.org")
        mailbox_id = await admin.create_mailbox(organisation.id, "anna@example.org")
        await Identity(database).set_password(organisation.id, mailbox_id, PASSWORD)
    yield made
    await made.stop()


async def teach_prior(database: Database) -> None:
    async with database.transaction() as connection:
        for number in range(60):
            for verdict in Class:
                data = mail(number, spam=verdict is Class.SPAM)
                header = parse_header(data)
                found = features_of(header, read_contents(data, header))
                await teach(connection, PRIOR, number * 2 + (verdict is Class.SPAM), verdict, found)
    await make_model(database, PRIOR)


def send(installation: Installation, data: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", installation.mx_port, timeout=10) as client:
        client.sendmail("x@offers.example", ["anna@example.org"], data.replace(b"\n", b"\r\n"))


def move_newest_to_junk(installation: Installation) -> None:
    with httpx.Client(base_url=installation.url, auth=("anna@example.org", PASSWORD), timeout=10) as client:
        account = next(iter(client.get("/jmap/session").raise_for_status().json()["accounts"]))

        def call(name: str, **arguments: object) -> dict[str, object]:
            body = {"using": USING, "methodCalls": [[name, {"accountId": account, **arguments}, "0"]]}
            answer = client.post("/jmap/api", json=body).raise_for_status().json()
            return dict(answer["methodResponses"][0][1])

        boxes = {each["role"]: each["id"] for each in call("Mailbox/get", ids=None)["list"]}  # type: ignore[attr-defined]
        found = call("Email/query", sort=[{"property": "receivedAt", "isAscending": False}])["ids"]
        change = {found[0]: {"mailboxIds": {boxes["junk"]: True}}}  # type: ignore[index]
        assert call("Email/set", update=change)["updated"]


async def test_it_speaks_when_it_was_taught_and_learns_from_people(installation: Installation) -> None:
    async with open_database(load_config(installation.config_path)) as database:

        async def newest() -> list[str]:
            async with database.connection() as connection:
                verdict = await connection.fetchval("SELECT verdict FROM message ORDER BY received_at DESC LIMIT 1")
            return [each.kind for each in decode_verdict(verdict).signals]

        await asyncio.to_thread(send, installation, mail(500, spam=True))
        assert "content.silent" in await newest()
        await teach_prior(database)
        number = 600

        async def speaks() -> bool:
            nonlocal number
            number += 1
            await asyncio.to_thread(send, installation, mail(number, spam=True))
            return "content.spam" in await newest()

        await eventually(speaks)
        await asyncio.to_thread(send, installation, mail(1000, spam=False))
        assert "content.ham" in await newest()
        await asyncio.to_thread(move_newest_to_junk, installation)

        async def is_learned() -> bool:
            async with database.connection() as connection:
                return await connection.fetchval("SELECT learned FROM lesson WHERE mailbox_id <> 0") == "spam"

        await eventually(is_learned, 40)
