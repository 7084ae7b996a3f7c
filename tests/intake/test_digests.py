"""Digests: one for each mailbox and time, each message once, whatever ends the process that makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from e2e.test_mail_flow import Sink, World
from everpost.continuity.homes import waiting_mailboxes
from everpost.guard.model import Judgement
from everpost.intake.accept import IntakeUnavailable
from everpost.intake.digests import AnswerSender, DigestSender, OwnMail
from everpost.intake.kept_from_me import KeptMail
from everpost.intake.links import DigestLinks
from everpost.intake.quarantine import Quarantine
from everpost.intake.quarantine_settings import QuarantineSettings, Schedule, save_settings
from everpost.standby.values import Account
from quarantine_tools import content, keep
from world import Node, make_organisation, until

LINKS = DigestLinks(b"k" * 32, "https://mail.example.org")
BOTH = ["anna@example.org", "ben@example.org"]


class Killed(BaseException):
    """The process ends here."""


class House(World):
    """With a clock, and the sender of digests."""

    now: datetime
    digests: DigestSender
    mail: OwnMail


@pytest.fixture
async def house(database, master, keys, tmp_path) -> AsyncIterator[House]:
    organisation = await make_organisation(database, master)
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO address (organisation_id, key, written, mailbox_id) VALUES ($1, $2, $2, $3)",
            organisation.id, "a.nna@example.org", organisation.mailboxes["anna"],
        )  # fmt: skip
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    node = Node(database, keys, tmp_path, organisation, run=1)
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()
    house = House(node, organisation, primary, Sink())
    house.now = datetime(2026, 3, 1, 7, 0, tzinfo=UTC)
    house.mail = OwnMail(database, node.intake, node.directory, "mx.everpost.example")
    house.digests = DigestSender(database, house.mail, LINKS, lambda: house.now)
    assert await house.digests.run_once() == 0  # nothing was planned: it is now
    yield house
    await node.stop()
    server.close()


async def kept(house: House, *people: str, **more: Any) -> int:
    return await keep(house.node.intake, house.node.directory, people or BOTH, **more)


async def got(house: House, count: int) -> list[tuple[str, EmailMessage]]:
    """What the primary got: recipient and message."""

    async def arrived() -> bool:
        return len(house.primary.got) >= count

    await until(arrived)
    await asyncio.sleep(0.1)
    assert len(house.primary.got) == count
    found = [(to[0], message_from_bytes(octets, policy=policy.default)) for _, to, octets in house.primary.got]
    return sorted(found, key=lambda each: each[0])  # type: ignore[return-value]


async def entries(house: House) -> int:
    async with house.node.database.connection() as connection:
        return int(await connection.fetchval("SELECT count(*) FROM entry"))


async def test_each_person_is_told_once_of_all_their_addresses(house: House) -> None:
    await kept(house, "anna@example.org", "a.nna@example.org", "ben@example.org", octets=content("First"))
    await kept(house, "a.nna@example.org", octets=content("Second"))
    assert await house.digests.run_once() == 0  # it is not time
    house.now += timedelta(hours=1)
    assert await house.digests.run_once() == 2
    [(anna, to_anna), (ben, to_ben)] = await got(house, 2)
    assert (anna, ben) == ("anna@example.org", "ben@example.org")
    assert to_anna["Subject"] == "2 messages are kept from you"
    assert to_anna["Auto-Submitted"] == "auto-generated"
    text = to_anna.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert text.index("* Second") < text.index("* First")
    assert "Second" not in str(to_ben)
    assert await entries(house) == 2  # in the standby mailboxes, too
    assert await house.digests.run_once() == 0
    house.now += timedelta(days=1)
    assert await house.digests.run_once() == 0  # there is nothing new
    await kept(house, "ben@example.org", octets=content("Third"))
    house.now += timedelta(days=3)
    assert await house.digests.run_once() == 1  # one for all the days that were missed
    [third] = [message for _, message in await got(house, 3) if message["Subject"].startswith("1 ")][1:]
    assert "First" not in third.get_body(("plain",)).get_content()  # type: ignore[union-attr]


async def test_a_process_that_ends_half_way_leaves_nobody_out_and_tells_nobody_twice(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(house)
    house.now += timedelta(hours=1)
    accept = house.node.intake.accept

    async def dies_before(submission: Any, within: Any = None) -> Any:
        async def rolled_back(connection: Any, receipt: Any) -> None:
            await within(connection, receipt)
            raise LookupError("the transaction is not committed")

        return await accept(submission, rolled_back)

    monkeypatch.setattr(house.node.intake, "accept", dies_before)
    with pytest.raises(LookupError):
        await house.digests.run_once()

    async def dies_after(submission: Any, within: Any = None) -> Any:
        await accept(submission, within)
        raise Killed

    monkeypatch.setattr(house.node.intake, "accept", dies_after)
    for _ in range(2):  # once for each of the two, right after the commit
        with pytest.raises(Killed):
            await house.digests.run_once()
    monkeypatch.setattr(house.node.intake, "accept", accept)
    await kept(house, octets=content("Between"))  # not in a second digest for the same time
    assert await house.digests.run_once() == 0
    assert [to for to, _ in await got(house, 2)] == BOTH
    house.now += timedelta(days=1)
    assert await house.digests.run_once() == 2
    assert len(await got(house, 4)) == 4


async def test_two_processes_at_once_make_one_digest(house: House) -> None:
    await kept(house)
    house.now += timedelta(hours=1)
    other = DigestSender(house.node.database, house.mail, LINKS, lambda: house.now)
    assert sum(await asyncio.gather(house.digests.run_once(), other.run_once())) == 2
    assert len(await got(house, 2)) == 2


async def test_it_stays_due_while_intake_is_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await kept(house)
    house.now += timedelta(hours=1)

    async def away(*_: Any) -> None:
        raise IntakeUnavailable("disk")

    with monkeypatch.context() as patched:
        patched.setattr(house.node.intake, "accept", away)
        assert await house.digests.run_once() == 0
    assert await house.digests.run_once() == 2


async def test_schedule_and_language_are_the_organisations_and_the_persons(house: House) -> None:
    organisation = house.organisation
    hourly = QuarantineSettings(digest=Schedule.HOURLY)
    await save_settings(house.node.database, organisation.id, hourly, "admin:alice")
    async with house.node.database.transaction() as connection:
        await connection.execute("UPDATE organisation SET language = 'fr'")
        await connection.execute("UPDATE mailbox SET language = 'de' WHERE id = $1", organisation.mailboxes["anna"])
        await connection.execute("UPDATE mailbox SET status = 'disabled' WHERE id = 0")
    await kept(house)
    assert await house.digests.run_once() == 0
    house.now += timedelta(hours=1)
    assert await house.digests.run_once() == 2
    [(_, to_anna), (_, to_ben)] = await got(house, 2)
    assert to_anna["Subject"] == "1 Nachricht wird zurückgehalten"
    assert to_ben["Subject"] == "1 message est retenu"
    await save_settings(house.node.database, organisation.id, QuarantineSettings(digest=Schedule.OFF), "admin:alice")
    await kept(house)
    house.now += timedelta(days=7)
    assert await house.digests.run_once() == 0


async def test_somebody_who_is_gone_is_no_obstacle(house: House) -> None:
    await kept(house)
    async with house.node.database.transaction() as connection:
        await connection.execute(
            "UPDATE mailbox SET status = 'disabled' WHERE id = $1", house.organisation.mailboxes["anna"]
        )
    house.node.directory.forget()
    house.now += timedelta(hours=1)
    assert await house.digests.run_once() == 1
    await house.digests.forget_old()


async def test_answers_are_told_once(house: House) -> None:
    organisation, database = house.organisation, house.node.database
    messages = [await kept(house, "anna@example.org", judgement=Judgement.PHISHING) for _ in range(3)]
    anna = KeptMail(
        database, Account(organisation.id, organisation.mailboxes["anna"]), actor="anna@example.org",
        homes=waiting_mailboxes,
    )  # fmt: skip
    for message_id in messages:
        assert await anna.ask(message_id, "please")
    quarantine = Quarantine(database, actor="admin:alice", homes=waiting_mailboxes)
    answers = AnswerSender(database, house.mail)
    assert await answers.run_once() == 0
    await quarantine.release(organisation.id, messages[0], reason="it is genuine")
    await quarantine.refuse(organisation.id, messages[1], "a forgery")
    await quarantine.give_up(organisation.id, messages[2])
    assert await answers.run_once() == 3
    assert await answers.run_once() == 0
    texts = [str(message) for _, message in await got(house, 4) if message["Subject"].startswith("Your request")]
    assert len(texts) == 3
    assert sum("Reason: a forgery" in text for text in texts) == 1
    spam = await kept(house, "anna@example.org")
    await anna.ask(spam)
    await anna.release(spam)  # they know
    assert await answers.run_once() == 0
