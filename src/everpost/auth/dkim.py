"""DKIM verification (RFC 6376 §6, RFC 8301, RFC 8463)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from everpost.auth.canonical import BodyForm, BodyHash, SignedHeader, signed_octets
from everpost.auth.dkim_key import KeyProblem, KeyRefused, PublicKey, find_key
from everpost.auth.dkim_signature import AlgorithmRefused, Signature, SignatureError, parse_signature
from everpost.auth.resolver import Resolver
from everpost.mail.header import Field

MAX_SIGNATURES: Final = 10
_CLOCK_SKEW: Final = 300  # seconds that a signer's clock may be ahead
_MUST_NOT_REPEAT: Final = ("from", "subject", "to", "date", "reply-to", "content-type", "content-transfer-encoding")


class DkimVerdict(enum.StrEnum):
    """The results of RFC 8601 §2.7.1."""

    NONE = "none"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class DkimDoubt(enum.StrEnum):
    """What makes a signature weaker evidence, even one that passes."""

    BODY_LIMITED = "l= leaves a part of the body unsigned"
    LENGTH_GIVEN = "l= allows octets to be added"
    TESTING = "the key says that it is being tested (t=y)"
    SHORT_KEY = "the key has less than 2048 bits"
    FROM_REPEATED = "there are more From fields than are signed"
    FIELD_REPEATED = "a field that readers show is there more often than it is signed"
    FUTURE = "it was signed in the future"


@dataclass(frozen=True, slots=True)
class DkimResult:
    """One signature and its evidence.

    `body_octets` counts the canonical body, `signed_octets` what of it is signed; `beginning` is the start of b=
    that tells signatures apart (RFC 6008); `names` are the signed fields.
    """

    verdict: DkimVerdict
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    reason: str = ""
    doubts: tuple[DkimDoubt, ...] = ()
    key_bits: int = 0
    names: tuple[str, ...] = ()
    body_octets: int = 0
    signed_octets: int = 0
    beginning: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signature field that was found: what it says, or why it cannot be used."""

    field: Field
    signature: Signature | None
    refused: DkimResult | None


def find_signatures(message: SignedHeader) -> tuple[Candidate, ...]:
    """The first ten signatures of a message, read but not checked; those above were added last."""
    fields = message.header.all("dkim-signature")[:MAX_SIGNATURES]
    return tuple(_candidate(message, field) for field in fields)


def _candidate(message: SignedHeader, field: Field) -> Candidate:
    try:
        signature = parse_signature(message.written(field))
    except AlgorithmRefused as error:
        return Candidate(field, None, DkimResult(DkimVerdict.PERMERROR, reason=str(error)))
    except SignatureError as error:
        return Candidate(field, None, DkimResult(DkimVerdict.NEUTRAL, reason=str(error)))
    return Candidate(field, signature, None)


def wanted_bodies(candidates: tuple[Candidate, ...]) -> frozenset[BodyForm]:
    """The body hashes that checking will need."""
    return frozenset(item.signature.body for item in candidates if item.signature is not None)


async def check_signature(
    message: SignedHeader, candidate: Candidate, bodies: Mapping[BodyForm, BodyHash], resolver: Resolver, *, now: float
) -> DkimResult:
    """Check one. `now` is in seconds since 1970."""
    signature = candidate.signature
    if signature is None:
        assert candidate.refused is not None
        return candidate.refused
    result = described(signature)
    try:
        key = await find_key(signature.domain, signature.selector, signature.algorithm, resolver)
    except KeyRefused as refused:
        temporary = refused.problem is KeyProblem.TEMPORARY
        verdict = DkimVerdict.TEMPERROR if temporary else DkimVerdict.PERMERROR
        return replace(result, verdict=verdict, reason=str(refused))
    body = bodies[signature.body]
    signed = body.octets if signature.body.length is None else min(body.octets, signature.body.length)
    result = replace(
        result,
        key_bits=key.bits,
        body_octets=body.octets,
        signed_octets=signed,
        doubts=_doubts(message, signature, key, body, now),
    )
    verdict, reason = _judge(message, candidate.field, signature, key, body, now)
    return replace(result, verdict=verdict, reason=reason)


def described(signature: Signature, verdict: DkimVerdict = DkimVerdict.NEUTRAL, reason: str = "") -> DkimResult:
    """What a signature says of itself, unchecked."""
    return DkimResult(
        verdict,
        reason=reason,
        domain=signature.domain,
        selector=signature.selector,
        identity=signature.identity,
        algorithm=signature.algorithm.value,
        names=signature.names,
        beginning=signature.beginning,
    )


def _judge(
    message: SignedHeader, field: Field, signature: Signature, key: PublicKey, body: BodyHash, now: float
) -> tuple[DkimVerdict, str]:
    """RFC 6376 §6.1.3; the cheap reasons come first."""
    identity = signature.identity.rpartition("@")[2].lower()
    if key.strict and identity != signature.domain:
        return DkimVerdict.PERMERROR, "the key forbids subdomains in i= (t=s)"
    if signature.expires is not None and signature.expires < now:
        return DkimVerdict.FAIL, "the signature has expired"
    if signature.body.length is not None and signature.body.length > body.octets:
        return DkimVerdict.PERMERROR, "the body is shorter than l= says"
    if signature.body_hash != body.digest:
        return DkimVerdict.FAIL, "the body was changed"
    octets = signed_octets(message, signature.names, signature.unsigned, signature.header_form, skip=field)
    if not key.accepts(signature.value, octets, signature.algorithm):
        return DkimVerdict.FAIL, "the header was changed, or the key is another"
    return DkimVerdict.PASS, ""


def _doubts(
    message: SignedHeader, signature: Signature, key: PublicKey, body: BodyHash, now: float
) -> tuple[DkimDoubt, ...]:
    doubts: list[DkimDoubt] = []
    if signature.body.length is not None:
        limited = signature.body.length < body.octets
        doubts.append(DkimDoubt.BODY_LIMITED if limited else DkimDoubt.LENGTH_GIVEN)
    if key.testing:
        doubts.append(DkimDoubt.TESTING)
    if signature.algorithm.value.startswith("rsa") and key.bits < 2048:
        doubts.append(DkimDoubt.SHORT_KEY)
    if signature.signed_at is not None and signature.signed_at > now + _CLOCK_SKEW:
        doubts.append(DkimDoubt.FUTURE)
    if message.header.has_repeats:
        for name in _MUST_NOT_REPEAT:
            present = len(message.header.all(name))
            if present > 1 and present > signature.names.count(name):
                doubts.append(DkimDoubt.FROM_REPEATED if name == "from" else DkimDoubt.FIELD_REPEATED)
    return tuple(dict.fromkeys(doubts))
