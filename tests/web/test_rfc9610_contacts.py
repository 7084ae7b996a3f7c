"""RFC 9610: address books and contact cards (JSContact, RFC 9553); the organisation's directory among them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from everpost.wire.jmap.patch import patch_object
from web_tools.world import Person, World

ALICE: dict[str, Any] = {
    "@type": "Card", "version": "1.0", "kind": "individual",
    "name": {"full": "Alice Müller", "components": [{"kind": "given", "value": "Alice"},
                                                     {"kind": "surname", "value": "Müller"}]},
    "emails": {"e1": {"address": "alice@elsewhere.example", "contexts": {"work": True}}},
    "organizations": {"o": {"name": "Elsewhere"}}, "phones": {"p0": {"number": "+1-555-0000"}},
    "notes": {"n": {"note": "Met at the fair."}}, "example.com:custom": {"kept": True},
}  # fmt: skip


async def card(person: Person, **properties: Any) -> dict[str, Any]:
    answer = await person.call("ContactCard/set", create={"c": ALICE | properties})
    assert answer["notCreated"] is None, answer
    return answer["created"]["c"]


async def refused(person: Person, **properties: Any) -> dict[str, Any]:
    return (await person.call("ContactCard/set", create={"c": ALICE | properties}))["notCreated"]["c"]


async def one(person: Person, card_id: str, *properties: str) -> dict[str, Any]:
    answer = await person.call("ContactCard/get", ids=[card_id], properties=list(properties) or None)
    (row,) = answer["list"]
    return row


async def test_rfc9610_1_3_session(ann: Person) -> None:
    session = (await ann.http.get("/jmap/session")).json()
    name = "urn:ietf:params:jmap:contacts"
    assert session["capabilities"][name] == {}
    assert session["primaryAccounts"][name] == ann.account_id
    about = session["accounts"][ann.account_id]["accountCapabilities"][name]
    assert about == {"maxAddressBooksPerCard": None, "mayCreateAddressBook": True}


async def test_rfc9610_2_address_books(ann: Person) -> None:
    first, directory = (await ann.call("AddressBook/get"))["list"]
    assert (first["name"], first["isDefault"], first["myRights"]["mayWrite"]) == ("Contacts", True, True)
    assert (directory["id"], directory["myRights"]["mayWrite"]) == ("directory", False)
    made = await ann.call("AddressBook/set", create={"b": {"name": "Clients", "description": "Ours"}})
    book = made["created"]["b"]["id"]
    assert made["created"]["b"]["isDefault"] is False
    changed = await ann.call("AddressBook/set", update={book: {"name": "Customers", "sortOrder": 7}})
    assert changed["updated"] == {book: None}
    (row,) = (await ann.call("AddressBook/get", ids=[book]))["list"]
    assert (row["name"], row["sortOrder"], row["description"]) == ("Customers", 7, "Ours")
    await ann.call("AddressBook/set", onSuccessSetIsDefault=book)
    rows = (await ann.call("AddressBook/get"))["list"]
    assert [row["id"] for row in rows if row["isDefault"]] == [book]
    assert list((await card(ann))["addressBookIds"]) == [book]
    changes = await ann.call("AddressBook/changes", sinceState=made["oldState"])
    assert (changes["created"], set(changes["updated"])) == ([book], {first["id"]})

    answer = await ann.call("AddressBook/set", destroy=[book, first["id"], "directory", "nope"])
    kinds = {name: error["type"] for name, error in answer["notDestroyed"].items()}
    assert kinds == {
        book: "addressBookHasContents", first["id"]: "forbidden", "directory": "forbidden", "nope": "notFound",
    }  # fmt: skip
    answer = await ann.call("AddressBook/set", destroy=[book], onDestroyRemoveContents=True)
    assert answer["destroyed"] == [book]
    assert (await ann.call("ContactCard/query", filter={"kind": "individual", "inAddressBook": book}))["ids"] == []
    rows = (await ann.call("AddressBook/get"))["list"]
    assert [row["id"] for row in rows if row["isDefault"]] == [first["id"]]


async def test_rfc9610_2_3_wrong_address_books(ann: Person) -> None:
    for properties, name in (
        ({}, "name"), ({"name": ""}, "name"), ({"name": "a\nb"}, "name"), ({"name": "x", "sortOrder": -1}, "sortOrder"),
        ({"name": "x", "isDefault": True}, "isDefault"), ({"name": "x", "shareWith": {"a": {}}}, "shareWith"),
    ):  # fmt: skip
        error = (await ann.call("AddressBook/set", create={"b": properties}))["notCreated"]["b"]
        assert (error["type"], error["properties"]) == ("invalidProperties", [name])
    answer = await ann.call("AddressBook/set", update={"directory": {"name": "Mine"}, "nope": {"name": "x"}})
    assert {name: e["type"] for name, e in answer["notUpdated"].items()} == {
        "directory": "forbidden", "nope": "notFound",
    }  # fmt: skip
    assert await ann.refused("AddressBook/set", ifInState="never") == "stateMismatch"


async def test_rfc9610_3_cards_are_kept_whole_and_patched(ann: Person) -> None:
    made = await card(ann)
    assert made["uid"].startswith("urn:uuid:")
    row = await one(ann, made["id"])
    assert {name: row[name] for name in ALICE} == ALICE
    assert row["created"] == row["updated"] == made["updated"]
    state = (await ann.call("ContactCard/get", ids=[]))["state"]
    answer = await ann.call(
        "ContactCard/set",
        update={
            made["id"]: {
                "name/full": "Alice M.", "emails/home": {"address": "home@elsewhere.example"}, "phones/p0": None,
                "notes": None, "titles": {"t": {"name": "Boss"}},
            }
        },
    )  # fmt: skip
    assert answer["notUpdated"] is None, answer
    assert (answer["oldState"], answer["updated"][made["id"]].keys()) == (state, {"updated"})
    row = await one(ann, made["id"], "name", "emails", "phones", "notes", "titles")
    assert set(row) == {"id", "name", "emails", "phones", "titles"}
    assert (row["name"]["full"], row["name"]["components"]) == ("Alice M.", ALICE["name"]["components"])
    assert set(row["emails"]) == {"e1", "home"}
    assert row["phones"] == {}
    changes = await ann.call("ContactCard/changes", sinceState=state)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [made["id"]], [])
    gone = await ann.call("ContactCard/set", destroy=[made["id"], "nope"])
    assert (gone["destroyed"], gone["notDestroyed"]["nope"]["type"]) == ([made["id"]], "notFound")
    assert (await ann.call("ContactCard/changes", sinceState=state))["destroyed"] == [made["id"]]


async def test_rfc9610_3_5_wrong_cards(ann: Person) -> None:
    made = await card(ann, uid="urn:uuid:1")
    again = await refused(ann, uid="urn:uuid:1")
    assert (again["type"], again["existingId"]) == ("alreadyExists", made["id"])
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"@type": "Group"}, "@type"), ({"version": "2.0"}, "version"), ({"kind": "robot"}, "kind"),
        ({"uid": ""}, "uid"),
        ({"name": "Alice"}, "name"), ({"name": {"components": [{"value": "x"}]}}, "name/components"),
        ({"emails": []}, "emails"), ({"emails": {"e": {}}}, "emails/e/address"), ({"created": "now"}, "created"),
        ({"members": {"a": False}}, "members"), ({"name": {"full": "a\0b"}}, "name"), ({"id": "x"}, "id"),
        ({"addressBookIds": {}}, "addressBookIds"), ({"addressBookIds": {"nope": True}}, "addressBookIds"),
    ]  # fmt: skip
    for properties, name in wrong:
        error = await refused(ann, **properties)
        assert (error["type"], error["properties"]) == ("invalidProperties", [name]), properties
    assert (await refused(ann, notes={"n": {"note": "x" * 500_000}}))["type"] == "tooLarge"
    for patch, kind in (
        ({"emails/e1/address": 5}, "invalidProperties"), ({"nothing/here": 1}, "invalidPatch"),
        ({"name/components/0/value": "x"}, "invalidPatch"), ({"name": None, "name/full": "x"}, "invalidPatch"),
        ({"uid": "urn:uuid:2"}, "invalidProperties"), ({"addressBookIds": {"directory": True}}, "forbidden"),
        ({"id": "other"}, "invalidProperties"),
    ):  # fmt: skip
        answer = await ann.call("ContactCard/set", update={made["id"]: patch})
        assert answer["notUpdated"][made["id"]]["type"] == kind, patch
        assert answer["newState"] == answer["oldState"]


async def test_rfc9610_3_a_photo_outlives_its_upload(ann: Person) -> None:
    blob = await ann.upload(b"\x89PNG picture", "image/png")
    made = await card(ann, media={"m": {"kind": "photo", "blobId": blob, "mediaType": "image/png"}})
    picture = (await one(ann, made["id"], "media"))["media"]["m"]
    octets = base64.b64encode(b"\x89PNG picture").decode()
    assert picture == {"kind": "photo", "mediaType": "image/png", "uri": f"data:image/png;base64,{octets}"}
    missing = await refused(ann, media={"m": {"kind": "photo", "blobId": "Unope"}})
    assert (missing["type"], missing["notFound"]) == ("blobNotFound", ["Unope"])


async def test_rfc9610_3_3_query(ann: Person) -> None:
    alice = (await card(ann))["id"]
    bob = (await card(ann, name={"full": "Bob", "components": [{"kind": "given", "value": "Bob"}]},
                      emails={"e": {"address": "bob@example.net"}}, organizations={}, notes={}))["id"]  # fmt: skip
    uid = (await one(ann, bob, "uid"))["uid"]
    team = (await card(ann, kind="group", name={"full": "Team"}, members={uid: True}, emails={}, notes={}))["id"]
    own = {"inAddressBook": (await ann.call("AddressBook/get"))["list"][0]["id"]}
    for wanted, ids in (
        ({}, {alice, bob, team}), ({"name": "alice"}, {alice}), ({"name/surname": "muller"}, {alice}),
        ({"email": "example.net"}, {bob}), ({"text": "muller fair"}, {alice}), ({"text": "fair bob"}, set()),
        ({"kind": "group"}, {team}), ({"hasMember": uid}, {team}), ({"uid": uid}, {bob}),
        ({"phone": "555"}, {alice, bob, team}),
        ({"organization": "else"}, {alice, team}), ({"note": "fair"}, {alice}),
        ({"createdBefore": "2020-01-01T00:00:00Z"}, set()),
        ({"updatedAfter": "2020-01-01T00:00:00Z"}, {alice, bob, team}),
    ):  # fmt: skip
        found = await ann.call("ContactCard/query", filter=own | wanted, calculateTotal=True)
        assert set(found["ids"]) == ids, wanted
        assert found["total"] == len(ids)
    neither = {"operator": "NOT", "conditions": [{"name": "alice"}, {"kind": "group"}, {"inAddressBook": "directory"}]}
    assert (await ann.call("ContactCard/query", filter=neither))["ids"] == [bob]
    by_name = [{"property": "name/given", "isAscending": False}]
    ids = (await ann.call("ContactCard/query", filter=own | {"kind": "individual"}, sort=by_name))["ids"]
    assert ids == [bob, alice]
    assert await ann.refused("ContactCard/query", filter={"hat": "x"}) == "unsupportedFilter"
    assert await ann.refused("ContactCard/query", filter={"name": 5}) == "invalidArguments"
    assert await ann.refused("ContactCard/query", sort=[{"property": "hat"}]) == "unsupportedSort"


async def test_rfc9610_3_4_query_changes(ann: Person) -> None:
    book = (await ann.call("AddressBook/get"))["list"][0]["id"]
    asked = {"filter": {"inAddressBook": book}, "sort": [{"property": "name"}]}
    first = (await card(ann, name={"full": "B"}))["id"]
    before = await ann.call("ContactCard/query", **asked)
    second = (await card(ann, name={"full": "A"}))["id"]
    await ann.call("ContactCard/set", update={first: {"name/full": "0"}})
    found = await ann.call("ContactCard/queryChanges", sinceQueryState=before["queryState"], **asked)
    assert found["removed"] == [first]
    assert found["added"] == [{"id": first, "index": 0}, {"id": second, "index": 1}]
    assert (await ann.call("ContactCard/query", **asked))["ids"] == [first, second]
    assert await ann.refused(
        "ContactCard/queryChanges", sinceQueryState=before["queryState"], maxChanges=1, **asked
    ) == "tooManyChanges"  # fmt: skip


async def test_the_directory_is_an_address_book_nobody_writes_to(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org", "robert@example.org")
    await world.organisation("other.example")
    await world.person("stranger@other.example")
    everybody = await ann.call("ContactCard/query", filter={"inAddressBook": "directory"}, sort=[{"property": "name"}])
    rows = (await ann.call("ContactCard/get", ids=everybody["ids"]))["list"]
    assert [row["name"]["full"] for row in rows] == ["ann", "bob"]  # nobody of another organisation
    row = rows[1]
    assert [item["address"] for item in row["emails"].values()] == ["bob@example.org", "robert@example.org"]
    assert (row["addressBookIds"], row["kind"]) == ({"directory": True}, "individual")
    assert (await ann.call("ContactCard/query", filter={"text": "robert"}))["ids"] == [row["id"]]
    answer = await ann.call(
        "ContactCard/set", update={row["id"]: {"name/full": "Bobby"}}, destroy=[row["id"]],
        create={"c": ALICE | {"addressBookIds": {"directory": True}}},
    )  # fmt: skip
    assert answer["notUpdated"][row["id"]]["type"] == "forbidden"
    assert answer["notDestroyed"][row["id"]]["type"] == "forbidden"
    assert answer["notCreated"]["c"]["type"] == "forbidden"
    state = everybody["queryState"]
    await world.person("carla@example.org")
    assert await ann.refused("ContactCard/changes", sinceState=state) == "cannotCalculateChanges"
    assert await ann.refused(
        "ContactCard/queryChanges", sinceQueryState=state, filter={"inAddressBook": "directory"}
    ) == "cannotCalculateChanges"  # fmt: skip
    assert (await bob.call("ContactCard/query", filter={"text": "carla"}))["ids"]


async def test_a_large_directory_wants_a_word(world: World, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("everpost.standby.contacts", "everpost.serve.web.jmap.contact_cards"):
        monkeypatch.setattr(f"{module}.MAX_DIRECTORY", 2)
    for name in ("bob", "carla", "percent"):
        await world.person(f"{name}@example.org")
    assert await ann.refused("ContactCard/query") == "requestTooLarge"
    assert len((await ann.call("ContactCard/query", filter={"text": "carla"}))["ids"]) == 1
    assert (await ann.call("ContactCard/query", filter={"text": "c%a"}))["ids"] == []


async def test_nobody_sees_anothers_contacts(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    made = (await card(ann))["id"]
    assert (await bob.call("ContactCard/get", ids=[made]))["notFound"] == [made]
    answer = await bob.call("ContactCard/set", update={made: {"name/full": "x"}}, destroy=[made])
    assert answer["notUpdated"][made]["type"] == answer["notDestroyed"][made]["type"] == "notFound"
    assert await bob.refused("ContactCard/copy", fromAccountId=ann.account_id, create={}) == "fromAccountNotFound"


def test_rfc8620_5_3_patches() -> None:
    before = {"a": {"b": {"c": 1}}, "d/e": 2}
    after = patch_object(before, {"a/b/c": 3, "d~1e": None, "f": [1]})
    assert after == {"a": {"b": {"c": 3}}, "f": [1]}
    assert before == {"a": {"b": {"c": 1}}, "d/e": 2}
    for bad in ({"x/y": 1}, {"a": {}, "a/b": 1}, {"a/b/c/d": 1}, {"/".join("a" * 30): 1}):
        with pytest.raises(ValueError):
            patch_object(before, bad)
