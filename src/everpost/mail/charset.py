"""Charsets of messages: a closed table of codecs, and decoding that always gives text fit to be stored.

Python's own codec registry is never asked with a name a stranger chose: it remembers every unknown name for
ever, looks for it on disk, and knows codecs that take quadratic time (punycode, idna).
"""

from __future__ import annotations

import codecs
import encodings.aliases
import re
import unicodedata

import cchardet

_DETECT_OCTETS = 65536
_REFUSED = frozenset(
    ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "charmap")
)
# What a sender calls these is, in practice, the larger set (WHATWG Encoding Standard §4.2).
_LARGER = {
    "ascii": "cp1252",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
}
_MORE_NAMES = {
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "ks_c_5601_1987": "cp949",
    "x_sjis": "cp932",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "x_mac_roman": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
    "unicode_1_1_utf_7": "utf_7",
    "x_unicode_2_0_utf_7": "utf_7",
    "unicode_1_1_utf_8": "utf_8",
    "utf": "utf_8",
    "utf8mb4": "utf_8",
    "iso_2022_jp_ms": "iso2022_jp_ext",
}
_CODE_PAGES = (*range(1250, 1259), *(437, 850, 852, 855, 857, 858, 860, 861, 862, 863, 865, 866, 869, 874))
_NAME = re.compile(r"[^a-z0-9]+")
# Control characters have no meaning in a header's text; NUL cannot be stored; a lone surrogate (UTF-7 gives
# them) cannot be encoded again. Line feed and tab stay for bodies.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_FOREIGN = re.compile("[\x80-\U0010ffff]")
_SUSPECT = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")


def _key(name: str) -> str:
    return _NAME.sub("_", name.lower()).strip("_")


def _build_table() -> dict[str, str]:
    table: dict[str, str] = {}
    for alias, target in encodings.aliases.aliases.items():
        if target not in _REFUSED and not target.endswith("_codec"):
            table[_key(alias)] = table[_key(target)] = target
    for number in (*_CODE_PAGES, 932, 936, 949, 950):
        for prefix in ("windows_", "cp", "cp_", "ibm", "x_cp", "win_", "win"):
            table.setdefault(f"{prefix}{number}", f"cp{number}")
    for number in (*range(1, 12), *range(13, 17)):
        for prefix in ("iso_8859_", "iso8859_", "iso8859", "iso_8859"):
            table.setdefault(f"{prefix}{number}", f"iso8859_{number}")
    return {alias: _LARGER.get(target, target) for alias, target in table.items()} | _MORE_NAMES


_TABLE = _build_table()


def codec_of(charset: str | None) -> str | None:
    """The Python codec that reads a declared charset; None where it is unknown (or no charset of text)."""
    if charset is None or len(charset) > 64:
        return None
    return _TABLE.get(charset.lower()) or _TABLE.get(_key(charset))


def clean(text: str, *, keep_lines: bool = False) -> str:
    """Text without control characters and lone surrogates; line feeds and tabs stay only with `keep_lines`."""
    if text.isprintable():
        return text
    if _SUSPECT.search(text):
        text = _UNFIT.sub("", text)
    if keep_lines:
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    return text.replace("\r", "").replace("\n", "").replace("\t", " ")


def decode_loosely(raw: bytes, charset: str | None = None) -> str:
    """Octets of a header as text, never failing: the declared charset, then UTF-8, then windows-1252.

    Where a known charset was declared and only some octets do not fit it, they become U+FFFD.
    The text may still hold control characters (see `clean`).
    """
    codec = codec_of(charset)
    if codec is not None and codec != "cp1252":
        try:
            return raw.decode(codec)
        except ValueError:
            pass
    try:
        return raw.decode("utf-8") if codec != "cp1252" or charset in _OPEN_NAMES else raw.decode("cp1252")
    except ValueError:
        return raw.decode(codec or "cp1252", "replace")


# Declared (or implied) by software that did not look at the text at all.
_OPEN_NAMES = frozenset((None, "us-ascii", "ascii", "US-ASCII"))


def decode_body_text(raw: bytes, charset: str | None, *, truncated: bool = False) -> tuple[str, bool]:
    """A body as text, and whether there was a problem (RFC 8621 §4.1.4, isEncodingProblem).

    The order is: the declared charset, UTF-8, damaged UTF-8, what detection says, the declared charset with U+FFFD.
    `truncated` allows the last character to be incomplete.
    """
    problem = False
    if charset is not None and charset.lower() not in ("us-ascii", "ascii"):
        codec = codec_of(charset)
        if codec is not None:
            text = _strictly(raw, codec, truncated)
            if text is not None:
                return text, False
        problem = True
    elif raw.isascii():
        return raw.decode("ascii"), False
    text = _strictly(raw, "utf-8", truncated)
    if text is not None:
        return text, problem or not raw.isascii()
    loose = raw.decode("utf-8", "replace")
    broken = loose.count("\ufffd")
    if len(_FOREIGN.findall(loose)) >= 2 * broken:  # damaged UTF-8: half of what is not ASCII, or more, is right
        return loose, True
    detected = codec_of(cchardet.detect(raw[:_DETECT_OCTETS]).get("encoding"))
    if detected is not None:
        text = _strictly(raw, detected, truncated)
        if text is not None:
            return text, True
    return raw.decode(codec_of(charset) or "cp1252", "replace"), True


def _strictly(raw: bytes, codec: str, truncated: bool) -> str | None:
    try:
        if truncated:
            return codecs.getincrementaldecoder(codec)("strict").decode(raw, False)
        return raw.decode(codec)
    except ValueError:
        return None


def compose(text: str) -> str:
    """Text in Unicode normalisation form C, as JMAP wants header text (RFC 8621 §4.1.2.2)."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
