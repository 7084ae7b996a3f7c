"""Session, Mailbox/get, Email/query, Email/get, Thread/get, downloads."""

from __future__ import annotations

from typing import Any

from web_tools.world import FOLDER, Person, World, message

ATTACHED = (
    b"From: Bob <bob@example.net>\r\nTo: ann@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Message-ID: <m1@example.net>\r\nDate: Mon, 5 Jan 2026 10:00:00 +0100\r\nList-Post: <mailto:l@example.net>\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b'--b\r\nContent-Type: multipart/alternative; boundary="c"\r\n\r\n'
    b"--c\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe!\r\n"
    b"--c\r\nContent-Type: text/html\r\n\r\n<p>Gru&szlig; <b>bold</b></p>\r\n--c--\r\n"
    b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\n"
)


async def test_session(world: World, ann: Person) -> None:
    answer = await ann.http.get("/.well-known/jmap", follow_redirects=True)
    session = answer.json()
    assert session["username"] == "ann@example.org"
    assert list(session["accounts"]) == [ann.account_id]
    assert session["accounts"][ann.account_id]["isReadOnly"] is False
    assert session["capabilities"]["urn:ietf:params:jmap:core"]["maxCallsInRequest"] == 32
    assert session["apiUrl"] == "https://mail.example.org/jmap/api"
    assert answer.headers["cache-control"].startswith("no-cache")


async def test_mailbox_get_counts(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("One"))
    await world.deliver("ann@example.org", message("Two"))
    first = (await ann.email_ids())[0]
    await ann.call("Email/set", update={first: {"keywords/$seen": True}})
    folders = {row["role"]: row for row in (await ann.call("Mailbox/get"))["list"]}
    assert set(folders) == {"inbox", "drafts", "sent", "archive", "junk", "trash"}
    inbox = folders["inbox"]
    assert (inbox["totalEmails"], inbox["unreadEmails"]) == (2, 1)
    assert (inbox["totalThreads"], inbox["unreadThreads"]) == (2, 1)
    assert inbox["myRights"]["maySetSeen"]
    assert not inbox["myRights"]["mayDelete"]
    assert (await ann.call("Mailbox/get", ids=["zzz", FOLDER["sent"]], properties=["name"]))["notFound"] == ["zzz"]


