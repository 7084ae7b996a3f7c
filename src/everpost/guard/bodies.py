"""What delivery copies say differently from the original: a banner on top, links that are judged when clicked, a
disclaimer at the end. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from everpost.guard.banners import BannerText
from everpost.guard.disclaimers import page_says_so, says_so
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
_END_TAG = re.compile(r"</body\b[^>]{0,1000}>(?:\s{0,1000}</html\b[^>]{0,1000}>)?|</html\b[^>]{0,1000}>", re.IGNORECASE)
_ENCODING: Final = "content-transfer-encoding"


@dataclass(frozen=True, slots=True)
class BodyChange:
    """What is changed in the texts of a copy. `make_address` gives what stands for a link; `footer` stands at the end,
    unless the text has it already.
    """

    banner: BannerText | None = None
    make_address: MakeAddress | None = None
    footer: BannerText | None = None

    def __bool__(self) -> bool:
        return self.banner is not None or self.make_address is not None or self.footer is not None


def body_edits(data: bytes, root: Part, change: BodyChange) -> Edits:
    """The edits that change what a reader sees as the text of the message.

    Nothing below a signature or an encryption is touched, and no file. A text keeps its charset; its transfer encoding
    too, unless lines would get longer than SMTP carries. What cannot be read in its charset stays.
    """
    edits: list[Edit] = []
    first = {"text/plain", "text/html"}  # the banner stands on top only
    last = _last_texts(root) if change.footer is not None else frozenset()
    for part in _texts(root):
        if part.encoding not in _KNOWN:
            continue
        one = BodyChange(
            change.banner if part.type in first else None, change.make_address,
            _footer_for(part, change.footer) if id(part) in last else None,
        )  # fmt: skip
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


def _footer_for(part: Part, footer: BannerText | None) -> BannerText | None:
    """In ASCII where the part does not say that it is anything else."""
    if footer is None or (part.charset or "us-ascii").lower() not in ("us-ascii", "ascii"):
        return footer
    return replace(footer, text=footer.plain)


def _last_texts(root: Part) -> frozenset[int]:
    """The ids of the parts that end what is shown as plain text, and what is shown as HTML."""
    lists = body_lists(root)
    ends = (next((p for p in reversed(each) if p.type.startswith("text/")), None) for each in (lists.text, lists.html))
    return frozenset(id(part) for part in ends if part is not None)


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
        banner = change.banner.html if change.banner else ""
        return banner.encode(codec) + _with_html_footer(text, text, change.footer).encode(codec)
    if change.make_address is not None:
        octets = rewrite_html_octets(octets, codec, change.make_address)
    if change.footer is not None:
        read = octets.decode(codec, "replace")
        octets = _with_html_footer(octets.decode("latin-1"), read, change.footer).encode("latin-1")
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
    if change.footer is not None and not says_so(text, change.footer):
        changed = _with_text_footer(text, change.footer, codec)
    if change.banner is None:
        return changed
    try:
        return change.banner.text.encode(codec) + changed
    except UnicodeEncodeError:
        return change.banner.plain.encode(codec) + changed


def _with_html_footer(markup: str, read: str, footer: BannerText | None) -> str:
    """`read` is the markup in its charset, where that is not what it is cut by."""
    if footer is None or page_says_so(read, footer):
        return markup
    ends = list(_END_TAG.finditer(markup))
    at = ends[-1].start() if ends else len(markup)
    return markup[:at] + footer.html.encode("ascii", "xmlcharrefreplace").decode("ascii") + markup[at:]


def _with_text_footer(text: str, footer: BannerText, codec: str) -> bytes:
    gap = "\r\n" if not text or text.endswith("\n") else "\r\n\r\n"
    try:
        return (text + gap + footer.text).encode(codec)
    except UnicodeEncodeError:
        return (text + gap + footer.plain).encode(codec)


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
