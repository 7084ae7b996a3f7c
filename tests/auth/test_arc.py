"""ARC: chains of several hosts, sealed and checked here and by dkimpy."""

from __future__ import annotations

import pytest

from auth_tools.checks import NOW, crlf, divided
from auth_tools.vectors import VECTORS, needs
from auth_tools.zone import Zone, zone_of_texts
from everpost.auth.arc import ArcResult, ArcVerdict, check_chain, find_chain, wanted_bodies
from everpost.auth.arc_seal import SealRefused, arc_set
from everpost.auth.canonical import hash_body
from everpost.auth.dkim_key import Algorithm
from everpost.auth.dkim_sign import RELAXED, SigningKey, new_signing_key
from everpost.auth.resolver import RecordType

FIRST = new_signing_key("first.example", "s", Algorithm.RSA_SHA256)
SECOND = new_signing_key("second.example", "s", Algorithm.ED25519_SHA256)
ZONE = zone_of_texts({key.record_name: key.record for key in (FIRST, SECOND)})
MESSAGE = crlf("From: a@example.org\nTo: b@example.com\nSubject: hello\n\nBody\n")


async def checked(message: bytes, zone: Zone = ZONE) -> ArcResult:
    header, body = divided(message)
    chain = find_chain(header)
    return await check_chain(header, chain, hash_body([body], wanted_bodies(chain)), zone)


async def sealed(message: bytes, key: SigningKey, said: bytes = b"mx.example; dmarc=pass") -> bytes:
    header, body = divided(message)
    digest = hash_body([body], [RELAXED])[RELAXED]
    return arc_set(header, digest, find_chain(header), await checked(message), said, key, now=NOW) + message


async def test_two_hosts() -> None:
    once = await sealed(MESSAGE, FIRST)
    twice = await sealed(once, SECOND, b"second.example; arc=pass")
    result = await checked(twice)
    assert (result.verdict, result.reason, result.oldest_pass) == (ArcVerdict.PASS, "", 0)
    assert result.covers_from
    assert [(item.instance, item.domain) for item in result.sealers] == [(1, "first.example"), (2, "second.example")]
    assert result.sealers[0].results == b"mx.example; dmarc=pass"
    assert all(len(line) < 998 for line in twice.split(b"\r\n"))


async def test_change_between_hosts_shows() -> None:
    once = (await sealed(MESSAGE, FIRST)).replace(b"Subject: hello", b"Subject: [list] hello")
    assert (await checked(once)).verdict is ArcVerdict.FAIL
    header, body = divided(once)
    good = ArcResult(ArcVerdict.PASS)  # a list checks first, and changes then
    digest = hash_body([body], [RELAXED])[RELAXED]
    field = arc_set(header, digest, find_chain(header), good, b"list.example; arc=pass", SECOND, now=NOW)
    result = await checked(field + once)
    assert (result.verdict, result.oldest_pass) == (ArcVerdict.PASS, 2)


async def test_others_accept_our_seals() -> None:
    oracle = pytest.importorskip("dkim")
    message = await sealed(await sealed(MESSAGE, FIRST), FIRST)
    state, results, reason = oracle.arc_verify(message, dnsfunc=lambda name, timeout=5: FIRST.record.encode("ascii"))
    assert state == b"pass", (reason, results)


async def test_no_answer_is_temporary_and_is_not_sealed() -> None:
    message = await sealed(MESSAGE, FIRST)
    dead = Zone(dead={FIRST.record_name: frozenset((RecordType.TXT,))})
    result = await checked(message, dead)
    assert result.verdict is ArcVerdict.TEMPERROR
    header, body = divided(message)
    with pytest.raises(SealRefused):
        arc_set(header, hash_body([body], [RELAXED])[RELAXED], find_chain(header), result, b"m; none", SECOND, now=NOW)


async def test_broken_chain_is_closed_once() -> None:
    broken = (await sealed(MESSAGE, FIRST)).replace(b"Body", b"Bad")
    closed = await sealed(broken, SECOND)
    assert b"cv=fail" in closed
    assert (await checked(closed)).verdict is ArcVerdict.FAIL
    with pytest.raises(SealRefused):
        await sealed(closed, FIRST)


async def test_chains_are_bounded() -> None:
    fields = (await sealed(MESSAGE, FIRST))[: -len(MESSAGE)]
    result = await checked(fields * 60 + MESSAGE)
    assert (result.verdict, result.reason) == (ArcVerdict.FAIL, "more than 50 sets")


@needs("mail-auth")
@pytest.mark.parametrize("name", ["001", "002"])
async def test_messages_of_others(name: str) -> None:
    text = (VECTORS / "mail-auth/resources/arc" / f"{name}.txt").read_bytes().replace(b"\r\n", b"\n")
    records, _, message = text.partition(b"\n\n")
    zone = zone_of_texts(dict(line.split(" ", 1) for line in records.decode("ascii").splitlines()))
    result = await checked(message.replace(b"\n", b"\r\n"), zone)
    assert result.verdict is ArcVerdict.PASS, result
