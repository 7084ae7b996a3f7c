"""Public keys in the DNS (RFC 6376 §3.6.1, RFC 8301, RFC 8463), and checking a signature with one."""

from __future__ import annotations

import base64
import binascii
import enum
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from everpost.auth.resolver import RecordType, Resolver, Status, is_name
from everpost.auth.tags import TagError, TagList, parse_tags

MIN_RSA_BITS: Final = 1024  # RFC 8301 §3.2
MAX_RSA_BITS: Final = 8192
_MAX_EXPONENT: Final = 2**33  # a larger one only costs time

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")


class Algorithm(enum.StrEnum):
    """The signature algorithms that are accepted (RFC 8301 §3.1, RFC 8463)."""

    RSA_SHA256 = "rsa-sha256"
    ED25519_SHA256 = "ed25519-sha256"


class KeyProblem(enum.Enum):
    """Why there is no key."""

    TEMPORARY = "the DNS did not answer"
    MISSING = "no key for this selector"
    SYNTAX = "the key record cannot be read"
    REVOKED = "the key is revoked"
    UNSUITABLE = "the key is not for this use"
    WEAK = "the key is too short"


class KeyRefused(Exception):
    """There is no key to check with; `problem` is the reason."""

    def __init__(self, problem: KeyProblem, detail: str = "") -> None:
        super().__init__(f"{problem.value}: {detail}" if detail else problem.value)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key record that may be used. `strict` forbids subdomains in i= (t=s); `testing` is t=y."""

    key: RSAPublicKey | Ed25519PublicKey
    bits: int
    testing: bool
    strict: bool

    def accepts(self, signature: bytes, signed: bytes, algorithm: Algorithm) -> bool:
        """Whether the signature fits. Ed25519 signs the SHA-256 of what is signed (RFC 8463 §3)."""
        try:
            if isinstance(self.key, RSAPublicKey):
                if algorithm is not Algorithm.RSA_SHA256:
                    return False
                self.key.verify(signature, signed, PKCS1v15(), hashes.SHA256())
            else:
                if algorithm is not Algorithm.ED25519_SHA256:
                    return False
                digest = hashes.Hash(hashes.SHA256())
                digest.update(signed)
                self.key.verify(signature, digest.finalize())
        except InvalidSignature:
            return False
        return True


async def find_key(domain: str, selector: str, algorithm: Algorithm, resolver: Resolver) -> PublicKey:
    """The key of a selector (RFC 6376 §6.1.2). Raises `KeyRefused`."""
    name = f"{selector}._domainkey.{domain}"
    if not is_name(name):
        raise KeyRefused(KeyProblem.MISSING, "no domain name")
    answer = await resolver.lookup(name, RecordType.TXT)
    if answer.temporary:
        raise KeyRefused(KeyProblem.TEMPORARY, answer.reason)
    if answer.status is not Status.FOUND:
        raise KeyRefused(KeyProblem.MISSING, answer.status.value)
    refused: KeyRefused | None = None
    for text in answer.records[:4]:  # there should be one; a foreign record beside it does not hide it
        try:
            return parse_key(text, algorithm)
        except KeyRefused as problem:
            refused = refused or problem
    raise refused or KeyRefused(KeyProblem.MISSING)


def parse_key(text: str, algorithm: Algorithm) -> PublicKey:
    """Read a key record for one algorithm. Raises `KeyRefused`."""
    try:
        tags = parse_tags(text)
    except TagError as error:
        raise KeyRefused(KeyProblem.SYNTAX, str(error)) from None
    version = tags.get("v")
    if version is not None and (version.value != "DKIM1" or tags.tags[0] is not version):
        raise KeyRefused(KeyProblem.SYNTAX, "v= is not DKIM1, or not the first tag")
    if tags.get("p") is None:
        raise KeyRefused(KeyProblem.SYNTAX, "p= is missing")
    _check_use(tags, algorithm)
    packed = tags.packed("p")
    if not packed:
        raise KeyRefused(KeyProblem.REVOKED)
    flags = [flag.strip() for flag in tags.value("t").split(":")]
    key, bits = _load(packed, algorithm)
    return PublicKey(key, bits, testing="y" in flags, strict="s" in flags)


def _check_use(tags: TagList, algorithm: Algorithm) -> None:
    kind = algorithm.value.partition("-")[0]
    if tags.packed("k", "rsa").lower() != kind:
        raise KeyRefused(KeyProblem.UNSUITABLE, f"the key is not {kind}")
    accepted = tags.get("h")
    if accepted is not None and "sha256" not in accepted.packed.lower().split(":"):
        raise KeyRefused(KeyProblem.UNSUITABLE, "h= does not allow sha256")
    services = tags.packed("s", "*").lower().split(":")
    if "*" not in services and "email" not in services:
        raise KeyRefused(KeyProblem.UNSUITABLE, "s= does not allow mail")


def _load(packed: str, algorithm: Algorithm) -> tuple[RSAPublicKey | Ed25519PublicKey, int]:
    octets = decode_base64(packed)
    if octets is None:
        raise KeyRefused(KeyProblem.SYNTAX, "p= is not base64")
    try:
        if algorithm is Algorithm.ED25519_SHA256:
            return Ed25519PublicKey.from_public_bytes(octets), 256
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused(KeyProblem.SYNTAX, "p= is no key") from None
    if not isinstance(key, RSAPublicKey):
        raise KeyRefused(KeyProblem.UNSUITABLE, "p= is no RSA key")
    if key.key_size < MIN_RSA_BITS:
        raise KeyRefused(KeyProblem.WEAK, f"{key.key_size} bits")
    if key.key_size > MAX_RSA_BITS or key.public_numbers().e > _MAX_EXPONENT:
        raise KeyRefused(KeyProblem.UNSUITABLE, "the key costs too much time")
    return key, key.key_size


def decode_base64(packed: str) -> bytes | None:
    """Base64 without white space; None where it is none."""
    if _BASE64.match(packed) is None:
        return None
    try:
        return base64.b64decode(packed, validate=True)
    except binascii.Error:
        return None
