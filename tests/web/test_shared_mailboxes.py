"""Mailboxes shared with others: further accounts of the session, rights in every method, who acted is on record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from everpost.directory.model import Rights
from everpost.directory.records import DirectoryError
from everpost.directory.sharing import Sharing
from everpost.serve.web.jmap.api import METHODS
from everpost.serve.web.jmap.later import DelayedSender
from everpost.serve.web.jmap.sending import SendingParts
from web_tools.world import FOLDER, Person, World, message

INBOX, SENT = FOLDER["inbox"], FOLDER["sent"]


@pytest.fixture
async def office(world: World) -> Person:
    """The shared mailbox."""
    return await world.person("office@example.org")


async def share(world: World, rights: str | None, delegate: str = "ann@example.org") -> None:
    sharing = Sharing(world.database, actor="test")
    organisation = await sharing.organisation_of("office@example.org")
    if rights is None:
        await sharing.unshare(organisation.id, "office@example.org", delegate)
    else:
        await sharing.share(organisation.id, "office@example.org", delegate, Rights(rights))
    world.directory.forget()  # as every process does when it hears of the change


class Desk:
    """A person at work in somebody else's mailbox."""

    def __init__(self, person: Person, owner: Person) -> None:
        self.person, self.account_id = person, owner.account_id

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        return await self.person.call(method, accountId=self.account_id, **arguments)

    async def refused(self, method: str, **arguments: Any) -> str:
        return await self.person.refused(method, accountId=self.account_id, **arguments)


async def session(person: Person) -> dict[str, Any]:
    return (await person.http.get("/jmap/session")).json()


async def test_accounts_of_the_session(world: World, ann: Person, office: Person) -> None:
    before = await session(ann)
    assert list(before["accounts"]) == [ann.account_id]
    for rights, read_only, sends in (("read", True, False), ("write", False, False), ("send", False, True)):
        await share(world, rights)
        now = await session(ann)
        assert now["state"] != before["state"]
        assert list(now["accounts"]) == [ann.account_id, office.account_id]
        account = now["accounts"][office.account_id]
        assert (account["name"], account["isPersonal"], account["isReadOnly"]) == (
            "office@example.org",
            False,
            read_only,
        )
        for name in ("submission", "vacationresponse"):
            assert (f"urn:ietf:params:jmap:{name}" in account["accountCapabilities"]) == sends
        assert set(now["primaryAccounts"].values()) == {ann.account_id}
        before = now
    assert list((await session(office))["accounts"]) == [office.account_id]  # nothing the other way round
    await share(world, None)
    assert list((await session(ann))["accounts"]) == [ann.account_id]


ARGUMENTS: dict[str, dict[str, Any]] = {
    "Email/import": {"emails": {}}, "Email/parse": {"blobIds": []}, "SearchSnippet/get": {"emailIds": []},
    "Blob/get": {"ids": []}, "Blob/lookup": {"ids": [], "typeNames": []}, "Blob/upload": {"create": {}},
    "Thread/get": {"ids": []}, "Filter/apply": {"mailboxId": FOLDER["inbox"]},
    "QuarantinedEmail/release": {"ids": []}, "QuarantinedEmail/askForRelease": {"ids": []},
    "QuarantinedEmail/reportNotJunk": {"ids": []},
}  # fmt: skip
OWN = ("Core/echo", "PushSubscription/get", "PushSubscription/set")
SENDING = (
    "Identity/", "EmailSubmission/", "VacationResponse/", "Filter/", "QuarantinedEmail/", "SenderRule/",
    "QuarantineSettings/",
)  # fmt: skip
CHANGING = ("/set", "/copy", "/import", "/upload")


def arguments_of(method: str, ann: Person) -> dict[str, Any]:
    if method.endswith("/changes"):
        return {"sinceState": "0"}
    if method.endswith("/queryChanges"):
        return {"sinceQueryState": "0"}
    if method.endswith("/copy"):
        return {"fromAccountId": ann.account_id} | ({"blobIds": []} if method == "Blob/copy" else {"create": {}})
    return ARGUMENTS.get(method, {})


