"""Words of the queue. Pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from everpost.mail.edits import Edits
from everpost.mail.envelope import Notify, Recipient, Sender


class Kind(enum.StrEnum):
    """What an obligation is towards."""

    PRIMARY = "primary"  # the mailbox's own server
    INTERNET = "internet"
    STANDBY = "standby"  # the standby mailbox is the mail's only home: done at intake
    CROSSING = "crossing"  # handed to another organisation of this installation: done at intake
    JOURNAL = "journal"  # a journal report, taken apart at intake


class Status(enum.StrEnum):
    """Where an obligation stands. All but QUEUED and HELD are final."""

    QUEUED = "queued"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class HoldReason(enum.StrEnum):
    """Why a delivery waits for something other than its next attempt."""

    ACTIVATED = "activated"  # the standby is the mailbox's home until failback
    COMPROMISED = "compromised"  # nothing goes to a primary that is not trusted
    REFUSED_BY_PRIMARY = "refused by primary"  # a 5xx that must not bounce
    RETURNING = "returning"  # failback has it in hand
    OPERATOR = "operator"
    CONTENT = "content"  # cannot be sent as it is without being changed
    QUARANTINED = "quarantined"  # the guard keeps the message apart


class Sighting(enum.Enum):
    """What looking for a delivery in doubt at its primary came to."""

    THERE = "there"
    ABSENT = "absent"  # or nobody can ever look: it has to be sent
    UNKNOWN = "unknown"  # nobody can look just now


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An obligation that intake shall write."""

    recipient: Recipient
    accepted_as: str
    kind: Kind
    lane: str
    status: Status
    mailbox_id: int | None = None
    primary_id: int | None = None
    hold_reason: HoldReason | None = None


@dataclass(frozen=True, slots=True)
class DeliveryKey:
    """Names one delivery: a message of an organisation, and which of its obligations."""

    organisation_id: int
    message_id: int
    number: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A leased delivery, ready to be attempted."""

    key: DeliveryKey
    recipient: Recipient
    kind: Kind
    lane: str
    mailbox_id: int | None
    primary_id: int | None
    attempts: int
    received_at: datetime
    expires_at: datetime | None
    in_doubt: bool
    delay_told: bool = False


class Report(enum.StrEnum):
    """What the sender is to be told of a delivery (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"  # success, handed to a server that may not report further
    DELIVERED = "delivered"  # success, in a mailbox whose only home is the standby


@dataclass(frozen=True, slots=True)
class ReadyMessage:
    """A message some of whose deliveries are leased to this worker, with all that sending it takes.

    `content` is None where the blob has to be read first. `trace` goes on top of what is sent, `edits` are
    made in it.
    """

    organisation_id: int
    message_id: int
    blob_id: int
    sender: Sender
    trace: bytes
    size: int
    received_at: datetime
    deliveries: tuple[Delivery, ...]
    content: bytes | None = None
    edits: Edits = ()


def primary_lane(primary_id: int) -> str:
    """The lane of everything that goes to one primary."""
    return f"primary:{primary_id}"


def internet_lane(domain: str) -> str:
    """The lane of one destination domain (A-labels, lower case)."""
    return f"domain:{domain}"


LOCAL_LANE = "local"
CHANNEL = "everpost_queue"
"""Notified where queued work waits that nobody has leased."""


def notify_code(notify: Notify | None) -> int | None:
    """NOTIFY as a number for the database."""
    return None if notify is None else notify.value
