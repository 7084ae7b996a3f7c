"""What the guard decides, seen from both ends: the sender's reply, the standby mailbox, the primary's copy."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from auth_tools.zone import Zone
from e2e.test_mail_flow import Sink, World, send, statuses
from everpost.auth.resolver import RecordType
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.model import Disposition, Judgement, Way, decode_verdict
from everpost.guard.verdict import DEFAULT_DISPOSITIONS, Policy
from everpost.mail.header import parse_header
from everpost.queue.trace import read_message
from everpost.standby.model import Role
from everpost.store.ids import decode_id
from world import Node, make_organisation, until

FORGED_RESULT = b"Authentication-Results: mx.everpost.example; dmarc=pass header.from=bank.example\r\n"
NAMES = {
    "good.example": {RecordType.TXT: ["v=spf1 ip4:127.0.0.1 -all"]},
    "_dmarc.good.example": {RecordType.TXT: ["v=DMARC1; p=reject"]},
    "bank.example": {RecordType.TXT: ["v=spf1 -all"]},
    "_dmarc.bank.example": {RecordType.TXT: ["v=DMARC1; p=reject"]},
    "shop.example": {RecordType.TXT: ["v=spf1 -all"]},
    "_dmarc.shop.example": {RecordType.TXT: ["v=DMARC1; p=quarantine"]},
}


def message(domain: str, extra: bytes = b"") -> bytes:
    return (
        extra
        + f"From: Cora <cora@{domain}>\r\nTo: anna@example.org\r\nSubject: Hello\r\n"
        f"Message-ID: <one@{domain}>\r\n\r\nText\r\n".encode()
    )


def guard_with(dispositions: dict[tuple[Way, Judgement], Disposition] | None = None) -> Guard:
    policy = Policy(dispositions={**DEFAULT_DISPOSITIONS, **(dispositions or {})})
    settings = GuardSettings("mx.everpost.example", policy=policy)
    return Guard(settings, make_steps(settings, Zone(NAMES)))


@pytest.fixture
async def world(database, master, keys, tmp_path, request) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    node = Node(database, keys, tmp_path, organisation, run=1, guard=guard_with(getattr(request, "param", None)))
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, primary, Sink())
    await node.stop()
    server.close()


async def placed(world: World) -> list[tuple[int, list[str]]]:
    async with world.node.database.connection() as connection:
        return [tuple(row) for row in await connection.fetch("SELECT folder_ids[1], keywords FROM entry")]


async def test_an_honest_message_is_delivered_with_our_results_and_nobody_elses(world: World) -> None:
    content = message("good.example", FORGED_RESULT)
    queue_id = await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], content, "cora@good.example")

    async def delivered() -> bool:
        return await statuses(world) == [("primary", "delivered", None)]

    await until(delivered)
    [(_, _, copy)] = world.primary.got
    header = parse_header(copy)
    [results] = header.all("authentication-results")
    assert b"dmarc=pass" in results.raw
    assert b"header.from=good.example" in results.raw
    assert b"spf=pass" in results.raw
    assert copy.endswith(message("good.example"))
    assert await placed(world) == [(Role.INBOX.folder_id, [])]
    async with world.node.database.connection() as connection:
        traced = await read_message(connection, world.organisation.id, decode_id(queue_id))
        blob = await connection.fetchval("SELECT blob_id FROM message")
    assert traced is not None
    assert traced.verdict is not None
    assert traced.verdict.judgement is Judgement.CLEAN
    assert await world.node.blobs.read(world.organisation.id, blob) == content  # the original stays as it came


async def test_what_its_domain_wants_set_apart_is_filed_as_junk_and_flagged(world: World) -> None:
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], message("shop.example"), "c@shop.example")

    async def delivered() -> bool:
        return await statuses(world) == [("primary", "delivered", None)]

    await until(delivered)
    assert await placed(world) == [(Role.JUNK.folder_id, ["$junk"])]
    [(_, _, copy)] = world.primary.got
    assert b"\r\nX-Spam-Flag: YES\r\n" in copy


async def test_what_its_domain_wants_refused_is_kept_apart(world: World) -> None:
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], message("bank.example"), "c@bank.example")
    assert await statuses(world) == [("primary", "held", "quarantined")]
    assert await placed(world) == []
    async with world.node.database.connection() as connection:
        verdict = decode_verdict(await connection.fetchval("SELECT verdict FROM message"))
    assert verdict.judgement is Judgement.PHISHING
    assert any("bank.example asks for reject" in each.evidence for each in verdict.signals)
    assert world.primary.got == []


@pytest.mark.parametrize(
    ("world", "code"),
    [
        ({(Way.INBOUND, Judgement.PHISHING): Disposition.REJECT}, 550),
        ({(Way.INBOUND, Judgement.PHISHING): Disposition.DEFER}, 451),
    ],
    indirect=["world"],
)
async def test_policy_may_refuse_and_then_nothing_is_kept(world: World, code: int) -> None:
    def attempt() -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", world.node.mx.port, timeout=20) as client:
            client.ehlo("mx.bank.example")
            client.mail("c@bank.example")
            client.rcpt("anna@example.org")
            return client.data(message("bank.example"))

    answered, text = await asyncio.to_thread(attempt)
    assert (answered, b"5.7.1" in text or b"4.7.1" in text) == (code, True)
    assert b"bank" not in text
    assert await statuses(world) == []
    async with world.node.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM blob") == 0


async def test_large_messages_are_checked_as_well(world: World) -> None:
    content = message("good.example", FORGED_RESULT) + b"0123456789abcdef\r\n" * 100_000
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], content, "cora@good.example")

    async def delivered() -> bool:
        return await statuses(world) == [("primary", "delivered", None)]

    await until(delivered, 30)
    [(_, _, copy)] = world.primary.got
    assert copy.endswith(content[len(FORGED_RESULT) :])
    assert copy.count(b"Authentication-Results:") == 1
