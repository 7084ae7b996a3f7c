"""Files within plain text, as before MIME: uuencode and yEnc 1.3. Some programs still take them out. Pure, bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from everpost.mail.mime import Part, decode_body

_UUENCODED: Final = re.compile(
    rb"^begin [0-7]{3,4} [^\n]{1,255}\n(?:[ -`]{0,90}\r?\n)+?(?:`?\r?\n)?end\b", re.MULTILINE
)
_YBEGIN: Final = re.compile(
    rb"^=ybegin [^\n]{0,200}?name=([^\r\n]{0,255})\r?\n(?:=ypart [^\n]{0,200}\n)?", re.MULTILINE
)
_YEND: Final = b"\n=yend"
_ESCAPED: Final = re.compile(rb"=(.)", re.DOTALL)
_SHIFTED: Final = bytes((code - 42) % 256 for code in range(256))
_MOST: Final = 50  # files in one text


def files_within(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and octets of each file."""
    yield from _uuencoded(text)
    yield from _yencoded(text)


def _uuencoded(text: bytes) -> Iterator[tuple[str, bytes]]:
    if b"begin " not in text:
        return
    for match in _UUENCODED.finditer(text):
        content = decode_body(text, Part("", "", 0, match.start(), match.end(), encoding="x-uuencode"))
        yield match[0].split(b"\n")[0].split(b" ", 2)[2].strip().decode("utf-8", "replace"), content


def _yencoded(text: bytes) -> Iterator[tuple[str, bytes]]:
    if b"=ybegin " not in text:
        return
    end = 0
    for _ in range(_MOST):
        begin = _YBEGIN.search(text, end)
        if begin is None:
            return
        end = text.find(_YEND, begin.end() - 1)
        end = len(text) if end < 0 else end
        body = text[begin.end() : end].replace(b"\r", b"").replace(b"\n", b"")
        plain = _ESCAPED.sub(lambda escaped: bytes(((escaped[1][0] - 64) % 256,)), body)
        yield begin[1].strip().decode("utf-8", "replace"), plain.translate(_SHIFTED)
