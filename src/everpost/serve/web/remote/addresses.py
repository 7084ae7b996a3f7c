"""Addresses of the proxy: each is signed for one mailbox and one day, so that nobody makes us fetch what they like."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from everpost.standby.values import Account

MAX_URL: Final = 2000
"""Characters of an address that is fetched; longer ones stay blocked."""
LIFETIME_S: Final = 2 * 86_400
_DAY_S: Final = 86_400
_MAC_OCTETS: Final = 18


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with HMAC-SHA-256 (RFC 2104). `key` is the same in all processes of an installation."""

    key: bytes

    def address(self, account: Account, url: str, now: float) -> str | None:
        """Where `url` is to be had for this mailbox; None where it is too long to be fetched.

        The same all day long, so that a browser may keep what came. Runs out after one to two days.
        """
        if len(url) > MAX_URL:
            return None
        expires = int(now // _DAY_S) * _DAY_S + LIFETIME_S
        return f"/proxy/{expires}/{_encode(self._mac(account, expires, url))}/{_encode(url.encode('utf-8', 'replace'))}"

    def url(self, account: Account, expires: str, mac: str, url: str, now: float) -> str | None:
        """What an address of ours stands for; None where it is not ours, not this mailbox's, or too old."""
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 12) or len(url) > 6 * MAX_URL:
            return None
        try:
            plain, given = _decode(url).decode("utf-8"), _decode(mac)
        except ValueError:
            return None
        good = hmac.compare_digest(given, self._mac(account, int(expires), plain))
        return plain if good and now < int(expires) else None

    def _mac(self, account: Account, expires: int, url: str) -> bytes:
        text = f"{account.organisation_id} {account.mailbox_id} {expires} {url}"
        return hmac.digest(self.key, text.encode("utf-8", "replace"), hashlib.sha256)[:_MAC_OCTETS]


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def _decode(text: str) -> bytes:
    """Raises `ValueError`."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
