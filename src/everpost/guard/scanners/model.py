"""The words of malware scanners: what they are shown, what they say, and how asking them can go wrong."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol


class Nature(enum.StrEnum):
    """How much an engine means by a name that it gives."""

    MALWARE = "malware"  # it knows this very thing
    SUSPECT = "suspect"  # a heuristic, or something merely unwanted
    INCOMPLETE = "incomplete"  # it reached a limit of its own and looked no further


@dataclass(frozen=True, slots=True)
class Detection:
    """What an engine says of one object: the name of a signature, or of a limit."""

    name: str
    nature: Nature = Nature.MALWARE


class WhenAway(enum.StrEnum):
    """What is done with mail that an engine could not look at."""

    DELIVER = "deliver"  # with a mark
    DEFER = "defer"  # 4xx: the sender tries again
    QUARANTINE = "quarantine"  # kept apart until somebody releases it


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message, or what was unpacked from one. `path` names the place for a person."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """One message before the scanners: `open` gives its octets in chunks, each time it is called; `pieces` are its
    decoded parts and what was unpacked from them, `texts` what a person reads, in UTF-8.
    """

    size: int
    open: Callable[[], Iterable[bytes]]
    pieces: tuple[Piece, ...] = field(default=())
    texts: tuple[Piece, ...] = field(default=())


class ScannerProblem(Exception):
    """An engine has not looked; the message says why."""


class Unavailable(ScannerProblem):
    """The engine does not answer, or not as its protocol says: it will not look at other things either."""


class NotScanned(ScannerProblem):
    """The engine answers, but could not look at this one."""


class TooLarge(ScannerProblem):
    """The object is larger than the engine takes."""


class Client(Protocol):
    """The way to ask one engine that runs elsewhere. Any number of questions may be under way."""

    async def scan(self, chunks: Iterable[bytes], size: int) -> tuple[Detection, ...]:
        """What it says of an object of `size` octets; nothing where it is clean. Raises `ScannerProblem`, and is
        cancelled where it takes too long.
        """
        ...

    async def check(self) -> str:
        """Who answers there, for a person. Raises `Unavailable`."""
        ...
