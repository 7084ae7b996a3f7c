"""Bytes at rest: compressed (zstd), then encrypted (AES-256-GCM) in chunks under a key of their own.

A chunk's nonce is its number and its associated data tells whether it is the last, so that chunks cannot be
exchanged, reordered, cut off or repeated unnoticed. The key is used for one blob only, hence nonces never repeat.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK_OCTETS = 1024 * 1024
_COMPRESSION_LEVEL = 3
_compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL)
_decompressor = zstandard.ZstdDecompressor()


class DamagedBlob(Exception):
    """Stored bytes do not open: another key, or changed since they were sealed."""


def _nonce(number: int) -> bytes:
    return struct.pack(">IQ", 0, number)


def seal_chunk(key: bytes, number: int, plain: bytes, *, last: bool) -> bytes:
    """Seal chunk `number` (from 0) of at most `CHUNK_OCTETS`."""
    return AESGCM(key).encrypt(_nonce(number), _compressor.compress(plain), b"last" if last else b"more")


def open_chunk(key: bytes, number: int, sealed: bytes, *, last: bool) -> bytes:
    """Raises `DamagedBlob`. Memory is bounded by `CHUNK_OCTETS`, whatever the stored bytes claim."""
    try:
        packed = AESGCM(key).decrypt(_nonce(number), sealed, b"last" if last else b"more")
        if not 0 <= zstandard.frame_content_size(packed) <= CHUNK_OCTETS:
            raise DamagedBlob(f"chunk {number} claims to be larger than a chunk")
        return _decompressor.decompress(packed)
    except (InvalidTag, zstandard.ZstdError) as error:
        raise DamagedBlob(f"chunk {number} does not open") from error


def split(data: bytes) -> Iterator[bytes]:
    """`data` in pieces of `CHUNK_OCTETS`; one empty piece for empty data."""
    if len(data) <= CHUNK_OCTETS:
        yield data
        return
    for start in range(0, len(data), CHUNK_OCTETS):
        yield data[start : start + CHUNK_OCTETS]
