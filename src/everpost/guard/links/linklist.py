"""Lists of addresses, to be blocked or allowed: exact addresses, beginnings of addresses, domains, IP addresses.

A list keeps 8 octets per entry: what is asked about is known to the one who asks, so only a keyed hash of it need be
stored. The key is fresh for each list, so that nobody can compute an address that meets an entry by its hash.
"""

from __future__ import annotations

import ipaddress
import secrets
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from everpost.guard.links.normalise import Address, ascii_host, has_scheme, ip_of, is_public_suffix, parse

MAX_LABELS: Final = 10
MAX_SEGMENTS: Final = 12
_IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class EntryKind(StrEnum):
    """What an entry covers."""

    URL = "url"  # this address, whatever its scheme and fragment
    PREFIX = "prefix"  # all addresses of this host and port whose path begins so, at a slash
    DOMAIN = "domain"  # this domain and all below it
    NETWORK = "network"  # hosts that are IP addresses within it


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry in its normal form, e.g. (DOMAIN, "evil.example"), (NETWORK, "192.0.2.0/24")."""

    kind: EntryKind
    value: str


@dataclass(frozen=True, slots=True)
class Match:
    """Which entry of which list covers an address."""

    list_name: str
    kind: EntryKind
    value: str


class BadEntry(ValueError):
    """What is written is no address, domain or network; the message says why."""


def read_entry(text: str) -> Entry:
    """An entry as lists write them; raises `BadEntry`.

    `http://h/p` is an address, `http://h/p*` and `h/p` beginnings, `h`, `*.h`, `.h` and `||h^` domains, `192.0.2.1`
    and `192.0.2.0/24` networks. An address on a host alone, without scheme, is a domain. A public suffix is refused.
    """
    text = text.strip()
    if not text or len(text) > 8192:
        raise BadEntry("empty or longer than 8,192 characters")
    if text.startswith("||"):
        text = text[2:].partition("^")[0]
    network = _network(text)
    if network is not None:
        return Entry(EntryKind.NETWORK, str(network))
    if has_scheme(text) and "://" in text:
        return _address_entry(text, EntryKind.PREFIX if text.endswith("*") else EntryKind.URL)
    text = text.removeprefix("*").removeprefix(".")
    if text.rstrip("/*").find("/") > 0:
        return _address_entry(f"http://{text}", EntryKind.PREFIX)
    return _domain_entry(text.rstrip("/*"))


def _network(text: str) -> _IpNetwork | None:
    try:
        network = ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
    if network.prefixlen < (8 if network.version == 4 else 16):
        raise BadEntry(f"{text[:60]} covers too much")
    return network


def _address_entry(text: str, kind: EntryKind) -> Entry:
    address = parse(text.rstrip("*"))
    if address is None or not address.host or "." not in address.host + address.path:
        raise BadEntry(f"{text[:60]!r} is no address")
    key = _key(address)
    return Entry(kind, key if kind is EntryKind.URL else key.partition("?")[0].rstrip("/"))


def _domain_entry(text: str) -> Entry:
    address = parse(f"http://{text}/")
    if address is None or "." not in address.host or address.path != "/" or " " in text or "@" in text:
        raise BadEntry(f"{text[:60]!r} is no domain")
    if address.is_ip:
        return Entry(EntryKind.NETWORK, str(ipaddress.ip_network(address.host)))
    if is_public_suffix(address.host):
        raise BadEntry(f"{text[:60]!r} is a public suffix: nobody's own")
    return Entry(EntryKind.DOMAIN, ascii_host(address.host))


def _key(address: Address) -> str:
    port = "" if address.port is None else f":{address.port}"
    query = f"?{address.query}" if address.query else ""
    return f"{address.host}{port}{address.path}{query}"


class LinkList:
    """A list that does not change. Raises `BadEntry` nowhere: its entries have been read.

    Memory: 8 octets per different entry; while it is made, about 45. One question costs 5–25 µs.
    """

    def __init__(self, name: str, entries: Iterable[Entry]) -> None:
        self.name = name
        self._secret = secrets.token_bytes(16)
        self._lengths: set[tuple[int, int]] = set()  # (IP version, prefix length) of the networks
        hashes = array("Q")
        for entry in entries:
            if entry.kind is EntryKind.NETWORK:
                network = ipaddress.ip_network(entry.value)
                self._lengths.add((network.version, network.prefixlen))
            hashes.append(self._hash(entry))
        ordered = sorted(set(hashes))
        self._hashes = array("Q", ordered)

    def __len__(self) -> int:
        return len(self._hashes)

    def match(self, url: str) -> Match | None:
        """The entry that covers an address: the most exact one. None where there is none or `url` is no address."""
        address = parse(url)
        return self.match_address(address) if address is not None and address.host else None

    def match_address(self, address: Address) -> Match | None:
        """As `match`, for what has been parsed."""
        for entry in self._covering(address):
            if self._has(entry):
                return Match(self.name, entry.kind, entry.value)
        return None

    def _covering(self, address: Address) -> Iterator[Entry]:
        """Every entry that would cover the address, the most exact first."""
        yield Entry(EntryKind.URL, _key(address))
        port = "" if address.port is None else f":{address.port}"
        path = address.path.rstrip("/")
        for _ in range(MAX_SEGMENTS):
            if not path:
                break
            yield Entry(EntryKind.PREFIX, f"{address.host}{port}{path}")
            path = path.rpartition("/")[0]
        ip = ip_of(address.host)
        if ip is not None:
            for version, length in sorted(self._lengths, reverse=True):
                if version == ip.version:
                    yield Entry(EntryKind.NETWORK, str(ipaddress.ip_network((ip, length), strict=False)))
            return
        labels = address.host.split(".")
        for at in range(max(0, len(labels) - MAX_LABELS), len(labels) - 1):
            yield Entry(EntryKind.DOMAIN, ".".join(labels[at:]))

    def _hash(self, entry: Entry) -> int:
        text = f"{entry.kind[0]}{entry.value}".encode("utf-8", "replace")
        return int.from_bytes(blake2b(text, digest_size=8, key=self._secret).digest(), "big")

    def _has(self, entry: Entry) -> bool:
        wanted = self._hash(entry)
        at = bisect_left(self._hashes, wanted)
        return at < len(self._hashes) and self._hashes[at] == wanted
