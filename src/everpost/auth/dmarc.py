"""DMARC (RFC 9989): does an authenticated domain belong to the author, and what does the author's domain ask for?"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from everpost.auth.arc import ArcResult, ArcVerdict
from everpost.auth.dkim import DkimResult, DkimVerdict
from everpost.auth.dmarc_record import Alignment, DmarcRecord, Policy, Suffix, parse_record
from everpost.auth.resolver import RecordType, Resolver, Status, is_name, name_key
from everpost.auth.results import MethodResult, ResultsError, parse_results
from everpost.auth.spf import SpfResult, SpfVerdict
from everpost.mail.header import Header, as_addresses, flatten

MAX_QUERIES: Final = 8  # RFC 9989 §4.10


class DmarcVerdict(enum.StrEnum):
    """The results of RFC 8601 §2.7 for DMARC (RFC 9989 §8)."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Override(enum.StrEnum):
    """Why less is done than the policy asks for (the reasons of RFC 9990's reports)."""

    NONE = ""
    TESTING = "policy_test_mode"
    TRUSTED_FORWARDER = "trusted_forwarder"


@dataclass(frozen=True, slots=True)
class DmarcResult:
    """The verdict and its evidence.

    `policy` is what the record asks for, `disposition` what is left of it after `override`; `aligned` are the
    authenticated domains that are the author's, such as "dkim:example.org"; `policy_domain` is where the record
    is, `organisation` the organisational domain of the author.
    """

    verdict: DmarcVerdict
    author: str = ""
    organisation: str = ""
    policy_domain: str = ""
    policy: Policy = Policy.NONE
    disposition: Policy = Policy.NONE
    override: Override = Override.NONE
    aligned: tuple[str, ...] = ()
    reason: str = ""
    record: DmarcRecord | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """The records on the way up from a domain (RFC 9989 §4.10), nearest first. `temporary` is the reason
    why nothing more is known.
    """

    domain: str
    records: tuple[tuple[str, DmarcRecord], ...] = ()
    temporary: str = ""

    @property
    def organisation(self) -> str:
        """The organisational domain (RFC 9989 §4.10.2)."""
        for name, record in self.records:
            if record.suffix is Suffix.NO:
                return name
            if record.suffix is Suffix.YES and name != self.domain:
                labels = self.domain.split(".")
                return ".".join(labels[-len(name.split(".")) - 1 :])
        return self.records[-1][0] if self.records else self.domain


async def walk(domain: str, resolver: Resolver) -> Walk:
    """The DNS tree walk: at most eight questions, however many labels there are."""
    records: list[tuple[str, DmarcRecord]] = []
    for name in _steps(domain):
        if not is_name(f"_dmarc.{name}"):
            continue
        answer = await resolver.lookup(f"_dmarc.{name}", RecordType.TXT)
        if answer.temporary:
            return Walk(domain, tuple(records), temporary=f"_dmarc.{name}: {answer.reason or 'no answer'}")
        found = [record for record in map(parse_record, answer.records) if record is not None]
        if len(found) != 1:  # several are none
            continue
        records.append((name, found[0]))
        if found[0].suffix is not Suffix.UNKNOWN:
            break
    return Walk(domain, tuple(records))


def _steps(domain: str) -> list[str]:
    labels = domain.split(".")
    rest = labels[1:] if len(labels) < MAX_QUERIES else labels[-(MAX_QUERIES - 1) :]
    return [domain, *(".".join(rest[at:]) for at in range(len(rest)))]


def author_domains(header: Header) -> tuple[str, ...]:
    """The domains of all From fields, as the DNS has them, each once; "" for an address without one."""
    domains: list[str] = []
    for field in header.all("from"):
        for address in flatten(as_addresses(field.raw))[:100]:
            domain = _domain_of(address.address)
            if domain not in domains:
                domains.append(domain)
    return tuple(domains)


def _domain_of(address: str) -> str:
    _, at, domain = address.rpartition("@")
    try:
        domain = name_key(domain if domain.isascii() else domain.encode("idna").decode("ascii"))
    except UnicodeError:
        return ""
    return domain if at and is_name(domain) and not domain.startswith("[") else ""


