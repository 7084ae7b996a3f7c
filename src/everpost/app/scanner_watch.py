"""Asks every malware scanner for its name from time to time, and tells the contacts once when one is away, once when it
is back. Run by the control process that leads, so that it is one voice for all workers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from everpost.app import metrics
from everpost.continuity.alerts import AlertKind, raise_alert
from everpost.guard.scanners.engine import Scanner
from everpost.guard.scanners.model import Unavailable
from everpost.store.database import Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("scanners")

SCANNERS_S: Final = 15.0
FAILURES: Final = 2  # in a row, before anybody is told: a scanner that reloads its signatures is away for a moment
_KINDS: Final = (AlertKind.SCANNER_AWAY, AlertKind.SCANNER_BACK)


class ScannerWatch:
    """What is known of each scanner. What was told last is read from the alerts, so that a restart repeats nothing."""

    def __init__(self, database: Database, scanners: Sequence[Scanner]) -> None:
        self._database = database
        self._scanners = tuple(scanners)
        self._ids = database.ids
        self._failures: dict[str, int] = {}
        self._told: dict[str, str | None] = {}

    async def run_once(self) -> None:
        """One round. Raises what `store.database.UNAVAILABLE` lists."""
        problems = await asyncio.gather(*(self._problem(each) for each in self._scanners))
        for scanner, problem in zip(self._scanners, problems, strict=True):
            metrics.SCANNER_UP.labels(scanner.name).set(int(problem is None))
            await self._note(scanner.name, problem)

    async def _problem(self, scanner: Scanner) -> str | None:
        try:
            await scanner.check()
        except Unavailable as problem:
            return str(problem)
        return None

    async def _note(self, name: str, problem: str | None) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1 if problem is not None else 0
        if problem is not None and failures == FAILURES:
            text = f"{problem}\n\nMail flows as the `unavailable` of this scanner says. It is asked again by itself."
            await self._tell(AlertKind.SCANNER_AWAY, name, text)
        elif problem is None:
            await self._tell(AlertKind.SCANNER_BACK, name, "It looks at mail again.")

    async def _tell(self, kind: AlertKind, name: str, text: str) -> None:
        """Tell every organisation, unless this is what was told last; that one is there is no news by itself."""
        subjects = {
            AlertKind.SCANNER_AWAY: f"Scanner {name} is away",
            AlertKind.SCANNER_BACK: f"Scanner {name} is back",
        }
        async with self._database.transaction() as connection:
            if name not in self._told:
                self._told[name] = await connection.fetchval(_SQL["last_told"], list(_KINDS), list(subjects.values()))
            last = self._told[name]
            if last == subjects[kind] or (last is None and kind is AlertKind.SCANNER_BACK):
                return
            for row in await connection.fetch(_SQL["organisations"]):
                await raise_alert(connection, await self._ids.new(), row["id"], kind, subjects[kind], text)
        self._told[name] = subjects[kind]
        log.warning("scanner.told", engine=name, kind=kind)
