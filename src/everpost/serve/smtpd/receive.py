"""From the octets of a message to a submission, and from its acceptance to the final reply."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from everpost.directory.model import JournalAddress
from everpost.directory.resolve import Directory
from everpost.intake.accept import Intake, IntakeUnavailable
from everpost.intake.journal import unpack
from everpost.intake.screening import Screen, refusal_of
from everpost.intake.submission import Client, Owner, RoutedRecipient, Source, Submission
from everpost.mail.envelope import Sender
from everpost.mail.reply import Reply
from everpost.mail.trace import hops, passed_through
from everpost.serve.smtpd.settings import SmtpdSettings
from everpost.standby.summary import Scanned, scan_message
from everpost.store.blobs import INLINE_OCTETS, BlobWriter, SealedBlob, seal_bytes
from everpost.store.database import UNAVAILABLE
from everpost.store.ids import encode_id
from everpost.wire.smtp.events import Role

log = structlog.get_logger()

TRY_LATER = Reply(451, "Could not be stored, try again later", (3, 0))
DISK_FULL = Reply(452, "Insufficient storage, try again later", (3, 1))
LOOP = Reply(554, "Mail loop: the message has passed too many servers", (4, 6))
NO_JOURNAL_REPORT = Reply(554, "Not a journal report this server understands", (6, 0))
REFUSED = Reply(550, "Message refused by the policy of the recipient's organisation", (7, 1))
REFUSED_OURS = Reply(550, "Message refused by the policy of your organisation", (7, 1))
NOT_NOW = Reply(451, "Message cannot be checked now, try again later", (7, 1))

_large = asyncio.Semaphore(1)  # one large message at a time is read as a whole, so that memory stays bounded


class Body:
    """Collects a message: small ones in memory, large ones sealed on disk as they arrive."""

    def __init__(self, settings: SmtpdSettings) -> None:
        self._settings = settings
        self._parts: list[bytes] = []
        self._size = 0
        self._writer: BlobWriter | None = None
        self.failed = False

    def add(self, data: bytes) -> None:
        """Never raises: a full disk is remembered and told at the end."""
        if self.failed:
            return
        self._size += len(data)
        try:
            if self._writer is not None:
                self._writer.write(data)
                return
            self._parts.append(data)
            if self._size > INLINE_OCTETS:
                self._writer = BlobWriter(self._settings.spool_folder)
                self._writer.write(b"".join(self._parts))
                self._parts.clear()
        except OSError as error:
            log.warning("smtpd.spool_failed", error=str(error))
            self.failed = True
            self.discard()

    def discard(self) -> None:
        """Forget everything."""
        self._parts.clear()
        if self._writer is not None:
            self._writer.discard()

    async def finish(self) -> tuple[SealedBlob, Scanned, bytes | None]:
        """The sealed blob, what was read of it, and the bytes themselves where they are few. Raises `OSError`."""
        if self._writer is None:
            content = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            return seal_bytes(content), scan_message(content), content
        blob = self._writer.finish()
        async with _large:
            return blob, await asyncio.to_thread(_scan_sealed, blob), None


def _read_sealed(blob: SealedBlob) -> bytes:
    content = io.BytesIO()  # hands out its buffer without a copy
    for plain in blob.open_chunks():
        content.write(plain)
    return content.getvalue()


def _scan_sealed(blob: SealedBlob) -> Scanned:
    return scan_message(_read_sealed(blob))


@dataclass(frozen=True, slots=True)
class Receiver:
    """Turns what a session collected into a message of ours."""

    settings: SmtpdSettings
    intake: Intake
    directory: Directory
    waited: Callable[[float], object] = lambda _seconds: None  # hears how long each commit took
    screen: Screen | None = None

    async def receive(
        self,
        role: Role,
        sender: Sender,
        recipients: tuple[RoutedRecipient, ...],
        body: Body,
        client: Client,
        owner: Owner | None,
    ) -> Reply:
        """The final reply to a message. 250 only after the intake transaction has committed (DESIGN I1)."""
        if body.failed:
            return DISK_FULL
        try:
            blob, scanned, content = await body.finish()
        except OSError as error:
            log.warning("smtpd.spool_failed", error=str(error))
            return DISK_FULL
        try:
            if hops(scanned.header) > self.settings.max_hops:
                return LOOP
            if passed_through(scanned.header, self.settings.hostname) > self.settings.max_own_hops:
                return LOOP
            submission = Submission(
                Source(role.value), sender, recipients, blob, scanned, client, datetime.now(UTC), owner, content
            )
            if isinstance(recipients[0].resolution, JournalAddress):
                return await self._receive_journal(submission, blob)
            if self.screen is not None:
                submission = await self.screen.look(submission)
                if refusal := _refused(submission):
                    return refusal
            return await self._accept(submission)
        except UNAVAILABLE as error:
            log.warning("smtpd.deferred", client=client.ip, reason=str(error) or type(error).__name__)
            return TRY_LATER
        finally:
            blob.close()

    async def _receive_journal(self, report: Submission, blob: SealedBlob) -> Reply:
        try:
            if report.content is not None:
                submission = await unpack(report, report.content, self.directory, self.settings.spool_folder)
            else:
                async with _large:
                    content = await asyncio.to_thread(_read_sealed, blob)
                    submission = await unpack(report, content, self.directory, self.settings.spool_folder)
        except UNAVAILABLE as error:  # also a full spool
            log.warning("smtpd.journal_deferred", error=str(error) or type(error).__name__)
            return TRY_LATER
        if submission is None:
            return NO_JOURNAL_REPORT
        try:
            return await self._accept(submission)
        finally:
            if isinstance(submission.blob, SealedBlob):
                submission.blob.close()

    async def _accept(self, submission: Submission) -> Reply:
        began = time.monotonic()
        try:
            receipt = await self.intake.accept(submission)
        except IntakeUnavailable as error:
            log.warning("smtpd.deferred", client=submission.client.ip, reason=str(error))
            return TRY_LATER
        self.waited(time.monotonic() - began)
        return Reply(250, f"Accepted as {encode_id(receipt.message_ids[0])}", (0, 0))


def _refused(submission: Submission) -> Reply | None:
    """The reply where the guard will not have the message. Its reason is in the log: a stranger is not told."""
    refusal = refusal_of(submission)
    if refusal is None:
        return None
    if refusal.for_now:
        return NOT_NOW
    return REFUSED_OURS if submission.source.is_from_inside else REFUSED
