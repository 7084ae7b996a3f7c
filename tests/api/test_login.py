"""Administrators in a browser: cookie, foreign pages, sessions that end, guessing."""

from __future__ import annotations

from datetime import timedelta

import httpx

from api_tools.house import OURS, PASSWORD, House
from everpost.identity.administrators import Administrators

GOOD = {"name": "example-admin", "password": PASSWORD}


def browser(house: House) -> httpx.AsyncClient:
    return house.client()


async def test_a_session_is_a_cookie_of_its_own(house: House) -> None:
    async with browser(house) as client:
        answer = await client.post("/login", json=GOOD, headers=OURS)
        assert answer.json()["name"] == "example-admin"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-everpost-admin=")
        for attribute in ("HttpOnly", "Path=/", "SameSite=strict", "Secure", "Max-Age=43200"):
            assert attribute in cookie
        assert (await client.get("/me")).json()["installation"] is False
        assert (await client.post("/logout", headers=OURS)).status_code == 204
        assert (await client.get("/me")).status_code == 401
    events = (await house.get("list_audit", action="administrator."))["events"]
    assert events[0]["action"] == "administrator.logged-in"


async def test_another_page_cannot_act_with_the_cookie(house: House) -> None:
    path, body = "/queue/suspend", {"lane": None, "reason": "because"}
    async with browser(house) as client:
        for headers in ({}, OURS | {"Sec-Fetch-Site": "cross-site"}, OURS | {"Sec-Fetch-Site": "same-site"}):
            refused = await client.post("/login", json=GOOD, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "foreign-page")
        await client.post("/login", json=GOOD, headers=OURS)
        for headers in ({}, OURS | {"Sec-Fetch-Site": "cross-site"}):
            for url in (path, "/logout"):
                refused = await client.post(url, json=body, headers=headers)
                assert (refused.status_code, refused.json()["code"]) == (403, "foreign-page")
        assert (await client.get("/queue/suspensions")).json()["suspensions"][0]["lane"] == "stopped.example"
        assert (await client.post(path, json=body, headers=OURS)).status_code == 200
    async with house.client(house.tokens["example"]) as program:
        assert (await program.post("/queue/resume", json={"lane": None})).status_code == 200


async def test_an_expired_session_is_worth_nothing(house: House) -> None:
    async with browser(house) as client:
        await client.post("/login", json=GOOD, headers=OURS)
        assert (await client.get("/me")).status_code == 200
        async with house.database.connection() as connection:
            await connection.execute("UPDATE administrator_session SET expires_at = now() - $1::interval", timedelta())
        refused = await client.get("/me")
        assert (refused.status_code, refused.json()["code"]) == (401, "not-logged-in")


async def test_an_administrator_who_was_removed_is_out(house: House) -> None:
    await Administrators(house.database).remove("example-admin")
    assert (await house.call("me")).status_code == 401


async def test_guessing_is_slowed_down(house: House) -> None:
    async with browser(house) as client:
        for _ in range(10):
            answer = await client.post("/login", json=GOOD | {"password": "wrong"}, headers=OURS)
            assert (answer.status_code, answer.json()["code"]) == (401, "wrong-credentials")
            assert "set-cookie" not in answer.headers
        answer = await client.post("/login", json=GOOD, headers=OURS)
        assert (answer.status_code, answer.json()["code"]) == (429, "too-many-tries")
        assert int(answer.headers["retry-after"]) > 200
        other = await client.post("/login", json={"name": "root", "password": PASSWORD}, headers=OURS)
        assert other.status_code == 200
