"""Mail that Everpost writes itself."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from everpost.continuity.alerts import AlertKind, AlertSender, Notifier, raise_alert
from everpost.continuity.drill import Canary
from everpost.continuity.routes import Scope, ScopeKind
from everpost.intake.accept import IntakeUnavailable
from everpost.intake.notices import Notices, NotSent
from everpost.standby.summary import reference_hash
from everpost.store.sql import load
from world import Node, Organisation, make_organisation

HOST = "mx.everpost.example"


@pytest.fixture
async def organisation(database, master) -> Organisation:
    return await make_organisation(database, master)


@pytest.fixture
async def node(database, keys, tmp_path, organisation) -> AsyncIterator[Node]:
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.worker.room = lambda: 0
    await node.routes.load()
    node.intake.start()
    yield node
    await node.intake.stop()


@pytest.fixture
def notices(database, node) -> Notices:
    made = Notices(database, node.intake, node.directory, HOST)
    assert [made] == [_as_notifier(made)] == [_as_canary(made)]
    return made


def _as_notifier(notifier: Notifier) -> Notifier:
    return notifier


def _as_canary(canary: Canary) -> Canary:
    return canary


async def rows(node: Node) -> list[Any]:
    async with node.database.connection() as connection:
        return await connection.fetch(
            "SELECT m.*, d.recipient, d.kind, d.lane, d.notify FROM message m JOIN delivery d"
            " ON d.organisation_id = m.organisation_id AND d.message_id = m.id ORDER BY m.id, d.number"
        )


async def opened(node: Node, row: Any) -> email.message.EmailMessage:
    content = await node.blobs.read(row["organisation_id"], row["blob_id"])
    return email.message_from_bytes(content, policy=email.policy.default)


async def test_each_recipient_gets_a_message_and_learns_of_no_other(node, notices, organisation) -> None:
    people = ["admin@example.net", "anna@example.org", "jörg@example.com"]
    await notices.send_mail(organisation.id, people, "Der Server fällt aus", "Grüße\nEverpost")
    found = await rows(node)
    assert [(row["recipient"], row["kind"]) for row in found] == [
        ("admin@example.net", "internet"), ("anna@example.org", "primary"), ("jörg@example.com", "internet"),
    ]  # fmt: skip
    assert [row["smtputf8"] for row in found] == [False, False, True]
    for row in found:
        assert (row["reverse_path"], row["source"], row["notify"]) == (None, "notice", 0)
        assert (row["organisation_id"], row["body"]) == (organisation.id, "8BITMIME" if row["smtputf8"] else "7BIT")
        message = await opened(node, row)
        assert message["From"].addresses[0].addr_spec == f"everpost@{HOST}"
        content = await node.blobs.read(row["organisation_id"], row["blob_id"])
        assert [line for line in content.split(b"\r\n") if line.startswith((b"To:", b"Cc:", b"Bcc:"))] == [
            f"To: <{row['recipient']}>".encode()
        ]
        assert (message["Auto-Submitted"], message["Subject"]) == ("auto-generated", "Der Server fällt aus")
        assert message.get_content().splitlines() == ["Grüße", "Everpost"]
    assert len({row["message_id"] for row in found}) == 3


async def test_one_bad_recipient_keeps_nobody_else_from_hearing(node, notices, organisation) -> None:
    people = ["no address", "gone@example.org", "journal@example.org", "admin@example.net"]
    with pytest.raises(NotSent) as error:
        await notices.send_mail(organisation.id, people, "x", "y")
    assert [name in str(error.value) for name in people] == [True, True, True, False]
    assert [row["recipient"] for row in await rows(node)] == ["admin@example.net"]


async def test_alerts_reach_contacts_and_people_elsewhere(database, node, notices, organisation) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE mailbox SET alternate = 'anna.home@example.com' WHERE name = 'anna'")
        await connection.execute("UPDATE mailbox SET alternate = 'broken' WHERE name = 'ben'")
        await connection.execute(
            load("continuity")["insert_contact"], organisation.id, await database.ids.new(), "mail", "admin@example.net"
        )
        scope = Scope(organisation.id, ScopeKind.ORGANISATION, organisation.id)
        await raise_alert(
            connection, await database.ids.new(), organisation.id, AlertKind.ACTIVATED, "Activated", "Go to …", scope
        )
    sender = AlertSender(database, notices)
    await sender.deliver_due()
    await sender.deliver_due()
    await sender.close()
    found = await rows(node)
    assert sorted(row["recipient"] for row in found) == ["admin@example.net", "anna.home@example.com"]
    assert (await opened(node, found[0])).get_content().strip() == "Go to …"


async def test_the_canary_comes_in_as_a_strangers_message(database, node, notices, organisation) -> None:
    await notices.send(organisation.id, ["anna@example.org", "ben@example.org"], "abc@drill.invalid")
    found = await rows(node)
    assert [(row["recipient"], row["direction"], row["reverse_path"]) for row in found] == [
        ("anna@example.org", "inbound", None), ("ben@example.org", "inbound", None),
    ]  # fmt: skip
    async with database.connection() as connection:
        arrived = await connection.fetch(
            load("continuity")["canary_arrived"],
            organisation.id, list(organisation.mailboxes.values()), reference_hash("abc@drill.invalid"),
            "abc@drill.invalid",
        )  # fmt: skip
    assert {row["mailbox_id"] for row in arrived} == set(organisation.mailboxes.values())


async def test_the_canary_flies_nowhere_else(node, notices, organisation, database, master) -> None:
    await make_organisation(database, master, "other", ("olga",))
    for address in ("you@example.net", "gone@example.org", "olga@other.org"):
        with pytest.raises(LookupError):
            await notices.send(organisation.id, ["anna@example.org", address], "abc@drill.invalid")
    assert await rows(node) == []


async def test_intake_not_available_is_told_as_the_callers_expect(node, notices, organisation, monkeypatch) -> None:
    async def away(*_: Any) -> None:
        raise IntakeUnavailable("away")

    monkeypatch.setattr(node.intake, "accept", away)
    with pytest.raises(OSError, match="away"):
        await notices.send(organisation.id, ["anna@example.org"], "abc@drill.invalid")
    with pytest.raises(RuntimeError, match="away"):
        await notices.send_mail(organisation.id, ["anna@example.org"], "x", "y")
