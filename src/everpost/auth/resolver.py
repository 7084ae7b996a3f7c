"""Questions to the DNS: cached, bounded in time, size and number; no answer is never taken for "there is none"."""

from __future__ import annotations

import asyncio
import enum
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

MAX_NAME: Final = 253
MAX_LABEL: Final = 63
MAX_RECORDS: Final = 200
MAX_TEXT: Final = 65_536  # octets of one TXT record


class RecordType(enum.StrEnum):
    """What is asked for."""

    A = "A"
    AAAA = "AAAA"
    MX = "MX"
    PTR = "PTR"
    TXT = "TXT"


class Status(enum.Enum):
    """How a lookup ended."""

    FOUND = "found"
    NO_DATA = "no such record"  # the name exists, or has names below it
    NO_DOMAIN = "no such name"  # RFC 8020: nothing below it either
    TEMPORARY = "no answer"  # time-out, SERVFAIL, refused: nothing is known


@dataclass(frozen=True, slots=True)
class Lookup:
    """An answer. `records` are addresses, names without a final dot (MX by preference), or TXT strings joined and
    read as Latin-1, one character an octet. `ttl` is in seconds; `reason` says why there is no answer.
    """

    status: Status
    records: tuple[str, ...] = ()
    ttl: float = 0
    reason: str = ""

    @property
    def temporary(self) -> bool:
        """Whether nothing is known: ask again later."""
        return self.status is Status.TEMPORARY


class Resolver(Protocol):
    """Whoever answers questions. It does not raise: what goes wrong is `TEMPORARY`."""

    async def lookup(self, name: str, kind: RecordType) -> Lookup: ...


def is_name(name: str) -> bool:
    """Whether the DNS can carry it: labels of 1 to 63 octets, at most 253 in all (RFC 1035 §2.3.4)."""
    bare = name.removesuffix(".")
    return (
        0 < len(bare) <= MAX_NAME and bare.isascii() and all(0 < len(label) <= MAX_LABEL for label in bare.split("."))
    )


def name_key(name: str) -> str:
    """A name as it is compared: lower case, without the final dot."""
    return name.removesuffix(".").lower()


def reverse_name(address: IPv4Address | IPv6Address) -> str:
    """The name whose PTR record names the address (RFC 1035 §3.5, RFC 3596 §2.5)."""
    return address.reverse_pointer


