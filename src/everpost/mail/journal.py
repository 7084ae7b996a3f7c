"""Envelope journal reports of Exchange 2007 and later and of Microsoft 365 ([MS-XJRNL]).

A report is a multipart whose first part lists the envelope in plain text, a line each ("Sender: a@example.org",
"To: b@example.org, Expanded: list@example.org"), and whose next part is the message as it was.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from everpost.mail.address import Address, AddressError
from everpost.mail.header import Header, parse_header
from everpost.mail.mime import Part, decode_text, scan

_REPORT_FIELD: Final = "x-ms-journal-report"
_TEXT_LIMIT: Final = 8 * 1024 * 1024
MAX_RECIPIENTS: Final = 100_000
_LINE = re.compile(r"([A-Za-z][A-Za-z\-]{0,30}+)[ \t]*+:[ \t]*+(.*)")
_REDIRECTED = re.compile(r",[ \t]*+(Expanded|Forwarded)[ \t]*+:[ \t]*+", re.IGNORECASE)
_ANGLE = re.compile(r"<([^<>]*+)>\s*+\Z")


class JournalKind(enum.Enum):
    """How the recipient was addressed; RECIPIENT where Exchange could not tell."""

    TO = "to"
    CC = "cc"
    BCC = "bcc"
    RECIPIENT = "recipient"


class Redirection(enum.Enum):
    """Why the recipient differs from the original one."""

    EXPANDED = "expanded"
    FORWARDED = "forwarded"


@dataclass(frozen=True, slots=True)
class JournalRecipient:
    """One envelope recipient. `original` is the list or mailbox the message was addressed to, where it was
    redirected from one.
    """

    address: Address
    kind: JournalKind
    original: Address | None = None
    redirection: Redirection | None = None


@dataclass(frozen=True, slots=True)
class JournalReport:
    """What a report says; `data[message_start:message_end]` is the journaled message, byte for byte.

    `sender` is None for a null reverse-path. `unreadable` holds the lines of sender and recipients that gave
    no address (an X.400 address, say), so that nothing is dropped silently.
    """

    sender: Address | None
    recipients: tuple[JournalRecipient, ...]
    on_behalf_of: Address | None
    message_id: str | None
    subject: str | None
    message_start: int
    message_end: int
    unreadable: tuple[str, ...] = ()


def parse_journal(data: bytes, header: Header | None = None) -> JournalReport | None:
    """Read an envelope journal report; None for any other message. Never raises.

    Without the X-MS-Journal-Report field (some relays take fields of that kind away) the body must have
    sender, message id and a recipient to pass for a report. Anybody can write one: believe it only from a
    configured primary.
    """
    header = header or parse_header(data)
    content = header.first("content-type")
    if content is None or b"multipart" not in content.raw[:64].lower():
        return None
    parts = scan(data, header, max_parts=20, max_depth=3).children
    message = next((part for part in parts if part.type in ("message/rfc822", "message/global")), None)
    if len(parts) < 2 or message is None or message.encoding in ("base64", "quoted-printable"):
        return None
    if parts[0].type != "text/plain":
        return None
    reader = _Reader()
    reader.read(data, parts[0])
    marked = header.first(_REPORT_FIELD) is not None
    if not reader.has_sender or not (marked or (reader.message_id and reader.recipients)):
        return None
    return JournalReport(
        sender=reader.sender,
        recipients=tuple(reader.recipients),
        on_behalf_of=reader.on_behalf_of,
        message_id=reader.message_id,
        subject=reader.subject,
        message_start=message.body_start,
        message_end=message.body_end,
        unreadable=tuple(reader.unreadable),
    )


class _Reader:
    """Collects the lines of the envelope part."""

    def __init__(self) -> None:
        self.has_sender = False
        self.sender: Address | None = None
        self.on_behalf_of: Address | None = None
        self.message_id: str | None = None
        self.subject: str | None = None
        self.recipients: list[JournalRecipient] = []
        self.unreadable: list[str] = []

    def read(self, data: bytes, part: Part) -> None:
        text, _ = decode_text(data, part, limit=_TEXT_LIMIT)
        for line in text.split("\n"):
            match = _LINE.match(line)
            if match is not None:
                self._line(match[1].lower(), match[2].strip())

    def _line(self, key: str, value: str) -> None:
        if key == "sender":
            if not self.has_sender:
                self.has_sender = True
                self.sender = self._address(value) if value not in ("", "<>") else None
        elif key == "on-behalf-of":
            self.on_behalf_of = self.on_behalf_of or self._address(value)
        elif key == "message-id":
            self.message_id = self.message_id or value.strip("<> ") or None
        elif key == "subject":
            self.subject = value if self.subject is None else self.subject
        elif key in _KINDS and len(self.recipients) < MAX_RECIPIENTS:
            self._recipient(_KINDS[key], value)

    def _recipient(self, kind: JournalKind, value: str) -> None:
        pieces = _REDIRECTED.split(value, maxsplit=1)
        address = self._address(pieces[0])
        if address is None:
            return
        if len(pieces) < 3:
            self.recipients.append(JournalRecipient(address, kind))
            return
        # A list inside a list may add further redirections: the outermost is what the sender wrote, and it
        # stands last.
        original = self._address(_REDIRECTED.split(pieces[2])[-1])
        self.recipients.append(JournalRecipient(address, kind, original, Redirection(pieces[1].lower())))

    def _address(self, text: str) -> Address | None:
        angle = _ANGLE.search(text)
        bare = (angle[1] if angle else text).strip()
        try:
            return Address.parse(bare)
        except AddressError:
            if len(self.unreadable) < MAX_RECIPIENTS:
                self.unreadable.append(text[:1000])
            return None


_KINDS = {kind.value: kind for kind in JournalKind}
