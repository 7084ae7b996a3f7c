"""Addresses brought to one form: parsed as browsers do (WHATWG URL), then RFC 3986 §6.2.2 for what that leaves open."""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import Final
from urllib.parse import urljoin

import can_ada
from publicsuffixlist import PublicSuffixList

MAX_URL: Final = 8192
"""Characters of an address; what is longer is cut, so that its host is still known."""
WEB_SCHEMES: Final = frozenset(("http", "https", "ftp"))
MAX_SHAPE: Final = 200
_idna_decode: Callable[[bytes], str] = can_ada.idna_decode  # type: ignore[assignment]  # its stub says str
_OPAQUE_KEPT = 200  # of data: and javascript:, enough to show

_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
_TORN = re.compile(r"%[0-9A-F]?\Z")
_LONE = re.compile("[\ud800-\udfff]")
_C0_OR_SPACE = "".join(map(chr, range(33)))
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,31}:")
_SHAPE_TOKEN = re.compile(r"[^\W_]+")
_EXTENSION = re.compile(r"\.([A-Za-z]{2,5}|7z|mp[34])\Z")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}\Z")
INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]+"
)
"""Characters that show nothing and that an address in earnest does not have."""


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed address. `host` is lower case, in punycode, without brackets and last dot; `port` None where default.

    `url` is the normalised whole without userinfo, which no server sees and which only hides the host.
    `userinfo` is what stood there ("" where nothing did).
    """

    url: str
    scheme: str
    host: str
    port: int | None
    path: str
    query: str
    fragment: str
    userinfo: str

    @property
    def is_web(self) -> bool:
        return self.scheme in WEB_SCHEMES and bool(self.host)

    @property
    def is_ip(self) -> bool:
        return ":" in self.host or _IPV4.match(self.host) is not None


def parse(raw: str, base: str = "") -> Address | None:
    """An address as a browser would open it, `base` being the absolute one that a relative one counts from.

    None for what no browser takes for an address. Never raises; cost is bounded by `MAX_URL`.
    """
    text = raw.lstrip(_C0_OR_SPACE)[:MAX_URL].rstrip(_C0_OR_SPACE)
    if not text.isascii():
        text = _LONE.sub("\ufffd", text)
    try:
        parsed = can_ada.parse(urljoin(base, text.replace("\\", "/")) if base else text)
    except ValueError:
        return None
    address = _address(parsed)
    return address if address.host or address.scheme not in WEB_SCHEMES else None


def normalise(raw: str, base: str = "") -> str | None:
    """The normalised form of an address (`Address.url`); None where it is none."""
    address = parse(raw, base)
    return address.url if address is not None else None


def has_scheme(raw: str) -> bool:
    """Whether it begins with a scheme (RFC 3986 §3.1)."""
    return _SCHEME.match(raw) is not None


def _address(parsed: can_ada.URL) -> Address:
    scheme = parsed.protocol[:-1]
    host = parsed.hostname.strip("[]").rstrip(".")
    userinfo = parsed.username + (":" + parsed.password if parsed.password else "")
    if scheme not in WEB_SCHEMES and not host:
        return Address(parsed.href[:_OPAQUE_KEPT], scheme, "", None, parsed.pathname[:_OPAQUE_KEPT], "", "", "")
    port = int(parsed.port) if parsed.port else None
    path, query, fragment = map(_decode_unreserved, (parsed.pathname, parsed.search, parsed.hash))
    shown_host = f"[{host}]" if ":" in host else host
    authority = shown_host if port is None else f"{shown_host}:{port}"
    url = f"{scheme}://{authority}{path}{query}{fragment}"
    if len(url) > MAX_URL:  # encoding has made it longer
        url = _TORN.sub("", url[:MAX_URL])
    return Address(url, scheme, host, port, path, query[1:], fragment[1:], userinfo)


def _decode_unreserved(text: str) -> str:
    return _ENCODED.sub(_decoded, text) if "%" in text else text


def _decoded(match: re.Match[str]) -> str:
    letter = chr(int(match.group()[1:], 16))
    return letter if letter in _UNRESERVED else match.group().upper()


# --------------------------------------------------------------------- domains


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@cache
def _known_suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


@lru_cache(maxsize=16_384)
def registered_domain(host: str) -> str | None:
    """What somebody has registered: one label below the public suffix (publicsuffix.org, with its private part).

    None for an IP address and for a public suffix itself.
    """
    if ":" in host or _IPV4.match(host):
        return None
    found = _suffixes().privatesuffix(host.lower().rstrip("."))
    return found if isinstance(found, str) else None


@lru_cache(maxsize=16_384)
def has_known_suffix(host: str) -> bool:
    """Whether the host lies below a suffix that is on the list; `readme.txt` does not."""
    return _known_suffixes().privatesuffix(ascii_host(host)) is not None


@cache
def _icann_suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


def is_icann_registered(domain: str) -> bool:
    """Whether a registered domain is one of the registries, not one that a hosting company gives out."""
    return bool(_icann_suffixes().privatesuffix(domain) == domain)


def is_public_suffix(host: str) -> bool:
    """Whether nobody owns this name: `com`, `co.uk`, `github.io`."""
    return ":" not in host and not _IPV4.match(host) and registered_domain(host) is None


def unicode_host(host: str) -> str:
    """The host as people read it, punycode undone."""
    return _idna_decode(host.encode("ascii")) if host.isascii() and "xn--" in host else host


def ascii_host(host: str) -> str:
    """The host in lower case and punycode; as it is where it cannot be encoded."""
    lowered = host.lower().rstrip(".")
    if lowered.isascii():
        return lowered
    return can_ada.idna_encode(_LONE.sub("\ufffd", lowered)).decode("ascii", "replace") or lowered


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host is; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


# ----------------------------------------------------------------------- shape


def path_shape(url: str) -> str:
    """Path and query of an address with what differs from message to message taken out, at most 200 characters.

    Words become `a`, numbers `9`, a word with a number behind it `a9`, other mixtures (tokens) `x`; the file's
    extension stays. `/est/veniam-20391.zip?u=77` and `/quo/autem-4.zip?u=1` are both `/a/a-9.zip?a=9`.
    """
    address = parse(url)
    if address is None or not address.host:
        return ""
    extension = _EXTENSION.search(address.path)
    tail = extension.group().lower() if extension else ""
    path = address.path[: len(address.path) - len(tail)]
    query = "?" + address.query if address.query else ""
    return (_shape(path[:2048]) + tail + _shape(query[:2048]))[:MAX_SHAPE]


def _shape(text: str) -> str:
    return _SHAPE_TOKEN.sub(_token_shape, _ENCODED.sub("a", text))


def _token_shape(match: re.Match[str]) -> str:
    kinds = "".join("9" if digit else "a" for digit, _ in groupby(match.group(), str.isdecimal))
    return kinds if kinds in ("a", "9", "a9") else "x"
