"""Reverse DNS (RFC 8601 §3, "iprev"): does the address have a name that leads back to it?"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from everpost.auth.resolver import RecordType, Resolver, name_key, reverse_name

MAX_NAMES: Final = 5


class ReverseVerdict(enum.StrEnum):
    """The results of RFC 8601 §2.7.3."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True)
class ReverseResult:
    """The verdict; `name` leads back to the address, `claimed` are the names it has."""

    verdict: ReverseVerdict
    name: str = ""
    claimed: tuple[str, ...] = ()
    reason: str = ""


async def check_reverse(address: IPv4Address | IPv6Address, resolver: Resolver) -> ReverseResult:
    """Ask for the names of an address and for the addresses of at most five of them."""
    pointers = await resolver.lookup(reverse_name(address), RecordType.PTR)
    if pointers.temporary:
        return ReverseResult(ReverseVerdict.TEMPERROR, reason=pointers.reason)
    claimed = tuple(map(name_key, pointers.records[:MAX_NAMES]))
    if not claimed:
        return ReverseResult(ReverseVerdict.PERMERROR, reason="the address has no name")
    kind = RecordType.A if isinstance(address, IPv4Address) else RecordType.AAAA
    unknown = ""
    for name in claimed:
        answer = await resolver.lookup(name, kind)
        if any(ip_address(text) == address for text in answer.records):
            return ReverseResult(ReverseVerdict.PASS, name, claimed)
        if answer.temporary:
            unknown = answer.reason or "no answer"
    if unknown:
        return ReverseResult(ReverseVerdict.TEMPERROR, claimed=claimed, reason=unknown)
    return ReverseResult(ReverseVerdict.FAIL, claimed=claimed, reason="no name leads back to the address")
