"""A message's way: accepted by SMTP, readable in the standby before the 250, relayed to the primary, held when told."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from everpost.continuity.snapshot import advance
from everpost.queue.model import primary_lane
from everpost.queue.operator import QueueOperator
from everpost.store.audit import chain, verify_chain
from everpost.store.ids import decode_id
from world import Node, Organisation, make_organisation, until

MESSAGE = (
    b"From: Cora <cora@example.com>\r\nTo: anna@example.org\r\nSubject: Hello\r\n"
    b"Message-ID: <one@example.com>\r\n\r\nFirst line\r\n.dot\r\n"
)


@dataclass
class Sink:
    """A server that keeps what it is given; `refuse` answers RCPT."""

    got: list[tuple[str | None, list[str], bytes]] = field(default_factory=list)
    refuse: str | None = None

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:
        self.got.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.original_content))
        return "250 OK"


@dataclass
class World:
    node: Node
    organisation: Organisation
    primary: Sink
    internet: Sink


@pytest.fixture
async def world(database, master, keys, tmp_path) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    primary, internet = Sink(), Sink()
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda sink=sink: SinkProtocol(sink, loop=loop), "127.0.0.1", 0)
        for sink in (primary, internet)
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.primary_at(organisation, ports[0])
    node.internet_at(ports[1])
    await node.start()
    yield World(node, organisation, primary, internet)
    await node.stop()
    for server in servers:
        server.close()


def send(port: int, recipients: list[str], content: bytes = MESSAGE, sender: str = "cora@example.com") -> str:
    """Send with Python's client; the queue id of the final reply."""
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        client.ehlo()
        client.mail(sender)
        for recipient in recipients:
            code, text = client.rcpt(recipient)
            assert code == 250, text
        code, text = client.data(content)
        assert code == 250, text
    return text.decode().rsplit(" ", 1)[1]


async def statuses(world: World) -> list[tuple[str, str, str | None]]:
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT kind, status, hold_reason FROM delivery ORDER BY message_id, number")
    return [tuple(row) for row in rows]


async def test_accepted_is_readable_and_relayed(world: World) -> None:
    queue_id = await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"])
    message_id = decode_id(queue_id)
    async with world.node.database.connection() as connection:  # before anything else happens
        entry = await connection.fetchrow("SELECT * FROM entry")
        message = await connection.fetchrow("SELECT * FROM message")
        placements = await connection.fetchval("SELECT count(*) FROM placement")
        changes = await connection.fetch("SELECT kind, message_id FROM change")
    assert entry["mailbox_id"] == world.organisation.mailboxes["anna"]
    assert entry["message_id"] == message["id"] == message_id
    assert (message["subject"], message["message_id"]) == ("Hello", "one@example.com")
    assert placements == 1
    assert [tuple(change) for change in changes] == [("received", message_id)]
    assert await world.node.blobs.read(world.organisation.id, message["blob_id"]) == MESSAGE

    async def delivered() -> bool:
        return await statuses(world) == [("primary", "delivered", None)]

    await until(delivered)
    [(sender, recipients, content)] = world.primary.got
    assert (sender, recipients) == ("cora@example.com", ["anna@example.org"])
    assert content.endswith(MESSAGE)
    assert content[: -len(MESSAGE)].startswith(b"Received: ")
    assert queue_id.encode() in content[: -len(MESSAGE)]


async def test_strangers_are_refused_at_rcpt(world: World) -> None:
    def dialogue() -> list[int]:
        with smtplib.SMTP("127.0.0.1", world.node.mx.port, timeout=20) as client:
            client.ehlo()
            client.mail("cora@example.com")
            names = ["nobody@example.org", "x@elsewhere.example", "journal@example.org", "anna+lists@example.org"]
            return [client.rcpt(name)[0] for name in names]

    assert await asyncio.to_thread(dialogue) == [550, 550, 550, 250]


