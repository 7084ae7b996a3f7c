"""Tells senders what became of their messages: delivery status notifications (RFC 3464), each exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.directory.model import Resolved, Unresolved
from everpost.directory.resolve import Directory
from everpost.intake.accept import Intake, IntakeUnavailable
from everpost.intake.own import own_submission, routed
from everpost.intake.submission import Owner, Receipt, RoutedRecipient
from everpost.mail.address import Address, domain_key
from everpost.mail.dsn import FULL_LIMIT, HEADER_LIMIT, build_report
from everpost.mail.envelope import Envelope, Ret
from everpost.mail.header import parse_header
from everpost.queue.model import Report
from everpost.queue.reports import DueReport, NotDue, group, mark_reported, read_due
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.database import UNAVAILABLE, Connection, Database
from everpost.store.ids import encode_id

log = structlog.get_logger()
MESSAGES_AT_ONCE = 50
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Addressee:
    """Who hears of it, and on whose behalf it is sent."""

    recipient: RoutedRecipient
    owner: Owner


class ReportSender:
    """Sends the reports that the queue says are due. Run by one process at a time; several only waste work."""

    def __init__(
        self, database: Database, blobs: BlobReader, intake: Intake, directory: Directory, hostname: str
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._intake = intake
        self._directory = directory
        self._hostname = hostname
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def send_due(self) -> int:
        """One round; returns how many reports are on their way. What fails stays due for the next round.

        Raises what `store.database.UNAVAILABLE` lists.
        """
        sent, after = 0, (0, 0)
        while True:
            async with self._database.connection() as connection:
                rows = await read_due(connection, after, MESSAGES_AT_ONCE)
            if not rows:
                return sent
            after = (rows[-1]["organisation_id"], rows[-1]["message_id"])
            sent += sum(await asyncio.gather(*(self._try(report) for report in group(rows))))

    async def _try(self, report: DueReport) -> bool:
        async with self._slots:
            try:
                return await self._tell(report)
            except NotDue:
                return False
            except (IntakeUnavailable, *UNAVAILABLE) as error:
                log.warning("report.waits", id=encode_id(report.message_id), error=str(error) or type(error).__name__)
            except Exception:
                log.exception("report.defect", id=encode_id(report.message_id))  # the others go on
            return False

    async def _tell(self, report: DueReport) -> bool:
        """Send the report, or find that there is nobody to tell; either way it is due no more. Raises `NotDue`."""
        addressee = await self._addressee(report)
        if addressee is None:
            async with self._database.transaction() as connection:
                await mark_reported(connection, report)
            return False
        content = await self._build(report)
        submission = own_submission(content, (addressee.recipient,), addressee.owner, self._hostname)

        async def mark(connection: Connection, _receipt: Receipt, /) -> None:
            await mark_reported(connection, report)

        receipt = await self._intake.accept(submission, mark)
        log.info(
            "report.sent", kind=report.kind, about=encode_id(report.message_id), id=encode_id(receipt.message_ids[0])
        )
        return True

    async def _addressee(self, report: DueReport) -> _Addressee | None:
        """None where the message has nobody to tell: reports are never reported on (RFC 5321 §6.1)."""
        reverse_path = report.sender.reverse_path
        if reverse_path is None:
            return None
        resolution = await self._directory.resolve(reverse_path)
        if isinstance(resolution, Resolved):
            return _Addressee(routed(reverse_path, resolution), Owner(resolution.organisation_id))
        if resolution is Unresolved.NOT_OURS and not self._is_ourselves(reverse_path):
            return _Addressee(routed(reverse_path, resolution), Owner(report.organisation_id))
        why = resolution.value if isinstance(resolution, Unresolved) else "journal address"
        log.info("report.nobody_to_tell", kind=report.kind, about=encode_id(report.message_id), why=why)
        return None

    def _is_ourselves(self, address: Address) -> bool:
        """An address at our own host name, where nobody lives: the report would come back to us."""
        return domain_key(address.domain) == self._hostname.lower()

    async def _build(self, report: DueReport) -> bytes:
        header, whole = await self._original(report)
        recipients = tuple(status.recipient for status in report.statuses)
        return build_report(
            reporting_mta=self._hostname,
            original_envelope=Envelope(report.sender, recipients),
            original_header=header,
            original=whole,
            statuses=report.statuses,
            arrival=report.received_at,
            now=datetime.now(UTC),
            message_id=f"{encode_id(await self._database.ids.new())}@{self._hostname}",
            report_from=f"MAILER-DAEMON@{self._hostname}",
        )

    async def _original(self, report: DueReport) -> tuple[bytes, bytes | None]:
        """The original's header, and all of it where that is to be returned. At most one chunk is read.

        An original that was erased meanwhile is reported on without.
        """
        try:
            content = await self._blobs.read(report.organisation_id, report.blob_id, limit=HEADER_LIMIT)
        except (NoSuchBlob, KeyProblem, DamagedBlob) as error:
            log.warning("report.original_unreadable", about=encode_id(report.message_id), error=str(error))
            return b"", None
        header = content[: min(parse_header(content).size, HEADER_LIMIT)]
        wanted = report.kind is Report.FAILED and report.sender.ret is not Ret.HEADERS
        return header, content if wanted and report.size <= FULL_LIMIT else None
