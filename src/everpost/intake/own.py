"""Messages of our own on their way through intake: reports, alerts, a drill's canary."""

from __future__ import annotations

from datetime import UTC, datetime

from everpost.directory.model import Resolution
from everpost.intake.submission import Client, Owner, RoutedRecipient, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Body, Notify, Recipient, Sender
from everpost.standby.summary import scan_message
from everpost.store.blobs import seal_bytes


def routed(address: Address, resolution: Resolution) -> RoutedRecipient:
    """A recipient whose fate is reported to nobody."""
    return RoutedRecipient(Recipient(address, Notify.NEVER), resolution)


def own_submission(
    content: bytes, recipients: tuple[RoutedRecipient, ...], owner: Owner | None, hostname: str
) -> Submission:
    """From the null reverse-path: nothing that we write ourselves may cause a report (RFC 5321 §4.5.5, RFC 3834 §3.3).

    Raises `ValueError` for content of more than one chunk.
    """
    scanned = scan_message(content)
    eight_bit = not content.isascii()
    international = not all(item.recipient.address.is_ascii for item in recipients)
    sender = Sender(
        None,
        len(content),
        Body.EIGHT_BIT if eight_bit else Body.SEVEN_BIT,
        international or not content[: scanned.header.size].isascii(),
    )
    return Submission(
        source=Source.NOTICE,
        sender=sender,
        recipients=recipients,
        blob=seal_bytes(content),
        scanned=scanned,
        client=Client("127.0.0.1", hostname, "local"),
        received_at=datetime.now(UTC),
        owner=owner,
        content=content,
    )
