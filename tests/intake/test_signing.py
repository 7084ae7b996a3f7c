"""What our domains send to the world carries their signature, and keys are replaced without a gap."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator

import dkim
import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from e2e.test_mail_flow import Sink, World
from everpost.auth.dkim_key import Algorithm
from everpost.directory.dkim import DkimKeys
from everpost.directory.records import DirectoryError
from world import Node, make_organisation, until

ORDINARY = (
    b"From: Anna <anna@example.org>\r\nTo: x@example.com\r\nSubject: Hi\r\nMessage-ID: <1@example.org>\r\n"
    b"\r\nText  \r\n"
)


@pytest.fixture
async def world(database, master, keys, tmp_path) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    primary, internet = Sink(), Sink()
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda sink=sink: SinkProtocol(sink, loop=loop), "127.0.0.1", 0)
        for sink in (primary, internet)
    ]
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.primary_at(organisation, servers[0].sockets[0].getsockname()[1])
    node.internet_at(servers[1].sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, primary, internet)
    await node.stop()
    for server in servers:
        server.close()


@pytest.fixture
def signing(world: World, keys) -> DkimKeys:
    return DkimKeys(world.node.database, keys, actor="ann")


async def sent(world: World, content: bytes = ORDINARY, to: str = "x@example.com") -> bytes:
    sink = world.primary if to.endswith("@example.org") else world.internet
    before = len(sink.got)

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", world.node.smarthost.port, timeout=20) as client:
            client.sendmail("anna@example.org", [to], content)

    await asyncio.to_thread(send)

    async def is_there() -> bool:
        return len(sink.got) > before

    await until(is_there, 30)
    return sink.got[-1][2]


def verifies(content: bytes, records: dict[str, str]) -> bool:
    """By an implementation that is not ours."""

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:
        found = records.get(name.decode().rstrip("."))
        return found.encode() if found else None

    return bool(dkim.DKIM(content).verify(dnsfunc=lookup))


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_mail_to_the_world_is_signed_by_the_authors_domain(
    world: World, signing: DkimKeys, algorithm: Algorithm
) -> None:
    made = await signing.create(world.organisation.id, "example.org", "s1", algorithm)
    world.node.signing_keys.forget()
    assert b"DKIM-Signature" not in await sent(world)  # its record may not be in the DNS yet
    await signing.activate(world.organisation.id, "example.org", "s1")
    world.node.signing_keys.forget()
    copy = await sent(world)
    assert verifies(copy, {made.record_name: made.record})
    assert copy.endswith(ORDINARY)


async def test_large_messages_are_signed_as_well(world: World, signing: DkimKeys) -> None:
    made = await signing.create(world.organisation.id, "example.org", "s1", Algorithm.RSA_SHA256)
    await signing.activate(world.organisation.id, "example.org", "s1")
    assert verifies(await sent(world, ORDINARY + b"line of text\r\n" * 150_000), {made.record_name: made.record})


async def test_keys_are_replaced(world: World, signing: DkimKeys) -> None:
    records = {}
    for selector in ("s1", "s2"):
        made = await signing.create(world.organisation.id, "example.org", selector, Algorithm.RSA_SHA256)
        records[made.record_name] = made.record
        await signing.activate(world.organisation.id, "example.org", selector)
    listed = await signing.list(world.organisation.id)
    assert [(each.selector, each.retired_at is None) for each in listed] == [("s1", False), ("s2", True)]
    world.node.signing_keys.forget()
    copy = await sent(world)
    assert copy.count(b"DKIM-Signature:") == 1
    assert b"s=s2;" in copy
    assert verifies(copy, records)
    await signing.retire(world.organisation.id, "example.org", "s2")
    world.node.signing_keys.forget()
    assert b"DKIM-Signature" not in await sent(world)


async def test_what_stays_inside_and_what_others_wrote_is_not_signed(world: World, signing: DkimKeys) -> None:
    await signing.create(world.organisation.id, "example.org", "s1", Algorithm.ED25519_SHA256)
    await signing.activate(world.organisation.id, "example.org", "s1")
    assert b"DKIM-Signature" not in await sent(world, to="ben@example.org")
    foreign = ORDINARY.replace(b"anna@example.org>", b"anna@other.example>")
    assert b"DKIM-Signature" not in await sent(world, foreign)


async def test_keys_of_others_cannot_be_made_or_seen(world: World, signing: DkimKeys, master) -> None:
    other = await make_organisation(world.node.database, master, "other")
    await signing.create(other.id, "other.org", "s1", Algorithm.ED25519_SHA256)
    assert await signing.list(world.organisation.id) == []
    with pytest.raises(DirectoryError):
        await signing.create(world.organisation.id, "other.org", "s2", Algorithm.ED25519_SHA256)
    with pytest.raises(DirectoryError):
        await signing.activate(world.organisation.id, "other.org", "s1")
    with pytest.raises(DirectoryError):
        await signing.create(other.id, "other.org", "bad selector", Algorithm.ED25519_SHA256)
    with pytest.raises(DirectoryError):
        await signing.create(other.id, "other.org", "s1", Algorithm.ED25519_SHA256)
