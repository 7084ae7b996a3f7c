"""What is measured. Each suite gives figures by name; README.md says what they mean."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.accounting import MemoryWatch, memory_now
from bench.driver import Client, Outcome, Outgoing, connect, drive
from bench.fill import Queued, fill
from bench.installation import Everpost
from bench.jmap import open_standby, pushes, searches, waits
from bench.measure import MIB, Measured, measure, settle, without_refused
from bench.results import Pair, Suite
from bench.sides import Side
from bench.tools import PeerFailed, Sink, smtp_source
from bench.world import SUFFIX, World, big

COMPARED = ("flood", "mix", "paced")
GUARDED = ("guarded", "guarded_mix")
ALONE = ("growth", "held", "memory", "jmap")
NOTES = {
    "flood": ("10 kB messages", "Postfix + Dovecot"),
    "mix": ("Sizes mix of an mbox", "Postfix + Dovecot"),
    "paced": ("10 kB at an even rate", "Postfix + Dovecot"),
    "guarded": ("10 kB messages, looked at", "Postfix + rspamd + Dovecot"),
    "guarded_mix": ("Sizes mix, looked at", "Postfix + rspamd + Dovecot"),
    "growth": ("More and more stored entries", "with the fewest entries"),
    "held": ("A long queue for others beside", "empty queue"),
    "memory": ("Memory", "before"),
    "jmap": ("People's programs over JMAP", "with the fewest entries"),
}
_OCTETS = 10_240
_LARGE = 50 * MIB - 4096  # just below what is accepted by default


@dataclass(frozen=True, slots=True)
class Options:
    """How much is done. `stored` are the sizes of the growth suite."""

    messages: int = 8000
    connections: int = 20
    mailboxes: int = 200
    rate: float = 100.0
    reconnect: bool = False
    mbox: Path | None = None
    workers: int = 0
    stored: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    queued: int = 100_000
    idle: int = 2000

    def world(self) -> World:
        return World.of(self.mailboxes, self.messages)


Say = Callable[[str], None]


# ---------------------------------------------------------------------- both sides


def compare(
    side: Side, sink: Sink, world: World, suites: tuple[str, ...], options: Options, say: Say
) -> dict[str, dict[str, float]]:
    """The suites of `COMPARED` or `GUARDED` on one side, after some mail to each mailbox that is not measured."""
    say(f"{side.name}: warming up")
    measure(side, sink, _driven(world.plain(2 * len(world.mailboxes), _OCTETS, 1), options))
    found: dict[str, dict[str, float]] = {}
    for suite in suites:
        say(f"{side.name}: {suite}")
        found[suite] = _COMPARED[suite](side, sink, world, options)
    if (counted := side.counted()) != side.stored():
        raise PeerFailed(f"{side.name}: {counted} messages stand in mailboxes where {side.stored()} should")
    return found


def _flood(side: Side, sink: Sink, world: World, options: Options) -> dict[str, float]:
    """smtp-source for the rates; it gives no latencies, so the own driver sends a quarter of that for those."""
    main = measure(side, sink, _sourced(options.messages, world, options))
    timed = measure(side, sink, _driven(world.plain(max(options.messages // 4, 200), _OCTETS, 2), options))
    return {**main.rates(), **timed.waits(), **main.memory()}


def _mix(side: Side, sink: Sink, world: World, options: Options) -> dict[str, float]:
    messages = world.mix(options.messages, options.mbox)
    found = measure(side, sink, _driven(messages, options))
    return without_refused({**found.rates(), **found.waits(), **found.memory()}, found.outcome)


def _paced(side: Side, sink: Sink, world: World, options: Options) -> dict[str, float]:
    count = max(int(options.rate * 10), 100)
    messages = world.plain(count, _OCTETS, 3)
    found = measure(side, sink, lambda port: drive(port, messages, options.connections, options.rate))
    return {
        **found.waits(),
        "cpu_s_per_1000": found.rates()["cpu_s_per_1000"],
        "rate_per_s": count / found.outcome.seconds,
    }


_COMPARED = {"flood": _flood, "mix": _mix, "paced": _paced, "guarded": _flood, "guarded_mix": _mix}


def _driven(messages: list[Outgoing], options: Options) -> Callable[[int], Outcome]:
    return lambda port: drive(port, messages, options.connections)


def _sourced(count: int, world: World, options: Options) -> Callable[[int], Outcome]:
    """In turns of as many messages as there are numbered addresses."""

    def load(port: int) -> Outcome:
        total = Outcome()
        while total.messages < count:
            part = min(count - total.messages, len(world.aliases))
            done = smtp_source(port, part, options.connections, SUFFIX, octets=_OCTETS, reconnect=options.reconnect)
            total.messages, total.copies = total.messages + part, total.copies + part
            total.seconds += done.seconds
        return total

    return load


# ---------------------------------------------------------------------- Everpost alone


def alone(suite: str, options: Options, say: Say) -> Suite:
    """One suite of `ALONE` on an installation of its own."""
    world = options.world()
    with Sink() as sink, contextlib.closing(Everpost(world, sink.port, options.workers)) as everpost:
        return _ALONE[suite](everpost, sink, world, options, say)


def _growth(everpost: Everpost, sink: Sink, world: World, options: Options, say: Say) -> Suite:
    _warm(everpost, sink, world, options)
    found: dict[int, dict[str, float]] = {}
    for size in options.stored:
        missing = size - everpost.counted()
        say(f"growth: filling up to {size:,} stored entries")
        fill(everpost, missing, progress=lambda done: say(f"growth: {done:,} entries added"))
        found[size] = measure(everpost, sink, _sourced(options.messages, world, options)).rates()
    first = found[options.stored[0]]
    return {
        f"{metric}_at_{_short(size)}": Pair(rates[metric], first[metric])
        for metric in ("accepted_per_s", "delivered_per_s", "cpu_s_per_1000")
        for size, rates in found.items()
    }


def _held(everpost: Everpost, sink: Sink, world: World, options: Options, say: Say) -> Suite:
    _warm(everpost, sink, world, options)
    empty = measure(everpost, sink, _sourced(options.messages, world, options)).rates()
    for queued in (Queued.HELD, Queued.LATER):
        say(f"held: {options.queued:,} deliveries {queued.value}")
        fill(everpost, options.queued, queued)
    full = measure(everpost, sink, _sourced(options.messages, world, options)).rates()
    return {metric: Pair(value, empty[metric]) for metric, value in full.items()}


def _memory(everpost: Everpost, sink: Sink, world: World, options: Options, say: Say) -> Suite:
    settle(everpost)
    fresh = memory_now(everpost.roots).programs / MIB
    _warm(everpost, sink, world, options)
    say("memory: flood")
    tenth = measure(everpost, sink, _sourced(max(options.messages // 10, 500), world, options))
    rest = measure(everpost, sink, _sourced(options.messages, world, options))
    say("memory: one message of 50 MB")
    before, peak = _large_message(everpost, sink, world)
    say(f"memory: {options.idle:,} idle connections")
    held, idle_before, idle_after = _idle(everpost, options.idle)
    return {
        "python_fresh_mb": Pair(fresh),
        "python_peak_mb": Pair(_programs(rest), _programs(tenth)),
        "large_message_peak_mb": Pair(peak, before),
        "large_message_added_mb": Pair(peak - before),
        "idle_connections_held": Pair(held, options.idle),
        "idle_connections_mb": Pair(idle_after, idle_before),
    }


def _jmap(everpost: Everpost, sink: Sink, world: World, options: Options, say: Say) -> Suite:
    """One mailbox that grows, as its owner's program sees it; then everybody at once."""
    first = world.mailboxes[0]
    own = World((first,), {}).plain(min(options.messages // 4, options.stored[0]), _OCTETS, 4)
    measure(everpost, sink, _driven(own, options))
    open_standby(everpost)
    say("jmap: waiting for the index")
    found: dict[str, Pair] = {name: Pair(value) for name, value in searches(everpost, first, world).items()}
    base: dict[str, float] = {}
    for size in options.stored:
        say(f"jmap: filling up to {size:,} entries in one mailbox")
        fill(everpost, size - everpost.counted(), boxes=1)
        seen = waits(everpost, first, len(own))
        base = base or seen
        found |= {f"{name}_at_{_short(size)}": Pair(value, base[name]) for name, value in seen.items()}
    say(f"jmap: {len(world.mailboxes)} people listen")
    news = world.plain(5 * len(world.mailboxes), 2000, 5)
    return found | {name: Pair(value) for name, value in pushes(everpost, world, news, options.rate / 2).items()}


_ALONE = {"growth": _growth, "held": _held, "memory": _memory, "jmap": _jmap}


def _programs(measured: Measured) -> float:
    return measured.peak_programs / MIB


def _warm(everpost: Everpost, sink: Sink, world: World, options: Options) -> None:
    """Realistic mail to copy from, and everything started that starts with the first mail."""
    measure(everpost, sink, _driven(world.mix(2 * len(world.mailboxes), options.mbox), options))


def _large_message(everpost: Everpost, sink: Sink, world: World) -> tuple[float, float]:
    """(before, peak) in MiB of all processes but the database's."""
    message = big(world.mailboxes[0], _LARGE)
    settle(everpost)
    before = memory_now(everpost.roots).programs / MIB
    taken = sink.count
    with MemoryWatch(everpost.roots, interval_s=0.02) as memory:
        outcome = drive(everpost.smtp_port, [message], 1)
        if outcome.messages != 1:
            raise PeerFailed(f"the large message was refused: {outcome.reasons}")
        sink.wait_for(taken + 1, 120)
        settle(everpost)
    return before, memory.peak_programs / MIB


def _idle(everpost: Everpost, wanted: int) -> tuple[int, float, float]:
    """(connections that still answer, MiB before, MiB after) with so many that say nothing, from 40 addresses."""
    with _descriptors(wanted + 200):
        before = memory_now(everpost.roots).programs / MIB
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            held, after = runner.run(_hold(everpost, wanted))
    return held, before, after


async def _hold(everpost: Everpost, wanted: int) -> tuple[int, float]:
    clients: list[Client] = []
    for number in range(wanted):
        with contextlib.suppress(OSError, TimeoutError, ConnectionError):
            clients.append(await connect(everpost.smtp_port, f"127.0.1.{number % 40 + 1}"))
    after = memory_now(everpost.roots).programs / MIB
    held = 0
    for client in clients:
        with contextlib.suppress(Exception):
            client.write(b"NOOP\r\n")
            (reply,) = await client.replies(1)
            held += reply.startswith(b"250")
    for client in clients:
        client.close()
    return held, after


@contextlib.contextmanager
def _descriptors(count: int) -> Iterator[None]:
    """More open files for us alone; Everpost runs already and has to see to its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = hard if hard != resource.RLIM_INFINITY else max(count, soft)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(count, soft), ceiling), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _short(number: int) -> str:
    if number >= 1_000_000:
        return f"{number / 1_000_000:g}M"
    return f"{number / 1000:g}k" if number >= 1000 else str(number)
