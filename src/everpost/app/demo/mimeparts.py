"""Composes the MIME pieces of generated mail. Everything ends in CRLF and keeps to the limits of RFC 5322 §2.1.1."""

from __future__ import annotations

import base64
import binascii
import html
import random
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

_WORD_CHARACTERS = 12  # per encoded word: below 75 octets in every charset used (RFC 2047 §2)
_WRAP = 72


def encoded_words(text: str, charset: str) -> str:
    """Text of a header field: as it is where ASCII, else encoded words, folded."""
    if text.isascii():
        return _fold(text)
    pieces = [text[at : at + _WORD_CHARACTERS] for at in range(0, len(text), _WORD_CHARACTERS)]
    words = [f"=?{charset}?B?{base64.b64encode(piece.encode(charset)).decode()}?=" for piece in pieces]
    return "\r\n ".join(words)


def mailbox(name: str, address: str) -> str:
    """`name <address>` for a header field."""
    if name.isascii():
        return f'"{name}" <{address}>'
    return f"{encoded_words(name, 'utf-8')} <{address}>"


def _fold(text: str) -> str:
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + len(word) > _WRAP:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return "\r\n ".join([*lines, line])


def base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


@dataclass(frozen=True, slots=True)
class Part:
    """Header fields (each line with CRLF) and encoded content (ending in CRLF, or empty)."""

    head: bytes
    content: bytes


def text_part(text: str, charset: str, encoding: str, subtype: str = "plain") -> Part:
    """Text with CRLF line ends; `encoding` is 7bit, 8bit, quoted-printable or base64."""
    data = text.encode(charset, "replace")
    if encoding == "base64":
        data = base64_lines(data)
    elif encoding == "quoted-printable":
        data = binascii.b2a_qp(data, istext=True)
    elif data.isascii():
        encoding = "7bit"
    head = f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n"
    return Part(head.encode(), data)


def multipart(subtype: str, boundary: str, parts: Iterable[Part]) -> Part:
    mark = b"--" + boundary.encode()
    pieces = []
    for part in parts:
        pieces += [mark, b"\r\n", part.head, b"\r\n", part.content, b"\r\n"]
    pieces += [mark, b"--\r\n"]
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n'.encode()
    return Part(head, b"".join(pieces))


def html_of(paragraphs: Sequence[str], *, rtl: bool = False, image: str | None = None) -> str:
    """A page as mail programs make them, lines below 998 octets."""
    body = "\r\n".join(f'<p style="margin:0 0 8px">{html.escape(text, quote=False)}</p>' for text in paragraphs)
    picture = f'<img src="cid:{image}" alt="" width="32" height="32">\r\n' if image else ""
    direction = ' dir="rtl"' if rtl else ""
    return (
        '<!DOCTYPE html>\r\n<html><head><meta name="viewport" content="width=device-width">\r\n'
        "<style>p { font-family: sans-serif; font-size: 14px }</style></head>\r\n"
        f'<body bgcolor="#ffffff"{direction}>\r\n{body}\r\n{picture}'
        '<table border="0" cellpadding="4"><tr><td>&nbsp;</td><td><a href="https://www.example.com/">example</a>'
        "</td></tr></table>\r\n</body></html>\r\n"
    )


def attachment(kind: str, name: str, content: bytes, *, inline_id: str | None = None) -> Part:
    """A base64 part; a name beyond ASCII is written as RFC 2231 has it."""
    filename = f'filename="{name}"' if name.isascii() else f"filename*=utf-8''{quote(name)}"
    ident = f"Content-ID: <{inline_id}>\r\n" if inline_id else ""
    disposition = "inline" if inline_id else "attachment"
    head = (
        f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n{ident}"
        f"Content-Disposition: {disposition};\r\n {filename}\r\n"
    )
    return Part(head.encode(), base64_lines(content))


def png(rng: random.Random, side: int) -> bytes:
    """A real picture of coloured noise."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + rng.randbytes(3 * side) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def pdf(rng: random.Random, octets: int) -> bytes:
    """Looks like a document to what sniffs types; one stream of noise."""
    start = (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Count 0 >>\nendobj\n"
    )
    stream = b"3 0 obj\n<< /Length %d >>\nstream\n%b\nendstream\nendobj\n" % (octets, rng.randbytes(octets))
    return start + stream + b"trailer\n<< /Root 1 0 R >>\n%%EOF\n"


def csv(rng: random.Random, rows: int) -> bytes:
    lines = [f"{n};{rng.randrange(10_000)};{rng.random() * 1000:.2f}" for n in range(rows)]
    return ("item;number;price\r\n" + "\r\n".join(lines) + "\r\n").encode()


def ics(rng: random.Random) -> bytes:
    day = f"2026{rng.randrange(1, 13):02d}{rng.randrange(1, 28):02d}"
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//generated//EN\r\nMETHOD:PUBLISH\r\nBEGIN:VEVENT\r\n"
        f"UID:{rng.getrandbits(64):x}@example.com\r\nDTSTAMP:{day}T080000Z\r\nDTSTART:{day}T090000Z\r\n"
        f"DTEND:{day}T110000Z\r\nSUMMARY:Meeting\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    ).encode()
