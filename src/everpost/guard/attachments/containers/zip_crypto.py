"""The two encryptions of zip: PKWARE's of 1990 (APPNOTE §6.1) and WinZip's AES (AE-1, AE-2)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from everpost.guard.attachments.binary import Malformed

CLASSIC_OCTETS: Final = 512 * 1024
"""So much of a member is decrypted with the old cipher, which takes 1 s for 2 MB in Python."""
_HEADER: Final = 12
_KEY_OCTETS: Final = {1: 16, 2: 24, 3: 32}
_ITERATIONS: Final = 1000
_MAC: Final = 10


def _table() -> tuple[int, ...]:
    table = []
    for code in range(256):
        for _ in range(8):
            code = code >> 1 ^ 0xEDB88320 if code & 1 else code >> 1
        table.append(code)
    return tuple(table)


_CRC_TABLE: Final = _table()


def _keys(password: bytes) -> tuple[int, int, int]:
    first, second, third = 0x12345678, 0x23456789, 0x34567890
    for octet in password:
        first = first >> 8 ^ _CRC_TABLE[(first ^ octet) & 255]
        second = ((second + (first & 255)) * 134775813 + 1) & 0xFFFFFFFF
        third = third >> 8 ^ _CRC_TABLE[(third ^ second >> 24) & 255]
    return first, second, third


def _stream(packed: bytes, password: bytes) -> bytes:
    first, second, third = _keys(password)
    table = _CRC_TABLE
    out = bytearray(len(packed))
    for position, octet in enumerate(packed):
        mask = third | 2
        octet ^= (mask * (mask ^ 1) >> 8) & 255
        first = first >> 8 ^ table[(first ^ octet) & 255]
        second = ((second + (first & 255)) * 134775813 + 1) & 0xFFFFFFFF
        third = third >> 8 ^ table[(third ^ second >> 24) & 255]
        out[position] = octet
    return bytes(out)


def classic_opens(packed: bytes, password: bytes, check: int) -> bool:
    """Whether the last octet of the header comes out right: a wrong password passes once in 256."""
    return len(packed) >= _HEADER and _stream(packed[:_HEADER], password)[-1] == check & 255


def classic_decrypt(packed: bytes, password: bytes) -> bytes:
    """At most CLASSIC_OCTETS of the member."""
    return _stream(packed[: _HEADER + CLASSIC_OCTETS], password)[_HEADER:]


def _aes_parts(packed: bytes, strength: int) -> tuple[bytes, bytes, bytes, bytes]:
    """Salt, password verifier, content, authentication code."""
    if strength not in _KEY_OCTETS:
        raise Malformed(f"AES of an unknown strength ({strength})")
    salt = _KEY_OCTETS[strength] // 2
    if len(packed) < salt + 2 + _MAC:
        raise Malformed("too short for AES")
    return packed[:salt], packed[salt : salt + 2], packed[salt + 2 : -_MAC], packed[-_MAC:]


def _aes_keys(salt: bytes, strength: int, password: bytes) -> tuple[bytes, bytes, bytes]:
    size = _KEY_OCTETS[strength]
    derived = hashlib.pbkdf2_hmac("sha1", password, salt, _ITERATIONS, 2 * size + 2)
    return derived[:size], derived[size : 2 * size], derived[2 * size :]


def aes_opens(packed: bytes, strength: int, password: bytes) -> bool:
    salt, verifier, content, code = _aes_parts(packed, strength)
    _, signing, found = _aes_keys(salt, strength, password)
    return found == verifier and hmac.digest(signing, content, "sha1")[:_MAC] == code


def aes_decrypt(packed: bytes, strength: int, password: bytes) -> bytes:
    """AES in counter mode, with a counter that begins at 1 and is little-endian, so that no library has it."""
    salt, _, content, _ = _aes_parts(packed, strength)
    key, _, _ = _aes_keys(salt, strength, password)
    blocks = -(-len(content) // 16)
    counters = b"".join(number.to_bytes(16, "little") for number in range(1, blocks + 1))
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 (the key stream of a counter mode)
    mask = encryptor.update(counters)[: len(content)]
    return (int.from_bytes(content, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(content), "big")
