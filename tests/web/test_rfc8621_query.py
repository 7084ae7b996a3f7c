"""RFC 8621 §4.4, §4.5, §5: Email/query with every filter and sort, full text search, snippets, queryChanges."""

from __future__ import annotations

from typing import Any

import pytest

from everpost.standby.indexer import Indexer
from web_tools.world import FOLDER, Person, World, message

MIXED = (
    b"From: =?utf-8?q?Zo=C3=AB?= Alder <zoe@example.net>\r\nTo: Team Blue <team@example.org>\r\n"
    b"Cc: charlie@example.com\r\nBcc: hidden@example.com\r\nSubject: Q3 Financial Report\r\n"
    b"Date: Mon, 5 Jan 2026 10:00:00 +0100\r\nMessage-ID: <mixed@example.net>\r\nX-Custom-Header: custom-Value-12345\r\n"  # noqa: E501
    b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<style>.invisible{}</style><p>Caf\xc3\xa9 &amp; "
    b"xylo<b>phone</b> lesson</p>\r\n"
    b'--b\r\nContent-Type: application/pdf; name="Budget-Plan.pdf"\r\n'
    b'Content-Disposition: attachment; filename="Budget-Plan.pdf"\r\n\r\nx\r\n--b--\r\n'
)
JAPANESE = message(
    "=?utf-8?b?5p2x5Lqs44Gn44Gu5Lya6K2w?=",
    body="明日の会議室は三階です。\r\n",
    Content_Type="text/plain; charset=utf-8",
)  # 東京での会議


@pytest.fixture
async def mail(world: World, ann: Person) -> dict[str, str]:
    """Some messages by name."""
    sent: dict[str, bytes] = {
        "plain": message("Meeting tomorrow", body="See you in the conference room at nine.\r\n"),
        "mixed": MIXED,
        "japanese": JAPANESE,
        "umlaut": message("Grüße aus Köln", body="Straße, naïve, ﬁne, Łódź\r\n", From="Jürgen <juergen@example.de>"),
        "starter": message("Project Alpha", Message_ID="<alpha@x>", From="alice@example.com", body="a" * 3000),
        "reply": message("Re: Project Alpha", In_Reply_To="<alpha@x>", References="<alpha@x>"),
    }
    named: dict[str, str] = {}
    for name, content in sent.items():
        await world.deliver("ann@example.org", content)
        (new,) = set(await ann.email_ids()) - set(named.values())
        named[name] = new
    return named


