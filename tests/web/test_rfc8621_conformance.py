"""RFC 8620 and RFC 8621, section by section: what a strict reader would try."""

from __future__ import annotations

from typing import Any

import pytest

from web_tools.world import FOLDER, Person, World, message

INBOX, DRAFTS, SENT = (FOLDER[name] for name in ("inbox", "drafts", "sent"))
TEXT = {"textBody": [{"partId": "1"}], "bodyValues": {"1": {"value": "ok"}}}


async def refused(ann: Person, **properties: Any) -> dict[str, Any]:
    """The error of one Email that cannot be created."""
    answer = await ann.call("Email/set", create={"new": {"mailboxIds": {DRAFTS: True}} | properties})
    assert answer["created"] is None
    return answer["notCreated"]["new"]


async def created(ann: Person, *wanted: str, **properties: Any) -> dict[str, Any]:
    """Properties of one Email that was created."""
    answer = await ann.call("Email/set", create={"new": {"mailboxIds": {DRAFTS: True}} | properties})
    assert answer["notCreated"] is None, answer
    assert set(answer["created"]["new"]) == {"id", "blobId", "threadId", "size"}
    return await ann.email(answer["created"]["new"]["id"], properties=list(wanted), fetchAllBodyValues=True)


# ---------------------------------------------------------------------- RFC 8620 §5


async def test_rfc8620_5_3_what_names_nothing_is_null(ann: Person) -> None:
    nothing = dict.fromkeys(("created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed"))
    for kind in ("Email", "Mailbox", "Identity", "EmailSubmission", "VacationResponse"):
        answer = await ann.call(f"{kind}/set")
        assert {name: answer[name] for name in nothing} == nothing, kind
        assert answer["oldState"] == answer["newState"]
    answer = await ann.call("Mailbox/set", create={"f": {"name": "New"}})
    assert answer["created"]["f"]["id"]
    assert all(answer[name] is None for name in nothing if name != "created")
    changes = await ann.call("Mailbox/changes", sinceState=answer["newState"])
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [], [])


async def test_rfc8620_5_1_ids_are_answered_once_and_in_no_order_we_choose(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message())
    (email_id,) = await ann.email_ids()
    for kind, known in (("Email", email_id), ("Mailbox", INBOX)):
        answer = await ann.call(f"{kind}/get", ids=[known, "nonexistent-xyz", known], properties=["id"])
        assert answer["list"] == [{"id": known}]
        assert answer["notFound"] == ["nonexistent-xyz"]
        empty = await ann.call(f"{kind}/get", ids=[])
        assert (empty["list"], empty["notFound"]) == ([], [])
        assert await ann.refused(f"{kind}/get", ids=[known], properties=["nonsense"]) == "invalidArguments"


async def test_rfc8620_5_2_states_that_never_were(ann: Person) -> None:
    for kind in ("Email", "Mailbox", "Thread", "Identity", "EmailSubmission"):
        for state in ("", "never", "999999", "-1", "01"):
            assert await ann.refused(f"{kind}/changes", sinceState=state) == "cannotCalculateChanges", (kind, state)
        assert await ann.refused(f"{kind}/changes", sinceState="0", maxChanges=0) == "invalidArguments"
        assert await ann.refused(f"{kind}/changes", sinceState="0", maxChanges=-1) == "invalidArguments"
    for kind in ("Email", "Mailbox", "EmailSubmission"):
        assert await ann.refused(f"{kind}/queryChanges", sinceQueryState="never") == "cannotCalculateChanges"


async def test_rfc8620_5_5_positions_and_anchors(world: World, ann: Person) -> None:
    for number in range(6):
        await world.deliver("ann@example.org", message(f"{number}"))
    everything = (await ann.call("Email/query"))["ids"]
    assert (await ann.call("Email/query", position=-2))["ids"] == everything[-2:]
    assert (await ann.call("Email/query", position=-99, limit=2))["ids"] == everything[:2]
    beyond = await ann.call("Email/query", position=99, calculateTotal=True)
    assert (beyond["ids"], beyond["total"]) == ([], 6)
    around = await ann.call("Email/query", anchor=everything[3], anchorOffset=-1, limit=3)
    assert (around["ids"], around["position"]) == (everything[2:5], 2)
    before = await ann.call("Email/query", anchor=everything[1], anchorOffset=-5, limit=2)
    assert (before["ids"], before["position"]) == (everything[:2], 0)
    both = await ann.call("Email/query", anchor=everything[3], position=1, limit=1)
    assert both["ids"] == [everything[3]]  # the anchor goes first
    assert await ann.refused("Email/query", anchor="nonexistent-xyz") == "anchorNotFound"
    assert await ann.refused("Email/query", limit=-1) == "invalidArguments"
    assert (await ann.call("Email/query", limit=0))["ids"] == []


