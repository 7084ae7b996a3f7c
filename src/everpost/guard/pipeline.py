"""Runs the steps over a message: phase by phase, independent ones at the same time, each within its time limit.

A step that fails or is late costs the message nothing but a signal that says so: policy decides what it means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.model import Phase, Signal, Way, signal

log = structlog.get_logger()


class Look(Protocol):
    """The work of a step. It may raise anything: that is a signal, too."""

    async def __call__(self, case: Case, /) -> Iterable[Signal]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """A named look at a message. `limit_s` bounds it in seconds; `after` names steps of the same phase that it needs
    the findings of; `ways` says whose mail it looks at. At messages of at most `at_once_octets` it looks without
    waiting for anything: no task and no time limit is made for that.
    """

    name: str
    phase: Phase
    look: Look
    limit_s: float
    after: tuple[str, ...] = ()
    ways: frozenset[Way] = frozenset(Way)
    at_once_octets: int = 0

    def needs(self, other: Step) -> bool:
        """Whether it comes after the other one."""
        return other.name in self.after


class BadPipeline(ValueError):
    """Steps that cannot be put in an order; the message names one."""


class Pipeline:
    """The steps of this process. `on_fault` hears the names of steps that failed or were late, for the figures."""

    def __init__(self, steps: Sequence[Step], on_fault: Callable[[str], None] = lambda _step: None) -> None:
        """Raises `BadPipeline`."""
        _check(steps)
        self._phases = tuple(tuple(step for step in steps if step.phase is phase) for phase in Phase)
        self._on_fault = on_fault

    async def run(self, case: Case) -> tuple[Signal, ...]:
        """All signals, those of each step together, in the order of the steps."""
        signals: list[Signal] = []
        for steps in self._phases:
            wanted = [step for step in steps if case.way in step.ways]
            if wanted:
                signals += await self._run_phase(wanted, case)
        return tuple(signals)

    async def _run_phase(self, steps: Sequence[Step], case: Case) -> list[Signal]:
        found: dict[str, Iterable[Signal]] = {}
        waiting: list[Step] = []
        for step in steps:  # in an order in which each stands behind those that it needs
            if case.size <= step.at_once_octets and not any(step.needs(other) for other in waiting):
                found[step.name] = await self._run_step(step, case, None)
            else:
                waiting.append(step)
        if len(waiting) == 1:
            found[waiting[0].name] = await self._run_step(waiting[0], case, waiting[0].limit_s)
        elif waiting:
            found |= await self._run_together(waiting, case)
        return [each for step in steps for each in found[step.name]]

    async def _run_together(self, steps: Sequence[Step], case: Case) -> dict[str, Iterable[Signal]]:
        done = {step.name: asyncio.Event() for step in steps}

        async def in_turn(step: Step) -> Iterable[Signal]:
            for needed in step.after:
                if needed in done:
                    await done[needed].wait()
            try:
                return await self._run_step(step, case, step.limit_s)
            finally:
                done[step.name].set()

        results = await asyncio.gather(*(in_turn(step) for step in steps))
        return {step.name: signals for step, signals in zip(steps, results, strict=True)}

    async def _run_step(self, step: Step, case: Case, limit_s: float | None) -> Iterable[Signal]:
        try:
            if limit_s is None:
                return tuple(await step.look(case))
            async with asyncio.timeout(limit_s):
                return tuple(await step.look(case))
        except TimeoutError:
            self._on_fault(step.name)
            log.warning("guard.step_late", step=step.name, limit_s=step.limit_s)
            return (signal(kinds.STEP_LATE, f"{step.name}: not done within {step.limit_s:g} s"),)
        except Exception as error:  # whatever a step may come to must not keep mail from its people
            self._on_fault(step.name)
            log.warning("guard.step_failed", step=step.name, error=repr(error)[:500], exc_info=True)
            return (signal(kinds.STEP_FAILED, f"{step.name}: {type(error).__name__}: {error}"),)


def _check(steps: Sequence[Step]) -> None:
    """Names are unique, and what a step needs stands before it."""
    known: dict[str, Phase] = {}
    for step in steps:
        if step.name in known:
            raise BadPipeline(f"{step.name} is there twice")
        for needed in step.after:
            if known.get(needed) is not step.phase:
                raise BadPipeline(f"{step.name} needs {needed}, which has to stand before it in the same phase")
        known[step.name] = step.phase
