"""The xtext encoding of SMTP parameters (RFC 3461 §4) and address types of reports (RFC 6533 §3)."""

from __future__ import annotations

import re

_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b"+=")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_HEX = re.compile(r"\+([0-9A-F]{2})")


def encode_xtext(text: str) -> str:
    """Text as xtext; what is not printable ASCII becomes "+" and two digits for each octet of its UTF-8."""
    return "".join(chr(octet) if octet in _PLAIN else f"+{octet:02X}" for octet in text.encode("utf-8", "replace"))


def decode_xtext(text: str) -> str | None:
    """What xtext stands for; None where it is malformed or not UTF-8."""
    if _XTEXT.match(text) is None:
        return None
    try:
        octets = _HEX.sub(lambda match: chr(int(match[1], 16)), text).encode("latin-1")
        return octets.decode("utf-8")
    except UnicodeError:
        return None
