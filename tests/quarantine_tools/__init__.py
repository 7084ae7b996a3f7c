"""Messages that the guard keeps apart, as intake writes them; the guard's part is played by the test."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from everpost.app.assembly import mailroom
from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import Installation
from everpost.directory.resolve import Directory
from everpost.guard.guard import Assessment
from everpost.guard.model import Disposition, Judgement, Signal, Verdict
from everpost.intake.accept import Intake
from everpost.intake.submission import Client, RoutedRecipient, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Recipient, Sender
from everpost.standby.summary import scan_message
from everpost.store.blobs import KeyRing, seal_bytes


def verdict(judgement: Judgement, disposition: Disposition = Disposition.QUARANTINE) -> Verdict:
    return Verdict(judgement, disposition, 6.0, (Signal("spf.fail", 4.0, "192.0.2.1 may not send for bank.example"),))


def content(
    subject: str = "Your account", *, author: str = "Bank <news@bank.example>", body: str = "Click here\r\n",
    fields: Mapping[str, str] | None = None,
) -> bytes:  # fmt: skip
    lines = {
        "From": author, "To": "anna@example.org", "Subject": subject,
        "Message-ID": f"<{os.urandom(8).hex()}@bank.example>",
    } | dict(fields or {})  # fmt: skip
    return ("".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n" + body).encode()


async def keep(
    intake: Intake,
    directory: Directory,
    recipients: Sequence[str],
    *,
    judgement: Judgement = Judgement.SPAM,
    disposition: Disposition = Disposition.QUARANTINE,
    octets: bytes | None = None,
    sender: str = "bounce@bank.example",
    received_at: datetime | None = None,
) -> int:
    """A stranger's message, as if the guard had judged it so; returns its id."""
    octets = content() if octets is None else octets
    addresses = [Address.parse(text) for text in recipients]
    routed = tuple([RoutedRecipient(Recipient(each), await directory.resolve(each)) for each in addresses])
    receipt = await intake.accept(
        Submission(
            Source.MX, Sender(Address.parse(sender)), routed, seal_bytes(octets), scan_message(octets),
            Client("192.0.2.1", "mail.bank.example", "ESMTP"), received_at or datetime.now(UTC), content=octets,
            assessment=Assessment(verdict(judgement, disposition), None, b"", ()),
        )
    )  # fmt: skip
    return receipt.message_ids[0]


async def keep_at(installation: Installation, recipients: Sequence[str], **more: Any) -> int:
    """As `keep`, in an installation that runs."""
    config = load_config(installation.config_path)
    async with (
        open_database(config) as database,
        mailroom(config, database, KeyRing(database, config.load_master_key())) as room,
    ):
        return await keep(room.intake, room.directory, recipients, **more)
