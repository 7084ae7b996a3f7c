"""What the console's tests need: `everpost serve` with two organisations, one of which has a mail server to lose."""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import Installation, StandIn
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.primary import ImapConnector, PrimarySecrets, PrimarySettings, ProbeSettings, SmtpConnector
from everpost.identity.administrators import INSTALLATION, Administrators

DOMAIN = "example.org"
PASSWORD = "a console in a browser"
ADMINISTRATOR = "alice"
"""Of the organisation with the mail server."""
ROOT = "root"
"""Of the whole installation."""
PEOPLE = ("anna", "ben", "cora")
OUTSIDE = "elsewhere.example.com"
MASTER = "gateway"


@dataclass
class Site:
    """A running installation and its mail server, on an event loop of their own."""

    installation: Installation
    primary: StandIn
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @property
    def url(self) -> str:
        return f"{self.installation.url}/console/"

    def lose(self) -> None:
        """The mail server dies."""
        asyncio.run_coroutine_threadsafe(self.primary.kill(), self.loop).result(30)

    def restore(self) -> None:
        """The mail server runs again, with the mail it had."""
        asyncio.run_coroutine_threadsafe(self.primary.start(), self.loop).result(30)

    def send(self, subject: str, *people: str, message_id: str) -> None:
        """From outside; accepted when this returns."""
        recipients = [f"{person}@{DOMAIN}" for person in people]
        text = f"From: Sender <s@{OUTSIDE}>\r\nSubject: {subject}\r\nMessage-ID: <{message_id}>\r\n\r\nhello\r\n"
        with smtplib.SMTP("127.0.0.1", self.installation.mx_port, timeout=60) as client:
            client.sendmail(f"s@{OUTSIDE}", recipients, text)


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Raises `DidNotStart`. Not below pytest's own folders, which the account that runs PostgreSQL cannot pass."""
    with tempfile.TemporaryDirectory(prefix="everpost-console-") as name:
        Path(name).chmod(0o711)
        users = {f"{person}@{DOMAIN}": PASSWORD for person in PEOPLE} | {MASTER: PASSWORD}
        primary = StandIn(Path(name) / "primary", DOMAIN, users)
        installation = Installation(Path(name) / "everpost", workers=1)
        installation.write_configuration()
        load_config(installation.config_path).load_master_key(create=True)
        try:
            await primary.start()
            await _fill(installation, primary)  # before it starts: then it knows its primary from the first message on
            await installation.start()
            yield Site(installation, primary)
        finally:
            await installation.stop()
            await primary.stop()


async def _fill(installation: Installation, primary: StandIn) -> None:
    config = load_config(installation.config_path)
    async with open_database(config) as database:
        admin, administrators = DirectoryAdmin(database, config.load_master_key()), Administrators(database)
        acme = await admin.create_organisation("acme", "Acme")
        settings = PrimarySettings(
            SmtpConnector("127.0.0.1", primary.smtp_port, "none"),
            ImapConnector("127.0.0.1", primary.imap_port, "none"),
            ProbeSettings(interval_s=1.0, failures=2, successes=2, timeout_s=2.0),
        )
        primary_id = await admin.create_primary(acme.id, "main", settings, PrimarySecrets(imap_password=PASSWORD))
        await admin.create_domain(acme.id, DOMAIN, primary_id=primary_id)
        for person in PEOPLE:
            await admin.create_mailbox(acme.id, f"{person}@{DOMAIN}", person.title())
        await admin.create_group(acme.id, "Team")
        await admin.add_member(acme.id, "Team", f"anna@{DOMAIN}")
        standby_only = await admin.create_organisation("harbour", "Harbour")
        await admin.create_domain(standby_only.id, "harbour.example")
        await admin.create_mailbox(standby_only.id, "dora@harbour.example", "Dora")
        await administrators.create(ADMINISTRATOR, PASSWORD, acme.id)
        await administrators.create(ROOT, PASSWORD, INSTALLATION)