async def test_activation_holds_for_the_primary_and_keeps_the_standby(world: World) -> None:
    node, organisation = world.node, world.organisation
    async with node.database.transaction() as connection:
        await advance(connection)
        await connection.execute(
            "INSERT INTO activation VALUES ($1, 1, 'mailbox', $2, true, 'person', 'test', 'test', now(), now())",
            organisation.id,
            organisation.mailboxes["anna"],
        )
    await asyncio.to_thread(send, node.mx.port, ["anna@example.org", "ben@example.org"])

    async def settled() -> bool:
        return await statuses(world) == [("primary", "held", "activated"), ("primary", "delivered", None)]

    await until(settled)
    assert [recipients for _, recipients, _ in world.primary.got] == [["ben@example.org"]]
    async with node.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM entry") == 2


async def test_a_compromised_primary_gets_and_relays_nothing(world: World) -> None:
    node, organisation = world.node, world.organisation
    async with node.database.transaction() as connection:
        await advance(connection)
        await connection.execute("UPDATE primary_server SET trust_state = 'compromised'")
    await asyncio.to_thread(send, node.mx.port, ["anna@example.org"])
    assert await statuses(world) == [("primary", "held", "compromised")]
    assert world.primary.got == []

    def relay() -> int:
        with smtplib.SMTP("127.0.0.1", node.smarthost.port, timeout=20) as client:
            client.ehlo()
            return client.mail("anna@example.org")[0]

    assert await asyncio.to_thread(relay) == 550
    assert organisation.primary_id


async def test_relayed_mail_stands_in_sent_and_goes_out(world: World) -> None:
    content = MESSAGE.replace(b"<one@", b"<two@")
    await asyncio.to_thread(
        send, world.node.smarthost.port, ["cora@example.com", "ben@example.org"], content, "anna@example.org"
    )

    async def settled() -> bool:
        return await statuses(world) == [("internet", "delivered", None), ("primary", "delivered", None)]

    await until(settled)
    assert [recipients for _, recipients, _ in world.internet.got] == [["cora@example.com"]]
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT mailbox_id, folder_ids, keywords FROM entry")
    found = {row["mailbox_id"]: (row["folder_ids"], row["keywords"]) for row in rows}
    mailboxes = world.organisation.mailboxes
    assert found == {mailboxes["anna"]: ([3], ["$seen"]), mailboxes["ben"]: ([1], [])}


async def test_refusal_is_a_hold_unless_the_primary_is_trusted(world: World) -> None:
    world.primary.refuse = "550 5.1.1 unknown"
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"])

    async def failed() -> bool:
        return await statuses(world) == [("primary", "failed", None)]

    await until(failed)
    async with world.node.database.transaction() as connection:
        await advance(connection)
        await connection.execute("UPDATE primary_server SET trust_state = 'recovering'")
    await world.node.routes.load()
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"])

    async def held() -> bool:
        return (await statuses(world))[1] == ("primary", "held", "refused by primary")

    await until(held)


async def test_a_large_message_is_kept_whole(world: World) -> None:
    body = (b"0123456789abcdef" * 60 + b"\r\n") * 5000
    content = b"From: cora@example.com\r\nSubject: Large\r\n\r\n" + body
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], content)
    async with world.node.database.connection() as connection:
        blob = await connection.fetchrow("SELECT id, size, chunks, data FROM blob")
    assert (blob["size"], blob["data"]) == (len(content), None)
    assert blob["chunks"] == 5
    assert await world.node.blobs.read(world.organisation.id, blob["id"]) == content

    async def delivered() -> bool:
        return len(world.primary.got) == 1

    await until(delivered)
    assert world.primary.got[0][2].endswith(content)


async def test_conversations_and_the_audit_chain(world: World) -> None:
    reply = MESSAGE.replace(b"<one@example.com>", b"<three@example.com>\r\nIn-Reply-To: <one@example.com>")
    for content in (reply, MESSAGE):  # the answer arrives first
        await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], content)
    database = world.node.database
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(DISTINCT thread_id) FROM message") == 1
        events = await connection.fetchval("SELECT count(*) FROM audit_event")
    assert await chain(database) == events
    verdict = await verify_chain(database, world.organisation.id)
    assert (verdict.links, verdict.broken_at) == (events, None)
    async with database.connection() as connection:
        await connection.execute("UPDATE audit_event SET actor = 'mallory'")
    assert (await verify_chain(database, world.organisation.id)).broken_at == 1