class DnsResolver:
    """The real DNS by dnspython; `seconds` bounds one question with its retries and its fall back to TCP."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None, *, seconds: float = 5.0) -> None:
        self._resolver = resolver
        self._seconds = seconds

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        """Ask once. A name that the DNS cannot carry does not exist (RFC 7208 §4.3)."""
        if not is_name(name):
            return Lookup(Status.NO_DOMAIN, reason="not a domain name")
        labels = tuple(label.encode("ascii") for label in name.removesuffix(".").split("."))
        try:
            resolver = self._resolver or dns.asyncresolver.get_default_resolver()
            answer = await resolver.resolve(
                dns.name.Name((*labels, b"")),
                kind.value,
                search=False,
                lifetime=self._seconds,
                raise_on_no_answer=False,
            )
        except dns.resolver.NXDOMAIN as missing:
            return Lookup(Status.NO_DOMAIN, ttl=_negative_ttl(missing), reason="no such name")
        except (dns.exception.DNSException, OSError, ValueError) as problem:
            return Lookup(Status.TEMPORARY, reason=type(problem).__name__)
        return _read(answer)


def _read(answer: dns.resolver.Answer) -> Lookup:
    if answer.rrset is None:
        ttl = max(0.0, answer.expiration - time.time())
        return Lookup(Status.NO_DATA, ttl=ttl, reason="no such record")
    found: list[tuple[int, str]] = []
    for data in list(answer.rrset)[:MAX_RECORDS]:
        if isinstance(data, A | AAAA):
            found.append((0, data.address))
        elif isinstance(data, MX):
            found.append((data.preference, _text(data.exchange)))
        elif isinstance(data, PTR):
            found.append((0, _text(data.target)))
        elif isinstance(data, TXT):
            found.append((0, b"".join(data.strings)[:MAX_TEXT].decode("latin-1")))
    found.sort(key=lambda item: item[0])
    return Lookup(Status.FOUND, tuple(text for _, text in found), float(answer.rrset.ttl))


def _text(name: dns.name.Name) -> str:
    return ".".join(label.decode("latin-1") for label in name.labels if label)


def _negative_ttl(missing: dns.resolver.NXDOMAIN) -> float:
    """RFC 2308 §5: the lesser of the SOA's TTL and its minimum; 0 where no SOA came."""
    for response in missing.responses().values():  # type: ignore[no-untyped-call]
        for rrset in response.authority:
            if rrset.rdtype == dns.rdatatype.SOA and isinstance(rrset[0], SOA):
                return float(min(rrset.ttl, rrset[0].minimum))
    return 0.0


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Bounds of the cache: entries, characters in all, and seconds that an answer of each kind is kept."""

    entries: int = 20_000
    characters: int = 16 * 1024 * 1024
    positive_min: float = 30.0
    positive_max: float = 3600.0
    negative_min: float = 15.0
    negative_max: float = 600.0
    temporary: float = 5.0  # a dead name server is not asked for each message of a burst
    at_once: int = 200  # questions under way


class CachingResolver:
    """Answers from memory; one question that several ask at the same time is asked once."""

    def __init__(
        self, inner: Resolver, limits: CacheLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._inner = inner
        self._limits = limits or CacheLimits()
        self._clock = clock
        self._entries: OrderedDict[tuple[str, RecordType], tuple[float, Lookup]] = OrderedDict()
        self._characters = 0
        self._asked: dict[tuple[str, RecordType], asyncio.Task[Lookup]] = {}
        self._gate = asyncio.Semaphore(self._limits.at_once)

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        """From memory, from a question under way, or from the resolver within."""
        key = (name_key(name), kind)
        kept = self._entries.get(key)
        if kept is not None:
            if kept[0] > self._clock():
                self._entries.move_to_end(key)
                return kept[1]
            self._forget(key)
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        # Whoever gives up does not take the answer from the others that wait for it.
        return await asyncio.shield(task)

    async def _ask(self, key: tuple[str, RecordType]) -> Lookup:
        async with self._gate:
            answer = await self._inner.lookup(*key)
        self._keep(key, answer)
        return answer

    def _keep(self, key: tuple[str, RecordType], answer: Lookup) -> None:
        limits = self._limits
        if answer.status is Status.FOUND:
            seconds = min(max(answer.ttl, limits.positive_min), limits.positive_max)
        elif answer.temporary:
            seconds = limits.temporary
        else:
            seconds = min(max(answer.ttl, limits.negative_min), limits.negative_max)
        self._forget(key)
        self._entries[key] = (self._clock() + seconds, answer)
        self._characters += _size(key, answer)
        while self._entries and (len(self._entries) > limits.entries or self._characters > limits.characters):
            self._forget(next(iter(self._entries)))

    def _forget(self, key: tuple[str, RecordType]) -> None:
        kept = self._entries.pop(key, None)
        if kept is not None:
            self._characters -= _size(key, kept[1])


def _size(key: tuple[str, RecordType], answer: Lookup) -> int:
    return 100 + len(key[0]) + sum(map(len, answer.records))


class LimitedResolver:
    """What one message may ask: past `limit` questions every answer is `TEMPORARY`. `count` is what was asked."""

    def __init__(self, inner: Resolver, limit: int) -> None:
        self._inner = inner
        self.limit = limit
        self.count = 0

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        """Ask, while there is something left."""
        if self.count >= self.limit:
            return Lookup(Status.TEMPORARY, reason=f"more than {self.limit} DNS questions for one message")
        self.count += 1
        return await self._inner.lookup(name, kind)
