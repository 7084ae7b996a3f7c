"""Contacts hear once that a scanner is away, and once that it is back, whatever restarts meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from everpost.app import metrics
from everpost.app.scanner_watch import ScannerWatch
from everpost.guard.model import Signal
from everpost.guard.scanners.model import Subject, Unavailable
from everpost.store.database import Database
from world import make_organisation


@dataclass
class Scanner:
    name: str = "clamd"
    problem: str = ""

    async def look(self, subject: Subject) -> tuple[Signal, ...]:
        raise AssertionError("nothing is scanned here")

    async def check(self) -> str:
        if self.problem:
            raise Unavailable(self.problem)
        return "ClamAV 1"


async def told(database: Database) -> list[tuple[str, str]]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT kind, subject FROM alert ORDER BY id")
    return [(row["kind"], row["subject"]) for row in rows]


async def test_one_alert_for_an_outage_and_one_for_its_end(database: Database, master) -> None:
    await make_organisation(database, master)
    scanner, other = Scanner(), Scanner("acme")
    watch = ScannerWatch(database, [scanner, other])
    await watch.run_once()
    assert await told(database) == []  # that they are there is no news
    scanner.problem = "connection refused"
    await watch.run_once()
    assert await told(database) == []
    for _ in range(5):
        await watch.run_once()
    away = ("scanner away", "Scanner clamd is away")
    assert await told(database) == [away]
    assert metrics.SCANNER_UP.labels("clamd")._value.get() == 0
    assert metrics.SCANNER_UP.labels("acme")._value.get() == 1
    watch = ScannerWatch(database, [scanner, other])  # another process leads
    for _ in range(5):
        await watch.run_once()
    assert await told(database) == [away]
    scanner.problem = ""
    watch = ScannerWatch(database, [scanner, other])
    for _ in range(3):
        await watch.run_once()
    back = ("scanner back", "Scanner clamd is back")
    assert await told(database) == [away, back]
    scanner.problem = "gone again"
    for _ in range(3):
        await watch.run_once()
    assert await told(database) == [away, back, away]
