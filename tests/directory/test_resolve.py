"""Looking addresses up, many at a time."""

from __future__ import annotations

import asyncio

import pytest

from everpost.directory.model import Resolved, Unresolved
from everpost.directory.resolve import Directory
from everpost.mail.address import Address
from world import make_organisation

PEOPLE = tuple(f"p{number}" for number in range(40))


async def test_who_asks_at_the_same_time_shares_a_look_up(database, master, monkeypatch) -> None:
    organisation = await make_organisation(database, master, people=PEOPLE)
    directory = Directory(database)
    await directory.resolve(Address.parse("p0@example.org"))  # domain and the first mailbox are known now
    looked_up = []
    real = directory._addresses._look_up

    async def look_up(asked) -> None:
        looked_up.append(len(asked))
        await real(asked)

    monkeypatch.setattr(directory._addresses, "_look_up", look_up)
    texts = [f"{person}+x@example.org" for person in PEOPLE] + ["nobody@example.org"] * 2
    answers = await asyncio.gather(*(directory.resolve(Address.parse(text)) for text in texts))
    for person, answer in zip(PEOPLE, answers[:-2], strict=True):
        assert isinstance(answer, Resolved)
        assert [target.place.mailbox_id for target in answer.targets] == [organisation.mailboxes[person]]
    assert answers[-2:] == [Unresolved.NO_SUCH_MAILBOX] * 2
    assert sum(looked_up) == 2 * len(PEOPLE) + 1  # with and without the detail; nobody is asked for once
    assert len(looked_up) <= 2


async def test_whoever_asked_hears_that_the_database_is_away(database, master, monkeypatch) -> None:
    await make_organisation(database, master)
    directory = Directory(database)
    addresses = [Address.parse("anna@example.org"), Address.parse("ben@example.org")]
    with monkeypatch.context() as patch:

        def away():
            raise ConnectionError

        await directory.resolve(Address.parse("nobody@example.org"))
        patch.setattr(database, "connection", away)
        answers = await asyncio.gather(*map(directory.resolve, addresses), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ConnectionError] * 2
        task = asyncio.create_task(directory.resolve(addresses[0]))
        await asyncio.sleep(0)
        task.cancel()  # whoever hangs up takes nothing from the others
        with pytest.raises(ConnectionError):
            await directory.resolve(addresses[0])
    assert isinstance(await directory.resolve(addresses[0]), Resolved)
