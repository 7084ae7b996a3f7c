"""From single probes to "it went down" and "it came up", with hysteresis. Pure.

Going down takes a number of failures in a row, spaced so that a burst of attempts counts once. Coming up takes a
number of successes in a row over a minimum time, which grows with every time the primary went down lately: a primary
that flaps is left alone until it has stood for a while.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Edge(enum.Enum):
    """What a probe's result made of the primary."""

    WENT_DOWN = "went down"
    CAME_UP = "came up"


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """How much it takes. Times in seconds.

    A failure counts where the last one that counted is at least `spacing_s` ago. `up_time_s` doubles with each further
    time the primary went down within `memory_s`, up to `longest_up_time_s`.
    """

    failures: int = 3
    spacing_s: float = 5.0
    successes: int = 3
    up_time_s: float = 20.0
    memory_s: float = 3600.0
    longest_up_time_s: float = 1800.0

    def up_time(self, downs: int) -> float:
        """How long a primary must stand that went down `downs` times lately."""
        return min(self.up_time_s * 2.0 ** min(max(downs - 1, 0), 30), max(self.longest_up_time_s, self.up_time_s))


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of one primary. `run` counts equal results that speak against `up`, since `run_began`."""

    up: bool = True
    run: int = 0
    run_began: float = 0.0
    last_counted: float = 0.0
    downs: tuple[float, ...] = ()


def observe(watch: Watch, ok: bool, at: float, rules: Hysteresis) -> tuple[Watch, Edge | None]:
    """Take in a result of the time `at` (any clock that only goes forward)."""
    return _observe_up(watch, ok, at, rules) if watch.up else _observe_down(watch, ok, at, rules)


def _observe_up(watch: Watch, ok: bool, at: float, rules: Hysteresis) -> tuple[Watch, Edge | None]:
    if ok:
        return replace(watch, run=0), None
    if watch.run and at - watch.last_counted < rules.spacing_s:
        return watch, None
    run = watch.run + 1
    began = at if run == 1 else watch.run_began
    if run < rules.failures:
        return replace(watch, run=run, run_began=began, last_counted=at), None
    lately = tuple(time for time in watch.downs if at - time <= rules.memory_s)
    return Watch(up=False, downs=(*lately, at)[-32:]), Edge.WENT_DOWN


def _observe_down(watch: Watch, ok: bool, at: float, rules: Hysteresis) -> tuple[Watch, Edge | None]:
    if not ok:
        return replace(watch, run=0), None
    run = watch.run + 1
    began = at if run == 1 else watch.run_began
    lately = tuple(time for time in watch.downs if at - time <= rules.memory_s)
    if run < rules.successes or at - began < rules.up_time(len(lately)):
        return replace(watch, run=run, run_began=began, last_counted=at), None
    return Watch(up=True, downs=lately), Edge.CAME_UP
