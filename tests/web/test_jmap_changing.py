"""Email/set, Email/import, Mailbox/set: what is changed stands, what is refused changes nothing."""

from __future__ import annotations

from typing import Any

from web_tools.world import FOLDER, Person, World, message

INBOX, TRASH, ARCHIVE, DRAFTS = (FOLDER[name] for name in ("inbox", "trash", "archive", "drafts"))


async def test_keywords_and_moves(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message())
    (email_id,) = await ann.email_ids()
    answer = await ann.call(
        "Email/set",
        update={email_id: {"keywords/$seen": True, "keywords/Work": True, f"mailboxIds/{ARCHIVE}": True}},
    )
    assert answer["updated"] == {email_id: None}
    assert int(answer["newState"]) == int(answer["oldState"]) + 2
    email = await ann.email(email_id, properties=["keywords", "mailboxIds"])
    assert email["keywords"] == {"$seen": True, "work": True}
    assert email["mailboxIds"] == {INBOX: True, ARCHIVE: True}
    await ann.call(
        "Email/set", update={email_id: {"keywords": {"$flagged": True}, "mailboxIds": {TRASH: True}}}
    )  # fmt: skip
    email = await ann.email(email_id, properties=["keywords", "mailboxIds"])
    assert (email["keywords"], email["mailboxIds"]) == ({"$flagged": True}, {TRASH: True})
    assert await ann.email_ids("inbox") == await ann.email_ids("archive") == []
    assert await ann.email_ids("trash") == [email_id]
    async with world.database.connection() as connection:
        rows = await connection.fetch("SELECT kind, detail, actor FROM change ORDER BY modseq")
    assert [row["kind"] for row in rows] == ["received", "keywords", "moved", "keywords", "moved"]
    assert rows[1]["detail"]["keywords"] == {"before": [], "after": ["$seen", "work"]}
    assert rows[4]["detail"]["folders"] == {"before": [1, 4], "after": [6]}
    assert rows[4]["detail"]["message_id"].endswith("@elsewhere.example")
    assert rows[4]["actor"] == "ann@example.org"


REFUSED_UPDATES: list[Any] = [
    ({"mailboxIds": {}}, "invalidProperties"),
    ({f"mailboxIds/{INBOX}": None}, "invalidProperties"),
    ({"mailboxIds/ZZZ": True}, "invalidProperties"),
    ({"mailboxIds/#nobody": True}, "invalidProperties"),
    ({"keywords/a b": True}, "invalidProperties"),
    ({"keywords/(": True}, "invalidProperties"),
    ({"keywords/$seen": False}, "invalidPatch"),
    ({"keywords": {"x": True}, "keywords/y": True}, "invalidPatch"),
    ({"subject": "Other"}, "invalidProperties"),
    ({"keywords": {f"k{n}": True for n in range(101)}}, "invalidProperties"),
]


async def test_refused_updates_change_nothing(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message())
    (email_id,) = await ann.email_ids()
    for patch, kind in REFUSED_UPDATES:
        before = await ann.email(email_id)
        answer = await ann.call("Email/set", update={email_id: patch, "NONE": {"keywords/$seen": True}})
        assert answer["notUpdated"][email_id]["type"] == kind, patch
        assert answer["notUpdated"]["NONE"]["type"] == "notFound"
        assert answer["newState"] == answer["oldState"]
        assert await ann.email(email_id) == before


async def test_destroy_and_if_in_state(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message())
    (email_id,) = await ann.email_ids()
    assert await ann.refused("Email/set", ifInState="99", destroy=[email_id]) == "stateMismatch"
    state = (await ann.call("Email/get", ids=[]))["state"]
    answer = await ann.call("Email/set", ifInState=state, destroy=[email_id, email_id, "NONE"])
    assert answer["destroyed"] == [email_id]
    assert answer["notDestroyed"]["NONE"]["type"] == "notFound"
    assert (await ann.call("Email/get", ids=[email_id]))["notFound"] == [email_id]
    changes = await ann.call("Email/changes", sinceState=state)
    assert changes["destroyed"] == [email_id]
    assert (await ann.download("M" + email_id)).status_code == 404


