"""Reverse DNS: a name counts where it leads back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from auth_tools.zone import Zone
from everpost.auth.resolver import RecordType
from everpost.auth.reverse import ReverseVerdict, check_reverse

HERE = IPv4Address("192.0.2.1")
POINTER = "1.2.0.192.in-addr.arpa"


async def test_reverse() -> None:
    zone = Zone(
        {POINTER: {RecordType.PTR: ["other.example.", "MX.example"]}, "mx.example": {RecordType.A: [str(HERE)]}}
    )
    found = await check_reverse(HERE, zone)
    assert (found.verdict, found.name, found.claimed) == (
        ReverseVerdict.PASS,
        "mx.example",
        ("other.example", "mx.example"),
    )
    forged = Zone({POINTER: {RecordType.PTR: ["mx.example"]}, "mx.example": {RecordType.A: ["192.0.2.9"]}})
    assert (await check_reverse(HERE, forged)).verdict is ReverseVerdict.FAIL
    assert (await check_reverse(HERE, Zone())).verdict is ReverseVerdict.PERMERROR
    assert (await check_reverse(IPv6Address("2001:db8::1"), Zone())).verdict is ReverseVerdict.PERMERROR


async def test_no_answer_is_temporary() -> None:
    dead = Zone(dead={POINTER: frozenset((RecordType.PTR,))})
    assert (await check_reverse(HERE, dead)).verdict is ReverseVerdict.TEMPERROR
    half = Zone({POINTER: {RecordType.PTR: ["mx.example"]}}, dead={"mx.example": frozenset((RecordType.A,))})
    assert (await check_reverse(HERE, half)).verdict is ReverseVerdict.TEMPERROR


async def test_only_some_names_are_asked_for() -> None:
    zone = Zone({POINTER: {RecordType.PTR: [f"{n}.example" for n in range(100)]}})
    await check_reverse(HERE, zone)
    assert len(zone.asked) == 6
