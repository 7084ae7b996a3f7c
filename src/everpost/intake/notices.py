"""Mail that Everpost writes itself: alerts to people, and the canary of a drill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from everpost.directory.model import Resolved, Unresolved
from everpost.directory.resolve import Directory
from everpost.intake.accept import Intake, IntakeUnavailable
from everpost.intake.own import own_submission, routed
from everpost.intake.submission import Owner
from everpost.mail.address import Address, AddressError
from everpost.mail.compose import build_message
from everpost.store.database import UNAVAILABLE, Database
from everpost.store.ids import encode_id

log = structlog.get_logger()
_AUTOMATIC = {"Auto-Submitted": "auto-generated"}  # RFC 3834 §5: nobody's vacation notice answers it
_NAME = "Everpost"


class NotSent(RuntimeError):
    """Some recipients' messages could not be made ours. The others' were."""


class Notices:
    """Implements what alerts (`continuity.alerts.Notifier`) and drills (`continuity.drill.Canary`) ask for.

    All is sent as `everpost@hostname` from the null reverse-path: it must neither be answered nor bounce, and there
    is no mailbox to take a bounce. What becomes of it stands in the queue.
    """

    def __init__(self, database: Database, intake: Intake, directory: Directory, hostname: str) -> None:
        self._database = database
        self._intake = intake
        self._directory = directory
        self._hostname = hostname
        self._from = Address("everpost", hostname)

    async def send_mail(self, organisation_id: int, recipients: Sequence[str], subject: str, text: str) -> None:
        """Each recipient gets a message and learns of no other. Raises `NotSent` after all have been tried."""
        failures = []
        for recipient in recipients:
            try:
                await self._send(organisation_id, recipient, subject, text)
            except (AddressError, LookupError, IntakeUnavailable, *UNAVAILABLE) as error:
                failures.append(f"{recipient}: {error}")
                log.warning("notice.not_sent", organisation=organisation_id, recipient=recipient, error=str(error))
        if failures:
            raise NotSent("; ".join(failures)[:1000])

    async def _send(self, organisation_id: int, recipient: str, subject: str, text: str) -> None:
        """Raises `LookupError` for an address of ours that reaches nobody."""
        address = Address.parse(recipient)
        resolution = await self._directory.resolve(address)
        if not isinstance(resolution, Resolved) and resolution is not Unresolved.NOT_OURS:
            raise LookupError("nobody here has this address")
        message_id = f"{encode_id(await self._database.ids.new())}@{self._hostname}"
        content = self._build((address,), subject, text, message_id)
        submission = own_submission(content, (routed(address, resolution),), Owner(organisation_id), self._hostname)
        await self._intake.accept(submission)

    async def send(self, organisation_id: int, recipients: list[str], message_id: str) -> None:
        """The canary of a drill, one message to all: planned as a stranger's message that has come in just now.

        `message_id` is without brackets. Raises `LookupError` where a recipient is not a mailbox or group of the
        organisation, `OSError` where intake is not available.
        """
        addresses = tuple(Address.parse(recipient) for recipient in recipients)
        targets = []
        for address in addresses:
            resolution = await self._directory.resolve(address)
            if not isinstance(resolution, Resolved) or resolution.organisation_id != organisation_id:
                raise LookupError(f"{address} is no address of this organisation")
            targets.append(routed(address, resolution))
        text = "This message belongs to a drill of the mail's continuity. You may delete it."
        content = self._build(addresses, "Drill", text, message_id)
        try:
            await self._intake.accept(own_submission(content, tuple(targets), None, self._hostname))
        except IntakeUnavailable as error:
            raise OSError(str(error)) from error

    def _build(self, recipients: Sequence[Address], subject: str, text: str, message_id: str) -> bytes:
        return build_message(
            sender=self._from,
            recipients=recipients,
            subject=subject,
            text=text,
            message_id=message_id,
            date=datetime.now(UTC),
            sender_name=_NAME,
            headers=_AUTOMATIC,
        )
