"""Phases one after the other, independent steps at once, and no step that can keep mail from its people."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.model import Phase, Signal, Way, signal
from everpost.guard.pipeline import BadPipeline, Look, Pipeline, Step
from guard_tools import case_of

MESSAGE = b"From: a@example.com\r\n\r\nhello\r\n"


def found(name: str) -> Signal:
    return signal(kinds.SPF_FAIL, name)


def says(name: str, log: list[str] | None = None, pause_s: float = 0.0) -> Look:
    async def look(_case: Case) -> Iterable[Signal]:
        if log is not None:
            log.append(f"{name} begins")
        await asyncio.sleep(pause_s)
        if log is not None:
            log.append(f"{name} ends")
        return (found(name),)

    return look


async def raises(_case: Case) -> Iterable[Signal]:
    raise LookupError("no such thing")


async def test_phases_follow_each_other_and_steps_of_one_run_together() -> None:
    log: list[str] = []
    steps = [
        Step("b", Phase.MESSAGE, says("b", log, 0.02), 1),
        Step("a", Phase.CONNECTION, says("a", log), 1),
        Step("c", Phase.MESSAGE, says("c", log), 1),
    ]
    signals = await Pipeline(steps).run(case_of(MESSAGE))
    assert [each.evidence for each in signals] == ["a", "b", "c"]
    assert log == ["a begins", "a ends", "b begins", "c begins", "c ends", "b ends"]


async def test_a_step_waits_for_what_it_needs() -> None:
    log: list[str] = []
    steps = [
        Step("first", Phase.MESSAGE, says("first", log, 0.02), 1),
        Step("second", Phase.MESSAGE, says("second", log), 1, after=("first",)),
    ]
    await Pipeline(steps).run(case_of(MESSAGE))
    assert log == ["first begins", "first ends", "second begins", "second ends"]


async def test_a_step_that_fails_is_a_signal_and_the_others_go_on() -> None:
    faults: list[str] = []
    steps = [
        Step("bad", Phase.MESSAGE, raises, 1),
        Step("slow", Phase.MESSAGE, says("slow", None, 30), 0.02),
        Step("needs bad", Phase.MESSAGE, says("good"), 1, after=("bad",)),
    ]
    signals = await Pipeline(steps, faults.append).run(case_of(MESSAGE))
    assert [each.kind for each in signals] == [kinds.STEP_FAILED.name, kinds.STEP_LATE.name, kinds.SPF_FAIL.name]
    assert "no such thing" in signals[0].evidence
    assert sorted(faults) == ["bad", "slow"]


async def test_steps_look_at_their_own_way_only() -> None:
    steps = [
        Step("in", Phase.MESSAGE, says("in"), 1, ways=frozenset({Way.INBOUND})),
        Step("out", Phase.MESSAGE, says("out"), 1, after=("in",), ways=frozenset({Way.OUTBOUND})),
        Step("both", Phase.MESSAGE, says("both"), 1, after=("in",)),
    ]
    inbound = await Pipeline(steps).run(case_of(MESSAGE))
    outbound = await Pipeline(steps).run(case_of(MESSAGE, way=Way.OUTBOUND))
    assert [each.evidence for each in inbound] == ["in", "both"]
    assert [each.evidence for each in outbound] == ["out", "both"]


@pytest.mark.parametrize(
    "steps",
    [
        [Step("a", Phase.MESSAGE, raises, 1), Step("a", Phase.SENDER, raises, 1)],
        [Step("a", Phase.MESSAGE, raises, 1, after=("b",)), Step("b", Phase.MESSAGE, raises, 1)],
        [Step("a", Phase.SENDER, raises, 1), Step("b", Phase.MESSAGE, raises, 1, after=("a",))],
    ],
)
def test_steps_that_cannot_be_ordered_are_refused(steps: list[Step]) -> None:
    with pytest.raises(BadPipeline):
        Pipeline(steps)


async def test_what_waits_for_nothing_is_done_first_unless_it_needs_what_waits() -> None:
    log: list[str] = []
    steps = [
        Step("asks", Phase.MESSAGE, says("asks", log, 0.02), 1),
        Step("quick", Phase.MESSAGE, says("quick", log), 1, at_once_octets=1000),
        Step("behind", Phase.MESSAGE, says("behind", log), 1, after=("quick",), at_once_octets=1000),
        Step("needs", Phase.MESSAGE, says("needs", log), 1, after=("asks",), at_once_octets=1000),
        Step("breaks", Phase.MESSAGE, raises, 1, at_once_octets=1000),
        Step("larger", Phase.MESSAGE, says("larger", log), 1, at_once_octets=5),
    ]
    signals = await Pipeline(steps).run(case_of(MESSAGE))
    assert [each.evidence for each in signals][:4] == ["asks", "quick", "behind", "needs"]
    assert signals[4].kind == kinds.STEP_FAILED.name
    assert signals[5].evidence == "larger"
    order = [line.partition(" ")[0] for line in log if line.endswith("begins")]
    assert order[:2] == ["quick", "behind"]
    assert order.index("needs") > order.index("asks")