async def check_dmarc(
    header: Header,
    spf: SpfResult,
    dkim: Iterable[DkimResult],
    resolver: Resolver,
    *,
    arc: ArcResult | None = None,
    trusted_sealers: frozenset[str] = frozenset(),
    way: Walk | None = None,
) -> DmarcResult:
    """RFC 9989 §5.3. `spf` is that of MAIL FROM; `trusted_sealers` are domains, in lower case, whose ARC seals are
    believed when they say that the message passed before they forwarded it; `way` is the author's, where it has
    been walked already.
    """
    authors = author_domains(header)
    if not header.complete:
        return DmarcResult(DmarcVerdict.PERMERROR, reason="the header is too large to be read whole")
    if len(authors) != 1 or not authors[0]:
        # RFC 9989 §5.3.1: no policy can be chosen, and a reader may be shown any of them.
        named = [author for author in authors[:5] if author]
        reason = f"From has several domains: {', '.join(named)}" if len(named) > 1 else "From is no single address"
        return DmarcResult(DmarcVerdict.PERMERROR, author=",".join(named), reason=reason)
    author = authors[0]
    way = way or await walk(author, resolver)
    applied = _applied(way)
    if applied is None:
        if way.temporary:
            return DmarcResult(DmarcVerdict.TEMPERROR, author, reason=way.temporary)
        return DmarcResult(DmarcVerdict.NONE, author, way.organisation, reason="no DMARC record")
    policy_domain, record = applied
    base = _Base(author, way.organisation, policy_domain, record)
    if not record.valid and not record.aggregate:
        return base.result(DmarcVerdict.PERMERROR, policy=Policy.NONE, reason="p=, sp= or np= are not known")
    aligned, temporary = await _Identifiers(author, way, record, resolver).aligned(spf, tuple(dkim))
    policy = await _policy(base, resolver)
    if aligned:
        return base.result(DmarcVerdict.PASS, aligned=aligned, policy=policy)
    if temporary:
        return base.result(DmarcVerdict.TEMPERROR, policy=policy, reason=temporary)
    return _failed(base, policy, arc, trusted_sealers)


@dataclass(frozen=True, slots=True)
class _Base:
    """What every result of one message has in common."""

    author: str
    organisation: str
    policy_domain: str
    record: DmarcRecord

    def result(
        self,
        verdict: DmarcVerdict,
        *,
        policy: Policy,
        disposition: Policy = Policy.NONE,
        override: Override = Override.NONE,
        aligned: tuple[str, ...] = (),
        reason: str = "",
    ) -> DmarcResult:
        return DmarcResult(
            verdict,
            self.author,
            self.organisation,
            self.policy_domain,
            policy,
            disposition,
            override,
            aligned,
            reason,
            self.record,
        )


def _applied(way: Walk) -> tuple[str, DmarcRecord] | None:
    """The record whose policy counts (RFC 9989 §4.10.1): the author's, the organisation's, or the suffix's."""
    named = dict(way.records)
    if way.domain in named:
        return way.domain, named[way.domain]
    if way.temporary:
        return None
    if way.organisation in named:
        return way.organisation, named[way.organisation]
    suffixes = [(name, record) for name, record in way.records if record.suffix is Suffix.YES]
    return suffixes[0] if suffixes else None


async def _policy(base: _Base, resolver: Resolver) -> Policy:
    """p= for the domain itself; sp=, or np= where the author's domain does not exist, for those below it."""
    record = base.record
    if base.author == base.policy_domain:
        return record.policy
    below = record.subdomains or record.policy
    if record.missing is None or record.missing is below:
        return below
    answer = await resolver.lookup(base.author, RecordType.A)
    return record.missing if answer.status is Status.NO_DOMAIN else below


