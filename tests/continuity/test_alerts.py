"""Alerts reach contacts and people, with bounded retries, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx
import pytest

from continuity.setting import execute, fetch, organisation_with_primary, settings
from everpost.continuity.activation import Continuity
from everpost.continuity.alerts import MAX_CALLS, AlertSender
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.snapshot import RouteSnapshot
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from world import Organisation


@dataclass
class Mailer:
    sent: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    broken: bool = False

    async def send_mail(self, organisation_id: int, recipients: Sequence[str], subject: str, text: str) -> None:
        if self.broken:
            raise OSError("no way out")
        self.sent.append((tuple(recipients), subject))


@dataclass
class Hook:
    """A webhook's server on loopback."""

    port: int = 0
    status: int = 204
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        self.bodies.append(await reader.readexactly(length))
        more = b"Location: http://127.0.0.1:9/\r\n" if self.status == 302 else b""
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n%b\r\n" % (self.status, more))
        await writer.drain()
        writer.close()


@dataclass
class World:
    database: Database
    organisation: Organisation
    hook: Hook
    mailer: Mailer
    sender: AlertSender

    async def due_again(self) -> None:
        await execute(self.database, "UPDATE alert_call SET next_attempt_at = now()")

    async def calls(self) -> list[tuple[object, ...]]:
        query = "SELECT c.kind, w.attempts, w.done_at IS NOT NULL, w.last_result FROM alert_call w JOIN contact c "
        return await fetch(self.database, query + "ON c.id = w.contact_id ORDER BY c.kind")


@pytest.fixture
async def world(database: Database, master, keys: KeyRing) -> AsyncIterator[World]:
    organisation = await organisation_with_primary(database, master, keys, settings())
    other = await organisation_with_primary(database, master, keys, settings(), name="other")
    hook, mailer = Hook(), Mailer()
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0)
    hook.port = server.sockets[0].getsockname()[1]
    insert = "INSERT INTO contact VALUES ($1, $2, $3, $4)"
    await execute(database, insert, organisation.id, 1, "mail", "admin@elsewhere.example")
    await execute(database, insert, organisation.id, 2, "webhook", f"http://127.0.0.1:{hook.port}/hook")
    await execute(database, insert, other.id, 3, "mail", "admin@other.example")
    await execute(
        database, "UPDATE mailbox SET alternate = name || organisation_id || '@elsewhere.example' WHERE name = 'anna'"
    )
    routes = RouteSnapshot(database)
    continuity = Continuity(database, routes)
    scope = Scope(organisation.id, ScopeKind.PRIMARY, organisation.primary_id)
    await continuity.activate(scope, "admin", "maintenance")
    sender = AlertSender(database, mailer, httpx.AsyncClient(timeout=2))
    yield World(database, organisation, hook, mailer, sender)
    await sender.close()
    server.close()


async def test_contacts_and_people_are_told_once(world: World) -> None:
    assert await world.sender.deliver_due() == 3
    assert await world.sender.deliver_due() == 0
    recipients = [recipient for recipients, _ in world.mailer.sent for recipient in recipients]
    assert sorted(recipients) == ["admin@elsewhere.example", f"anna{world.organisation.id}@elsewhere.example"]
    [body] = world.hook.bodies
    assert b'"kind":"activated"' in body
    assert b'"organisation":"example"' in body
    assert await world.calls() == [("mail", 1, True, "sent"), ("webhook", 1, True, "HTTP 204")]


@pytest.mark.parametrize("status", [500, 404, 302])
async def test_a_webhook_that_fails_is_called_again_and_given_up_in_the_end(world: World, status: int) -> None:
    world.hook.status = status
    await world.sender.deliver_due()
    [_, (_, attempts, done, result)] = await world.calls()
    assert (attempts, done) == (1, False)
    assert str(status) in str(result)
    assert await world.sender.deliver_due() == 0  # not before its time
    for _ in range(MAX_CALLS + 3):
        await world.due_again()
        await world.sender.deliver_due()
    assert (await world.calls())[1][1:3] == (MAX_CALLS, True)
    assert len(world.hook.bodies) == MAX_CALLS


async def test_mail_that_cannot_be_sent_is_tried_again(world: World) -> None:
    world.mailer.broken = True
    await world.sender.deliver_due()
    world.mailer.broken = False
    await world.due_again()
    await world.sender.deliver_due()
    assert [recipients for recipients, _ in world.mailer.sent] == [("admin@elsewhere.example",)]
