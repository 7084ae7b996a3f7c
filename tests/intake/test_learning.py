"""Learning from people: reports, moves to Junk and out of it, changes of mind, and nobody's power over the others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from everpost.guard.contents import read_contents
from everpost.guard.learn.features import VERSION, feature_number, features_of
from everpost.guard.learn.model import WHOLE, Amount, Class, Counts, make_table
from everpost.guard.learn.models import PRIOR, Models, forget, make_model, signed, state_of, teach
from everpost.guard.learn.speak import Spoken, Terms, speak
from everpost.intake.learning import Learning, learn_report, words_of
from everpost.mail.header import parse_header
from everpost.standby.model import Role
from everpost.standby.values import Account
from everpost.store.blobs import BlobReader
from everpost.store.database import Database
from everpost.store.sql import load
from guard_tools.corpus import mail
from web_tools.fixtures import ann, world
from web_tools.world import Person, World

__all__ = ["ann", "world"]
AT_ONCE = timedelta(0)
TERMS = Terms()
INBOX, JUNK, TRASH = Role.INBOX.folder_id, Role.JUNK.folder_id, Role.TRASH.folder_id


def features(data: bytes) -> tuple[str, ...]:
    header = parse_header(data)
    return features_of(header, read_contents(data, header))


def account(person: Person) -> Account:
    return Account(person.login.organisation_id, person.login.mailbox_id)


async def received(world: World, person: Person, data: bytes) -> int:
    await world.deliver(str(person.login.address), data)
    async with world.database.connection() as connection:
        return int(
            await connection.fetchval(
                "SELECT max(message_id) FROM entry WHERE mailbox_id = $1", person.login.mailbox_id
            )
        )


async def move(world: World, person: Person, entry_id: int, folder_id: int) -> None:
    async with world.standby.work(account(person), "ann") as (work, _):
        await work.update(entry_id, folder_ids=[folder_id])


async def flag(world: World, person: Person, entry_id: int, *keywords: str) -> None:
    async with world.standby.work(account(person), "ann") as (work, _):
        await work.update(entry_id, keywords=frozenset(keywords))


async def lessons(database: Database) -> list[tuple[int, str, str]]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT message_id, verdict, learned FROM lesson ORDER BY message_id")
    return [tuple(row) for row in rows]


@pytest.fixture
def learning(database: Database, blobs: BlobReader) -> Learning:
    return Learning(database, blobs)


async def test_the_last_word_counts_once_and_can_be_taken_back(world: World, ann: Person, learning: Learning) -> None:
    entry = await received(world, ann, mail(1, spam=True))
    await move(world, ann, entry, JUNK)
    await learning.run_once(AT_ONCE)
    await flag(world, ann, entry, "$junk")  # said twice, learned once
    await learning.run_once(AT_ONCE)
    assert await lessons(world.database) == [(entry, "spam", "spam")]
    assert (await state_of(world.database, ann.login.organisation_id)).spam_weight == 1
    await move(world, ann, entry, INBOX)
    await learning.run_once(AT_ONCE)
    assert await lessons(world.database) == [(entry, "ham", "ham")]
    state = await state_of(world.database, ann.login.organisation_id)
    assert (state.spam_weight, state.ham_weight) == (0, 1)
    async with world.database.transaction() as connection:
        await learn_report(connection, ann.login.organisation_id, ann.login.mailbox_id, entry, None)
    await learning.run_once(AT_ONCE)
    state = await state_of(world.database, ann.login.organisation_id)
    assert (state.spam, state.ham, state.spam_weight, state.ham_weight) == (0, 0, 0, 0)


async def test_lessons_of_an_older_version_are_read_again(world: World, ann: Person, blobs: BlobReader) -> None:
    entry = await received(world, ann, mail(1, spam=True))
    await move(world, ann, entry, JUNK)
    await Learning(world.database, blobs).run_once(AT_ONCE)
    async with world.database.connection() as connection:
        await connection.execute("UPDATE lesson SET version = -1, features = '{1}'")
    await Learning(world.database, blobs).run_once(AT_ONCE)
    async with world.database.connection() as connection:
        row = await connection.fetchrow("SELECT learned, version, features FROM lesson")
    assert (row["learned"], row["version"]) == ("spam", VERSION)
    assert len(row["features"]) > 50


async def test_the_newest_lessons_of_each_class_are_kept(database: Database) -> None:
    await insert_lessons(database, 1, 5, [mail(1, spam=True)] * 30, Class.SPAM)
    await insert_lessons(database, 1, 5, [mail(1, spam=False)] * 10, Class.HAM, 100)
    await insert_lessons(database, 1, 6, [mail(1, spam=True)] * 30, Class.SPAM, 200)
    async with database.connection() as connection:
        await connection.execute(load("classifier")["trim_lessons"], 1, 5, 20)
        rows = await connection.fetch("SELECT mailbox_id, learned, count(*), min(message_id) FROM lesson GROUP BY 1, 2")
    assert {tuple(row) for row in rows} == {(5, "spam", 20, 11), (5, "ham", 10, 100), (6, "spam", 30, 200)}


async def test_what_says_nothing_is_not_learned(world: World, ann: Person, learning: Learning) -> None:
    entry = await received(world, ann, mail(1, spam=True))
    await flag(world, ann, entry, "$seen")
    await move(world, ann, entry, Role.ARCHIVE.folder_id)
    await learning.run_once(AT_ONCE)
    assert await lessons(world.database) == []


async def test_logs_are_read_in_portions_and_to_the_end(
    world: World, ann: Person, learning: Learning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everpost.intake.learning.DEEDS", 2)
    monkeypatch.setattr("everpost.intake.learning.MAILBOXES", 2)
    people = [ann, *[await world.person(f"p{number}@example.org") for number in range(4)]]
    expected = []
    for person in people:
        for number in range(3):
            entry = await received(world, person, mail(number, spam=True))
            await move(world, person, entry, JUNK)
            await move(world, person, entry, INBOX if number else JUNK)
            expected.append((entry, *(["ham"] * 2 if number else ["spam"] * 2)))
    await learning.run_once(AT_ONCE)
    assert await lessons(world.database) == sorted(expected)
    async with world.database.connection() as connection:
        assert await connection.fetchval(
            "SELECT bool_and(r.modseq = m.modseq) FROM mailbox m LEFT JOIN lesson_read r ON r.mailbox_id = m.id"
        )


async def test_what_filters_do_is_nobodys_word(world: World, ann: Person, learning: Learning) -> None:
    entry = await received(world, ann, mail(1, spam=True))
    async with world.standby.work(account(ann), "filter") as (work, _):
        await work.update(entry, folder_ids=[JUNK])
    await learning.run_once(AT_ONCE)
    assert await lessons(world.database) == []


@pytest.mark.parametrize(
    ("deeds", "word"),
    [
        ([("moved", [INBOX], [JUNK])], Class.SPAM),
        ([("moved", [JUNK], [INBOX])], Class.HAM),
        ([("moved", [JUNK], [TRASH])], "nothing"),
        ([("moved", [INBOX], [TRASH])], "nothing"),
        ([("moved", [INBOX], [JUNK]), ("moved", [JUNK], [TRASH])], Class.SPAM),
        ([("moved", [INBOX], [JUNK]), ("moved", [JUNK], [INBOX])], Class.HAM),
        ([("keywords", [], ["$junk"])], Class.SPAM),
        ([("keywords", ["$junk"], ["$notjunk"])], Class.HAM),
        ([("keywords", ["$junk"], ["$seen"])], None),
        ([("keywords", ["$junk"], ["$junk", "$seen"])], "nothing"),
    ],
)
def test_what_deeds_mean(deeds: list[tuple[str, list[object], list[object]]], word: object) -> None:
    rows = [
        {
            "kind": kind, "message_id": 7,
            "detail": {"folders" if kind == "moved" else "keywords": {"before": before, "after": after}},
        }
        for kind, before, after in deeds
    ]  # fmt: skip
    assert words_of(rows).get(7, "nothing") == word


async def test_what_a_primary_did_is_learned_only_where_wanted(world: World, ann: Person, blobs: BlobReader) -> None:
    entry = await received(world, ann, mail(1, spam=True))
    await move(world, ann, entry, JUNK)
    async with world.database.connection() as connection:
        await connection.execute("UPDATE change SET followed = true WHERE kind = 'moved'")
    await Learning(world.database, blobs).run_once(AT_ONCE)
    assert await lessons(world.database) == []
    async with world.database.connection() as connection:
        await connection.execute("DELETE FROM lesson_read")
    await Learning(world.database, blobs, from_primary=True).run_once(AT_ONCE)
    assert await lessons(world.database) == [(entry, "spam", "spam")]


async def test_a_message_that_is_gone_is_no_lesson(world: World, ann: Person, blobs: BlobReader) -> None:
    heard: list[str] = []
    async with world.database.transaction() as connection:
        await learn_report(connection, ann.login.organisation_id, ann.login.mailbox_id, 12345, Class.SPAM)
    await Learning(world.database, blobs, on_learned=heard.append).run_once(AT_ONCE)
    assert (await lessons(world.database), heard) == ([], ["unreadable"])


async def insert_lessons(
    database: Database, organisation_id: int, mailbox_id: int, mails: list[bytes], verdict: Class, first: int = 1
) -> None:
    """As the role would after it has read them."""
    rows = [
        (organisation_id, mailbox_id, first + at, verdict.value, VERSION, signed(features(data)))
        for at, data in enumerate(mails)
    ]
    async with database.connection() as connection:
        await connection.executemany(
            "INSERT INTO lesson (organisation_id, mailbox_id, message_id, verdict, learned, version, features, said_at)"
            " VALUES ($1, $2, $3, $4, $4, $5, $6, now())",
            rows,
        )


async def ask(database: Database, organisation_id: int, data: bytes, terms: Terms = TERMS) -> tuple[Spoken, float]:
    models = Models(database)
    await models.refresh()
    prior, own = await models.of(frozenset({organisation_id}))
    spoken, said = speak(features(data), prior, own, terms)
    return spoken, said.weight


async def taught_prior(database: Database, amount: int = 60) -> None:
    async with database.transaction() as connection:
        for number in range(amount):
            for verdict in Class:
                data = mail(number, spam=verdict is Class.SPAM)
                await teach(connection, PRIOR, number * 2 + (verdict is Class.SPAM), verdict, features(data))
    await make_model(database, PRIOR)


async def test_the_database_counts_as_the_pure_model_does(database: Database) -> None:
    counts = Counts()
    async with database.transaction() as connection:
        for number in range(40):
            verdict = Class.SPAM if number % 3 else Class.HAM
            found = features(mail(number, spam=verdict is Class.SPAM))
            counts.learn(map(feature_number, found), verdict)
            assert await teach(connection, PRIOR, number, verdict, found)
            assert not await teach(connection, PRIOR, number, verdict, found)
    assert await make_model(database, PRIOR) == counts.total
    twice = {number: amount for number, amount in counts.of.items() if amount.spam + amount.ham >= 2 * WHOLE}
    models = Models(database)
    await models.refresh()
    [prior, own] = await models.of(frozenset({7}))
    assert prior is not None
    assert own is None
    assert prior.table.to_bytes() == make_table(twice, counts.total).to_bytes()


async def test_models_are_replaced_when_new_ones_are_made(database: Database) -> None:
    models = Models(database)
    await models.refresh()
    assert await models.of(frozenset({1})) == (None, None)
    await taught_prior(database)
    await models.refresh()
    prior, _ = await models.of(frozenset({1}))
    assert prior is not None
    assert (prior.spam, prior.ham) == (60, 60)
    assert (await models.of(frozenset({1})))[0] is prior  # at hand
    async with database.transaction() as connection:
        assert await forget(connection, PRIOR) == 120
    await make_model(database, PRIOR)
    await models.refresh()
    prior, _ = await models.of(frozenset({1}))
    assert prior is not None
    assert (prior.spam, prior.ham, len(prior.table)) == (0, 0, 0)
    assert await ask(database, 1, mail(500, spam=True)) == (Spoken.SILENT, 0.0)


async def test_one_person_cannot_turn_the_ham_of_others_into_spam(world: World, ann: Person) -> None:
    """1,000 reports of ordinary mail by one person: nobody's ordinary mail becomes spam."""
    await world.person("ben@example.org")
    organisation_id = ann.login.organisation_id
    await taught_prior(world.database)
    ordinary = [mail(number, spam=False, seed=2) for number in range(1000)]
    await insert_lessons(world.database, organisation_id, ann.login.mailbox_id, ordinary, Class.SPAM)
    total = await make_model(world.database, organisation_id)
    assert total.spam <= 20 * WHOLE
    for number in range(2000, 2030):
        assert (await ask(world.database, organisation_id, mail(number, spam=False, seed=3)))[0] is Spoken.HAM


