"""The addresses of ours that stand for links on delivery copies."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from everpost.guard.links.clicks import ClickKey, sign_click
from everpost.guard.links.normalise import parse

DAYS = 365
"""How long such an address leads on."""


@dataclass(frozen=True, slots=True)
class ClickAddresses:
    """Makes them. `base` is where our own pages are, without a final slash; `own_hosts` are left alone."""

    base: str
    key: ClickKey
    own_hosts: frozenset[str] = frozenset()
    days: int = DAYS

    def address(self, organisation_id: int, message_id: int, now: float, url: str) -> str | None:
        """What stands for `url` in a message; None where it stays: our own, and what is too long."""
        target = parse(url)
        if target is None or target.host in self.own_hosts or target.host == urlsplit(self.base).hostname:
            return None
        try:
            token = sign_click(self.key, organisation_id, message_id, url, now + self.days * 86_400)
        except ValueError:
            return None
        return f"{self.base}/click/{token}"


def click_key(octets: bytes, number: int = 1) -> ClickKey:
    """The key of an installation; `octets` are derived from its master key."""
    return ClickKey(number, octets)
