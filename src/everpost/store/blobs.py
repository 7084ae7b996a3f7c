"""Original bytes: sealed at the edge, stored with the intake transaction, read back in bounded pieces."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from everpost.crypto.keys import SealingKey, new_key, organisation_context
from everpost.crypto.sealed_blob import CHUNK_OCTETS, DamagedBlob, open_chunk, seal_chunk
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("store")
INLINE_OCTETS = CHUNK_OCTETS
"""Blobs up to this size stand in one row and are read in one go."""


class NoSuchBlob(LookupError):
    """The organisation has no such blob."""


class KeyRing:
    """The organisations' keys, unwrapped with the master key and kept in memory."""

    def __init__(self, database: Database, master: SealingKey) -> None:
        self._database = database
        self._master = master
        self._keys: dict[int, SealingKey] = {}

    async def organisation(self, organisation_id: int) -> SealingKey:
        """Raises `LookupError` for an unknown organisation, `KeyProblem` where the master key is another."""
        key = self._keys.get(organisation_id)
        if key is None:
            async with self._database.connection() as connection:
                wrapped = await connection.fetchval(_SQL["organisation_key"], organisation_id)
            if wrapped is None:
                raise LookupError(f"no organisation {organisation_id}")
            key = SealingKey.from_bytes(self._master.open(wrapped, organisation_context(organisation_id)))
            self._keys[organisation_id] = key
        return key

    def cached(self, organisation_id: int) -> SealingKey:
        """The key of an organisation that `organisation` was asked for before."""
        return self._keys[organisation_id]


@dataclass(frozen=True, slots=True)
class SealedBlob:
    """A blob sealed and ready to be stored for one organisation or several.

    Up to `INLINE_OCTETS` it stands in `data`; larger ones wait, already encrypted, in the unlinked `spool` file
    as (offset, length) pieces, so that memory stays bounded.
    """

    key: bytes
    size: int
    data: bytes | None
    spool: IO[bytes] | None = None
    pieces: tuple[tuple[int, int], ...] = ()

    @property
    def chunks(self) -> int:
        return len(self.pieces) or 1

    def piece(self, number: int) -> bytes:
        """The sealed bytes of one chunk."""
        if self.spool is None:
            assert self.data is not None
            return self.data
        offset, length = self.pieces[number]
        self.spool.seek(offset)
        return self.spool.read(length)

    def open_chunks(self) -> Iterator[bytes]:
        """The original bytes again, a chunk at a time."""
        for number in range(self.chunks):
            yield open_chunk(self.key, number, self.piece(number), last=number == self.chunks - 1)

    def close(self) -> None:
        """Forget the spool file. Safe to call twice."""
        if self.spool is not None:
            self.spool.close()


def seal_bytes(data: bytes) -> SealedBlob:
    """Seal what fits in one row; raises `ValueError` for more than `INLINE_OCTETS`."""
    if len(data) > INLINE_OCTETS:
        raise ValueError("too large for one row")
    key = new_key()
    return SealedBlob(key, len(data), seal_chunk(key, 0, data, last=True))


class BlobWriter:
    """Takes bytes as they arrive. What exceeds one chunk goes, sealed, to an unlinked file in `spool_folder`.

    Raises `OSError` where the disk is full.
    """

    def __init__(self, spool_folder: Path) -> None:
        self._folder = spool_folder
        self._buffer = bytearray()
        self._key = new_key()
        self._spool: IO[bytes] | None = None
        self._pieces: list[tuple[int, int]] = []
        self._offset = 0
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self._buffer += data
        while len(self._buffer) > CHUNK_OCTETS:  # the last chunk stays in the buffer: only `finish` can mark it
            self._spill(bytes(self._buffer[:CHUNK_OCTETS]), last=False)
            del self._buffer[:CHUNK_OCTETS]

    def finish(self) -> SealedBlob:
        if self._spool is None:
            return SealedBlob(self._key, self.size, seal_chunk(self._key, 0, bytes(self._buffer), last=True))
        self._spill(bytes(self._buffer), last=True)
        self._buffer.clear()
        self._spool.flush()
        return SealedBlob(self._key, self.size, None, self._spool, tuple(self._pieces))

    def discard(self) -> None:
        """Drop everything written so far."""
        self._buffer.clear()
        if self._spool is not None:
            self._spool.close()

    def _spill(self, plain: bytes, *, last: bool) -> None:
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (lives as long as the blob)
        sealed = seal_chunk(self._key, len(self._pieces), plain, last=last)
        self._spool.write(sealed)
        self._pieces.append((self._offset, len(sealed)))
        self._offset += len(sealed)


def blob_context(organisation_id: int, blob_id: int) -> str:
    """The context under which a blob's key is wrapped by its organisation's key."""
    return f"blob:{organisation_id}:{blob_id}"


async def insert_blob(
    connection: Connection,
    organisation_id: int,
    blob_id: int,
    organisation_key: SealingKey,
    blob: SealedBlob,
    uploaded_by: int | None = None,
) -> None:
    """Store a blob inside the caller's transaction, one chunk in memory at a time."""
    wrapped = organisation_key.seal(blob.key, blob_context(organisation_id, blob_id))
    await connection.execute(
        _SQL["insert_blob"], organisation_id, blob_id, wrapped, blob.size, blob.chunks, blob.data, uploaded_by
    )
    if blob.spool is not None:
        for number in range(blob.chunks):
            await connection.execute(_SQL["insert_blob_chunk"], organisation_id, blob_id, number, blob.piece(number))


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One blob as it stands in the database, with its key unwrapped."""

    organisation_id: int
    blob_id: int
    key: bytes
    size: int
    chunks: int
    data: bytes | None


class BlobReader:
    """Reads blobs of the organisations whose keys are in the ring."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys

    async def open(self, organisation_id: int, blob_id: int) -> StoredBlob:
        """Raises `NoSuchBlob`; `KeyProblem` where it was erased or the keys do not fit."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_SQL["read_blob"], organisation_id, blob_id)
        if row is None:
            raise NoSuchBlob(f"organisation {organisation_id} has no blob {blob_id}")
        ring = await self._keys.organisation(organisation_id)
        key = ring.open(row["wrapped_key"], blob_context(organisation_id, blob_id))
        return StoredBlob(organisation_id, blob_id, key, row["size"], row["chunks"], row["data"])

    async def chunks(self, organisation_id: int, blob_id: int) -> AsyncIterator[bytes]:
        """The original bytes in pieces of at most `CHUNK_OCTETS`. Raises as `open`, and `DamagedBlob`."""
        blob = await self.open(organisation_id, blob_id)
        for number in range(blob.chunks):
            sealed = blob.data if blob.data is not None else await self._piece(blob, number)
            yield open_chunk(blob.key, number, sealed, last=number == blob.chunks - 1)

    async def read(self, organisation_id: int, blob_id: int, *, limit: int | None = None) -> bytes:
        """All of a blob, or at least its first `limit` octets (rounded up to whole chunks)."""
        parts, total = [], 0
        async for part in self.chunks(organisation_id, blob_id):
            parts.append(part)
            total += len(part)
            if limit is not None and total >= limit:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _piece(self, blob: StoredBlob, number: int) -> bytes:
        async with self._database.connection() as connection:
            data = await connection.fetchval(_SQL["read_blob_chunk"], blob.organisation_id, blob.blob_id, number)
        if data is None:
            raise DamagedBlob(f"chunk {number} of blob {blob.blob_id} is missing")
        return bytes(data)
