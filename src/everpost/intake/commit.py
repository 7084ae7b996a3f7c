"""One transaction for many messages: blob, message, deliveries, standby entries, change log, audit — all or nothing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from everpost.continuity.routes import RouteTable
from everpost.guard.guard import Assessment
from everpost.guard.model import encode_verdict
from everpost.intake.plan import Share, plan
from everpost.intake.rows import UNSEEN, Rows, insert
from everpost.intake.sorting import Arrival, Mailbox, Sorter
from everpost.intake.sorting import write as write_filed
from everpost.intake.submission import BlobReference, Source, Submission
from everpost.mail import trace
from everpost.mail.edits import encode_edits
from everpost.queue.model import (
    Delivery,
    DeliveryKey,
    Kind,
    NewDelivery,
    ReadyMessage,
    Report,
    Status,
    notify_code,
)
from everpost.standby.model import NewEntry
from everpost.standby.summary import encode_summary
from everpost.standby.threads import Unthreaded, assign_threads
from everpost.store.blobs import KeyRing, blob_context, insert_blob
from everpost.store.database import Connection
from everpost.store.ids import IdAllocator, encode_id
from everpost.store.sql import load

_SQL = load("intake")
INTERNET_LIFETIME = timedelta(days=5)  # RFC 5321 §4.5.4.1
FIRST_RETRY = timedelta(minutes=2)


@dataclass(slots=True)
class NewMessage:
    """A share on its way into the database."""

    submission: Submission
    share: Share
    message_id: int
    blob_id: int
    internet_lifetime: timedelta
    thread_id: int = 0
    trace: bytes = b""
    leased: bool = False
    shares_blob: bool = False  # with the organisation's other part of the same message

    def ready(self) -> ReadyMessage:
        """The message for the queue: its deliveries that are leased to this worker, content in hand."""
        submission, organisation_id = self.submission, self.share.organisation_id
        deliveries = tuple(
            Delivery(
                DeliveryKey(organisation_id, self.message_id, number),
                delivery.recipient,
                delivery.kind,
                delivery.lane,
                delivery.mailbox_id,
                delivery.primary_id,
                attempts=1,
                received_at=submission.received_at,
                expires_at=self.expiry(delivery),
                in_doubt=False,
            )
            for number, delivery in enumerate(self.share.deliveries)
            if delivery.status is Status.QUEUED
        )
        return ReadyMessage(
            organisation_id,
            self.message_id,
            self.blob_id,
            submission.sender,
            self.trace,
            submission.scanned.size,
            submission.received_at,
            deliveries,
            submission.content,
            self.share.assessment.edits if self.share.assessment else (),
        )

    def expiry(self, delivery: NewDelivery) -> datetime | None:
        """Mail for the internet is returned one day; mail for a primary waits as long as it takes."""
        return self.submission.received_at + self.internet_lifetime if delivery.kind is Kind.INTERNET else None


@dataclass(slots=True)
class Committed:
    """What one transaction made ours, by submission."""

    messages: list[list[NewMessage]] = field(default_factory=list)


class Writer:
    """Writes batches of submissions. `run` names this worker's life: deliveries it keeps for itself carry it."""

    def __init__(
        self,
        hostname: str,
        ids: IdAllocator,
        keys: KeyRing,
        run: int,
        *,
        internet_lifetime: timedelta = INTERNET_LIFETIME,
    ) -> None:
        self._hostname = hostname
        self._ids = ids
        self._keys = keys
        self._run = run
        self._internet_lifetime = internet_lifetime
        self._sorter = Sorter()

    async def write(
        self, connection: Connection, batch: Sequence[Submission], table: RouteTable, lease_room: int
    ) -> Committed:
        """Inside the caller's transaction. Up to `lease_room` queued deliveries stay leased to this worker."""
        committed = Committed()
        flat: list[NewMessage] = []
        for submission in batch:
            messages: list[NewMessage] = []
            for share in plan(submission, table):
                messages.append(await self._number(submission, share, messages))
            committed.messages.append(messages)
            flat.extend(messages)
        _lease(flat, lease_room)
        batch_rows = Rows()
        await self._add_blobs(connection, flat, batch_rows)
        await _give_threads(connection, flat)
        for message in flat:
            batch_rows.message.append(_message_row(message))
            for number, delivery in enumerate(message.share.deliveries):
                batch_rows.delivery.append(self._delivery_row(message, number, delivery))
        await self._add_entries(connection, flat, batch_rows)
        await self._add_audit(flat, batch_rows)
        await insert(connection, batch_rows)
        return committed

    async def new_message_id(self) -> int:
        """One that no message has."""
        await self._ids.reserve(1)
        return self._ids.take()

    async def _number(self, submission: Submission, share: Share, others: Sequence[NewMessage]) -> NewMessage:
        await self._ids.reserve(2)
        message_id = self._ids.take() if others or submission.message_id is None else submission.message_id
        blob = submission.blob
        known = [each.blob_id for each in others if each.share.organisation_id == share.organisation_id]
        if known:
            blob_id = known[0]
        elif isinstance(blob, BlobReference) and blob.organisation_id == share.organisation_id:
            blob_id = blob.blob_id
        else:
            blob_id = self._ids.take()
        await self._keys.organisation(share.organisation_id)
        message = NewMessage(
            submission, share, message_id, blob_id, self._internet_lifetime, shares_blob=bool(known)
        )  # fmt: skip
        added = share.assessment.added if share.assessment else b""
        message.trace = added + self._received(message) + submission.signature
        return message

    def _received(self, message: NewMessage) -> bytes:
        client = message.submission.client
        recipients = message.submission.recipients
        return trace.received(
            by=self._hostname,
            queue_id=encode_id(message.message_id),
            from_helo=client.helo,
            from_ip=client.ip,
            from_rdns=None,
            protocol=client.protocol,
            tls=client.tls,
            recipient=str(recipients[0].recipient.address) if len(recipients) == 1 else None,
            when=message.submission.received_at,
        )

    async def _add_blobs(self, connection: Connection, messages: list[NewMessage], rows: Rows) -> None:
        for message in messages:
            blob = message.submission.blob
            if isinstance(blob, BlobReference) or message.shares_blob:
                continue
            organisation_id = message.share.organisation_id
            key = self._keys.cached(organisation_id)
            if blob.spool is not None:
                await insert_blob(connection, organisation_id, message.blob_id, key, blob)
                continue
            wrapped = key.seal(blob.key, blob_context(organisation_id, message.blob_id))
            rows.blob.append(
                (organisation_id, message.blob_id, wrapped, blob.size, blob.data, message.submission.received_at)
            )

    def _delivery_row(self, message: NewMessage, number: int, delivery: NewDelivery) -> tuple[Any, ...]:
        at = message.submission.received_at
        leased = message.leased and delivery.status is Status.QUEUED
        return (
            message.share.organisation_id,
            message.message_id,
            number,
            str(delivery.recipient.address),
            delivery.accepted_as,
            notify_code(delivery.recipient.notify),
            delivery.recipient.orcpt,
            delivery.mailbox_id,
            delivery.kind,
            delivery.primary_id,
            delivery.lane,
            delivery.status,
            delivery.hold_reason,
            1 if leased else 0,
            at + FIRST_RETRY if leased else at,
            message.expiry(delivery),
            self._run if leased else None,
            _report_at_once(delivery),
            at if delivery.status is Status.DELIVERED else None,
        )

    async def _add_entries(self, connection: Connection, messages: list[NewMessage], rows: Rows) -> None:
        """Entries, numbered in their mailboxes' change logs. The mailbox's row lock, taken late, orders its log."""
        wanted = [(message, entry) for message in messages for entry in message.share.entries]
        last, filters = await _reserve_modseqs(connection, wanted, _mailboxes_sent_from(messages))
        kept = await _leave_out_present(connection, wanted)
        arrivals = (_arrival(message, entry) for message, entry in kept if entry.is_filtered)
        filed = await self._sorter.file(connection, arrivals, filters) if filters else {}
        changed = await write_filed(connection, filed, datetime.now(UTC))
        for message, entry in kept:
            mailbox = (entry.organisation_id, entry.mailbox_id)
            came, last[mailbox] = last[mailbox], last[mailbox] - 1
            folder_id, keywords = entry.role.folder_id, entry.keywords
            key = (message.message_id, entry.mailbox_id)
            if key in filed:
                after = filed[key].after
                folder_id, keywords = after.folder_ids[0], tuple(sorted(after.keywords))
            rows.entry.append(
                (
                    *mailbox, message.message_id, message.submission.received_at, message.thread_id, folder_id,
                    " ".join(keywords), entry.origin, changed.get(key, came), entry.role.folder_id, came,
                )
            )  # fmt: skip

    async def _add_audit(self, messages: list[NewMessage], rows: Rows) -> None:
        by_organisation: dict[int, list[NewMessage]] = defaultdict(list)
        for message in messages:
            by_organisation[message.share.organisation_id].append(message)
        for organisation_id, own in by_organisation.items():
            digest = hashlib.sha256(b"".join(message.submission.scanned.digest for message in own)).hexdigest()
            detail = {"messages": [encode_id(message.message_id) for message in own], "digest": digest}
            what = ("everpost", "intake.accept", f"{len(own)} messages", detail)
            rows.audit.append((organisation_id, await self._ids.new(), datetime.now(UTC), *what))


