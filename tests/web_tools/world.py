"""Organisations, people and a web application over a real database."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from everpost.continuity.snapshot import RouteSnapshot
from everpost.crypto.keys import SealingKey, new_key, organisation_context
from everpost.directory.resolve import Directory
from everpost.guard.guard import Guard
from everpost.guard.policy.store import Policies
from everpost.identity.sessions import Sessions
from everpost.identity.throttle import Throttle
from everpost.intake.accept import Intake
from everpost.intake.commit import Writer
from everpost.intake.screening import Screen
from everpost.intake.submission import Client, RoutedRecipient, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Recipient, Sender
from everpost.serve.web.app import create_app
from everpost.serve.web.remote.addresses import Signer
from everpost.serve.web.remote.fetch import Fetcher
from everpost.serve.web.services import Remote, WebServices
from everpost.standby.drafts import seal_content
from everpost.standby.model import Role
from everpost.standby.service import Standby
from everpost.standby.summary import scan_message
from everpost.standby.values import Account
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_DIRECTORY = load("directory")
USING = [
    f"urn:ietf:params:jmap:{name}"
    for name in ("core", "mail", "submission", "vacationresponse", "blob", "quota", "contacts")
] + ["urn:everpost:jmap:filters", "urn:everpost:jmap:quarantine", "urn:everpost:jmap:settings"]  # fmt: skip
FOLDER = {role.value: encode_id(role.folder_id) for role in Role}


class Outlet:
    """Takes nothing: deliveries stay queued."""

    def room(self) -> int:
        return 0

    def take(self, message: Any) -> None:
        raise AssertionError("there was no room")

    def wake(self) -> None:
        pass


@dataclass(frozen=True)
class Login:
    organisation_id: int
    mailbox_id: int
    address: Address
    name: str


@dataclass
class Logins:
    """Everybody's password is "secret"; a token is "token-" and the address."""

    people: dict[str, Login] = field(default_factory=dict)
    checks: int = 0

    async def check_password(self, address: str, password: str) -> Login | None:
        self.checks += 1
        return self.people.get(address) if password == "secret" else None

    async def check_token(self, token: str) -> Login | None:
        return self.people.get(token.removeprefix("token-")) if token.startswith("token-") else None


class World:
    def __init__(self, database: Database, master: SealingKey, keys: KeyRing, blobs: BlobReader, spool: Path) -> None:
        self.database, self.master, self.keys = database, master, keys
        self.standby = Standby(database, keys, blobs, spool)
        self.routes = RouteSnapshot(database)
        self.directory = Directory(database)
        self.spool = spool
        self.logins = Logins()
        self.intake = Intake(database, Writer("mx.example.org", database.ids, keys, 1), self.routes, Outlet())
        self._services = services = WebServices(
            database,
            self.standby,
            self.directory,
            self.routes,
            self.intake,
            self.logins,
            spool,
            Sessions(database),
            Throttle(),
        )
        self.app = create_app(services)
        self._people: list[Person] = []
        self._domains: dict[str, tuple[int, int]] = {}

    def serve_remote(self, fetcher: Fetcher) -> None:
        """From now on pictures of other servers are to be had."""
        self.app = create_app(replace(self._services, remote=Remote(Signer(b"k" * 32), fetcher)))
        for person in self._people:
            person.http = self.client(str(person.login.address))

    def screen_with(self, guard: Guard, policies: Policies | None = None) -> Screen:
        """From now on the guard looks at what people send."""
        screen = Screen(self.directory, guard, policies, self.intake.new_message_id)
        self.app = create_app(replace(self._services, screen=screen))
        for person in self._people:
            person.http = self.client(str(person.login.address))
        return screen

    async def organisation(self, domain: str, *, primary: bool = False) -> int:
        ids = self.database.ids
        organisation_id, domain_id = await ids.new(), await ids.new()
        wrapped = self.master.seal(new_key(), organisation_context(organisation_id))
        primary_id = await ids.new() if primary else None
        async with self.database.transaction() as connection:
            await connection.execute(
                _DIRECTORY["insert_organisation"], organisation_id, domain.split(".")[0], domain, wrapped, b"", b""
            )
            if primary_id:
                await connection.execute(
                    _DIRECTORY["insert_primary"], organisation_id, primary_id, "main", {}, b"", [], None, None
                )
            await connection.execute(_DIRECTORY["insert_domain"], organisation_id, domain_id, domain, primary_id, None)
        self._domains[domain] = (organisation_id, domain_id)
        await self.routes.load()
        return organisation_id

    async def person(self, address: str, *aliases: str) -> Person:
        organisation_id, domain_id = self._domains[address.partition("@")[2]]
        mailbox_id = await self.database.ids.new()
        async with self.database.transaction() as connection:
            await connection.execute(
                _DIRECTORY["insert_mailbox"],
                organisation_id,
                mailbox_id,
                domain_id,
                address.partition("@")[0],
                "person",
                "manual",
                None,
                None,
            )
            for text in (address, *aliases):
                await connection.execute(
                    _DIRECTORY["insert_address"],
                    organisation_id,
                    Address.parse(text).key,
                    text,
                    mailbox_id,
                    None,
                    text == address,
                )
            await connection.execute(
                _DIRECTORY["insert_system_folders"],
                organisation_id,
                mailbox_id,
                [role.folder_id for role in Role],
                [role.folder_name for role in Role],
                [role.value for role in Role],
                list(range(1, 7)),
            )
        self.directory.forget()
        login = Login(organisation_id, mailbox_id, Address.parse(address), address.partition("@")[0].title())
        self.logins.people[address] = login
        person = Person(self, login)
        self._people.append(person)
        return person

    async def deliver(self, to: str, content: bytes, sender: str = "stranger@elsewhere.example") -> None:
        """By intake, as from the internet."""
        await self.deliver_to([to], content, sender)

    async def deliver_to(self, to: list[str], content: bytes, sender: str = "stranger@elsewhere.example") -> None:
        """The same, with several recipients."""
        addresses = [Address.parse(text) for text in to]
        blob = seal_content(content, self.spool)
        await self.intake.accept(
            Submission(
                Source.MX,
                Sender(Address.parse(sender)),
                tuple([RoutedRecipient(Recipient(each), await self.directory.resolve(each)) for each in addresses]),
                blob,
                scan_message(content),
                Client("192.0.2.1", "mail.example", "ESMTP"),
                datetime.now(UTC),
            )
        )

    def client(self, address: str = "", password: str = "secret") -> httpx.AsyncClient:
        headers = {}
        if address:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{address}:{password}".encode()).decode()
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="https://mail.example.org", headers=headers)