@pytest.mark.parametrize("rights", ["none", "read", "write", "send"])
async def test_rights_hold_in_every_method(world: World, ann: Person, office: Person, rights: str) -> None:
    if rights != "none":
        await share(world, rights)
    for method in METHODS.keys() - set(OWN):
        call = (method, {"accountId": office.account_id} | arguments_of(method, ann))
        name, answer = (await ann.calls(call))[0]
        kind = answer["type"] if name == "error" else "done"
        if kind == "cannotCalculateChanges":  # it got as far as that
            kind = "done"
        if rights == "none":
            wanted = "accountNotFound"
        elif method.startswith("Settings/"):  # of the person, not of the mailbox
            wanted = "accountNotSupportedByMethod"
        elif method.startswith(SENDING):
            wanted = "done" if rights == "send" else "accountNotSupportedByMethod"
        elif method.endswith(CHANGING):
            wanted = "accountReadOnly" if rights == "read" else "done"
        else:
            wanted = "done"
        assert kind == wanted, (method, rights, answer)


async def test_reading_shows_all_and_changes_nothing(world: World, ann: Person, office: Person) -> None:
    await world.deliver("office@example.org", message("For the office", to="office@example.org"))
    (email_id,) = await office.email_ids()
    await share(world, "read")
    desk = Desk(ann, office)
    (row,) = (await desk.call("Email/get", ids=[email_id]))["list"]
    assert row["subject"] == "For the office"
    url = f"/jmap/download/{office.account_id}/{row['blobId']}/x"
    assert b"For the office" in (await ann.http.get(url)).content
    assert (await ann.http.get(f"/view/{office.account_id}/{email_id}")).status_code == 200
    assert (await ann.http.post(f"/jmap/upload/{office.account_id}/", content=b"x")).status_code == 403
    folder = (await desk.call("Mailbox/get", ids=[INBOX]))["list"][0]
    assert {name for name, may in folder["myRights"].items() if may} == {"mayReadItems"}
    assert await desk.refused("Email/set", update={email_id: {"keywords/$seen": True}}) == "accountReadOnly"
    assert (await office.email(email_id))["keywords"] == {}
    # ids of one account mean nothing in the other
    assert (await ann.call("Email/get", ids=[email_id]))["notFound"] == [email_id]
    await share(world, None)
    assert await desk.refused("Email/get", ids=[email_id]) == "accountNotFound"
    assert (await ann.http.get(url)).status_code == 404


async def test_the_acting_person_is_on_record(world: World, ann: Person, office: Person) -> None:
    await world.deliver("office@example.org", message(to="office@example.org"))
    (email_id,) = await office.email_ids()
    await share(world, "write")
    await Desk(ann, office).call("Email/set", update={email_id: {"keywords/$flagged": True}})
    assert (await office.email(email_id))["keywords"] == {"$flagged": True}
    async with world.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT actor, kind FROM change WHERE mailbox_id = $1 ORDER BY modseq DESC LIMIT 1", office.login.mailbox_id
        )
        shared = await connection.fetchrow("SELECT * FROM audit_event WHERE action = 'mailbox.shared'")
    assert [tuple(row) for row in rows] == [("ann@example.org", "keywords")]
    assert (shared["actor"], shared["subject"]) == ("test", "office@example.org")
    assert shared["detail"]["delegate"] == "ann@example.org"


