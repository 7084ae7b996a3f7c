"""People's lists of senders, honoured when the next message for them comes: for each of its recipients alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from auth_tools.zone import Zone
from e2e.test_guard import NAMES, message
from e2e.test_mail_flow import Sink, World, send
from everpost.guard import kinds
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.model import Disposition, Judgement, Way, decode_verdict
from everpost.guard.verdict import DEFAULT_DISPOSITIONS, Policy
from everpost.guard.wishes import Wish
from everpost.intake import senders
from everpost.intake.senders import MAX_RULES, SenderLists, TooManyRules, delete_rule, rules_of, save_rule
from everpost.mail.header import parse_header
from everpost.standby.model import Role
from world import Node, make_organisation, until

BOTH = ["anna@example.org", "ben@example.org"]


def strict_guard() -> Guard:
    """A second From field is spam to it, and spam is kept apart."""
    policy = Policy(
        dispositions={**DEFAULT_DISPOSITIONS, (Way.INBOUND, Judgement.SPAM): Disposition.QUARANTINE},
        weights={kinds.SEVERAL_AUTHORS.name: 9.0},
    )  # fmt: skip
    settings = GuardSettings("mx.everpost.example", policy=policy)
    return Guard(settings, make_steps(settings, Zone(NAMES)))


@pytest.fixture
async def world(database, master, keys, tmp_path) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    node = Node(database, keys, tmp_path, organisation, run=1, guard=strict_guard())
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, primary, Sink())
    await node.stop()
    server.close()


async def wish(world: World, person: str, sender: str, what: Wish) -> int:
    organisation = world.organisation
    async with world.node.database.transaction() as connection:
        new_id = await world.node.database.ids.new()
        rule_id = await save_rule(connection, organisation.id, organisation.mailboxes[person], new_id, sender, what)
    world.node.senders.heard(f"{organisation.id} {organisation.mailboxes[person]}")
    return rule_id


async def arrives(world: World, content: bytes, sender: str) -> None:
    await asyncio.to_thread(send, world.node.mx.port, BOTH, content, sender)


async def stands(world: World) -> dict[str, list[int]]:
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT mailbox_id, folder_ids FROM entry ORDER BY message_id")
    names = {number: name for name, number in world.organisation.mailboxes.items()}
    return {names[row["mailbox_id"]]: row["folder_ids"] for row in rows}


async def test_a_denied_sender_goes_to_the_junk_of_who_denies(world: World) -> None:
    await wish(world, "anna", "good.example", Wish.DENY)
    await arrives(world, message("good.example"), "cora@good.example")
    assert await stands(world) == {"anna": [Role.JUNK.folder_id], "ben": [Role.INBOX.folder_id]}

    async def is_delivered() -> bool:
        return len(world.primary.got) == 2

    await until(is_delivered)
    flags = {to: parse_header(copy).first("x-spam-flag") is not None for _, [to], copy in world.primary.got}
    assert flags == {"anna@example.org": True, "ben@example.org": False}
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT blob_id, verdict FROM message ORDER BY id")
        assert await connection.fetchval("SELECT count(*) FROM blob") == 1
    assert len({row["blob_id"] for row in rows}) == 1
    kinds = [[each.kind for each in decode_verdict(row["verdict"]).signals] for row in rows]
    assert sum("person.denies" in each for each in kinds) == 1


async def test_a_vouched_sender_that_is_allowed_is_not_kept(world: World) -> None:
    await wish(world, "anna", "cora@shop.example", Wish.ALLOW)
    await arrives(world, message("shop.example"), "cora@shop.example")  # spf fails: anybody can write that
    assert await stands(world) == {}
    await wish(world, "anna", "good.example", Wish.ALLOW)
    await arrives(world, message("good.example", b"From: dan@good.example\r\n"), "cora@good.example")
    assert await stands(world) == {"anna": [Role.INBOX.folder_id]}
    async with world.node.database.connection() as connection:
        held = await connection.fetch("SELECT recipient FROM delivery WHERE hold_reason = 'quarantined' ORDER BY 1")
    assert [row["recipient"] for row in held] == ["anna@example.org", "ben@example.org", "ben@example.org"]


async def test_phishing_is_kept_whatever_somebody_allows(world: World) -> None:
    await wish(world, "anna", "bank.example", Wish.ALLOW)
    await arrives(world, message("bank.example"), "cora@bank.example")
    assert await stands(world) == {}


async def test_a_rule_that_is_gone_counts_no_more_even_if_nobody_heard(world: World) -> None:
    organisation, now = world.organisation, [0.0]
    mailbox = (organisation.id, organisation.mailboxes["anna"])
    lists = SenderLists(world.node.database, lambda: now[0])
    rule_id = await wish(world, "anna", "@good.example", Wish.DENY)
    assert await lists._rules([mailbox]) == {mailbox: {"good.example": Wish.DENY}}
    async with world.node.database.transaction() as connection:
        assert await delete_rule(connection, *mailbox, rule_id)
        assert not await delete_rule(connection, *mailbox, rule_id)
        assert await rules_of(connection, *mailbox) == []
    assert await lists._rules([mailbox]) != {mailbox: {}}
    lists.heard("not numbers")
    now[0] = senders._FRESH_S
    assert await lists._rules([mailbox]) == {mailbox: {}}


async def test_the_later_rule_counts_and_there_are_so_many_at_most(world: World, monkeypatch) -> None:
    monkeypatch.setattr(senders, "MAX_RULES", 2)
    first = await wish(world, "anna", "good.example", Wish.DENY)
    assert await wish(world, "anna", "GOOD.example", Wish.ALLOW) == first
    await wish(world, "anna", "two@good.example", Wish.ALLOW)
    with pytest.raises(TooManyRules):
        await wish(world, "anna", "three@good.example", Wish.ALLOW)
    assert MAX_RULES == 500
