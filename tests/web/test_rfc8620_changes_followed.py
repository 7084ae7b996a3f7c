"""RFC 8620 §5.2: whatever two clients and intake do, who follows /changes ends with what /get says."""

from __future__ import annotations

import random
from typing import Any

import pytest

from everpost.standby.service import Standby
from web_tools.world import FOLDER, Person, World, message

ACTIONS = 45


class Follower:
    """A client that keeps everything it knows up to date by /changes alone, now and then, in small steps."""

    def __init__(self, person: Person, chance: random.Random) -> None:
        self.person, self.chance = person, chance
        self.known: dict[str, dict[str, Any]] = {}
        self.states: dict[str, str] = {}

    async def begin(self) -> None:
        for kind in ("Email", "Mailbox"):
            answer = await self.person.call(f"{kind}/get", **self._properties(kind))
            self.states[kind] = answer["state"]
            self.known[kind] = {row["id"]: row for row in answer["list"]}
        ids = list({row["threadId"] for row in self.known["Email"].values()})
        answer = await self.person.call("Thread/get", ids=ids)
        self.states["Thread"] = answer["state"]
        self.known["Thread"] = {row["id"]: row for row in answer["list"]}

    @staticmethod
    def _properties(kind: str) -> dict[str, Any]:
        return {"properties": ["mailboxIds", "keywords", "threadId"]} if kind == "Email" else {}

    async def catch_up(self) -> None:
        for kind, known in self.known.items():
            for _ in range(500):
                most = self.chance.choice((1, 2, 3, 50))
                ((name, answer),) = await self.person.calls(
                    (f"{kind}/changes", {"accountId": self.person.account_id, "sinceState": self.states[kind],
                                         "maxChanges": most})
                )  # fmt: skip
                if name == "error":  # one change that touches more folders than were asked for
                    assert (kind, answer["type"]) == ("Mailbox", "cannotCalculateChanges")
                    continue
                assert len(answer["created"] + answer["updated"] + answer["destroyed"]) <= most
                wanted = answer["created"] + answer["updated"]
                partial = answer.get("updatedProperties")
                if partial:
                    assert set(partial) <= {"totalEmails", "unreadEmails", "totalThreads", "unreadThreads"}
                got = await self.person.call(f"{kind}/get", ids=wanted, **self._properties(kind))
                for row in got["list"]:
                    if partial and row["id"] in answer["updated"]:
                        row = known[row["id"]] | {name: row[name] for name in partial}
                    known[row["id"]] = row
                for gone in (*answer["destroyed"], *got["notFound"]):
                    known.pop(gone, None)
                self.states[kind] = answer["newState"]
                if not answer["hasMoreChanges"]:
                    break
            else:
                raise AssertionError(f"{kind}/changes never ends")

    async def check(self) -> None:
        for kind, known in self.known.items():
            ids = {"ids": list({e["threadId"] for e in self.known["Email"].values()})} if kind == "Thread" else {}
            answer = await self.person.call(f"{kind}/get", **ids, **self._properties(kind))
            assert known == {row["id"]: row for row in answer["list"]}, kind


async def act(world: World, person: Person, chance: random.Random) -> None:
    """One thing that a client or a stranger does."""
    ids = (await person.call("Email/query"))["ids"]
    folders = [row["id"] for row in (await person.call("Mailbox/get"))["list"]]
    own = [folder for folder in folders if folder not in FOLDER.values()]
    some = chance.sample(ids, min(len(ids), chance.randint(1, 3)))
    match chance.randint(0, 8):
        case 0 | 1:
            more = {"References": f"<m{chance.randint(0, 3)}@x>"} if chance.random() < 0.6 else {}
            await world.deliver("ann@example.org", message("Hello", Message_ID=f"<m{chance.random()}@x>", **more))
        case 2:
            await person.call(
                "Email/set", update={i: {"keywords/$seen": chance.choice((True, None))} for i in some}
            )  # fmt: skip
        case 3:
            target = chance.sample(folders, chance.randint(1, min(3, len(folders))))
            await person.call("Email/set", update={i: {"mailboxIds": dict.fromkeys(target, True)} for i in some})
        case 4:
            await person.call("Email/set", destroy=some)
        case 5:
            parent = chance.choice([None, *own])
            await person.call("Mailbox/set", create={"f": {"name": f"F{chance.random()}", "parentId": parent}})
        case 6 if own:
            await person.call("Mailbox/set", update={chance.choice(own): {"name": f"R{chance.random()}"}})
        case 7 if own:
            await person.call("Mailbox/set", destroy=[chance.choice(own)], onDestroyRemoveEmails=True)
        case _:
            await person.draft(mailboxIds={chance.choice(folders): True})


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_rfc8620_5_2_followers_end_with_what_get_says(world: World, ann: Person, seed: int) -> None:
    chance = random.Random(seed)
    other = Person(world, ann.login)
    clients = [Follower(ann, chance), Follower(other, chance)]
    for client in clients:
        await client.begin()
    for _ in range(ACTIONS):
        await act(world, chance.choice((ann, other)), chance)
        if chance.random() < 0.3:
            await chance.choice(clients).catch_up()
    for client in clients:
        await client.catch_up()
        await client.check()
    # The counts, brought forward change by change, are those of a process that counts anew.
    async with world.database.connection() as connection:
        await connection.execute("DELETE FROM folder_counts")
    anew = Standby(world.database, world.keys, world.standby.blobs, world.spool)
    assert await anew.folders(ann.account) == await world.standby.folders(ann.account)


