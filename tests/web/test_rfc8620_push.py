"""RFC 8620 §7.3: the event source, over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

from web.test_shared_mailboxes import share
from web_tools.world import Person, World, message


@contextlib.asynccontextmanager
async def served(world: World) -> AsyncIterator[tuple[str, uvicorn.Server, asyncio.Task[None]]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(world.app, log_level="warning", lifespan="off", timeout_graceful_shutdown=5)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", server, task
        world.app.state.push.close()
        server.should_exit = True
        await asyncio.wait_for(task, 10)


class Stream:
    """One open event source; `next` gives the next event as (name, data, id)."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self, timeout: float = 3) -> tuple[str, Any, str]:
        async with asyncio.timeout(timeout):
            name, data, number = "", "", ""
            while True:
                line = await anext(self._lines)
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    data = line[5:].strip()
                elif line.startswith("id:"):
                    number = line[3:].strip()
                elif not line and data:
                    return name, json.loads(data), number

    async def ended(self, timeout: float = 3) -> bool:
        async with asyncio.timeout(timeout):
            async for line in self._lines:
                assert not line.startswith("data:"), line
        return True


@contextlib.asynccontextmanager
async def opened(
    world: World, base: str, address: str = "ann@example.org", headers: dict[str, str] | None = None, **query: str
) -> AsyncIterator[Stream]:
    values = {"types": "*", "closeafter": "no", "ping": "0"} | query
    before = world.app.state.push.streams
    async with (
        httpx.AsyncClient(base_url=base, auth=(address, "secret"), timeout=20) as client,
        client.stream("GET", "/jmap/events/", params=values, headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        while world.app.state.push.streams == before:
            await asyncio.sleep(0.01)
        yield Stream(response)


async def test_rfc8620_7_3_new_mail_is_told_within_a_second(world: World, ann: Person) -> None:
    async with served(world) as (base, _, _), opened(world, base) as stream:
        begun = time.monotonic()
        await world.deliver("ann@example.org", message("Now"))
        name, data, number = await stream.next()
        assert time.monotonic() - begun < 1
        assert name == "state"
        state = (await ann.call("Email/get", ids=[]))["state"]
        assert number == state
        assert data["@type"] == "StateChange"
        assert data["changed"] == {
            ann.account_id: dict.fromkeys(("Email", "EmailDelivery", "Mailbox", "Thread"), state)
        }


async def test_rfc8620_7_3_another_clients_change_and_the_types_filter(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("One"))
    (email_id,) = await ann.email_ids()
    async with (
        served(world) as (base, _, _),
        opened(world, base, types="Thread,EmailSubmission") as few,
        opened(world, base) as all_,
    ):
        await ann.call("Email/set", update={email_id: {"keywords/$flagged": True}})
        _, data, _ = await all_.next()
        assert set(data["changed"][ann.account_id]) == {"Email", "Mailbox"}
        await ann.call("Identity/set", update={await ann.identity(): {"name": "Ann B."}})
        _, data, _ = await all_.next()
        assert set(data["changed"][ann.account_id]) == {"Identity"}
        await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})
        _, data, _ = await all_.next()
        assert set(data["changed"][ann.account_id]) == {"VacationResponse"}
        await ann.call("Email/set", destroy=[email_id])
        _, data, _ = await few.next()
        assert set(data["changed"][ann.account_id]) == {"Thread"}


async def test_rfc8620_7_3_nobody_hears_of_others(world: World, ann: Person) -> None:
    await world.person("bob@example.org")
    async with served(world) as (base, _, _), opened(world, base, "bob@example.org") as stream:
        await world.deliver("ann@example.org", message("Not for bob"))
        with pytest.raises(TimeoutError):
            await stream.next(1)


async def test_rfc8620_7_3_closeafter_state(world: World, ann: Person) -> None:
    async with served(world) as (base, _, _), opened(world, base, closeafter="state") as stream:
        await world.deliver("ann@example.org", message("Now"))
        assert (await stream.next())[0] == "state"
        assert await stream.ended()
    assert world.app.state.push.streams == 0