async def find(person: Person, mail: dict[str, str], **wanted: Any) -> set[str]:
    names = {email_id: name for name, email_id in mail.items()}
    answer = await person.call("Email/query", filter=wanted, calculateTotal=True)
    assert answer["total"] == len(answer["ids"])
    return {names[email_id] for email_id in answer["ids"]}


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"text": "conference"}, {"plain"}),
    ({"text": "CONFERENCE room"}, {"plain"}),
    ({"text": "conf"}, {"plain"}),
    ({"text": "onference"}, set()),
    ({"text": '"conference room"'}, {"plain"}),
    ({"text": '"room conference"'}, set()),
    ({"body": "conference room"}, {"plain"}),
    ({"subject": "conference"}, set()),
    ({"subject": "financial report"}, {"mixed"}),
    ({"body": "financial"}, set()),
    ({"text": "cafe"}, {"mixed"}),
    ({"text": "CAFÉ"}, {"mixed"}),
    ({"text": "invisible"}, set()),
    ({"text": "budget"}, {"mixed"}),
    ({"text": "Budget-Plan.pdf"}, {"mixed"}),
    ({"text": "strasse"}, {"umlaut"}),
    ({"text": "koln"}, {"umlaut"}),
    ({"text": "naive"}, {"umlaut"}),
    ({"text": "fine"}, {"umlaut"}),
    ({"text": "lodz"}, {"umlaut"}),
    ({"text": "会議"}, {"japanese"}),
    ({"text": "会議室"}, {"japanese"}),
    ({"body": "議室"}, {"japanese"}),
    ({"subject": "会議室"}, set()),
    ({"subject": "東京"}, {"japanese"}),
    ({"text": "会"}, {"japanese"}),
    ({"text": "議会"}, set()),
    ({"from": "zoe"}, {"mixed"}),
    ({"from": "zoe@example.net"}, {"mixed"}),
    ({"from": "team"}, set()),
    ({"to": "team"}, {"mixed"}),
    ({"to": "zoe"}, set()),
    ({"cc": "charlie@example.com"}, {"mixed"}),
    ({"to": "charlie"}, set()),
    ({"bcc": "hidden"}, {"mixed"}),
    ({"cc": "hidden"}, set()),
    ({"from": "alice", "subject": "alpha"}, {"starter"}),
    ({"header": ["X-Custom-Header"]}, {"mixed"}),
    ({"header": ["x-custom-header", "CUSTOM-value"]}, {"mixed"}),
    ({"header": ["X-Custom-Header", "12346"]}, set()),
    ({"header": ["Message-ID", "alpha@x"]}, {"starter"}),
    ({"header": ["X-Custom-Header", "c.stom"]}, set()),
    ({"hasAttachment": True}, {"mixed"}),
    ({"text": "?!"}, set()),
    ({"minSize": 3000}, {"starter"}),
    ({"operator": "NOT", "conditions": [{"text": "conference"}, {"hasAttachment": True}]},
     {"japanese", "umlaut", "starter", "reply"}),
    ({"operator": "OR", "conditions": [{"text": "conference"}, {"from": "alice"}]}, {"plain", "starter"}),
    ({"operator": "AND", "conditions": [{"inMailbox": FOLDER["inbox"]}, {"text": "alpha"},
                                         {"operator": "NOT", "conditions": [{"from": "alice"}]}]}, {"reply"}),
]  # fmt: skip


async def test_rfc8621_4_4_1_filter(ann: Person, mail: dict[str, str]) -> None:
    for wanted, expected in FILTERS:
        assert await find(ann, mail, **wanted) == expected, wanted


async def test_rfc8621_4_4_1_keywords_of_threads(ann: Person, mail: dict[str, str]) -> None:
    thread = {"starter", "reply"}
    await ann.call("Email/set", update={mail["reply"]: {"keywords/$flagged": True}})
    assert await find(ann, mail, someInThreadHaveKeyword="$flagged") == thread
    assert await find(ann, mail, allInThreadHaveKeyword="$flagged") == set()
    assert await find(ann, mail, noneInThreadHaveKeyword="$flagged") == set(mail) - thread
    await ann.call("Email/set", update={mail["starter"]: {"keywords/$flagged": True}})
    assert await find(ann, mail, allInThreadHaveKeyword="$FLAGGED") == thread


async def test_rfc8621_4_4_1_refused_filters(ann: Person) -> None:
    for wanted in ({"wish": 1}, {"header": []}, {"header": ["a", "b", "c"]}, {"header": ["a b"]}, {"from": 5},
                   {"operator": "XOR", "conditions": []}, {"text": "x" * 1001}):  # fmt: skip
        assert await ann.refused("Email/query", filter=wanted) in ("unsupportedFilter", "invalidArguments")


async def order(person: Person, mail: dict[str, str], *sort: dict[str, Any], **more: Any) -> list[str]:
    names = {email_id: name for name, email_id in mail.items()}
    return [names[i] for i in (await person.call("Email/query", sort=list(sort), **more))["ids"]]