async def test_email_get_everything(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", ATTACHED)
    (email_id,) = await ann.email_ids()
    email = await ann.email(
        email_id,
        fetchTextBodyValues=True,
        fetchHTMLBodyValues=True,
    )
    assert email["subject"] == "Grüße"
    assert email["from"] == [{"name": "Bob", "email": "bob@example.net"}]
    assert email["messageId"] == ["m1@example.net"]
    assert email["sentAt"] == "2026-01-05T09:00:00Z"
    assert email["hasAttachment"] is True
    assert email["size"] == len(ATTACHED)
    (text,), (html,), (attachment,) = email["textBody"], email["htmlBody"], email["attachments"]
    assert email["bodyValues"][text["partId"]]["value"] == "Grüße!"
    assert "bold" in email["bodyValues"][html["partId"]]["value"]
    assert (attachment["name"], attachment["type"], attachment["size"]) == ("a.pdf", "application/pdf", 5)
    downloaded = await ann.download(attachment["blobId"])
    assert downloaded.content == b"hello"
    assert downloaded.headers["content-type"] == "application/pdf"
    assert downloaded.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert downloaded.headers["x-content-type-options"] == "nosniff"
    assert downloaded.headers["content-disposition"].startswith("attachment;")
    assert (await ann.download(email["blobId"])).content == ATTACHED


async def test_structure_headers_and_truncation(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", ATTACHED)
    (email_id,) = await ann.email_ids()
    email = await ann.email(
        email_id,
        properties=[
            "bodyStructure",
            "bodyValues",
            "header:Subject:asText",
            "header:from:asAddresses",
            "header:Subject",
            "header:List-Post:asURLs",
            "header:X-None",
            "header:To:all",
            "headers",
            "header:Date:asDate",
            "header:Message-ID:asMessageIds",
        ],
        bodyProperties=["partId", "type", "header:Content-Type"],
        fetchAllBodyValues=True,
        maxBodyValueBytes=3,
    )
    structure = email["bodyStructure"]
    assert structure["type"] == "multipart/mixed"
    assert [part["type"] for part in structure["subParts"]] == ["multipart/alternative", "application/pdf"]
    assert structure["subParts"][1]["header:Content-Type"] == ' application/pdf; name="a.pdf"'
    assert {value["isTruncated"] for value in email["bodyValues"].values()} == {True}
    assert all(len(value["value"].encode()) <= 3 for value in email["bodyValues"].values())
    assert email["header:Subject:asText"] == "Grüße"
    assert email["header:Subject"] == " =?utf-8?q?Gr=C3=BC=C3=9Fe?="
    assert email["header:from:asAddresses"] == [{"name": "Bob", "email": "bob@example.net"}]
    assert email["header:List-Post:asURLs"] == ["mailto:l@example.net"]
    assert email["header:X-None"] is None
    assert email["header:To:all"] == [" ann@example.org"]
    assert email["header:Date:asDate"] == "2026-01-05T10:00:00+01:00"
    assert email["header:Message-ID:asMessageIds"] == ["m1@example.net"]
    assert email["headers"][0] == {"name": "From", "value": " Bob <bob@example.net>"}
    assert await ann.refused("Email/get", ids=[email_id], properties=["header:Subject:asDate"]) == "invalidArguments"
    assert await ann.refused("Email/get", ids=[email_id], properties=["nonsense"]) == "invalidArguments"


FILTERS: list[Any] = [
        ({"subject": "apple"}, {"Apple pie"}),
        ({"text": "pear"}, {"Pear tart"}),
        ({"from": "stranger@"}, {"Apple pie", "Pear tart", "Ünique"}),
        ({"text": "ünique"}, {"Ünique"}),
        ({"hasKeyword": "$flagged"}, {"Pear tart"}),
        ({"notKeyword": "$FLAGGED"}, {"Apple pie", "Ünique"}),
        ({"operator": "NOT", "conditions": [{"subject": "pie"}, {"subject": "tart"}]}, {"Ünique"}),
        ({"operator": "OR", "conditions": [{"subject": "pie"}, {"subject": "tart"}]}, {"Apple pie", "Pear tart"}),
        ({"operator": "AND", "conditions": [{"inMailbox": FOLDER["inbox"]}, {"subject": "100%"}]}, set()),
        ({"inMailboxOtherThan": [FOLDER["inbox"]]}, set()),
        ({"hasAttachment": True}, set()),
        ({"hasAttachment": False, "minSize": 1, "after": "2020-01-01T00:00:00Z"}, {"Apple pie", "Pear tart", "Ünique"}),
        ({"before": "2020-01-01T00:00:00Z"}, set()),
        ({"inMailbox": "NOSUCH"}, set()),
    ]  # fmt: skip


async def test_query_filters(world: World, ann: Person) -> None:
    for subject in ("Apple pie", "Pear tart", "=?utf-8?q?=C3=9Cnique?="):
        await world.deliver("ann@example.org", message(subject))
    by_subject = {}
    for email_id in await ann.email_ids():
        by_subject[(await ann.email(email_id))["subject"]] = email_id
    await ann.call("Email/set", update={by_subject["Pear tart"]: {"keywords/$flagged": True}})
    for wanted, expected in FILTERS:
        ids = (await ann.call("Email/query", filter=wanted))["ids"]
        assert {subject for subject, email_id in by_subject.items() if email_id in ids} == expected, wanted


async def test_query_paging_sorting_collapsing(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("b", Message_ID="<1@x.example>"))
    await world.deliver("ann@example.org", message("c", References="<1@x.example>"))
    await world.deliver("ann@example.org", message("a"))
    newest = await ann.email_ids()
    everything = {"filter": {"inMailbox": FOLDER["inbox"]}}
    by_subject = (await ann.call("Email/query", **everything, sort=[{"property": "subject"}]))["ids"]
    assert by_subject == [newest[0], newest[2], newest[1]]
    page = await ann.call("Email/query", **everything, position=1, limit=1, calculateTotal=True)
    assert (page["ids"], page["position"], page["total"]) == ([newest[1]], 1, 3)
    assert (await ann.call("Email/query", **everything, position=-1))["ids"] == [newest[2]]
    anchored = await ann.call("Email/query", **everything, anchor=newest[1], anchorOffset=-1, limit=2)
    assert (anchored["ids"], anchored["position"]) == (newest[:2], 0)
    assert await ann.refused("Email/query", **everything, anchor="NONE") == "anchorNotFound"
    collapsed = (await ann.call("Email/query", **everything, collapseThreads=True))["ids"]
    assert collapsed == newest[:2]
    thread_id = (await ann.email(newest[1]))["threadId"]
    (thread,) = (await ann.call("Thread/get", ids=[thread_id]))["list"]
    assert thread["emailIds"] == [newest[2], newest[1]]
    assert await ann.refused("Email/query", sort=[{"property": "weather"}]) == "unsupportedSort"
    assert await ann.refused("Email/query", filter={"weather": 1}) == "unsupportedFilter"
    deep: dict = {"subject": "x"}
    for _ in range(20):
        deep = {"operator": "AND", "conditions": [deep]}
    assert await ann.refused("Email/query", filter=deep) == "unsupportedFilter"


async def test_result_references(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("One"))
    account = {"accountId": ann.account_id}
    answers = await ann.calls(
        ("Email/query", account | {"filter": {"inMailbox": FOLDER["inbox"]}}),
        ("Email/get", account | {
            "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"}, "properties": ["threadId"]}),
        ("Thread/get", account | {"#ids": {"resultOf": "1", "name": "Email/get", "path": "/list/*/threadId"}}),
        ("Email/get", account | {"#ids": {"resultOf": "9", "name": "Email/query", "path": "/ids"}}),
    )  # fmt: skip
    assert answers[2][1]["list"][0]["emailIds"] == answers[0][1]["ids"]
    assert answers[3] == ("error", {"type": "invalidResultReference", "description": "no such response"})
