"""Everything about the sender of one message at once: reverse DNS, SPF, DKIM, ARC and DMARC, within one time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeVar

from everpost.auth import arc, dkim
from everpost.auth.arc import ArcResult, ArcVerdict, Chain
from everpost.auth.canonical import BodyForm, BodyHash, SignedHeader, hash_body
from everpost.auth.dkim import Candidate, DkimResult, DkimVerdict
from everpost.auth.dmarc import DmarcResult, DmarcVerdict, Walk, author_domains, check_dmarc, walk
from everpost.auth.resolver import LimitedResolver, Resolver
from everpost.auth.results import AuthenticationResults, MethodResult, Property
from everpost.auth.reverse import ReverseResult, ReverseVerdict, check_reverse
from everpost.auth.spf import SpfIdentity, SpfResult, SpfVerdict, check_helo, check_mail_from

_Result = TypeVar("_Result")
_OUT_OF_TIME: Final = "the time limit has passed"
_SHARE: Final = 0.75  # of the time; the rest is for DMARC, which needs what the others found
_THREAD_OCTETS: Final = 256 * 1024  # a larger body is hashed beside the event loop


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is connected: its address, and what it said in HELO or EHLO."""

    address: IPv4Address | IPv6Address
    helo: str


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """Limits, and whom we believe.

    `seconds` bounds the whole check, `questions` what each part of it may ask the DNS (each for itself, so that a
    long ARC chain cannot use up what DMARC needs), `body_octets` what is hashed; in
    `trusted_sealers` are the domains, in lower case, of forwarders whose ARC seals are believed. `receiver` is our
    own name for SPF explanations.
    """

    seconds: float = 10.0
    questions: int = 150
    body_octets: int = 150 * 1024 * 1024
    trusted_sealers: frozenset[str] = frozenset()
    receiver: str = "unknown"


@dataclass(frozen=True, slots=True)
class Authentication:
    """All that was found. `questions` counts what the DNS was asked, cached answers included."""

    reverse: ReverseResult
    helo: SpfResult
    spf: SpfResult
    dkim: tuple[DkimResult, ...]
    arc: ArcResult
    dmarc: DmarcResult
    chain: Chain
    questions: int

    @property
    def is_temporary(self) -> bool:
        """Whether an answer that did not come might have changed the verdict on the author."""
        return self.dmarc.verdict is DmarcVerdict.TEMPERROR

    def results(self, authserv_id: str) -> AuthenticationResults:
        """What an Authentication-Results of ours says (RFC 8601)."""
        return AuthenticationResults(authserv_id, tuple(_methods(self)))


class _TooLarge(Exception):
    """The body has more octets than are hashed."""


async def authenticate(
    peer: Peer,
    reverse_path: str,
    message: SignedHeader,
    body: Iterable[bytes],
    resolver: Resolver,
    settings: CheckSettings | None = None,
    *,
    now: float,
) -> Authentication:
    """Check a message that has come whole. `reverse_path` is empty for a null one; `body` are the octets after the
    header in chunks of any size; `now` is in seconds since 1970. What is not done in time is a temporary error.
    """
    settings = settings or CheckSettings()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    asked = _Budgets(resolver, settings.questions)
    check = _Check(message, asked, begun + settings.seconds * _SHARE, now)
    spf_late = SpfResult(SpfVerdict.TEMPERROR, SpfIdentity.MAIL_FROM, _domain(reverse_path, peer), reason=_OUT_OF_TIME)
    helo_late = SpfResult(SpfVerdict.TEMPERROR, SpfIdentity.HELO, peer.helo, reason=_OUT_OF_TIME)
    reverse, helo, spf, way, (signatures, chain_result) = await asyncio.gather(
        check.within(
            check_reverse(peer.address, asked.part()), ReverseResult(ReverseVerdict.TEMPERROR, reason=_OUT_OF_TIME)
        ),
        check.within(check_helo(peer.address, peer.helo, asked.part(), receiver=settings.receiver), helo_late),
        check.within(
            check_mail_from(peer.address, reverse_path, peer.helo, asked.part(), receiver=settings.receiver), spf_late
        ),
        check.author_way(),
        check.signatures(body, settings.body_octets),
    )
    check.deadline = begun + settings.seconds
    dmarc = await check.within(
        check_dmarc(
            message.header,
            spf,
            signatures,
            asked.part(),
            arc=chain_result,
            trusted_sealers=settings.trusted_sealers,
            way=way,
        ),
        DmarcResult(DmarcVerdict.TEMPERROR, reason=_OUT_OF_TIME),
    )
    return Authentication(reverse, helo, spf, signatures, chain_result, dmarc, check.chain, asked.count)


class _Budgets:
    """What the parts of one check may ask."""

    def __init__(self, resolver: Resolver, limit: int) -> None:
        self._resolver = resolver
        self._limit = limit
        self._parts: list[LimitedResolver] = []

    def part(self) -> LimitedResolver:
        self._parts.append(LimitedResolver(self._resolver, self._limit))
        return self._parts[-1]

    @property
    def count(self) -> int:
        return sum(part.count for part in self._parts)


