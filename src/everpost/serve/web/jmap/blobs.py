"""The Blob methods of RFC 9404."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from typing import Any

from everpost.serve.web import content
from everpost.serve.web.jmap.context import Arguments, Context, check_creation_ids
from everpost.serve.web.names import MessageBlob, UploadBlob, account_id, read_blob_id, upload_blob
from everpost.standby.drafts import seal_content
from everpost.standby.values import NoSuchThing, OverLimit
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import BlobGet, BlobLookup, BlobUpload
from everpost.wire.jmap.core import MAX_BLOB_SET_OCTETS, MAX_DATA_SOURCES, MAX_SIZE_UPLOAD, MethodError, SetError

DIGESTS = ("sha", "sha-256")
TYPE_NAMES = ("Email", "Mailbox", "Thread")
MAX_GET_OCTETS = 48_000_000
_DATA = ("data:asText", "data:asBase64")
_PROPERTIES = frozenset(("data", *_DATA, "size", *(f"digest:{name}" for name in DIGESTS)))


async def upload(context: Context, arguments: Arguments) -> Arguments:
    """Blob/upload (RFC 9404 §4.1): blobs put together from pieces."""
    asked = context.read(arguments, BlobUpload)
    if not context.visitor.mailbox.may_write:
        raise MethodError("accountReadOnly", "you may only read this mailbox")
    check_creation_ids(asked.create)
    answer: Arguments = {"accountId": account_id(context.account), "created": {}, "notCreated": {}}
    for name, item in asked.create.items():
        try:
            octets = await _assemble(context, item)
            blob_id = upload_blob(await keep_octets(context, octets))
        except SetError as error:
            answer["notCreated"][name] = error.as_json()
            continue
        context.dialogue.remember(name, blob_id)
        answer["created"][name] = {"id": blob_id, "type": item.get("type"), "size": len(octets)}
    return answer


async def keep_octets(context: Context, octets: bytes) -> int:
    """As an upload of the account; raises `SetError`."""
    blob = await asyncio.to_thread(seal_content, octets, context.services.spool_folder)
    try:
        return await context.standby.upload(context.account, blob)
    except OverLimit as error:
        raise SetError("overQuota", str(error)) from error
    finally:
        blob.close()


async def _assemble(context: Context, item: dict[str, Any]) -> bytes:
    sources = item.get("data")
    kind = item.get("type")
    if item.keys() - {"data", "type"} or not isinstance(sources, list) or len(sources) > MAX_DATA_SOURCES:
        raise SetError(
            "invalidProperties", f"data is a list of at most {MAX_DATA_SOURCES} sources", properties=("data",)
        )
    if kind is not None and (not isinstance(kind, str) or len(kind) > 255):
        raise SetError("invalidProperties", "type is a media type", properties=("type",))
    pieces, octets = [], 0
    for source in sources:
        if not isinstance(source, dict):
            raise SetError("invalidProperties", "a source is an object", properties=("data",))
        pieces.append(await _piece(context, source))
        octets += len(pieces[-1])
        if octets > MAX_BLOB_SET_OCTETS:
            raise SetError("tooLarge", f"at most {MAX_BLOB_SET_OCTETS} octets", extra={"maxSize": MAX_BLOB_SET_OCTETS})
    return b"".join(pieces)


async def _piece(context: Context, source: dict[str, Any]) -> bytes:
    bad = SetError("invalidProperties", "a source has data:asText, data:asBase64 or blobId", properties=("data",))
    text, letters, blob_id = (source.get(name) for name in (*_DATA, "blobId"))
    if isinstance(text, str) and source.keys() == {"data:asText"}:
        return text.encode("utf-8", "replace")
    if isinstance(letters, str) and source.keys() == {"data:asBase64"}:
        try:
            return base64.b64decode(letters, validate=True)
        except (binascii.Error, ValueError):
            raise bad from None
    if not isinstance(blob_id, str) or source.keys() - {"blobId", "offset", "length"}:
        raise bad
    offset, length = source.get("offset") or 0, source.get("length")
    if type(offset) is not int or offset < 0 or (length is not None and (type(length) is not int or length < 0)):
        raise bad
    data = await _read(context, blob_id)
    if data is None:
        raise SetError("blobNotFound", extra={"notFound": [blob_id[:255]]})
    end = len(data) if length is None else offset + length
    if end > len(data):
        raise SetError("invalidProperties", "the blob is shorter", properties=("data",))
    return data[offset:end]


async def _read(context: Context, text: str) -> bytes | None:
    try:
        real = context.dialogue.real_id(text)
        found = await content.find(context.standby, context.account, real)
    except (NoSuchThing, KeyError):
        return None
    if found.size > MAX_SIZE_UPLOAD:
        return None
    return await content.read(context.standby, context.account, found)


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Blob/get (RFC 9404 §4.2)."""
    asked = context.read(arguments, BlobGet)
    wanted = ["data", "size"] if asked.properties is None else list(dict.fromkeys(asked.properties))
    unknown = [name for name in wanted if name not in _PROPERTIES and name != "id"]
    if unknown:
        raise MethodError("invalidArguments", f"unknown properties: {', '.join(unknown)[:200]}")
    rows, missing, left = [], [], MAX_GET_OCTETS
    for text in dict.fromkeys(asked.ids):
        data = await _read(context, text)
        if data is None:
            missing.append(text)
            continue
        rows.append(_row(text, data, asked, wanted))
        left -= sum(len(value) for value in rows[-1].values() if isinstance(value, str))
        if left < 0:
            raise MethodError("requestTooLarge", "ask for fewer octets at once")
    return {"accountId": asked.account_id, "list": rows, "notFound": missing}