async def test_one_person_cannot_do_so_where_others_have_taught_too(world: World, ann: Person) -> None:
    organisation_id = ann.login.organisation_id
    others = [await world.person(f"p{number}@example.org") for number in range(8)]
    for at, person in enumerate(others):
        for verdict in Class:
            mails = [mail(number, spam=verdict is Class.SPAM, seed=at) for number in range(15)]
            first = 10_000 * (at + 1) + 5000 * (verdict is Class.SPAM)
            await insert_lessons(world.database, organisation_id, person.login.mailbox_id, mails, verdict, first)
    await make_model(world.database, organisation_id)
    before = [(await ask(world.database, organisation_id, mail(n, spam=False, seed=50)))[1] for n in range(10)]
    ordinary = [mail(number, spam=False, seed=51) for number in range(1000)]
    await insert_lessons(world.database, organisation_id, ann.login.mailbox_id, ordinary, Class.SPAM)
    await make_model(world.database, organisation_id)
    after = [(await ask(world.database, organisation_id, mail(n, spam=False, seed=50)))[1] for n in range(10)]
    assert max(before) < -1.5
    assert max(after) < 0  # weaker, but on the same side
    assert (await ask(world.database, organisation_id, mail(3, spam=True, seed=52)))[0] is Spoken.SPAM


