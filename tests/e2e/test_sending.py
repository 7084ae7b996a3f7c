"""A stolen account is stopped after its first hundred messages, whoever takes them; administrators hear of it once."""

from __future__ import annotations

import asyncio
import smtplib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from auth_tools.zone import Zone
from e2e.test_mail_flow import Sink, World
from everpost.app.sending_options import Sending as Options
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.policy.document import read_policy
from everpost.guard.policy.store import Policies, save_policy
from everpost.guard.sending.counts import SharedCounts
from everpost.guard.steps.sending import Sending
from everpost.store.database import Database
from world import Node, make_organisation

NEWSLETTER = """
[[rule]]
id = "newsletter"
state = "on"
when = [{ field = "direction", any = ["outbound"] }, { field = "sender", any = ["anna@example.org"] }]
do = [{ do = "accept" }]
"""


def make_guard(database: Database, options: Options) -> Guard:
    settings = GuardSettings("mx.everpost.example")
    counts = Sending(SharedCounts(database), options.limits())
    return Guard(settings, make_steps(settings, Zone({}), sending=counts))


@pytest.fixture
def options() -> Options:
    return Options()


@pytest.fixture
async def world(database, master, keys, tmp_path, options) -> AsyncIterator[World]:
    organisation = await make_organisation(database, master)
    internet = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(internet, loop=loop), "127.0.0.1", 0)
    node = Node(
        database, keys, tmp_path, organisation, run=1, guard=make_guard(database, options), policies=Policies(database)
    )
    node.internet_at(server.sockets[0].getsockname()[1])
    await node.start()
    yield World(node, organisation, Sink(), internet)
    await node.stop()
    server.close()


def send(port: int, numbers: Sequence[int], recipients: int = 1) -> list[int]:
    """From Anna through her primary, each to somebody else; the codes of the replies."""
    codes = []
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        for number in numbers:
            to = [f"someone{number}-{each}@example.com" for each in range(recipients)]
            content = f"From: anna@example.org\r\nSubject: {number}\r\nMessage-ID: <{number}@x.example>\r\n\r\nText\r\n"
            try:
                client.sendmail("anna@example.org", to, content.encode())
                codes.append(250)
            except smtplib.SMTPDataError as error:
                codes.append(error.smtp_code)
    return codes


async def flood(world: World, messages: int, sessions: int = 4, recipients: int = 1) -> Counter[int]:
    port = world.node.smarthost.port
    runs = [asyncio.to_thread(send, port, range(first, messages, sessions), recipients) for first in range(sessions)]
    return Counter(code for codes in await asyncio.gather(*runs) for code in codes)


async def held(world: World) -> Counter[str]:
    """Messages by whether they were kept apart."""
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT DISTINCT message_id, hold_reason FROM delivery WHERE kind = 'internet'")
    return Counter(row["hold_reason"] or "sent" for row in rows)


async def alerts(world: World) -> list[tuple[str, str]]:
    async with world.node.database.connection() as connection:
        rows = await connection.fetch("SELECT kind, subject FROM alert ORDER BY id")
    return [tuple(row) for row in rows]


async def test_a_stolen_account_is_stopped_and_administrators_hear_of_it_once(world: World) -> None:
    assert await flood(world, 130) == {250: 130}
    assert await held(world) == {"sent": 100, "quarantined": 30}
    assert await alerts(world) == [("sending limit", "Much more mail than usual is sent by anna@example.org")]
    async with world.node.database.connection() as connection:
        text = await connection.fetchval("SELECT text FROM alert")
        sent_entries = await connection.fetchval(
            "SELECT count(*) FROM entry WHERE mailbox_id = $1", world.organisation.mailboxes["anna"]
        )
    assert text.startswith("anna@example.org: 101 messages within an hour, 100 are usual at most.\n\nSuch mail is kept")
    assert sent_entries == 130


async def test_a_few_messages_to_very_many_strangers_are_stopped(world: World) -> None:
    await flood(world, 6, sessions=1, recipients=50)
    assert await held(world) == {"sent": 3, "quarantined": 3}


async def test_a_newsletter_that_a_rule_allows_goes(world: World) -> None:
    await save_policy(
        world.node.database, world.organisation.id, read_policy(NEWSLETTER.encode()), "admin", "the newsletter"
    )
    await flood(world, 130)
    assert await held(world) == {"sent": 130}
    assert await alerts(world) == []


@pytest.mark.parametrize("options", [Options(person="defer", person_messages_hour=5)])
async def test_what_has_to_wait_is_answered_so_and_goes_once_the_hour_is_over(world: World) -> None:
    assert await flood(world, 8, sessions=1) == {250: 5, 451: 3}
    assert await flood(world, 3, sessions=1) == {451: 3}
    async with world.node.database.connection() as connection:
        [counted] = await connection.fetch("SELECT messages FROM sending_count WHERE sender LIKE 'mailbox%'")
        await connection.execute("UPDATE sending_count SET hour = hour - interval '2 hours'")
    assert counted["messages"] <= 5 + 1  # the last refusal may still be on its way to be taken back
    assert await flood(world, 3, sessions=1) == {250: 3}
    assert [kind for kind, _ in await alerts(world)] == ["sending limit"]


@pytest.mark.parametrize("options", [Options(person="mark", person_messages_hour=5, primary_messages_hour=7)])
async def test_what_is_only_marked_goes(world: World) -> None:
    await flood(world, 9, sessions=1)
    assert await held(world) == {"sent": 9}
    assert [subject for _, subject in await alerts(world)] == [
        "Much more mail than usual is sent by anna@example.org", "Much more mail than usual is sent by primary main",
    ]  # fmt: skip


@pytest.mark.parametrize("options", [Options(person="off", primary="off")])
async def test_off_is_off(world: World) -> None:
    await flood(world, 120)
    assert await held(world) == {"sent": 120}
    async with world.node.database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM sending_count") == 0


async def test_whom_people_wrote_to_before_is_known_from_the_first_start_on(world: World) -> None:
    await flood(world, 5, sessions=1)
    learned = "SELECT organisation_id, sender, recipient FROM correspondent ORDER BY recipient"
    script = (files("everpost.store") / "migrations" / "0009_sending.sql").read_text(encoding="utf-8")
    async with world.node.database.connection() as connection:
        now = await connection.fetch(learned)
        await connection.execute("DELETE FROM correspondent")
        await connection.execute(script[script.index("INSERT INTO correspondent") :])
        again = await connection.fetch(learned)
    assert 4 <= len(now) <= 5  # the last may still be on its way to be learned
    assert len(again) == 5
    assert set(map(tuple, now)) <= set(map(tuple, again))
