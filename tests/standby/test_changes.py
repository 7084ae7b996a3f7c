"""Whatever is done to a mailbox: reading it anew and following the change log lead to the same."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everpost.standby.changes import CannotCalculate, What
from everpost.standby.model import Role
from everpost.standby.service import Standby
from everpost.standby.values import Account, BadValue, NoSuchThing, StandbyRefusal
from web_tools.world import World, message

_names = itertools.count()
FOLDERS = st.sets(st.sampled_from([1, 2, 6, 7, 8]), min_size=1, max_size=3) | st.just(set())
KEYWORDS = st.frozensets(st.sampled_from(["$seen", "$flagged", "$draft", "work"]), max_size=3) | st.just(
    frozenset(["bad keyword"])
)
PICK = st.integers(0, 30)
ACTION = st.one_of(
    st.tuples(st.just("create"), FOLDERS, KEYWORDS),
    st.tuples(st.just("keywords"), PICK, KEYWORDS),
    st.tuples(st.just("folders"), PICK, FOLDERS),
    st.tuples(st.just("both"), PICK, FOLDERS, KEYWORDS),
    st.tuples(st.just("destroy"), PICK),
    st.tuples(st.just("receive")),
    st.tuples(st.just("mkdir"), st.sampled_from(["a", "b", " ", "Inbox"]), st.integers(0, 9)),
    st.tuples(st.just("rename"), PICK, st.sampled_from(["a", "b", "c"]), st.integers(0, 9)),
    st.tuples(st.just("rmdir"), PICK, st.booleans()),
)


async def snapshot(standby: Standby, account: Account) -> dict[int, Any]:
    ids = await standby.newest_entries(account, 1000)
    return {
        number: (entry.folder_ids, entry.keywords) for number, entry in (await standby.entries(account, ids)).items()
    }


async def folder_snapshot(standby: Standby, account: Account) -> dict[int, Any]:
    return {
        folder.id: (folder.name, folder.parent_id, folder.sort_order, folder.total, folder.unread)
        for folder in await standby.folders(account)
    }


async def act(world: World, account: Account, address: str, made: list[int], dirs: list[int], action: Any) -> None:
    standby = world.standby

    def entry(pick: int) -> int:
        return made[pick % len(made)] if made else 1

    def folders(numbers: set[int]) -> list[int]:
        return [n if n <= 6 else dirs[n % len(dirs)] if dirs else 999 for n in numbers]

    match action:
        case ("create", numbers, keywords):
            made.append(await standby.create_entry(account, "t", message(), folders(numbers), keywords))
        case ("keywords", pick, keywords):
            await standby.set_keywords(account, "t", entry(pick), keywords)
            assert (await snapshot(standby, account))[entry(pick)][1] == keywords
        case ("folders", pick, numbers):
            await standby.set_folders(account, "t", entry(pick), folders(numbers))
            assert (await snapshot(standby, account))[entry(pick)][0] == tuple(sorted(set(folders(numbers))))
        case ("both", pick, numbers, keywords):
            async with standby.work(account, "t") as (work, _):
                await work.update(entry(pick), keywords=keywords, folder_ids=folders(numbers))
                await work.update(entry(pick + 1), keywords=keywords)
        case ("destroy", pick):
            await standby.destroy(account, "t", entry(pick))
        case ("receive",):
            await world.deliver(address, message(to=address))
        case ("mkdir", name, parent):
            number = await standby.new_id()
            async with standby.work(account, "t") as (work, _):
                await work.create_folder(number, name, folders({parent})[0] if parent else None)
            dirs.append(number)
        case ("rename", pick, name, parent):
            number = dirs[pick % len(dirs)] if dirs else 1
            async with standby.work(account, "t") as (work, _):
                await work.change_folder(
                    number, name=name, parent_id=folders({parent})[0] if parent else None, sort_order=pick
                )
        case ("rmdir", pick, with_entries):
            async with standby.work(account, "t") as (work, _):
                await work.destroy_folder(dirs[pick % len(dirs)] if dirs else 1, with_entries=with_entries)


async def check_placements(world: World, account: Account) -> None:
    key = (account.organisation_id, account.mailbox_id)
    async with world.database.connection() as connection:
        placed = await connection.fetch(
            "SELECT folder_id, received_at, message_id FROM placement "
            "WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY 1, 2, 3", *key,
        )  # fmt: skip
        entered = await connection.fetch(
            "SELECT unnest(folder_ids), received_at, message_id FROM entry "
            "WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY 1, 2, 3", *key,
        )  # fmt: skip
        modseqs = [
            row[0]
            for row in await connection.fetch(
                "SELECT modseq FROM change WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY 1", *key
            )
        ]
    assert [tuple(row) for row in placed] == [tuple(row) for row in entered]
    assert modseqs == list(range(1, len(modseqs) + 1))


async def follow(standby: Standby, account: Account, since: int, what: What, step: int) -> tuple[set, set, set]:
    """What a client ends up with that asks in steps."""
    created: set[int] = set()
    updated: set[int] = set()
    destroyed: set[int] = set()
    while True:
        changes = await standby.changes(account, since, what, step)
        assert not set(changes.created) & set(changes.updated)
        assert not set(changes.updated) & set(changes.destroyed)
        assert len(changes.created) + len(changes.updated) + len(changes.destroyed) <= step
        for number in changes.destroyed:
            if number in created:
                created.remove(number)
            else:
                destroyed.add(number)
            updated.discard(number)
        created |= set(changes.created)
        updated |= set(changes.updated) - created
        since = changes.new
        if not changes.more:
            return created, updated, destroyed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTION, min_size=1, max_size=12), step=st.integers(10, 40))
async def test_changes_lead_from_any_state_to_now(world: World, actions: list[Any], step: int) -> None:
    address = f"p{next(_names)}@example.org"
    account = (await world.person(address)).account
    standby = world.standby
    history: list[tuple[int, dict[int, Any], dict[int, Any]]] = []
    made: list[int] = []
    dirs: list[int] = []
    beginning = [("mkdir", "a", 0), *[("create", folders, frozenset()) for folders in ({1}, {2, 7})]]
    for action in (*beginning, *actions):
        history.append(
            (
                await standby.state(account),
                await snapshot(standby, account),
                await folder_snapshot(standby, account),
            )
        )
        try:
            await act(world, account, address, made, dirs, action)
        except StandbyRefusal:
            assert await standby.state(account) == history[-1][0]
            assert await snapshot(standby, account) == history[-1][1]
            assert await folder_snapshot(standby, account) == history[-1][2]
    await check_placements(world, account)
    now, folders_now = await snapshot(standby, account), await folder_snapshot(standby, account)
    for state, entries, folders in history:
        for what, before, after in ((What.ENTRIES, entries, now), (What.FOLDERS, folders, folders_now)):
            created, updated, destroyed = await follow(standby, account, state, what, step)
            assert created == after.keys() - before.keys()
            assert destroyed == before.keys() - after.keys()
            different = {number for number in before.keys() & after.keys() if before[number] != after[number]}
            assert different <= updated


async def test_a_failed_operation_leaves_the_others_of_its_transaction(world: World) -> None:
    account = (await world.person("ann@example.org")).account
    entry_id = await world.standby.create_entry(account, "t", message(), [Role.INBOX.folder_id])
    async with world.standby.work(account, "t") as (work, _):
        await work.update(entry_id, keywords=frozenset(["$seen"]))
        with pytest.raises(BadValue):
            await work.update(entry_id, folder_ids=[])
        with pytest.raises(NoSuchThing):
            await work.destroy(entry_id + 1)
    assert (await snapshot(world.standby, account))[entry_id] == ((1,), frozenset(["$seen"]))


async def test_which_keywords_change_the_counts_of_a_folder(world: World) -> None:
    account = (await world.person("ann@example.org")).account
    entry_id = await world.standby.create_entry(account, "t", message(), [1, 2])
    for keywords, expected in [(["$seen"], {1, 2}), (["$seen", "x"], set()), (["x"], {1, 2}), (["$draft"], {1, 2})]:
        state = await world.standby.state(account)
        await world.standby.set_keywords(account, "t", entry_id, frozenset(keywords))
        changes = await world.standby.changes(account, state, What.FOLDERS, 10)
        assert set(changes.updated) == expected, keywords
        assert changes.counts_only == bool(expected)


async def test_states_that_never_were(world: World) -> None:
    account = (await world.person("ann@example.org")).account
    for since in (-1, 1, 2**60):
        with pytest.raises(CannotCalculate):
            await world.standby.changes(account, since, What.ENTRIES, 10)


async def test_drafts_join_conversations_and_start_them(world: World) -> None:
    account = (await world.person("ann@example.org")).account
    await world.deliver("ann@example.org", message(Message_ID="<a@x.example>"))
    reply = await world.standby.create_entry(
        account, "t", message(Message_ID="<b@x.example>", References="<a@x.example>"), [2]
    )
    await world.deliver("ann@example.org", message(Message_ID="<c@x.example>", In_Reply_To="<b@x.example>"))
    entries = await world.standby.entries(account, await world.standby.newest_entries(account, 10))
    assert len(entries) == 3
    assert {entry.thread_id for entry in entries.values()} == {entries[reply].thread_id}


async def test_writers_at_once_keep_one_log(world: World) -> None:
    account = (await world.person("ann@example.org")).account
    shared = [message(Message_ID=f"<{n % 3}@x.example>", References="<r@x.example>") for n in range(12)]
    await asyncio.gather(
        *(world.standby.create_entry(account, "t", content, [2]) for content in shared),
        *(world.deliver("ann@example.org", content) for content in shared),
    )
    assert await world.standby.state(account) == 24
    await check_placements(world, account)


async def test_drafts_at_once_are_one_conversation(world: World) -> None:
    account = (await world.person("ann@example.org")).account
    shared = [message(Message_ID=f"<{n}@x.example>", References="<r@x.example>") for n in range(12)]
    await asyncio.gather(*(world.standby.create_entry(account, "t", content, [2]) for content in shared))
    entries = await world.standby.entries(account, await world.standby.newest_entries(account, 100))
    assert len(entries) == 12
    assert len({entry.thread_id for entry in entries.values()}) == 1
