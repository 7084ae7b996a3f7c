"""What processes cost: processor time and memory of whole process trees, read from /proc.

Processor time of a tree is the time of its living processes plus what each of them has inherited from children it has
waited for (`cutime`, `cstime`). So the many short-lived children of Postfix and Dovecot, and the backends of
PostgreSQL, count while they live and after they have been waited for; in between, a zombie still shows its time. What
would not count are processes whose parent dies before them, and children that nobody waits for: neither side has any.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_DATABASE = "postgres"


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """One line of /proc/PID/stat. `own` and `reaped` are clock ticks of the process and of children waited for."""

    pid: int
    parent: int
    name: str
    own: int
    reaped: int
    started: int = 0  # ticks after the machine's start: with `pid` it names one process for good

    @property
    def seconds(self) -> float:
        return (self.own + self.reaped) / TICKS_PER_S


@dataclass(frozen=True, slots=True)
class Memory:
    """Proportional set sizes in octets: shared pages count once, split among those that share them."""

    total: int = 0
    database: int = 0

    @property
    def programs(self) -> int:
        """Without the database's processes: for Everpost, all of its Python."""
        return self.total - self.database


def parse_stat(text: str) -> ProcessStat:
    """Read /proc/PID/stat; the name, in brackets, may itself hold spaces and brackets. Raises `ValueError`."""
    head, bracket, tail = text.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = tail.split()
    if not bracket or len(fields) < 20:
        raise ValueError(f"not a process: {text[:60]!r}")
    user, system, reaped_user, reaped_system = (int(field) for field in fields[11:15])
    return ProcessStat(int(pid), int(fields[1]), name, user + system, reaped_user + reaped_system, int(fields[19]))


def parse_pss(text: str) -> int:
    """Octets of the line `Pss:` in /proc/PID/smaps_rollup; 0 where there is none."""
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def tree_of(processes: Iterable[ProcessStat], roots: Sequence[int]) -> list[ProcessStat]:
    """The roots and everything below them, each once; roots that are gone are left out."""
    children: dict[int, list[ProcessStat]] = defaultdict(list)
    by_pid: dict[int, ProcessStat] = {}
    for process in processes:
        by_pid[process.pid] = process
        children[process.parent].append(process)
    found: dict[int, ProcessStat] = {}
    waiting = [by_pid[pid] for pid in roots if pid in by_pid]
    while waiting:
        process = waiting.pop()
        if process.pid not in found:
            found[process.pid] = process
            waiting.extend(children[process.pid])
    return list(found.values())


def tree_seconds(processes: Iterable[ProcessStat], roots: Sequence[int]) -> float:
    """Processor seconds of the trees since they began."""
    return sum(process.seconds for process in tree_of(processes, roots))


def running() -> list[ProcessStat]:
    """Every process of the machine; those that end meanwhile are left out."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError):
                found.append(parse_stat(Path(entry.path, "stat").read_text("utf-8", "replace")))
    return found


def cpu_seconds(roots: Sequence[int]) -> float:
    """Processor seconds of these process trees until now."""
    return tree_seconds(running(), roots)


def memory_now(roots: Sequence[int]) -> Memory:
    """Memory of these process trees at this moment."""
    total = database = 0
    for process in tree_of(running(), roots):
        with contextlib.suppress(OSError, ValueError):
            pss = parse_pss(Path(f"/proc/{process.pid}/smaps_rollup").read_text())
            total += pss
            database += pss if process.name.startswith(_DATABASE) else 0
    return Memory(total, database)


class MemoryWatch:
    """Samples the memory of process trees in a thread of its own while the block runs; keeps the peaks."""

    def __init__(self, roots: Sequence[int], interval_s: float = 0.5) -> None:
        self._roots = list(roots)
        self._interval = interval_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_total = 0
        self.peak_programs = 0
        self.samples: list[Memory] = []

    def sample(self) -> Memory:
        """Take one now."""
        memory = memory_now(self._roots)
        self.samples.append(memory)
        self.peak_total = max(self.peak_total, memory.total)
        self.peak_programs = max(self.peak_programs, memory.programs)
        return memory

    def _watch(self) -> None:
        while not self._end.wait(self._interval):
            self.sample()

    def __enter__(self) -> MemoryWatch:
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(10)
        if kind is None:
            self.sample()
