"""Signatures made before a message becomes ours: DKIM on what our domains send to the world (RFC 6376), and ARC seals
on what goes to a primary, so that it may believe what was seen here (RFC 8617).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog

from everpost.auth.arc import find_chain
from everpost.auth.arc_seal import SealRefused, arc_set
from everpost.auth.canonical import BodyHash, BodyHasher, SignedHeader
from everpost.auth.dkim_key import Algorithm
from everpost.auth.dkim_sign import RELAXED, SigningKey, dkim_signature, keys_in_use
from everpost.auth.results import format_results
from everpost.crypto.keys import KeyProblem
from everpost.directory.dkim import SigningKeys
from everpost.directory.model import MailboxTarget, OutsideTarget, Resolved
from everpost.intake.submission import BlobReference, Submission
from everpost.mail.edits import Editor, growth
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.database import UNAVAILABLE

log = structlog.get_logger()
BESIDE: Final = 256 * 1024  # octets from which on hashing does not hold up the event loop


class Signer:
    """Signs for the author's domain, where it is one of the sender's organisation and has keys in use; seals with the
    key of a recipient's domain. `hostname` is our name in what a seal says was seen.
    """

    def __init__(self, keys: SigningKeys, blobs: BlobReader, hostname: str) -> None:
        self._keys = keys
        self._blobs = blobs
        self._hostname = hostname

    async def sign(self, submission: Submission) -> bytes:
        """The fields with their line ends; empty where none are to be made. Never raises: mail that cannot be signed
        goes unsigned, and the log says so.
        """
        if submission.source.is_from_inside:
            return await self._signatures(submission)
        return await self._seal(submission)

    async def _seal(self, submission: Submission) -> bytes:
        """An ARC set over the copy as the primary gets it."""
        assessment = submission.assessment
        if assessment is None or assessment.authentication is None or (place := _sealed_for(submission)) is None:
            return b""
        organisation_id, domain = place
        try:
            keys = keys_in_use(await self._keys.of(organisation_id), domain, submission.received_at)
            rsa = [key for key in keys if key.algorithm is Algorithm.RSA_SHA256]  # what those who verify ARC know
            if not rsa:
                return b""
            message, body = await self._copy(submission)
            results = format_results(assessment.authentication.results(self._hostname)).encode()
            chain = find_chain(message)
            return arc_set(message, body, chain, assessment.authentication.arc, results, rsa[0],
                           now=submission.received_at)  # fmt: skip
        except SealRefused as refused:
            log.info("arc.not_sealed", domain=domain, reason=str(refused))
            return b""
        except (*UNAVAILABLE, KeyProblem, NoSuchBlob, ValueError) as error:
            log.warning("arc.not_sealed", domain=domain, error=str(error) or type(error).__name__,
                        header_id=submission.scanned.summary.message_id)  # fmt: skip
            return b""

    async def _signatures(self, submission: Submission) -> bytes:
        owner = submission.owner
        if owner is None or not _goes_out(submission):
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
        message, body = await self._copy(submission)
        return b"".join(dkim_signature(message, body, key, now=submission.received_at) for key in keys)

    async def _copy(self, submission: Submission) -> tuple[SignedHeader, BodyHash]:
        """Header and hash of the body of a delivery copy, with its edits."""
        edits = submission.assessment.edits if submission.assessment is not None else ()
        size = submission.scanned.header.size
        size += growth(tuple(edit for edit in edits if edit.start < size))
        head, hasher, editor = bytearray(), BodyHasher(RELAXED.form), Editor(edits)
        async for original in self._chunks(submission):
            chunk = editor.feed(original)
            missing = size - len(head)
            if missing > 0:
                head += chunk[:missing]
                chunk = chunk[missing:]
            if len(chunk) > BESIDE:
                await asyncio.to_thread(hasher.update, chunk)
            else:
                hasher.update(chunk)
        message = SignedHeader.parse(bytes(head)) if edits else SignedHeader(bytes(head), submission.scanned.header)
        return message, hasher.finish()[None]

    async def _chunks(self, submission: Submission) -> AsyncIterator[bytes]:
        if submission.content is not None:
            yield submission.content
        elif isinstance(submission.blob, BlobReference):
            async for chunk in self._blobs.chunks(submission.blob.organisation_id, submission.blob.blob_id):
                yield chunk
        else:
            for chunk in submission.blob.open_chunks():
                yield chunk


def _sealed_for(submission: Submission) -> tuple[int, str] | None:
    """The organisation and the recipient's domain, where there is one of each that has a primary."""
    found = {
        (target.place.organisation_id, target.deliver_to.domain.lower())
        for routed in submission.recipients
        if isinstance(routed.resolution, Resolved)
        for target in routed.resolution.targets
        if isinstance(target, MailboxTarget) and target.place.primary_id is not None
    }
    organisations = {organisation_id for organisation_id, _ in found}
    return min(found) if len(organisations) == 1 else None


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
