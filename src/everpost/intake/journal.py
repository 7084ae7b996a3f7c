"""Journal reports of a primary, taken apart: the message inside stands in the mailboxes its envelope names.

The report's envelope is kept (in the delivery and entry rows); its own octets are not: they say nothing more.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from everpost.directory.model import MailboxTarget, Resolved
from everpost.directory.resolve import Directory
from everpost.intake.submission import JournalCopy, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Sender
from everpost.mail.journal import parse_journal
from everpost.standby.summary import scan_message
from everpost.store.blobs import BlobWriter, SealedBlob


async def unpack(report: Submission, content: bytes, directory: Directory, spool_folder: Path) -> Submission | None:
    """The journalled message as a submission of its own, whose blob the caller closes; None where `content`, the
    report's octets, is no report we understand. Raises `OSError` where the spool is full.
    """
    parsed = parse_journal(content)
    if parsed is None or report.owner is None:
        return None
    inner = content[parsed.message_start : parsed.message_end]
    organisation_id = report.owner.organisation_id
    received_by: list[int] = []
    for recipient in parsed.recipients:
        received_by += await _mailboxes(directory, organisation_id, recipient.address)
    sent_by = await _mailboxes(directory, organisation_id, parsed.sender) if parsed.sender else []
    copy = JournalCopy(report.recipients[0].recipient, tuple(dict.fromkeys(received_by)), tuple(sent_by))
    blob = await asyncio.to_thread(_seal, inner, spool_folder)
    return dataclasses.replace(
        report,
        source=Source.JOURNAL,
        sender=Sender(parsed.sender),
        blob=blob,
        scanned=scan_message(inner),
        content=inner if blob.spool is None else None,
        journal=copy,
    )


def _seal(content: bytes, spool_folder: Path) -> SealedBlob:
    writer = BlobWriter(spool_folder)
    try:
        writer.write(content)
        return writer.finish()
    except OSError:
        writer.discard()
        raise


async def _mailboxes(directory: Directory, organisation_id: int, address: Address) -> list[int]:
    """The organisation's mailboxes behind an address; others' are none of its business."""
    resolution = await directory.resolve(address)
    if not isinstance(resolution, Resolved) or resolution.organisation_id != organisation_id:
        return []
    return [target.place.mailbox_id for target in resolution.targets if isinstance(target, MailboxTarget)]