class _Check:
    """What the concurrent parts of one check share."""

    def __init__(self, message: SignedHeader, asked: _Budgets, deadline: float, now: float) -> None:
        self.message = message
        self.asked = asked
        self.deadline = deadline
        self.now = now
        self.chain = arc.find_chain(message)
        self.candidates = dkim.find_signatures(message)

    async def within(self, work: Awaitable[_Result], late: _Result) -> _Result:
        """The result, or what stands for it when the time is over."""
        try:
            async with asyncio.timeout_at(self.deadline):
                return await work
        except TimeoutError:
            return late

    async def author_way(self) -> Walk | None:
        """The tree walk of a single author, which DMARC needs in any case."""
        authors = author_domains(self.message.header)
        if len(authors) != 1 or not authors[0]:
            return None
        return await self.within(walk(authors[0], self.asked.part()), Walk(authors[0], temporary=_OUT_OF_TIME))

    async def signatures(self, body: Iterable[bytes], limit: int) -> tuple[tuple[DkimResult, ...], ArcResult]:
        """DKIM and ARC, once the body is hashed."""
        wanted = dkim.wanted_bodies(self.candidates) | arc.wanted_bodies(self.chain)
        try:
            bodies = await _hashed(body, wanted, limit)
        except _TooLarge:
            return self._without_body("the body is too large to be checked")
        late = ArcResult(ArcVerdict.TEMPERROR, reason=_OUT_OF_TIME)
        checks = [
            self.within(self._signature(item, bodies), _unchecked(item, _OUT_OF_TIME)) for item in self.candidates
        ]
        signatures, chain = await asyncio.gather(
            asyncio.gather(*checks),
            self.within(arc.check_chain(self.message, self.chain, bodies, self.asked.part()), late),
        )
        return tuple(signatures), chain

    async def _signature(self, item: Candidate, bodies: Mapping[BodyForm, BodyHash]) -> DkimResult:
        return await dkim.check_signature(self.message, item, bodies, self.asked.part(), now=self.now)

    def _without_body(self, reason: str) -> tuple[tuple[DkimResult, ...], ArcResult]:
        signatures = tuple(_unchecked(item, reason, DkimVerdict.POLICY) for item in self.candidates)
        verdict = ArcVerdict.FAIL if self.chain.is_there else ArcVerdict.NONE
        return signatures, ArcResult(verdict, reason=reason if self.chain.is_there else "")


def _unchecked(item: Candidate, reason: str, verdict: DkimVerdict = DkimVerdict.TEMPERROR) -> DkimResult:
    if item.signature is None:
        assert item.refused is not None
        return item.refused
    return dkim.described(item.signature, verdict, reason)


async def _hashed(body: Iterable[bytes], wanted: frozenset[BodyForm], limit: int) -> dict[BodyForm, BodyHash]:
    """The hashes; nothing is read where none is wanted. Raises `_TooLarge`."""
    if not wanted:
        return {}
    chunks = _limited(body, limit)
    begun: list[bytes] = []
    octets = 0
    for chunk in chunks:
        begun.append(chunk)
        octets += len(chunk)
        if octets > _THREAD_OCTETS:
            return await asyncio.to_thread(hash_body, _joined(begun, chunks), wanted)
    return hash_body(begun, wanted)


def _joined(begun: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from begun
    begun.clear()
    yield from rest


def _limited(body: Iterable[bytes], limit: int) -> Iterator[bytes]:
    octets = 0
    for chunk in body:
        octets += len(chunk)
        if octets > limit:
            raise _TooLarge
        yield chunk


def _domain(reverse_path: str, peer: Peer) -> str:
    return reverse_path.rpartition("@")[2] if reverse_path else peer.helo


def _methods(found: Authentication) -> Iterator[MethodResult]:
    """The methods in the order in which people look for them."""
    dmarc = found.dmarc
    policy = f"p={dmarc.policy} dis={dmarc.disposition}" if dmarc.record is not None else dmarc.reason
    author = (Property("header", "from", dmarc.author),) if dmarc.author else ()
    yield MethodResult("dmarc", dmarc.verdict.value, policy, properties=author)
    for item in found.dkim:
        yield _dkim_method(item)
    if not found.dkim:
        yield MethodResult("dkim", "none", "no signature")
    yield _spf_method(found.spf, "mailfrom")
    yield _spf_method(found.helo, "helo")
    reverse = found.reverse
    yield MethodResult("iprev", reverse.verdict.value, reverse.name or reverse.reason)
    if found.arc.verdict is not ArcVerdict.NONE:
        yield MethodResult("arc", found.arc.verdict.value, found.arc.reason or f"{found.chain.instances} sets")


def _dkim_method(item: DkimResult) -> MethodResult:
    comment = item.reason or "; ".join(doubt.value for doubt in item.doubts)
    values = {"d": item.domain, "s": item.selector, "a": item.algorithm, "i": item.identity, "b": item.beginning}
    properties = tuple(Property("header", name, value) for name, value in values.items() if value)
    return MethodResult("dkim", item.verdict.value, comment, properties=properties)


def _spf_method(item: SpfResult, name: str) -> MethodResult:
    properties = (Property("smtp", name, item.domain),) if item.domain else ()
    return MethodResult("spf", item.verdict.value, item.reason, properties=properties)
