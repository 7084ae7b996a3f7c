"""ARC (RFC 8617): what earlier hosts saw, and whether their chain of seals holds."""

from __future__ import annotations

import asyncio
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from everpost.auth.canonical import BodyForm, BodyHash, Canonicalisation, SignedHeader, canonical_field, signed_octets
from everpost.auth.dkim_key import Algorithm, KeyProblem, KeyRefused, find_key
from everpost.auth.dkim_signature import (
    Signature,
    SignatureError,
    algorithm_of,
    base64_of,
    domain_of,
    message_signature,
    number,
    read_tags,
    selector_of,
)
from everpost.auth.resolver import Resolver
from everpost.auth.tags import TagError, TagList
from everpost.mail.header import Field

MAX_SETS: Final = 50  # RFC 8617 §4.2.1

SEAL: Final = "arc-seal"
MESSAGE_SIGNATURE: Final = "arc-message-signature"
RESULTS: Final = "arc-authentication-results"

_T = TypeVar("_T")

_INSTANCE = re.compile(r"[1-9][0-9]?\Z")
_RESULTS = re.compile(rb"\s*i\s*=\s*([0-9]+)\s*;\s*(.*)\Z", re.DOTALL)


class ArcVerdict(enum.StrEnum):
    """The state of a chain (RFC 8617 §4.4), and `temperror` where a key could not be asked for."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TEMPERROR = "temperror"


@dataclass(frozen=True, slots=True)
class ArcSealer:
    """One host of the chain: who sealed, and what its ARC-Authentication-Results say after "i=…;"."""

    instance: int
    domain: str
    selector: str
    results: bytes


@dataclass(frozen=True, slots=True)
class ArcResult:
    """The chain and its evidence; `sealers` from the first to the last. What they say counts only after `PASS`."""

    verdict: ArcVerdict
    sealers: tuple[ArcSealer, ...] = ()
    reason: str = ""
    oldest_pass: int = 0
    """The oldest instance since which the message is unchanged (RFC 8617 §5.2); 0 is all of them or unknown."""
    covers_from: bool = False
    """Whether the latest message signature covers From; without it the chain says nothing about this author."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What an ARC-Seal says; `unsigned` is the field with an empty b=."""

    domain: str
    selector: str
    algorithm: Algorithm
    value: bytes
    state: str
    unsigned: bytes


@dataclass(frozen=True, slots=True)
class ArcSet:
    """The three fields of one instance (RFC 8617 §4.2)."""

    instance: int
    seal: Seal
    seal_field: Field
    signature: Signature
    signature_field: Field
    results: bytes
    results_field: Field


@dataclass(frozen=True, slots=True)
class Chain:
    """The sets of a message in order; `broken` says why they are no chain, and is empty where they are one.

    `instances` counts the sets that are there, whole or not; `closed` means that a seal says cv=fail, after which
    none may follow (RFC 8617 §5.1).
    """

    sets: tuple[ArcSet, ...] = ()
    broken: str = ""
    instances: int = 0
    closed: bool = False

    @property
    def is_there(self) -> bool:
        """Whether the message has anything of ARC."""
        return bool(self.sets or self.broken)


class _Broken(Exception):
    """No chain."""


def find_chain(message: SignedHeader) -> Chain:
    """Collect the sets and judge their structure (RFC 8617 §5.2, steps 1 to 3), keys not asked for yet."""
    found = {kind: message.header.all(kind) for kind in (SEAL, MESSAGE_SIGNATURE, RESULTS)}
    count = max(map(len, found.values()))
    if count == 0:
        return Chain()
    if count > MAX_SETS:
        return Chain(broken=f"more than {MAX_SETS} sets", instances=MAX_SETS)
    try:
        return Chain(_collect(message, found), instances=count)
    except (_Broken, SignatureError, TagError) as error:
        closed = any(_says_fail(message, field) for field in found[SEAL])
        return Chain(broken=str(error), instances=count, closed=closed)


def _says_fail(message: SignedHeader, field: Field) -> bool:
    try:
        return read_tags(message.written(field))[0].packed("cv") == "fail"
    except SignatureError:
        return False


def _collect(message: SignedHeader, found: Mapping[str, tuple[Field, ...]]) -> tuple[ArcSet, ...]:
    results: dict[int, tuple[Field, bytes]] = {}
    for field in found[RESULTS]:
        instance, payload = _read_results(field.raw)
        _add(results, instance, (field, payload), "ARC-Authentication-Results")
    signatures: dict[int, tuple[Field, Signature]] = {}
    for field in found[MESSAGE_SIGNATURE]:
        tags, unsigned = read_tags(message.written(field))
        signature = message_signature(tags, unsigned, Canonicalisation.RELAXED)
        if signature.covers(SEAL):
            raise _Broken("ARC-Message-Signature signs an ARC-Seal (RFC 8617 §4.1.2)")
        _add(signatures, _instance(tags), (field, signature), "ARC-Message-Signature")
    seals: dict[int, tuple[Field, Seal]] = {}
    for field in found[SEAL]:
        tags, unsigned = read_tags(message.written(field))
        _add(seals, _instance(tags), (field, _read_seal(tags, unsigned)), "ARC-Seal")
    count = len(seals)
    if not set(results) == set(signatures) == set(seals) == set(range(1, count + 1)):
        raise _Broken("the sets are not complete")
    for instance, (_, seal) in seals.items():
        if seal.state == "fail" or seal.state != ("none" if instance == 1 else "pass"):
            raise _Broken(f"the seal of instance {instance} says cv={seal.state}")
    return tuple(
        ArcSet(n, seals[n][1], seals[n][0], signatures[n][1], signatures[n][0], results[n][1], results[n][0])
        for n in range(1, count + 1)
    )


