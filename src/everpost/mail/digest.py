"""Digests that tell whether two copies of a message are the same, whatever servers put in front of them."""

from __future__ import annotations

import hashlib
from typing import Final

from everpost.mail.header import Header, parse_header

_CHOSEN: Final = ("from", "to", "cc", "subject", "date", "message-id")
_TAIL: Final = 65_536


def body_digest(data: bytes, header: Header | None = None) -> bytes:
    """SHA-256 of what follows the header, with all line ends at its end replaced by one CRLF.

    Mailbox stores add or take away empty lines at the end; nothing else of a body may change.
    """
    start = (header or parse_header(data)).size
    digest = hashlib.sha256(memoryview(data)[start : _end_of_text(data, start)])
    digest.update(b"\r\n")
    return digest.digest()


def content_digest(data: bytes, header: Header | None = None) -> bytes:
    """SHA-256 of From, To, Cc, Subject, Date and Message-ID (unfolded, white space made one space) and the body.

    Equal for an original and a copy that passed servers which put trace fields in front, fold anew or change
    the order of fields; different for anything a reader would see as another message.
    """
    header = header or parse_header(data)
    digest = hashlib.sha256()
    for key in _CHOSEN:
        for item in header.all(key):
            value = b" ".join(item.raw.split())
            digest.update(b"%s:%d:%s\n" % (key.encode("ascii"), len(value), value))
    digest.update(body_digest(data, header))
    return digest.digest()


def _end_of_text(data: bytes, start: int) -> int:
    """The end without trailing line ends, found from behind without copying the body."""
    end = len(data)
    while end > start:
        tail = data[max(start, end - _TAIL) : end]
        kept = len(tail.rstrip(b"\r\n"))
        end -= len(tail) - kept
        if kept:
            break
    return end
