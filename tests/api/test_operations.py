"""Every operation: that it succeeds and answers what the document says, and that no organisation sees another."""

from __future__ import annotations

import re

import httpx
import msgspec
import pytest

from api_tools.house import BY_NAME, OURS, House, path_of
from api_tools.samples import SAMPLES, ids_of, of, prepare
from everpost.serve.web.api.openapi import refusals_of
from everpost.serve.web.api.operations import OPERATIONS
from everpost.serve.web.api.registry import Access

CALLED = [operation.name for operation in OPERATIONS if not SAMPLES[operation.name].streams]
CHANGING = [name for name in CALLED if BY_NAME[name].method == "POST"]
OF_ORGANISATION = [name for name in CALLED if BY_NAME[name].access is Access.ORGANISATION]


def test_every_operation_has_a_sample() -> None:
    assert set(SAMPLES) == set(BY_NAME)
    assert len(BY_NAME) == len(OPERATIONS)


READING = ("preview_activation", "retry_lane", "start_drill", "try_policy")
"""Those that ask with a body, or leave no event of their own."""


@pytest.mark.parametrize("name", CHANGING)
async def test_it_does_what_it_says(house: House, name: str) -> None:
    await prepare(house, name, "example")
    await _answers_as_described(house, name)
    if BY_NAME[name].access is Access.ORGANISATION and name not in READING:
        audit = await house.get("list_audit", limit=1)
        assert audit["events"][0]["actor"] == "admin:example-admin"


async def test_it_shows_what_the_document_says(house: House) -> None:
    for name in CALLED:
        if BY_NAME[name].method == "GET":
            await _answers_as_described(house, name)


async def _answers_as_described(house: House, name: str) -> None:
    sample, operation = SAMPLES[name], BY_NAME[name]
    async with house.client(house.tokens["example"], **OURS) as client:
        answer = await client.request(
            operation.method, path_of(operation, ids_of(house, name, "example")), params=of(sample.query, "example"),
            **({"json": of(sample.body, "example") or {}} if operation.body else {}),
        )  # fmt: skip
    assert answer.status_code == operation.status, (name, answer.text)
    assert answer.headers["cache-control"] == "no-store"
    if operation.answer is None:
        assert answer.content == b""
        return
    msgspec.json.decode(answer.content, type=operation.answer)
    known = set(msgspec.json.decode(answer.content))
    assert known == {field.name for field in msgspec.structs.fields(operation.answer)}


async def test_nobody_touches_or_sees_another_organisation(house: House) -> None:
    """The other's identifiers and names, in every operation there is."""
    other = house.things["other"]
    before = await house.dump(other.organisation.id)
    secrets = ["other.org", *other.ids.values()]
    for name in OF_ORGANISATION:
        sample, operation = SAMPLES[name], BY_NAME[name]
        body, query, ids = of(sample.body, "other"), of(sample.query, "other"), ids_of(house, name, "other")
        answer = await house.call(name, body, ids=ids, **query)
        if operation.path_parameters or "other" in str(body):
            assert answer.status_code in (404, 409), (name, answer.text)
            assert answer.json()["code"] in ("not-found", "no-such-scope", "refused"), name
        for secret in secrets:
            echoed = answer.json().get("code") == "refused" and secret == ids["message"]
            assert secret != "other.org" or secret not in answer.text, (name, answer.text)
            assert echoed or f'"{secret}"' not in answer.text, (name, secret, answer.text)
        named = await house.call(name, body, ids=ids, organisation="other", **query)
        assert (named.status_code, named.json()["code"]) == (404, "not-found"), name
        unknown = await house.call(name, body, organisation="no-such", **query)
        assert unknown.json() == named.json()
    assert await house.dump(other.organisation.id) == before


async def test_the_whole_installation_is_seen_by_its_administrators_only(house: House) -> None:
    everything = await house.get("get_overview", who="root")
    assert [each["name"] for each in everything["organisations"]] == ["example", "other"]
    assert everything["database"] is not None
    own = await house.call("get_overview")
    assert [each["name"] for each in own.json()["organisations"]] == ["example"]
    assert own.json()["database"] is None
    assert "other" not in own.text
    assert (await house.call("get_overview", organisation="other")).status_code == 404
    assert (await house.get("me"))["organisations"] == [{"name": "example", "display_name": "example"}]
    assert len((await house.get("me", who="root"))["organisations"]) == 2
    needed = await house.call("list_queue", who="root")
    assert (needed.status_code, needed.json()["code"]) == (400, "organisation-needed")
    chosen = await house.get("list_activations", who="root", organisation="other")
    assert {each["scope"]["name"] for each in chosen["activations"]} == {"anna@other.org", "ben@other.org"}
    for name in ("list_audit", "verify_audit"):
        assert (await house.call(name, installation="true")).json()["code"] == "installation-only"
        assert (await house.call(name, organisation="other")).status_code == 404
        await house.get(name, who="root", installation="true")
        await house.get(name, who="root", organisation="other")


