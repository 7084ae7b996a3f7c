"""A DNS that does not answer is not waited for again and again."""

from __future__ import annotations

from everpost.auth.patience import PatientResolver
from everpost.auth.resolver import Lookup, RecordType, Status


class Dns:
    """Answers as it is told to, and counts."""

    def __init__(self) -> None:
        self.status = Status.TEMPORARY
        self.asked = 0

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        self.asked += 1
        return Lookup(self.status)


async def test_gives_up_tries_now_and_then_and_comes_back() -> None:
    dns, now = Dns(), [100.0]
    resolver = PatientResolver(dns, failures=3, pause_s=2.0, clock=lambda: now[0])

    async def ask() -> Status:
        return (await resolver.lookup("example.com", RecordType.A)).status

    for _ in range(10):
        assert await ask() is Status.TEMPORARY
    assert (dns.asked, resolver.given_up) == (3, True)
    now[0] += 2.5
    assert await ask() is Status.TEMPORARY
    assert await ask() is Status.TEMPORARY
    assert dns.asked == 4
    dns.status = Status.NO_DOMAIN
    now[0] += 2.5
    assert await ask() is Status.NO_DOMAIN
    assert await ask() is Status.NO_DOMAIN
    assert (dns.asked, resolver.given_up) == (6, False)
