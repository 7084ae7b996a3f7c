"""RFC 8621 §4.7–§4.9, §6, §7, §8; RFC 8620 §6.3; RFC 9404; RFC 9425: the methods beside query and changes."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from everpost.serve.web.jmap.later import DelayedSender
from everpost.serve.web.jmap.sending import SendingParts
from web_tools.world import FOLDER, Person, World, message

INNER = message("Inner", body="inner text\r\n", From="Inner <inner@example.net>")
OUTER = (
    b"From: outer@example.net\r\nTo: ann@example.org\r\nSubject: Outer\r\nMessage-ID: <outer@x>\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nsee below\r\n'
    b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + INNER + b"\r\n--b--\r\n"
)

# ---------------------------------------------------------------------- Email/parse


async def test_rfc8621_4_9_email_parse(ann: Person) -> None:
    blob_id = await ann.upload(OUTER)
    bad = await ann.upload(b"this is no message at all")
    answer = await ann.call("Email/parse", blobIds=[blob_id, bad, "Unothing"], fetchTextBodyValues=True)
    assert (answer["notParsable"], answer["notFound"]) == ([bad], ["Unothing"])
    email = answer["parsed"][blob_id]
    assert email["subject"] == "Outer"
    assert "id" not in email
    assert "mailboxIds" not in email
    assert email["bodyValues"][email["textBody"][0]["partId"]]["value"] == "see below"
    (attached,) = email["attachments"]
    assert attached["type"] == "message/rfc822"
    assert (await ann.download(attached["blobId"])).content.strip() == INNER.strip()
    inner = await ann.call(
        "Email/parse", blobIds=[attached["blobId"]], properties=["subject", "from", "textBody", "id", "blobId",
        "threadId", "mailboxIds", "keywords", "receivedAt", "header:From:asAddresses"],
    )  # fmt: skip
    found = inner["parsed"][attached["blobId"]]
    assert found["subject"] == "Inner"
    assert found["from"] == [{"name": "Inner", "email": "inner@example.net"}] == found["header:From:asAddresses"]
    assert found["blobId"] == attached["blobId"]
    assert [found[name] for name in ("id", "threadId", "mailboxIds", "keywords", "receivedAt")] == [None] * 5
    (body,) = found["textBody"]
    assert (await ann.download(body["blobId"])).content.strip() == b"inner text"
    assert await ann.refused("Email/parse", blobIds=[blob_id], properties=["wish"]) == "invalidArguments"


async def test_rfc8621_4_9_parse_a_message_inside_a_stored_message(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", OUTER)
    (email_id,) = await ann.email_ids()
    (attached,) = (await ann.email(email_id))["attachments"]
    answer = await ann.call("Email/parse", blobIds=[attached["blobId"]], properties=["subject", "textBody"])
    inner = answer["parsed"][attached["blobId"]]
    assert inner["subject"] == "Inner"
    assert (await ann.download(inner["textBody"][0]["blobId"])).content.strip() == b"inner text"
    for wrong in ("-99", "-0", "-1-99", "-1-0-0-0-0-0", "-01", "-x"):
        assert (await ann.download("M" + email_id + wrong)).status_code == 404, wrong


# ---------------------------------------------------------------------- copies


async def test_rfc8620_5_4_6_3_copies_need_two_accounts(ann: Person) -> None:
    here = ann.account_id
    assert await ann.refused("Blob/copy", fromAccountId=here, blobIds=["U1"]) == "invalidArguments"
    assert await ann.refused("Blob/copy", fromAccountId="A1", blobIds=["U1"]) == "fromAccountNotFound"
    assert await ann.refused("Email/copy", fromAccountId=here, create={}) == "invalidArguments"
    assert await ann.refused("Email/copy", fromAccountId="A1", create={}) == "fromAccountNotFound"


async def test_rfc8620_5_3_a_second_folder_of_that_name_already_exists(ann: Person) -> None:
    made = await ann.call("Mailbox/set", create={"a": {"name": "Twice"}, "b": {"name": "Twice"}})
    assert made["notCreated"]["b"]["type"] == "alreadyExists"
    assert made["notCreated"]["b"]["existingId"] == made["created"]["a"]["id"]


# ---------------------------------------------------------------------- RFC 9404, RFC 9425


async def test_rfc9404_blob_upload_get_lookup(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("One"))
    (email_id,) = await ann.email_ids()
    email = await ann.email(email_id)
    answer = await ann.call(
        "Blob/upload",
        create={
            "a": {"data": [{"data:asText": "Grüße "}, {"data:asBase64": "/w=="}], "type": "text/plain"},
            "b": {"data": [{"blobId": "#a", "offset": 0, "length": 4}, {"data:asText": "!"}]},
            "c": {"data": [{"blobId": "Unothing"}]},
            "d": {"data": [{"data:asBase64": "%"}]},
            "e": {"data": [{"blobId": "#a", "offset": 7, "length": 10}]},
        },
    )
    a, b = answer["created"]["a"], answer["created"]["b"]
    assert (a["size"], a["type"], b["size"]) == (9, "text/plain", 5)
    assert {name: error["type"] for name, error in answer["notCreated"].items()} == {
        "c": "blobNotFound", "d": "invalidProperties", "e": "invalidProperties",
    }  # fmt: skip
    got = await ann.call("Blob/get", ids=[b["id"], "Unothing"], properties=["data", "size", "digest:sha-256"])
    assert got["notFound"] == ["Unothing"]
    (row,) = got["list"]
    assert row["data:asText"] == "Grü!"
    assert row["digest:sha-256"] == base64.b64encode(hashlib.sha256("Grü!".encode()).digest()).decode()
    (row,) = (await ann.call("Blob/get", ids=[a["id"]], properties=["data"]))["list"]
    assert (row["isEncodingProblem"], row["data:asBase64"]) == (True, "R3LDvMOfZSD/")
    (row,) = (await ann.call("Blob/get", ids=[b["id"]], offset=3, length=20, properties=["data:asBase64"]))["list"]
    assert row["isTruncated"] is True
    looked = await ann.call("Blob/lookup", ids=[email["blobId"], a["id"], "x"], typeNames=["Email", "Mailbox"])
    assert looked["list"][0]["matchedIds"] == {"Email": [email_id], "Mailbox": [FOLDER["inbox"]]}
    assert looked["list"][1]["matchedIds"] == {"Email": [], "Mailbox": []}
    assert looked["notFound"] == ["x"]
    assert await ann.refused("Blob/lookup", ids=[], typeNames=["Wish"]) == "unknownDataType"


async def test_rfc9425_quota(ann: Person) -> None:
    await ann.upload(b"x" * 1000)
    (quota,) = (await ann.call("Quota/get"))["list"]
    assert (quota["used"], quota["scope"], quota["resourceType"]) == (1000, "account", "octets")
    assert (await ann.call("Quota/query", filter={"scope": "account"}))["ids"] == [quota["id"]]
    assert (await ann.call("Quota/query", filter={"type": "Wish"}))["ids"] == []


# ---------------------------------------------------------------------- Identity


async def test_rfc8621_6_identities(ann: Person) -> None:
    answer = await ann.call("Identity/get")
    state, (first, second) = answer["state"], answer["list"]
    assert [first["email"], second["email"]] == ["ann@example.org", "ann.alias@example.org"]
    assert first["mayDelete"] is False
    signed = {
        "name": "Ann at Work", "textSignature": "-- \nAnn", "htmlSignature": "<b>Ann</b>",
        "replyTo": [{"name": "Desk", "email": "desk@example.org"}], "bcc": [{"email": "copy@example.org"}],
    }  # fmt: skip
    changed = await ann.call(
        "Identity/set",
        update={first["id"]: signed, second["id"]: {"email": "other@example.org"}, "Inothing": {"name": "x"}},
        create={
            "own": {"name": "Ann too", "email": "ann+shop@example.org"},
            "bad": {"name": "Boss", "email": "boss@example.org"},
        },
        destroy=[second["id"]],
    )
    assert changed["updated"] == {first["id"]: None}
    assert changed["notUpdated"][second["id"]]["type"] == "invalidProperties"
    assert changed["notUpdated"]["Inothing"]["type"] == "notFound"
    assert changed["notCreated"]["bad"]["type"] == "forbiddenFrom"
    assert changed["notDestroyed"][second["id"]]["type"] == "forbidden"
    own = changed["created"]["own"]
    assert own["mayDelete"] is True
    got = (await ann.call("Identity/get", ids=[first["id"], own["id"]]))["list"]
    assert {name: got[0][name] for name in signed} == signed | {"bcc": [{"name": None, "email": "copy@example.org"}]}
    assert got[1]["email"] == "ann+shop@example.org"
    answer = await ann.call("Identity/changes", sinceState=state)
    assert (answer["created"], answer["updated"], answer["destroyed"]) == ([own["id"]], [first["id"]], [])
    gone = await ann.call("Identity/set", destroy=[own["id"]], ifInState=answer["newState"])
    assert gone["destroyed"] == [own["id"]]
    assert await ann.refused("Identity/set", update={}, ifInState=state) == "stateMismatch"
    answer = await ann.call("Identity/changes", sinceState=state)
    assert (answer["created"], answer["destroyed"]) == ([], [])
    assert await ann.refused("Identity/changes", sinceState="0.nonsense") == "cannotCalculateChanges"


async def test_rfc8621_6_bad_identities(ann: Person) -> None:
    identity = await ann.identity()
    for patch in ({"name": 5}, {"replyTo": [{"email": "a\r\nb@x"}]},
                  {"bcc": [{"name": "a\0b", "email": "a@b.example"}]}, {"textSignature": None}, {"wish": 1},
                  {"bcc": "x"}, {"htmlSignature": "x" * 70_000}):  # fmt: skip
        answer = await ann.call("Identity/set", update={identity: patch})
        assert answer["notUpdated"][identity]["type"] == "invalidProperties", patch


# ---------------------------------------------------------------------- EmailSubmission, now and later


def hold(seconds: int, *recipients: str) -> dict[str, Any]:
    return {
        "mailFrom": {"email": "ann@example.org", "parameters": {"HOLDFOR": str(seconds)}},
        "rcptTo": [{"email": recipient} for recipient in recipients],
    }


async def later(world: World) -> int:
    """The role, an hour from now."""
    async with world.database.connection() as connection:
        await connection.execute("UPDATE submission SET send_at = send_at - interval '1 hour'")
    parts = SendingParts(world.database, world.standby, world.directory, world.intake, world.spool)
    return await DelayedSender(parts).run_once()


async def submit(person: Person, email_id: str, envelope: dict[str, Any] | None = None) -> dict[str, Any]:
    item = {"identityId": await person.identity(), "emailId": email_id, "envelope": envelope}
    answer = await person.call("EmailSubmission/set", create={"s": item})
    assert not answer["notCreated"], answer
    return answer["created"]["s"]


async def test_rfc8621_7_5_send_later(world: World, ann: Person) -> None:
    state = (await ann.call("EmailSubmission/get"))["state"]
    bob = await world.person("bob@example.org")
    draft = await ann.draft(to=[{"email": "bob@example.org"}])
    made = await submit(ann, draft["id"], hold(600, "bob@example.org"))
    assert made["undoStatus"] == "pending"
    sent_at = datetime.fromisoformat(made["sendAt"])
    assert timedelta(seconds=590) < sent_at - datetime.now(UTC) < timedelta(seconds=610)
    parts = SendingParts(world.database, world.standby, world.directory, world.intake, world.spool)
    assert await DelayedSender(parts).run_once() == 0
    assert await bob.email_ids() == []
    (row,) = (await ann.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert (row["undoStatus"], row["deliveryStatus"]) == ("pending", None)
    assert row["envelope"]["rcptTo"] == [{"email": "bob@example.org", "parameters": None}]
    answer = await ann.call("EmailSubmission/changes", sinceState=state)
    assert (answer["created"], answer["updated"]) == ([made["id"]], [])
    await ann.call("Email/set", destroy=[draft["id"]])  # what was told to be sent is sent
    assert await later(world) == 1
    assert await later(world) == 0
    assert len(await bob.email_ids()) == 1
    (row,) = (await ann.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert row["undoStatus"] == "final"
    assert row["deliveryStatus"]["bob@example.org"]["delivered"] == "yes"
    answer = await ann.call("EmailSubmission/changes", sinceState=answer["newState"])
    assert (answer["created"], answer["updated"]) == ([], [made["id"]])


async def test_rfc8621_7_5_undo(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    draft = await ann.draft(to=[{"email": "bob@example.org"}])
    made = await submit(ann, draft["id"], hold(600, "bob@example.org"))
    answers = await ann.calls(
        ("EmailSubmission/set", {
            "accountId": ann.account_id, "update": {made["id"]: {"undoStatus": "canceled"}},
            "onSuccessUpdateEmail": {made["id"]: {"keywords/$flagged": True}}, "destroy": [],
        })
    )  # fmt: skip
    assert answers[0][1]["updated"] == {made["id"]: None}
    assert answers[1][0] == "Email/set"
    assert answers[1][1]["updated"] == {draft["id"]: None}
    assert await later(world) == 0
    assert await bob.email_ids() == []
    (row,) = (await ann.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert row["undoStatus"] == "canceled"
    again = await ann.call("EmailSubmission/set", update={made["id"]: {"undoStatus": "canceled"}})
    assert again["notUpdated"][made["id"]]["type"] == "cannotUnsend"


async def test_rfc8621_7_5_what_cannot_be_sent_later_says_so(world: World, ann: Person) -> None:
    draft = await ann.draft()
    made = await submit(ann, draft["id"], hold(600, "you@example.net"))
    async with world.database.connection() as connection:
        await connection.execute("UPDATE address SET key = 'gone@example.org', written = 'gone@example.org'"
                                 " WHERE key = 'ann@example.org'")  # fmt: skip
    assert await later(world) == 0
    (row,) = (await ann.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert row["undoStatus"] == "final"
    status = row["deliveryStatus"]["you@example.net"]
    assert status["delivered"] == "no"
    assert status["smtpReply"].startswith("550 ")


async def test_rfc8621_7_the_envelope_is_kept_as_far_as_it_means_something(ann: Person) -> None:
    envelope = hold(900, "you@example.net") | {"wish": "\0"}
    envelope["rcptTo"][0]["wish"] = {"\0": 1}
    made = await submit(ann, (await ann.draft())["id"], envelope)
    (row,) = (await ann.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert row["envelope"] == {
        "mailFrom": {"email": "ann@example.org", "parameters": {"HOLDFOR": "900"}},
        "rcptTo": [{"email": "you@example.net", "parameters": None}],
    }


async def test_rfc4865_bounds_of_the_hold(ann: Person) -> None:
    draft = await ann.draft()
    identity = await ann.identity()
    for parameters in ({"HOLDFOR": "x"}, {"HOLDFOR": "999999999"}, {"HOLDUNTIL": "soon"},
                       {"HOLDUNTIL": "2999-01-01T00:00:00Z"}):  # fmt: skip
        envelope = hold(1, "you@example.net") | {"mailFrom": {"email": "ann@example.org", "parameters": parameters}}
        item = {"identityId": identity, "emailId": draft["id"], "envelope": envelope}
        answer = await ann.call("EmailSubmission/set", create={"s": item})
        assert answer["notCreated"]["s"]["type"] == "invalidProperties", parameters
    session = (await ann.http.get("/jmap/session")).json()
    submission = session["accounts"][ann.account_id]["accountCapabilities"]["urn:ietf:params:jmap:submission"]
    assert submission["maxDelayedSend"] > 86_400
    assert "FUTURERELEASE" in submission["submissionExtensions"]


async def test_rfc8621_7_3_submission_query(ann: Person) -> None:
    one = await submit(ann, (await ann.draft())["id"])
    state = (await ann.call("EmailSubmission/query"))["queryState"]
    other = await ann.draft(subject="Other")
    two = await submit(ann, other["id"], hold(900, "you@example.net"))
    by_date = [{"property": "sentAt", "isAscending": True}]
    answer = await ann.call("EmailSubmission/query", sort=by_date, calculateTotal=True)
    assert (answer["ids"], answer["total"]) == ([one["id"], two["id"]], 2)
    soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    for wanted, expected in [
        ({"undoStatus": "pending"}, [two]), ({"undoStatus": "final"}, [one]), ({"emailIds": [other["id"]]}, [two]),
        ({"threadIds": [other["threadId"]]}, [two]), ({"identityIds": ["x"]}, []),
        ({"after": soon}, [two]), ({"before": soon}, [one]),
        ({"operator": "NOT", "conditions": [{"undoStatus": "final"}]}, [two]),
    ]:  # fmt: skip
        found = await ann.call("EmailSubmission/query", filter=wanted)
        assert found["ids"] == [item["id"] for item in expected], wanted
    assert await ann.refused("EmailSubmission/query", filter={"wish": 1}) == "unsupportedFilter"
    changes = await ann.call("EmailSubmission/queryChanges", sinceQueryState=state, sort=by_date)
    assert changes["added"] == [{"id": two["id"], "index": 1}]
    assert changes["removed"] == []


# ---------------------------------------------------------------------- VacationResponse


async def test_rfc8621_8_vacation_response(ann: Person) -> None:
    (row,) = (await ann.call("VacationResponse/get"))["list"]
    assert row == {
        "id": "singleton", "isEnabled": False, "fromDate": None, "toDate": None, "subject": None, "textBody": None,
        "htmlBody": None,
    }  # fmt: skip
    wanted = {
        "isEnabled": True, "fromDate": "2026-03-01T00:00:00Z", "toDate": "2026-03-15T00:00:00Z", "subject": "Away",
        "textBody": "Back soon.", "htmlBody": "<p>Back soon.</p>",
    }  # fmt: skip
    answer = await ann.call(
        "VacationResponse/set", update={"singleton": wanted, "x": {}}, create={"c": {}}, destroy=["singleton", "y"]
    )
    assert answer["updated"] == {"singleton": None}
    assert answer["notUpdated"]["x"]["type"] == "notFound"
    assert answer["notCreated"]["c"]["type"] == "singleton"
    assert answer["notDestroyed"]["singleton"]["type"] == "singleton"
    got = await ann.call("VacationResponse/get", ids=["singleton", "x"])
    assert (got["list"], got["notFound"]) == ([wanted | {"id": "singleton"}], ["x"])
    for patch in ({"isEnabled": None}, {"fromDate": "never"}, {"wish": 1}, {"subject": 5}):
        refused = await ann.call("VacationResponse/set", update={"singleton": patch})
        assert refused["notUpdated"]["singleton"]["type"] == "invalidProperties", patch
