"""EmailSubmission/set: a person's message goes through intake to the queue, as nobody but themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from everpost.standby.values import ReadOnly
from everpost.store.ids import decode_id
from web_tools.world import FOLDER, Person, World


async def send(person: Person, email_id: str, **properties: Any) -> dict[str, Any]:
    return await person.call(
        "EmailSubmission/set",
        create={"s": {"identityId": await person.identity(), "emailId": email_id} | properties},
    )


async def refusal(person: Person, email_id: str, **properties: Any) -> str:
    answer = await send(person, email_id, **properties)
    return answer["notCreated"]["s"]["type"]


async def deliveries(world: World) -> list[Any]:
    async with world.database.connection() as connection:
        return await connection.fetch(
            "SELECT d.*, m.reverse_path, m.blob_id, m.smtputf8, m.body, m.source FROM delivery d JOIN message m"
            " ON m.organisation_id = d.organisation_id AND m.id = d.message_id ORDER BY d.message_id, d.number"
        )


async def test_draft_goes_out_and_becomes_sent(world: World, ann: Person) -> None:
    created = await ann.draft(to=[{"email": "you@example.net"}], cc=[{"email": "ann.alias@example.org"}])
    identity = await ann.identity()
    account = {"accountId": ann.account_id}
    answers = await ann.calls(
        (
            "EmailSubmission/set",
            account
            | {
                "create": {"s": {"identityId": identity, "emailId": created["id"]}},
                "onSuccessUpdateEmail": {
                    "#s": {
                        f"mailboxIds/{FOLDER['drafts']}": None, f"mailboxIds/{FOLDER['sent']}": True,
                        "keywords/$draft": None,
                    }
                },
            },
        )
    )  # fmt: skip
    assert [name for name, _ in answers] == ["EmailSubmission/set", "Email/set"]
    submission = answers[0][1]["created"]["s"]
    assert answers[1][1]["updated"] == {created["id"]: None}
    assert await ann.email_ids("drafts") == []
    assert await ann.email_ids("sent") == [created["id"]]
    assert (await ann.email(created["id"]))["keywords"] == {"$seen": True}
    rows = await deliveries(world)
    assert [(row["kind"], row["recipient"], row["status"]) for row in rows] == [
        ("internet", "you@example.net", "queued"), ("standby", "ann.alias@example.org", "delivered"),
    ]  # fmt: skip
    assert rows[0]["reverse_path"] == "ann@example.org"
    assert rows[0]["source"] == "webmail"
    assert len(await ann.email_ids("inbox")) == 1
    (row,) = (await ann.call("EmailSubmission/get", ids=[submission["id"]]))["list"]
    assert row["emailId"] == created["id"]
    assert row["undoStatus"] == "final"
    assert row["envelope"]["mailFrom"]["email"] == "ann@example.org"
    assert row["deliveryStatus"]["you@example.net"]["delivered"] == "queued"
    assert row["deliveryStatus"]["ann.alias@example.org"]["delivered"] == "yes"
    async with world.database.connection() as connection:
        kinds = [r["kind"] for r in await connection.fetch("SELECT kind FROM change ORDER BY modseq")]
        shared = await connection.fetchval(
            "SELECT count(DISTINCT blob_id) FROM message WHERE id = ANY($1::bigint[])",
            [decode_id(created["id"]), decode_id(submission["id"])],
        )
    assert "submitted" in kinds
    assert shared == 1


async def test_bcc_is_delivered_and_not_told(world: World, ann: Person) -> None:
    created = await ann.draft(bcc=[{"email": "hidden@example.net"}])
    answer = await send(ann, created["id"])
    rows = await deliveries(world)
    assert {row["recipient"] for row in rows} == {"you@example.net", "hidden@example.net"}
    content = await world.standby.blobs.read(ann.account.organisation_id, rows[0]["blob_id"])
    assert b"hidden@" not in content
    assert b"\r\nTo: <you@example.net>\r\n" in content
    draft = (await ann.download(created["blobId"])).content
    assert b"hidden@example.net" in draft
    assert answer["created"]["s"]["threadId"] == created["threadId"]


REFUSED: list[Any] = [
        ({"from": [{"email": "boss@example.org"}]}, {}, "forbiddenFrom"),
        ({"from": [{"email": "boss@elsewhere.example"}]}, {}, "forbiddenFrom"),
        ({"from": [{"email": "ann@example.org"}, {"email": "boss@example.org"}]}, {}, "forbiddenFrom"),
        ({"sender": [{"email": "boss@example.org"}]}, {}, "forbiddenFrom"),
        ({"header:From:asRaw:all": [" ann@example.org", " boss@example.org"], "from": None}, {}, "invalidEmail"),
        ({"from": []}, {}, "invalidEmail"),
        ({"from": [{"email": "ann"}]}, {}, "invalidEmail"),
        ({"to": []}, {}, "noRecipients"),
        ({"to": [{"email": "not an"}]}, None, ""),
        ({"to": [{"email": "unfinished"}]}, {}, "invalidRecipients"),
        ({"to": [{"email": "nobody@example.org"}]}, {}, "invalidRecipients"),
        ({}, {"emailId": "NONE"}, "invalidProperties"),
        ({}, {"identityId": "I00"}, "invalidProperties"),
        ({}, {"sendAt": "2030-01-01T00:00:00Z"}, "invalidProperties"),
        ({}, {"envelope": {"mailFrom": {"email": "boss@example.org"}, "rcptTo": [{"email": "y@example.net"}]}},
         "forbiddenMailFrom"),
        ({}, {"envelope": {"mailFrom": {"email": ""}, "rcptTo": [{"email": "y@example.net"}]}}, "forbiddenMailFrom"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@example.org"}, "rcptTo": []}}, "noRecipients"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@example.org"}, "rcptTo": [{"email": "a@b>\r\nRCPT TO:<c@d"}]}},
         "invalidRecipients"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@example.org", "parameters": {"AUTH": "x"}}, "rcptTo": []}},
         "invalidProperties"),
        ({}, {"envelope": 5}, "invalidProperties"),
        ({}, {"envelope": {"mailFrom": {"email": "ann@example.org"},
                           "rcptTo": [{"email": f"u{n}@example.net"} for n in range(1001)]}}, "tooManyRecipients"),
    ]  # fmt: skip


async def test_refused_submissions_send_nothing(world: World, ann: Person) -> None:
    await world.person("boss@example.org")
    for draft, properties, kind in REFUSED:
        email = {
            "mailboxIds": {FOLDER["drafts"]: True}, "from": [{"email": "ann@example.org"}],
            "to": [{"email": "you@example.net"}], "textBody": [{"partId": "1"}], "bodyValues": {"1": {"value": "x"}},
        } | draft  # fmt: skip
        answer = await ann.call("Email/set", create={"d": email})
        if properties is None:
            assert answer["notCreated"]["d"]["type"] == "invalidProperties"
            continue
        assert await refusal(ann, answer["created"]["d"]["id"], **properties) == kind, (draft, properties)
        assert await deliveries(world) == []


async def test_imported_message_without_date_is_not_sent(world: World, ann: Person) -> None:
    blob_id = await ann.upload(b"From: ann@example.org\r\nTo: y@example.net\r\n\r\nx\r\n")
    answer = await ann.call("Email/import", emails={"a": {"blobId": blob_id, "mailboxIds": {FOLDER["drafts"]: True}}})
    refused = (await send(ann, answer["created"]["a"]["id"]))["notCreated"]["s"]
    assert refused["type"] == "invalidEmail"
    assert set(refused["properties"]) == {"sentAt", "messageId"}


async def test_alias_detail_and_utf8(world: World, ann: Person) -> None:
    created = await ann.draft(
        **{"from": [{"email": "ann.alias+list@example.org"}]}, to=[{"email": "jörg@example.net"}]
    )  # fmt: skip
    envelope = {
        "mailFrom": {"email": "ann+bounce@example.org", "parameters": {"ret": "HDRS", "ENVID": "x1"}},
        "rcptTo": [{"email": "jörg@example.net", "parameters": {"NOTIFY": "SUCCESS,FAILURE"}}],
    }
    answer = await send(ann, created["id"], envelope=envelope)
    assert answer["created"]
    (row,) = await deliveries(world)
    assert (row["reverse_path"], row["smtputf8"], row["notify"]) == ("ann+bounce@example.org", True, 3)


async def test_to_another_organisation_shares_no_bytes(world: World, ann: Person) -> None:
    await world.organisation("other.example")
    other = await world.person("olga@other.example")
    created = await ann.draft(to=[{"email": "olga@other.example"}])
    assert (await send(ann, created["id"]))["created"]
    (email_id,) = await other.email_ids()
    email = await other.email(email_id)
    assert email["from"][0]["email"] == "ann@example.org"
    assert (await other.download(email["blobId"])).content == (await ann.download(created["blobId"])).content


async def test_destroy_on_success_and_failure_keeps(world: World, ann: Person) -> None:
    good, bad = await ann.draft(), await ann.draft(to=[])
    identity = await ann.identity()
    answers = await ann.calls(
        (
            "EmailSubmission/set",
            {
                "accountId": ann.account_id,
                "create": {
                    "g": {"identityId": identity, "emailId": good["id"]},
                    "b": {"identityId": identity, "emailId": bad["id"]},
                },
                "onSuccessDestroyEmail": ["#g", "#b"],
            },
        )
    )
    assert answers[1][1]["destroyed"] == [good["id"]]
    assert await ann.email_ids("drafts") == [bad["id"]]
    sent = answers[0][1]["created"]["g"]["id"]
    answer = await ann.call("EmailSubmission/set", update={sent: {"undoStatus": "canceled"}}, destroy=[sent])
    assert answer["notUpdated"][sent]["type"] == "cannotUnsend"
    assert answer["destroyed"] == [sent]
    assert (await ann.call("EmailSubmission/get", ids=[sent]))["notFound"] == [sent]


async def recorded(world: World) -> tuple[int, int, int, int]:
    """How many messages were sent, deliveries made, submissions recorded, and told to the change log."""
    async with world.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM message WHERE source = 'webmail' AND direction = 'outbound'),"
            " (SELECT count(*) FROM delivery), (SELECT count(*) FROM submission),"
            " (SELECT count(*) FROM change WHERE kind = 'submitted')"
        )
    return tuple(row)


async def test_what_cannot_be_recorded_is_not_sent(world: World, ann: Person) -> None:
    created = await ann.draft()
    async with world.database.connection() as connection:
        await connection.execute("ALTER TABLE submission RENAME TO submission_gone")
    identity = await ann.identity()
    wanted = {"identityId": identity, "emailId": created["id"]}
    assert await ann.refused("EmailSubmission/set", create={"s": wanted}) == "serverFail"
    async with world.database.connection() as connection:
        await connection.execute("ALTER TABLE submission_gone RENAME TO submission")
    assert await recorded(world) == (0, 0, 0, 0)
    assert (await send(ann, created["id"]))["created"]
    assert await recorded(world) == (1, 1, 1, 1)


async def test_nothing_is_sent_where_the_primary_has_become_the_master(world: World, ann: Person, monkeypatch) -> None:
    created = await ann.draft()

    async def mastered(self: Any, connection: Any) -> None:
        raise ReadOnly("the mail server is the master of this mailbox now")

    monkeypatch.setattr("everpost.serve.web.services.MasterGate.check", mastered)
    assert await refusal(ann, created["id"]) == "forbidden"
    assert await recorded(world) == (0, 0, 0, 0)


async def test_two_who_write_to_each_other_at_the_same_time(world: World, ann: Person) -> None:
    """Each transaction locks both mailboxes: none waits for the other in a circle."""
    bob = await world.person("bob@example.org")
    to_bob = [await ann.draft(to=[{"email": "bob@example.org"}]) for _ in range(4)]
    to_ann = [await bob.draft(to=[{"email": "ann@example.org"}]) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(send(ann, created["id"])) for created in to_bob]
        sent += [group.create_task(send(bob, created["id"])) for created in to_ann]
    assert all(task.result()["created"] for task in sent)
    assert (len(await ann.email_ids()), len(await bob.email_ids())) == (4, 4)
