"""How much somebody sends, held against the limits: a stolen account is loud."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.model import Signal, signal
from everpost.guard.sending.model import Action, Counts, Limit, SendingLimits, Totals, beyond, sent_of, shown_name

KINDS: Final = {
    Action.MARK: kinds.SENDING_LIMIT,
    Action.QUARANTINE: kinds.SENDING_LIMIT_QUARANTINE,
    Action.DEFER: kinds.SENDING_LIMIT_DEFER,
}


class Sending:
    """The step. `on_limit` hears whose limit (`person`, `primary`) a message was beyond, for the figures."""

    def __init__(
        self, counts: Counts, limits: SendingLimits, on_limit: Callable[[str, Action], None] = lambda _who, _what: None
    ) -> None:
        self._counts = counts
        self._limits = limits
        self._on_limit = on_limit

    async def __call__(self, case: Case) -> Iterable[Signal]:
        sent = sent_of(case, self._limits)
        if sent is None:
            return ()
        counted = await self._counts.count(sent)
        found: list[tuple[Action, Signal]] = []
        person = shown_name(case, sent)
        for who, limit, name, totals in (
            ("person", self._limits.person, person, counted.person),
            ("primary", self._limits.primary, sent.primary or "", counted.primary),
        ):
            if evidence := _evidence(limit, name, totals):
                found.append((limit.action, signal(KINDS[limit.action], evidence)))
                self._on_limit(who, limit.action)
        wanted = {action for action, _ in found}
        if Action.DEFER in wanted:
            self._counts.take_back(sent, counted)
        elif Action.QUARANTINE not in wanted:
            self._counts.learn(sent, counted)
        return tuple(each for _, each in found)


def _evidence(limit: Limit, name: str, totals: Totals | None) -> str:
    if totals is None:
        return ""
    exceeded = "; ".join(beyond(limit, totals))
    return f"{name}: {exceeded}" if exceeded else ""
