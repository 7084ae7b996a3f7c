"""Asking one engine about a message: within its time, and not at all for a while where it does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from everpost.guard import kinds
from everpost.guard.model import Signal, signal, signals_of
from everpost.guard.scanners.model import (
    Client,
    Detection,
    Nature,
    NotScanned,
    ScannerProblem,
    Subject,
    TooLarge,
    Unavailable,
    WhenAway,
)
from everpost.guard.scanners.tape import batches, tape, tape_octets

log = structlog.get_logger()

MIB: Final = 1024 * 1024
PAUSE_S: Final = 1.0  # between two tries to reach an engine that is away
LOCATE_S: Final = 2.0  # for saying in which part it is, once it is known that something is
_LOCATED: Final = 50  # pieces that are asked about one by one for that
_OWN_TIME: Final = 0.8  # of the time, spent on this message alone: then it is the message that is slow
WHOLE: Final = "the message"

AWAY_KINDS: Final = {
    WhenAway.DELIVER: kinds.SCANNER_AWAY,
    WhenAway.DEFER: kinds.SCANNER_AWAY_DEFER,
    WhenAway.QUARANTINE: kinds.SCANNER_AWAY_QUARANTINE,
}
_FOUND_KINDS: Final = {
    Nature.MALWARE: kinds.SCANNER_MALWARE,
    Nature.SUSPECT: kinds.SCANNER_SUSPECT,
    Nature.INCOMPLETE: kinds.SCANNER_INCOMPLETE,
}

OnScan = Callable[[str, str, float], None]
"""Hears of every look: the engine, how it ended (`clean`, `found`, `failed`, `away`), and the seconds it took."""


class Scanner(Protocol):
    """What the guard asks about a message."""

    @property
    def name(self) -> str: ...

    async def look(self, subject: Subject) -> tuple[Signal, ...]:
        """Everything it says of a message. Never raises: that it could not look is a signal as well."""
        ...

    async def check(self) -> str:
        """Who answers, for a person. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """`seconds` bound the look at one message, with the wait for one of `at_once` places; `max_octets` is the largest
    object that is sent; `pieces` says whether decoded parts and unpacked members are sent beside the whole message.
    """

    seconds: float = 20.0
    at_once: int = 8
    max_octets: int = 25 * MIB
    pieces: bool = True
    when_away: WhenAway = WhenAway.DELIVER


