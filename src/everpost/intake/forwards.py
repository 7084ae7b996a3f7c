"""Passes on what people's filters say shall be passed on. A role: one process at a time.

What is owed stands in the database since the message came; the copy and the note that it was made are one transaction:
whatever ends this process, nothing is forgotten and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.directory.model import Forwarding, Place, Resolution
from everpost.directory.resolve import Directory
from everpost.intake.accept import Intake, IntakeUnavailable
from everpost.intake.submission import Client, Owner, Receipt, RoutedRecipient, Source, Submission
from everpost.mail.address import Address, AddressError
from everpost.mail.edits import decode_edits, edited
from everpost.mail.envelope import Body, Recipient, Sender
from everpost.mail.header import parse_header
from everpost.standby.drafts import seal_content
from everpost.standby.forwards import (
    MAX_PER_DAY,
    Outcome,
    passed_on,
    refusal_of_address,
    refusal_of_message,
)
from everpost.standby.summary import scan_message
from everpost.store.blobs import INLINE_OCTETS, BlobReader, NoSuchBlob, SealedBlob
from everpost.store.database import Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("filters")
_DIRECTORY = load("directory")
AT_ONCE = 100
TRY_AGAIN = timedelta(minutes=1)
DAY = timedelta(days=1)
REMEMBERED = timedelta(days=30)


class _Refused(Exception):
    """The message is not passed on, for good."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class _DoneAlready(Exception):
    """Somebody was faster."""


class Forwarder:
    """`run_once` passes on what is due. What it does not pass on is on record with the reason."""

    def __init__(
        self,
        database: Database,
        blobs: BlobReader,
        intake: Intake,
        directory: Directory,
        hostname: str,
        spool_folder: Path,
        *,
        per_day: int = MAX_PER_DAY,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._intake = intake
        self._directory = directory
        self._hostname = hostname
        self._spool_folder = spool_folder
        self._per_day = per_day

    async def run_once(self) -> int:
        """How many were passed on. Raises what `store.database.UNAVAILABLE` lists."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["due"], datetime.now(UTC), AT_ONCE)
        return sum([await self._pass_on(row) for row in rows])

    async def forget_old(self) -> None:
        """Take away what was settled long ago, some thousands at a time."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["forget"], datetime.now(UTC) - REMEMBERED)

    async def _pass_on(self, row: Any) -> bool:
        try:
            submission = await self._submission(row)
        except _Refused as refused:
            async with self._database.connection() as connection:
                await _settle(connection, row, refused.outcome, None)
            log.info("forward.refused", mailbox=row["mailbox_id"], why=refused.outcome)
            return False

        async def put_on_record(connection: Connection, receipt: Receipt, /) -> None:
            if not await _settle(connection, row, Outcome.SENT, receipt.message_ids[0]):
                raise _DoneAlready

        try:
            await self._intake.accept(submission, put_on_record)
        except _DoneAlready:
            return False
        except IntakeUnavailable as error:
            log.warning("forward.unavailable", error=str(error))
            async with self._database.connection() as connection:
                await connection.execute(_SQL["put_off"], *_key(row), datetime.now(UTC) + TRY_AGAIN)
            return False
        finally:
            if isinstance(submission.blob, SealedBlob):
                submission.blob.close()
        return True

    async def _submission(self, row: Any) -> Submission:
        """Raises `_Refused`."""
        to, place, own = await self._address(row), await self._place(row), await self._own(row)
        resolution = await self._directory.resolve(to)
        allowed = Forwarding(row["forwarding"])
        refusal = refusal_of_address(resolution, place.organisation_id, place.mailbox_id, allowed)
        if refusal is None:
            refusal = await self._limit(row)
        if refusal is not None:
            raise _Refused(refusal)
        content = await self._content(row)
        header = parse_header(content)
        refusal = refusal_of_message(
            header, row["reverse_path"], {address.key for address in own}, to, self._hostname
        )  # fmt: skip
        if refusal is not None:
            raise _Refused(refusal)
        return await self._copy(
            row,
            passed_on(edited(content, decode_edits(row["edits"])), row["trace"], own[0]),
            own[0],
            place,
            to,
            resolution,
        )

    async def _copy(
        self, row: Any, content: bytes, own: Address, place: Place, to: Address, resolution: Resolution
    ) -> Submission:
        utf8 = row["smtputf8"] or not own.is_ascii or not to.is_ascii
        return Submission(
            source=Source.FORWARD,
            sender=Sender(own, len(content), Body(row["body"]), utf8),
            recipients=(RoutedRecipient(Recipient(to), resolution),),
            blob=await asyncio.to_thread(seal_content, content, self._spool_folder),
            scanned=await asyncio.to_thread(scan_message, content),
            client=Client("127.0.0.1", self._hostname, "local", login=str(own)),
            received_at=datetime.now(UTC),
            owner=Owner(place.organisation_id, place.mailbox_id, place.primary_id),
            content=content if len(content) <= INLINE_OCTETS else None,
        )

    async def _address(self, row: Any) -> Address:
        try:
            return Address.parse(row["address"])
        except AddressError:
            raise _Refused(Outcome.NO_SUCH_ADDRESS) from None

    async def _place(self, row: Any) -> Place:
        try:
            return await self._directory.place(row["organisation_id"], row["mailbox_id"])
        except LookupError:
            raise _Refused(Outcome.CLOSED) from None

    async def _own(self, row: Any) -> list[Address]:
        """The mailbox's addresses, the default one first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _DIRECTORY["addresses_of_mailbox"], row["organisation_id"], row["mailbox_id"]
            )  # fmt: skip
        if not rows:
            raise _Refused(Outcome.CLOSED)
        return [Address.parse(each["written"]) for each in rows]

    async def _limit(self, row: Any) -> Outcome | None:
        key = (row["organisation_id"], row["mailbox_id"])
        async with self._database.connection() as connection:
            sent = await connection.fetchval(_SQL["sent_since"], *key, datetime.now(UTC) - DAY)
        return Outcome.LIMIT if sent >= self._per_day else None

    async def _content(self, row: Any) -> bytes:
        try:
            return await self._blobs.read(row["organisation_id"], row["blob_id"])
        except (NoSuchBlob, KeyProblem, DamagedBlob) as error:
            log.error("forward.unreadable", message=row["message_id"], error=repr(error))
            raise _Refused(Outcome.UNREADABLE) from None


async def _settle(connection: Connection, row: Any, outcome: Outcome, forwarded_id: int | None) -> bool:
    """False where it was settled before."""
    done = await connection.fetchval(_SQL["settle"], *_key(row), datetime.now(UTC), outcome, forwarded_id)
    return done is not None


def _key(row: Any) -> tuple[int, int, int, str]:
    return row["organisation_id"], row["mailbox_id"], row["message_id"], row["address"]
