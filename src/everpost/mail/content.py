"""The content of parts: transfer decoding, text, previews. Tolerant, bounded, never raising."""

from __future__ import annotations

import binascii
import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from everpost.mail.bodies import body_lists
from everpost.mail.charset import clean, decode_body_text
from everpost.mail.part import Part

TEXT_LIMIT: Final = 1024 * 1024
PREVIEW_CHARACTERS: Final = 256  # RFC 8621 §4.1.4
_PREVIEW_TEXT_OCTETS: Final = 4096
_PREVIEW_HTML_OCTETS: Final = 65_536
# Building a tree of very deep HTML takes quadratic time: 64 kB of it cost a third of a second, 16 kB 20 ms.
_PREVIEW_TREE_OCTETS: Final = 16_384
_MAX_BASE64_SEGMENTS: Final = 1000
_MAX_UU_RATIO: Final = 2  # a line may lack the blanks at its end, and then gives more than it has

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(code for code in range(256) if code not in _BASE64)
_PADDING = re.compile(rb"=+")
_UNSEEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(head|style|script|title)\b[^>]*+>.*?(?:</\1\s*+>|\Z)", re.DOTALL | re.IGNORECASE
)


def decode_body(data: bytes, part: Part, *, limit: int | None = None) -> bytes:
    """The octets of a part without its transfer encoding (RFC 2045 §6), at most `limit` of them.

    Characters that do not belong into base64 are passed over, broken quoted-printable is left as it stands,
    an unknown encoding is read as none. With a `limit`, only about as much is read as is needed for it;
    a body full of what must be passed over may then give less.
    """
    start, end, encoding = part.body_start, part.body_end, part.encoding
    if part.is_multipart or encoding in ("7bit", "8bit", "binary"):
        return data[start : end if limit is None else min(end, start + limit)]
    if limit is not None:
        end = min(end, start + limit * 4 + 1024)
    raw = data[start:end]
    if encoding == "base64":
        decoded = decode_base64(raw)
    elif encoding == "quoted-printable":
        decoded = binascii.a2b_qp(raw)
    elif encoding in ("x-uuencode", "uuencode", "x-uue"):
        decoded = _decode_uu(raw)
    else:
        decoded = raw
    return decoded if limit is None else decoded[:limit]


def decode_base64(raw: bytes) -> bytes:
    """Base64 as it is found: white space, foreign characters, padding amid the data, a torn end."""
    letters = raw.translate(None, _NOT_BASE64)
    body = letters.rstrip(b"=")
    if b"=" not in body:
        return _quads(body)
    segments = _PADDING.split(body, _MAX_BASE64_SEGMENTS)
    segments[-1] = segments[-1].replace(b"=", b"")
    return b"".join(map(_quads, segments))


def _quads(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def _decode_uu(raw: bytes) -> bytes:
    begin = re.search(rb"^begin [0-7]+ [^\n]*\n", raw, re.MULTILINE)
    lines = raw[begin.end() if begin else 0 :].split(b"\n")
    decoded: list[bytes] = []
    room = len(raw) * _MAX_UU_RATIO + 1024
    for line in lines:
        text = line.rstrip(b"\r")
        if text == b"end" or room <= 0:
            break
        try:
            decoded.append(binascii.a2b_uu(text))
        except binascii.Error:
            continue
        room -= len(decoded[-1])
    return b"".join(decoded)


def decode_text(data: bytes, part: Part, *, limit: int = TEXT_LIMIT) -> tuple[str, bool]:
    """The text of a part, of at most `limit` decoded octets, and whether there was an encoding problem
    (isEncodingProblem of RFC 8621 §4.1.4: an unknown charset or encoding, or octets that do not fit it).

    Lines end in LF; control characters but tab are taken out.
    """
    raw = decode_body(data, part, limit=limit + 1)
    truncated = len(raw) > limit
    text, problem = decode_body_text(raw[:limit], part.charset, truncated=truncated)
    known = part.encoding in _KNOWN_ENCODINGS
    return clean(text, keep_lines=True), problem or not known


_KNOWN_ENCODINGS = frozenset(
    ("7bit", "8bit", "binary", "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue")
)


def preview(data: bytes, part: Part) -> str:
    """The beginning of what a person would read, in one line of at most 256 characters ("" where nothing is).

    From plain text where there is some, else from HTML of which at most 64 kB are looked at.
    """
    lists = body_lists(part)
    for candidate in lists.text[:3]:
        if candidate.type == "text/plain":
            text = decode_text(data, candidate, limit=_PREVIEW_TEXT_OCTETS)[0]
        elif candidate.type == "text/html":
            text = _html_text(decode_text(data, candidate, limit=_PREVIEW_HTML_OCTETS)[0])
        else:
            continue
        line = _one_line(text)
        if line:
            return line
    for candidate in lists.html[:3]:
        if candidate.type == "text/html":
            line = _one_line(_html_text(decode_text(data, candidate, limit=_PREVIEW_HTML_OCTETS)[0]))
            if line:
                return line
    return ""


def words_of_html(markup: str) -> tuple[str, bool]:
    """What of HTML a person would read, one line for each piece of it, and whether that is all of it."""
    visible = _UNSEEN.sub(" ", markup)
    lines = (" ".join(line.split()) for line in _html_text(visible, "\n").split("\n"))
    return "\n".join(line for line in lines if line), len(visible) <= _PREVIEW_TREE_OCTETS


def _one_line(text: str) -> str:
    return " ".join(text.split())[:PREVIEW_CHARACTERS].rstrip()


def _html_text(markup: str, separator: str = " ") -> str:
    visible = _UNSEEN.sub(" ", markup)[:_PREVIEW_TREE_OCTETS]
    try:
        body = LexborHTMLParser(visible).body
    except (SelectolaxError, ValueError):
        return ""
    return body.text(separator=separator) if body is not None else ""
