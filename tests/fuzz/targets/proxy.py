"""The PROXY header: an answer, a wait for a bounded number of octets, or `ProxyError`."""

from __future__ import annotations

from everpost.wire.smtp.proxy import MAX_V2_PAYLOAD, ProxyError, parse_proxy

SEEDS: list[bytes] = [
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 25\r\nEHLO x\r\n",
    b"PROXY TCP6 2001:db8::1 2001:db8::2 65535 25\r\n",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x04\xd2\0\x19",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes(36),
    b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0",
]


def _parse(data: bytes) -> object:
    try:
        return parse_proxy(data)
    except ProxyError as error:
        return str(error)


def run(data: bytes) -> None:
    result = _parse(data)
    if result is None and len(data) > 16 + MAX_V2_PAYLOAD:
        raise AssertionError("asks for more without end")
    if isinstance(result, tuple) and _parse(data[: result[1]]) != result:
        raise AssertionError("the answer depends on what follows the header")
