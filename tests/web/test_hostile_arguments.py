# ruff: noqa: E501
"""Whatever a client sends as arguments, the answer is an error of the protocol and never a failure of ours."""

from __future__ import annotations

import copy
import random
from collections import Counter
from typing import Any

import pytest

from everpost.serve.web.jmap.api import METHODS
from web_tools.world import FOLDER, Person, World, message


def junk(chance: random.Random, known: list[str], depth: int = 0) -> Any:
    """A value of JSON, with names that mean something here and there."""
    scalars: list[Any] = [
        None, True, False, 0, 1, -1, 2**53 - 1, -(2**53) + 1, 1.5, "", "x", "#x", "\0", "é" * 300, "-", "a\r\nb: c",
        "singleton", "$seen", "receivedAt", "2026-01-01T00:00:00Z", "0", "99999999999999999999", "a@b", "*", "x/y", *known,
    ]  # fmt: skip
    kind = chance.randint(0, 4) if depth < 3 else 0
    if kind <= 2:
        return chance.choice(scalars)
    if kind == 3:
        return [junk(chance, known, depth + 1) for _ in range(chance.randint(0, 3))]
    keys = ["name", "email", "value", "operator", "conditions", "property", "type", "partId", "blobId", *known]
    return {chance.choice(keys): junk(chance, known, depth + 1) for _ in range(chance.randint(0, 3))}


