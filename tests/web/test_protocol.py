"""The frame: who may come in, request errors, limits, problem documents, health."""

from __future__ import annotations

import json

import pytest

from everpost.store.database import Database
from everpost.wire.jmap import core
from web_tools.world import FOLDER, USING, Person, World, message


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!!"},
        {"Authorization": "Basic YW5u"},
        {"Authorization": "Basic YW5uQGV4YW1wbGUub3JnOndyb25n"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Digest x"},
        {"Authorization": "Bearer " + "x" * 5000},
    ],
)
async def test_who_does_not_prove_who_they_are(world: World, ann: Person, headers: dict[str, str]) -> None:
    async with world.client() as client:
        for method, path in [
            ("GET", "/jmap/session"), ("POST", "/jmap/api"), ("POST", f"/jmap/upload/{ann.account_id}/"),
            ("GET", f"/jmap/download/{ann.account_id}/M1/x"),
        ]:  # fmt: skip
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert "Basic" in answer.headers["www-authenticate"]


async def test_token_login(world: World, ann: Person) -> None:
    async with world.client() as client:
        answer = await client.get("/jmap/session", headers={"Authorization": "Bearer token-ann@example.org"})
    assert answer.json()["username"] == "ann@example.org"


async def test_access_closed_then_open_but_read_only_then_master(world: World) -> None:
    organisation_id = await world.organisation("guarded.example", primary=True)
    person = await world.person("eve@guarded.example")
    closed = await person.http.get("/jmap/session")
    assert closed.status_code == 403
    assert closed.headers["content-type"] == "application/problem+json"
    assert (await person.http.post("/jmap/api", json={"using": USING, "methodCalls": []})).status_code == 403

    async def execute(text: str) -> None:
        async with world.database.transaction() as connection:
            await connection.execute(text)
            await connection.execute("UPDATE generation SET value = value + 1 WHERE name = 'continuity'")

    await execute(
        f"INSERT INTO access_switch VALUES ({organisation_id}, 'organisation', {organisation_id}, true, 'test')"
    )
    await world.routes.load()
    session = (await person.http.get("/jmap/session")).json()
    assert session["accounts"][person.account_id]["isReadOnly"] is True
    await world.deliver("eve@guarded.example", message())
    (email_id,) = await person.email_ids()
    change = {"update": {email_id: {"keywords/$seen": True}}}
    assert await person.refused("Email/set", **change) == "accountReadOnly"
    assert await person.refused("Mailbox/set", create={"a": {"name": "x"}}) == "accountReadOnly"
    assert await person.refused("EmailSubmission/set", create={}) == "accountReadOnly"
    assert await person.refused("Email/import", emails={}) == "accountReadOnly"
    await execute(
        "INSERT INTO activation (organisation_id, id, scope_kind, scope_id, opens_access, cause, reason, actor, "
        f"starts_at, started_at) VALUES ({organisation_id}, 1, 'organisation', {organisation_id}, true, '', '', '', "
        "now(), now())"
    )
    await world.routes.load()
    assert (await person.call("Email/set", **change))["updated"] == {email_id: None}
    # This process has not yet heard of the end of the activation: the transaction sees it all the same.
    await execute("UPDATE activation SET ended_at = now()")
    assert await person.refused("Email/set", update={email_id: {"keywords/$seen": None}}) == "accountReadOnly"
    assert (await person.email(email_id))["keywords"] == {"$seen": True}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "notJSON"),
        (b"\xff", "notJSON"),
        (b"[" * 100_000, "notJSON"),
        (b'{"using": "x"}', "notRequest"),
        (b'{"using": [], "methodCalls": [["a", {}]]}', "notRequest"),
        (b'{"using": [], "methodCalls": [["a", ' + b'{"a":' * 100 + b"1" + b"}" * 100 + b', "0"]]}', "notRequest"),
        (b'{"using": ["urn:x"], "methodCalls": []}', "unknownCapability"),
        (json.dumps({"using": USING, "methodCalls": [["Core/echo", {}, "0"]] * 33}).encode(), "limit"),
        (b" " * 10_000_001, "limit"),
    ],
)
async def test_request_errors(ann: Person, body: bytes, kind: str) -> None:
    answer = await ann.http.post("/jmap/api", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["type"] == f"urn:ietf:params:jmap:error:{kind}"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_body_without_declared_length_is_bounded(ann: Person) -> None:
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 1_000_000

    answer = await ann.http.post("/jmap/api", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.json()["limit"] == "maxSizeRequest"
    assert sent <= 12


async def test_content_type(ann: Person) -> None:
    answer = await ann.http.post("/jmap/api", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.json()["type"].endswith("notJSON")


async def test_method_errors(ann: Person) -> None:
    mine = {"accountId": ann.account_id}
    answers = await ann.calls(
        ("Core/echo", {"a": [1, None]}),
        ("Nothing/get", mine),
        ("Email/get", {"accountId": "A1", "ids": []}),
        ("Email/get", mine | {"ids": [str(n) for n in range(501)]}),
        ("Email/get", mine | {"ids": "x"}),
        ("Email/get", mine | {"ids": [], "wish": 1}),
        ("Email/set", mine | {"destroy": [str(n) for n in range(501)]}),
        ("Email/changes", mine | {"sinceState": "99"}),
        ("Email/changes", mine | {"sinceState": "-1"}),
        ("Email/changes", mine | {"sinceState": "0", "maxChanges": 0}),
        ("Email/queryChanges", mine | {"sinceQueryState": "99"}),
        ("Email/get", mine | {"ids": [], "#ids": {"resultOf": "0", "name": "x", "path": ""}}),
        ("Email/query", mine | {"filter": {"text": "a\0b"}}),
        ("Mailbox/set", mine | {"create": {"a b": {"name": "x"}}}),
    )
    assert answers[0] == ("Core/echo", {"a": [1, None]})
    assert [answer.get("type") for _, answer in answers[1:]] == [
        "unknownMethod", "accountNotFound", "requestTooLarge", "invalidArguments", "invalidArguments",
        "requestTooLarge", "cannotCalculateChanges", "cannotCalculateChanges", "invalidArguments",
        "cannotCalculateChanges", "invalidArguments", "invalidArguments", "invalidArguments",
    ]  # fmt: skip


async def test_method_of_a_capability_not_asked_for(ann: Person) -> None:
    answers = await ann.calls(("Email/get", {"accountId": ann.account_id, "ids": []}), using=USING[:1])
    assert answers[0][1]["type"] == "unknownMethod"


async def test_created_ids_travel(ann: Person) -> None:
    body = {
        "using": USING, "createdIds": {"old": FOLDER["archive"]},
        "methodCalls": [
            ["Mailbox/set", {"accountId": ann.account_id, "create": {"f": {"name": "F", "parentId": "#old"}}}, "0"],
            ["Email/set", {"accountId": ann.account_id, "create": {"e": {"mailboxIds": {"#f": True}}}}, "1"],
        ],
    }  # fmt: skip
    answer = (await ann.http.post("/jmap/api", json=body)).json()
    assert set(answer["createdIds"]) == {"old", "f", "e"}
    assert answer["methodResponses"][1][1]["created"]["e"]["id"] == answer["createdIds"]["e"]
    assert answer["sessionState"]


async def test_upload_limit_and_types(world: World, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everpost.serve.web.app.MAX_SIZE_UPLOAD", 3_000_000)
    large = bytes(range(256)) * 10_000
    blob_id = await ann.upload(large)
    assert (await ann.download(blob_id, type="text/html")).content == large
    assert (await ann.download(blob_id, type="text/html\r\nX: y")).status_code == 400
    path = f"/jmap/upload/{ann.account_id}/"
    answer = await ann.http.post(path, content=b"x" * 3_000_001)
    assert answer.json()["limit"] == "maxSizeUpload"
    monkeypatch.setattr("everpost.standby.service.MAX_UPLOADED_OCTETS", 2_600_000)
    assert (await ann.http.post(path, content=b"x" * 100_000)).status_code == 413
    assert core.MAX_SIZE_UPLOAD == 50_000_000


async def test_old_uploads_go(world: World, ann: Person) -> None:
    from datetime import UTC, datetime, timedelta

    blob_id = await ann.upload(b"x" * 2_000_000)
    created = await ann.draft(attachments=[{"blobId": blob_id, "type": "a/b", "name": "a"}])
    assert await world.standby.forget_uploads(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert await world.standby.forget_uploads(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert (await ann.download(blob_id)).status_code == 404
    (attachment,) = (await ann.email(created["id"]))["attachments"]
    assert (await ann.download(attachment["blobId"])).content == b"x" * 2_000_000


async def test_concurrent_requests_are_bounded(world: World, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everpost.serve.web.app.MAX_CONCURRENT_REQUESTS", 0)
    answer = await ann.http.post("/jmap/api", json={"using": USING, "methodCalls": []})
    assert answer.json()["limit"] == "maxConcurrentRequests"


async def test_health(world: World, database: Database) -> None:
    async with world.client() as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).status_code == 200
        await database.close()
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert (await client.get("/nowhere")).status_code == 404


async def test_database_away(world: World, ann: Person) -> None:
    await world.database.close()
    answer = await ann.http.get("/jmap/session")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
