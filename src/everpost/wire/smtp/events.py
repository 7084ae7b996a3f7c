"""What the SMTP server engine tells its host, and the profile and limits it runs under."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from everpost.mail.envelope import Recipient, Sender
from everpost.mail.reply import Reply

MIB = 1024 * 1024


class Role(enum.Enum):
    """Which of the three listeners a session came in by."""

    MX = "mx"
    SMARTHOST = "smarthost"
    SUBMISSION = "submission"


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds of one session. Octets include the CRLF of a line; 0 switches off what says so.

    `text_line_octets` (0: no limit) is far above the 1000 of RFC 5321 §4.5.3.1.6, which real mail breaks daily.
    `oversize_factor`: a message beyond `message_octets` is read to its end and then refused, but not beyond this
    many times the limit; there the session is closed. `transactions` (0: no limit) is announced as MAILMAX,
    `recipients` as RCPTMAX (RFC 9422). `commands_without_mail` counts NOOP, RSET, VRFY, EHLO, refused MAIL and the
    like since the last accepted message. `refused_recipients` counts over the whole session.
    """

    line_octets: int = 2048
    auth_line_octets: int = 12288  # RFC 4954 §4
    text_line_octets: int = MIB
    header_octets: int = MIB
    message_octets: int = 50 * MIB
    oversize_factor: int = 2
    recipients: int = 1000
    refused_recipients: int = 1000
    transactions: int = 0
    errors: int = 10
    commands_without_mail: int = 100
    auth_failures: int = 3


@dataclass(frozen=True, slots=True)
class ServerProfile:
    """What one listener offers and demands.

    BINARYMIME is off by default: such content cannot be passed on by DATA. `refuse_nul` makes a NUL octet in the
    content a fault; by default it is kept, byte-exact.
    """

    hostname: str
    role: Role = Role.MX
    limits: ServerLimits = field(default_factory=ServerLimits)
    starttls: bool = False
    auth_mechanisms: tuple[str, ...] = ()
    auth_requires_tls: bool = True
    require_tls: bool = False
    require_auth: bool = False
    smtputf8: bool = True
    chunking: bool = True
    binarymime: bool = False
    dsn: bool = True
    refuse_nul: bool = False


class BodyFault(enum.Enum):
    """Why a message that was read to its true end must be refused, most serious first."""

    BARE_LF = "bare LF"
    BARE_CR = "bare CR"
    NUL = "NUL octet"
    HEADER_TOO_BIG = "header too big"
    LINE_TOO_LONG = "line too long"
    TOO_BIG = "message too big"


_FAULT_REPLIES = {
    BodyFault.BARE_LF: Reply(554, "Bare LF in message: every line must end with CRLF (RFC 5321 2.3.8)", (6, 0)),
    BodyFault.BARE_CR: Reply(554, "Bare CR in message: every line must end with CRLF (RFC 5321 2.3.8)", (6, 0)),
    BodyFault.NUL: Reply(554, "NUL octet in message", (6, 0)),
    BodyFault.HEADER_TOO_BIG: Reply(552, "Header section too big", (3, 4)),
    BodyFault.LINE_TOO_LONG: Reply(554, "Line too long in message", (6, 0)),
    BodyFault.TOO_BIG: Reply(552, "Message exceeds the size limit", (3, 4)),
}


def fault_reply(fault: BodyFault) -> Reply:
    """The refusal that fits a fault."""
    return _FAULT_REPLIES[fault]


@dataclass(frozen=True, slots=True)
class Hello:
    """EHLO or HELO was accepted; already answered."""

    name: str
    esmtp: bool


@dataclass(frozen=True, slots=True)
class StartTls:
    """220 is queued: send it, then do the handshake and call `tls_started()`."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Credentials to check. Answer 235 (then `username` is the session's identity), 535 or 454."""

    mechanism: str
    authzid: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MailFrom:
    """MAIL. Answer 250 or a refusal."""

    sender: Sender


@dataclass(frozen=True, slots=True)
class RcptTo:
    """RCPT. Answer 250 or a refusal."""

    recipient: Recipient


@dataclass(frozen=True, slots=True)
class DataStart:
    """DATA or the first BDAT, with at least one accepted recipient. Answer `START_DATA` or a refusal."""

    chunked: bool


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """The next octets of the message, dots removed. Needs no answer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The true end of the message. Answer 250 only without a fault; else `fault_reply(fault)`."""

    fault: BodyFault | None
    octets: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The open transaction is dropped (RSET, EHLO, HELO, STARTTLS); already answered."""


@dataclass(frozen=True, slots=True)
class Quit:
    """QUIT; already answered. `Closed` follows."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The session is over: send what is queued and close. An open transaction is dropped."""

    reason: str


class Signal(enum.Enum):
    """What `next_event` returns where there is no event."""

    NEED_DATA = "need data"
    PAUSED = "paused"


NEED_DATA = Signal.NEED_DATA
PAUSED = Signal.PAUSED

START_DATA = Reply(354, "End data with <CR><LF>.<CR><LF>")

Event = Hello | StartTls | Authenticate | MailFrom | RcptTo | DataStart | BodyChunk | BodyEnd | Reset | Quit | Closed
