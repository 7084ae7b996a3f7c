"""SPF (RFC 7208): may this address use this domain in HELO or MAIL FROM?"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import quote

from everpost.auth.resolver import Lookup, RecordType, Resolver, Status, is_name, name_key, reverse_name
from everpost.auth.spf_record import (
    Directive,
    Macro,
    MacroString,
    Mechanism,
    Qualifier,
    SpfRecord,
    SpfSyntaxError,
    is_spf,
    parse_macros,
    parse_record,
)

MAX_LOOKUPS: Final = 10  # RFC 7208 §4.6.4: terms that ask the DNS
MAX_VOID: Final = 2  # RFC 7208 §4.6.4: questions without an answer
MAX_NAMES: Final = 10  # RFC 7208 §4.6.4: names of one MX or PTR answer
_MAX_EXPLANATION: Final = 500

Address = IPv4Address | IPv6Address


class SpfVerdict(enum.StrEnum):
    """The results of RFC 7208 §2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class SpfIdentity(enum.StrEnum):
    """What was checked (RFC 7208 §2.3, §2.4)."""

    MAIL_FROM = "mailfrom"
    HELO = "helo"


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The verdict on `domain` with its evidence.

    `mechanism` is the term that matched, `explanation` what the domain's owner says about a fail (a stranger's
    text), `lookups` how many terms asked the DNS.
    """

    verdict: SpfVerdict
    identity: SpfIdentity
    domain: str
    mechanism: str = ""
    reason: str = ""
    explanation: str = ""
    lookups: int = 0


async def check_mail_from(
    address: Address, reverse_path: str, helo: str, resolver: Resolver, *, receiver: str = "unknown"
) -> SpfResult:
    """The MAIL FROM identity; `postmaster@` the HELO name where the reverse-path is null (RFC 7208 §2.4)."""
    sender = reverse_path or f"postmaster@{helo}"
    domain = sender.rpartition("@")[2]
    return await check_host(address, domain, sender, helo, resolver, receiver=receiver)


async def check_helo(address: Address, helo: str, resolver: Resolver, *, receiver: str = "unknown") -> SpfResult:
    """The HELO identity (RFC 7208 §2.3)."""
    sender = f"postmaster@{helo}"
    return await check_host(address, helo, sender, helo, resolver, identity=SpfIdentity.HELO, receiver=receiver)


async def check_host(
    address: Address,
    domain: str,
    sender: str,
    helo: str,
    resolver: Resolver,
    *,
    identity: SpfIdentity = SpfIdentity.MAIL_FROM,
    receiver: str = "unknown",
) -> SpfResult:
    """The check_host() of RFC 7208 §4; the two functions above choose its arguments."""
    local, _, sender_domain = sender.rpartition("@")
    domain = name_key(_ascii(domain))
    if not is_name(domain) or "." not in domain or domain.startswith("["):
        return SpfResult(SpfVerdict.NONE, identity, domain, reason="not a domain name of several labels")
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # RFC 7208 §5
    evaluation = _Evaluation(address, local or "postmaster", _ascii(sender_domain) or domain, helo, resolver, receiver)
    try:
        found = await evaluation.check_host(domain)
    except _Ended as ended:
        return SpfResult(ended.verdict, identity, domain, reason=ended.reason, lookups=evaluation.lookups)
    explanation = await evaluation.explain(found) if found.verdict is SpfVerdict.FAIL else ""
    return SpfResult(
        found.verdict, identity, domain, found.mechanism, found.reason, explanation, lookups=evaluation.lookups
    )


def _ascii(domain: str) -> str:
    """A domain with its A-labels (RFC 7208 §4.3); one that has none stays as it is and is no name."""
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain


class _Ended(Exception):
    """The evaluation is over with an error (RFC 7208 §4.6)."""

    def __init__(self, verdict: SpfVerdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Found:
    """How one record ended; `record` and `domain` are those whose explanation counts."""

    verdict: SpfVerdict
    domain: str
    mechanism: str = ""
    reason: str = ""
    record: SpfRecord | None = None


_VERDICTS = {
    Qualifier.PASS: SpfVerdict.PASS,
    Qualifier.FAIL: SpfVerdict.FAIL,
    Qualifier.SOFTFAIL: SpfVerdict.SOFTFAIL,
    Qualifier.NEUTRAL: SpfVerdict.NEUTRAL,
}


class _Evaluation:
    """One check_host() with the recursion below it: the limits hold for all of it."""

    def __init__(
        self, address: Address, local: str, sender_domain: str, helo: str, resolver: Resolver, receiver: str
    ) -> None:
        self.address = address
        self.local = local
        self.sender_domain = sender_domain
        self.helo = helo
        self.resolver = resolver
        self.receiver = receiver
        self.lookups = 0
        self.void = 0
        self._names: tuple[str, ...] | None = None

    async def check_host(self, domain: str) -> _Found:
        """RFC 7208 §4; raises `_Ended` for a permanent or temporary error."""
        record = await self._record(domain)
        if record is None:
            return _Found(SpfVerdict.NONE, domain, reason="no SPF record")
        for directive in record.directives:
            if await self._matches(directive, domain):
                verdict = _VERDICTS[directive.qualifier]
                return _Found(verdict, domain, directive.text, f"{self.address} matches {directive.text}", record)
        if record.redirect is not None:
            return await self._redirected(record.redirect, domain)
        return _Found(SpfVerdict.NEUTRAL, domain, reason="no mechanism matches", record=record)

    async def _record(self, domain: str) -> SpfRecord | None:
        answer = await self._ask(domain, RecordType.TXT)
        records = [text for text in answer.records if is_spf(text)]
        if not records:
            return None
        if len(records) > 1:
            raise _Ended(SpfVerdict.PERMERROR, f"{domain} has several SPF records")
        try:
            return parse_record(records[0])
        except SpfSyntaxError as error:
            raise _Ended(SpfVerdict.PERMERROR, f"{domain}: {error}") from None

    async def _redirected(self, target: MacroString, domain: str) -> _Found:
        """RFC 7208 §6.1."""
        self._count()
        name = await self._expand_name(target, domain)
        found = await self.check_host(name) if is_name(name) else None
        if found is None or found.verdict is SpfVerdict.NONE:
            raise _Ended(SpfVerdict.PERMERROR, f"redirect to {name[:80]}, which has no SPF record")
        return found

    async def _matches(self, directive: Directive, domain: str) -> bool:
        match directive.mechanism:
            case Mechanism.ALL:
                return True
            case Mechanism.IP4 | Mechanism.IP6:
                return directive.network is not None and self.address in directive.network
            case _:
                self._count()
        name = domain if directive.domain is None else await self._expand_name(directive.domain, domain)
        match directive.mechanism:
            case Mechanism.INCLUDE:
                return await self._included(name)
            case Mechanism.A:
                return await self._has_address(name, directive)
            case Mechanism.MX:
                return await self._has_exchange(name, directive)
            case Mechanism.EXISTS:
                return (await self._ask_counted(name, RecordType.A)).status is Status.FOUND
            case _:
                return any(_is_within(known, name) for known in await self._validated_names())

    async def _included(self, name: str) -> bool:
        """RFC 7208 §5.2."""
        found = await self.check_host(name) if is_name(name) else None
        if found is None or found.verdict is SpfVerdict.NONE:
            raise _Ended(SpfVerdict.PERMERROR, f"include of {name[:80]}, which has no SPF record")
        return found.verdict is SpfVerdict.PASS

    async def _has_address(self, name: str, directive: Directive) -> bool:
        """RFC 7208 §5.3."""
        answer = await self._ask_counted(name, self._address_type)
        return any(self._is_near(text, directive) for text in answer.records)

    async def _has_exchange(self, name: str, directive: Directive) -> bool:
        """RFC 7208 §5.4."""
        exchanges = (await self._ask_counted(name, RecordType.MX)).records
        if len(exchanges) > MAX_NAMES:
            raise _Ended(SpfVerdict.PERMERROR, f"{name} has more than {MAX_NAMES} MX records")
        for exchange in exchanges:
            answer = await self._ask(exchange, self._address_type)
            if any(self._is_near(text, directive) for text in answer.records):
                return True
        return False

    @property
    def _address_type(self) -> RecordType:
        return RecordType.A if isinstance(self.address, IPv4Address) else RecordType.AAAA

    def _is_near(self, text: str, directive: Directive) -> bool:
        prefix = directive.prefix4 if isinstance(self.address, IPv4Address) else directive.prefix6
        return self.address in ip_network((ip_address(text), prefix), strict=False)

    async def _validated_names(self) -> tuple[str, ...]:
        """The names of the address that lead back to it (RFC 7208 §5.5); an error there is no name."""
        if self._names is None:
            self._names = ()
            pointers = await self.resolver.lookup(reverse_name(self.address), RecordType.PTR)
            if not pointers.temporary:
                self._note_void(pointers)
            valid: list[str] = []
            for name in pointers.records[:MAX_NAMES]:
                answer = await self.resolver.lookup(name, self._address_type)
                if any(ip_address(text) == self.address for text in answer.records):
                    valid.append(name_key(name))
            self._names = tuple(valid)
        return self._names

    def _count(self) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            raise _Ended(SpfVerdict.PERMERROR, f"more than {MAX_LOOKUPS} terms that ask the DNS")

    async def _ask(self, name: str, kind: RecordType) -> Lookup:
        if not is_name(name):
            return Lookup(Status.NO_DOMAIN)
        answer = await self.resolver.lookup(name, kind)
        if answer.temporary:
            raise _Ended(SpfVerdict.TEMPERROR, f"{kind} of {name}: {answer.reason or 'no answer'}")
        return answer

    async def _ask_counted(self, name: str, kind: RecordType) -> Lookup:
        answer = await self._ask(name, kind)
        self._note_void(answer)
        return answer

    def _note_void(self, answer: Lookup) -> None:
        if answer.status in (Status.NO_DATA, Status.NO_DOMAIN):
            self.void += 1
            if self.void > MAX_VOID:
                raise _Ended(SpfVerdict.PERMERROR, f"more than {MAX_VOID} questions without an answer")

    async def explain(self, found: _Found) -> str:
        """RFC 7208 §6.2: any error on the way means that there is no explanation."""
        if found.record is None or found.record.explanation is None:
            return ""
        try:
            name = await self._expand_name(found.record.explanation, found.domain)
            answer = await self._ask(name, RecordType.TXT)
            if len(answer.records) != 1 or not answer.records[0].isascii():
                return ""
            macros = parse_macros(answer.records[0], explanation=True)
            return (await self._expand(macros, found.domain))[:_MAX_EXPLANATION]
        except (_Ended, SpfSyntaxError):
            return ""

    async def _expand_name(self, macros: MacroString, domain: str) -> str:
        """A name to be asked for; labels on the left go where it is too long (RFC 7208 §7.3)."""
        name = (await self._expand(macros, domain)).removesuffix(".")
        while len(name) > 253 and "." in name:
            name = name.partition(".")[2]
        return name

    async def _expand(self, macros: MacroString, domain: str) -> str:
        parts = [part if isinstance(part, str) else await self._value(part, domain) for part in macros]
        return "".join(parts)

    async def _value(self, macro: Macro, domain: str) -> str:
        """RFC 7208 §7.2 and §7.3."""
        value = await self._letter(macro.letter, domain)
        if macro.keep or macro.reverse or macro.delimiters != ".":
            for delimiter in macro.delimiters:
                value = value.replace(delimiter, "\0")
            pieces = value.split("\0")
            if macro.reverse:
                pieces.reverse()
            value = ".".join(pieces[-macro.keep :])
        return quote(value, safe="-._~") if macro.escape else value

    async def _letter(self, letter: str, domain: str) -> str:
        match letter:
            case "s":
                return f"{self.local}@{self.sender_domain}"
            case "l":
                return self.local
            case "o":
                return self.sender_domain
            case "d":
                return domain
            case "i":
                return _dotted(self.address)
            case "p":
                return await self._best_name(domain)
            case "v":
                return "in-addr" if isinstance(self.address, IPv4Address) else "ip6"
            case "h":
                return self.helo
            case "c":
                return str(self.address)
            case "r":
                return self.receiver
            case _:
                return str(int(time.time()))

    async def _best_name(self, domain: str) -> str:
        """The `p` macro: the domain itself, a name below it, any name, or "unknown" (RFC 7208 §7.3)."""
        names = await self._validated_names()
        exact = [name for name in names if name == name_key(domain)]
        below = [name for name in names if _is_within(name, domain)]
        return (*exact, *below, *names, "unknown")[0]


def _dotted(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return ".".join(address.exploded.replace(":", "").upper())


def _is_within(name: str, domain: str) -> bool:
    domain = name_key(domain)
    return name == domain or name.endswith(f".{domain}")