async def test_sending_as_the_mailbox(world: World, ann: Person, office: Person) -> None:
    await share(world, "send")
    desk = Desk(ann, office)
    (identity,) = (await desk.call("Identity/get"))["list"]
    assert (identity["email"], identity["name"]) == ("office@example.org", "office")
    drafts = FOLDER["drafts"]
    for sender, kind in (("office@example.org", None), ("ann@example.org", "forbiddenFrom")):
        email = {
            "mailboxIds": {drafts: True}, "from": [{"email": sender}], "to": [{"email": "you@example.net"}],
            "subject": "From the office", "textBody": [{"partId": "1"}], "bodyValues": {"1": {"value": "Hi"}},
        }  # fmt: skip
        made = (await desk.call("Email/set", create={"d": email}))["created"]["d"]
        answer = (await ann.calls(("EmailSubmission/set", {
            "accountId": office.account_id, "create": {"s": {"emailId": made["id"], "identityId": identity["id"]}},
            "onSuccessUpdateEmail": {"#s": {f"mailboxIds/{drafts}": None, f"mailboxIds/{SENT}": True}},
        })))[0][1]  # fmt: skip
        assert ((answer["notCreated"] or {}).get("s") or {}).get("type") == kind
    assert len(await office.email_ids("sent")) == 1
    async with world.database.connection() as connection:
        client = await connection.fetchval("SELECT client FROM message WHERE direction = 'outbound'")
        actor = await connection.fetchval(
            "SELECT actor FROM change WHERE mailbox_id = $1 AND kind = 'submitted'", office.login.mailbox_id
        )
    assert "ann@example.org" in client
    assert actor == "ann@example.org"


async def test_who_told_to_send_later_is_on_record(world: World, ann: Person, office: Person) -> None:
    await share(world, "send")
    desk = Desk(ann, office)
    identity = (await desk.call("Identity/get"))["list"][0]["id"]
    made = await office.draft()
    envelope = {
        "mailFrom": {"email": "office@example.org", "parameters": {"HOLDFOR": "3600"}},
        "rcptTo": [{"email": "you@example.net"}],
    }
    new = {"emailId": made["id"], "identityId": identity, "envelope": envelope}
    answer = await desk.call("EmailSubmission/set", create={"s": new})
    assert answer["created"]["s"]["undoStatus"] == "pending"
    async with world.database.connection() as connection:
        await connection.execute("UPDATE submission SET send_at = now()")
    parts = SendingParts(world.database, world.standby, world.directory, world.intake, world.spool)
    assert await DelayedSender(parts).run_once() == 1
    async with world.database.connection() as connection:
        actor = await connection.fetchval(
            "SELECT actor FROM change WHERE mailbox_id = $1 AND kind = 'submitted'", office.login.mailbox_id
        )
    assert actor == "ann@example.org"


async def test_rfc8621_4_7_copy_and_move_between_accounts(world: World, ann: Person, office: Person) -> None:
    await world.deliver("ann@example.org", message("Take this"))
    (email_id,) = await ann.email_ids()
    await ann.call("Email/set", update={email_id: {"keywords/$flagged": True}})
    original = await ann.email(email_id)
    await share(world, "write")
    copying = {"fromAccountId": ann.account_id, "accountId": office.account_id}
    here = {"mailboxIds": {INBOX: True}}
    create: dict[str, Any] = {
        "good": {"id": email_id} | here, "bad": {"id": "nope"} | here, "wrong": {"id": email_id, "subject": "x"},
        "nowhere": {"id": email_id, "mailboxIds": {"nope": True}},
    }  # fmt: skip
    assert await ann.refused("Email/copy", **copying, create=create, ifFromInState="never") == "stateMismatch"
    assert await ann.refused("Email/copy", **copying, create=create, ifInState="never") == "stateMismatch"
    answer = await ann.call("Email/copy", **copying, create=create)
    kinds = {name: error["type"] for name, error in answer["notCreated"].items()}
    assert kinds == {"bad": "notFound", "nowhere": "invalidProperties", "wrong": "invalidProperties"}
    assert set(answer["created"]["good"]) == {"id", "blobId", "threadId", "size"}
    copied = await office.email(answer["created"]["good"]["id"])
    assert copied["keywords"] == {"$flagged": True}
    assert [copied[name] for name in ("subject", "receivedAt", "size", "messageId")] == [
        original[name] for name in ("subject", "receivedAt", "size", "messageId")
    ]
    moving = copying | {"create": {"m": create["good"]}, "onSuccessDestroyOriginal": True}
    answers = await ann.calls(("Email/copy", moving | {"destroyFromIfInState": "never"}))
    assert [name for name, _ in answers] == ["Email/copy", "error"]
    assert answers[1][1]["type"] == "stateMismatch"
    answers = await ann.calls(("Email/copy", moving))
    assert [name for name, _ in answers] == ["Email/copy", "Email/set"]
    assert (answers[1][1]["accountId"], answers[1][1]["destroyed"]) == (ann.account_id, [email_id])
    assert await ann.email_ids() == []
    await share(world, "read")
    assert await ann.refused("Email/copy", **copying, create={}) == "accountReadOnly"
    back = {"fromAccountId": office.account_id, "accountId": ann.account_id}
    moving = back | {
        "create": {"m": {"id": copied["id"], "mailboxIds": {INBOX: True}}},
        "onSuccessDestroyOriginal": True,
    }
    answers = await ann.calls(("Email/copy", moving))
    assert (answers[0][1]["notCreated"], answers[1][1]["type"]) == (None, "accountReadOnly")
    assert len(await office.email_ids()) == 3


