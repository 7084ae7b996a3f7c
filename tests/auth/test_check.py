"""The whole check: one call, one value, one time limit."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from auth_tools.checks import NOW, crlf, divided, signed
from auth_tools.zone import Zone
from everpost.auth.arc import ArcVerdict
from everpost.auth.check import Authentication, CheckSettings, Peer, authenticate
from everpost.auth.dkim import DkimVerdict
from everpost.auth.dkim_key import Algorithm
from everpost.auth.dkim_sign import new_signing_key
from everpost.auth.dmarc import DmarcVerdict
from everpost.auth.dmarc_record import Policy
from everpost.auth.resolver import CachingResolver, Lookup, RecordType, Resolver
from everpost.auth.results import parse_results, results_field
from everpost.auth.reverse import ReverseVerdict
from everpost.auth.spf import SpfVerdict
from everpost.mail.header import parse_header

KEY = new_signing_key("example.org", "s1", Algorithm.ED25519_SHA256)
HOST = "192.0.2.1"
NAMES = {
    KEY.record_name: {RecordType.TXT: [KEY.record]},
    "example.org": {RecordType.TXT: ["v=spf1 a:mx.example.org -all"]},
    "_dmarc.example.org": {RecordType.TXT: ["v=DMARC1; p=reject"]},
    "mx.example.org": {RecordType.A: [HOST], RecordType.TXT: ["v=spf1 a -all"]},
    "1.2.0.192.in-addr.arpa": {RecordType.PTR: ["mx.example.org"]},
}
PLAIN = crlf("From: Ann <ann@example.org>\nTo: bob@example.com\nSubject: hello\nDate: today\n\nBody\n")
SIGNED = signed(PLAIN, KEY)


async def check(
    message: bytes, resolver: Resolver, host: str = HOST, settings: CheckSettings | None = None, chunk: int = 7
) -> Authentication:
    header, body = divided(message)
    chunks = (body[at : at + chunk] for at in range(0, len(body), chunk))
    peer = Peer(ip_address(host), "mx.example.org")
    return await authenticate(peer, "ann@example.org", header, chunks, resolver, settings, now=NOW.timestamp())


async def test_everything_passes() -> None:
    found = await check(SIGNED, CachingResolver(Zone(NAMES)))
    assert found.reverse.verdict is ReverseVerdict.PASS
    assert found.helo.verdict is SpfVerdict.PASS
    assert found.spf.verdict is SpfVerdict.PASS
    assert [item.verdict for item in found.dkim] == [DkimVerdict.PASS]
    assert found.arc.verdict is ArcVerdict.NONE
    assert found.dmarc.verdict is DmarcVerdict.PASS
    assert found.dmarc.aligned == ("spf:example.org", "dkim:example.org")
    assert not found.is_temporary
    assert 0 < found.questions < 20


async def test_forged() -> None:
    found = await check(PLAIN, Zone(NAMES), host="198.51.100.7")
    assert (found.spf.verdict, found.dkim) == (SpfVerdict.FAIL, ())
    assert (found.dmarc.verdict, found.dmarc.disposition) == (DmarcVerdict.FAIL, Policy.REJECT)


async def test_results_can_be_read_again() -> None:
    found = await check(SIGNED, Zone(NAMES))
    header = parse_header(results_field(found.results("mx.example.com")) + b"\r\n")
    again = parse_results(header.fields[0].raw)
    assert again == found.results("mx.example.com")
    assert {(item.method, item.result) for item in again.results} == {
        ("dmarc", "pass"),
        ("dkim", "pass"),
        ("spf", "pass"),
        ("iprev", "pass"),
    }


class Stuck:
    """Answers until it is asked for certain names, and then never."""

    def __init__(self, inner: Zone, *names: str) -> None:
        self.inner = inner
        self.names = names

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        if not self.names or name in self.names:
            await asyncio.sleep(3600)
        return await self.inner.lookup(name, kind)


async def test_what_is_not_done_in_time_is_temporary() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    found = await check(SIGNED, Stuck(Zone(NAMES)), settings=CheckSettings(seconds=0.2))
    assert loop.time() - begun < 2
    assert found.reverse.verdict is ReverseVerdict.TEMPERROR
    assert found.helo.verdict is SpfVerdict.TEMPERROR
    assert found.spf.verdict is SpfVerdict.TEMPERROR
    assert [item.verdict for item in found.dkim] == [DkimVerdict.TEMPERROR]
    assert found.dkim[0].domain == "example.org"
    assert found.dmarc.verdict is DmarcVerdict.TEMPERROR
    assert found.is_temporary


async def test_one_slow_part_does_not_spoil_the_others() -> None:
    found = await check(SIGNED, Stuck(Zone(NAMES), "example.org"), settings=CheckSettings(seconds=0.2))
    assert found.spf.verdict is SpfVerdict.TEMPERROR
    assert [item.verdict for item in found.dkim] == [DkimVerdict.PASS]
    assert found.dmarc.verdict is DmarcVerdict.PASS


async def test_questions_are_limited() -> None:
    found = await check(SIGNED, Zone(NAMES), settings=CheckSettings(questions=0))
    assert found.questions == 0
    assert found.is_temporary


async def test_strangers_cannot_use_up_the_questions_of_dmarc() -> None:
    fields = b"".join(
        b"ARC-Seal: i=%d; a=ed25519-sha256; cv=%s; d=n%d.example; s=s; b=AAAA\r\n"
        b"ARC-Message-Signature: i=%d; a=ed25519-sha256; d=n%d.example; s=s; h=from; bh=AAAA; b=AAAA\r\n"
        b"ARC-Authentication-Results: i=%d; x; none\r\n" % (n, b"pass" if n > 1 else b"none", n, n, n, n)
        for n in range(1, 41)
    )
    zone = Zone(NAMES)
    found = await check(fields + PLAIN, zone, host="198.51.100.7", settings=CheckSettings(questions=20))
    assert found.arc.verdict is not ArcVerdict.PASS
    assert found.dmarc.disposition is Policy.REJECT
    assert sum(name.endswith("n1.example") or "_domainkey.n" in name for name, _ in zone.asked) <= 20


@pytest.mark.parametrize("size", [10_000, 2_000_000])
async def test_large_bodies_are_hashed_beside_the_loop(size: int) -> None:
    message = signed(PLAIN + b"line of text\r\n" * (size // 14), KEY)
    found = await check(message, Zone(NAMES), chunk=65_536)
    assert [item.verdict for item in found.dkim] == [DkimVerdict.PASS]
    limit = CheckSettings(body_octets=size // 2)
    limited = await check(message, Zone(NAMES), settings=limit, chunk=65_536)
    assert [(item.verdict, item.reason) for item in limited.dkim] == [
        (DkimVerdict.POLICY, "the body is too large to be checked")
    ]


async def test_body_is_not_read_where_nothing_is_signed() -> None:
    header, _ = divided(PLAIN)

    def body() -> bytes:
        raise AssertionError("read")

    found = await authenticate(
        Peer(ip_address(HOST), "mx"), "", header, (body() for _ in range(1)), Zone(NAMES), now=NOW.timestamp()
    )
    assert found.dkim == ()


async def test_header_beyond_the_limits_is_not_judged() -> None:
    message = b"X: y\r\n" * 3000 + PLAIN
    found = await check(message, Zone(NAMES))
    assert found.dmarc.verdict is DmarcVerdict.PERMERROR
    assert "too large" in found.dmarc.reason