def _report_at_once(delivery: NewDelivery) -> Report | None:
    """Where the standby mailbox is the mail's only home, it is delivered now, and the sender may want to hear it."""
    if delivery.kind is Kind.STANDBY and delivery.recipient.wants_success_report:
        return Report.DELIVERED
    return None


def _lease(messages: list[NewMessage], room: int) -> None:
    """Mark the messages whose deliveries this worker attempts at once, content in hand."""
    for message in messages:
        queued = sum(1 for delivery in message.share.deliveries if delivery.status is Status.QUEUED)
        if queued and queued <= room and message.submission.content is not None:
            message.leased = True
            room -= queued


def _message_row(message: NewMessage) -> tuple[Any, ...]:
    submission = message.submission
    sender, scanned, client = submission.sender, submission.scanned, submission.client
    who = f"[{client.ip}] {client.helo}" + (f" as {client.login}" if client.login else "")
    return (
        message.share.organisation_id,
        message.message_id,
        message.blob_id,
        message.share.direction,
        submission.source,
        submission.received_at,
        str(sender.reverse_path) if sender.reverse_path else None,
        sender.body,
        sender.smtputf8,
        sender.ret,
        sender.envid,
        scanned.size,
        scanned.digest,
        scanned.content_digest,
        scanned.summary.message_id,
        scanned.summary.subject,
        message.thread_id,
        encode_summary(scanned.summary),
        scanned.structure,
        who,
        message.trace.decode("utf-8", "replace"),
        *_guard_columns(message.share.assessment),
    )


