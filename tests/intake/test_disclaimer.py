"""The disclaimer of an organisation is in what the world gets, and the signature is over what the world gets."""

from __future__ import annotations

import asyncio
import email
from collections.abc import AsyncIterator

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from auth_tools.zone import Zone
from e2e.test_mail_flow import Sink, World
from everpost.auth.dkim_key import Algorithm
from everpost.directory.dkim import DkimKeys
from everpost.directory.settings import OrganisationSettings
from everpost.guard.guard import Guard, GuardSettings, make_steps
from intake.test_signing import ORDINARY, sent, verifies
from world import Node, make_organisation


@pytest.fixture
async def world(database, master, keys, tmp_path) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    primary, internet = Sink(), Sink()
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda sink=sink: SinkProtocol(sink, loop=loop), "127.0.0.1", 0)
        for sink in (primary, internet)
    ]
    settings = GuardSettings("mx.everpost.example")
    node = Node(database, keys, tmp_path, organisation, run=1, guard=Guard(settings, make_steps(settings, Zone({}))))
    node.primary_at(organisation, servers[0].sockets[0].getsockname()[1])
    node.internet_at(servers[1].sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, primary, internet)
    await node.stop()
    for server in servers:
        server.close()


async def test_the_world_gets_it_signed_and_the_original_stays(world: World, keys) -> None:
    signing = DkimKeys(world.node.database, keys, actor="ann")
    made = await signing.create(world.organisation.id, "example.org", "s1", Algorithm.RSA_SHA256)
    await signing.activate(world.organisation.id, "example.org", "s1")
    await OrganisationSettings(world.node.database, actor="ann").set_disclaimer(world.organisation.id, "Example Söhne")
    world.node.directory.forget()
    copy = await sent(world)
    shown = email.message_from_bytes(copy).get_payload(decode=True)
    assert isinstance(shown, bytes)
    assert shown.replace(b"\r\n", b"\n") == b"Text  \n\nExample Sohne\n"  # the message says nothing of a charset
    assert copy.count(b"DKIM-Signature:") == 1
    assert verifies(copy, {made.record_name: made.record})
    async with world.node.database.connection() as connection:
        blob = await connection.fetchval("SELECT blob_id FROM message")
    assert await world.node.blobs.read(world.organisation.id, blob) == ORDINARY
    inside = await sent(world, to="ben@example.org")
    assert b"Example S" not in inside
