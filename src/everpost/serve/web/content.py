"""Blobs as JMAP means them: uploads, whole messages, decoded parts; each only through the mailbox it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from everpost.mail.content import decode_body
from everpost.mail.mime import scan
from everpost.mail.part import Part
from everpost.serve.web.names import UploadBlob, read_blob_id
from everpost.standby.service import Standby
from everpost.standby.values import Account, NoSuchThing

_ASIDE_OCTETS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """Where the octets of a blob are to be found. `size` is known for what is stored as it is.

    What lies deeper than a part of a stored message has been read already: `octets`.
    """

    blob_id: int
    size: int
    part: Part | None = None
    octets: bytes | None = None

    @property
    def type(self) -> str:
        return self.part.type if self.part is not None else "application/octet-stream"


async def find(standby: Standby, account: Account, blob_id: str) -> Content:
    """Raises `NoSuchThing` where the mailbox has no such blob, whoever else may have one."""
    name = read_blob_id(blob_id)
    if name is None:
        raise NoSuchThing("there is no such blob")
    if isinstance(name, UploadBlob):
        found = Content(name.blob_id, await standby.upload_size(account, name.blob_id))
        return await _inside(standby, account, found, name.parts)
    entries = await standby.entries(account, (name.entry_id,), structure=bool(name.parts))
    entry = entries.get(name.entry_id)
    if entry is None:
        raise NoSuchThing("there is no such blob")
    found = Content(entry.blob_id, entry.size)
    if not name.parts:
        return found
    assert entry.structure is not None
    part = _part(entry.structure, name.parts[0])
    return await _inside(standby, account, Content(entry.blob_id, part.size, part), name.parts[1:])


async def _inside(standby: Standby, account: Account, outer: Content, numbers: tuple[int, ...]) -> Content:
    """A part of a message that is not stored as one: an upload, or a part of another message."""
    for number in numbers:
        data = await read(standby, account, outer)
        root = await asyncio.to_thread(scan, data) if len(data) > _ASIDE_OCTETS else scan(data)
        part = _part(root, number)
        octets = decode_body(data, part)
        outer = Content(outer.blob_id, len(octets), part, octets)
    return outer


def _part(root: Part, number: int) -> Part:
    """Raises `NoSuchThing`."""
    for place, part in enumerate(root.walk()):
        if place == number and not part.is_multipart:
            return part
    raise NoSuchThing("there is no such blob")


async def read(standby: Standby, account: Account, content: Content) -> bytes:
    """All of it. At most the largest message in memory, once as stored and once decoded."""
    if content.octets is not None:
        return content.octets
    part = content.part
    if part is None:
        return await standby.blobs.read(account.organisation_id, content.blob_id)
    data = await standby.blobs.read(account.organisation_id, content.blob_id, limit=part.body_end)
    if part.size > _ASIDE_OCTETS:
        return await asyncio.to_thread(decode_body, data, part)
    return decode_body(data, part)


async def stream(standby: Standby, account: Account, content: Content) -> AsyncIterator[bytes]:
    """Piece by piece where it is stored as it is."""
    if content.part is not None:
        yield await read(standby, account, content)
        return
    async for piece in standby.blobs.chunks(account.organisation_id, content.blob_id):
        yield piece
