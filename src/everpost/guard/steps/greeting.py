"""From where: how the client greets, and DNS lists of bad addresses (RFC 5782)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from everpost.auth.resolver import RecordType, Resolver
from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.model import Signal, signal

_LISTED: Final = "127."  # RFC 5782 §2.1: anything else in the answer is no listing
_REFUSED: Final = "127.255.255."  # operators answer this to those they do not serve


class Greeting:
    """What the client said in EHLO. `own_names` are ours, in lower case."""

    def __init__(self, own_names: frozenset[str]) -> None:
        self._own_names = own_names

    async def __call__(self, case: Case) -> Iterable[Signal]:
        return tuple(greeting_signals(case.helo, self._own_names))


def greeting_signals(helo: str, own_names: frozenset[str]) -> Iterator[Signal]:
    """RFC 5321 §4.1.1.1 asks for a name that the DNS knows, or an address in brackets."""
    name = helo.lower().removesuffix(".")
    if name in own_names:
        yield signal(kinds.HELO_IS_OURS, f"EHLO {helo}")
    elif not name.startswith("[") and ("." not in name or _is_address(name)):
        yield signal(kinds.HELO_BARE, f"EHLO {helo}")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class BlockList:
    """A zone of the DNS, and what a listing in it is worth."""

    zone: str
    weight: float | None = None


class BlockLists:
    """Asks every configured list for the client's address."""

    def __init__(self, resolver: Resolver, lists: tuple[BlockList, ...]) -> None:
        self._resolver = resolver
        self._lists = lists

    async def __call__(self, case: Case) -> Iterable[Signal]:
        client = case.client
        if client is None or not client.is_global:
            return ()
        found = await asyncio.gather(*(self._ask(each, client) for each in self._lists))
        return tuple(each for each in found if each is not None)

    async def _ask(self, block_list: BlockList, client: IPv4Address | IPv6Address) -> Signal | None:
        reversed_address = client.reverse_pointer.rsplit(".", 2)[0]
        answer = await self._resolver.lookup(f"{reversed_address}.{block_list.zone}", RecordType.A)
        codes = [code for code in answer.records if code.startswith(_LISTED) and not code.startswith(_REFUSED)]
        if not codes:
            return None
        return signal(
            kinds.LISTED, f"{client} stands on {block_list.zone} ({', '.join(codes[:5])})", weight=block_list.weight
        )
