"""What delivery copies say differently from the original: a banner on top, links that are judged when clicked. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from everpost.guard.banners import BannerText
from everpost.guard.links.rewrite import MakeAddress, rewrite_html, rewrite_html_octets, rewrite_text
from everpost.mail.bodies import body_lists
from everpost.mail.charset import codec_of
from everpost.mail.content import decode_body
from everpost.mail.edits import Edit, Edits
from everpost.mail.header import parse_header_at
from everpost.mail.part import Part

MAX_BODY: Final = 2 * 1024 * 1024  # octets of one text; longer ones stay as they are
_UNTOUCHABLE: Final = frozenset({"multipart/signed", "multipart/encrypted"})
_AS_IT_IS: Final = ("7bit", "8bit", "binary")
_KNOWN: Final = (*_AS_IT_IS, "base64", "quoted-printable")
_LINE: Final = 990  # octets without the line end; RFC 5321 §4.5.3.1.6 allows 998
_STATEFUL: Final = ("utf-16", "utf-32", "utf-7", "iso2022", "iso-2022", "hz", "utf_16", "utf_32", "utf_7")
_BODY_TAG = re.compile(rb"<body\b[^>]{0,4000}>", re.IGNORECASE)
_ENCODING: Final = "content-transfer-encoding"


@dataclass(frozen=True, slots=True)
class BodyChange:
    """What is changed in the texts of a copy. `make_address` gives what stands for a link."""

    banner: BannerText | None = None
    make_address: MakeAddress | None = None

    def __bool__(self) -> bool:
        return self.banner is not None or self.make_address is not None


def body_edits(data: bytes, root: Part, change: BodyChange) -> Edits:
    """The edits that change what a reader sees as the text of the message.

    Nothing below a signature or an encryption is touched, and no file. A text keeps its charset; its transfer encoding
    too, unless lines would get longer than SMTP carries. What cannot be read in its charset stays.
    """
    edits: list[Edit] = []
    first = {"text/plain", "text/html"}  # the banner stands on top only
    for part in _texts(root):
        if part.encoding not in _KNOWN:
            continue
        one = change if part.type in first else BodyChange(None, change.make_address)
        first.discard(part.type)
        if one and part.size <= MAX_BODY:
            edits += _part_edits(data, part, one)
    return tuple(edits)


def _texts(root: Part) -> Iterator[Part]:
    sealed = {id(inside) for part in root.walk() if part.type in _UNTOUCHABLE for inside in part.walk()}
    lists = body_lists(root)
    for part in {id(each): each for each in (*lists.text, *lists.html)}.values():
        if part.type in ("text/plain", "text/html") and id(part) not in sealed:
            yield part


def _part_edits(data: bytes, part: Part, change: BodyChange) -> Iterator[Edit]:
    octets = decode_body(data, part)
    codec = codec_of(part.charset) or "latin-1"
    try:
        changed = (
            _changed_html(octets, codec, change) if part.type == "text/html" else _changed_text(octets, codec, change)
        )
    except (UnicodeError, LookupError):
        return
    if changed == octets:
        return
    encoding = part.encoding
    written = _encoded(changed, encoding)
    if written is None:
        written = _encoded(changed, "quoted-printable")
        assert written is not None
        yield _other_encoding(data, part)
    yield Edit(part.body_start, part.body_end, written)


# ---------------------------------------------------------------------- what is said


def _changed_html(octets: bytes, codec: str, change: BodyChange) -> bytes:
    if codec.lower().startswith(_STATEFUL):
        text = octets.decode(codec)
        text = rewrite_html(text, change.make_address) if change.make_address else text
        return (change.banner.html if change.banner else "").encode(codec) + text.encode(codec)
    if change.make_address is not None:
        octets = rewrite_html_octets(octets, codec, change.make_address)
    if change.banner is None:
        return octets
    tag = _BODY_TAG.search(octets)
    at = tag.end() if tag else 0
    return octets[:at] + change.banner.html.encode("ascii", "xmlcharrefreplace") + octets[at:]


def _changed_text(octets: bytes, codec: str, change: BodyChange) -> bytes:
    try:
        text = octets.decode(codec)
    except UnicodeDecodeError:
        codec = "latin-1"
        text = octets.decode(codec)
    if change.make_address is not None:
        text = rewrite_text(text, change.make_address)
    changed = text.encode(codec)
    if change.banner is None:
        return changed
    try:
        return change.banner.text.encode(codec) + changed
    except UnicodeEncodeError:
        return change.banner.plain.encode(codec) + changed


# ---------------------------------------------------------------------- how it is written


def _encoded(octets: bytes, encoding: str) -> bytes | None:
    """In a transfer encoding; None where it cannot carry that."""
    if encoding == "base64":
        return base64.encodebytes(octets).replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    if encoding == "quoted-printable":
        lines = binascii.b2a_qp(octets.replace(b"\r\n", b"\n"), istext=True)
        return lines.replace(b"\n", b"\r\n")
    if any(len(line) > _LINE for line in octets.split(b"\r\n")) or (encoding == "7bit" and not octets.isascii()):
        return None
    return octets


def _other_encoding(data: bytes, part: Part) -> Edit:
    """The part's header says that its body is quoted-printable."""
    header = parse_header_at(data, part.header_start, part.body_start)
    field = header.keyed(_ENCODING)
    said = b"Content-Transfer-Encoding: quoted-printable\r\n"
    if field is not None:
        return Edit(field.start, field.end, said)
    return Edit(part.header_start, part.header_start, said)