async def test_nothing_without_logging_in(house: House) -> None:
    for operation in OPERATIONS:
        if operation.access is Access.PUBLIC:
            continue
        path = path_of(operation, ids_of(house, operation.name, "example"))
        for headers in (
            {},
            {"Authorization": "Bearer eva_x"},
            {"Authorization": "Basic YTpi"},
            {"Cookie": "__Host-everpost-admin=x"},
        ):
            async with house.client(**headers, **OURS) as client:
                answer = await client.request(operation.method, path, json={})
                assert (answer.status_code, answer.json()["code"]) == (401, "not-logged-in")
                assert answer.headers["content-type"] == "application/problem+json"


async def test_strange_bodies(house: House) -> None:
    before = await house.dump(house.things["example"].organisation.id)
    async with house.client(house.tokens["example"], **OURS) as client:
        for name in CALLED:
            if BY_NAME[name].body is not None:
                await _strange_bodies(house, client, name)
    assert await house.dump(house.things["example"].organisation.id) == before


async def _strange_bodies(house: House, client: httpx.AsyncClient, name: str) -> None:
    operation = BY_NAME[name]
    assert operation.body is not None
    path = path_of(operation, ids_of(house, name, "example"))
    good = of(SAMPLES[name].body, "example") or {}

    async def refused(content: bytes, kind: str = "application/json") -> tuple[int, str, str | None]:
        answer = await client.request(operation.method, path, content=content, headers={"Content-Type": kind})
        assert answer.status_code in refusals_of(operation), (name, content[:100], answer.text)
        return answer.status_code, answer.json()["code"], answer.json().get("field")

    assert await refused(b"{}" + b" " * 70_000) == (413, "too-large", None)
    assert await refused(b"{}", "text/plain") == (415, "not-json", None)
    for content in (b"", b"{", b"\xff", b'{"reason": "\xff"}', b"[" * 60_000):
        assert (await refused(content))[:2] in ((400, "not-json"), (400, "invalid"))
    assert await refused(b"[]") == (400, "invalid", None)
    assert await refused(msgspec.json.encode({**good, "surprise": 1})) == (400, "invalid", "surprise")
    for field in msgspec.structs.fields(operation.body):
        status, code, where = await refused(msgspec.json.encode({**good, field.name: [1]}))
        assert (status, code, re.split(r"[.\[]", where or "")[0]) == (400, "invalid", field.name)
        if field.required:
            missing = msgspec.json.encode({key: value for key, value in good.items() if key != field.name})
            assert await refused(missing) == (400, "invalid", field.name)
        if isinstance(good.get(field.name), str) and name != "log_in":
            nul = msgspec.json.encode({**good, field.name: "a\0b"})
            assert (await refused(nul))[:2] == (400, "invalid")


async def test_strange_parameters(house: House) -> None:
    for name in OF_ORGANISATION:
        if BY_NAME[name].method != "GET":
            continue
        answer = await house.call(name, surprise="1")
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (400, "invalid", "surprise")
        for field in msgspec.structs.fields(BY_NAME[name].query):
            if field.name in ("limit", "offset"):
                for value in ("-1", "1000000", "x", "1.5"):
                    answer = await house.call(name, **{field.name: value})
                    assert (answer.status_code, answer.json()["field"]) == (400, field.name), value
            else:
                answer = await house.call(name, **{field.name: "a\0b"})
                assert answer.status_code == 400, (field.name, answer.text)


async def test_identifiers_of_nothing(house: House) -> None:
    for operation in OPERATIONS:
        parameters, body = operation.path_parameters, of(SAMPLES[operation.name].body, "example")
        for text in ("0", "ZZZZZZZZZZZZZ", "U", "x" * 200, "%00", "1-2") if parameters else ():
            answer = await house.call(operation.name, body, ids=dict.fromkeys(parameters, text))
            assert answer.status_code in (404, 409), (operation.name, text, answer.text)
            assert answer.json()["code"] in ("not-found", "refused")


async def test_addresses_and_methods_that_are_not_there(house: House) -> None:
    async with house.client(house.tokens["example"]) as client:
        answer = await client.get("/no/such/thing")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        for method, path in (("DELETE", "/me"), ("HEAD", "/events"), ("GET", "/login"), ("POST", "/overview")):
            answer = await client.request(method, path)
            assert answer.status_code == 405
        twice = await client.get("/failbacks?limit=1&limit=2")
        assert (twice.status_code, twice.json()["field"]) == (400, "limit")
