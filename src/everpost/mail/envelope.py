"""The SMTP envelope with its DSN parameters (RFC 3461), kept from intake to the last attempt."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from everpost.mail.address import Address


class Body(enum.StrEnum):
    """What the sender declared of the content: BODY= of RFC 6152 and RFC 3030."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT = "8BITMIME"
    BINARY = "BINARYMIME"


class Ret(enum.StrEnum):
    """How much of the message a failure report shall return: RET= of RFC 3461 §4.3."""

    FULL = "FULL"
    HEADERS = "HDRS"


class Notify(enum.Flag):
    """When a recipient's fate shall be reported: NOTIFY= of RFC 3461 §4.1. NEVER is the empty set."""

    NEVER = 0
    SUCCESS = enum.auto()
    FAILURE = enum.auto()
    DELAY = enum.auto()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO. `notify` is None where the sender left the parameter out (RFC 3461 §4.1 default applies).

    `orcpt` is the decoded "addr-type;address" of RFC 3461 §4.2.
    """

    address: Address
    notify: Notify | None = None
    orcpt: str | None = None

    @property
    def wants_failure_report(self) -> bool:
        return self.notify is None or Notify.FAILURE in self.notify

    @property
    def wants_delay_report(self) -> bool:
        return self.notify is None or Notify.DELAY in self.notify

    @property
    def wants_success_report(self) -> bool:
        return self.notify is not None and Notify.SUCCESS in self.notify


@dataclass(frozen=True, slots=True)
class Sender:
    """One MAIL FROM. A null reverse-path (`<>`) is None: it must never cause a report (RFC 5321 §4.5.5)."""

    reverse_path: Address | None
    size: int | None = None
    body: Body = Body.SEVEN_BIT
    smtputf8: bool = False
    ret: Ret | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """One mail transaction: who sends, to whom."""

    sender: Sender
    recipients: tuple[Recipient, ...]
