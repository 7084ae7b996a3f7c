"""A signature field of DKIM, or of ARC, which borrows most of it (RFC 6376 §3.5, RFC 8617 §4.1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from everpost.auth.canonical import BodyForm, Canonicalisation
from everpost.auth.dkim_key import Algorithm, decode_base64
from everpost.auth.resolver import is_name
from everpost.auth.tags import TagError, TagList, parse_tags

MAX_NAMES: Final = 300
MAX_FIELD: Final = 65_536

_NUMBER = re.compile(r"[0-9]{1,15}\Z")
_LENGTH = re.compile(r"[0-9]{1,76}\Z")
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+\Z")
_SELECTOR = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\Z")
_FIELD_NAME = re.compile(r"[\x21-\x39\x3c-\x7e]+\Z")


class SignatureError(ValueError):
    """A signature that cannot be used; the message says why."""


class AlgorithmRefused(SignatureError):
    """Signed with an algorithm that proves nothing (RFC 8301 §3.1: rsa-sha1)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature says. `unsigned` is its field as written, with nothing in b=. Times are seconds since 1970."""

    domain: str
    selector: str
    algorithm: Algorithm
    value: bytes
    body_hash: bytes
    names: tuple[str, ...]
    header_form: Canonicalisation
    body: BodyForm
    unsigned: bytes
    identity: str
    signed_at: int | None
    expires: int | None
    beginning: str

    def covers(self, name: str) -> bool:
        """Whether fields of that name (in lower case) are signed."""
        return name in self.names


def parse_signature(written: bytes) -> Signature:
    """Read a DKIM-Signature field as it was received, name and all. Raises `SignatureError`."""
    tags, unsigned = read_tags(written)
    if tags.packed("v") != "1":
        raise SignatureError("v= is not 1")
    signature = message_signature(tags, unsigned, Canonicalisation.SIMPLE)
    if any(_FIELD_NAME.match(name) is None for name in signature.names):
        raise SignatureError("h= has what is no name of a field")
    if not signature.covers("from"):
        raise SignatureError("h= does not have From (RFC 6376 §5.4)")
    queries = tags.packed("q", "dns/txt").split(":")
    if "dns/txt" not in queries:
        raise SignatureError("q= has no known way to the key")
    identity = tags.packed("i", signature.identity)
    owner = identity.rpartition("@")[2].lower()
    if owner != signature.domain and not owner.endswith(f".{signature.domain}"):
        raise SignatureError("i= is not within d=")
    return replace(signature, identity=identity)


def read_tags(written: bytes) -> tuple[TagList, bytes]:
    """The tags of a field, and the field with an empty b= (RFC 6376 §3.7). Raises `SignatureError`."""
    if len(written) > MAX_FIELD:
        raise SignatureError("the field is too long")
    name, _, raw = written.partition(b":")
    try:
        tags = parse_tags(raw.decode("latin-1"))
    except TagError as error:
        raise SignatureError(str(error)) from None
    value = tags.get("b")
    if value is not None:
        raw = raw[: value.start] + raw[value.end :]
    return tags, name + b":" + raw


def message_signature(tags: TagList, unsigned: bytes, default: Canonicalisation) -> Signature:
    """What DKIM-Signature and ARC-Message-Signature have in common; `default` is for a missing c=.

    Raises `SignatureError`.
    """
    try:
        tags.demand("a", "b", "bh", "d", "s")
    except TagError as error:
        raise SignatureError(str(error)) from None
    if tags.get("h") is None:
        raise SignatureError("h= is missing")
    header_form, body_form = _forms(tags, default)
    domain = domain_of(tags)
    signed_at, expires = number(tags, "t"), number(tags, "x")
    if signed_at is not None and expires is not None and expires <= signed_at:
        raise SignatureError("x= is not after t=")
    return Signature(
        domain=domain,
        selector=selector_of(tags),
        algorithm=algorithm_of(tags),
        value=base64_of(tags, "b"),
        body_hash=base64_of(tags, "bh"),
        names=_names(tags),
        header_form=header_form,
        body=BodyForm(body_form, _length(tags)),
        unsigned=unsigned,
        identity=f"@{domain}",
        signed_at=signed_at,
        expires=expires,
        beginning=tags.packed("b")[:8],
    )


def algorithm_of(tags: TagList) -> Algorithm:
    """The a= tag. Raises `SignatureError`; `AlgorithmRefused` for rsa-sha1."""
    name = tags.packed("a")
    try:
        return Algorithm(name)
    except ValueError:
        if name == "rsa-sha1":
            raise AlgorithmRefused("rsa-sha1 is not accepted (RFC 8301 §3.1)") from None
        raise SignatureError(f"a={name[:40]} is not known") from None


def domain_of(tags: TagList) -> str:
    """The d= tag in lower case. Raises `SignatureError`."""
    domain = tags.packed("d").lower()
    if _DOMAIN.match(domain) is None or not is_name(domain):
        raise SignatureError("d= is no domain")
    return domain


def selector_of(tags: TagList) -> str:
    """The s= tag. Raises `SignatureError`."""
    selector = tags.packed("s")
    if _SELECTOR.match(selector) is None:
        raise SignatureError("s= is no selector")
    return selector


def base64_of(tags: TagList, name: str) -> bytes:
    """The octets of a tag. Raises `SignatureError`."""
    octets = decode_base64(tags.packed(name))
    if octets is None:
        raise SignatureError(f"{name}= is not base64")
    return octets


def number(tags: TagList, name: str) -> int | None:
    """The seconds of t= or x=; None where the tag is missing. Raises `SignatureError`."""
    tag = tags.get(name)
    if tag is None:
        return None
    if _NUMBER.match(tag.value) is None:
        raise SignatureError(f"{name}= is no number")
    return int(tag.value)


def _length(tags: TagList) -> int | None:
    tag = tags.get("l")
    if tag is None:
        return None
    if _LENGTH.match(tag.value) is None:
        raise SignatureError("l= is no number")
    return int(tag.value)


def _names(tags: TagList) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in tags.value("h").split(":"))
    if len(names) > MAX_NAMES:
        raise SignatureError("h= has too many names")
    return names


def _forms(tags: TagList, default: Canonicalisation) -> tuple[Canonicalisation, Canonicalisation]:
    """c=, whose second half is simple where it is missing (RFC 6376 §3.5)."""
    tag = tags.get("c")
    if tag is None:
        return default, default
    header, slash, body = tag.packed.partition("/")
    try:
        return Canonicalisation(header), Canonicalisation(body if slash else "simple")
    except ValueError:
        raise SignatureError("c= is not known") from None
