"""What leaves a mailbox: the message as it goes out, and who may send as whom. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from everpost.mail.address import Address, AddressError
from everpost.mail.header import Header, as_addresses, flatten, parse_header
from everpost.standby.drafts import has_bare_line_ends

MAX_RECIPIENTS = 1000
_HIDDEN = frozenset(("bcc", "resent-bcc"))
_SENDERS = ("from", "sender")
_ONCE = ("From", "Sender", "Reply-To", "To", "Cc", "Date", "Message-ID", "Subject")  # RFC 5322 §3.6
_RECIPIENTS = ("to", "cc", "bcc")


class CannotSend(Exception):
    """The message cannot go out as it is. `properties` names the fields."""

    def __init__(self, why: str, *properties: str) -> None:
        super().__init__(why)
        self.properties = properties


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message about to leave: its octets without Bcc, who it says it is from, and whom it names."""

    content: bytes
    changed: bool
    senders: tuple[str, ...]
    recipients: tuple[str, ...]

    @property
    def needs_eight_bits(self) -> bool:
        return not self.content.isascii()


def outgoing(content: bytes) -> Outgoing:
    """Raises `CannotSend` for a message that must not leave: with bare CR, LF or NUL, without From, Date or
    Message-ID (we change nothing that a person wrote, and ours have them), or with several of one kind.
    """
    header = parse_header(content)
    if not header.complete:
        raise CannotSend("the header is too long")
    if b"\0" in content or has_bare_line_ends(content):
        raise CannotSend("the message holds characters that cannot be sent")
    missing = [name for name in ("From", "Date", "Message-ID") if header.first(name) is None]
    if missing:
        raise CannotSend(f"there is no {missing[0]} field", *(_PROPERTY[name] for name in missing))
    repeated = [name for name in _ONCE if len(header.all(name)) > 1]
    if repeated:
        raise CannotSend(f"there are several {repeated[0]} fields")
    bare, changed = _without_hidden(content, header)
    senders = tuple(address for name in _SENDERS for address in _addresses(header, name))
    recipients = tuple(dict.fromkeys(address for name in _RECIPIENTS for address in _addresses(header, name)))
    return Outgoing(bare, changed, senders, recipients)


_PROPERTY = {"From": "from", "Date": "sentAt", "Message-ID": "messageId"}


def _addresses(header: Header, name: str) -> list[str]:
    return [item.address for field in header.all(name) for item in flatten(as_addresses(field.raw))]


def _without_hidden(content: bytes, header: Header) -> tuple[bytes, bool]:
    """RFC 5322 §3.6.3: nobody learns of a blind copy."""
    hidden = [(field.start, field.end) for field in header.fields if field.key in _HIDDEN]
    if not hidden:
        return content, False
    pieces, position = [], 0
    for start, end in hidden:
        pieces.append(content[position:start])
        position = end
    return b"".join((*pieces, content[position:])), True


def read_addresses(texts: tuple[str, ...]) -> tuple[list[Address], list[str]]:
    """Addresses fit for an envelope, and the texts that are none."""
    good, bad = [], []
    for text in texts:
        try:
            good.append(Address.parse(text))
        except (AddressError, UnicodeError):
            bad.append(text)
    return good, bad


def identity_id(key: str) -> str:
    """The id of the identity that an address of the mailbox makes."""
    return "I" + hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=10).hexdigest()