class Engine:
    """One scanner that runs elsewhere, as the guard asks it."""

    def __init__(
        self,
        name: str,
        client: Client,
        settings: EngineSettings = EngineSettings(),
        on_scan: OnScan = lambda _engine, _result, _seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._client = client
        self._settings = settings
        self._on_scan = on_scan
        self._clock = clock
        self._room = asyncio.Semaphore(settings.at_once)
        self._away = ""  # why it does not answer, while it does not
        self._next_try = 0.0

    async def check(self) -> str:
        return await self._client.check()

    async def look(self, subject: Subject) -> tuple[Signal, ...]:
        started = self._clock()
        if not self._away or await self._answers_again():
            result, signals = await self._try(subject)
        else:
            result, signals = "away", (self._unseen(self._away),)
        self._on_scan(self.name, result, self._clock() - started)
        return signals

    # ------------------------------------------------------------------ one message

    async def _try(self, subject: Subject) -> tuple[str, tuple[Signal, ...]]:
        """How it ended, and the signals."""
        began: float | None = None
        try:
            async with asyncio.timeout(self._settings.seconds), self._room:
                began = self._clock()
                found = await self._scan(subject)
        except TimeoutError:
            return "failed", await self._late(0.0 if began is None else self._clock() - began)
        except Unavailable as problem:
            self._gone(str(problem))
            return "failed", (self._unseen(str(problem)),)
        except NotScanned as problem:
            log.warning("scanner.not_scanned", engine=self.name, reason=str(problem))
            return "failed", (self._unseen(str(problem)),)
        except Exception as error:  # a defect of ours must not make mail look scanned
            log.error("scanner.failed", engine=self.name, error=repr(error)[:500], exc_info=True)
            return "failed", (self._unseen(f"{type(error).__name__}: {error}"),)
        places = await self._places(subject, found)
        said = ((_FOUND_KINDS[each.nature], f"{self.name}: {each.name} in {where}") for each, where in places.items())
        return "found" if any(each.nature is Nature.MALWARE for each in found) else "clean", tuple(signals_of(said))

    async def _scan(self, subject: Subject) -> dict[Detection, None]:
        """The message as it came, then what our own reading made of it, which may be more than the engine's did."""
        found = dict.fromkeys(await self._ask(subject.open(), subject.size, WHOLE))
        if not self._settings.pieces:
            return found
        sent = 0
        for batch in batches(subject.pieces, self._settings.max_octets):
            found.update(dict.fromkeys(await self._ask(tape(batch), tape_octets(batch), "its parts")))
            sent += len(batch)
        if sent < len(subject.pieces):
            found[Detection(f"{len(subject.pieces) - sent} parts too large to be sent", Nature.INCOMPLETE)] = None
        return found

    async def _ask(self, chunks: Iterable[bytes], size: int, what: str) -> tuple[Detection, ...]:
        if size > self._settings.max_octets:
            return (Detection(f"{what}: larger than {self._settings.max_octets} octets", Nature.INCOMPLETE),)
        try:
            return await self._client.scan(chunks, size)
        except TooLarge as problem:
            return (Detection(f"{what}: {problem}", Nature.INCOMPLETE),)

    async def _places(self, subject: Subject, found: Iterable[Detection]) -> dict[Detection, str]:
        """In which part each is; what is in a part only comes to light here has its place as well."""
        places = dict.fromkeys(found, WHOLE)
        wanted = {each for each in places if each.nature is not Nature.INCOMPLETE}
        try:
            async with asyncio.timeout(LOCATE_S):
                for piece in reversed(subject.pieces[:_LOCATED] if wanted else ()):  # members stand behind containers
                    for each in await self._client.scan((piece.data,), len(piece.data)):
                        if places.get(each, WHOLE) == WHOLE:
                            places[each] = piece.path
                        wanted.discard(each)
                    if not wanted:
                        break
        except (TimeoutError, ScannerProblem) as problem:
            log.info("scanner.not_located", engine=self.name, reason=str(problem))
        return places

    # ------------------------------------------------------------------ when it does not answer

    async def _late(self, own_s: float) -> tuple[Signal, ...]:
        """Nobody may make an engine count as away with a message that is hard to scan: it is asked for its name."""
        reason = f"not done within {self._settings.seconds:g} s"
        try:
            await self._client.check()
        except Unavailable as problem:
            self._gone(str(problem))
            return (self._unseen(str(problem)),)
        log.warning("scanner.late", engine=self.name, limit_s=self._settings.seconds)
        if own_s < _OWN_TIME * self._settings.seconds:
            return (self._unseen(f"{reason}, most of it waiting for its turn"),)
        return self._unseen(reason), signal(kinds.SCANNER_SLOW, f"{self.name}: {reason}")

    def _gone(self, reason: str) -> None:
        if not self._away:
            log.error("scanner.away", engine=self.name, reason=reason)
        self._away, self._next_try = reason, self._clock() + PAUSE_S

    async def _answers_again(self) -> bool:
        """One message in a while asks; the others take it that it is still away."""
        if self._clock() < self._next_try:
            return False
        self._next_try = self._clock() + 10 * PAUSE_S
        try:
            who = await self._client.check()
        except Unavailable as problem:
            self._gone(str(problem))
            return False
        self._away = ""
        log.info("scanner.back", engine=self.name, version=who)
        return True

    def _unseen(self, reason: str) -> Signal:
        return signal(AWAY_KINDS[self._settings.when_away], f"{self.name}: {reason}")
