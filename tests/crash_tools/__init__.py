"""Messages that can be counted: the mark is in subject, Message-ID and body."""

from __future__ import annotations

import hashlib


def make_message(mark: str, number: int) -> bytes:
    """From half a line to 10 kB, by `number`; no line of it begins with a dot."""
    filler = hashlib.sha256(mark.encode()).hexdigest() * (1 + number * 7 % 150)
    lines = "\r\n".join(filler[at : at + 70] for at in range(0, len(filler), 70))
    head = f"From: x@example.com\r\nTo: y@example.org\r\nSubject: {mark}\r\nMessage-ID: <{mark}@example.com>\r\n"
    return f"{head}\r\n{lines}\r\n".encode()


def mark_of(raw: bytes) -> str:
    """The subject."""
    _, _, rest = raw.partition(b"Subject: ")
    return rest.partition(b"\r\n")[0].decode()
