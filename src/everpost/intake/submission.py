"""A message that asks to become ours, whole and resolved, before anything is written. Pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from everpost.directory.model import Resolution
from everpost.guard.guard import Assessment
from everpost.mail.envelope import Recipient, Sender
from everpost.standby.summary import Scanned
from everpost.store.blobs import SealedBlob


class Source(enum.StrEnum):
    """Which face of ours took the message."""

    MX = "mx"
    SMARTHOST = "smarthost"  # a primary relays through us
    SUBMISSION = "submission"
    WEBMAIL = "webmail"
    JOURNAL = "journal"
    NOTICE = "notice"  # our own reports and alerts
    FORWARD = "forward"  # what a person's filter passes on
    IMPORT = "import"

    @property
    def is_from_inside(self) -> bool:
        """Whether its owner, known to us, may send to the whole world."""
        return self is not Source.MX


class Direction(enum.StrEnum):
    """Which way a message goes, seen from its organisation."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Owner:
    """On whose behalf a message is sent. `mailbox_id` gets the Sent entry."""

    organisation_id: int
    mailbox_id: int | None = None
    primary_id: int | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """Who handed the message over, for the Received field and the trace."""

    ip: str
    helo: str
    protocol: str  # RFC 3848
    tls: str | None = None
    login: str | None = None


@dataclass(frozen=True, slots=True)
class RoutedRecipient:
    """A recipient with the directory's answer."""

    recipient: Recipient
    resolution: Resolution


@dataclass(frozen=True, slots=True)
class BlobReference:
    """Bytes that the organisation has already: they are shared, not copied (DESIGN I9)."""

    organisation_id: int
    blob_id: int


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything intake needs. `content` is at hand for messages of one chunk, so that a delivery need not read it."""

    source: Source
    sender: Sender
    recipients: tuple[RoutedRecipient, ...]
    blob: SealedBlob | BlobReference
    scanned: Scanned
    client: Client
    received_at: datetime
    owner: Owner | None = None
    content: bytes | None = None
    journal: JournalCopy | None = None
    assessment: Assessment | None = None
    wished: Wished | None = None
    signature: bytes = b""  # DKIM-Signature fields of ours
    message_id: int | None = None  # one that has been given out already, for the first organisation's message


@dataclass(frozen=True, slots=True)
class Wished:
    """The mailboxes (organisation, mailbox) whose people wish otherwise than the guard, and what holds for them."""

    mailboxes: frozenset[tuple[int, int]]
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class JournalCopy:
    """Whose mailboxes a journalled message stands in, as the report's envelope says. Nothing is delivered."""

    report_recipient: Recipient
    received_by: tuple[int, ...]
    sent_by: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a message is ours. The queue id is the text form of the first message id."""

    message_ids: tuple[int, ...]