def _guard_columns(assessment: Assessment | None) -> tuple[str | None, bytes | None, bytes | None]:
    """Judgement, verdict, edits; nothing of mail that the guard has not seen."""
    if assessment is None:
        return UNSEEN
    return assessment.verdict.judgement, encode_verdict(assessment.verdict), encode_edits(assessment.edits)


async def _give_threads(connection: Connection, messages: list[NewMessage]) -> None:
    asked = [
        Unthreaded(message.share.organisation_id, message.message_id, message.submission.scanned.summary)
        for message in messages
    ]
    for message, thread in zip(messages, await assign_threads(connection, asked), strict=True):
        message.thread_id = thread


def _mailboxes_sent_from(messages: list[NewMessage]) -> set[Mailbox]:
    """The mailboxes whose own transaction a submission from the webmail completes (`accept`'s `within`): they are
    locked here with all others, in one order, so that two people who write to each other never wait for each other.
    """
    owners = {message.submission.owner for message in messages if message.submission.source is Source.WEBMAIL}
    return {(owner.organisation_id, owner.mailbox_id) for owner in owners if owner and owner.mailbox_id is not None}


def _arrival(message: NewMessage, entry: NewEntry) -> Arrival:
    submission = message.submission
    return Arrival(entry, message.message_id, message.thread_id, submission.received_at, submission.scanned)


async def _reserve_modseqs(
    connection: Connection, wanted: list[tuple[NewMessage, NewEntry]], lock_also: set[Mailbox]
) -> tuple[dict[Mailbox, int], dict[Mailbox, int]]:
    """The last number reserved in each mailbox's change log; and of those that have filters, their state."""
    counts: dict[Mailbox, int] = dict.fromkeys(lock_also, 0)
    for _, entry in wanted:
        mailbox = (entry.organisation_id, entry.mailbox_id)
        counts[mailbox] = counts.get(mailbox, 0) + 1
    if not counts:
        return {}, {}
    rows = await connection.fetch(
        _SQL["advance_modseq"], [key[0] for key in counts], [key[1] for key in counts], list(counts.values())
    )
    last = {(row[0], row[1]): row[2] for row in rows}
    return last, {(row[0], row[1]): row[3] for row in rows if row[3]}


async def _leave_out_present(
    connection: Connection, wanted: list[tuple[NewMessage, NewEntry]]
) -> list[tuple[NewMessage, NewEntry]]:
    """Without the entries that are to be made only where the mailbox does not have their content yet."""
    doubtful = [
        (message, entry)
        for message, entry in wanted
        if entry.unless_present and message.thread_id != message.message_id  # the first of its conversation is new
    ]
    if not doubtful:
        return wanted
    rows = await connection.fetch(
        _SQL["present_content"],
        [entry.organisation_id for _, entry in doubtful],
        [entry.mailbox_id for _, entry in doubtful],
        [message.thread_id for message, _ in doubtful],
        [message.submission.scanned.content_digest for message, _ in doubtful],
    )
    present = {(row[0], row[1], row[2]) for row in rows}
    kept = []
    for message, entry in wanted:
        content = (entry.organisation_id, entry.mailbox_id, message.submission.scanned.content_digest)
        if entry.unless_present and content in present:
            continue
        present.add(content)
        kept.append((message, entry))
    return kept
