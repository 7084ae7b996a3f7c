"""The lists of addresses that an installation uses: files that others renew, read again when they have changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from everpost.guard.links.feeds import FeedError, FeedFormat, FeedLimits, read_feed
from everpost.guard.links.linklist import LinkList

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Seen:
    modified_ns: int
    size: int


@dataclass(slots=True)
class _File:
    path: Path
    seen: _Seen | None = None
    read: LinkList | None = None
    problem: str = ""


@dataclass(slots=True)
class LinkLists:
    """`blocked` and `allowed` as they were read last. A file that cannot be read any more leaves what it held before,
    and is told once; `problems` names those that are so now.
    """

    blocked: tuple[LinkList, ...] = ()
    allowed: tuple[LinkList, ...] = ()
    problems: tuple[str, ...] = ()
    _blocking: list[_File] = field(default_factory=list)
    _allowing: list[_File] = field(default_factory=list)

    @classmethod
    def of(cls, blocked: Iterable[Path], allowed: Iterable[Path] = ()) -> LinkLists:
        """Nothing is read before `look`."""
        return cls(_blocking=[_File(path) for path in blocked], _allowing=[_File(path) for path in allowed])

    @property
    def wanted(self) -> bool:
        """Whether there are any files at all."""
        return bool(self._blocking or self._allowing)

    def look(self) -> bool:
        """Read what has changed; whether anything has. Takes seconds for long lists: not for the event loop."""
        changed = [_look(file) for file in (*self._blocking, *self._allowing)]
        if any(changed):
            self.blocked = _read(self._blocking)
            self.allowed = _read(self._allowing)
        self.problems = tuple(file.problem for file in (*self._blocking, *self._allowing) if file.problem)
        return any(changed)


def _read(files: Iterable[_File]) -> tuple[LinkList, ...]:
    return tuple(file.read for file in files if file.read is not None)


def _look(file: _File) -> bool:
    try:
        stat = file.path.stat()
        seen = _Seen(stat.st_mtime_ns, stat.st_size)
        if seen == file.seen:
            return False
        with file.path.open("rb") as opened:
            data = opened.read(FeedLimits().octets + 1)
        found, report = read_feed(file.path.name, data, format_of(file.path, data))
    except (OSError, FeedError) as error:
        problem = f"{file.path}: {error}"
        if problem != file.problem:
            log.warning("guard.list_unreadable", list=str(file.path), error=str(error))
        file.problem, file.seen = problem, None
        return False
    log.info("guard.list_read", list=str(file.path), entries=report.taken, bad=report.bad, examples=report.examples[:3])
    file.seen, file.read, file.problem = seen, found, ""
    return True


def format_of(path: Path, data: bytes) -> FeedFormat:
    """By the name's ending; a CSV of URLhaus by what it says of itself."""
    suffix = path.suffix.lower()
    if suffix == ".json":
        return FeedFormat.MISP
    if suffix == ".csv":
        return FeedFormat.URLHAUS if b"URLhaus" in data[:2000] else FeedFormat.CSV
    return FeedFormat.HOSTS if suffix == ".hosts" or path.name == "hosts" else FeedFormat.PLAIN
