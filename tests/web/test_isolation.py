"""DESIGN I7: neither another organisation nor another mailbox of the same one can be seen, guessed or changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from everpost.store.ids import decode_id, encode_id
from web_tools.world import FOLDER, Person, World, message


@dataclass
class Secrets:
    """What the victim has."""

    victim: Person
    email_id: str
    thread_id: str
    blob_id: str
    part_blob_id: str
    upload_id: str
    folder_id: str
    submission_id: str
    raw_blob_id: str


async def secrets_of(victim: Person) -> Secrets:
    world = victim.world
    await world.deliver("vic@victim.example", message("Secret plan", to="vic@victim.example", body="topsecret\r\n"))
    (email_id,) = await victim.email_ids()
    email = await victim.email(email_id)
    folder = await victim.call("Mailbox/set", create={"f": {"name": "Secret folder"}})
    draft = await victim.draft()
    sent = await victim.call(
        "EmailSubmission/set", create={"s": {"identityId": await victim.identity(), "emailId": draft["id"]}}
    )
    async with world.database.connection() as connection:
        raw = await connection.fetchval("SELECT blob_id FROM message WHERE id = $1", decode_id(email_id))
    return Secrets(
        victim, email_id, email["threadId"], email["blobId"], email["textBody"][0]["blobId"],
        await victim.upload(b"topsecret"), folder["created"]["f"]["id"], sent["created"]["s"]["id"],
        "U" + encode_id(raw),
    )  # fmt: skip


@pytest.fixture(params=["thief@example.org", "thief@victim.example"])
async def scene(request: pytest.FixtureRequest, world: World) -> tuple[Person, Secrets]:
    """A thief in another organisation, or in another mailbox of the same one, and what the victim has."""
    await world.organisation("victim.example")
    thief = await world.person(request.param)
    return thief, await secrets_of(await world.person("vic@victim.example"))


async def everything(person: Person) -> dict[str, Any]:
    return {
        "emails": (await person.call("Email/get"))["list"],
        "folders": (await person.call("Mailbox/get"))["list"],
        "submissions": (await person.call("EmailSubmission/get"))["list"],
    }


async def test_reading(scene: tuple[Person, Secrets]) -> None:
    thief, own = scene
    for method, name in [
        ("Email/get", own.email_id), ("Thread/get", own.thread_id), ("Mailbox/get", own.folder_id),
        ("EmailSubmission/get", own.submission_id), ("Identity/get", await own.victim.identity()),
    ]:  # fmt: skip
        answer = await thief.call(method, ids=[name])
        assert (answer["list"], answer["notFound"]) == ([], [name]), method
    body = await thief.call("Email/get", ids=[own.email_id], fetchAllBodyValues=True, properties=["bodyValues"])
    assert body["list"] == []
    for wanted in (None, {"text": "secret"}, {"subject": "secret"}, {"inMailbox": own.folder_id}):
        answer = await thief.call("Email/query", filter=wanted, calculateTotal=True)
        assert (answer["ids"], answer["total"]) == ([], 0)
    assert (await thief.call("Email/changes", sinceState="0"))["created"] == []
    assert (await thief.call("Thread/changes", sinceState="0"))["created"] == []
    snippets = await thief.call("SearchSnippet/get", emailIds=[own.email_id], filter={"text": "secret"})
    assert (snippets["list"], snippets["notFound"]) == ([], [own.email_id])
    assert (await thief.call("EmailSubmission/query"))["ids"] == []
    copied = await thief.refused(
        "Email/copy", fromAccountId=own.victim.account_id, create={"c": {"id": own.email_id, "mailboxIds": {}}}
    )
    assert copied == "fromAccountNotFound"
    assert await thief.refused("Blob/copy", fromAccountId=own.victim.account_id, blobIds=[own.blob_id]) == copied
    assert await thief.refused("Email/query", anchor=own.email_id) == "anchorNotFound"
    names = {row["name"] for row in (await thief.call("Mailbox/get"))["list"]}
    assert "Secret folder" not in names
    (identity,) = (await thief.call("Identity/get"))["list"]
    assert identity["email"] == str(thief.login.address)


async def test_account_ids(scene: tuple[Person, Secrets]) -> None:
    thief, own = scene
    from everpost.serve.web.jmap.api import METHODS

    victim = own.victim.account_id
    arguments: dict[str, dict[str, Any]] = {
        "Email/import": {"emails": {}}, "Email/changes": {"sinceState": "0"}, "Mailbox/changes": {"sinceState": "0"},
    }  # fmt: skip
    for name in METHODS:
        if name.endswith("/changes"):
            arguments[name] = {"sinceState": "0"}
        elif name.endswith("/queryChanges"):
            arguments[name] = {"sinceQueryState": "0"}
    arguments |= {
        "Blob/copy": {"fromAccountId": thief.account_id, "blobIds": [own.blob_id]}, "Blob/get": {"ids": [own.blob_id]},
        "Blob/lookup": {"ids": [own.blob_id], "typeNames": ["Email"]}, "Blob/upload": {"create": {}},
        "Email/copy": {"fromAccountId": thief.account_id, "create": {}}, "Email/parse": {"blobIds": [own.blob_id]},
        "ContactCard/copy": {"fromAccountId": thief.account_id, "create": {}},
        "SearchSnippet/get": {"emailIds": [own.email_id]}, "Filter/apply": {"mailboxId": FOLDER["inbox"]},
    }  # fmt: skip
    for verb in ("release", "askForRelease", "reportNotJunk"):
        arguments[f"QuarantinedEmail/{verb}"] = {"ids": [own.email_id]}
    for method in METHODS.keys() - {"Core/echo", "PushSubscription/get", "PushSubscription/set"}:
        extra = arguments.get(method, {})
        assert await thief.refused(method, **{"accountId": victim} | extra) == "accountNotFound", method
    for path in (f"/jmap/download/{victim}/{own.blob_id}/x", f"/jmap/download/{victim}/{own.upload_id}/x"):
        assert (await thief.http.get(path)).status_code == 404
    assert (await thief.http.post(f"/jmap/upload/{victim}/", content=b"x")).status_code == 404


async def test_blobs(scene: tuple[Person, Secrets]) -> None:
    thief, own = scene
    blob_ids = [
        own.blob_id,
        own.part_blob_id,
        own.upload_id,
        own.raw_blob_id,
        own.blob_id.lower(),
        "M",
        "U",
        "-",
        "%00",
    ]
    for blob_id in blob_ids:
        answer = await thief.download(blob_id)
        assert answer.status_code == 404, blob_id
        assert b"secret" not in answer.content
    for blob_id in (own.blob_id, own.part_blob_id, own.upload_id, own.raw_blob_id):
        imported = await thief.call(
            "Email/import", emails={"i": {"blobId": blob_id, "mailboxIds": {FOLDER["inbox"]: True}}}
        )
        assert imported["notCreated"]["i"]["type"] == "blobNotFound"
        drafted = await thief.call(
            "Email/set",
            create={"d": {"mailboxIds": {FOLDER["drafts"]: True}, "attachments": [{"blobId": blob_id, "type": "a/b"}]}},
        )
        assert drafted["notCreated"]["d"] == {"type": "blobNotFound", "notFound": [blob_id]}
        assert (await thief.call("Blob/get", ids=[blob_id]))["notFound"] == [blob_id]
        looked = await thief.call("Blob/lookup", ids=[blob_id], typeNames=["Email"])
        assert (looked["list"], looked["notFound"]) == ([], [blob_id])
        assert (await thief.call("Email/parse", blobIds=[blob_id]))["notFound"] == [blob_id]
        put = await thief.call("Blob/upload", create={"u": {"data": [{"blobId": blob_id}]}})
        assert put["notCreated"]["u"]["type"] == "blobNotFound"
    # Not even its owner reaches bytes of mail as if they were an upload.
    assert (await own.victim.download(own.raw_blob_id)).status_code == 404
    assert (await own.victim.download(own.upload_id)).content == b"topsecret"


async def test_changing_and_sending(world: World, scene: tuple[Person, Secrets]) -> None:
    thief, own = scene
    before = await everything(own.victim)
    mine = (await thief.draft())["id"]
    answer = await thief.call(
        "Email/set",
        update={own.email_id: {"keywords/$seen": True}, mine: {f"mailboxIds/{own.folder_id}": True}},
        destroy=[own.email_id],
    )
    assert answer["updated"] is None
    assert answer["destroyed"] is None
    assert answer["notUpdated"][mine]["type"] == "invalidProperties"
    stopped = await thief.call(
        "EmailSubmission/set", update={own.submission_id: {"undoStatus": "canceled"}}, destroy=[own.submission_id]
    )
    assert {e["type"] for e in (stopped["notUpdated"] | stopped["notDestroyed"]).values()} == {"notFound"}
    theirs = await own.victim.identity()
    named = await thief.call("Identity/set", update={theirs: {"name": "Thief"}}, destroy=[theirs])
    assert {e["type"] for e in (named["notUpdated"] | named["notDestroyed"]).values()} == {"notFound"}
    made = await thief.call("Identity/set", create={"i": {"name": "V", "email": "vic@victim.example"}})
    assert made["notCreated"]["i"]["type"] == "forbiddenFrom"
    folders = await thief.call(
        "Mailbox/set", create={"c": {"name": "x", "parentId": own.folder_id}},
        update={own.folder_id: {"name": "Mine"}}, destroy=[own.folder_id],
    )  # fmt: skip
    assert folders["created"] is None
    assert {error["type"] for error in (folders["notUpdated"] | folders["notDestroyed"]).values()} == {"notFound"}
    victims_identity = await own.victim.identity()
    for email_id, identity, kind in [
        (own.email_id, await thief.identity(), "invalidProperties"), (mine, victims_identity, "invalidProperties"),
    ]:  # fmt: skip
        sent = await thief.call("EmailSubmission/set", create={"s": {"identityId": identity, "emailId": email_id}})
        assert sent["notCreated"]["s"]["type"] == kind
    forged = await thief.draft(**{"from": [{"email": "vic@victim.example"}]})
    sent = await thief.call(
        "EmailSubmission/set", create={"s": {"identityId": await thief.identity(), "emailId": forged["id"]}}
    )
    assert sent["notCreated"]["s"]["type"] == "forbiddenFrom"
    after = await everything(own.victim)
    assert after == before