async def test_the_database_away_is_a_try_later_and_nothing_is_half_kept(world: World) -> None:
    async with world.node.database.connection() as connection:
        await connection.execute("ALTER TABLE placement RENAME TO placement_gone")

    def attempt() -> int:
        with smtplib.SMTP("127.0.0.1", world.node.mx.port, timeout=20) as client:
            client.ehlo()
            client.mail("cora@example.com")
            client.rcpt("anna@example.org")
            return client.data(MESSAGE)[0]

    assert await asyncio.to_thread(attempt) == 451
    async with world.node.database.connection() as connection:
        for table in ("message", "blob", "delivery", "entry", "change"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        await connection.execute("ALTER TABLE placement_gone RENAME TO placement")
    await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"])


async def test_a_suspended_lane_keeps_new_mail_back_until_it_is_resumed(world: World) -> None:
    node, organisation = world.node, world.organisation
    operator = QueueOperator(node.database, actor="tester")
    await operator.suspend(organisation.id, primary_lane(organisation.primary_id), "maintenance")
    node.router.suspensions = {(organisation.id, primary_lane(organisation.primary_id)): None}
    await asyncio.to_thread(send, node.mx.port, ["anna@example.org"])

    async def given_back() -> bool:
        async with node.database.connection() as connection:
            row = await connection.fetchrow("SELECT status, leased_by, attempts FROM delivery")
        return tuple(row) == ("queued", None, 0)

    await until(given_back)
    assert world.primary.got == []
    assert await operator.resume(organisation.id, primary_lane(organisation.primary_id))
    node.router.suspensions = {}
    node.worker.wake()

    async def delivered() -> bool:
        return await statuses(world) == [("primary", "delivered", None)]

    await until(delivered)
    assert len(world.primary.got) == 1


async def test_a_rebound_lane_leaves_its_open_connections(world: World) -> None:
    node, organisation = world.node, world.organisation
    await asyncio.to_thread(send, node.mx.port, ["anna@example.org"])
    await until(lambda: _has(world.primary, 1))
    here = node.router.relay
    assert here is not None
    node.router.bindings = {(organisation.id, primary_lane(organisation.primary_id)): here}
    await asyncio.to_thread(send, node.mx.port, ["ben@example.org"])
    await until(lambda: _has(world.internet, 1))
    node.router.bindings = {}
    await asyncio.to_thread(send, node.mx.port, ["ben@example.org"])
    await until(lambda: _has(world.primary, 2))
    assert len(world.internet.got) == 1


async def _has(sink: Sink, count: int) -> bool:
    return len(sink.got) == count


@pytest.mark.parametrize("octets", [100, 3_000_000])
async def test_a_journal_report_stands_in_the_mailboxes_it_names(world: World, octets: int) -> None:
    lines = octets // 60
    inner = b"From: anna@example.org\r\nTo: ben@example.org\r\nSubject: inside\r\nMessage-ID: <in@example.org>\r\n\r\n"
    inner += b"".join(b"%058d\r\n" % number for number in range(lines))
    report = (
        b"From: <journal-source@example.org>\r\nTo: journal@example.org\r\nSubject: inside\r\nX-MS-Journal-Report:\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="j"\r\n\r\n--j\r\n'
        b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
        b"Sender: anna@example.org\r\nSubject: inside\r\nMessage-Id: <in@example.org>\r\nRecipient: ben@example.org\r\n"
        b"\r\n--j\r\nContent-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--j--\r\n"
    )
    await asyncio.to_thread(send, world.node.smarthost.port, ["journal@example.org"], report, "")
    boxes = {number: name for name, number in world.organisation.mailboxes.items()}
    async with world.node.database.connection() as connection:
        entries = await connection.fetch("SELECT mailbox_id, folder_ids FROM entry")
        message = await connection.fetchrow("SELECT source, blob_id FROM message")
    assert sorted((boxes[row["mailbox_id"]], row["folder_ids"]) for row in entries) == [("anna", [3]), ("ben", [1])]
    assert message["source"] == "journal"
    assert await world.node.blobs.read(world.organisation.id, message["blob_id"]) == inner
    assert await statuses(world) == [("journal", "delivered", None)]
    assert list(world.node.mx._receiver.settings.spool_folder.iterdir()) == []
