"""docs/jmap-filters.md: filters as JMAP shows them, what they do to mail that comes, and what they pass on."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from everpost.intake.forwards import Forwarder
from everpost.mail.header import parse_header
from everpost.store.database import Database
from web_tools.world import FOLDER, Person, World, message

FROM_SHOP = {"field": "from", "comparison": "domain", "value": "shop.example"}


async def make(person: Person, **properties: Any) -> str:
    answer = await person.call("Filter/set", create={"f": {"name": "Shop", "conditions": [FROM_SHOP]} | properties})
    assert answer["notCreated"] is None, answer
    return answer["created"]["f"]["id"]


async def refused(person: Person, **properties: Any) -> dict[str, Any]:
    answer = await person.call("Filter/set", create={"f": {"name": "Shop"} | properties})
    return answer["notCreated"]["f"]


async def folder(person: Person, name: str = "Shopping") -> str:
    answer = await person.call("Mailbox/set", create={"m": {"name": name}})
    return answer["created"]["m"]["id"]


async def shop(world: World, subject: str = "Your order", to: str = "ann@example.org", **more: str) -> None:
    await world.deliver(
        to, message(subject, to=to, From="Shop <news@shop.example>", **more), "news@shop.example"
    )  # fmt: skip


async def rows(database: Database, statement: str, *values: Any) -> list[Any]:
    async with database.connection() as connection:
        return await connection.fetch(statement, *values)


async def activate(world: World, organisation_id: int) -> None:
    async with world.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO activation (organisation_id, id, scope_kind, scope_id, opens_access, cause, reason, actor,"
            " starts_at, started_at) VALUES ($1, 1, 'organisation', $1, true, 'manual', '', 'test', now(), now())",
            organisation_id,
        )
        await connection.execute("UPDATE generation SET value = value + 1 WHERE name = 'continuity'")
    await world.routes.load()


# ---------------------------------------------------------------------- the objects


async def test_a_filter_is_made_shown_changed_and_taken_away(ann: Person) -> None:
    shopping = await folder(ann)
    before = (await ann.call("Filter/get"))["state"]
    wanted = {
        "name": "Shop", "isEnabled": True, "sortOrder": 3, "match": "any", "mailboxId": shopping, "forwardTo": None,
        "conditions": [FROM_SHOP | {"size": 0, "isNegated": True}], "keywords": {"buy": True, "$seen": True},
        "stop": True,
    }  # fmt: skip
    answer = await ann.call("Filter/set", create={"f": wanted}, ifInState=before)
    filter_id = answer["created"]["f"]["id"]
    got = await ann.call("Filter/get")
    assert got["list"] == [wanted | {"id": filter_id, "problems": []}]
    assert (got["forwarding"], got["state"]) == ("inside", answer["newState"])
    changed = await ann.call(
        "Filter/set", update={filter_id: {"keywords/buy": None, "isEnabled": False, "mailboxId": None, "id": filter_id}}
    )
    assert changed["updated"] == {filter_id: None}
    (row,) = (await ann.call("Filter/get", ids=[filter_id, "x"], properties=["keywords", "isEnabled", "mailboxId"]))[
        "list"
    ]
    assert row == {"id": filter_id, "keywords": {"$seen": True}, "isEnabled": False, "mailboxId": None}
    since = await ann.call("Filter/changes", sinceState=before)
    assert (since["created"], since["updated"], since["destroyed"]) == ([filter_id], [], [])
    since = await ann.call("Filter/changes", sinceState=got["state"])
    assert (since["created"], since["updated"], since["destroyed"]) == ([], [filter_id], [])
    gone = await ann.call("Filter/set", destroy=[filter_id, "x"])
    assert gone["destroyed"] == [filter_id]
    assert gone["notDestroyed"]["x"]["type"] == "notFound"
    assert (await ann.call("Filter/get"))["list"] == []
    assert await ann.refused("Filter/set", ifInState="1", create={}) == "stateMismatch"


@pytest.mark.parametrize(
    ("properties", "kind", "about"),
    [
        ({"name": "", "stop": True}, "invalidProperties", "name"),
        ({"name": None, "stop": True}, "invalidProperties", "name"),
        ({}, "invalidProperties", "mailboxId"),
        ({"mailboxId": "999"}, "invalidProperties", "mailboxId"),
        ({"keywords": {"a b": True}}, "invalidProperties", "keywords"),
        ({"keywords": {"a": False}}, "invalidProperties", "keywords"),
        ({"stop": "yes"}, "invalidProperties", "stop"),
        ({"stop": True, "colour": 1}, "invalidProperties", "colour"),
        ({"stop": True, "match": "some"}, "invalidProperties", "match"),
        ({"stop": True, "conditions": [{"field": "body"}]}, "invalidProperties", "conditions"),
        ({"stop": True, "conditions": [FROM_SHOP | {"value": ""}]}, "invalidProperties", "conditions"),
        ({"stop": True, "conditions": [FROM_SHOP] * 21}, "invalidProperties", "conditions"),
        ({"forwardTo": "nobody"}, "invalidProperties", "forwardTo"),
        ({"forwardTo": "nobody@example.org"}, "invalidProperties", "forwardTo"),
        ({"forwardTo": "ann.alias@example.org"}, "invalidProperties", "forwardTo"),
        ({"forwardTo": "ann+x@example.org"}, "invalidProperties", "forwardTo"),
        ({"forwardTo": "me@elsewhere.example"}, "forbidden", "forwardTo"),
    ],
)
async def test_what_is_refused(ann: Person, properties: dict[str, Any], kind: str, about: str) -> None:
    error = await refused(ann, **properties)
    assert (error["type"], error["properties"]) == (kind, [about]), error
    assert ("problem" in error) == ("forwardTo" in properties)


async def test_filters_are_bounded(ann: Person) -> None:
    many = {f"f{n}": {"name": "x", "stop": True, "conditions": [FROM_SHOP] * 20} for n in range(30)}
    answer = await ann.call("Filter/set", create=many)
    assert len(answer["created"]) == 25  # 500 conditions
    assert {error["type"] for error in answer["notCreated"].values()} == {"overQuota"}
    answer = await ann.call("Filter/set", create={f"f{n}": {"name": "x", "stop": True} for n in range(100)})
    assert len(answer["created"]) == 75


async def test_one_person_never_sees_anothers(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    filter_id = await make(ann, keywords={"x": True})
    assert (await bob.call("Filter/get", ids=[filter_id]))["notFound"] == [filter_id]
    answer = await bob.call("Filter/set", update={filter_id: {"name": "y"}}, destroy=[filter_id])
    assert answer["notUpdated"][filter_id]["type"] == answer["notDestroyed"][filter_id]["type"] == "notFound"


# ---------------------------------------------------------------------- mail that comes


async def test_mail_stands_where_the_filter_says_at_once(world: World, ann: Person) -> None:
    shopping = await folder(ann)
    await shop(world, "Before")
    await make(ann, mailboxId=shopping, keywords={"buy": True, "$flagged": True})
    state = (await ann.call("Email/get", ids=[]))["state"]
    await shop(world)
    await world.deliver("ann@example.org", message("Lunch"))
    assert len(await ann.email_ids()) == 2
    (email_id,) = (await ann.call("Email/query", filter={"inMailbox": shopping}))["ids"]
    email = await ann.email(email_id, properties=["mailboxIds", "keywords", "subject"])
    assert email["mailboxIds"] == {shopping: True}
    assert email["keywords"] == {"buy": True, "$flagged": True}
    since = await ann.call("Email/changes", sinceState=state)
    assert len(since["created"]) == 2
    assert since["updated"] == []
    boxes = {box["id"]: box["totalEmails"] for box in (await ann.call("Mailbox/get"))["list"]}
    assert (boxes[FOLDER["inbox"]], boxes[shopping]) == (2, 1)
    log = await rows(
        world.database,
        "SELECT kind, folder_id, detail, modseq, actor FROM change WHERE mailbox_id = $1 AND message_id IS NOT NULL"
        " AND detail IS NOT NULL ORDER BY modseq",
        ann.account.mailbox_id,
    )
    assert [(row["kind"], row["actor"]) for row in log] == [("keywords", "filter"), ("moved", "filter")]
    assert log[1]["detail"]["folders"]["before"] == [1]
    (entry,) = await rows(world.database, "SELECT modseq FROM entry WHERE modseq = $1", log[1]["modseq"])
    assert entry["modseq"] == log[1]["modseq"]


async def test_every_state_between_leads_to_the_same_end(world: World, ann: Person) -> None:
    """A client that follows /changes a step at a time ends with what /get says, filtered mail or not."""
    shopping = await folder(ann)
    await make(ann, mailboxId=shopping, keywords={"buy": True})
    state = (await ann.call("Email/get", ids=[]))["state"]
    for number in range(4):
        await shop(world, f"Order {number}")
        await world.deliver("ann@example.org", message(f"Lunch {number}"))
    found: set[str] = set()
    for _ in range(50):
        step = await ann.call("Email/changes", sinceState=state, maxChanges=1)
        found |= {*step["created"], *step["updated"]}
        state = step["newState"]
        if not step["hasMoreChanges"]:
            break
    assert found == set((await ann.call("Email/query"))["ids"])
    assert state == (await ann.call("Email/get", ids=[]))["state"]


async def test_a_change_of_a_filter_counts_for_the_next_message(world: World, ann: Person) -> None:
    shopping = await folder(ann)
    filter_id = await make(ann, mailboxId=shopping)
    states = itertools.cycle(({"isEnabled": False}, {"isEnabled": True}))
    for expected, patch in zip((1, 1, 2, 2), states, strict=False):
        await shop(world)
        assert len((await ann.call("Email/query", filter={"inMailbox": shopping}))["ids"]) == expected
        await ann.call("Filter/set", update={filter_id: patch})
    (row,) = await rows(world.database, "SELECT filters_modseq FROM mailbox WHERE id = $1", ann.account.mailbox_id)
    assert row["filters_modseq"] > 0
    await ann.call("Filter/set", destroy=[filter_id])
    (row,) = await rows(world.database, "SELECT filters_modseq FROM mailbox WHERE id = $1", ann.account.mailbox_id)
    assert row["filters_modseq"] == 0


async def test_a_filter_whose_folder_is_gone_is_broken_and_moves_nothing(world: World, ann: Person) -> None:
    shopping = await folder(ann)
    filter_id = await make(ann, mailboxId=shopping, keywords={"buy": True})
    await shop(world, "First")  # the process knows the filters now
    await ann.call("Mailbox/set", destroy=[shopping], onDestroyRemoveEmails=True)
    await shop(world, "Second")
    (email_id,) = await ann.email_ids()
    assert (await ann.email(email_id, properties=["keywords"]))["keywords"] == {"buy": True}
    (row,) = (await ann.call("Filter/get", ids=[filter_id], properties=["problems", "mailboxId"]))["list"]
    assert (row["problems"], row["mailboxId"]) == (["mailboxGone"], shopping)
    assert (await ann.call("Filter/set", update={filter_id: {"name": "Still broken"}}))["updated"]
    await ann.call("Filter/set", update={filter_id: {"mailboxId": FOLDER["archive"]}})
    await shop(world, "Third")
    assert len(await ann.email_ids("archive")) == 1


async def test_two_people_get_one_message_each_as_they_want_it(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    await make(ann, mailboxId=FOLDER["archive"])
    await make(
        bob, keywords={"$seen": True}, conditions=[{"field": "recipients", "comparison": "contains", "value": "a"}]
    )
    content = message("Both", From="news@shop.example", to="ann@example.org, bob@example.org")
    await world.deliver_to(["ann@example.org", "bob@example.org"], content)
    assert len(await ann.email_ids("archive")) == 1
    (email_id,) = await bob.email_ids()
    assert (await bob.email(email_id, properties=["keywords"]))["keywords"] == {"$seen": True}


async def test_while_the_primary_is_the_master_filters_wait(world: World) -> None:
    organisation_id = await world.organisation("firm.example", primary=True)
    eve = await world.person("eve@firm.example")
    async with world.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO access_switch (organisation_id, scope_kind, scope_id, open, actor)"
            " VALUES ($1, 'organisation', $1, true, 'test')", organisation_id,
        )  # fmt: skip
        await connection.execute("UPDATE generation SET value = value + 1 WHERE name = 'continuity'")
    await world.routes.load()
    filter_id = await make(eve, mailboxId=FOLDER["archive"])  # prepared before the day
    await shop(world, to="eve@firm.example")
    assert (len(await eve.email_ids()), len(await eve.email_ids("archive"))) == (1, 0)
    assert await eve.refused("Filter/apply", mailboxId=FOLDER["inbox"], ids=[filter_id]) == "accountReadOnly"
    await activate(world, organisation_id)
    await shop(world, to="eve@firm.example")
    assert (len(await eve.email_ids()), len(await eve.email_ids("archive"))) == (1, 1)


async def test_mailboxes_without_filters_cost_nothing(world: World, ann: Person, monkeypatch: Any) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("nobody has filters")

    monkeypatch.setattr("everpost.intake.sorting.filters_of", never)
    await shop(world)
    filter_id = await make(ann, keywords={"x": True})
    await ann.call("Filter/set", update={filter_id: {"isEnabled": False}})
    await shop(world)
    assert len(await ann.email_ids()) == 2


async def test_apply_to_what_is_there(world: World, ann: Person) -> None:
    await shop(world, "One")
    await shop(world, "Two", List_Id="News <news.shop.example>")
    await world.deliver("ann@example.org", message("Lunch"))
    filter_id = await make(
        ann, mailboxId=FOLDER["archive"], keywords={"news": True},
        conditions=[{"field": "listId", "comparison": "is", "value": "news.shop.example"}],
    )  # fmt: skip
    off = await make(ann, mailboxId=FOLDER["trash"], isEnabled=False)
    answer = await ann.call("Filter/apply", mailboxId=FOLDER["inbox"], ids=[filter_id])
    assert (answer["examined"], answer["changed"], answer["hasMore"]) == (3, 1, False)
    (email_id,) = await ann.email_ids("archive")
    assert (await ann.email(email_id, properties=["keywords"]))["keywords"] == {"news": True}
    again = await ann.call("Filter/apply", mailboxId=FOLDER["inbox"], ids=None)
    assert (again["changed"], again["oldState"]) == (0, again["newState"])
    assert await ann.refused("Filter/apply", mailboxId=FOLDER["inbox"], ids=["999"]) == "invalidArguments"
    assert await ann.refused("Filter/apply", mailboxId="999") == "invalidArguments"
    assert off


# ---------------------------------------------------------------------- passing on


def forwarder(world: World, **more: Any) -> Forwarder:
    return Forwarder(
        world.database, world.standby.blobs, world.intake, world.directory, "mx.example.org", world.spool, **more
    )  # fmt: skip


async def outcomes(world: World) -> list[str]:
    return [row["outcome"] for row in await rows(world.database, "SELECT outcome FROM forward ORDER BY message_id")]


async def allow(world: World, person: Person, how: str) -> None:
    await rows(
        world.database, "UPDATE organisation SET forwarding = $2 WHERE id = $1", person.account.organisation_id, how
    )


async def test_a_message_is_passed_on_once_and_stays(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    await make(ann, forwardTo="bob@example.org", mailboxId=FOLDER["archive"])
    await shop(world, "For Bob")
    await world.deliver("ann@example.org", message("Not for Bob"))
    assert await bob.email_ids() == []
    assert await forwarder(world).run_once() == 1
    assert await forwarder(world).run_once() == 0
    (email_id,) = await bob.email_ids()
    email = await bob.email(email_id, properties=["subject", "from", "blobId", "header:Delivered-To"])
    assert (email["subject"], email["from"][0]["email"]) == ("For Bob", "news@shop.example")
    assert email["header:Delivered-To"] == " ann@example.org"
    header = parse_header((await bob.download(email["blobId"])).content)
    assert b"by mx.example.org" in header.all("received")[0].raw
    (row,) = await rows(world.database, "SELECT reverse_path, source FROM message WHERE source = 'forward'")
    assert row["reverse_path"] == "ann@example.org"  # SPF holds, and a bounce reaches who set the filter
    assert len(await ann.email_ids("archive")) == 1
    assert await outcomes(world) == ["sent"]


async def test_two_people_who_forward_to_each_other_end_it_at_once(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    await make(ann, forwardTo="bob@example.org", conditions=[])
    await make(bob, forwardTo="ann@example.org", conditions=[])
    await shop(world)
    assert await forwarder(world).run_once() == 1
    assert await forwarder(world).run_once() == 0
    assert await outcomes(world) == ["sent", "loop"]
    assert (len(await ann.email_ids()), len(await bob.email_ids())) == (1, 1)
    (row,) = (await bob.call("Filter/get", properties=["problems"]))["list"]
    assert row["problems"] == ["forwardLoop"]


async def test_bounces_and_automatic_answers_go_no_further(world: World, ann: Person) -> None:
    await world.person("bob@example.org")
    await make(ann, forwardTo="bob@example.org", conditions=[])
    await shop(world, Auto_Submitted="auto-replied")
    assert await forwarder(world).run_once() == 0
    assert await outcomes(world) == ["automatic"]
    assert (await ann.call("Filter/get", properties=["problems"]))["list"][0]["problems"] == []


async def test_the_organisation_says_how_far(world: World, ann: Person) -> None:
    await allow(world, ann, "anywhere")
    await make(ann, forwardTo="me@elsewhere.example", conditions=[])
    await shop(world)
    assert await forwarder(world).run_once() == 1
    (row,) = await rows(
        world.database,
        "SELECT d.recipient, m.reverse_path FROM delivery d JOIN message m ON m.id = d.message_id"
        " WHERE d.kind = 'internet'",
    )
    assert tuple(row) == ("me@elsewhere.example", "ann@example.org")
    events = await rows(world.database, "SELECT actor, detail FROM audit_event WHERE action = 'filter.forward'")
    assert [(row["actor"], row["detail"]["to"]) for row in events] == [("ann@example.org", "me@elsewhere.example")]
    await shop(world)
    await allow(world, ann, "inside")  # between coming and passing on
    assert await forwarder(world).run_once() == 0
    assert await outcomes(world) == ["sent", "forbidden"]
    assert (await ann.call("Filter/get"))["list"][0]["problems"] == ["forwardForbidden"]
    await allow(world, ann, "none")
    bob = await world.person("bob@example.org")
    assert (await refused(ann, forwardTo=str(bob.login.address)))["type"] == "forbidden"


async def test_no_more_than_so_many_a_day(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    await make(ann, forwardTo="bob@example.org", conditions=[])
    for number in range(3):
        await shop(world, f"Order {number}")
    assert await forwarder(world, per_day=2).run_once() == 2
    assert await outcomes(world) == ["sent", "sent", "limit"]
    assert len(await bob.email_ids()) == 2
    assert (await ann.call("Filter/get"))["list"][0]["problems"] == ["forwardLimit"]


async def test_a_disabled_mailbox_passes_nothing_on(world: World, ann: Person) -> None:
    await world.person("bob@example.org")
    await make(ann, forwardTo="bob@example.org", conditions=[])
    await shop(world)
    await rows(world.database, "UPDATE mailbox SET status = 'disabled' WHERE id = $1", ann.account.mailbox_id)
    world.directory.forget()
    assert await forwarder(world).run_once() == 0
    assert await outcomes(world) == ["closed"]


class Killed(BaseException):
    """As far as the transaction is concerned, a kill -9."""


async def test_a_kill_between_neither_loses_nor_doubles(world: World, ann: Person, monkeypatch: Any) -> None:
    bob = await world.person("bob@example.org")
    await make(ann, forwardTo="bob@example.org", conditions=[])
    await shop(world)
    accept = world.intake.accept

    async def killed_before(*_: Any) -> Any:
        raise Killed

    async def killed_after(*arguments: Any) -> Any:
        await accept(*arguments)
        raise Killed

    for how, there in ((killed_before, 0), (killed_after, 1)):
        monkeypatch.setattr(world.intake, "accept", how)
        with pytest.raises(Killed):
            await forwarder(world).run_once()
        assert len(await bob.email_ids()) == there
    monkeypatch.setattr(world.intake, "accept", accept)
    assert await forwarder(world).run_once() == 0
    assert len(await bob.email_ids()) == 1


async def test_two_at_once_pass_on_once(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    await make(ann, forwardTo="bob@example.org", conditions=[])
    for number in range(5):
        await shop(world, f"Order {number}")
    done = await asyncio.gather(forwarder(world).run_once(), forwarder(world).run_once())
    assert sum(done) == 5
    assert len(await bob.email_ids()) == 5