async def test_rfc8620_7_3_ping(world: World, ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from everpost.serve.web.jmap import push

    monkeypatch.setattr(push, "PING_S", (1, 300))
    async with served(world) as (base, _, _), opened(world, base, ping="1") as stream:
        assert (await stream.next())[:2] == ("ping", {"interval": 1})


async def test_rfc8620_7_3_the_interval_is_bounded_and_told() -> None:
    from everpost.serve.web.jmap.push import clamp_ping, ping_event

    assert [clamp_ping(text) for text in ("0", "1", "30", "300", "99999")] == [0, 5, 30, 300, 900]
    assert ping_event(30) == b'event: ping\ndata: {"interval":30}\n\n'
    for text in ("", "x", "-1", "1.5", "9" * 11):
        with pytest.raises(ValueError):
            clamp_ping(text)


async def test_rfc8620_7_3_last_event_id_tells_what_was_missed(world: World, ann: Person) -> None:
    since = (await ann.call("Email/get", ids=[]))["state"]
    await world.deliver("ann@example.org", message("While away"))
    async with served(world) as (base, _, _):
        async with opened(world, base, headers={"Last-Event-ID": since}) as stream:
            _, data, number = await stream.next(1)
            assert set(data["changed"][ann.account_id]) == {"Email", "EmailDelivery", "Mailbox", "Thread"}
        async with opened(world, base, headers={"Last-Event-ID": number}) as stream:
            with pytest.raises(TimeoutError):
                await stream.next(0.8)


async def test_streams_end_when_the_worker_stops(world: World, ann: Person) -> None:
    async with served(world) as (base, server, task), opened(world, base) as stream:
        begun = time.monotonic()
        world.app.state.push.close()
        server.should_exit = True
        assert await stream.ended()
        await asyncio.wait_for(asyncio.shield(task), 3)
        assert time.monotonic() - begun < 3


async def test_without_a_login_and_with_nonsense(world: World, ann: Person) -> None:
    assert (await world.client().get("/jmap/events/")).status_code == 401
    for query in ({"ping": "x"}, {"closeafter": "never"}, {"ping": "-1"}):
        assert (await ann.http.get("/jmap/events/", params=query)).status_code == 400


async def test_one_listener_hears_many_changes_at_once(world: World, ann: Person) -> None:
    async with served(world) as (base, _, _), opened(world, base) as stream:
        for number in range(20):
            await world.deliver("ann@example.org", message(f"Number {number}"))
        final = (await ann.call("Email/get", ids=[]))["state"]
        events = 0
        while True:
            _, data, _ = await stream.next()
            events += 1
            if data["changed"][ann.account_id]["Email"] == final:
                break
        assert events < 10


async def test_rfc8620_2_the_session_names_the_event_source(ann: Person) -> None:
    session = (await ann.http.get("/jmap/session")).json()
    url = session["eventSourceUrl"]
    assert all(part in url for part in ("{types}", "{closeafter}", "{ping}"))
    assert url.startswith("https://")


async def test_rfc8620_7_2_push_subscriptions_are_refused_with_a_reason(ann: Person) -> None:
    ((name, answer),) = await ann.calls(
        ("PushSubscription/set", {"create": {
            "a": {"deviceClientId": "x", "url": "http://example.com/push"},
            "b": {"deviceClientId": "x", "url": "https://example.com/push"},
        }})
    )  # fmt: skip
    assert name == "PushSubscription/set"
    assert answer["notCreated"]["a"]["type"] == "invalidProperties"
    assert answer["notCreated"]["b"]["type"] == "forbidden"
    ((_, found),) = await ann.calls(("PushSubscription/get", {"ids": ["x"]}))
    assert found == {"list": [], "notFound": ["x"]}


async def test_rfc8620_2_a_changed_session_is_told_and_ends_the_stream(world: World, ann: Person) -> None:
    await world.person("office@example.org")
    async with served(world) as (base, _, _):
        for rights in ("read", "send", None):  # shared, with other rights, withdrawn
            async with opened(world, base) as stream:
                await share(world, rights)
                name, data, _ = await stream.next()
                assert name == "session"
                session = (await ann.http.get("/jmap/session")).json()
                assert data == {"sessionState": session["state"]}
                assert (len(session["accounts"]) > 1) == (rights is not None)
                assert await stream.ended()


async def test_rfc8620_2_a_change_that_is_not_theirs_goes_by(world: World, ann: Person) -> None:
    await world.person("carl@example.org")
    await world.person("office@example.org")
    async with served(world) as (base, _, _), opened(world, base) as stream:
        await share(world, "read", "carl@example.org")
        await asyncio.sleep(0.5)
        await world.deliver("ann@example.org", message("Later"))
        name, data, _ = await stream.next()
        assert (name, list(data["changed"])) == ("state", [ann.account_id])