async def test_rfc8620_5_6_a_client_that_asks_for_few_changes_is_told_there_are_too_many(ann: Person) -> None:
    state = (await ann.call("Email/query"))["queryState"]
    for _ in range(3):
        await ann.draft()
    assert await ann.refused("Email/queryChanges", sinceQueryState=state, maxChanges=2) == "tooManyChanges"
    answer = await ann.call("Email/queryChanges", sinceQueryState=state, maxChanges=3, calculateTotal=True)
    assert (len(answer["added"]), answer["removed"], answer["total"]) == (3, [], 3)
    assert [row["index"] for row in answer["added"]] == [0, 1, 2]


async def test_rfc8620_3_7_references_and_their_ways_to_fail(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message())
    account = {"accountId": ann.account_id}
    good = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
    bad = [
        good | {"resultOf": "9"}, good | {"name": "Email/get"}, good | {"path": "/nothing"}, good | {"path": "ids"},
        good | {"path": "/ids/7"}, {"resultOf": "0"}, "ids", None,
    ]  # fmt: skip
    for reference in bad:
        answers = await ann.calls(("Email/query", account), ("Email/get", account | {"#ids": reference}))
        assert answers[1][1]["type"] == "invalidResultReference", reference
    answers = await ann.calls(("Email/query", account), ("Email/get", account | {"#ids": good, "ids": []}))
    assert answers[1][1]["type"] == "invalidArguments"
    # A failed call is nothing to refer to.
    answers = await ann.calls(("Email/query", {}), ("Email/get", account | {"#ids": good}))
    assert [answer["type"] for _, answer in answers] == ["invalidArguments", "invalidResultReference"]


# ---------------------------------------------------------------------- RFC 8621 §2


async def test_rfc8621_2_5_what_the_server_sets_may_be_told_along_where_it_is_right(ann: Person) -> None:
    made = await ann.call("Mailbox/set", create={"f": {"name": "First"}})
    row = (await ann.call("Mailbox/get", ids=[made["created"]["f"]["id"]]))["list"][0]
    del row["id"]
    again = await ann.call("Mailbox/set", create={"f": row | {"name": "Second"}})
    assert again["notCreated"] is None
    wrong = row | {"id": "1", "name": "Third", "totalEmails": 5, "unreadThreads": 1, "role": "inbox"}
    wrong["myRights"] = row["myRights"] | {"mayDelete": False}
    error = (await ann.call("Mailbox/set", create={"f": wrong}))["notCreated"]["f"]
    assert error["type"] == "invalidProperties"
    assert set(error["properties"]) == {"id", "totalEmails", "unreadThreads", "role", "myRights/mayDelete"}


async def test_rfc8621_2_5_names(ann: Person) -> None:
    for name in (None, "", " ", "a\0b", "x" * 256, 5):
        error = (await ann.call("Mailbox/set", create={"f": {"name": name}}))["notCreated"]["f"]
        assert (error["type"], error["properties"]) == ("invalidProperties", ["name"]), name
    error = (await ann.call("Mailbox/set", create={"f": {}}))["notCreated"]["f"]
    assert error["properties"] == ["name"]
    decomposed = await ann.call("Mailbox/set", create={"f": {"name": "Bu\u0308ro"}})
    (row,) = (await ann.call("Mailbox/get", ids=[decomposed["created"]["f"]["id"]]))["list"]
    assert row["name"] == "Büro"  # Net-Unicode (RFC 5198)


# ---------------------------------------------------------------------- RFC 8621 §4.1


