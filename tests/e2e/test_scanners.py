"""Mail past a real clamd: what is found is kept apart, and what happens while it is away is what policy says."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from auth_tools.zone import Zone
from e2e.test_mail_flow import Sink, World, send, statuses
from everpost.guard import kinds
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.model import Judgement, decode_verdict
from everpost.guard.scanners.clamd import Clamd as ClamdClient
from everpost.guard.scanners.engine import Engine, EngineSettings
from everpost.guard.scanners.model import WhenAway
from peers.clamd import EICAR, EICAR_NAME, Clamd
from peers.process import PeerMissing
from scanner_tools import B64, BASE64, OCTETS, TEXT, mixed
from world import Node, make_organisation, until

pytestmark = pytest.mark.peer
CLEAN = mixed(TEXT, OCTETS + BASE64 + b"\r\n" + base64.b64encode(b"harmless " * 8) + b"\r\n")
INFECTED = mixed(TEXT, OCTETS + BASE64 + b"\r\n" + B64)


@pytest.fixture
def clamd() -> Iterator[Clamd]:
    try:
        server = Clamd()
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
async def world(database, master, keys, tmp_path, clamd, request) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    when_away = getattr(request, "param", WhenAway.DELIVER)
    engine = Engine("clamd", ClamdClient(clamd.address), EngineSettings(seconds=5, when_away=when_away))
    settings = GuardSettings("mx.everpost.example")
    guard = Guard(settings, make_steps(settings, Zone({}), scanners=[engine]))
    node = Node(database, keys, tmp_path, organisation, run=1, guard=guard)
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, primary, Sink())
    await node.stop()
    server.close()


async def post(world: World, message: bytes) -> None:
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], message, "cora@good.example")


async def verdicts(world: World) -> list[tuple[Judgement, list[str]]]:
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT verdict FROM message ORDER BY id")
    found = [decode_verdict(row["verdict"]) for row in rows]
    return [(each.judgement, [f"{signal.kind}: {signal.evidence}" for signal in each.signals]) for each in found]


async def test_malware_is_kept_apart_and_the_trace_says_what_and_where(world: World) -> None:
    await post(world, INFECTED)
    assert await statuses(world) == [("primary", "held", "quarantined")]
    [(judgement, signals)] = await verdicts(world)
    assert judgement is Judgement.MALWARE
    assert f"{kinds.SCANNER_MALWARE.name}: clamd: {EICAR_NAME}.UNOFFICIAL in attachment" in signals
    assert EICAR not in b"".join(copy for _, _, copy in world.primary.got)


async def test_mail_flows_marked_while_clamd_is_killed_and_started_again(world: World, clamd: Clamd) -> None:
    await post(world, CLEAN)
    sending = [asyncio.create_task(post(world, CLEAN)) for _ in range(3)]  # the guard needs threads, too
    await asyncio.to_thread(clamd.kill)
    await asyncio.gather(*sending)
    await post(world, CLEAN)

    async def delivered() -> bool:
        return await statuses(world) == [("primary", "delivered", None)] * 5

    await until(delivered, 30)
    marked = [b"fault.scanner" in copy.split(b"\r\nFrom:")[0] for _, _, copy in world.primary.got]
    assert not marked[0]
    assert marked[-1]
    await asyncio.to_thread(clamd.start)
    await asyncio.sleep(1.1)
    await post(world, INFECTED)
    assert (await verdicts(world))[-1][0] is Judgement.MALWARE


@pytest.mark.parametrize("world", [WhenAway.DEFER], indirect=True)
async def test_policy_may_let_mail_wait_at_its_sender(world: World, clamd: Clamd) -> None:
    await asyncio.to_thread(clamd.kill)
    with pytest.raises(AssertionError, match=r"4\.7\.1 Message cannot be checked now"):
        await post(world, CLEAN)
    assert await statuses(world) == []
    await asyncio.to_thread(clamd.start)
    await asyncio.sleep(1.1)
    await post(world, CLEAN)
    assert len(await statuses(world)) == 1


@pytest.mark.parametrize("world", [WhenAway.QUARANTINE], indirect=True)
async def test_policy_may_keep_it_apart(world: World, clamd: Clamd) -> None:
    await asyncio.to_thread(clamd.kill)
    await post(world, CLEAN)
    assert await statuses(world) == [("primary", "held", "quarantined")]
    [(judgement, signals)] = await verdicts(world)
    assert judgement is Judgement.CLEAN
    assert any(each.startswith(kinds.SCANNER_AWAY_QUARANTINE.name) for each in signals)