class Person:
    """Somebody at a JMAP client."""

    def __init__(self, world: World, login: Login) -> None:
        self.world, self.login = world, login
        self.account = Account(login.organisation_id, login.mailbox_id)
        self.account_id = "A" + encode_id(login.mailbox_id)
        self.http = world.client(str(login.address))

    async def calls(self, *calls: tuple[str, dict[str, Any]], **more: Any) -> list[tuple[str, dict[str, Any]]]:
        body = {"using": USING, "methodCalls": [[name, arguments, str(n)] for n, (name, arguments) in enumerate(calls)]}
        answer = await self.http.post("/jmap/api", json=body | more)
        assert answer.status_code == 200, answer.text
        return [(name, arguments) for name, arguments, _ in answer.json()["methodResponses"]]

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """The one answer, which is no error."""
        ((name, answer),) = await self.calls((method, {"accountId": self.account_id} | arguments))
        assert name == method, answer
        return answer

    async def refused(self, method: str, **arguments: Any) -> str:
        """The type of the error."""
        ((name, answer),) = await self.calls((method, {"accountId": self.account_id} | arguments))
        assert name == "error", answer
        return answer["type"]

    async def email_ids(self, folder: str = "inbox") -> list[str]:
        return (await self.call("Email/query", filter={"inMailbox": FOLDER[folder]}))["ids"]

    async def email(self, email_id: str, **arguments: Any) -> dict[str, Any]:
        ((email),) = (await self.call("Email/get", ids=[email_id], **arguments))["list"]
        return email

    async def upload(self, content: bytes, kind: str = "application/octet-stream") -> str:
        answer = await self.http.post(
            f"/jmap/upload/{self.account_id}/", content=content, headers={"Content-Type": kind}
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["size"] == len(content)
        return answer.json()["blobId"]

    async def download(self, blob_id: str, **parameters: str) -> httpx.Response:
        return await self.http.get(f"/jmap/download/{self.account_id}/{blob_id}/file", params=parameters)

    async def draft(self, **properties: Any) -> dict[str, Any]:
        """Create a text message in Drafts; the answer's `created`."""
        email = {
            "mailboxIds": {FOLDER["drafts"]: True},
            "keywords": {"$draft": True, "$seen": True},
            "from": [{"name": None, "email": str(self.login.address)}],
            "to": [{"name": None, "email": "you@example.net"}],
            "subject": "Hello",
            "textBody": [{"partId": "1"}],
            "bodyValues": {"1": {"value": "Good morning\n"}},
        }
        answer = await self.call("Email/set", create={"d": email | properties})
        assert not answer["notCreated"], answer
        return answer["created"]["d"]

    async def identity(self) -> str:
        return (await self.call("Identity/get"))["list"][0]["id"]


def message(subject: str = "Hello", *, to: str = "ann@example.org", body: str = "Hi\r\n", **more: str) -> bytes:
    fields = {
        "From": "Stranger <stranger@elsewhere.example>",
        "To": to,
        "Subject": subject,
        "Date": "Mon, 5 Jan 2026 10:00:00 +0100",
        "Message-ID": f"<{os.urandom(8).hex()}@elsewhere.example>",
    } | {name.replace("_", "-"): value for name, value in more.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return (head + "\r\n" + body).encode()