async def test_rfc8621_4_1_2_forms_of_header_fields(ann: Person) -> None:
    raw = (
        b'From: "Ann \\"A\\" Example" <a@example.org>, team: b@example.org, "C, D" <c@example.org>;, e@example.org\r\n'
        b"Subject: =?UTF-8?B?4piD?=\r\nList-Subscribe: <https://example.org/a> (web), <mailto:b@example.org>\r\n"
        b"References: <a@x>\r\n <b@x>\r\nDate: Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)\r\n"
        b"X-NFC: =?UTF-8?B?4oSr?=\r\nX-Fold:  aaa\r\n bbb\r\nX-Broken: not a date\r\nX-Two: 1\r\nX-Two: 2\r\n"
        b"Message-ID: no id\r\n\r\nbody\r\n"
    )
    blob = await ann.upload(raw)
    imported = await ann.call("Email/import", emails={"i": {"blobId": blob, "mailboxIds": {INBOX: True}}})
    wanted: dict[str, Any] = {
        "header:FROM:asAddresses": [
            {"name": 'Ann "A" Example', "email": "a@example.org"}, {"name": None, "email": "b@example.org"},
            {"name": "C, D", "email": "c@example.org"}, {"name": None, "email": "e@example.org"},
        ],
        "header:From:asGroupedAddresses": [
            {"name": None, "addresses": [{"name": 'Ann "A" Example', "email": "a@example.org"}]},
            {"name": "team", "addresses": [{"name": None, "email": "b@example.org"},
                                           {"name": "C, D", "email": "c@example.org"}]},
            {"name": None, "addresses": [{"name": None, "email": "e@example.org"}]},
        ],
        "header:Subject": " =?UTF-8?B?4piD?=",
        "header:subject:asText": "☃",
        "header:List-Subscribe:asURLs": ["https://example.org/a", "mailto:b@example.org"],
        "header:References:asMessageIds": ["a@x", "b@x"],
        "header:References:asRaw": " <a@x>\r\n <b@x>",
        "header:Date:asDate": "1969-02-13T23:32:00-03:30",
        "header:X-NFC:asText": "\u00c5",
        "header:X-Fold:asRaw": "  aaa\r\n bbb",
        "header:X-Fold:asText": "aaa bbb",
        "header:X-Broken:asDate": None,
        "header:X-Broken:asURLs": None,
        "header:X-Broken:asMessageIds": None,
        "header:X-Two": " 2",
        "header:X-Two:all": [" 1", " 2"],
        "header:X-Two:asText:all": ["1", "2"],
        "header:X-None": None,
        "header:X-None:all": [],
        "messageId": None,
    }  # fmt: skip
    email = await ann.email(imported["created"]["i"]["id"], properties=list(wanted))
    del email["id"]
    assert email == wanted


async def test_rfc8621_4_1_3_of_several_fields_the_last_counts(ann: Person) -> None:
    raw = b"From: a@x.example\r\nSubject: one\r\nFrom: b@x.example\r\nSubject: two\r\nTo: c@x.example\r\n\r\nbody\r\n"
    imported = await ann.call(
        "Email/import", emails={"i": {"blobId": await ann.upload(raw), "mailboxIds": {INBOX: True}}}
    )
    wanted = ["from", "header:From:asAddresses", "subject", "header:Subject:asText"]
    email = await ann.email(imported["created"]["i"]["id"], properties=wanted)
    assert email["from"] == email["header:From:asAddresses"] == [{"name": None, "email": "b@x.example"}]
    assert email["subject"] == email["header:Subject:asText"] == "two"


@pytest.mark.parametrize(
    "name",
    ["header:", "header", "header:X:asRaw:asText", "header:X:all:asRaw", "header:X:asNothing", "header:A B",
     "header:Subject:asAddresses", "header:From:asText", "header:Date:asURLs", "header:Message-ID:asDate",
     "header:List-Post:asDate"],
)  # fmt: skip
async def test_rfc8621_4_1_3_header_properties_that_are_none(ann: Person, name: str) -> None:
    assert await ann.refused("Email/get", ids=[], properties=[name]) == "invalidArguments"


