"""RFC 8887: JMAP over WebSocket, on a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from everpost.wire.jmap.core import MAX_SIZE_REQUEST
from web_tools.world import USING, Person, World, message

BASIC = {"Authorization": "Basic " + base64.b64encode(b"ann@example.org:secret").decode()}


@pytest.fixture
async def port(world: World) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            world.app, log_level="warning", lifespan="off", ws="websockets-sansio", ws_max_size=MAX_SIZE_REQUEST
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        world.app.state.push.close()
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def opened(port: int, **more: Any) -> AsyncIterator[Jmap]:
    headers = more.pop("headers", BASIC)
    protocols = more.pop("protocols", ["jmap"])
    async with connect(
        f"ws://127.0.0.1:{port}/jmap/ws", subprotocols=protocols, additional_headers=headers, proxy=None, **more
    ) as connection:
        yield Jmap(connection)


class Jmap:
    """A client with one connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def request(self, *calls: Any, **more: Any) -> None:
        await self.send(**{"@type": "Request", "using": USING, "methodCalls": list(calls)} | more)

    async def receive(self, seconds: float = 5) -> dict[str, Any]:
        return json.loads(await asyncio.wait_for(self.connection.recv(), seconds))

    async def silence(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.connection.recv(), seconds)


async def test_rfc8887_3_the_session_tells_the_address(ann: Person, port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=BASIC) as http:
        session = (await http.get("/jmap/session")).json()
    about = session["capabilities"]["urn:ietf:params:jmap:websocket"]
    assert about == {"url": f"ws://127.0.0.1:{port}/jmap/ws", "supportsPush": True}
    session = (await ann.http.get("/jmap/session")).json()
    assert session["capabilities"]["urn:ietf:params:jmap:websocket"]["url"] == "wss://mail.example.org/jmap/ws"


async def test_rfc8887_4_1_who_may_open(world: World, ann: Person, port: int) -> None:
    async with opened(port) as jmap:
        assert jmap.connection.subprotocol == "jmap"
    refused: list[tuple[dict[str, Any], int]] = [
        ({"headers": {}}, 401),
        ({"headers": {"Authorization": "Bearer nonsense"}}, 401),
        ({"headers": {"Cookie": "everpost=nonsense"}, "origin": f"http://127.0.0.1:{port}"}, 401),
        ({"protocols": None}, 400),
        ({"protocols": ["mqtt"]}, 400),
    ]
    for how, status in refused:
        with pytest.raises(InvalidStatus) as error:
            async with opened(port, **how):
                pass
        assert error.value.response.status_code == status, how


async def test_a_browser_opens_one_from_our_pages_only(world: World, ann: Person, port: int) -> None:
    origin = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=origin, headers={"X-Everpost": "1"}) as http:
        logged_in = await http.post("/auth/login", json={"address": "ann@example.org", "password": "secret"})
        cookie = {"Cookie": logged_in.headers["set-cookie"].partition(";")[0]}
    async with opened(port, headers=cookie, origin=origin) as jmap:
        await jmap.request(["Core/echo", {"a": 1}, "c"])
        assert (await jmap.receive())["methodResponses"] == [["Core/echo", {"a": 1}, "c"]]
    for foreign in ("https://evil.example", f"http://127.0.0.1:{port + 1}", "null", None):
        with pytest.raises(InvalidStatus) as error:
            async with opened(port, headers=cookie, origin=foreign):
                pass
        assert error.value.response.status_code == 403, foreign


async def test_rfc8887_4_3_1_requests_and_their_ids(world: World, ann: Person, port: int) -> None:
    await world.deliver("ann@example.org", message("Over the wire"))
    account = {"accountId": ann.account_id}
    async with opened(port) as jmap:
        await jmap.request(
            ["Email/query", account, "0"],
            [
                "Email/get",
                account | {"#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"}, "properties": ["subject"]},
                "1",
            ],
            id="R1",
        )
        answer = await jmap.receive()
        assert (answer["@type"], answer["requestId"]) == ("Response", "R1")
        assert answer["methodResponses"][1][1]["list"][0]["subject"] == "Over the wire"
        session = (await ann.http.get("/jmap/session")).json()
        assert answer["sessionState"] == session["state"]
        await jmap.request(["Core/echo", {}, "0"])
        assert "requestId" not in await jmap.receive()
        await jmap.request(["Core/echo", {}, "0"], createdIds={"a": "b"}, id="")
        answer = await jmap.receive()
        assert (answer["createdIds"], answer["requestId"]) == ({"a": "b"}, "")
        for number in range(40):  # more than may be under way at once: none is lost
            await jmap.request(["Core/echo", {"n": number}, "0"], id=f"{number}")
        answers = [await jmap.receive() for _ in range(40)]
        assert {answer["requestId"] for answer in answers} == {f"{number}" for number in range(40)}


