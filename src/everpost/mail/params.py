"""Structured MIME values: a token with parameters (RFC 2045 §5.1, RFC 2183, RFC 2231), read tolerantly."""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from everpost.mail.charset import clean, decode_loosely
from everpost.mail.words import decode_words

_LIMIT: Final = 65536
_LIMIT_PARAMETERS: Final = 200
_CACHED_OCTETS: Final = 200
_FILE_NAMES = frozenset(("name", "filename"))

_COMMENT = r"\((?:[^()\\]|\\.)*+\)"
_TYPE = re.compile(
    rf"\s*+(?:{_COMMENT}\s*+)?+([^\s/;()]++)\s*+(?:{_COMMENT}\s*+)?+/\s*+(?:{_COMMENT}\s*+)?+([^\s;()/]++)", re.DOTALL
)
_WORD = re.compile(rf"\s*+(?:{_COMMENT}\s*+)?+([^\s;()]++)", re.DOTALL)
_PARAMETER = re.compile(
    rf"[\s;]*+(?:{_COMMENT}\s*+)?+([^\s=;\"()]++)\s*+(?:{_COMMENT}\s*+)?+"
    rf"=\s*+(?:{_COMMENT}\s*+)?+(?:\"((?:[^\"\\]|\\.)*+)\"?+|([^;\r\n]*+(?:\r?\n[ \t][^;=\r\n]*+(?=[;\r]|\Z))*+))",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_FOLD = re.compile(r"\r?\n")
_CONTINUED = re.compile(r"([^*]++)\*(\d{1,3})(\*?)\Z")


class Parameters(NamedTuple):
    """`value` is the lower-case token ("text/plain", "attachment"; "" where it cannot be read); `items` the
    parameters in order, names in lower case, values decoded, the first of two equal names.
    """

    value: str
    items: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """The value of the parameter with this lower-case name."""
        for key, value in self.items:
            if key == name:
                return value
        return None


def content_type(raw: bytes) -> Parameters:
    """The value of a Content-Type field. Something without a subtype gives "" (RFC 2045 §5.2 then applies)."""
    return _cached_type(raw) if len(raw) <= _CACHED_OCTETS else _read(raw, True)


def disposition(raw: bytes) -> Parameters:
    """The value of a Content-Disposition (RFC 2183) or another field that is a token with parameters."""
    return _cached_word(raw) if len(raw) <= _CACHED_OCTETS else _read(raw, False)


@functools.lru_cache(maxsize=1024)
def _cached_type(raw: bytes) -> Parameters:
    return _read(raw, True)


@functools.lru_cache(maxsize=1024)
def _cached_word(raw: bytes) -> Parameters:
    return _read(raw, False)


def _read(raw: bytes, is_type: bool) -> Parameters:
    # Latin-1 keeps every octet, so that a boundary can be turned back into exactly what was written.
    text = raw[:_LIMIT].decode("latin-1")
    head = (_TYPE if is_type else _WORD).match(text)
    if head is None:
        value, position = "", max(text.find(";"), 0)
    else:
        value, position = "/".join(head.groups()), head.end()
        value = (value if value.isascii() else _octets_to_text(value)).lower()
    if "=" not in text:
        return Parameters(clean(value), ())
    return Parameters(clean(value), _parameters(text, position))


def _parameters(text: str, position: int) -> tuple[tuple[str, str], ...]:
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for _ in range(_LIMIT_PARAMETERS):
        match = _PARAMETER.match(text, position)
        if match is None:
            position = text.find(";", position) + 1
            if not position:
                break
            continue
        position = match.end()
        name = (match[1] if match[1].isascii() else _octets_to_text(match[1])).lower()
        value = _value(name, match[2], match[3])
        continued = _CONTINUED.match(name)
        if continued is not None:
            pieces.setdefault(continued[1], {}).setdefault(int(continued[2]), (value, bool(continued[3])))
        elif name.endswith("*"):
            pieces.setdefault(name[:-1], {}).setdefault(0, (value, True))
        elif name:
            plain.setdefault(name, value)
    # What RFC 2231 says wins over the plain form that was put there for old readers.
    result = {name: _plain_text(name, value) for name, value in plain.items()}
    for name, numbered in pieces.items():
        result[name] = _joined(numbered)
    return tuple(result.items())


def _value(name: str, quoted: str | None, bare: str | None) -> str:
    if quoted is not None:
        value = _FOLD.sub("", quoted)
        if "\\" not in value or (name in _FILE_NAMES and not value.isascii()):
            # In Shift_JIS and Big5 the octet of a backslash is half of a character.
            return value
        return _ESCAPED.sub(r"\1", value)
    assert bare is not None
    value = _FOLD.sub("", bare).strip()
    if name in _FILE_NAMES:  # often unquoted although there are spaces in it
        return value
    return value.split(None, 1)[0].split("(", 1)[0] if value else ""


def _plain_text(name: str, value: str) -> str:
    if name == "boundary":
        return value
    if "=?" in value or not value.isascii():
        return clean(decode_words(_octets_to_text(value)))
    return clean(value)


def _joined(numbered: dict[int, tuple[str, bool]]) -> str:
    """Continuations of RFC 2231 §3 with their charset (§4) in the first of them."""
    charset: str | None = None
    octets: list[bytes] = []
    for number in sorted(numbered):
        value, encoded = numbered[number]
        if encoded and number == min(numbered) and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        raw = value.encode("latin-1", "replace")
        octets.append(unquote_to_bytes(raw) if encoded else raw)
    joined = decode_loosely(b"".join(octets), charset or None)
    return clean(decode_words(joined) if "=?" in joined else joined)


def _octets_to_text(value: str) -> str:
    return decode_loosely(value.encode("latin-1", "replace"))
