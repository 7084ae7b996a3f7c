"""Messages made in the standby: bytes in, a stored message out. The way of intake without its obligations."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from everpost.standby.summary import Scanned, encode_summary, scan_message
from everpost.standby.threads import Unthreaded, assign_threads
from everpost.standby.values import Account
from everpost.store.blobs import INLINE_OCTETS, BlobWriter, KeyRing, SealedBlob, insert_blob, seal_bytes
from everpost.store.database import Connection
from everpost.store.ids import IdAllocator
from everpost.store.sql import load

_SQL = load("standby")
_ASIDE_OCTETS = 256 * 1024
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class PreparedMessage:
    """A message read and sealed outside the transaction that will store it. `source` says which face made it."""

    id: int
    blob_id: int
    blob: SealedBlob
    scanned: Scanned
    source: str
    thread_id: int = 0


def normalise_line_ends(content: bytes) -> bytes:
    """Every bare CR or LF made CRLF: no message may leave with one (RFC 5321 §2.3.8)."""
    return _BARE.sub(b"\r\n", content)


def has_bare_line_ends(content: bytes) -> bool:
    """Whether a CR or LF stands alone."""
    return _BARE.search(content) is not None


def seal_content(content: bytes, spool_folder: Path) -> SealedBlob:
    """Seal bytes of any size; large ones wait in `spool_folder`. Raises `OSError` where the disk is full."""
    if len(content) <= INLINE_OCTETS:
        return seal_bytes(content)
    writer = BlobWriter(spool_folder)
    for start in range(0, len(content), INLINE_OCTETS):
        writer.write(content[start : start + INLINE_OCTETS])
    return writer.finish()


async def prepare(content: bytes, source: str, ids: IdAllocator, spool_folder: Path) -> PreparedMessage:
    """Read and seal a message; what takes long is done beside the event loop."""
    message_id, blob_id = await ids.new(), await ids.new()
    if len(content) > _ASIDE_OCTETS:
        scanned = await asyncio.to_thread(scan_message, content)
        blob = await asyncio.to_thread(seal_content, content, spool_folder)
    else:
        scanned, blob = scan_message(content), seal_content(content, spool_folder)
    return PreparedMessage(message_id, blob_id, blob, scanned, source)


async def give_threads(
    connection: Connection, account: Account, messages: Sequence[PreparedMessage]
) -> list[PreparedMessage]:
    """The messages with their conversations. Before the mailbox is locked (see `assign_threads`)."""
    asked = [Unthreaded(account.organisation_id, message.id, message.scanned.summary) for message in messages]
    threads = await assign_threads(connection, asked)
    return [replace(message, thread_id=thread) for message, thread in zip(messages, threads, strict=True)]


async def store_message(
    connection: Connection, keys: KeyRing, account: Account, message: PreparedMessage, at: datetime, client: str
) -> None:
    """Blob and message row, inside the caller's transaction. The organisation's key is in the ring already."""
    organisation_id, scanned = account.organisation_id, message.scanned
    await insert_blob(connection, organisation_id, message.blob_id, keys.cached(organisation_id), message.blob)
    await connection.execute(
        _SQL["insert_message"],
        organisation_id,
        message.id,
        message.blob_id,
        message.source,
        at,
        scanned.size,
        scanned.digest,
        scanned.content_digest,
        scanned.summary.message_id,
        scanned.summary.subject,
        message.thread_id,
        encode_summary(scanned.summary),
        scanned.structure,
        client,
    )