async def test_rfc8621_4_2_bodies_are_cut_between_characters_and_outside_tags(ann: Person) -> None:
    html = "<p>ü<b>bold</b></p>"
    email = await created(ann, "id", htmlBody=[{"partId": "1", "type": "text/html"}], bodyValues={"1": {"value": html}})
    cut = {}
    for most in range(1, len(html.encode()) + 2):
        got = await ann.email(email["id"], properties=["bodyValues"], fetchHTMLBodyValues=True, maxBodyValueBytes=most)
        ((_, value),) = got["bodyValues"].items()
        cut[most] = value
        assert len(value["value"].encode()) <= most
        assert html.startswith(value["value"])
        assert value["value"].count("<") == value["value"].count(">")
        assert value["isTruncated"] == (value["value"] != html)
    assert cut[4]["value"] == "<p>"  # half an ü is none
    assert cut[len(html.encode())] == {"value": html, "isTruncated": False, "isEncodingProblem": False}


# ---------------------------------------------------------------------- RFC 8621 §4.6


async def test_rfc8621_4_6_the_least_that_makes_an_email(ann: Person) -> None:
    assert (await refused(ann, mailboxIds=None))["properties"] == ["mailboxIds"]
    answer = await ann.call("Email/set", create={"new": {}})
    error = answer["notCreated"]["new"]
    assert (error["type"], error["properties"]) == ("invalidProperties", ["mailboxIds"])
    email = await created(ann, "keywords", "sentAt", "messageId", "subject", "from", "textBody", "preview")
    assert (email["keywords"], email["subject"], email["from"], email["preview"]) == ({}, None, None, "")
    assert len(email["messageId"]) == 1  # the server makes one, and a date (RFC 8621 §4.6)
    assert email["sentAt"].endswith("Z")


async def test_rfc8621_4_6_fields_on_the_body_part(ann: Person) -> None:
    structure = {
        "type": "multipart/mixed", "header:from": "Foo <test@example.org>", "header:X-Foo": "x-bar",
        "header:Message-Id": "<given@example.net>",
        "subParts": [
            {"partId": "a", "type": "text/plain", "cid": "fooz", "language": ["US"], "header:X-Deep": "deep"},
            {"partId": "b"},
        ],
    }  # fmt: skip
    email = await created(
        ann, "from", "messageId", "header:X-Foo", "textBody", "bodyValues", "attachments", "header:X-Deep",
        subject="top", bodyStructure=structure, bodyValues={"a": {"value": "one"}, "b": {"value": "two"}},
    )  # fmt: skip
    assert email["from"] == [{"name": "Foo", "email": "test@example.org"}]
    assert email["messageId"] == ["given@example.net"]
    assert email["header:X-Foo"] == " x-bar"
    assert email["header:X-Deep"] is None
    first, second = email["textBody"]
    assert (first["charset"], first["cid"], first["language"], first["type"]) == (
        "us-ascii", "fooz", ["US"], "text/plain",
    )  # fmt: skip
    assert (second["cid"], second["language"]) == (None, None)
    assert [email["bodyValues"][part["partId"]]["value"] for part in (first, second)] == ["one", "two"]
    assert email["attachments"] == []


WRONG_PARTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"partId": "no"}, {"bodyStructure/partId"}),
    ({}, {"bodyStructure/partId", "bodyStructure/blobId"}),
    ({"partId": "1", "blobId": "U1"}, {"bodyStructure/partId", "bodyStructure/blobId"}),
    ({"partId": "1", "charset": "utf-8"}, {"bodyStructure/charset"}),
    ({"partId": "1", "size": 2}, {"bodyStructure/size"}),
    ({"partId": "1", "headers": [{"name": "foo", "value": "bar"}]}, {"bodyStructure/headers"}),
    ({"partId": "1", "header:Content-Transfer-Encoding": "7BIT"}, {"bodyStructure/header:Content-Transfer-Encoding"}),
    ({"partId": "1", "header:Foo": "again"}, {"bodyStructure/header:Foo"}),
    ({"partId": "1", "header:x-y": "1", "header:X-Y:asText": "2"}, {"bodyStructure/header:X-Y:asText"}),
    ({"partId": "flawed"}, {"bodyValues/flawed/isTruncated", "bodyValues/flawed/isEncodingProblem"}),
    ({"type": "multipart/mixed", "subParts": [{"partId": "1"}, {"partId": "no"}]},
     {"bodyStructure/subParts/1/partId"}),
    ({"type": "multipart/mixed"}, {"bodyStructure/subParts"}),
    ({"partId": "1", "type": "image/png"}, {"bodyStructure/type"}),
]  # fmt: skip


