"""DKIM signatures on what our domains send to the world, made before the message becomes ours (RFC 6376)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog

from everpost.auth.canonical import BodyHasher, SignedHeader
from everpost.auth.dkim_sign import RELAXED, SigningKey, dkim_signature, keys_in_use
from everpost.crypto.keys import KeyProblem
from everpost.directory.dkim import SigningKeys
from everpost.directory.model import OutsideTarget, Resolved
from everpost.intake.submission import BlobReference, Submission
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.database import UNAVAILABLE

log = structlog.get_logger()
BESIDE: Final = 256 * 1024  # octets from which on hashing does not hold up the event loop


class Signer:
    """Signs for the author's domain, where it is one of the sender's organisation and has keys in use."""

    def __init__(self, keys: SigningKeys, blobs: BlobReader) -> None:
        self._keys = keys
        self._blobs = blobs

    async def sign(self, submission: Submission) -> bytes:
        """The DKIM-Signature fields with their line ends; empty where none is to be made. Never raises: mail that
        cannot be signed goes unsigned, and the log says so.
        """
        owner = submission.owner
        if owner is None or not submission.source.is_from_inside or not _goes_out(submission):
            return b""
        domain = _author_domain(submission)
        try:
            keys = keys_in_use(await self._keys.of(owner.organisation_id), domain, submission.received_at)
            return await self._fields(submission, keys) if keys else b""
        except (*UNAVAILABLE, KeyProblem, NoSuchBlob, ValueError) as error:
            log.warning("dkim.not_signed", domain=domain, error=str(error) or type(error).__name__,
                        header_id=submission.scanned.summary.message_id)  # fmt: skip
            return b""

    async def _fields(self, submission: Submission, keys: tuple[SigningKey, ...]) -> bytes:
        size = submission.scanned.header.size
        head, hasher = bytearray(), BodyHasher(RELAXED.form)
        async for chunk in self._chunks(submission):
            missing = size - len(head)
            if missing > 0:
                head += chunk[:missing]
                chunk = chunk[missing:]
            if len(chunk) > BESIDE:
                await asyncio.to_thread(hasher.update, chunk)
            else:
                hasher.update(chunk)
        message = SignedHeader(bytes(head), submission.scanned.header)
        body = hasher.finish()[None]
        return b"".join(dkim_signature(message, body, key, now=submission.received_at) for key in keys)

    async def _chunks(self, submission: Submission) -> AsyncIterator[bytes]:
        if submission.content is not None:
            yield submission.content
        elif isinstance(submission.blob, BlobReference):
            async for chunk in self._blobs.chunks(submission.blob.organisation_id, submission.blob.blob_id):
                yield chunk
        else:
            for chunk in submission.blob.open_chunks():
                yield chunk


def _goes_out(submission: Submission) -> bool:
    """Whether anybody outside the sender's organisation gets it."""
    assert submission.owner is not None
    for routed in submission.recipients:
        found = routed.resolution
        if not isinstance(found, Resolved) or found.organisation_id != submission.owner.organisation_id:
            return True
        if any(isinstance(target, OutsideTarget) for target in found.targets):
            return True
    return False


def _author_domain(submission: Submission) -> str:
    """The domain that DMARC looks at."""
    authors = submission.scanned.summary.from_
    return authors[0].address.rpartition("@")[2].lower() if authors else ""