async def test_rfc8621_4_4_2_sort(ann: Person, mail: dict[str, str]) -> None:
    await ann.call("Email/set", update={mail["mixed"]: {"keywords/$flagged": True},
                                        mail["reply"]: {"keywords/$flagged": True}})  # fmt: skip
    newest = ["reply", "starter", "umlaut", "japanese", "mixed", "plain"]
    assert await order(ann, mail) == newest
    assert await order(ann, mail, {"property": "receivedAt", "isAscending": True}) == newest[::-1]
    by_subject = await order(ann, mail, {"property": "subject"}, {"property": "receivedAt"})
    assert by_subject == ["umlaut", "plain", "starter", "reply", "mixed", "japanese"]
    assert (await order(ann, mail, {"property": "from"}))[:2] == ["starter", "umlaut"]
    assert (await order(ann, mail, {"property": "to"}))[-1] == "mixed"
    assert (await order(ann, mail, {"property": "size", "isAscending": False}))[0] == "starter"
    assert len(await order(ann, mail, {"property": "sentAt"})) == 6
    flagged = {"property": "hasKeyword", "keyword": "$flagged", "isAscending": False}
    assert await order(ann, mail, flagged, {"property": "receivedAt", "isAscending": False}) == [
        "reply", "mixed", "starter", "umlaut", "japanese", "plain",
    ]  # fmt: skip
    some = {"property": "someInThreadHaveKeyword", "keyword": "$flagged", "isAscending": False}
    assert set((await order(ann, mail, some))[:3]) == {"reply", "starter", "mixed"}
    everything = {"property": "allInThreadHaveKeyword", "keyword": "$flagged", "isAscending": False}
    assert (await order(ann, mail, everything))[0] == "mixed"
    assert await ann.refused("Email/query", sort=[{"property": "hasKeyword"}]) == "invalidArguments"
    assert await ann.refused("Email/query", sort=[{"property": "wish"}]) == "unsupportedSort"


async def test_rfc8621_4_4_3_collapse_threads_anchor_and_total(ann: Person, mail: dict[str, str]) -> None:
    answer = await ann.call("Email/query", collapseThreads=True, calculateTotal=True)
    assert mail["starter"] not in answer["ids"]
    assert (len(answer["ids"]), answer["total"]) == (5, 5)
    inbox = await ann.call(
        "Email/query", filter={"inMailbox": FOLDER["inbox"]}, collapseThreads=True, calculateTotal=True, limit=1
    )
    assert (len(inbox["ids"]), inbox["total"]) == (1, 5)
    assert answer["canCalculateChanges"] is True
    all_ids = (await ann.call("Email/query"))["ids"]
    for collapse, ids in ((True, answer["ids"]), (False, all_ids)):
        paged = await ann.call(
            "Email/query", collapseThreads=collapse, anchor=ids[2], anchorOffset=-1, limit=2
        )  # fmt: skip
        assert (paged["ids"], paged["position"]) == (ids[1:3], 1)
        last = await ann.call("Email/query", collapseThreads=collapse, position=-2)
        assert last["ids"] == ids[-2:]
    assert await ann.refused("Email/query", collapseThreads=True, anchor=mail["starter"]) == "anchorNotFound"


async def test_search_is_right_whether_the_indexer_has_run_or_not(
    world: World, ann: Person, mail: dict[str, str]
) -> None:
    assert await find(ann, mail, text="conference") == {"plain"}  # indexed by the search itself
    await world.deliver("ann@example.org", message("Fresh", body="brandnew\r\n"))
    indexer = Indexer(world.database, world.standby.blobs)
    assert await indexer.run_once() == 1
    assert await indexer.run_once() == 0
    assert len((await ann.call("Email/query", filter={"text": "brandnew"}))["ids"]) == 1


async def test_an_erased_or_damaged_message_does_not_stop_the_indexer(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("Erased", body="gone\r\n"))
    await world.deliver("ann@example.org", message("Whole", body="there\r\n"))
    async with world.database.connection() as connection:
        await connection.execute("UPDATE blob SET wrapped_key = '\\x00' WHERE id = (SELECT min(id) FROM blob)")
    assert await Indexer(world.database, world.standby.blobs).run_once() == 2
    assert len((await ann.call("Email/query", filter={"subject": "erased"}))["ids"]) == 1
    assert (await ann.call("Email/query", filter={"text": "gone"}))["ids"] == []
    assert len((await ann.call("Email/query", filter={"text": "there"}))["ids"]) == 1