def examples(person: Person, ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Good arguments of every kind of method, to be spoilt."""
    email, draft, blob, identity = ids["email"], ids["draft"], ids["blob"], ids["identity"]
    part = {
        "partId": "1",
        "type": "text/plain",
        "name": "a.txt",
        "disposition": "inline",
        "cid": "c",
        "language": ["de"],
    }
    new = {
        "mailboxIds": {FOLDER["inbox"]: True}, "keywords": {"$seen": True}, "from": [{"name": "A", "email": "a@b.c"}],
        "to": [{"email": "b@c.d"}], "subject": "x", "sentAt": "2026-01-01T00:00:00Z", "receivedAt": "2026-01-01T00:00:00Z",
        "messageId": ["a@b"], "header:X-Y:asText": "z", "textBody": [part], "bodyValues": {"1": {"value": "hi"}},
        "attachments": [{"blobId": blob, "type": "a/b", "name": "n"}],
    }  # fmt: skip
    tree = {"type": "multipart/mixed", "subParts": [part, {"blobId": blob, "type": "a/b"}]}
    condition = {
        "inMailbox": FOLDER["inbox"], "inMailboxOtherThan": [FOLDER["trash"]], "before": "2030-01-01T00:00:00Z",
        "minSize": 0, "hasKeyword": "$seen", "hasAttachment": False, "text": "one", "from": "a", "header": ["From", "a"],
    }  # fmt: skip
    wanted = {"operator": "OR", "conditions": [condition, {"subject": "x"}, {"operator": "NOT", "conditions": []}]}
    sort = [{"property": "hasKeyword", "keyword": "$seen", "isAscending": False}, {"property": "subject"}]
    page = {"position": 0, "limit": 5, "calculateTotal": True}
    parsing = {"properties": ["subject", "textBody", "header:To:asAddresses"], "bodyProperties": ["partId", "size"],
               "fetchAllBodyValues": True, "maxBodyValueBytes": 10}  # fmt: skip
    envelope = {"mailFrom": {"email": "ann@example.org", "parameters": {"HOLDFOR": "1000", "RET": "HDRS"}},
                "rcptTo": [{"email": "you@example.net", "parameters": {"NOTIFY": "NEVER"}}]}  # fmt: skip
    who = {"name": "A", "replyTo": [{"email": "a@b.c"}], "textSignature": "x"}
    look = {"field": "from", "comparison": "contains", "value": "a", "size": 0, "isNegated": False}
    rule = {"name": "F", "match": "any", "sortOrder": 3, "conditions": [look], "mailboxId": FOLDER["trash"],
            "keywords": {"x": True}, "forwardTo": "ann@example.org", "stop": True}  # fmt: skip
    folders = {"operator": "AND", "conditions": [{"name": "in"}, {"parentId": None, "hasAnyRole": True}]}
    return {
        "get": {"ids": [email, FOLDER["inbox"], "singleton"], "properties": ["id"]},
        "changes": {"sinceState": "1", "maxChanges": 3}, "queryChanges": {"sinceQueryState": "1", "maxChanges": 90},
        "Email/get": {"ids": [email], **parsing}, "Email/parse": {"blobIds": [blob], **parsing},
        "Email/query": {"filter": wanted, "sort": sort, "collapseThreads": True, **page},
        "Email/queryChanges": {"sinceQueryState": "1", "filter": wanted, "sort": sort, "collapseThreads": True},
        "Email/set": {"create": {"a": new, "b": new | {"bodyStructure": tree, "textBody": None, "attachments": None}},
                      "update": {draft: {"keywords/$flagged": True, "mailboxIds": {FOLDER["drafts"]: True}}}},
        "Email/import": {"emails": {"i": {"blobId": blob, "mailboxIds": {FOLDER["inbox"]: True}, "keywords": {}}}},
        "Email/copy": {"fromAccountId": "A1", "create": {"c": {"id": email, "mailboxIds": {}}}},
        "SearchSnippet/get": {"emailIds": [email], "filter": wanted},
        "Mailbox/query": {"filter": folders, "sort": [{"property": "name"}], "sortAsTree": True, **page},
        "Mailbox/queryChanges": {"sinceQueryState": "1", "filter": folders, "filterAsTree": True},
        "Mailbox/set": {"create": {"m": {"name": "New", "parentId": None, "sortOrder": 3, "isSubscribed": False}},
                        "update": {FOLDER["junk"]: {"sortOrder": 7}}, "onDestroyRemoveEmails": True},
        "Identity/set": {"create": {"i": who | {"email": "ann@example.org"}}, "update": {identity: who}},
        "EmailSubmission/query": {"filter": {"undoStatus": "final", "emailIds": [email], "before": "2030-01-01T00:00:00Z"},
                                  "sort": [{"property": "sentAt"}], **page},
        "EmailSubmission/set": {"create": {"s": {"identityId": identity, "emailId": draft, "envelope": envelope}},
                                "onSuccessUpdateEmail": {"#s": {"keywords/$draft": None}}},
        "VacationResponse/set": {"update": {"singleton": {"isEnabled": True, "fromDate": None, "textBody": "x"}}},
        "Filter/set": {"create": {"f": rule, "g": {"name": "G", "keywords": {"$seen": True}, "isEnabled": False}}},
        "Filter/apply": {"mailboxId": FOLDER["inbox"], "ids": None},
        "Settings/set": {"update": {"singleton": {"theme": "dark", "labels": ["a"], "undoSeconds": 5, "language": None}}},
        "Quota/query": {"filter": {"name": "u", "type": "Email"}, "sort": [{"property": "name"}]},
        "Blob/copy": {"fromAccountId": "A1", "blobIds": [blob]},
        "Blob/get": {"ids": [blob], "properties": ["data", "size", "digest:sha"], "offset": 0, "length": 3},
        "Blob/lookup": {"ids": [blob], "typeNames": ["Email"]},
        "Blob/upload": {"create": {"u": {"data": [{"data:asText": "x"}, {"blobId": blob, "offset": 0, "length": 1}]}}},
        "PushSubscription/set": {"create": {"p": {"deviceClientId": "x", "url": "https://example.com/", "types": None}}},
    }  # fmt: skip


def spoil(chance: random.Random, value: Any, known: list[str]) -> None:
    """Replace something somewhere inside by junk, or add some."""
    places = [(value, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    inside = [value[key] for _, key in places if isinstance(value[key], (dict, list)) and value[key]]
    if inside and chance.random() < 0.75:
        spoil(chance, chance.choice(inside), known)
    elif isinstance(value, dict) and chance.random() < 0.2:
        value[str(junk(chance, known))[:80]] = junk(chance, known)
    elif places:
        value[chance.choice(places)[1]] = junk(chance, known)


@pytest.mark.parametrize("seed", range(4))
async def test_rfc8620_3_6_2_no_arguments_make_the_server_fail(world: World, ann: Person, seed: int) -> None:
    chance = random.Random(seed)
    await world.deliver("ann@example.org", message("One"))
    ids = {
        "email": (await ann.email_ids())[0], "draft": (await ann.draft())["id"], "identity": await ann.identity(),
        "blob": await ann.upload(b"From: a@example.net\r\n\r\nx"),
    }  # fmt: skip
    known = [*ids.values(), FOLDER["inbox"], FOLDER["trash"]]
    good = examples(ann, ids)
    calls: list[tuple[str, dict[str, Any]]] = []
    for method in METHODS:
        for number in range(14):
            arguments = copy.deepcopy(good.get(method, good.get(method.partition("/")[2], {"x": 1})))
            for _ in range(chance.randint(1, 2) if number else 0):
                spoil(chance, arguments, known)
            mine = {} if method.startswith("PushSubscription") else {"accountId": ann.account_id}
            calls.append((method, mine | arguments))
    chance.shuffle(calls)
    seen: Counter[str] = Counter()
    for start in range(0, len(calls), 30):
        part = calls[start : start + 30]
        for name, answer in await ann.calls(*part):
            seen["error" if name == "error" else "answer"] += 1
            if name == "error":
                assert answer["type"] not in ("serverFail", "serverUnavailable"), (answer, part)
            for refused in ("notCreated", "notUpdated", "notDestroyed"):
                for error in (answer.get(refused) or {}).values():
                    assert error["type"] not in ("serverFail", "serverUnavailable"), (name, error)
    assert seen["answer"] > 100, seen  # most get past the first look
    assert (await ann.call("Mailbox/get"))["list"]