def _row(text: str, data: bytes, asked: BlobGet, wanted: list[str]) -> dict[str, Any]:
    start = asked.offset or 0
    end = len(data) if asked.length is None else start + asked.length
    piece = data[start:end]
    row: dict[str, Any] = {"id": text}
    if (asked.offset or asked.length is not None) and end > len(data):
        row["isTruncated"] = True
    try:
        decoded: str | None = piece.decode("utf-8")
    except UnicodeDecodeError:
        decoded = None
    for name in wanted:
        if name == "size":
            row["size"] = len(data)
        elif name.startswith("digest:"):
            digest = hashlib.sha1 if name == "digest:sha" else hashlib.sha256  # as the client asked: no secret
            row[name] = base64.b64encode(digest(piece, usedforsecurity=False).digest()).decode("ascii")
        elif name == "data:asText" or (name == "data" and decoded is not None):
            row["data:asText"] = decoded
            if decoded is None:
                row["isEncodingProblem"] = True
        elif name in ("data:asBase64", "data"):
            row["data:asBase64"] = base64.b64encode(piece).decode("ascii")
            if name == "data":
                row["isEncodingProblem"] = True
    return row


async def lookup(context: Context, arguments: Arguments) -> Arguments:
    """Blob/lookup (RFC 9404 §4.3): what of the mailbox a blob belongs to."""
    asked = context.read(arguments, BlobLookup)
    unknown = [name for name in asked.type_names if name not in TYPE_NAMES]
    if unknown:
        raise MethodError("unknownDataType", ", ".join(unknown)[:200])
    rows, missing = [], []
    for text in dict.fromkeys(asked.ids):
        name = read_blob_id(text)
        try:
            if name is None:
                raise NoSuchThing("there is no such blob")  # noqa: TRY301
            await content.find(context.standby, context.account, text)
        except NoSuchThing:
            missing.append(text)
            continue
        rows.append({"id": text, "matchedIds": await _matched(context, name, asked.type_names)})
    return {"accountId": asked.account_id, "list": rows, "notFound": missing}


async def _matched(context: Context, name: MessageBlob | UploadBlob, types: list[str]) -> dict[str, list[str]]:
    matched: dict[str, list[str]] = {kind: [] for kind in types}
    if isinstance(name, MessageBlob):
        entry = (await context.standby.entries(context.account, (name.entry_id,)))[name.entry_id]
        ids = {
            "Email": [encode_id(entry.id)], "Thread": [encode_id(entry.thread_id)],
            "Mailbox": [encode_id(folder) for folder in entry.folder_ids],
        }  # fmt: skip
        matched = {kind: ids[kind] for kind in types}
    return matched
