"""Logging in and out of a browser."""

from __future__ import annotations

import httpx
import pytest

from everpost.serve.web.static import POLICY
from web_tools.world import Person, World

OURS = {"X-Everpost": "1"}


def browser(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="https://mail.example.org")


def credentials(ann: Person, password: str = "secret") -> dict[str, str]:
    return {"address": str(ann.login.address), "password": password}


async def test_a_session_is_a_cookie(world: World, ann: Person) -> None:
    async with browser(world) as client:
        assert (await client.get("/jmap/session")).status_code == 401
        answer = await client.post("/auth/login", json=credentials(ann), headers=OURS)
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-everpost=")
        for attribute in ("HttpOnly", "Path=/", "SameSite=strict", "Secure"):
            assert attribute in cookie
        assert (await client.get("/jmap/session")).json()["username"] == ann.login.address.key
        standing = (await client.get("/api/v1/standby")).json()
        assert standing["domains"] == ["example.org"]
        assert (standing["master"], standing["state"], standing["address"]) == ("standby", None, "ann@example.org")
        async with world.database.connection() as connection:
            stored = await connection.fetchval("SELECT secret FROM web_session")
        assert stored not in cookie
        assert (await client.post("/auth/logout", headers=OURS)).status_code == 204
        assert (await client.get("/jmap/session")).status_code == 401
        async with world.database.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM web_session") == 0


async def test_another_page_cannot_act_with_the_cookie(world: World, ann: Person) -> None:
    async with browser(world) as client:
        await client.post("/auth/login", json=credentials(ann), headers=OURS)
        body = {"using": ["urn:ietf:params:jmap:core"], "methodCalls": [["Core/echo", {}, "0"]]}
        assert (await client.post("/jmap/api", json=body)).status_code == 403
        assert (await client.post("/jmap/api", json=body, headers=OURS)).status_code == 200
        foreign = OURS | {"Sec-Fetch-Site": "cross-site"}
        assert (await client.post("/jmap/api", json=body, headers=foreign)).status_code == 403
        assert (await client.post("/auth/logout")).status_code == 403
        assert (await client.post("/auth/login", json=credentials(ann))).status_code == 403


async def test_wrong_passwords_are_slowed_down(world: World, ann: Person) -> None:
    async with browser(world) as client:
        for _ in range(10):
            answer = await client.post("/auth/login", json=credentials(ann, "wrong"), headers=OURS)
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
        answer = await client.post("/auth/login", json=credentials(ann), headers=OURS)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 200
        basic = await client.get("/jmap/session", auth=("ann@example.org", "secret"))
        assert basic.status_code == 429


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"[1", "application/json", 400),
        (b'{"address": 1, "password": "x"}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b" " * 9000, "application/json", 413),
        (b"address=a&password=b", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_bad_requests(world: World, content: bytes, kind: str, status: int) -> None:
    async with browser(world) as client:
        answer = await client.post("/auth/login", content=content, headers=OURS | {"Content-Type": kind})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


async def test_sessions_end(world: World, ann: Person) -> None:
    async with browser(world) as client:
        await client.post("/auth/login", json=credentials(ann), headers=OURS)
        async with world.database.connection() as connection:
            await connection.execute("UPDATE web_session SET seen_at = now() - interval '8 days'")
        assert (await client.get("/jmap/session")).status_code == 401


def test_policy_lets_no_script_in() -> None:
    assert "script-src 'self'" in POLICY
    assert "unsafe-eval" not in POLICY
    assert "require-trusted-types-for 'script'" in POLICY
