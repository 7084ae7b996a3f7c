"""Signatures of an organisation over its reports (Ed25519, RFC 8032)."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


def new_signing_key() -> tuple[bytes, bytes]:
    """A fresh key pair as (private, public), 32 octets each."""
    private = Ed25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def sign(private: bytes, content: bytes) -> bytes:
    """A signature of 64 octets over `content`."""
    return Ed25519PrivateKey.from_private_bytes(private).sign(content)


def verify(public: bytes, content: bytes, signature: bytes) -> bool:
    """Whether `signature` was made over exactly this `content` with the matching private key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except InvalidSignature:
        return False
    return True