@pytest.mark.parametrize(("part", "properties"), WRONG_PARTS)
async def test_rfc8621_4_6_wrong_parts_are_named(ann: Person, part: dict[str, Any], properties: set[str]) -> None:
    values = {"1": {"value": "ok"}, "flawed": {"value": "x", "isTruncated": True, "isEncodingProblem": True}}
    error = await refused(ann, **{"header:foo": "bar"}, bodyStructure={"type": "text/plain"} | part, bodyValues=values)
    assert error["type"] == "invalidProperties"
    assert set(error["properties"]) == properties


async def test_rfc8621_4_6_one_thing_is_said_one_way(ann: Person) -> None:
    error = await refused(ann, **TEXT, bodyStructure={"partId": "1", "type": "text/plain"}, htmlBody=[{"partId": "1"}])
    assert error["properties"] == ["textBody", "htmlBody"]
    twice = {
        "messageId": (["a@x"], "Message-Id", "<b@x>"), "inReplyTo": (["a@x"], "In-Reply-To", "<b@x>"),
        "references": (["a@x"], "References", "<b@x>"), "from": ([{"email": "a@x"}], "from", "b@x"),
        "replyTo": ([{"email": "a@x"}], "Reply-To", "b@x"), "subject": ("a", "subject", "b"),
        "sentAt": ("2018-08-30T12:00:59-04:00", "Date", "Thu, 30 Aug 2018 12:00:59 -0400"),
    }  # fmt: skip
    for name, (value, field, raw) in twice.items():
        assert (await refused(ann, **{name: value, f"header:{field}": raw}))["type"] == "invalidProperties", name
    assert (await refused(ann, **{"header:Content-Foo": "x"}))["properties"] == ["header:Content-Foo"]
    assert (await refused(ann, **{"header:Foo": ["a", "b"]}))["properties"] == ["header:Foo"]
    email = await created(ann, "header:Foo:all", **{"header:Foo:all": ["cat", "dog"]})
    assert email["header:Foo:all"] == [" cat", " dog"]


async def test_rfc8621_4_6_blobs_that_are_not_there(ann: Person) -> None:
    error = await refused(ann, textBody=[{"blobId": "cat", "type": "text/plain"}], attachments=[{"blobId": "dog"}])
    assert error["type"] == "blobNotFound"
    assert set(error["notFound"]) == {"cat", "dog"}


async def test_rfc8621_4_6_updates_that_are_none(ann: Person) -> None:
    email_id = (await ann.draft())["id"]
    for patch, kind in (
        ({"mailboxIds": {}}, "invalidProperties"),
        ({f"mailboxIds/{DRAFTS}": None}, "invalidProperties"),
        ({"mailboxIds/nonexistent": True}, "invalidProperties"),
        ({"keywords": {"a b": True}}, "invalidProperties"),
        ({"keywords": {"x": False}}, "invalidPatch"),
        ({"keywords": {"x": True}, "keywords/y": True}, "invalidPatch"),
        ({"keywords/x/y": True}, "invalidPatch"),
        ({"subject": "other"}, "invalidProperties"),
    ):
        answer = await ann.call("Email/set", update={email_id: patch})
        assert answer["notUpdated"][email_id]["type"] == kind, patch
    assert await ann.refused("Email/set", ifInState="never", update={}) == "stateMismatch"
    same = await ann.call("Email/set", update={email_id: {"keywords/$SEEN": True}})
    assert same["updated"] == {email_id: None}  # keywords have no case (§4.1.1)


# ---------------------------------------------------------------------- RFC 8621 §4.8


