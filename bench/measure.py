"""One measurement: a load on a side, until all of it is in both places."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.accounting import MemoryWatch, cpu_seconds
from bench.driver import Outcome
from bench.results import percentile
from bench.sides import Side
from bench.tools import PeerFailed, Sink

_STUCK_S = 60
_POLL_S = 0.02
_SETTLE_S = 0.5
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Measured:
    """What a load came to. Seconds count from the first connection."""

    outcome: Outcome
    delivered_s: float
    cpu_s: float
    peak_total: int
    peak_programs: int

    def rates(self) -> dict[str, float]:
        messages = self.outcome.messages
        return {
            "accepted_per_s": messages / self.outcome.seconds,
            "delivered_per_s": messages / self.delivered_s,
            "cpu_s_per_1000": self.cpu_s / messages * 1000,
        }

    def waits(self) -> dict[str, float]:
        latencies = self.outcome.latencies
        return {"p50_ms": percentile(latencies, 50) * 1000, "p99_ms": percentile(latencies, 99) * 1000}

    def memory(self) -> dict[str, float]:
        return {
            "peak_memory_mb": self.peak_total / MIB,
            "peak_memory_without_database_mb": self.peak_programs / MIB,
        }


def measure(side: Side, sink: Sink, load: Callable[[int], Outcome]) -> Measured:
    """Run `load` against the side's port. Raises `PeerFailed` where messages do not arrive."""
    settle(side)
    os.sync()  # what earlier work left unwritten is not this one's to write
    sunk, stored = sink.count, side.stored()
    with MemoryWatch(side.roots) as memory:
        before = cpu_seconds(side.roots)
        started = time.perf_counter()
        outcome = load(side.smtp_port)
        if not outcome.messages:
            raise PeerFailed(f"{side.name} took no message: {'; '.join(outcome.reasons)}")
        arrived = sink.wait_for(sunk + outcome.messages, _STUCK_S)
        arrived = max(arrived, _wait_stored(side, stored + outcome.copies, arrived))
        settle(side)
        spent = cpu_seconds(side.roots) - before
    if (extra := side.stored() - stored - outcome.copies) or sink.count != sunk + outcome.messages:
        raise PeerFailed(
            f"{side.name}: {extra} too many in mailboxes, {sink.count - sunk} of {outcome.messages} relayed"
        )
    return Measured(outcome, arrived - started, spent, memory.peak_total, memory.peak_programs)


def settle(side: Side) -> None:
    """Until nothing waits in the queue, and the work that follows a delivery is done."""
    end = time.monotonic() + _STUCK_S
    while side.waiting():
        if time.monotonic() > end:
            raise PeerFailed(f"{side.name}: {side.waiting()} messages stay in the queue")
        time.sleep(0.05)
    time.sleep(_SETTLE_S)


def _wait_stored(side: Side, target: int, already: float) -> float:
    """When the mailboxes held that many; `already` where they do at once."""
    if side.stored() >= target:
        return already
    seen, moved_at = -1, time.perf_counter()
    while (now := side.stored()) < target:
        if now > seen:
            seen, moved_at = now, time.perf_counter()
        elif time.perf_counter() - moved_at > _STUCK_S:
            raise PeerFailed(f"{side.name}: {now} of {target} messages are in mailboxes, and no more come")
        time.sleep(_POLL_S)
    return time.perf_counter()


def without_refused(figures: Mapping[str, float], outcome: Outcome) -> dict[str, float]:
    """The figures, and how many were refused where any were."""
    return {**figures, "refused": float(outcome.refused)} if outcome.refused else dict(figures)
