"""Messages of our own: notices and alerts to people (not reports about deliveries, see `dsn`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from everpost.mail.address import Address
from everpost.mail.charset import clean
from everpost.mail.words import encode_text

_RESERVED = frozenset(
    ("from", "to", "subject", "date", "message-id", "mime-version", "content-type", "content-transfer-encoding")
)


def build_message(
    *,
    sender: Address,
    recipients: Sequence[Address],
    subject: str,
    text: str,
    message_id: str,
    date: datetime,
    sender_name: str | None = None,
    html: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A complete message in CRLF: plain text, with HTML as its alternative where there is some.

    Names, subject and header values may hold anything: control characters are taken out, and what is not ASCII
    is encoded; non-ASCII addresses make a message for SMTPUTF8 only (RFC 6532). `message_id` is without
    brackets. Raises `ValueError` for a date without zone, no recipient, or a bad or reserved field name.
    """
    if date.tzinfo is None:
        raise ValueError("the date of a message needs a zone")
    if not recipients:
        raise ValueError("a message needs a recipient")
    lines = [
        b"From: " + _mailbox(sender_name, sender),
        b"To: " + b",\r\n ".join(_mailbox(None, recipient) for recipient in recipients),
        b"Subject: " + encode_text(subject, first_line=9),
        b"Date: " + format_datetime(date).encode("ascii"),
        b"Message-ID: <" + "".join(clean(message_id).split()).strip("<>").encode("utf-8", "replace") + b">",
    ]
    lines += [_extra(name, value) for name, value in (headers or {}).items()]
    return b"\r\n".join(lines) + b"\r\n" + _body(text, html)


def _mailbox(name: str | None, address: Address) -> bytes:
    spec = f"<{address}>".encode("utf-8", "replace")
    if not name:
        return spec
    name = clean(name)
    if name.isascii() and "=?" not in name and len(name) <= 60:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" '.encode("ascii") + spec
    return encode_text(name if not name.isascii() else f"{name}\u200b", first_line=6) + b"\r\n " + spec


def _extra(name: str, value: str) -> bytes:
    printable = name.isascii() and all("!" <= letter <= "~" and letter != ":" for letter in name)
    if not name or not printable or name.lower() in _RESERVED:
        raise ValueError(f"not a field name for a notice: {name!r}")
    return name.encode("ascii") + b": " + encode_text(value, first_line=len(name) + 2)


def _body(text: str, html: str | None) -> bytes:
    """The MIME fields and the body, made by the standard library: the content is ours."""
    message = EmailMessage(policy=policy.SMTP)
    plain = clean(text, keep_lines=True)
    message.set_content(plain, cte=_encoding(plain))
    if html is not None:
        markup = clean(html, keep_lines=True)
        message.add_alternative(markup, subtype="html", cte=_encoding(markup))
        # Not a random one: the same notice shall be the same octets.
        digest = hashlib.sha256(f"{plain}\0{markup}".encode("utf-8", "replace")).hexdigest()
        message.set_boundary(f"=_{digest[:32]}")
    return message.as_bytes()


def _encoding(text: str) -> str:
    short = all(len(line) <= 78 for line in text.split("\n"))
    return "7bit" if text.isascii() and short else "quoted-printable"
