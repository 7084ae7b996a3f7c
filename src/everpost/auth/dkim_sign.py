"""DKIM signing (RFC 6376 §5, RFC 8463), and the choice of the key while keys are replaced."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from everpost.auth.canonical import BodyForm, BodyHash, Canonicalisation, SignedHeader, signed_octets
from everpost.auth.dkim_key import MIN_RSA_BITS, Algorithm

RELAXED: Final = BodyForm(Canonicalisation.RELAXED)
"""The body hash that signing needs."""

OVERSIGNED: Final = ("from", "to", "cc", "subject", "date", "reply-to", "sender", "message-id")
"""Signed once more than they are there, so that none can be added (RFC 6376 §8.15)."""

SIGNED: Final = (
    *("in-reply-to", "references", "mime-version", "content-type", "content-transfer-encoding", "content-id"),
    *("content-description", "resent-from", "resent-to", "resent-cc", "resent-date", "resent-message-id"),
    *("list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post"),
    *("list-owner", "list-archive", "autocrypt"),
)
"""Signed as often as they are there (RFC 6376 §5.4.1)."""

_LINE: Final = 72


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with the name under which its public half is in the DNS.

    It signs from `active_from` until `retired_at`; the record has to stay in the DNS for longer than that, as
    long as mail is under way. Raises `ValueError` for an RSA key of less than 1024 bits.
    """

    domain: str
    selector: str
    key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)
    active_from: datetime | None = None
    retired_at: datetime | None = None

    def __post_init__(self) -> None:
        if isinstance(self.key, RSAPrivateKey) and self.key.key_size < MIN_RSA_BITS:
            raise ValueError(f"an RSA key of {self.key.key_size} bits is not accepted by anyone")

    @property
    def algorithm(self) -> Algorithm:
        """What it signs with."""
        return Algorithm.RSA_SHA256 if isinstance(self.key, RSAPrivateKey) else Algorithm.ED25519_SHA256

    @property
    def record_name(self) -> str:
        """The name of its TXT record."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The text of its TXT record (RFC 6376 §3.6.1, RFC 8463 §4); longer than the 255 octets of one string."""
        public = self.key.public_key()
        if self.algorithm is Algorithm.RSA_SHA256:
            kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            kind, octets = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k={kind}; p={base64.b64encode(octets).decode('ascii')}"

    def is_active(self, now: datetime) -> bool:
        """Whether it signs at that time."""
        begun = self.active_from is None or self.active_from <= now
        return begun and (self.retired_at is None or now < self.retired_at)

    def sign(self, octets: bytes) -> bytes:
        """The raw signature."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(octets, PKCS1v15(), hashes.SHA256())
        digest = hashes.Hash(hashes.SHA256())
        digest.update(octets)
        return self.key.sign(digest.finalize())


def new_signing_key(
    domain: str, selector: str, algorithm: Algorithm, active_from: datetime | None = None
) -> SigningKey:
    """A fresh key: RSA with 2048 bits, or Ed25519."""
    key: RSAPrivateKey | Ed25519PrivateKey
    if algorithm is Algorithm.RSA_SHA256:
        key = generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = Ed25519PrivateKey.generate()
    return SigningKey(domain, selector, key, active_from)


def keys_in_use(keys: Iterable[SigningKey], domain: str, now: datetime) -> tuple[SigningKey, ...]:
    """Of each algorithm the key of the domain that became active last; nothing where none is active."""
    chosen: dict[Algorithm, SigningKey] = {}
    for key in keys:
        if key.domain.lower() != domain.lower() or not key.is_active(now):
            continue
        other = chosen.get(key.algorithm)
        if other is None or _began(other) <= _began(key):
            chosen[key.algorithm] = key
    return tuple(chosen[algorithm] for algorithm in Algorithm if algorithm in chosen)


def _began(key: SigningKey) -> float:
    return 0.0 if key.active_from is None else key.active_from.timestamp()


def names_to_sign(message: SignedHeader) -> tuple[str, ...]:
    """The h= of a message of ours: what is there, and once more what must not be added."""
    names: list[str] = []
    for name in OVERSIGNED:
        names.extend([name] * (len(message.header.all(name)) + 1))
    for name in SIGNED:
        names.extend([name] * len(message.header.all(name)))
    return tuple(names)


def dkim_signature(
    message: SignedHeader,
    body: BodyHash,
    key: SigningKey,
    *,
    now: datetime,
    lifetime: float | None = None,
    identity: str | None = None,
) -> bytes:
    """The DKIM-Signature field to be put on top, with its line end. `body` is the hash for `RELAXED`.

    `lifetime` in seconds gives x=. The header has to be as it will be sent: its line ends CRLF.
    """
    signed_at = int(now.timestamp())
    names = names_to_sign(message)
    tags = [("v", "1"), ("a", key.algorithm.value), ("c", "relaxed/relaxed"), ("d", key.domain), ("s", key.selector)]
    tags += [("t", str(signed_at))]
    if lifetime is not None:
        tags.append(("x", str(signed_at + int(lifetime))))
    if identity is not None:
        tags.append(("i", identity))
    tags += [("h", ":".join(names)), ("bh", base64.b64encode(body.digest).decode("ascii")), ("b", "")]
    unsigned = tag_field("DKIM-Signature", tags)
    octets = signed_octets(message, names, unsigned, Canonicalisation.RELAXED)
    return signed_field(unsigned, key, octets)


def signed_field(unsigned: bytes, key: SigningKey, octets: bytes) -> bytes:
    """A field of ours whose b= is empty and comes last, with the signature in it and a line end."""
    return unsigned + fold_base64(key.sign(octets)).encode("ascii") + b"\r\n"


def fold_base64(octets: bytes) -> str:
    """Base64 over lines of 72 characters, the first two letters of the first line left for "b="."""
    text = "  " + base64.b64encode(octets).decode("ascii")
    return "\r\n ".join(text[at : at + _LINE] for at in range(0, len(text), _LINE))[2:]


def tag_field(name: str, tags: Iterable[tuple[str, str]]) -> bytes:
    """A field of tags, folded where a line would be long; b= begins a line. Without a line end."""
    lines = [f"{name}:"]
    for key, value in tags:
        for number, piece in enumerate(_pieces(f"{key}={value};")):
            glue = "" if number else " "
            if key == "b" or len(lines[-1]) + len(glue) + len(piece) > _LINE:
                lines.append("")
                glue = ""
            lines[-1] += glue + piece
    return "\r\n ".join(lines).removesuffix(";").encode("ascii")


def _pieces(term: str) -> list[str]:
    """Where a long term may be folded: h= after its colons (RFC 6376 §3.5)."""
    return [term] if len(term) < _LINE else re.findall(r"[^:]+:?", term)
