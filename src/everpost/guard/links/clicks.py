"""Time-of-click addresses: a token that holds the link itself, authenticated, so that opening it needs no look-up.

A token is base64url over: version and flags (1), key number (2), HMAC-SHA256 cut to 128 bits (16), then what is
authenticated: expiry in hours since 1970 (4), organisation and message (variable length), the address, deflated with a
dictionary where that is shorter. What nobody of us has signed does not open, so it is no open redirect. It is not
encrypted: it says nothing that its reader does not have before him.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from everpost.guard.links.normalise import MAX_URL, WEB_SCHEMES, parse

MAX_TOKEN: Final = 8192
"""Characters of a token; browsers and servers take addresses a little longer than that."""
_VERSION = 1
_DEFLATED = 0x80
_TAG_OCTETS = 16
_HEAD_OCTETS = 3
_PURPOSE = b"everpost click v1\0"
_HOUR = 3600
_TOKEN = re.compile(r"[A-Za-z0-9_-]{30,8192}\Z")
# Part of the format: what is common in addresses, the most common last. Changing it is a new version.
_DICTIONARY = (
    b".pdf.zip.aspx.php.html?utm_content=&utm_term=&utm_campaign=newsletter&utm_medium=email&utm_source="
    b"/wp-content/uploads/index.php?id=&token=&redirect=&email=unsubscribe/click?/login/account/track/view"
    b".org/.net/.de/.co.uk/.com/http://www.https://www."
)


@dataclass(frozen=True, slots=True)
class ClickKey:
    """A signing key: a number from 0 to 65535 that tokens name, and at least 32 octets."""

    number: int
    secret: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 0xFFFF or len(self.secret) < 32:
            raise ValueError("a click key has a number below 65536 and at least 32 octets")


@dataclass(frozen=True, slots=True)
class Click:
    """What a token stands for. `expires` in seconds since 1970, a whole hour."""

    organisation: int
    message: int
    url: str
    expires: int


class ClickRefusal(StrEnum):
    """Why a token does not open."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"  # it was made with a key that has been withdrawn
    FORGED = "forged"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Refused:
    """A token that does not open. `click` is there only for one that is ours and has expired."""

    reason: ClickRefusal
    click: Click | None = None


def sign_click(key: ClickKey, organisation: int, message: int, url: str, expires: float) -> str:
    """A token for an http, https or ftp address, good until the full hour after `expires`.

    Raises `ValueError` for another address and where the token would be longer than 8,192 characters.
    """
    address = parse(url)
    if address is None or not address.is_web or len(url) > MAX_URL:
        raise ValueError("only http, https and ftp addresses of at most 8,192 characters can be signed")
    plain = url.encode("utf-8", "replace")
    packer = zlib.compressobj(9, wbits=-15, zdict=_DICTIONARY)
    deflated = packer.compress(plain) + packer.flush()
    shorter = len(deflated) < len(plain)
    hours = min(int(expires // _HOUR) + 1, 0xFFFFFFFF)
    content = hours.to_bytes(4, "big") + _number(organisation) + _number(message) + (deflated if shorter else plain)
    head = bytes([_VERSION | (_DEFLATED if shorter else 0)]) + key.number.to_bytes(2, "big")
    token = base64.urlsafe_b64encode(head + _tag(key, head, content) + content).rstrip(b"=").decode("ascii")
    if len(token) > MAX_TOKEN:
        raise ValueError("the address is too long to be signed")
    return token


def open_click(token: str, keys: Mapping[int, ClickKey], now: float) -> Click | Refused:
    """What a token stands for at `now`; never raises. `keys` are those still accepted, by number."""
    octets = _octets(token)
    if octets is None or octets[0] & ~_DEFLATED != _VERSION:
        return Refused(ClickRefusal.MALFORMED)
    head, tag, content = (
        octets[:_HEAD_OCTETS],
        octets[_HEAD_OCTETS:][:_TAG_OCTETS],
        octets[_HEAD_OCTETS + _TAG_OCTETS :],
    )
    key = keys.get(int.from_bytes(head[1:3], "big"))
    if key is None:
        return Refused(ClickRefusal.UNKNOWN_KEY)
    if not hmac.compare_digest(tag, _tag(key, head, content)):
        return Refused(ClickRefusal.FORGED)
    click = _click(content, deflated=bool(head[0] & _DEFLATED))
    if click is None:
        return Refused(ClickRefusal.MALFORMED)
    return click if now < click.expires else Refused(ClickRefusal.EXPIRED, click)


def _octets(token: str) -> bytes | None:
    if not _TOKEN.match(token):
        return None
    try:
        octets = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    # One token has one spelling: unused bits at the end are zero.
    again = base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
    return octets if again == token and len(octets) > _HEAD_OCTETS + _TAG_OCTETS else None


def _click(content: bytes, *, deflated: bool) -> Click | None:
    """The signed content read; None for what an older or newer version of us may have signed."""
    try:
        hours, rest = int.from_bytes(content[:4], "big"), content[4:]
        organisation, rest = _take_number(rest)
        message, rest = _take_number(rest)
        if deflated:
            rest = zlib.decompressobj(wbits=-15, zdict=_DICTIONARY).decompress(rest, MAX_URL * 4)
        url = rest.decode("utf-8")
    except (IndexError, UnicodeDecodeError, zlib.error):
        return None
    address = parse(url)
    if address is None or address.scheme not in WEB_SCHEMES:
        return None
    return Click(organisation, message, url, hours * _HOUR)


def _tag(key: ClickKey, head: bytes, content: bytes) -> bytes:
    return hmac.digest(key.secret, _PURPOSE + head + content, "sha256")[:_TAG_OCTETS]


def _number(number: int) -> bytes:
    """A length octet and the number in as few octets as it needs; raises `ValueError` below 0 and from 2^64 on."""
    if not 0 <= number < 1 << 64:
        raise ValueError("identifiers are numbers from 0 to 2^64 - 1")
    size = (number.bit_length() + 7) // 8
    return bytes([size]) + number.to_bytes(size, "big")


def _take_number(octets: bytes) -> tuple[int, bytes]:
    size = octets[0]
    return int.from_bytes(octets[1 : 1 + size], "big"), octets[1 + size :]
