"""What is left of the limits of one inspection: members, octets, time and tries, shared by everything in a message."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from everpost.guard.attachments.model import FindingKind, Limits

CHUNK: Final = 256 * 1024
"""Octets a decompressor may give at a time."""


class Refused(Exception):
    """One container goes no further; the rest of the message is still looked at."""

    def __init__(self, kind: FindingKind, evidence: str) -> None:
        super().__init__(evidence)
        self.kind = kind
        self.evidence = evidence


class Exhausted(Refused):
    """A limit of the whole message is reached: nothing more is unpacked."""


class Budget:
    """Counts down. `octets_in` is the size of all attachments as they came."""

    def __init__(self, limits: Limits, octets_in: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._octets_in = max(octets_in, 1)
        self._deadline = clock() + limits.seconds
        self.octets_out = 0
        self._members = 0
        self._tries = limits.password_tries
        self._password_seconds = limits.password_seconds

    def check(self) -> None:
        """Raises Exhausted when the time is over."""
        if self.seconds_left() <= 0:
            raise Exhausted(FindingKind.OUT_OF_TIME, f"not finished within {self.limits.seconds:g} s")

    def seconds_left(self) -> float:
        return self._deadline - self._clock()

    def member(self) -> None:
        """One more member; raises Exhausted."""
        self.check()
        self._members += 1
        if self._members > self.limits.members:
            raise Exhausted(FindingKind.TOO_MANY, f"more than {self.limits.members} members")

    def room(self) -> int:
        """How many octets the next member may have."""
        return max(0, min(self.limits.member_octets, self.limits.octets - self.octets_out))

    def take(self, octets: int) -> None:
        """So many octets came out; raises Exhausted."""
        self.check()
        self.octets_out += octets
        if self.octets_out > self.limits.ratio_floor and self.octets_out > self.limits.ratio * self._octets_in:
            raise Exhausted(
                FindingKind.BOMB, f"{self._octets_in} octets unpack to more than {self.octets_out} over all levels"
            )
        if self.octets_out > self.limits.octets:
            raise Exhausted(FindingKind.TOO_LARGE, f"unpacks to more than {self.limits.octets} octets")

    def declared(self, packed: int, unpacked: int) -> None:
        """What a header promises of a member, before it is unpacked; raises Refused or Exhausted."""
        if unpacked > self.limits.ratio_floor and unpacked > self.limits.ratio * max(packed, 1):
            raise Exhausted(FindingKind.BOMB, f"{packed} octets that unpack to {unpacked}")
        if unpacked > self.room():
            raise Refused(FindingKind.TOO_LARGE, f"a member of {unpacked} octets")

    def collect(self, chunks: Iterable[bytes], packed: int) -> bytes:
        """The chunks of one member put together. Raises Exhausted for a bomb, Refused for one that is too large."""
        parts: list[bytes] = []
        size = 0
        for chunk in chunks:
            parts.append(chunk)
            size += len(chunk)
            self.take(len(chunk))
            if size > self.limits.ratio_floor and size > self.limits.ratio * max(packed, 1):
                raise Exhausted(FindingKind.BOMB, f"{packed} octets that unpack to more than {size}")
            if size > self.limits.member_octets:
                raise Refused(FindingKind.TOO_LARGE, f"a member of more than {self.limits.member_octets} octets")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def may_try(self) -> bool:
        """Whether one more password may be tried, which counts as one."""
        self._tries -= 1
        return self._tries >= 0 and self._password_seconds > 0 and self.seconds_left() > 0

    def tried(self, seconds: float) -> None:
        self._password_seconds -= seconds