async def test_rfc8620_6_3_rfc9610_3_6_blobs_and_cards_between_accounts(
    world: World, ann: Person, office: Person
) -> None:
    await share(world, "write")
    copying = {"fromAccountId": ann.account_id, "accountId": office.account_id}
    blob = await ann.upload(b"octets")
    answer = await ann.call("Blob/copy", **copying, blobIds=[blob, "nope"])
    assert (await office.download(answer["copied"][blob])).content == b"octets"
    assert answer["notCopied"]["nope"]["type"] == "blobNotFound"
    made = await ann.call("ContactCard/set", create={"c": {"name": {"full": "Alice"}}})
    card_id = made["created"]["c"]["id"]
    answer = await ann.call("ContactCard/copy", **copying, create={"c": {"id": card_id}, "n": {"id": "nope"}},
                            onSuccessDestroyOriginal=False)  # fmt: skip
    assert answer["notCreated"]["n"]["type"] == "notFound"
    (row,) = (await office.call("ContactCard/get", ids=[answer["created"]["c"]["id"]]))["list"]
    assert row["name"] == {"full": "Alice"}
    again = await ann.call("ContactCard/copy", **copying, create={"c": {"id": card_id}})
    assert again["notCreated"]["c"]["type"] == "alreadyExists"


async def test_a_closed_or_disabled_mailbox_is_closed_to_delegates(world: World, ann: Person, office: Person) -> None:
    await share(world, "write")
    async with world.database.transaction() as connection:
        await connection.execute("UPDATE mailbox SET status = 'disabled' WHERE id = $1", office.login.mailbox_id)
    world.directory.forget()
    assert list((await session(ann))["accounts"]) == [ann.account_id]


async def test_push_tells_of_shared_mailboxes(world: World, ann: Person, office: Person) -> None:
    await share(world, "read")
    push = world.app.state.push
    stream = asyncio.create_task(ann.http.get("/jmap/events/?types=Email&closeafter=state&ping=0"))
    while not push.streams:
        await asyncio.sleep(0.01)
    assert push.streams_of(office.account) == 0  # it does not use up the owner's
    await world.deliver("office@example.org", message(to="office@example.org"))
    text = (await asyncio.wait_for(stream, 10)).text
    assert f'"{office.account_id}":{{"Email":' in text
    assert ann.account_id not in text


async def test_sharing_is_refused_where_it_makes_no_sense(world: World, ann: Person, office: Person) -> None:
    sharing = Sharing(world.database)
    organisation = await sharing.organisation_of("office@example.org")
    other = await world.organisation("other.example")
    await world.person("stranger@other.example")
    for mailbox, delegate in (
        ("office@example.org", "office@example.org"), ("office@example.org", "stranger@other.example"),
        ("office@example.org", "nobody@example.org"), ("nobody@example.org", "ann@example.org"),
    ):  # fmt: skip
        with pytest.raises(DirectoryError):
            await sharing.share(organisation.id, mailbox, delegate, Rights.READ)
    with pytest.raises(DirectoryError):
        await sharing.share(other, "office@example.org", "stranger@other.example", Rights.READ)
    with pytest.raises(DirectoryError):
        await sharing.unshare(organisation.id, "office@example.org", "ann@example.org")
