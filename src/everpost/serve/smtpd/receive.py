"""From the octets of a message to a submission, and from its acceptance to the final reply."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address

import structlog

from everpost.directory.model import AS_IT_CAME, JournalAddress, LinkRewriting, MailboxTarget, Resolved
from everpost.directory.resolve import Directory
from everpost.guard.case import Case, Reader
from everpost.guard.guard import Guard
from everpost.guard.model import Disposition, Verdict, Way
from everpost.guard.policy.store import Policies
from everpost.intake.accept import Intake, IntakeUnavailable
from everpost.intake.journal import unpack
from everpost.intake.senders import SenderLists
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
    guard: Guard | None = None
    policies: Policies | None = None
    senders: SenderLists | None = None

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
            if self.guard is not None:
                case = await self._case(submission, blob)
                books = {each: await self.policies.of(each) for each in case.organisation_ids} if self.policies else {}
                assessment = await self.guard.assess(case, books)
                submission = replace(submission, assessment=assessment, message_id=case.message_id)
                if refusal := _refusal(submission):
                    return refusal
                submission = await self._as_wished(submission, self.guard)
            return await self._accept(submission)
        except UNAVAILABLE as error:
            log.warning("smtpd.deferred", client=client.ip, reason=str(error) or type(error).__name__)
            return TRY_LATER
        finally:
            blob.close()

    async def _as_wished(self, submission: Submission, guard: Guard) -> Submission:
        """With what some recipients wish otherwise. Raises what `store.database.UNAVAILABLE` lists."""
        if self.senders is None or submission.assessment is None:
            return submission
        wished = await self.senders.wished(guard, submission, submission.assessment)
        return submission if wished is None else replace(submission, wished=wished)

    async def _case(self, submission: Submission, blob: SealedBlob) -> Case:
        """Raises what `store.database.UNAVAILABLE` lists."""
        organisations = _organisations(submission)
        own = [await self.directory.domains_of(each) for each in organisations]
        # What differs for two organisations would have to be two messages: such copies stay as they are.
        copies = await self.directory.copies_of(*organisations) if len(organisations) == 1 else AS_IT_CAME
        rewritten = copies.links is not LinkRewriting.KEEP
        content = submission.content
        client = submission.client

        def chunks() -> Iterable[bytes]:
            return (content,) if content is not None else blob.open_chunks()

        return Case(
            Way.OUTBOUND if submission.source.is_from_inside else Way.INBOUND, ip_address(client.ip), client.helo,
            client.login, submission.sender.reverse_path,
            tuple(each.recipient.address for each in submission.recipients), organisations,
            frozenset().union(*own), submission.scanned.header, submission.scanned.size, submission.received_at, chunks,
            copies, _readers(submission), bool(client.tls), await self.intake.new_message_id() if rewritten else None,
        )  # fmt: skip

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


def _organisations(submission: Submission) -> frozenset[int]:
    """Whose mail it is: the sender's and the recipients' organisations."""
    found = {each.resolution.organisation_id for each in submission.recipients if isinstance(each.resolution, Resolved)}
    return frozenset(found | ({submission.owner.organisation_id} if submission.owner else set()))


def _readers(submission: Submission) -> tuple[Reader, ...]:
    """Each mailbox once, with all the addresses by which this message reaches it; addresses elsewhere."""
    found: dict[tuple[int | None, str], Reader] = {}
    for routed in submission.recipients:
        accepted = str(routed.recipient.address).lower()
        resolution = routed.resolution
        targets = resolution.targets if isinstance(resolution, Resolved) else ()
        inside = [each for each in targets if isinstance(each, MailboxTarget)]
        for target in inside:
            place = target.place
            known = found.get((place.mailbox_id, ""))
            addresses = {accepted, str(target.deliver_to).lower(), *(known.addresses if known else ())}
            found[place.mailbox_id, ""] = Reader(
                place.organisation_id, place.mailbox_id, frozenset(addresses), place.group_ids
            )
        if not inside:
            found[None, accepted] = Reader(None, None, frozenset({accepted}))
    return tuple(found.values())


def _refusal(submission: Submission) -> Reply | None:
    """The reply where the guard will not have the message. The reason is for us, not for the stranger."""
    assert submission.assessment is not None
    verdict = submission.assessment.verdict
    if verdict.disposition not in (Disposition.REJECT, Disposition.DEFER):
        return None
    log.info(
        "smtpd.refused_by_guard", client=submission.client.ip, sender=str(submission.sender.reverse_path or ""),
        recipients=[str(each.recipient.address) for each in submission.recipients[:20]],
        message_id=submission.scanned.summary.message_id, judgement=verdict.judgement, score=verdict.score,
        disposition=verdict.disposition, signals=_listed(verdict),
    )  # fmt: skip
    return REFUSED if verdict.disposition is Disposition.REJECT else NOT_NOW


def _listed(verdict: Verdict) -> list[str]:
    return [f"{each.kind}: {each.evidence}" for each in verdict.signals[:20]]
