"""A small world for tests: an organisation with a primary, people, and the parts of a worker wired together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from everpost.continuity.snapshot import RouteSnapshot
from everpost.crypto.keys import SealingKey, new_key, organisation_context
from everpost.crypto.signing import new_signing_key
from everpost.directory.dkim import SigningKeys
from everpost.directory.resolve import Directory
from everpost.guard.guard import Guard
from everpost.guard.policy.store import Policies
from everpost.intake.accept import Intake
from everpost.intake.commit import Writer
from everpost.intake.screening import Screen
from everpost.intake.senders import SenderLists
from everpost.intake.sending_alerts import SendingAlerts
from everpost.intake.signing import Signer
from everpost.queue.leases import Leases
from everpost.queue.model import primary_lane
from everpost.queue.route import Host, Router
from everpost.queue.smtp_client import Timeouts, TlsMode
from everpost.queue.worker import QueueWorker, WorkerSettings
from everpost.serve.smtpd.policy import Gatekeeper
from everpost.serve.smtpd.receive import Receiver
from everpost.serve.smtpd.server import SmtpListener
from everpost.serve.smtpd.settings import ListenerSettings, SmtpdSettings
from everpost.standby.model import Role as FolderRole
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from everpost.store.sql import load
from everpost.wire.smtp.events import Role

_SQL = load("directory")


@dataclass
class Organisation:
    """What `make_organisation` made."""

    id: int
    primary_id: int
    domain_id: int
    domain: str
    mailboxes: dict[str, int] = field(default_factory=dict)


async def make_organisation(
    database: Database,
    master: SealingKey,
    name: str = "example",
    people: tuple[str, ...] = ("anna", "ben"),
    *,
    with_primary: bool = True,
) -> Organisation:
    """An organisation `name` with the domain `<name>.org`."""
    ids = database.ids
    organisation_id, primary_id, domain_id = await ids.new(), await ids.new(), await ids.new()
    private, public = new_signing_key()
    key = new_key()
    wrapped = master.seal(key, organisation_context(organisation_id))
    sealed_private = SealingKey.from_bytes(key).seal(private, "signing")
    made = Organisation(organisation_id, primary_id, domain_id, f"{name}.org")
    async with database.transaction() as connection:
        await connection.execute(
            _SQL["insert_organisation"], organisation_id, name, name, wrapped, sealed_private, public
        )
        await connection.execute(
            _SQL["insert_primary"], organisation_id, primary_id, "main", {}, b"", ["127.0.0.0/8"], None, None
        )
        await connection.execute(
            _SQL["insert_domain"],
            organisation_id,
            domain_id,
            made.domain,
            primary_id if with_primary else None,
            "journal",
        )
        for person in people:
            mailbox_id = made.mailboxes[person] = await ids.new()
            address = f"{person}@{made.domain}"
            await connection.execute(
                _SQL["insert_mailbox"], organisation_id, mailbox_id, domain_id, person, "person", "manual", None, None
            )
            await connection.execute(_SQL["insert_address"], organisation_id, address, address, mailbox_id, None, True)
            roles = list(FolderRole)
            await connection.execute(
                _SQL["insert_system_folders"],
                organisation_id,
                mailbox_id,
                [role.folder_id for role in roles],
                [role.folder_name for role in roles],
                [role.value for role in roles],
                [role.folder_id for role in roles],
            )
    return made


class NoLogins:
    async def check_password(self, address: str, password: str) -> None:
        return None


@dataclass
class OneRelay:
    """Loopback is the smarthost client of one primary."""

    organisation_id: int
    primary_id: int

    def find(self, ip: str) -> tuple[int, int] | None:
        return self.organisation_id, self.primary_id

    async def check(self, login: str, password: str) -> tuple[int, int] | None:
        return None


class Node:
    """One worker process's parts inside the test: SMTP listeners, intake and queue."""

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        folder: Path,
        organisation: Organisation,
        run: int,
        *,
        guard: Guard | None = None,
        policies: Policies | None = None,
    ) -> None:
        self.database = database
        self.routes = RouteSnapshot(database)
        self.directory = Directory(database)
        self.blobs = BlobReader(database, keys)
        self.router = Router("mx.everpost.example")
        timeouts = Timeouts(connect=2, greeting=2, command=2, tls=2, body=5, end=2)
        self.worker = QueueWorker(
            WorkerSettings("mx.everpost.example", timeouts=timeouts),
            Leases(database, run),
            self.blobs,
            self.router,
            may_attempt=lambda organisation_id, primary_id: self.routes.table.may_attempt(organisation_id, primary_id),
            may_bounce=lambda organisation_id, primary_id: (
                self.routes.table.state(organisation_id, primary_id).value == "trusted"
            ),
        )
        writer = Writer("mx.everpost.example", database.ids, keys, run)
        self.signing_keys = SigningKeys(database, keys)
        self.intake = Intake(
            database, writer, self.routes, self.worker, Signer(self.signing_keys, self.blobs, "mx.everpost.example")
        )
        settings = SmtpdSettings("mx.everpost.example", folder)
        self.policies = policies
        self.senders = SenderLists(database)
        screen = (
            Screen(self.directory, guard, policies, self.intake.new_message_id, SendingAlerts(database), self.senders)
            if guard
            else None
        )
        receiver = Receiver(settings, self.intake, self.directory, screen=screen)
        relays = OneRelay(organisation.id, organisation.primary_id)
        gate = Gatekeeper(self.directory, self.routes, NoLogins(), relays)
        self.mx = SmtpListener(ListenerSettings(Role.MX, "127.0.0.1", 0), settings.hostname, gate, receiver)
        self.smarthost = SmtpListener(
            ListenerSettings(Role.SMARTHOST, "127.0.0.1", 0), settings.hostname, gate, receiver
        )

    def primary_at(self, organisation: Organisation, port: int) -> None:
        """Where the organisation's primary listens."""
        self.router.primaries = {primary_lane(organisation.primary_id): Host("127.0.0.1", port, TlsMode.NONE)}

    def internet_at(self, port: int) -> None:
        """One server that stands for the whole internet."""
        self.router.relay = Host("127.0.0.1", port, TlsMode.NONE)

    async def start(self) -> None:
        await self.routes.load()
        self.intake.start()
        self.worker.start()
        await self.mx.start()
        await self.smarthost.start()

    async def stop(self) -> None:
        await self.mx.stop()
        await self.smarthost.stop()
        await self.intake.stop()
        await self.worker.stop()


async def until(condition, timeout_s: float = 10.0) -> None:
    """Wait for an async condition; raises `TimeoutError`."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)