async def test_rfc8621_3_2_thread_changes(world: World, ann: Person) -> None:
    state = (await ann.call("Thread/get", ids=[]))["state"]
    await world.deliver("ann@example.org", message("One", Message_ID="<one@x>"))
    await world.deliver("ann@example.org", message("Two"))
    (two, one) = await ann.email_ids()
    threads = {i: (await ann.email(i))["threadId"] for i in (one, two)}
    answer = await ann.call("Thread/changes", sinceState=state)
    assert set(answer["created"]) == set(threads.values())
    assert (answer["updated"], answer["destroyed"]) == ([], [])
    state = answer["newState"]
    await ann.call("Email/set", update={one: {"keywords/$seen": True}})
    answer = await ann.call("Thread/changes", sinceState=state)
    assert (answer["created"], answer["updated"], answer["destroyed"]) == ([], [], [])
    await world.deliver("ann@example.org", message("Re: One", References="<one@x>"))
    await ann.call("Email/set", destroy=[two])
    answer = await ann.call("Thread/changes", sinceState=state)
    assert (answer["updated"], answer["destroyed"]) == ([threads[one]], [threads[two]])
    assert await ann.refused("Thread/changes", sinceState="999") == "cannotCalculateChanges"


async def test_rfc8621_2_4_mailbox_query_changes(ann: Person) -> None:
    for trees in ({}, {"sortAsTree": True, "filterAsTree": True}):
        query: dict[str, Any] = {"sort": [{"property": "name"}], **trees}
        before = await ann.call("Mailbox/query", **query)
        assert before["canCalculateChanges"] is True
        name = f"Aaa{len(trees)}"
        made = await ann.call("Mailbox/set", create={"f": {"name": name}, "g": {"name": "Sub", "parentId": "#f"}})
        await ann.call("Mailbox/set", update={made["created"]["g"]["id"]: {"name": "Zzz"}})
        answer = await ann.call("Mailbox/queryChanges", sinceQueryState=before["queryState"], **query)
        gone = set(answer["removed"])
        ids = [i for i in before["ids"] if i not in gone]
        for item in answer["added"]:
            ids.insert(item["index"], item["id"])
        now = await ann.call("Mailbox/query", **query)
        assert ids == now["ids"]
        assert answer["newQueryState"] == now["queryState"]


async def test_rfc8621_2_3_mailbox_query_trees_and_operators(ann: Person) -> None:
    made = await ann.call(
        "Mailbox/set",
        create={"a": {"name": "Alpha"}, "b": {"name": "Beta", "parentId": "#a"}, "z": {"name": "Zeta"}},
    )
    a, b, z = (made["created"][name]["id"] for name in "abz")
    own = {"hasAnyRole": False}
    by_name = [{"property": "name", "isAscending": False}]
    assert (await ann.call("Mailbox/query", filter=own, sort=by_name))["ids"] == [z, b, a]
    assert (await ann.call("Mailbox/query", filter=own, sort=by_name, sortAsTree=True))["ids"] == [z, a, b]
    assert (await ann.call("Mailbox/query", filter={"name": "bet"}))["ids"] == [b]
    assert (await ann.call("Mailbox/query", filter={"name": "bet"}, filterAsTree=True))["ids"] == []
    either = {"operator": "OR", "conditions": [{"name": "beta"}, {"parentId": None, "hasAnyRole": False}]}
    assert set((await ann.call("Mailbox/query", filter=either))["ids"]) == {a, b, z}
    neither = {"operator": "NOT", "conditions": [{"hasAnyRole": True}, {"name": "ALPHA"}]}
    assert set((await ann.call("Mailbox/query", filter=neither))["ids"]) == {b, z}
    assert await ann.refused("Mailbox/query", filter={"wish": 1}) == "unsupportedFilter"
    assert await ann.refused("Mailbox/query", sort=[{"property": "wish"}]) == "unsupportedSort"