async def test_draft_with_everything(world: World, ann: Person) -> None:
    blob_id = await ann.upload(b"%PDF-1.4 \r\n\0 binary", "application/pdf")
    created = await ann.draft(
        subject="Grüße an alle",
        to=[{"name": "Müller, Jörg", "email": "joerg@example.net"}, {"email": "b@example.net"}],
        bcc=[{"name": None, "email": "secret@example.net"}],
        inReplyTo=["a@example.net"],
        references=["z@example.net", "a@example.net"],
        textBody=[{"partId": "t"}],
        htmlBody=[{"partId": "h"}],
        bodyValues={"t": {"value": "Größe\n.\nFrom here\r\n" + "long " * 300}, "h": {"value": "<p>Größe</p>"}},
        attachments=[{"blobId": blob_id, "type": "application/pdf", "name": "Übersicht.pdf"}],
        **{"header:X-Thing:asText": "Ünsinn", "header:Keywords": " one, two"},
    )
    email = await ann.email(
        created["id"],
        properties=[
            "subject", "to", "bcc", "inReplyTo", "references", "textBody", "htmlBody", "attachments", "bodyValues",
            "keywords", "header:X-Thing:asText", "header:Keywords", "messageId", "sentAt", "blobId", "threadId", "size",
        ],
        fetchAllBodyValues=True,
    )  # fmt: skip
    assert email["subject"] == "Grüße an alle"
    assert email["to"] == [
        {"name": "Müller, Jörg", "email": "joerg@example.net"}, {"name": None, "email": "b@example.net"}
    ]  # fmt: skip
    assert email["bcc"] == [{"name": None, "email": "secret@example.net"}]
    assert email["references"] == ["z@example.net", "a@example.net"]
    assert email["header:X-Thing:asText"] == "Ünsinn"
    assert email["header:Keywords"] == " one, two"
    assert email["messageId"][0].endswith("@example.org")
    assert email["sentAt"]
    values = email["bodyValues"]
    assert values[email["textBody"][0]["partId"]]["value"] == "Größe\n.\nFrom here\n" + "long " * 300
    assert values[email["htmlBody"][0]["partId"]]["value"] == "<p>Größe</p>"
    (attachment,) = email["attachments"]
    assert attachment["name"] == "Übersicht.pdf"
    assert attachment["size"] == 19
    assert (await ann.download(attachment["blobId"])).content == b"%PDF-1.4 \r\n\0 binary"
    assert created == {key: email[key] for key in ("id", "blobId", "threadId", "size")}
    octets = (await ann.download(created["blobId"])).content
    assert octets.replace(b"\r\n", b"").count(b"\r") == octets.replace(b"\r\n", b"").count(b"\n") == 0
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets.isascii()


REFUSED_DRAFTS: list[Any] = [
    ({"mailboxIds": {}}, "invalidProperties", "mailboxIds"),
    ({"mailboxIds": {"NONE": True}}, "invalidProperties", "mailboxIds"),
    ({"subject": 5}, "invalidProperties", "subject"),
    ({"subject": "a", "header:Subject:asText": "b"}, "invalidProperties", "subject"),
    ({"headers": []}, "invalidProperties", "headers"),
    ({"header:Content-Type": " text/plain"}, "invalidProperties", "header:Content-Type"),
    ({"header:X-A": " a\r\nBcc: evil@example.net"}, "invalidProperties", "header:X-A"),
    ({"from": [{"email": "a@example.org>\r\nBcc: <evil@example.net"}]}, "invalidProperties", "from"),
    ({"to": [{"email": "a@example.org>, <b@example.org"}]}, "invalidProperties", "to"),
    ({"messageId": ["a>\r\nX: <b"]}, "invalidProperties", "messageId"),
    ({"sentAt": "yesterday"}, "invalidProperties", "sentAt"),
    ({"textBody": [{"partId": "nope"}]}, "invalidProperties", "textBody/0/partId"),
    ({"textBody": [{"partId": "1", "type": "text/html"}]}, "invalidProperties", "textBody/0/type"),
    ({"textBody": [{"partId": "1", "header:X-Y": "a\r\nb"}]}, "invalidProperties", "textBody/0/header:X-Y"),
    ({"attachments": [{"blobId": "U123", "type": "a/b"}]}, "blobNotFound", None),
    ({"attachments": [{"blobId": "x", "type": "a/b\r\nX: y"}]}, "invalidProperties", "attachments/0/type"),
    ({"threadId": "1"}, "invalidProperties", "threadId"),
]


async def test_refused_drafts(ann: Person) -> None:
    for properties, kind, about in REFUSED_DRAFTS:
        email = {
            "mailboxIds": {DRAFTS: True}, "subject": "x", "textBody": [{"partId": "1"}],
            "bodyValues": {"1": {"value": "x"}},
        } | properties  # fmt: skip
        answer = await ann.call("Email/set", create={"d": email})
        error = answer["notCreated"]["d"]
        assert error["type"] == kind, properties
        assert about is None or about in error["properties"]
        assert answer["newState"] == answer["oldState"]
        assert await ann.email_ids("drafts") == []


