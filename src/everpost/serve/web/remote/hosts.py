"""Which machines may be asked: those of the public internet, and never ours, our neighbours' or the cloud's."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
RESOLVE_S: Final = 5.0
MAX_ADDRESSES: Final = 20
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
_NEVER: Final = (
    ipaddress.ip_network("168.63.129.16/32"),  # public by its number, the host's own service at a cloud
    ipaddress.ip_network("192.0.0.0/24"),  # RFC 6890: protocol assignments, metadata at a cloud
    ipaddress.ip_network("64:ff9b:1::/48"),  # RFC 8215: translated at will of the local network
    ipaddress.ip_network("2001::/23"),  # RFC 2928: Teredo and other special purposes
    ipaddress.ip_network("::/96"),  # RFC 4291 §2.5.5.1: IPv4 in disguise, long deprecated
    ipaddress.ip_network("fec0::/10"),  # RFC 3879: site-local, deprecated
)


def is_public(address: Address) -> bool:
    """Whether the machine is one of the internet; an IPv4 address inside an IPv6 one is judged as what it is."""
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.scope_id is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a name, as the system finds them; also of a number written in any way. Empty: there are none."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return [ipaddress.ip_address(str(item[4][0])) for item in found[:MAX_ADDRESSES]]
