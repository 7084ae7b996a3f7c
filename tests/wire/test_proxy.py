"""The PROXY protocol's header."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.wire.smtp.proxy import MAX_V2_PAYLOAD, ProxyError, ProxyHeader, parse_proxy

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload)) + payload


V4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 1234, 25)
V6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    + struct.pack("!HH", 65535, 25)
)
GOOD = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\n", ProxyHeader("192.0.2.1", 1234, "198.51.100.2", 25)),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 65535 25\r\n", ProxyHeader("2001:db8::1", 65535, "2001:db8::2", 25)),
    (b"PROXY UNKNOWN\r\n", ProxyHeader()),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ProxyHeader()),
    (v2(0x21, 0x11, V4), ProxyHeader("192.0.2.1", 1234, "198.51.100.2", 25)),
    (v2(0x21, 0x11, V4 + b"\x04\x00\x01x"), ProxyHeader("192.0.2.1", 1234, "198.51.100.2", 25)),
    (v2(0x21, 0x21, V6), ProxyHeader("2001:db8::1", 65535, "2001:db8::2", 25)),
    (v2(0x20, 0x00, b""), ProxyHeader()),
    (v2(0x20, 0x11, V4), ProxyHeader()),
]


@pytest.mark.parametrize(("octets", "header"), GOOD)
def test_good_headers_at_every_cut(octets: bytes, header: ProxyHeader) -> None:
    for size in range(len(octets)):
        assert parse_proxy(octets[:size]) is None
    assert parse_proxy(octets + b"EHLO x\r\n") == (header, len(octets))
    assert header.is_local == (header.source is None)


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 01234 25\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n",
        b"PROXY TCP5 a b 1 2\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.1\xff 198.51.100.2 1 2\r\n",
        b"PROXY " + b"x" * 101,
        b"PROXY  TCP4 192.0.2.1 1.1.1.1 1 2\r\n",
        v2(0x31, 0x11, V4),
        v2(0x22, 0x11, V4),
        v2(0x21, 0x12, V4),
        v2(0x21, 0x11, V4[:-1]),
        v2(0x21, 0x21, V4),
        v2(0x21, 0x11, V4 + b"x" * MAX_V2_PAYLOAD),
    ],
)
def test_bad_headers(octets: bytes) -> None:
    with pytest.raises(ProxyError):
        parse_proxy(octets)


@given(
    st.binary(max_size=200)
    | st.binary(max_size=200).map(lambda b: SIGNATURE + b)
    | st.binary().map(lambda b: b"PROXY " + b)
)
def test_random_octets(octets: bytes) -> None:
    try:
        result = parse_proxy(octets)
    except ProxyError:
        return
    assert result is None or 0 < result[1] <= len(octets)
