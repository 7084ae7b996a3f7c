"""RFC 8620 §5.2, §5.6: whatever two clients and intake do, in any order, a client that follows /changes and
/queryChanges ends with what /get and /query say.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from web_tools.world import FOLDER, Person, World, message

QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "inbox": ("Email", {"filter": {"inMailbox": FOLDER["inbox"]}}),
    "unread threads": ("Email", {
        "filter": {"notKeyword": "$seen"}, "sort": [{"property": "receivedAt", "isAscending": False}],
        "collapseThreads": True,
    }),
    "flagged first": ("Email", {
        "sort": [{"property": "hasKeyword", "keyword": "$flagged", "isAscending": False},
                 {"property": "receivedAt"}],
    }),
    "folders by name": ("Mailbox", {"sort": [{"property": "name"}]}),
    "own folders as a tree": ("Mailbox", {"filter": {"hasAnyRole": False}, "sortAsTree": True}),
}  # fmt: skip
_numbers = itertools.count(1)


class Follower:
    """A client that asks for everything once, and from then on for changes alone."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.known: dict[str, dict[str, dict[str, Any]]] = {"Email": {}, "Mailbox": {}}
        self.states: dict[str, str] = {}
        self.results: dict[str, list[str]] = {}

    async def _get(self, kind: str, ids: list[str] | None) -> dict[str, Any]:
        properties = {"properties": ["mailboxIds", "keywords"]} if kind == "Email" else {}
        return await self.person.call(f"{kind}/get", ids=ids, **properties)

    async def begin(self) -> None:
        for kind, known in self.known.items():
            answer = await self._get(kind, None)
            self.states[kind] = answer["state"]
            known |= {row["id"]: row for row in answer["list"]}
        for name, (kind, arguments) in QUERIES.items():
            answer = await self.person.call(f"{kind}/query", **arguments)
            self.states[name], self.results[name] = answer["queryState"], answer["ids"]

    async def follow(self) -> None:
        for kind, known in self.known.items():
            answer = await self.person.call(f"{kind}/changes", sinceState=self.states[kind])
            assert not answer["hasMoreChanges"]
            named = answer["created"] + answer["updated"] + answer["destroyed"]
            assert len(set(named)) == len(named)
            got = await self._get(kind, answer["created"] + answer["updated"])
            known |= {row["id"]: row for row in got["list"]}
            for gone in answer["destroyed"]:
                assert known.pop(gone, None) is not None, f"{kind} {gone} was never known"
            self.states[kind] = answer["newState"]
        for name, (kind, arguments) in QUERIES.items():
            answer = await self.person.call(f"{kind}/queryChanges", sinceQueryState=self.states[name], **arguments)
            results = [known_id for known_id in self.results[name] if known_id not in answer["removed"]]
            for row in answer["added"]:  # the lowest index first
                results.insert(row["index"], row["id"])
            self.states[name], self.results[name] = answer["newQueryState"], results

    async def check(self) -> None:
        for kind, known in self.known.items():
            assert known == {row["id"]: row for row in (await self._get(kind, None))["list"]}, kind
        for name, (kind, arguments) in QUERIES.items():
            assert self.results[name] == (await self.person.call(f"{kind}/query", **arguments))["ids"], name


async def act(person: Person, action: tuple[str, int, int]) -> None:
    """One deed; the two numbers say on what."""
    name, first, second = action
    ids = sorted((await person.call("Email/query"))["ids"])
    folders = sorted(row["id"] for row in (await person.call("Mailbox/get", properties=["id"]))["list"])
    own = [folder for folder in folders if folder not in FOLDER.values()]
    email, folder = (ids[first % len(ids)] if ids else None), folders[second % len(folders)]
    match name:
        case "receive":
            fields = {"Message-ID": f"<{next(_numbers)}@x>"} | ({"References": "<root@x>"} if second % 2 else {})
            address = str(person.login.address)
            await person.world.deliver(address, message(f"{first}", to=address, **fields))
        case "draft":
            await person.draft(mailboxIds={folder: True}, subject=f"{first}")
        case "flag" | "read" if email:
            keyword = "$flagged" if name == "flag" else "$seen"
            patch = {f"keywords/{keyword}": True if second % 2 else None}
            await person.call("Email/set", update={email: patch})
        case "move" if email:
            await person.call("Email/set", update={email: {"mailboxIds": {folder: True}}})
        case "file" if email:
            await person.call("Email/set", update={email: {f"mailboxIds/{folder}": True}})
        case "destroy" if email:
            await person.call("Email/set", destroy=[email])
        case "make folder":
            parent = own[second % len(own)] if own and second % 3 else None
            await person.call("Mailbox/set", create={"f": {"name": f"F{first}", "parentId": parent}})
        case "rename folder" if own:
            await person.call("Mailbox/set", update={own[first % len(own)]: {"name": f"R{second}"}})
        case "drop folder" if own:
            await person.call("Mailbox/set", destroy=[own[first % len(own)]], onDestroyRemoveEmails=True)


DEEDS = st.tuples(
    st.sampled_from(
        ("receive", "receive", "draft", "flag", "read", "move", "file", "destroy", "make folder", "rename folder",
         "drop folder")
    ),
    st.integers(0, 5),
    st.integers(0, 7),
)  # fmt: skip
STEPS = st.lists(st.tuples(DEEDS, st.integers(0, 1), st.booleans()), min_size=4, max_size=18)


@settings(
    max_examples=50, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(steps=STEPS)
async def test_rfc8620_5_2_5_6_who_follows_ends_with_what_is_there(world: World, steps: list[Any]) -> None:
    person = await world.person(f"p{next(_numbers)}@example.org")
    clients = [person, Person(world, person.login)]
    followers = [Follower(client) for client in clients]
    for follower in followers:
        await follower.begin()
    for deed, client, follows in steps:
        await act(clients[client], deed)
        if follows:
            await followers[1 - client].follow()
    for follower in followers:
        await follower.follow()
        await follower.check()
