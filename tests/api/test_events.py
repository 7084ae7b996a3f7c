"""The stream of changes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn

from api_tools.house import House
from continuity.setting import add_delivery, execute
from everpost.identity.administrators import Administrators
from everpost.serve.web.api.changes import MAX_OF_ONE, TooMany

REASON = {"reason": "looks odd"}
Lines = AsyncIterator[str]


@pytest.fixture
async def base(house: House) -> AsyncIterator[str]:
    """The API behind uvicorn: what streams needs a real socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(house.app, log_level="warning", lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        house.services.changes.close()
        server.should_exit = True
        async with asyncio.timeout(5):
            await task


async def event(lines: Lines) -> tuple[str, dict[str, object]]:
    """The next event."""
    kind = ""
    async with asyncio.timeout(10):
        async for line in lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            if line.startswith("data: "):
                return kind, json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream has ended")


async def ended(lines: Lines) -> bool:
    async with asyncio.timeout(10):
        async for line in lines:
            if line.startswith("event: "):
                return False
    return True


async def seen(house: House) -> None:
    """Until the watcher has looked for the first time."""
    async with asyncio.timeout(10):
        while not house.services.changes._seen:
            await asyncio.sleep(0.01)


async def test_it_says_what_changed_and_nothing_of_others(house: House, base: str) -> None:
    headers = {"Authorization": f"Bearer {house.tokens['example']}"}
    async with httpx.AsyncClient(headers=headers) as client, client.stream("GET", f"{base}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.aiter_lines()
        assert await event(lines) == ("ready", {})
        await seen(house)
        await house.call("doubt_primary", REASON, who="other")
        await house.get("pause_failback", {"reason": "lunch"})
        assert await event(lines) == ("change", {"organisation": "example", "topics": ["failbacks"]})
        await house.get("doubt_primary", REASON)
        kind, data = await event(lines)
        assert (kind, data["organisation"]) == ("change", "example")
        topics = set(data["topics"])
        if "alerts" not in topics:
            topics |= set((await event(lines))[1]["topics"])
        assert topics == {"primaries", "alerts"}
        number = await house.database.ids.new()
        await add_delivery(house.database, house.things["example"].organisation, "cora", number, kind="internet")
        assert set((await event(lines))[1]["topics"]) == {"mail", "queue"}
        house.services.changes.close()
        assert await ended(lines)


async def test_it_ends_with_who_listens(house: House, base: str) -> None:
    headers = {"Authorization": f"Bearer {house.tokens['example']}"}
    url = f"{base}/events?ping=0.05"
    async with httpx.AsyncClient(headers=headers) as client, client.stream("GET", url) as stream:
        lines = stream.aiter_lines()
        await event(lines)
        await Administrators(house.database).remove("example-admin")
        assert await ended(lines)
    await left(house)


async def test_a_page_that_is_closed_is_forgotten(house: House, base: str) -> None:
    headers = {"Authorization": f"Bearer {house.tokens['root']}"}
    async with httpx.AsyncClient(headers=headers) as client:
        async with client.stream("GET", f"{base}/events") as stream:
            await event(stream.aiter_lines())
        await left(house)
        await execute(house.database, "UPDATE organisation SET display_name = name")


async def left(house: House) -> None:
    async with asyncio.timeout(10):
        while house.services.changes._listeners or house.services.changes._task is not None:
            await asyncio.sleep(0.01)


async def test_there_are_only_so_many(house: House) -> None:
    changes = house.services.changes
    listeners = [changes.listen(1, {}) for _ in range(MAX_OF_ONE)]
    with pytest.raises(TooMany):
        changes.listen(1, {})
    changes.leave(listeners[0])
    changes.leave(changes.listen(1, {}))
    for number in range(2, 100):
        if len(changes._listeners) == 100:
            break
        changes.listen(number, {})
    with pytest.raises(TooMany):
        changes.listen(1000, {})
    answer = await house.call("stream_events")
    assert (answer.status_code, answer.json()["code"]) == (429, "busy")
