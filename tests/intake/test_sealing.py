"""What goes to a primary is sealed, so that it may believe what was seen here; checked by another implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import dkim
import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from auth_tools.zone import Records, Zone
from e2e.test_mail_flow import Sink, World, send
from everpost.auth.dkim_key import Algorithm
from everpost.auth.resolver import RecordType
from everpost.directory.dkim import DkimKeys
from everpost.directory.model import CopyPolicy, LinkRewriting
from everpost.directory.settings import OrganisationSettings
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.links.addresses import ClickAddresses, click_key
from world import Node, make_organisation, until

MESSAGE = (
    b"From: Cora <cora@good.example>\r\nTo: anna@example.org\r\nSubject: Hello\r\nMessage-ID: <one@good.example>\r\n"
    b"Authentication-Results: mx.everpost.example; dmarc=pass\r\n\r\nSee https://files.example/report  \r\n\r\n"
)


@dataclass
class Sealing:
    world: World
    names: dict[str, Records]
    keys: DkimKeys

    async def key(self, algorithm: Algorithm = Algorithm.RSA_SHA256) -> None:
        organisation_id = self.world.organisation.id
        made = await self.keys.create(organisation_id, "example.org", "s1", algorithm)
        await self.keys.activate(organisation_id, "example.org", "s1")
        self.world.node.signing_keys.forget()
        self.names[made.record_name] = {RecordType.TXT: [made.record]}

    async def copy_of(self, content: bytes = MESSAGE) -> bytes:
        had = len(self.world.primary.got)
        await asyncio.to_thread(send, self.world.node.mx.port, ["anna@example.org"], content, "cora@good.example")

        async def delivered() -> bool:
            return len(self.world.primary.got) > had

        await until(delivered, 30)
        return self.world.primary.got[-1][2]

    def verdict(self, copy: bytes) -> bytes:
        """`pass`, `fail` or `none`, by an implementation that is not ours."""

        def lookup(name: bytes, timeout: int = 5) -> bytes | None:
            found = self.names.get(name.decode().rstrip("."), {}).get(RecordType.TXT)
            return found[0].encode() if found else None

        cv, _, reason = dkim.arc_verify(copy, dnsfunc=lookup)
        return cv or str(reason).encode()


@pytest.fixture
async def sealing(database, master, keys, tmp_path) -> AsyncIterator[Sealing]:
    organisation = await make_organisation(database, master)
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    names = {
        "good.example": {RecordType.TXT: ["v=spf1 ip4:127.0.0.1 -all"]},
        "_dmarc.good.example": {RecordType.TXT: ["v=DMARC1; p=reject"]},
    }
    zone = Zone(names)
    settings = GuardSettings(
        "mx.everpost.example", clicks=ClickAddresses("https://standby.example.org", click_key(b"k" * 32))
    )
    guard = Guard(settings, make_steps(settings, zone))
    node = Node(database, keys, tmp_path, organisation, run=1, guard=guard)
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()
    yield Sealing(World(node, organisation, primary, Sink()), zone.names, DkimKeys(database, keys, actor="ann"))
    await node.stop()
    server.close()


async def test_without_a_key_nothing_is_sealed(sealing: Sealing) -> None:
    assert b"ARC-Seal" not in await sealing.copy_of()
    await sealing.key(Algorithm.ED25519_SHA256)
    assert b"ARC-Seal" not in await sealing.copy_of()


async def test_a_copy_is_sealed_with_what_was_seen(sealing: Sealing) -> None:
    await sealing.key()
    copy = await sealing.copy_of()
    assert sealing.verdict(copy) == b"pass"
    assert b"ARC-Authentication-Results: i=1; mx.everpost.example;" in copy
    assert b"dmarc=pass" in copy.partition(b"ARC-Authentication-Results")[2].partition(b"\r\nFrom:")[0]
    assert sealing.verdict(copy.replace(b"Subject: Hello", b"Subject: Other")) != b"pass"


@pytest.mark.parametrize("lines", [1, 40_000], ids=["small", "large"])
async def test_the_seal_fits_what_the_copy_says(sealing: Sealing, lines: int) -> None:
    await sealing.key()
    await OrganisationSettings(sealing.world.node.database, actor="ann").set_copies(
        sealing.world.organisation.id, CopyPolicy(LinkRewriting.ALL)
    )
    sealing.world.node.directory.forget()
    copy = await sealing.copy_of(MESSAGE + b"some more of it\r\n" * lines)
    assert b"https://standby.example.org/click/" in copy
    assert b"https://files.example" not in copy
    assert sealing.verdict(copy) == b"pass"


async def test_a_chain_goes_on(sealing: Sealing) -> None:
    await sealing.key()
    first = await sealing.copy_of()
    passed_on = first[first.index(b"ARC-Seal") :]
    second = await sealing.copy_of(passed_on)
    assert b"ARC-Seal: a=rsa-sha256;" in second
    assert b"i=2" in second
    assert sealing.verdict(second) == b"pass"
