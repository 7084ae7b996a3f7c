"""What lists and readers need of a message, read once at intake, so that reading is a row and not a parse. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import msgspec

from everpost.mail.bodies import has_attachment
from everpost.mail.content import preview
from everpost.mail.digest import content_digest
from everpost.mail.header import (
    Header,
    HeaderAddress,
    as_addresses,
    as_date,
    as_message_ids,
    as_text,
    flatten,
    parse_header,
)
from everpost.mail.mime import scan, serialise

MAX_REFERENCES = 40
_MAX_LISTED = 100  # addresses of one field that a list may want to show
_MAX_TEXT = 1000


class Person(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One address of a header field."""

    name: str | None
    address: str


class Summary(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The header fields and the preview that lists show (RFC 8621 §4.1.1–4.1.4)."""

    sent_at: datetime | None
    message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    from_: tuple[Person, ...]
    sender: tuple[Person, ...]
    to: tuple[Person, ...]
    cc: tuple[Person, ...]
    bcc: tuple[Person, ...]
    reply_to: tuple[Person, ...]
    subject: str
    preview: str
    has_attachment: bool


@dataclass(frozen=True, slots=True)
class Scanned:
    """A message read once: everything that intake writes beside the bytes."""

    header: Header
    summary: Summary
    structure: bytes
    size: int
    digest: bytes
    content_digest: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Summary).decode


def encode_summary(summary: Summary) -> bytes:
    """The summary as it is stored."""
    return _encode(summary)


def decode_summary(data: bytes) -> Summary:
    """A stored summary."""
    return _decode(data)


def scan_message(data: bytes) -> Scanned:
    """Read a message once. Never raises, whatever the bytes; time and memory are bounded by the parsers' limits."""
    header = parse_header(data)
    part = scan(data, header)
    summary = Summary(
        sent_at=_date(header),
        message_id=_message_id(header),
        in_reply_to=_ids(header, "in-reply-to"),
        references=_ids(header, "references"),
        from_=_people(header, "from"),
        sender=_people(header, "sender"),
        to=_people(header, "to"),
        cc=_people(header, "cc"),
        bcc=_people(header, "bcc"),
        reply_to=_people(header, "reply-to"),
        subject=_subject(header),
        preview=preview(data, part),
        has_attachment=has_attachment(part),
    )
    return Scanned(
        header, summary, serialise(part), len(data), hashlib.sha256(data).digest(), content_digest(data, header)
    )


def _date(header: Header) -> datetime | None:
    field = header.last("date")
    return as_date(field.raw) if field else None


def _message_id(header: Header) -> str | None:
    ids = _ids(header, "message-id")
    return ids[0][:_MAX_TEXT] if ids else None


def _ids(header: Header, name: str) -> tuple[str, ...]:
    field = header.last(name)
    return as_message_ids(field.raw)[-MAX_REFERENCES:] if field else ()


def _subject(header: Header) -> str:
    field = header.last("subject")
    return as_text(field.raw)[:_MAX_TEXT] if field else ""


def _people(header: Header, name: str) -> tuple[Person, ...]:
    field = header.last(name)
    if field is None:
        return ()
    return tuple(_person(address) for address in flatten(as_addresses(field.raw))[:_MAX_LISTED])


def _person(address: HeaderAddress) -> Person:
    return Person(address.name, address.address)


def reference_hash(message_id: str) -> int:
    """A Message-ID as a signed 64-bit number, for the index of conversations."""
    digest = hashlib.blake2b(message_id.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