async def test_rfc8621_4_8_what_is_wrong_with_an_import_is_named(ann: Person) -> None:
    blob = await ann.upload(message())
    good = {"blobId": blob, "mailboxIds": {INBOX: True}}
    wrong: list[tuple[dict[str, Any], str, set[str]]] = [
        ({}, "invalidProperties", {"blobId", "mailboxIds"}),
        (good | {"blobId": ["foo"]}, "invalidProperties", {"blobId"}),
        (good | {"blobId": "foo"}, "blobNotFound", {"blobId"}),
        (good | {"receivedAt": ["foo"]}, "invalidProperties", {"receivedAt"}),
        (good | {"receivedAt": "foo"}, "invalidProperties", {"receivedAt"}),
        (good | {"mailboxIds": ["foo"]}, "invalidProperties", {"mailboxIds"}),
        (good | {"mailboxIds": "foo"}, "invalidProperties", {"mailboxIds"}),
        (good | {"mailboxIds": {}}, "invalidProperties", {"mailboxIds"}),
        (good | {"mailboxIds": {"foo": True}}, "invalidProperties", {"mailboxIds"}),
        (good | {"keywords": ["foo"]}, "invalidProperties", {"keywords"}),
        (good | {"keywords": {"a b": True}}, "invalidProperties", {"keywords"}),
        (good | {"subject": "foo"}, "invalidProperties", {"subject"}),
    ]
    for properties, kind, names in wrong:
        answer = await ann.call("Email/import", emails={"one": properties, "other": good})
        assert list(answer["created"]) == ["other"]
        error = answer["notCreated"]["one"]
        assert (error["type"], set(error["properties"])) == (kind, names), properties
    for emails in (None, "none", ["foo"]):
        assert await ann.refused("Email/import", emails=emails) == "invalidArguments"
    assert await ann.refused("Email/import", emails={}, ifInState="never") == "stateMismatch"
    text = await ann.upload(b"this is not an email")
    answer = await ann.call("Email/import", emails={"one": good | {"blobId": text}})
    assert answer["notCreated"]["one"]["type"] == "invalidEmail"


# ---------------------------------------------------------------------- RFC 8621 §5, §7, §8


async def test_rfc8621_5_a_snippet_without_a_match_is_null(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("Meeting", body="We meet at nine in the conference room.\r\n"))
    (email_id,) = await ann.email_ids()
    none = await ann.call("SearchSnippet/get", emailIds=[email_id], filter={"text": "xylophone"})
    assert none["list"] == [{"emailId": email_id, "subject": None, "preview": None}]
    found = await ann.call("SearchSnippet/get", emailIds=[email_id, "gone"], filter={"text": "conference"})
    (row,) = found["list"]
    assert "<mark>conference</mark>" in row["preview"]
    assert found["notFound"] == ["gone"]


async def test_rfc8621_7_5_only_what_succeeded_is_followed_up(ann: Person) -> None:
    good, bad = (await ann.draft())["id"], (await ann.draft(to=None))["id"]
    identity = await ann.identity()
    moved = {f"mailboxIds/{DRAFTS}": None, f"mailboxIds/{SENT}": True, "keywords/$draft": None}
    answers = await ann.calls(
        ("EmailSubmission/set", {
            "accountId": ann.account_id,
            "create": {"good": {"identityId": identity, "emailId": good}, "bad": {"identityId": identity,
                                                                                    "emailId": bad}},
            "onSuccessUpdateEmail": {"#good": moved, "#bad": moved, "#unknown": moved},
            "onSuccessDestroyEmail": ["#bad"],
        }),
    )  # fmt: skip
    assert [name for name, _ in answers] == ["EmailSubmission/set", "Email/set"]
    assert answers[0][1]["notCreated"]["bad"]["type"] == "noRecipients"
    assert answers[1][1]["updated"] == {good: None}
    assert answers[1][1]["destroyed"] is None
    assert await ann.email_ids("drafts") == [bad]
    (submission,) = (await ann.call("EmailSubmission/get"))["list"]
    assert submission["deliveryStatus"]["you@example.net"]["delivered"] == "queued"
    assert submission["dsnBlobIds"] == submission["mdnBlobIds"] == []
    answer = await ann.call("EmailSubmission/set", update={submission["id"]: {"undoStatus": "canceled"}})
    assert answer["notUpdated"][submission["id"]]["type"] == "cannotUnsend"


async def test_rfc8621_8_there_is_one_vacation_response(ann: Person) -> None:
    answer = await ann.call(
        "VacationResponse/set", create={"n": {"isEnabled": True}}, destroy=["singleton"],
        update={"singleton": {"fromDate": "2026-03-01T00:00:00Z"}, "other": {"isEnabled": True}},
    )  # fmt: skip
    assert answer["notCreated"]["n"]["type"] == "singleton"
    assert answer["notDestroyed"]["singleton"]["type"] == "singleton"
    assert answer["notUpdated"]["other"]["type"] == "notFound"
    (row,) = (await ann.call("VacationResponse/get", ids=["singleton"]))["list"]
    assert row["fromDate"] == "2026-03-01T00:00:00Z"