def _add(sets: dict[int, _T], instance: int, item: _T, name: str) -> None:
    if instance in sets:
        raise _Broken(f"{name} of instance {instance} is there twice")
    sets[instance] = item


def _instance(tags: TagList) -> int:
    text = tags.packed("i")
    if _INSTANCE.match(text) is None or int(text) > MAX_SETS:
        raise _Broken("i= is no instance")
    return int(text)


def _read_results(raw: bytes) -> tuple[int, bytes]:
    found = _RESULTS.match(raw)
    if found is None or len(found[1]) > 2 or not 1 <= int(found[1]) <= MAX_SETS:
        raise _Broken("ARC-Authentication-Results does not begin with an instance (RFC 8617 §4.1.1)")
    return int(found[1]), found[2].rstrip()


def _read_seal(tags: TagList, unsigned: bytes) -> Seal:
    """RFC 8617 §4.1.3."""
    tags.demand("a", "b", "cv", "d", "s")
    if tags.get("h") is not None:
        raise _Broken("a seal has no h= (RFC 8617 §4.1.3)")
    state = tags.packed("cv")
    if state not in ("none", "pass", "fail"):
        raise _Broken("cv= is not known")
    number(tags, "t")
    return Seal(domain_of(tags), selector_of(tags), algorithm_of(tags), base64_of(tags, "b"), state, unsigned)


def wanted_bodies(chain: Chain) -> frozenset[BodyForm]:
    """The body hashes that checking will need: every signature's, as each may be the oldest that still fits."""
    return frozenset(item.signature.body for item in chain.sets)


async def check_chain(
    message: SignedHeader, chain: Chain, bodies: Mapping[BodyForm, BodyHash], resolver: Resolver
) -> ArcResult:
    """RFC 8617 §5.2: the latest message signature has to fit, and every seal."""
    if not chain.is_there:
        return ArcResult(ArcVerdict.NONE)
    if chain.broken:
        return ArcResult(ArcVerdict.FAIL, reason=chain.broken)
    sealers = tuple(ArcSealer(s.instance, s.seal.domain, s.seal.selector, s.results) for s in chain.sets)
    checks = [_signature_fits(message, chain.sets[-1], bodies, resolver)]
    checks += [_seal_fits(message, chain.sets[: item.instance], resolver) for item in reversed(chain.sets)]
    for problem in await asyncio.gather(*checks):
        if problem is not None:
            return ArcResult(problem[0], sealers, problem[1])
    oldest = await _oldest_pass(message, chain, bodies, resolver)
    covers_from = chain.sets[-1].signature.covers("from")
    return ArcResult(ArcVerdict.PASS, sealers, oldest_pass=oldest, covers_from=covers_from)


_Problem = tuple[ArcVerdict, str] | None


async def _oldest_pass(
    message: SignedHeader, chain: Chain, bodies: Mapping[BodyForm, BodyHash], resolver: Resolver
) -> int:
    oldest = len(chain.sets)
    for item in reversed(chain.sets[:-1]):
        if await _signature_fits(message, item, bodies, resolver) is not None:
            return oldest
        oldest = item.instance
    return 0


async def _signature_fits(
    message: SignedHeader, item: ArcSet, bodies: Mapping[BodyForm, BodyHash], resolver: Resolver
) -> _Problem:
    """ARC-Message-Signature, checked as DKIM-Signature is (RFC 8617 §4.1.2)."""
    signature, body = item.signature, bodies[item.signature.body]
    place = f"the message signature of instance {item.instance}"
    if signature.body_hash != body.digest or (signature.body.length or 0) > body.octets:
        return ArcVerdict.FAIL, f"{place}: the body was changed"
    try:
        key = await find_key(signature.domain, signature.selector, signature.algorithm, resolver)
    except KeyRefused as refused:
        return _refused(refused, place)
    octets = signed_octets(
        message, signature.names, signature.unsigned, signature.header_form, skip=item.signature_field
    )
    if not key.accepts(signature.value, octets, signature.algorithm):
        return ArcVerdict.FAIL, f"{place}: the header was changed, or the key is another"
    return None


async def _seal_fits(message: SignedHeader, sets: tuple[ArcSet, ...], resolver: Resolver) -> _Problem:
    seal = sets[-1].seal
    place = f"the seal of instance {sets[-1].instance}"
    try:
        key = await find_key(seal.domain, seal.selector, seal.algorithm, resolver)
    except KeyRefused as refused:
        return _refused(refused, place)
    if not key.accepts(seal.value, sealed_octets(message, sets), seal.algorithm):
        return ArcVerdict.FAIL, f"{place} does not fit"
    return None


def _refused(refused: KeyRefused, place: str) -> tuple[ArcVerdict, str]:
    temporary = refused.problem is KeyProblem.TEMPORARY
    return ArcVerdict.TEMPERROR if temporary else ArcVerdict.FAIL, f"{place}: {refused}"


def sealed_octets(message: SignedHeader, sets: tuple[ArcSet, ...]) -> bytes:
    """What the last of these sets seals: all of them in order, its own seal with an empty b= (RFC 8617 §5.1.1)."""
    parts: list[bytes] = []
    for item in sets:
        parts += [message.written(item.results_field), message.written(item.signature_field)]
        parts.append(item.seal.unsigned if item is sets[-1] else message.written(item.seal_field))
    return b"\r\n".join(canonical_field(part, Canonicalisation.RELAXED) for part in parts)
