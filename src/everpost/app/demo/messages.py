"""Who the demo's people are, and a message made for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Person:
    """One of the demo's people: a name as shown, a mailbox."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class GeneratedMessage:
    """A message to be sent by SMTP: `raw` has CRLF line ends only and no dots doubled."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    sent_at: datetime
