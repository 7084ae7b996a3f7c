"""Whether a message may be passed on by a filter, and as what. Pure.

A copy that is passed on carries the mailbox's address in Delivered-To (RFC 9228): that is how a loop is seen, also one
that leads through other people's filters or other servers. Its reverse-path is that address too: SPF holds, and what
cannot be delivered comes back to who set the filter.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from typing import Final

from everpost.directory.model import Forwarding, JournalAddress, MailboxTarget, Resolution, Resolved, Unresolved
from everpost.mail.address import Address, AddressError
from everpost.mail.header import Header, as_text
from everpost.mail.trace import hops, passed_through

MAX_PER_DAY: Final = 500
"""Messages of one mailbox that filters pass on in 24 hours."""
MAX_HOPS: Final = 50
MAX_OWN_HOPS: Final = 3
_WORD = re.compile(r"[^;(]+")  # parameters and comments may follow (RFC 3834 §5.1)
_ANSWERS = ("auto-replied", "auto-notified")


class Outcome(enum.StrEnum):
    """What became of a message that was to be passed on."""

    SENT = "sent"
    AUTOMATIC = "automatic"  # a bounce or an automatic answer: those go no further
    LOOP = "loop"  # it has been here, or there, before
    LIMIT = "limit"  # `MAX_PER_DAY` was reached
    FORBIDDEN = "forbidden"  # the organisation does not allow this address
    NO_SUCH_ADDRESS = "noSuchAddress"  # one of ours that reaches nobody
    SAME_MAILBOX = "sameMailbox"
    CLOSED = "closed"  # the mailbox was disabled meanwhile
    UNREADABLE = "unreadable"  # its bytes cannot be read here


def refusal_of_address(
    resolution: Resolution, organisation_id: int, mailbox_id: int, allowed: Forwarding
) -> Outcome | None:
    """Why an address must not be passed on to; None where it may."""
    if allowed is Forwarding.NONE:
        return Outcome.FORBIDDEN
    if isinstance(resolution, JournalAddress) or resolution in (Unresolved.NO_SUCH_MAILBOX, Unresolved.DISABLED):
        return Outcome.NO_SUCH_ADDRESS
    inside = isinstance(resolution, Resolved) and resolution.organisation_id == organisation_id
    if isinstance(resolution, Resolved) and inside:
        boxes = [target for target in resolution.targets if isinstance(target, MailboxTarget)]
        if any(box.place.mailbox_id == mailbox_id for box in boxes):
            return Outcome.SAME_MAILBOX
        inside = len(boxes) == len(resolution.targets)  # a list may have members elsewhere
    return None if inside or allowed is Forwarding.ANYWHERE else Outcome.FORBIDDEN


def refusal_of_message(
    header: Header, reverse_path: str | None, own: Collection[str], to: Address, hostname: str
) -> Outcome | None:
    """Why a message must not be passed on to `to`; None where it may. `own` are the keys of the mailbox's addresses."""
    if not reverse_path or _word(header, "auto-submitted") in _ANSWERS:
        return Outcome.AUTOMATIC
    if not header.complete or hops(header) > MAX_HOPS or passed_through(header, hostname) > MAX_OWN_HOPS:
        return Outcome.LOOP
    been = _been_at(header)
    return Outcome.LOOP if to.key in been or not been.isdisjoint(own) else None


def passed_on(content: bytes, trace: str, own: Address) -> bytes:
    """The copy: what delivery copies of the message carry, and where it has been."""
    return f"Delivered-To: {own.key}\r\n{trace}".encode() + content


def _been_at(header: Header) -> set[str]:
    keys = set()
    for field in header.all("delivered-to"):
        try:
            keys.add(Address.parse(as_text(field.raw).strip(" \t<>")).key)
        except AddressError:
            continue
    return keys


def _word(header: Header, name: str) -> str:
    field = header.first(name)
    found = _WORD.match(as_text(field.raw)) if field else None
    return found[0].strip().lower() if found else ""