async def test_rfc8621_5_search_snippet(ann: Person, mail: dict[str, str]) -> None:
    async def snippet(name: str, wanted: Any) -> tuple[str | None, str | None]:
        answer = await ann.call("SearchSnippet/get", emailIds=[mail[name]], filter=wanted)
        (row,) = answer["list"]
        assert row["emailId"] == mail[name]
        return row["subject"], row["preview"]

    assert await snippet("plain", {"text": "conf"}) == (
        None, "See you in the <mark>conference</mark> room at nine."
    )  # fmt: skip
    assert await snippet("plain", {"subject": "MEETING"}) == ("<mark>Meeting</mark> tomorrow", None)
    assert await snippet("plain", {"text": "xylophone"}) == (None, None)
    assert await snippet("plain", {"inMailbox": FOLDER["inbox"]}) == (None, None)
    assert await snippet("plain", None) == (None, None)
    subject, preview = await snippet("mixed", {"operator": "OR", "conditions": [{"text": "cafe"}, {"text": "x"}]})
    assert preview is not None
    assert "<mark>Café</mark> &amp;" in preview
    subject, preview = await snippet("japanese", {"text": "会議"})
    assert subject == "東京での<mark>会議</mark>"
    assert preview == "明日の<mark>会議</mark>室は三階です。"
    excluded = {"operator": "NOT", "conditions": [{"text": "conference"}]}
    assert await snippet("plain", excluded) == (None, None)
    answer = await ann.call("SearchSnippet/get", emailIds=["nonsense"], filter={"text": "a"})
    assert (answer["list"], answer["notFound"]) == ([], ["nonsense"])


def follow(ids: list[str], answer: dict[str, Any]) -> list[str]:
    """As a client does (RFC 8620 §5.6)."""
    gone = set(answer["removed"])
    ids = [email_id for email_id in ids if email_id not in gone]
    for item in answer["added"]:
        ids.insert(item["index"], item["id"])
    return ids


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize(
    "query",
    [
        {"filter": {"inMailbox": FOLDER["inbox"]}},
        {"filter": {"notKeyword": "$seen"}, "sort": [{"property": "subject"}]},
        {"filter": {"someInThreadHaveKeyword": "$flagged"}},
        {"sort": [{"property": "someInThreadHaveKeyword", "keyword": "$flagged"}, {"property": "receivedAt"}]},
        {"filter": {"text": "alpha"}},
    ],
)
async def test_rfc8620_5_6_email_query_changes(
    world: World, ann: Person, mail: dict[str, str], query: dict[str, Any], collapse: bool
) -> None:
    query = query | {"collapseThreads": collapse}
    before = await ann.call("Email/query", **query)
    steps: list[dict[str, Any]] = [
        {"update": {mail["reply"]: {"keywords/$flagged": True}, mail["plain"]: {"keywords/$seen": True}}},
        {"update": {mail["starter"]: {"mailboxIds": {FOLDER["archive"]: True}}}},
        {"destroy": [mail["reply"], mail["umlaut"]]},
    ]
    ids, state = before["ids"], before["queryState"]
    for step in steps:
        await ann.call("Email/set", **step)
        await world.deliver("ann@example.org", message("Alpha again", References="<alpha@x>"))
        answer = await ann.call("Email/queryChanges", sinceQueryState=state, calculateTotal=True, **query)
        ids, state = follow(ids, answer), answer["newQueryState"]
        now = await ann.call("Email/query", **query)
        assert (ids, state, len(ids)) == (now["ids"], now["queryState"], answer["total"])
    whole = await ann.call("Email/queryChanges", sinceQueryState=before["queryState"], **query)
    assert follow(before["ids"], whole) == ids
    refused = await ann.refused("Email/queryChanges", sinceQueryState=before["queryState"], maxChanges=1, **query)
    assert refused == "tooManyChanges"
