"""YARA rules of the administrators over everything that was decoded and unpacked. They are read again by themselves
when their files change; broken ones change nothing but a figure and a line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog

from everpost.guard import kinds
from everpost.guard.model import Signal, signal
from everpost.guard.scanners.engine import AWAY_KINDS, OnScan
from everpost.guard.scanners.model import Subject, Unavailable, WhenAway
from everpost.guard.scanners.yara_process import BadRules, Match, Ready, Reply, Request, Start, rule_files

log = structlog.get_logger()
T = TypeVar("T")

NAME: Final = "yara"
LOOK_S: Final = 2.0  # between two looks at the folder
COMPILE_S: Final = 300.0
_GRACE_S: Final = 1.0  # beyond its own limit, before the process is ended by force
_MAX_FRAME: Final = 512 * 1024 * 1024
_SHOWN: Final = 10  # signals of one message

Fingerprint = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class YaraSettings:
    """`folder` holds the rule files (*.yar, *.yara), also in folders below; `seconds` bound the scan of one message,
    with the wait for its turn.
    """

    folder: Path
    seconds: float = 5.0
    when_away: WhenAway = WhenAway.DELIVER


class Yara:
    """The scanner. `on_rules` hears how many rules there are and whether newer ones could not be used."""

    name = NAME

    def __init__(
        self,
        settings: YaraSettings,
        on_scan: OnScan = lambda _engine, _result, _seconds: None,
        on_rules: Callable[[int, bool], None] = lambda _rules, _broken: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._on_scan = on_scan
        self._on_rules = on_rules
        self._clock = clock
        self._turn = asyncio.Lock()
        self._process: _Process | None = None
        self._seen: Fingerprint | None = None
        self._checked: tuple[Fingerprint, int, str] | None = None
        self._problem = ""
        self._next_look = 0.0
        self._loading: asyncio.Task[None] | None = None

    async def check(self) -> str:
        """How many rules the folder holds. Raises `Unavailable` where they cannot be used. Looks at them again only
        when they have changed.
        """
        seen = await asyncio.to_thread(_fingerprint, self._settings.folder)
        if self._checked is None or self._checked[0] != seen:
            self._checked = (seen, *await self._compiles())
        _, rules, problem = self._checked
        if problem:
            raise Unavailable(problem)
        return f"{rules} rules in {self._settings.folder}"

    async def _compiles(self) -> tuple[int, str]:
        """The number of rules, and why they cannot be used."""
        process = _Process(self._settings.folder)
        try:
            await process.start()
            return process.rules, ""
        except (BadRules, Unavailable) as problem:
            return 0, str(problem)
        finally:
            await process.end()

    async def close(self) -> None:
        """End the process."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._process is not None:
            await self._process.end()
            self._process = None

    async def look(self, subject: Subject) -> tuple[Signal, ...]:
        """The rules that the message meets. Never raises."""
        started = self._clock()
        try:
            result, signals = await self._try(subject)
        except Exception as error:  # a defect of ours must not make mail look scanned
            log.error("scanner.failed", engine=NAME, error=repr(error)[:500], exc_info=True)
            result, signals = "failed", (self._unseen(f"{type(error).__name__}: {error}"),)
        self._on_scan(NAME, result, self._clock() - started)
        return signals

    async def _try(self, subject: Subject) -> tuple[str, tuple[Signal, ...]]:
        pieces = [(each.path, each.data) for each in (*subject.texts, *subject.pieces)]
        if not pieces:
            return "clean", ()
        asked = False
        try:
            async with asyncio.timeout(self._settings.seconds + _GRACE_S), self._turn:
                await self._renew()
                if self._process is None:
                    return "away", (self._unseen(self._problem),)
                asked = True
                reply = await self._process.ask(Request(self._settings.seconds, pieces))
        except TimeoutError:
            return "failed", self._late() if asked else (self._unseen("busy, or its rules are not loaded yet"),)
        except Unavailable as problem:
            log.error("scanner.away", engine=NAME, reason=str(problem))
            return "failed", (self._unseen(str(problem)),)
        signals = [_signal(each) for each in reply.matches[:_SHOWN]]
        if reply.late:
            return "failed", (*signals, *self._late())
        return "found" if signals else "clean", tuple(signals)

    def _late(self) -> tuple[Signal, ...]:
        reason = f"not done within {self._settings.seconds:g} s"
        log.warning("scanner.late", engine=NAME, limit_s=self._settings.seconds)
        return self._unseen(reason), signal(kinds.SCANNER_SLOW, f"{NAME}: {reason}")

    def _unseen(self, reason: str) -> Signal:
        return signal(AWAY_KINDS[self._settings.when_away], f"{NAME}: {reason}")

    # ------------------------------------------------------------------ the rules

    async def _renew(self) -> None:
        """Start what is not running, and see from time to time whether the files have changed."""
        if self._process is not None and self._process.ended:
            again = _Process(self._settings.folder, self._process.compiled)
            await again.start()
            self._process = again
        if self._clock() >= self._next_look and (self._loading is None or self._loading.done()):
            self._next_look = self._clock() + LOOK_S
            self._loading = asyncio.create_task(self._reload())
        if self._process is None and self._loading is not None and not self._problem:
            await asyncio.shield(self._loading)  # the first time; later ones do not hold mail up

    async def _reload(self) -> None:
        """Compile beside the running process, which is only replaced by one that works."""
        seen = await asyncio.to_thread(_fingerprint, self._settings.folder)
        if seen == self._seen:
            return
        self._seen = seen
        process = _Process(self._settings.folder)
        try:
            await process.start()
        except (BadRules, Unavailable) as problem:
            await process.end()
            self._problem = str(problem)
            log.error("yara.rules_broken", reason=str(problem), kept=self._process.rules if self._process else 0)
            self._on_rules(self._process.rules if self._process else 0, True)
            return
        except asyncio.CancelledError:
            await process.end()
            raise
        self._problem = ""
        old, self._process = self._process, process
        log.info("yara.rules_loaded", rules=process.rules)
        self._on_rules(process.rules, False)
        if old is not None:
            await old.retire()


