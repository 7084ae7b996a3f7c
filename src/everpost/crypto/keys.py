"""The key hierarchy. Destroying a wrapped key erases everything under it, also inside immutable segments."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

KEY_OCTETS = 32
_NONCE_OCTETS = 12


class KeyProblem(Exception):
    """A key is missing, malformed, or does not open what it should."""


def new_key() -> bytes:
    """A fresh 256-bit key."""
    return secrets.token_bytes(KEY_OCTETS)


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that seals small secrets and wraps other keys (AES-256-GCM, NIST SP 800-38D, random 96-bit nonce).

    `context` is authenticated but not stored: what was sealed for one purpose or organisation cannot be
    opened as another's.
    """

    _aead: AESGCM = field(repr=False)
    _root: bytes = field(repr=False)

    @classmethod
    def from_bytes(cls, key: bytes) -> SealingKey:
        if len(key) != KEY_OCTETS:
            raise KeyProblem(f"a key has {KEY_OCTETS} octets, this one {len(key)}")
        return cls(AESGCM(key), key)

    def derived(self, purpose: str) -> bytes:
        """Another key of 256 bits, always the same for a purpose (HKDF-Expand, RFC 5869)."""
        return HKDFExpand(SHA256(), KEY_OCTETS, b"everpost " + purpose.encode()).derive(self._root)

    def seal(self, plain: bytes, context: str) -> bytes:
        nonce = os.urandom(_NONCE_OCTETS)
        return nonce + self._aead.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises `KeyProblem` where key, context or content do not belong together."""
        try:
            return self._aead.decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise KeyProblem("sealed with another key, for another purpose, or damaged") from error


def organisation_context(organisation_id: int) -> str:
    """The context under which an organisation's key is wrapped by the master key."""
    return f"organisation:{organisation_id}"


def load_or_create_master_key(path: Path) -> SealingKey:
    """The master key from a file of 64 hexadecimal digits, made (mode 0600) where the file does not exist yet.

    Raises `KeyProblem` where the file holds anything else or can be read by others.
    """
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        text = new_key().hex()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    if path.stat().st_mode & 0o077:
        raise KeyProblem(f"{path} can be read by others: chmod 600 {path}")
    return master_key_from_hex(text)


def master_key_from_hex(text: str) -> SealingKey:
    """Raises `KeyProblem` unless `text` is 64 hexadecimal digits."""
    try:
        return SealingKey.from_bytes(bytes.fromhex(text.strip()))
    except ValueError as error:
        raise KeyProblem("the master key must be 64 hexadecimal digits") from error
