"""YARA rules: found with their place and weight, read again while mail flows, and bounded by force."""

from __future__ import annotations

import asyncio
import base64
import os
import signal as signals
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from everpost.guard import kinds
from everpost.guard.model import Judgement, Signal, Way
from everpost.guard.scanners import yara as yara_module
from everpost.guard.scanners.model import Piece, Subject, Unavailable, WhenAway
from everpost.guard.scanners.shelf import Shelf
from everpost.guard.scanners.yara import Yara, YaraSettings
from everpost.guard.steps.attachments import Attachments
from everpost.guard.steps.reading import Reading
from everpost.guard.steps.scanners import Scanners
from everpost.guard.verdict import Policy, judge
from guard_tools import case_of
from scanner_tools import BASE64, OCTETS, TEXT, mixed, zipped

RULE = 'rule Invoice { strings: $a = "pay to this account" nocase condition: $a }\n'
WEIGHED = 'rule Odd { meta: weight = 1.5 strings: $a = "odd words" condition: $a }\n'
ENDLESS = "rule Endless { condition: for all i in (0..100000000000) : (uint8(i % 100) >= 0) }\n"


class Rules:
    """A folder of rules with the scanner that reads it, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[tuple[int, bool]] = []
        self.results: list[str] = []
        self.yara = Yara(
            YaraSettings(folder, 2.0, WhenAway.DEFER),
            on_scan=lambda _engine, result, _seconds: self.results.append(result),
            on_rules=lambda rules, broken: self.told.append((rules, broken)),
        )

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    async def look(self, *texts: str) -> list[Signal]:
        pieces = tuple(Piece(f"part {number}", text.encode()) for number, text in enumerate(texts, start=1))
        return list(await self.yara.look(Subject(1, lambda: (), pieces)))

    async def told_again(self) -> tuple[int, bool]:
        """Look until the rules have been read again."""
        known = len(self.told)
        async with asyncio.timeout(10):
            while len(self.told) == known:
                await self.look("nothing")
                await asyncio.sleep(0.02)
        return self.told[-1]


@pytest.fixture
async def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rules]:
    monkeypatch.setattr(yara_module, "LOOK_S", 0.05)
    made = Rules(tmp_path)
    yield made
    await made.yara.close()


async def test_rules_are_met_in_texts_and_in_what_was_unpacked(rules: Rules) -> None:
    rules.write("bank.yar", RULE)
    rules.write("more/odd.yara", WEIGHED)
    message = mixed(
        TEXT.replace(b"See the file", b"odd words"),
        OCTETS + b'Content-Disposition: attachment; filename="a.zip"\r\n' + BASE64 + b"\r\n"
        + base64.encodebytes(zipped(b"Please PAY to this account", "b.txt")),
    )  # fmt: skip
    case = case_of(message)
    await Reading()(case)
    await Attachments(2.0, shelf=Shelf())(case)
    found = list(await Scanners([rules.yara])(case))
    assert {(each.kind, each.weight, each.evidence) for each in found} == {
        (kinds.SCANNER_RULE.name, 1.5, "yara: Odd (more/odd.yara) in a text"),
        (kinds.SCANNER_MALWARE.name, 10.0, "yara: Invoice (bank.yar) in a.zip › b.txt"),
    }
    assert judge(found, Way.INBOUND, Policy()).judgement is Judgement.MALWARE
    assert rules.told == [(2, False)]


async def test_changed_rules_are_read_again_and_broken_ones_change_nothing(rules: Rules) -> None:
    rules.write("a.yar", RULE)
    assert [each.kind for each in await rules.look("pay to this account")] == [kinds.SCANNER_MALWARE.name]
    rules.write("b.yar", 'rule Second { strings: $a = "second" condition: $a }')
    assert await rules.told_again() == (2, False)
    assert "Second" in (await rules.look("a second one"))[0].evidence
    rules.write("b.yar", "rule Second { condition: what }")
    assert await rules.told_again() == (2, True)
    with pytest.raises(Unavailable, match=r"b\.yar: error"):
        await rules.yara.check()
    for _ in range(10):  # told once, not for each message
        assert "Second" in (await rules.look("a second one"))[0].evidence
        await asyncio.sleep(0.02)
    assert len(rules.told) == 3
    (rules.folder / "b.yar").unlink()
    assert await rules.told_again() == (1, False)
    assert await rules.look("a second one") == []


async def test_rules_that_are_broken_from_the_start_leave_mail_unseen(rules: Rules) -> None:
    rules.write("a.yar", "rule { no")
    [signal] = await rules.look("anything")
    assert signal.kind == kinds.SCANNER_AWAY_DEFER.name
    assert "a.yar" in signal.evidence
    rules.write("a.yar", RULE)
    assert await rules.told_again() == (1, False)
    assert [each.kind for each in await rules.look("pay to this account")] == [kinds.SCANNER_MALWARE.name]


async def test_a_rule_without_end_holds_up_neither_mail_nor_the_process(
    rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules.write("a.yar", ENDLESS)
    await rules.look("nothing")
    longest, last, ticking = 0.0, time.monotonic(), True

    async def tick() -> None:
        nonlocal longest, last
        while ticking:
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticks = asyncio.create_task(tick())
    started = time.monotonic()
    found = await rules.look("x" * 1000)
    assert time.monotonic() - started < 4
    ticking = False
    await ticks
    assert {each.kind for each in found} == {kinds.SCANNER_AWAY_DEFER.name, kinds.SCANNER_SLOW.name}
    assert longest < 0.5  # the event loop went on


async def test_a_process_that_dies_is_replaced_with_the_rules_it_had(rules: Rules) -> None:
    rules.write("a.yar", RULE)
    assert len(await rules.look("pay to this account")) == 1
    rules.write("a.yar", "broken {")
    assert await rules.told_again() == (1, True)
    process = rules.yara._process
    assert process is not None
    assert process._process is not None
    os.kill(process._process.pid, signals.SIGKILL)
    await process._process.wait()
    assert [each.kind for each in await rules.look("pay to this account")] == [kinds.SCANNER_MALWARE.name]


async def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no such folder"):
        await Yara(YaraSettings(tmp_path / "none")).check()
