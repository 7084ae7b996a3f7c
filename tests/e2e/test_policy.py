"""Rules of an organisation, from the file to what becomes of a message; and tried on past mail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from auth_tools.zone import Zone
from e2e.test_mail_flow import Sink, World, send
from everpost.directory.admin import DirectoryAdmin
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.policy.document import read_policy
from everpost.guard.policy.evaluate import BadPolicy, RuleBook
from everpost.guard.policy.store import Outdated, Policies, list_versions, read_current, read_groups, save_policy
from everpost.intake.rehearsal import Rehearsal
from everpost.queue.trace import read_message
from everpost.standby.model import Role
from everpost.store.ids import decode_id
from world import Node, make_organisation, until

MESSAGE = b"From: Cora <cora@good.example>\r\nSubject: Offer %d\r\nMessage-ID: <%d@good.example>\r\n\r\nText\r\n"
RULES = """
[[rule]]
id = "offers"
state = "on"
when = [{ field = "subject", any = ["^offer"] }, { field = "recipient", any = ["ben@example.org", "group:Sales"] }]
do = [{ do = "quarantine" }, { do = "field", value = "X-Offer: yes" }]

[[rule]]
id = "tried"
name = "No offers at all"
when = [{ field = "subject", any = ["^offer"] }]
do = [{ do = "reject" }]
"""


@pytest.fixture
async def world(database, master, keys, tmp_path) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    settings = GuardSettings("mx.everpost.example")
    guard = Guard(settings, make_steps(settings, Zone({})))
    node = Node(database, keys, tmp_path, organisation, run=1, guard=guard, policies=Policies(database))
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, primary, Sink())
    await node.stop()
    server.close()


async def put(world: World, text: str, **more) -> int:
    database = world.node.database
    version = await save_policy(database, world.organisation.id, read_policy(text.encode()), "admin", "because", **more)
    assert world.node.policies is not None
    world.node.policies.forget()
    return version


async def states(world: World) -> dict[str, tuple[str, str | None]]:
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT recipient, status, hold_reason FROM delivery")
    return {row["recipient"]: (row["status"], row["hold_reason"]) for row in rows}


async def test_a_rule_acts_for_those_it_is_true_of(world: World, master) -> None:
    await DirectoryAdmin(world.node.database, master).create_group(world.organisation.id, "Sales")
    await put(world, RULES)
    both = ["anna@example.org", "ben@example.org"]
    queue_id = await asyncio.to_thread(send, world.node.mx.port, both, MESSAGE % (1, 1), "cora@good.example")

    async def delivered() -> bool:
        return (await states(world))["anna@example.org"] == ("delivered", None)

    await until(delivered)
    assert (await states(world))["ben@example.org"] == ("held", "quarantined")
    [(_, _, copy)] = world.primary.got
    assert b"\r\nX-Offer: yes\r\n" in copy
    async with world.node.database.connection() as connection:
        entries = await connection.fetch("SELECT mailbox_id, folder_ids[1] AS folder FROM entry")
        traced = await read_message(connection, world.organisation.id, decode_id(queue_id))
    assert [tuple(row) for row in entries] == [(world.organisation.mailboxes["anna"], Role.INBOX.folder_id)]
    assert traced is not None
    assert traced.verdict is not None
    said = [(each.kind, each.evidence) for each in traced.verdict.signals if each.kind.startswith("policy")]
    assert said == [("policy.rule", "offers: quarantine, field"), ("policy.shadow", "No offers at all: reject")]


async def test_a_message_is_refused(world: World) -> None:
    await put(
        world,
        RULES.replace("No offers", "X").replace('name = "X at all"', 'state = "on"').replace(', "group:Sales"', ""),
    )
    with pytest.raises(AssertionError, match="refused by the policy"):
        await asyncio.to_thread(send, world.node.mx.port, ["anna@example.org"], MESSAGE % (1, 1), "c@good.example")
    assert await states(world) == {}


async def test_versions_and_two_who_change_at_once(world: World) -> None:
    database, organisation_id = world.node.database, world.organisation.id
    one, two = '[[rule]]\nid = "one"', '[[rule]]\nid = "two"'
    assert await put(world, one, expected=0) == 1
    assert await put(world, one) == 1  # the same again
    with pytest.raises(Outdated, match="version 1 is in force, not 0"):
        await put(world, two, expected=0)
    with pytest.raises(BadPolicy, match="no group 'sales'"):
        await put(world, RULES)
    assert await put(world, two, expected=1) == 2
    async with database.connection() as connection:
        versions = await list_versions(connection, organisation_id)
        assert [(each.version, each.actor, each.reason) for each in versions] == [
            (2, "admin", "because"), (1, "admin", "because"),
        ]  # fmt: skip
        assert (await read_current(connection, organisation_id)).document.rule[0].id == "two"
        events = await connection.fetch("SELECT action FROM audit_event WHERE action = 'policy.changed'")
    assert len(events) == 2
    results = await asyncio.gather(
        *(put(world, f'[[rule]]\nid = "n{number}"', expected=2) for number in range(4)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in results) == ["Outdated", "Outdated", "Outdated", "int"]


async def test_tried_on_past_mail(world: World, tmp_path: Path) -> None:
    node = world.node
    for number in range(3):
        subject = MESSAGE % (number, number) if number else MESSAGE.replace(b"Offer", b"Hello") % (0, 0)
        await asyncio.to_thread(send, node.mx.port, ["ben@example.org"], subject, "cora@good.example")
    book = RuleBook(read_policy(RULES.replace(', "group:Sales"', "").encode()), {})
    rehearsal = Rehearsal(node.database, node.directory, node.blobs)
    since = datetime.now(UTC) - timedelta(days=1)
    trial = await rehearsal.run(world.organisation.id, book, since, 100)
    assert (trial.messages, trial.unreadable) == (3, 0)
    assert {rule: each.hits for rule, each in trial.rules.items()} == {"offers": 2, "tried": 2}
    assert [each.subject for each in trial.rules["offers"].examples] == ["Offer 2", "Offer 1"]
    assert (await rehearsal.run(world.organisation.id, book, since, 2)).messages == 2
    assert (await rehearsal.run(world.organisation.id, book, datetime.now(UTC), 100)).messages == 0
    async with node.database.connection() as connection:
        assert await read_groups(connection, world.organisation.id) == {}
