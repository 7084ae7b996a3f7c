"""Links of digest mails: each is signed for one mailbox, one message and one thing to do, and runs out. Pure."""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Final

from everpost.standby.values import Account

LIFETIME_S: Final = 2 * 86_400
PATH: Final = "/quarantine/"
_CLAIM: Final = struct.Struct(">QQQIB")
_MAC_OCTETS: Final = 24
_MAX_TOKEN: Final = 200


class Deed(enum.StrEnum):
    """What a link does, once its page's button is pressed."""

    RELEASE = "release"
    ASK = "ask"  # for release
    ALLOW = "allow"  # the sender
    DENY = "deny"


_CODES: Final = {deed: code for code, deed in enumerate(Deed, 1)}
_DEEDS: Final = {code: deed for deed, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Claim:
    """What a link stands for; `expires` in seconds since 1970."""

    account: Account
    message_id: int
    deed: Deed
    expires: int

    def is_over(self, now: float) -> bool:
        return now >= self.expires


@dataclass(frozen=True, slots=True)
class DigestLinks:
    """Signs with HMAC-SHA-256 (RFC 2104). `key` is the same in all processes; `base_url` is how people reach us."""

    key: bytes
    base_url: str

    def address(self, account: Account, message_id: int, deed: Deed, now: float) -> str:
        """The link, which lives for `LIFETIME_S`."""
        expires = int(now) + LIFETIME_S
        packed = _CLAIM.pack(account.organisation_id, account.mailbox_id, message_id, expires, _CODES[deed])
        return f"{self.base_url}{PATH}{_encode(packed + self._mac(packed))}"

    def read(self, token: str) -> Claim | None:
        """What the end of a link of ours stands for, also of one that is over; None where it is not ours."""
        if len(token) > _MAX_TOKEN or not token.isascii():
            return None
        try:
            octets = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except binascii.Error:
            return None
        packed, mac = octets[: _CLAIM.size], octets[_CLAIM.size :]
        if not hmac.compare_digest(mac, self._mac(packed)) or _encode(octets) != token:
            return None
        organisation_id, mailbox_id, message_id, expires, code = _CLAIM.unpack(packed)
        deed = _DEEDS.get(code)
        return None if deed is None else Claim(Account(organisation_id, mailbox_id), message_id, deed, expires)

    def _mac(self, packed: bytes) -> bytes:
        return hmac.digest(self.key, packed, hashlib.sha256)[:_MAC_OCTETS]


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")