async def test_organisations_do_not_teach_each_other(world: World, ann: Person) -> None:
    other = await world.organisation("other.example")
    for verdict in Class:
        mails = [mail(number, spam=verdict is Class.SPAM) for number in range(60)]
        await insert_lessons(
            world.database, ann.login.organisation_id, 0, mails, verdict, 1000 * (verdict is Class.SPAM)
        )
    await make_model(world.database, ann.login.organisation_id)
    assert (await ask(world.database, ann.login.organisation_id, mail(99, spam=True)))[0] is Spoken.SPAM
    assert (await ask(world.database, other, mail(99, spam=True)))[0] is Spoken.SILENT
    models = Models(world.database)
    await models.refresh()
    assert await models.of(frozenset({ann.login.organisation_id, other})) == (None, None)


async def test_the_lessons_of_the_only_person_count(world: World, ann: Person, database: Database) -> None:
    for verdict in Class:
        mails = [mail(number, spam=verdict is Class.SPAM) for number in range(40)]
        await insert_lessons(
            database, ann.login.organisation_id, ann.login.mailbox_id, mails, verdict, 1000 * (verdict is Class.SPAM)
        )
    total = await make_model(database, ann.login.organisation_id)
    assert total == Amount(10 * WHOLE, 10 * WHOLE)  # 20 messages' worth at most
    terms = Terms(minimum=10)
    assert (await ask(database, ann.login.organisation_id, mail(99, spam=True), terms))[0] is Spoken.SPAM
    assert (await ask(database, ann.login.organisation_id, mail(99, spam=True)))[0] is Spoken.SILENT