def _signal(match: Match) -> Signal:
    evidence = f"{NAME}: {match.rule} ({match.file}) in {match.path}"
    if match.weight is None:
        return signal(kinds.SCANNER_MALWARE, evidence)
    return signal(kinds.SCANNER_RULE, evidence, weight=match.weight)


def _fingerprint(folder: Path) -> Fingerprint:
    """What tells one state of the files from another."""
    found = []
    with contextlib.suppress(BadRules):  # compiling will say so
        for path in rule_files(folder):
            with contextlib.suppress(OSError):
                state = path.stat()
                found.append((str(path), state.st_mtime_ns, state.st_size, state.st_ino))
    return tuple(found)


class _Process:
    """A running `yara_process`. One question at a time; one that is broken off ends it."""

    def __init__(self, folder: Path, compiled: bytes = b"") -> None:
        self._start = Start(str(folder), compiled)
        self._process: asyncio.subprocess.Process | None = None
        self._asking = asyncio.Lock()
        self.rules = 0
        self.compiled = compiled

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Raises `BadRules`, `Unavailable`."""
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "everpost.guard.scanners.yara_process",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            async with asyncio.timeout(COMPILE_S):
                ready = await self._exchange(self._start, Ready)
        except TimeoutError:
            await self.end()
            raise Unavailable(f"rules not compiled within {COMPILE_S:g} s") from None
        except OSError as error:
            raise Unavailable(f"no process for the rules: {error.strerror or error}") from error
        if ready.problem:
            raise BadRules(ready.problem)
        self.rules, self.compiled = ready.rules, ready.compiled

    async def ask(self, request: Request) -> Reply:
        """Raises `Unavailable`; whatever cuts it short ends the process, which would be out of step."""
        async with self._asking:
            try:
                return await self._exchange(request, Reply)
            except BaseException:
                await self.end()
                raise

    async def retire(self) -> None:
        """End it once the question under way is answered."""
        async with self._asking:
            await self.end()

    async def end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _exchange(self, question: Start | Request, kind: type[T]) -> T:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        data = msgspec.msgpack.encode(question)
        try:
            self._process.stdin.write(len(data).to_bytes(4, "big") + data)
            await self._process.stdin.drain()
            size = int.from_bytes(await self._process.stdout.readexactly(4), "big")
            if size > _MAX_FRAME:
                raise Unavailable("an answer without end")
            return msgspec.msgpack.decode(await self._process.stdout.readexactly(size), type=kind)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Unavailable("the process with the rules has ended") from error
        except msgspec.MsgspecError as error:
            raise Unavailable(f"an answer that cannot be read: {error}") from error
