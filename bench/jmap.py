"""What people's programs wait for: a folder's first rows, a message, a search, and news of new mail, over JMAP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench.driver import Outgoing, drive
from bench.installation import Everpost
from bench.results import percentile
from bench.tools import PeerFailed, wait_until
from bench.world import World

_USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
_ROUNDS = 200
_ROWS = 50
_LIST = ["threadId", "mailboxIds", "keywords", "from", "subject", "receivedAt", "preview", "hasAttachment"]
_WORDS = ("invoice", "contract weather", "morning", "customer report", "number")
_OPEN_AT_ONCE = 20


@dataclass
class Reader:
    """One person's program."""

    url: str
    token: str
    account: str = ""
    inbox: str = ""
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=120
        )

    async def open(self) -> None:
        session = (await self.client.get("/jmap/session")).raise_for_status().json()
        self.account = next(iter(session["accounts"]))
        ((_, answer, _),) = await self.call(["Mailbox/query", {"filter": {"role": "inbox"}}])
        self.inbox = answer["ids"][0]

    async def call(self, *calls: list[Any]) -> list[Any]:
        """Raises `PeerFailed` where a method is refused."""
        numbered = [
            [name, {"accountId": self.account} | given, str(number)] for number, (name, given) in enumerate(calls)
        ]
        answer = await self.client.post("/jmap/api", json={"using": _USING, "methodCalls": numbered})
        responses: list[Any] = answer.raise_for_status().json()["methodResponses"]
        if any(name == "error" for name, _, _ in responses):
            raise PeerFailed(f"JMAP: {responses}")
        return responses

    async def rows(self, **more: Any) -> list[str]:
        """The first rows of the inbox, as a list shows them."""
        query = {"filter": {"inMailbox": self.inbox} | more, "sort": [{"property": "receivedAt", "isAscending": False}],
                 "collapseThreads": True, "limit": _ROWS}  # fmt: skip
        ids = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
        first, _ = await self.call(["Email/query", query], ["Email/get", {"#ids": ids, "properties": _LIST}])
        found: list[str] = first[1]["ids"]
        return found

    async def read(self, email: str) -> None:
        """A message as a reader shows it."""
        await self.call(
            ["Email/get", {"ids": [email], "properties": [*_LIST, "bodyStructure", "textBody", "bodyValues"],
                           "fetchTextBodyValues": True}]
        )  # fmt: skip


def reader(everpost: Everpost, mailbox: str) -> Reader:
    """With a token of its own."""
    token = json.loads(everpost.command("mailbox", "token", mailbox, "--json"))["token"]
    return Reader(f"http://127.0.0.1:{everpost.web_port}", token)


def open_standby(everpost: Everpost) -> None:
    """As on the day: everybody works in the standby."""
    everpost.command("activate", "--all", "--reason", "benchmark")


def waits(everpost: Everpost, mailbox: str, emails: int) -> dict[str, float]:
    """p50 and p99 in milliseconds of the first rows and of reading a message; `emails` were really accepted."""
    return asyncio.run(_waits(reader(everpost, mailbox), emails))


async def _waits(person: Reader, emails: int) -> dict[str, float]:
    await person.open()
    latest = await person.rows()
    own = latest[: min(emails, len(latest))]
    return {
        **await _timed("rows", [person.rows] * _ROUNDS),
        **await _timed("read", [lambda email=email: person.read(email) for email in (own * _ROUNDS)[:_ROUNDS]]),
    }


def searches(everpost: Everpost, mailbox: str, world: World) -> dict[str, float]:
    """p50 and p99 of a search, once everything that was accepted has been indexed."""
    wait_until(lambda: _is_indexed(everpost), 300, "index")
    return asyncio.run(_searches(reader(everpost, mailbox)))


def _is_indexed(everpost: Everpost) -> bool:
    left = everpost.sql.value(
        "SELECT count(*) FROM mailbox m LEFT JOIN mailbox_text t ON t.organisation_id = m.organisation_id AND"
        " t.mailbox_id = m.id WHERE m.modseq > coalesce(t.modseq, 0)"
    )
    return int(left) == 0


async def _searches(person: Reader) -> dict[str, float]:
    await person.open()
    if not await person.rows(text=_WORDS[0]):
        raise PeerFailed("the search finds nothing")
    return await _timed("search", [lambda word=word: person.rows(text=word) for word in _WORDS * (_ROUNDS // 5)])


async def _timed(name: str, calls: Sequence[Any]) -> dict[str, float]:
    taken = []
    for call in calls:
        began = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began) * 1000)
    return {f"{name}_p50_ms": percentile(taken, 50), f"{name}_p99_ms": percentile(taken, 99)}


# ---------------------------------------------------------------------- push


def pushes(everpost: Everpost, world: World, messages: list[Outgoing], rate: float) -> dict[str, float]:
    """Everybody listens (RFC 8620 §7.3) while mail comes at an even rate: from the 250 until the reader is told."""
    readers = [reader(everpost, mailbox) for mailbox in world.mailboxes]
    return asyncio.run(_pushes(everpost, readers, messages, rate))


async def _pushes(everpost: Everpost, readers: list[Reader], messages: list[Outgoing], rate: float) -> dict[str, float]:
    told: list[float] = []
    slots = asyncio.Semaphore(_OPEN_AT_ONCE)
    listening = [asyncio.create_task(_listen(person, told, slots)) for person in readers]
    try:
        await asyncio.gather(*(person.open() for person in readers))
        await asyncio.sleep(3)
        told.clear()
        began = time.monotonic()
        # One message for each person in turn: each makes one state to be told.
        outcome = await asyncio.to_thread(drive, everpost.smtp_port, messages, 4, rate)
        while len(told) < outcome.messages and time.monotonic() - began < 120:
            await asyncio.sleep(0.01)
        # Messages start at an even rate, so the n-th one that is told was due at n / rate.
        late = sorted((at - began - number / rate) * 1000 for number, at in enumerate(sorted(told)[: outcome.messages]))
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        await asyncio.gather(*(person.client.aclose() for person in readers))
    if len(late) < outcome.messages:
        raise PeerFailed(f"only {len(late)} of {outcome.messages} messages were told of")
    return {"push_people": len(readers), "push_p50_ms": percentile(late, 50), "push_p99_ms": percentile(late, 99)}


async def _listen(person: Reader, told: list[float], slots: asyncio.Semaphore) -> None:
    async with slots:
        asked = {"types": "Email", "closeafter": "no", "ping": "60"}
        request = person.client.build_request("GET", "/jmap/events/", params=asked)
        answer = await person.client.send(request, stream=True)
    answer.raise_for_status()
    async for line in answer.aiter_lines():
        if line.startswith("event: state"):
            told.append(time.monotonic())
