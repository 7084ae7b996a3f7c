"""The cache and the limits of questions, and the real resolver against a name server of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from auth_tools.zone import Zone, zone_of_texts
from everpost.auth.resolver import (
    CacheLimits,
    CachingResolver,
    DnsResolver,
    LimitedResolver,
    Lookup,
    RecordType,
    Status,
    is_name,
)

TXT = RecordType.TXT


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", ["a.example", "a.example.", "_dmarc.example.org", "x" * 63 + ".example"])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".example", "ä.example", "a." * 128])
def test_no_names(name: str) -> None:
    assert not is_name(name)


async def test_answers_are_kept_for_their_time() -> None:
    zone, clock = zone_of_texts({"a.example": "x"}), Clock()
    cache = CachingResolver(zone, clock=clock)
    for name in ("a.example", "A.Example.", "a.example"):
        assert (await cache.lookup(name, TXT)).records == ("x",)
    assert len(zone.asked) == 1
    clock.now += 301
    await cache.lookup("a.example", TXT)
    assert len(zone.asked) == 2


async def test_no_such_name_is_kept_for_a_shorter_time() -> None:
    zone, clock = Zone(), Clock()
    cache = CachingResolver(zone, clock=clock)
    assert (await cache.lookup("a.example", TXT)).status is Status.NO_DOMAIN
    clock.now += 14
    await cache.lookup("a.example", TXT)
    assert len(zone.asked) == 1
    clock.now += 2
    await cache.lookup("a.example", TXT)
    assert len(zone.asked) == 2


async def test_no_answer_is_kept_briefly_and_stays_temporary() -> None:
    zone, clock = Zone(dead={"a.example": frozenset((TXT,))}), Clock()
    cache = CachingResolver(zone, clock=clock)
    assert (await cache.lookup("a.example", TXT)).temporary
    assert (await cache.lookup("a.example", TXT)).temporary
    assert len(zone.asked) == 1
    clock.now += 6
    zone.dead.clear()
    assert (await cache.lookup("a.example", TXT)).status is Status.NO_DOMAIN


async def test_cache_is_bounded_and_drops_the_least_used() -> None:
    zone = zone_of_texts({f"{n}.example": str(n) for n in range(10)})
    cache = CachingResolver(zone, CacheLimits(entries=3))
    for n in (0, 1, 2, 0, 3):
        await cache.lookup(f"{n}.example", TXT)
    asked = len(zone.asked)
    await cache.lookup("0.example", TXT)
    assert len(zone.asked) == asked
    await cache.lookup("1.example", TXT)
    assert len(zone.asked) == asked + 1


async def test_large_answers_do_not_fill_the_memory() -> None:
    zone = zone_of_texts({f"{n}.example": "x" * 1000 for n in range(5)})
    cache = CachingResolver(zone, CacheLimits(characters=2500))
    for n in range(5):
        await cache.lookup(f"{n}.example", TXT)
    await cache.lookup("3.example", TXT)
    await cache.lookup("2.example", TXT)
    assert [name for name, _ in zone.asked].count("3.example") == 1
    assert [name for name, _ in zone.asked].count("2.example") == 2


class Slow:
    def __init__(self) -> None:
        self.count = 0
        self.go = asyncio.Event()

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        self.count += 1
        await self.go.wait()
        return Lookup(Status.FOUND, (name,), 60)


async def test_the_same_question_is_asked_once_and_survives_who_gives_up() -> None:
    slow = Slow()
    cache = CachingResolver(slow)
    first = asyncio.create_task(cache.lookup("a.example", TXT))
    second = asyncio.create_task(cache.lookup("a.example", TXT))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    slow.go.set()
    assert (await second).records == ("a.example",)
    assert slow.count == 1


async def test_past_the_limit_nothing_is_asked() -> None:
    zone = Zone()
    limited = LimitedResolver(zone, 2)
    answers = [await limited.lookup(f"{n}.example", TXT) for n in range(4)]
    assert [answer.temporary for answer in answers] == [False, False, True, True]
    assert len(zone.asked) == 2
    assert "more than 2" in answers[2].reason


class Server(asyncio.DatagramProtocol):
    """Answers by the first label of the name."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        soa = dns.rrset.from_text("example.", 90, "IN", "SOA", "ns.example. h.example. 1 1 1 1 60")
        match question.name.labels[0]:
            case b"silent":
                return
            case b"broken":
                response.set_rcode(dns.rcode.SERVFAIL)
            case b"missing":
                response.set_rcode(dns.rcode.NXDOMAIN)
                response.authority.append(soa)
            case b"empty":
                response.authority.append(soa)
            case b"text":
                response.answer.append(dns.rrset.from_text(question.name, 77, "IN", "TXT", '"one " "t\\255o"'))
            case b"mail":
                response.answer.append(
                    dns.rrset.from_text(question.name, 60, "IN", "MX", "20 b.example.", "10 a.example.")
                )
            case _:
                response.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", "192.0.2.1"))
        self.transport.sendto(response.to_wire(), addr)


@pytest.fixture
async def resolver() -> AsyncIterator[DnsResolver]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0), family=socket.AF_INET)
    inner = dns.asyncresolver.Resolver(configure=False)
    inner.nameservers = ["127.0.0.1"]
    inner.port = transport.get_extra_info("sockname")[1]
    yield DnsResolver(inner, seconds=0.5)
    transport.close()


async def test_real_answers(resolver: DnsResolver) -> None:
    assert await resolver.lookup("text.example", TXT) == Lookup(Status.FOUND, ("one t\xffo",), 77)
    assert (await resolver.lookup("mail.example.", RecordType.MX)).records == ("a.example", "b.example")
    assert (await resolver.lookup("host.example", RecordType.A)).records == ("192.0.2.1",)
    assert (await resolver.lookup("a b\\.example", RecordType.A)).records == ("192.0.2.1",)


async def test_none_is_not_no_answer(resolver: DnsResolver) -> None:
    missing = await resolver.lookup("missing.example", TXT)
    assert (missing.status, missing.ttl) == (Status.NO_DOMAIN, 60)
    empty = await resolver.lookup("empty.example", TXT)
    assert empty.status is Status.NO_DATA
    assert 50 < empty.ttl <= 60
    assert (await resolver.lookup("broken.example", TXT)).status is Status.TEMPORARY
    assert (await resolver.lookup("silent.example", TXT)).status is Status.TEMPORARY
    assert (await resolver.lookup("x" * 64 + ".example", TXT)).status is Status.NO_DOMAIN
