"""Delivery status notifications (RFC 3464, RFC 6522; RFC 6533 where addresses are not ASCII)."""

from __future__ import annotations

import binascii
import enum
import hashlib
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from everpost.mail.charset import clean
from everpost.mail.envelope import Envelope, Recipient, Ret
from everpost.mail.header import as_message_ids, as_text, parse_header
from everpost.mail.reply import Outcome, Reply
from everpost.mail.words import encode_text

FULL_LIMIT: Final = 64 * 1024
HEADER_LIMIT: Final = 64 * 1024
MAX_LINE: Final = 998  # RFC 5322 §2.1.1
_MAX_VALUE: Final = 900
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LONG_LINE = re.compile(rb"[^\n]{999}")
_WIDTH: Final = 76


class Action(enum.StrEnum):
    """What became of a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """The fate of one recipient. `remote` is the host that gave `reply`; `retry_until` counts for delays only."""

    recipient: Recipient
    action: Action
    reply: Reply | None = None
    remote: str | None = None
    last_attempt: datetime | None = None
    retry_until: datetime | None = None


def build_report(
    *,
    reporting_mta: str,
    original_envelope: Envelope,
    original_header: bytes,
    original: bytes | None,
    statuses: Sequence[RecipientStatus],
    arrival: datetime,
    now: datetime,
    message_id: str,
    report_from: str,
    sender_display: str = "Mail Delivery System",
    full_limit: int = FULL_LIMIT,
) -> bytes:
    """The complete report, to be sent from the null reverse-path to the original one.

    `original_header` are the octets of the original's header, `original` the whole message or None. The whole
    message is returned only for a failure, where RET= does not ask for less (RFC 3461 §4.3), it has at most
    `full_limit` octets and every line is fit to travel; otherwise the header, of which at most 64 kB.
    Lines end in CRLF and have at most 998 octets. The report is 7-bit except where addresses are not ASCII
    (it then needs SMTPUTF8 if its own header is not ASCII) or an 8-bit original is returned whole: send it
    with BODY=8BITMIME unless `isascii()`.

    Raises `ValueError` for a null reverse-path (RFC 5321 §4.5.5: no report about a report), and where there
    is no status.
    """
    sender = original_envelope.sender
    if sender.reverse_path is None:
        raise ValueError("there is no report to a null reverse-path")
    if not statuses:
        raise ValueError("a report needs at least one recipient")
    international = not all(_addresses_are_ascii(status) for status in statuses)
    worst = min((status.action for status in statuses), key=list(Action).index)
    whole = worst is Action.FAILED and sender.ret is not Ret.HEADERS
    parts = [
        _text_part(statuses, original_header, reporting_mta, worst),
        _status_part(statuses, original_envelope, reporting_mta, arrival, international),
        _returned_part(original if whole else None, original_header, sender.smtputf8, full_limit),
    ]
    top = _top(original_header, str(sender.reverse_path), worst, now, message_id, report_from, sender_display)
    boundary = b"=_" + hashlib.sha256(top + b"".join(parts)).hexdigest()[:40].encode("ascii")
    top += b'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="' + boundary + b'"\r\n'
    if not all(part.isascii() for part in parts):
        top += b"Content-Transfer-Encoding: 8bit\r\n"
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return top + b"\r\n" + body + b"--" + boundary + b"--\r\n"


def _addresses_are_ascii(status: RecipientStatus) -> bool:
    orcpt = status.recipient.orcpt
    return str(status.recipient.address).isascii() and (orcpt is None or orcpt.isascii())


_SUBJECTS = {
    Action.FAILED: "Not delivered",
    Action.DELAYED: "Delayed",
    Action.DELIVERED: "Delivered",
    Action.RELAYED: "Passed on",
    Action.EXPANDED: "Delivered to a list",
}


def _top(
    original_header: bytes,
    to: str,
    worst: Action,
    now: datetime,
    message_id: str,
    report_from: str,
    display: str,
) -> bytes:
    """The fields of the report itself, up to the Content-Type."""
    header = parse_header(original_header[:HEADER_LIMIT])
    subject = _SUBJECTS[worst]
    original_subject = header.first("subject")
    if original_subject is not None:
        subject += f": {as_text(original_subject.raw)[:200]}"
    identifier = header.first("message-id")
    ids = as_message_ids(identifier.raw)[:1] if identifier is not None else ()
    lines = [
        f"From: {encode_text(display, first_line=6).decode('ascii')} <{_value(report_from)}>",
        f"To: <{_value(to)}>",
        f"Subject: {encode_text(subject, first_line=9).decode('ascii')}",
        f"Date: {format_datetime(now)}",
        f"Message-ID: <{_value(message_id).strip('<>')}>",
    ]
    if ids and ids[0].isascii() and len(ids[0]) < 250:
        lines += [f"In-Reply-To: <{ids[0]}>", f"References: <{ids[0]}>"]
    lines += ["Auto-Submitted: auto-replied", "MIME-Version: 1.0"]  # RFC 3834 §5
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n"


def _value(text: str) -> str:
    """Text that stays on its line."""
    return " ".join(clean(text).split())[:_MAX_VALUE]


_EXPLANATIONS = {
    Action.FAILED: "Your message could not be delivered to the recipients below. It will not be tried again.",
    Action.DELAYED: (
        "Your message has not reached the recipients below yet. Delivery is tried again and again; "
        "there is no need to send it once more."
    ),
    Action.DELIVERED: "Your message was delivered to the recipients below.",
    Action.RELAYED: (
        "Your message was passed on to the mail servers of the recipients below. "
        "These servers may send no notice of the delivery itself."
    ),
    Action.EXPANDED: "Your message was delivered to a list, and sent on to its members.",
}


def _text_part(statuses: Sequence[RecipientStatus], original_header: bytes, mta: str, worst: Action) -> bytes:
    """What a person reads first."""
    header = parse_header(original_header[:HEADER_LIMIT])
    lines = [f"This is a notice of the mail server {_value(mta)}.", ""]
    for action in Action:
        chosen = [status for status in statuses if status.action is action]
        if not chosen:
            continue
        lines += [*textwrap.wrap(_EXPLANATIONS[action], _WIDTH), ""]
        for status in chosen:
            lines += _recipient_lines(status)
        lines.append("")
    described = [(name, header.first(name)) for name in ("subject", "date", "to")]
    told = [(name, as_text(item.raw)[:300]) for name, item in described if item is not None]
    if told:
        lines.append("The message was:")
        for name, value in told:
            lines += _wrapped(f"{name.capitalize()}: {_value(value)}", "  ", "      ")
    if worst is Action.FAILED:
        lines += ["", *textwrap.wrap(_ADVICE, _WIDTH)]
    return _text("\r\n".join(lines) + "\r\n")


_ADVICE: Final = (
    "Please check the addresses. If they are right, pass this notice on to the people who look after mail "
    "where you or the recipients are: the details are in its attachments."
)


def _recipient_lines(status: RecipientStatus) -> list[str]:
    lines = [f"  <{_value(str(status.recipient.address))}>"]
    original = status.recipient.orcpt
    if original is not None:
        address = _value(original.partition(";")[2]).strip()
        if address and address.lower() != str(status.recipient.address).lower():
            lines.append(f"      (you wrote to {address})")
    if status.reply is not None:
        said = f"{_value(status.remote)} said: " if status.remote else ""
        lines += _wrapped(said + _value(str(status.reply)), "      ", "      ")
    if status.action is Action.DELAYED and status.retry_until is not None:
        lines.append(f"      Delivery will be tried until {format_datetime(status.retry_until)}.")
    return lines


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=rest)


def _text(text: str) -> bytes:
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Description: Notification\r\n"
    if text.isascii():
        return head + b"\r\n" + text.encode("ascii")
    encoded = binascii.b2a_qp(text.encode("utf-8", "replace"), istext=True)
    return head + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + _crlf(encoded)


def _status_part(
    statuses: Sequence[RecipientStatus],
    envelope: Envelope,
    mta: str,
    arrival: datetime,
    international: bool,
) -> bytes:
    """The machine-readable part (RFC 3464 §2)."""
    groups = [[_field("Reporting-MTA", f"dns; {mta}", international)]]
    if envelope.sender.envid:
        groups[0].insert(0, _field("Original-Envelope-Id", envelope.sender.envid, international))
    groups[0].append(_field("Arrival-Date", format_datetime(arrival), international))
    groups += [_status_fields(status, international) for status in statuses]
    kind = b"message/global-delivery-status" if international else b"message/delivery-status"
    head = b"Content-Type: " + kind + b"\r\nContent-Description: Delivery report\r\n"
    body = b"\r\n\r\n".join(b"\r\n".join(fields) for fields in groups) + b"\r\n"
    if not body.isascii():
        head += b"Content-Transfer-Encoding: 8bit\r\n"
    return head + b"\r\n" + body


def _status_fields(status: RecipientStatus, international: bool) -> list[bytes]:
    fields: list[tuple[str, str]] = []
    if status.recipient.orcpt is not None:
        kind, _, address = status.recipient.orcpt.partition(";")
        fields.append(("Original-Recipient", f"{kind.strip() or 'rfc822'}; {address.strip()}"))
    address = str(status.recipient.address)
    fields += [
        ("Final-Recipient", f"{'rfc822' if address.isascii() else 'utf-8'}; {address}"),
        ("Action", status.action.value),
        ("Status", _status_code(status)),
    ]
    if status.remote is not None:
        fields.append(("Remote-MTA", f"dns; {status.remote}"))
    if status.reply is not None:
        fields.append(("Diagnostic-Code", f"smtp; {status.reply}"))
    if status.last_attempt is not None:
        fields.append(("Last-Attempt-Date", format_datetime(status.last_attempt)))
    if status.action is Action.DELAYED and status.retry_until is not None:
        fields.append(("Will-Retry-Until", format_datetime(status.retry_until)))
    return [_field(name, value, international) for name, value in fields]


def _status_code(status: RecipientStatus) -> str:
    """The enhanced status code (RFC 3463), never of a class that contradicts the action."""
    reply = status.reply
    if status.action is Action.FAILED:
        if reply is not None and reply.outcome is Outcome.PERMANENT:
            return reply.enhanced or "5.0.0"
        return "4.4.7" if reply is not None else "5.4.7"  # delivery time expired
    if status.action is Action.DELAYED:
        transient = reply is not None and reply.outcome is Outcome.TRANSIENT
        return (reply.enhanced if transient and reply is not None else None) or "4.0.0"
    success = reply is not None and reply.outcome is Outcome.SUCCESS
    return (reply.enhanced if success and reply is not None else None) or "2.0.0"


def _field(name: str, value: str, international: bool) -> bytes:
    """A field folded at spaces; a word longer than a line is cut."""
    text = _value(value)
    octets = text.encode("utf-8", "replace") if international else text.encode("ascii", "replace")
    pieces: list[bytes] = [name.encode("ascii") + b":"]
    for word in octets.split(b" "):
        cut = word[:_MAX_VALUE].decode("utf-8", "ignore").encode("utf-8")
        if len(pieces[-1]) + 1 + len(cut) > 78 and len(pieces[-1]) > len(name) + 6:
            pieces.append(b" " + cut)
        else:
            pieces[-1] += b" " + cut
    return b"\r\n".join(pieces)


def _returned_part(original: bytes | None, header: bytes, smtputf8: bool, limit: int) -> bytes:
    """The original message or its header (RFC 6522 §3)."""
    if original is not None and len(original) <= limit and _fit_to_travel(original):
        encoding = b"7bit" if original.isascii() else b"8bit"
        kind = b"message/global" if smtputf8 and not header.isascii() else b"message/rfc822"
        return _returned(kind, b"Undelivered message", encoding, original)
    octets = _crlf(header[:HEADER_LIMIT].replace(b"\0", b"")).rstrip(b"\r\n") + b"\r\n"
    if octets.isascii() and _LONG_LINE.search(octets) is None:
        return _returned(b"text/rfc822-headers", b"Header of the message", b"7bit", octets)
    kind = b"message/global-headers" if smtputf8 else b"text/rfc822-headers"
    encoded = _crlf(binascii.b2a_qp(octets, istext=True))
    return _returned(kind, b"Header of the message", b"quoted-printable", encoded)


def _returned(kind: bytes, description: bytes, encoding: bytes, content: bytes) -> bytes:
    return (
        b"Content-Type: " + kind + b"\r\nContent-Description: " + description + b"\r\n"
        b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + content
    )


def _fit_to_travel(message: bytes) -> bool:
    return b"\0" not in message and _BARE.search(message) is None and _LONG_LINE.search(message) is None


def _crlf(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
