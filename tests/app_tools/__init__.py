"""An installation with two organisations, for the tests of commands: real commands, real intake, nothing that sends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from everpost.app.assembly import mailroom
from everpost.app.cli import root
from everpost.app.config import load_config
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.model import Resolved
from everpost.directory.primary import PrimarySettings, SmtpConnector
from everpost.intake.submission import Client, Owner, RoutedRecipient, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Notify, Recipient, Sender
from everpost.standby.summary import scan_message
from everpost.store.blobs import KeyRing, seal_bytes
from everpost.store.database import Database
from everpost.store.ids import decode_id, encode_id

CONTENT = b"From: <cora@example.com>\r\nTo: x\r\nSubject: %s\r\nMessage-ID: <%s>\r\n\r\nText\r\n"


class Everpost:
    """Runs commands against one configuration."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def invoke(self, *words: str) -> Result:
        result = CliRunner().invoke(root, ["--config", str(self.config), *words], prog_name="everpost")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    async def run(self, *words: str, code: int = 0) -> str:
        result = await asyncio.to_thread(self.invoke, *words)
        assert result.exit_code == code, result.output
        return result.stderr if code and not result.stdout else result.stdout

    async def bytes(self, *words: str) -> bytes:
        result = await asyncio.to_thread(self.invoke, *words)
        assert result.exit_code == 0, result.output
        return result.stdout_bytes

    async def json(self, *words: str, code: int = 0) -> Any:
        result = await asyncio.to_thread(self.invoke, *words, "--json")
        assert result.exit_code == code, result.output
        return json.loads((result.stdout or result.stderr).splitlines()[-1])  # the log may stand before it

    async def error(self, *words: str, code: int = 1) -> str:
        """What a command is refused with; one line, the same in both forms."""
        result = await asyncio.to_thread(self.invoke, *words)
        assert (result.exit_code, result.stdout) == (code, ""), result.output
        assert len(result.stderr.splitlines()) == 1
        return (await self.json(*words, code=code))["error"]


@dataclass
class Office:
    """What `office` gives: commands, the database, and ways to put mail into it."""

    everpost: Everpost
    database: Database
    ids: dict[str, int]

    async def accept(
        self,
        *recipients: str,
        sender: str | None = "cora@example.com",
        source: Source = Source.MX,
        owner: str | None = None,
        subject: str = "Hello",
        message_id: str = "one@example.com",
        notify: Notify | None = None,
    ) -> str:
        """Take a message in as a listener would; its id as people see it."""
        config = load_config(self.everpost.config, {})
        content = CONTENT % (subject.encode(), message_id.encode())
        async with mailroom(config, self.database, KeyRing(self.database, config.load_master_key())) as room:
            routed = []
            for recipient in recipients:
                address = Address.parse(recipient)
                resolution = await room.directory.resolve(address)
                assert isinstance(resolution, Resolved) or owner is not None
                routed.append(RoutedRecipient(Recipient(address, notify), resolution))
            submission = Submission(
                source, Sender(Address.parse(sender) if sender else None, len(content)), tuple(routed),
                seal_bytes(content), scan_message(content), Client("192.0.2.7", "client.example", "ESMTP"),
                datetime.now(UTC), content=content,
            )  # fmt: skip
            if owner is not None:
                submission = replace(submission, owner=Owner(self.ids[owner]))
            receipt = await room.intake.accept(submission)
        return encode_id(receipt.message_ids[0])

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query, *values)]

    async def execute(self, query: str, *values: Any) -> None:
        async with self.database.connection() as connection:
            await connection.execute(query, *values)

    async def statuses(self, message: str) -> list[tuple[str, str | None]]:
        """Status and hold reason of each delivery."""
        return await self.fetch(
            "SELECT status, hold_reason FROM delivery WHERE message_id = $1 ORDER BY number", number_of(message)
        )

    async def events(self, org: str = "example") -> list[tuple[str, str, dict[str, Any]]]:
        """What was done to the queue, oldest first."""
        return await self.fetch(
            "SELECT action, subject, detail FROM audit_event WHERE organisation_id = $1"
            " AND (action LIKE 'queue.%' OR action LIKE 'message.%') ORDER BY at, id",
            self.ids[org],
        )


def number_of(message: str) -> int:
    return decode_id(message)


async def make_office(folder: Path, database: Database, dsn: str) -> Office:
    """`example` with the primary `main` (anna, ben and the group team), `other` with the primary `main` (zoe)."""
    everpost = Everpost(folder / "everpost.toml")
    await everpost.run("init", "--data-dir", str(folder / "data"), "--hostname", "mx.example.net", "--database", dsn)
    admin = DirectoryAdmin(database, load_config(everpost.config, {}).load_master_key())
    settings = PrimarySettings(SmtpConnector("127.0.0.1", 9, "none"))
    for org, domain, people in (("example", "example.org", ("anna", "ben")), ("other", "other.example", ("zoe",))):
        organisation_id = (await admin.create_organisation(org)).id
        primary_id = await admin.create_primary(organisation_id, "main", settings)
        await admin.create_domain(organisation_id, domain, primary_id=primary_id)
        for person in people:
            await admin.create_mailbox(organisation_id, f"{person}@{domain}", person.capitalize())
        if org == "example":
            await admin.create_group(organisation_id, "Team", "team@example.org")
            for person in people:
                await admin.add_member(organisation_id, "Team", f"{person}@{domain}")
    office = Office(everpost, database, {})
    office.ids = dict(await office.fetch("SELECT name, id FROM organisation"))
    return office
