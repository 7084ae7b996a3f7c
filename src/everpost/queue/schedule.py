"""When to try again. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with jitter so that what failed together does not come back together."""

    first: timedelta = timedelta(minutes=1)
    factor: float = 2.0
    longest: timedelta = timedelta(hours=1)
    jitter: float = 0.2

    def after(self, attempts: int, draw: float | None = None) -> timedelta:
        """The pause after the given number of attempts (from 1). `draw` in [0, 1) replaces chance in tests."""
        exponent = min(max(attempts, 1) - 1, 30)
        pause = min(self.first * self.factor**exponent, self.longest)
        chance = random.random() if draw is None else draw  # noqa: S311 (spreads load, guards nothing)
        return pause * (1 + self.jitter * (2 * chance - 1))


DEFAULT = Backoff()
LEASE = timedelta(minutes=5)
"""A worker that attempts a delivery writes at least this as the next try, and renews it while it goes on."""


def next_try(now: datetime, attempts: int, backoff: Backoff = DEFAULT) -> datetime:
    """The next try to write before dialling: never sooner than a lease, so that a crash bothers nobody twice."""
    return now + max(backoff.after(attempts), LEASE)