async def test_body_structure(ann: Person) -> None:
    created = await ann.draft(
        textBody=None,
        bodyStructure={
            "type": "multipart/related",
            "subParts": [
                {"partId": "1", "type": "text/html"},
                {"blobId": await ann.upload(b"png"), "type": "image/png", "cid": "pic", "disposition": "inline"},
                {"blobId": await ann.upload(message("Inner")), "type": "message/rfc822"},
            ],
        },
    )
    email = await ann.email(created["id"], properties=["bodyStructure"])
    parts = email["bodyStructure"]["subParts"]
    assert [part["type"] for part in parts] == ["text/html", "image/png", "message/rfc822"]
    assert parts[1]["cid"] == "pic"
    assert (await ann.download(parts[1]["blobId"])).content == b"png"
    assert b"Subject: Inner" in (await ann.download(parts[2]["blobId"])).content


async def test_import_normalises_line_ends(ann: Person) -> None:
    blob_id = await ann.upload(b"Subject: Old\nFrom: a@example.net\n\nline\rline\n")
    nonsense = await ann.upload(b"\x00\x01\x02")
    answer = await ann.call(
        "Email/import",
        emails={
            "a": {
                "blobId": blob_id, "mailboxIds": {INBOX: True}, "keywords": {"$seen": True},
                "receivedAt": "2020-02-02T02:02:02Z",
            },
            "b": {"blobId": nonsense, "mailboxIds": {INBOX: True}},
            "c": {"blobId": "UZZZ", "mailboxIds": {INBOX: True}},
            "d": {"blobId": blob_id, "mailboxIds": {"ZZZ": True}},
        },
    )  # fmt: skip
    assert {name: error["type"] for name, error in answer["notCreated"].items()} == {
        "b": "invalidEmail", "c": "blobNotFound", "d": "invalidProperties",
    }  # fmt: skip
    email = await ann.email(answer["created"]["a"]["id"])
    assert (email["subject"], email["receivedAt"]) == ("Old", "2020-02-02T02:02:02Z")
    content = (await ann.download(email["blobId"])).content
    assert content == b"Subject: Old\r\nFrom: a@example.net\r\n\r\nline\r\nline\r\n"


async def test_folders(world: World, ann: Person) -> None:
    answer = await ann.call(
        "Mailbox/set",
        create={
            "child": {"name": "Kind", "parentId": "#top"}, "top": {"name": "Projekte ü"},
            "x": {"name": "Lost", "parentId": "#missing"}, "y": {"name": " "}, "z": {"name": "Inbox"},
            "l1": {"name": "L", "parentId": "#l2"}, "l2": {"name": "L", "parentId": "#l1"},
        },
    )  # fmt: skip
    assert set(answer["created"]) == {"child", "top"}
    kinds = {name: error["type"] for name, error in answer["notCreated"].items()}
    assert kinds == dict.fromkeys(("x", "y", "l1", "l2"), "invalidProperties") | {"z": "alreadyExists"}
    top, child = answer["created"]["top"]["id"], answer["created"]["child"]["id"]
    await world.deliver("ann@example.org", message())
    (email_id,) = await ann.email_ids()
    await ann.call("Email/set", update={email_id: {"mailboxIds": {child: True}}})

    async def refuse(**arguments: object) -> str:
        answer = await ann.call("Mailbox/set", **arguments)
        (error,) = ((answer["notUpdated"] or {}) | (answer["notDestroyed"] or {})).values()
        return error["type"]

    assert await refuse(update={top: {"parentId": child}}) == "invalidProperties"
    assert await refuse(update={INBOX: {"name": "Other"}}) == "forbidden"
    assert await refuse(update={top: {"totalEmails": 7}}) == "invalidProperties"
    assert await refuse(destroy=[INBOX]) == "forbidden"
    assert await refuse(destroy=[top]) == "mailboxHasChild"
    assert await refuse(destroy=[child]) == "mailboxHasEmail"
    assert (await ann.call("Email/get", ids=[email_id]))["list"]
    await ann.call("Mailbox/set", update={child: {"name": "Anders", "parentId": None, "sortOrder": 3}})
    (row,) = (await ann.call("Mailbox/get", ids=[child]))["list"]
    assert (row["name"], row["parentId"], row["sortOrder"], row["totalEmails"]) == ("Anders", None, 3, 1)
    assert (await ann.call("Mailbox/query", filter={"name": "anders"}))["ids"] == [child]
    answer = await ann.call("Mailbox/set", destroy=[top, child], onDestroyRemoveEmails=True)
    assert set(answer["destroyed"]) == {top, child}
    assert (await ann.call("Email/get", ids=[email_id]))["notFound"] == [email_id]
