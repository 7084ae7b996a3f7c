"""Addresses of the SMTP envelope (RFC 5321 §4.1.2, RFC 6531 §3.3), never those of header fields."""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass

MAX_LOCAL_OCTETS = 64  # RFC 5321 §4.5.3.1.1
MAX_DOMAIN_OCTETS = 255  # RFC 5321 §4.5.3.1.2
MAX_PATH_OCTETS = 256  # RFC 5321 §4.5.3.1.3, punctuation included

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
_QUOTED_STRING = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*)"\Z')
_LABEL = re.compile(r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9\-\u0080-\U0010ffff]*[A-Za-z0-9\u0080-\U0010ffff])?\Z")


class AddressError(ValueError):
    """The text is no address of an SMTP envelope. The message is fit to be shown to the sender."""


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """One mailbox of an envelope, as it was written (the local part unquoted). Compare by `key`.

    The local part's case is kept because its owner may care (RFC 5321 §2.4); we ourselves do not.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `local@domain` without angle brackets; raises `AddressError`."""
        return _parse(text)

    @property
    def key(self) -> str:
        """What two spellings of one mailbox have in common: lower case, domain in A-labels."""
        return f"{self.local.lower()}@{domain_key(self.domain)}"

    @property
    def is_ascii(self) -> bool:
        """Whether it can be sent to a server without SMTPUTF8 (a domain can always be, as A-labels)."""
        return self.local.isascii()

    def __str__(self) -> str:
        local = self.local
        if not _DOT_STRING.match(local):
            escaped = local.replace("\\", "\\\\").replace('"', '\\"')
            local = f'"{escaped}"'
        return f"{local}@{self.domain}"


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    if not text:
        raise AddressError("empty address")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PATH_OCTETS - 2:
        raise AddressError("address longer than 254 octets")
    local_text, at, domain = text.rpartition("@")
    if not at:
        raise AddressError("address without a domain")
    local = _read_local(local_text)
    if domain.startswith("["):
        _check_literal(domain)
    else:
        _check_domain(domain)
    return Address(local, domain)


def _read_local(text: str) -> str:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_LOCAL_OCTETS:
        raise AddressError("local part longer than 64 octets")
    if _DOT_STRING.match(text):
        return text
    quoted = _QUOTED_STRING.match(text)
    if quoted is None:
        raise AddressError("malformed local part")
    return re.sub(r"\\(.)", r"\1", quoted.group(1))


def _check_domain(domain: str) -> None:
    labels = domain.split(".")
    if not all(len(label) <= 63 and _LABEL.match(label) for label in labels):
        raise AddressError("malformed domain")
    try:
        encoded = domain_key(domain)
    except UnicodeError as error:
        raise AddressError("domain is not valid in IDNA") from error
    if len(encoded) > MAX_DOMAIN_OCTETS:
        raise AddressError("domain longer than 255 octets")


def _check_literal(literal: str) -> None:
    """Address literals of RFC 5321 §4.1.3."""
    if not literal.endswith("]"):
        raise AddressError("malformed address literal")
    inner = literal[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(inner[5:])
        else:
            ipaddress.IPv4Address(inner)
    except ValueError as error:
        raise AddressError("malformed address literal") from error


@functools.lru_cache(maxsize=4096)
def domain_key(domain: str) -> str:
    """A domain in lower case with U-labels written as A-labels; raises `UnicodeError` where IDNA forbids it."""
    if domain.isascii():
        return domain.lower()
    return domain.encode("idna").decode("ascii").lower()
