"""Slowing down who guesses passwords. Pure but for the clock it is given.

Counted by the client's network, and by client and address together: never by address alone, or anybody could lock
people out of their standby on the very day they need it.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 300.0
FROM_ONE_CLIENT = 60
FOR_ONE_ADDRESS = 10
_REMEMBERED = 50_000


@dataclass(slots=True)
class _Count:
    since: float
    failures: int


class Throttle:
    """Counts failures in this process. A process more multiplies the limits: they stop guessing, not a typing error."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[tuple[str, str], _Count] = OrderedDict()

    def wait_s(self, ip: str, address: str) -> float:
        """How long this client has to wait before another try for this address; 0 for not at all."""
        network = network_of(ip)
        waits = (
            self._wait((network, ""), FROM_ONE_CLIENT),
            self._wait((network, address.lower()), FOR_ONE_ADDRESS),
        )
        return max(waits)

    def failed(self, ip: str, address: str) -> None:
        """A try was wrong."""
        network, now = network_of(ip), self._clock()
        for key in ((network, ""), (network, address.lower()[:320])):
            count = self._counts.pop(key, None)
            if count is None or now - count.since >= WINDOW_S:
                count = _Count(now, 0)
            count.failures += 1
            self._counts[key] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)

    def succeeded(self, ip: str, address: str) -> None:
        """A try was right: what came before were typing errors."""
        self._counts.pop((network_of(ip), address.lower()[:320]), None)

    def _wait(self, key: tuple[str, str], most: int) -> float:
        count = self._counts.get((key[0], key[1][:320]))
        if count is None or count.failures < most:
            return 0.0
        return max(0.0, count.since + WINDOW_S - self._clock())


def network_of(ip: str) -> str:
    """What one client has to itself: an IPv4 address, or an IPv6 /64."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
