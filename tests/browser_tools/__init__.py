"""What the browser tests need: `everpost serve` with an organisation whose only home is the standby, and mail in it."""

from __future__ import annotations

import contextlib
import smtplib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import Installation
from everpost.app.demo.mailgen import Person, generate
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.model import Rights
from everpost.directory.sharing import Sharing
from everpost.identity.login import Identity

DOMAIN = "example.org"
PASSWORD = "standby-in-a-browser"
ANNA = Person("Anna", f"anna@{DOMAIN}")
BEN = Person("Ben", f"ben@{DOMAIN}")
CARLA = Person("Carla", f"carla@{DOMAIN}")
"""She may use the three that follow, each with other rights."""
ARCHIVE = Person("Old projects", f"archive@{DOMAIN}")
OFFICE = Person("Office", f"office@{DOMAIN}")
SALES = Person("Sales", f"sales@{DOMAIN}")
SHARED = {ARCHIVE: Rights.READ, OFFICE: Rights.WRITE, SALES: Rights.SEND}


@dataclass
class Standby:
    """A running installation."""

    installation: Installation
    people: tuple[Person, ...] = field(default=(ANNA, BEN))

    @property
    def url(self) -> str:
        return self.installation.url

    def send(
        self, raw: bytes, sender: str = "sender@example.com", recipients: tuple[str, ...] = (ANNA.address,)
    ) -> None:
        """From the internet, by SMTP; readable when this returns."""
        with smtplib.SMTP("127.0.0.1", self.installation.mx_port, timeout=60) as client:
            client.sendmail(sender, list(recipients), raw)

    def send_generated(self, count: int, seed: int = 7) -> None:
        """Conversations as they come on ordinary days, all of them to Anna."""
        start = datetime.now(UTC) - timedelta(days=20)
        with smtplib.SMTP("127.0.0.1", self.installation.mx_port, timeout=60) as client:
            for message in generate([ANNA], count, seed, start, timedelta(days=20)):
                client.sendmail(message.sender, list(message.recipients), message.raw)


@contextlib.asynccontextmanager
async def standby(folder: Path | None = None, web_port: int | None = None) -> AsyncIterator[Standby]:
    """Raises `DidNotStart`. Not below pytest's own folders, which the account that runs PostgreSQL cannot pass."""
    with tempfile.TemporaryDirectory(prefix="everpost-browser-") as name:
        installation = Installation(folder or Path(name), workers=1)
        if web_port is not None:
            installation.web_port = web_port
        installation.folder.mkdir(parents=True, exist_ok=True)
        if folder is None:
            Path(name).chmod(0o711)
        installation.write_configuration()
        config = load_config(installation.config_path)
        config.load_master_key(create=True)
        try:
            await installation.start()
            await _people(installation)
            yield Standby(installation)
        finally:
            await installation.stop()


async def _people(installation: Installation) -> None:
    config = load_config(installation.config_path)
    async with open_database(config) as database:
        admin = DirectoryAdmin(database, config.load_master_key())
        if await admin.organisations():
            return
        organisation = await admin.create_organisation("acme", "Acme")
        await admin.create_domain(organisation.id, DOMAIN)
        for person in (ANNA, BEN):
            mailbox_id = await admin.create_mailbox(organisation.id, person.address, name=person.name)
            await Identity(database).set_password(organisation.id, mailbox_id, PASSWORD)


async def share_mailboxes(installation: Installation) -> None:
    """Carla, and what is shared with her."""
    config = load_config(installation.config_path)
    async with open_database(config) as database:
        admin = DirectoryAdmin(database, config.load_master_key())
        (organisation,) = await admin.organisations()
        for person in (CARLA, *SHARED):
            mailbox_id = await admin.create_mailbox(organisation.id, person.address, name=person.name)
            if person is CARLA:
                await Identity(database).set_password(organisation.id, mailbox_id, PASSWORD)
        for person, rights in SHARED.items():
            await Sharing(database).share(organisation.id, person.address, CARLA.address, rights)


async def change_share(installation: Installation, person: Person, rights: Rights | None) -> None:
    """What Carla may do in a mailbox from now on; None: nothing."""
    config = load_config(installation.config_path)
    async with open_database(config) as database:
        sharing = Sharing(database)
        organisation = await sharing.organisation_of(person.address)
        if rights is None:
            await sharing.unshare(organisation.id, person.address, CARLA.address)
        else:
            await sharing.share(organisation.id, person.address, CARLA.address, rights)