async def test_rfc8887_4_3_4_errors(ann: Person, port: int) -> None:
    kinds = "urn:ietf:params:jmap:error:"
    async with opened(port) as jmap:
        for text, kind, request_id in (
            ("no json", "notJSON", None),
            ("[]", "notRequest", None),
            ('{"@type":"Response","id":"x"}', "notRequest", "x"),
            ('{"@type":"Request","id":"x"}', "notRequest", "x"),
            ('{"@type":"Request","id":5,"using":[]}', "notRequest", None),
            ('{"@type":"Request","id":"x","using":["urn:nonsense"],"methodCalls":[]}', "unknownCapability", "x"),
            ('{"@type":"WebSocketPushEnable","dataTypes":"Email","id":"p"}', "notRequest", "p"),
            ('{"a":' * 100 + "1" + "}" * 100, "notRequest", None),
        ):
            await jmap.connection.send(text)
            error = await jmap.receive()
            assert (error["@type"], error["type"], error["requestId"]) == ("RequestError", kinds + kind, request_id), (
                text
            )
            assert error["status"] == 400
        await jmap.request(*[["Core/echo", {}, "0"]] * 33, id="many")
        error = await jmap.receive()
        assert (error["type"], error["limit"], error["requestId"]) == (kinds + "limit", "maxCallsInRequest", "many")
        await jmap.request(["Nonsense/get", {}, "0"])  # and it goes on
        assert (await jmap.receive())["methodResponses"][0][1]["type"] == "unknownMethod"


async def test_rfc8887_4_3_limits_of_requests_under_way(
    ann: Person, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from everpost.serve.web.jmap import sockets

    free, real = asyncio.Event(), sockets.perform

    async def slow(*arguments: Any) -> bytes:
        await free.wait()
        return await real(*arguments)

    monkeypatch.setattr(sockets, "perform", slow)
    async with opened(port) as jmap:
        for number in range(9):
            await jmap.request(["Core/echo", {}, "0"], id=f"{number}")
        error = await jmap.receive()
        assert error["limit"] == "maxConcurrentRequests"
        free.set()
        answered = {(await jmap.receive())["requestId"] for _ in range(8)}
        assert answered | {error["requestId"]} == {f"{number}" for number in range(9)}


@pytest.mark.parametrize("octets", [b"\0\1", b"x" * (MAX_SIZE_REQUEST + 1)])
async def test_rfc8887_4_what_is_no_text_or_too_large_ends_it(ann: Person, port: int, octets: bytes) -> None:
    async with opened(port) as jmap:
        with contextlib.suppress(ConnectionClosed):
            await jmap.connection.send(octets if len(octets) < 9 else octets.decode())
        with pytest.raises(ConnectionClosed) as closed:
            await jmap.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == (1003 if len(octets) < 9 else 1009)


async def test_rfc8887_4_3_5_push(world: World, ann: Person, port: int) -> None:
    async with opened(port) as jmap:
        await jmap.send(**{"@type": "WebSocketPushEnable", "dataTypes": ["Email"]})
        await jmap.request(["Core/echo", {}, "0"])
        await jmap.receive()
        await world.deliver("ann@example.org", message())
        told = await jmap.receive()
        state = (await ann.call("Email/get", ids=[]))["state"]
        assert told == {
            "@type": "StateChange", "changed": {ann.account_id: {"Email": state}}, "pushState": state,
        }  # fmt: skip
        await ann.call("Identity/set", create={"i": {"email": "ann@example.org", "name": "x"}})
        await jmap.silence(0.8)  # nobody asked about identities
        await jmap.send(**{"@type": "WebSocketPushEnable", "dataTypes": None})
        await jmap.request(["Core/echo", {}, "0"])
        await jmap.receive()
        await ann.draft()
        assert {"Email", "Mailbox", "Thread"} <= set((await jmap.receive())["changed"][ann.account_id])
        await jmap.send(**{"@type": "WebSocketPushDisable"})
        await ann.draft()
        await jmap.silence(0.8)
    async with opened(port) as jmap:  # what happened meanwhile is told at once
        await jmap.send(**{"@type": "WebSocketPushEnable", "dataTypes": None, "pushState": state})
        assert "Email" in (await jmap.receive())["changed"][ann.account_id]


async def test_a_door_that_closes_ends_the_connection(world: World, ann: Person, port: int) -> None:
    async with opened(port, headers={"Authorization": "Bearer token-ann@example.org"}) as jmap:
        world.logins.people.pop("ann@example.org")
        await jmap.request(["Core/echo", {}, "0"])
        with pytest.raises(ConnectionClosed) as closed:
            await jmap.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
