"""The PROXY protocol header, versions 1 and 2, as a proxy in front of us sends it before anything else.

Only to be read from configured hosts. Specification: HAProxy's proxy-protocol.txt, §2.1 and §2.2.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

MAX_V1_OCTETS = 107
MAX_V2_PAYLOAD = 4096
_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_SIGNATURE = b"PROXY "


class ProxyError(ValueError):
    """No valid header: the connection must be closed without a word."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Who is at the other side of the proxy. All None where the proxy speaks for itself (LOCAL, UNKNOWN)."""

    source: str | None = None
    source_port: int | None = None
    destination: str | None = None
    destination_port: int | None = None

    @property
    def is_local(self) -> bool:
        return self.source is None


def parse_proxy(data: bytes | bytearray) -> tuple[ProxyHeader, int] | None:
    """Read a header from the start of `data`: the header and its length in octets.

    None where more octets are needed; never asks for more than 16 + 4096. Raises `ProxyError`.
    """
    if data[:12] == _V2_SIGNATURE[: len(data[:12])] and data:
        return _parse_v2(bytes(data[: 16 + MAX_V2_PAYLOAD])) if len(data) >= 16 else None
    if data[:6] != _V1_SIGNATURE[: len(data[:6])]:
        raise ProxyError("no PROXY header")
    head = bytes(data[:MAX_V1_OCTETS])
    end = head.find(b"\n")
    if end < 0:
        if len(head) >= MAX_V1_OCTETS:
            raise ProxyError("PROXY header too long")
        return None
    if head[end - 1 : end] != b"\r":
        raise ProxyError("PROXY header ends in a bare LF")
    return _parse_v1(head[: end - 1]), end + 1


def _parse_v1(line: bytes) -> ProxyHeader:
    try:
        words = line.decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyError("PROXY header is not ASCII") from None
    if len(words) >= 2 and words[1] == "UNKNOWN":
        return ProxyHeader()
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyError("malformed PROXY header")
    kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
    try:
        source, destination = str(kind(words[2])), str(kind(words[3]))
    except ValueError:
        raise ProxyError("malformed address in PROXY header") from None
    return ProxyHeader(source, _port(words[4]), destination, _port(words[5]))


def _port(text: str) -> int:
    # Leading zeros are forbidden by the specification.
    if not (text.isascii() and text.isdigit() and len(text) <= 5) or (len(text) > 1 and text[0] == "0"):
        raise ProxyError("malformed port in PROXY header")
    port = int(text)
    if port > 65535:
        raise ProxyError("malformed port in PROXY header")
    return port


def _parse_v2(data: bytes) -> tuple[ProxyHeader, int] | None:
    version_command, family, length = struct.unpack_from("!BBH", data, 12)
    if version_command not in (0x20, 0x21):
        raise ProxyError("unknown version or command in PROXY header")
    if length > MAX_V2_PAYLOAD:
        raise ProxyError("PROXY header too long")
    if len(data) < 16 + length:
        return None
    used = 16 + length
    if version_command == 0x20 or family in (0x00, 0x31, 0x32):
        return ProxyHeader(), used
    if family == 0x11:
        size = 4
    elif family == 0x21:
        size = 16
    else:
        raise ProxyError("unsupported family in PROXY header")
    if length < 2 * size + 4:
        raise ProxyError("PROXY header too short")
    source = str(ipaddress.ip_address(data[16 : 16 + size]))
    destination = str(ipaddress.ip_address(data[16 + size : 16 + 2 * size]))
    source_port, destination_port = struct.unpack_from("!HH", data, 16 + 2 * size)
    return ProxyHeader(source, source_port, destination, destination_port), used