class _Identifiers:
    """Which of the authenticated domains are the author's (RFC 9989 §4.4)."""

    def __init__(self, author: str, way: Walk, record: DmarcRecord, resolver: Resolver) -> None:
        self._author = author
        self._way = way
        self._record = record
        self._resolver = resolver

    async def aligned(self, spf: SpfResult, dkim: tuple[DkimResult, ...]) -> tuple[tuple[str, ...], str]:
        """Those that are, and the reason why there might be more: an answer that did not come."""
        candidates: list[tuple[str, str, Alignment]] = []
        if spf.verdict is SpfVerdict.PASS:
            candidates.append(("spf", spf.domain, self._record.spf))
        candidates += [("dkim", item.domain, self._record.dkim) for item in dkim if item.verdict is DkimVerdict.PASS]
        unique = list(dict.fromkeys(candidates))
        found = await asyncio.gather(*(self._is_aligned(domain, mode) for _, domain, mode in unique))
        aligned = tuple(f"{method}:{domain}" for (method, domain, _), fits in zip(unique, found, strict=True) if fits)
        unknown = None in found or self._is_open(spf, dkim)
        return aligned, "an identifier could not be checked for want of an answer" if unknown else ""

    def _is_open(self, spf: SpfResult, dkim: tuple[DkimResult, ...]) -> bool:
        """Whether what had no answer could have been the author's."""
        domains = [spf.domain] if spf.verdict is SpfVerdict.TEMPERROR else []
        domains += [item.domain for item in dkim if item.verdict is DkimVerdict.TEMPERROR]
        return any(_is_within(domain, self._way.organisation) for domain in map(name_key, domains))

    async def _is_aligned(self, domain: str, mode: Alignment) -> bool | None:
        """None where the DNS did not answer."""
        domain = name_key(domain)
        if domain == self._author:
            return True
        if mode is Alignment.STRICT:
            return False
        if self._way.temporary:
            return None
        organisation = self._way.organisation
        if not _is_within(domain, organisation):
            return False  # its DNS is a stranger's: whether that answers must not matter
        way = await walk(domain, self._resolver)
        return None if way.temporary else way.organisation == organisation


def _is_within(domain: str, organisation: str) -> bool:
    return domain == organisation or domain.endswith(f".{organisation}")


def _failed(base: _Base, policy: Policy, arc: ArcResult | None, trusted_sealers: frozenset[str]) -> DmarcResult:
    reason = "no authenticated domain is the author's"
    if policy is Policy.NONE:
        return base.result(DmarcVerdict.FAIL, policy=policy, reason=reason)
    sealer = trusted_pass(base.author, arc, trusted_sealers)
    if sealer:
        why = f"{reason}, but {sealer} vouches that it passed before it was forwarded"
        return base.result(DmarcVerdict.FAIL, policy=policy, override=Override.TRUSTED_FORWARDER, reason=why)
    if base.record.testing:
        # RFC 9989 §4.7: t=y asks for the next weaker policy.
        weaker = Policy.QUARANTINE if policy is Policy.REJECT else Policy.NONE
        return base.result(
            DmarcVerdict.FAIL, policy=policy, disposition=weaker, override=Override.TESTING, reason=reason
        )
    return base.result(DmarcVerdict.FAIL, policy=policy, disposition=policy, reason=reason)


def trusted_pass(author: str, arc: ArcResult | None, trusted_sealers: frozenset[str]) -> str:
    """The sealer that is believed when it says that DMARC passed for this author; empty where there is none.

    The chain has to hold, the last seal has to cover From, and every seal from the believed one on has to be of a
    trusted domain, since each of them could have changed what came before (RFC 8617 §7.2).
    """
    if arc is None or arc.verdict is not ArcVerdict.PASS or not arc.covers_from:
        return ""
    for sealer in reversed(arc.sealers):
        if sealer.domain not in trusted_sealers:
            return ""
        try:
            results = parse_results(sealer.results).results
        except ResultsError:
            return ""
        if any(_says_pass(item, author) for item in results):
            return sealer.domain
    return ""


def _says_pass(item: MethodResult, author: str) -> bool:
    stated = item.value("header", "from").rpartition("@")[2].lower()
    return item.method == "dmarc" and item.result == "pass" and stated in ("", author)
