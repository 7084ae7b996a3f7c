"""The rules of organisations brought to bear on a verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from everpost.guard.case import Case, Reader
from everpost.guard.model import Disposition, Verdict, Way
from everpost.guard.policy.evaluate import Decision, RuleBook
from everpost.guard.policy.facts import Facts

NO_BOOKS: Final[Mapping[int, RuleBook]] = MappingProxyType({})
_REFUSALS: Final = (Disposition.REJECT, Disposition.DEFER)
_STRICT: Final = (
    Disposition.REJECT, Disposition.DEFER, Disposition.QUARANTINE, Disposition.JUNK, Disposition.ACCEPT,
)  # fmt: skip
"""The strictest first: of what rules say about several readers of a message that goes out, it counts for all."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """A verdict after the rules; `dispositions` by mailbox, where they differ from the verdict's."""

    verdict: Verdict
    dispositions: Mapping[int, Disposition] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    keep: bool = False


def apply_rules(verdict: Verdict, case: Case, books: Mapping[int, RuleBook], country: str = "") -> Ruled:
    """What is done with a message, for all its readers or for each of them. Rules of an organisation see its own
    readers of mail that comes in, and all readers of what it sends.
    """
    used = {number: book for number, book in books.items() if book}
    if not used or not case.readers:
        return Ruled(verdict)
    facts = Facts(case, verdict, country)
    wanted: dict[Reader, Disposition] = {}
    decisions: list[Decision] = []
    for organisation_id, book in used.items():
        readers = _readers_of(organisation_id, case)
        decision = book.decide(facts, readers)
        decisions.append(decision)
        wanted |= {readers[number]: disposition for number, disposition in decision.dispositions.items()}
    signals = (*verdict.signals, *(each for decision in decisions for each in decision.signals()))
    verdict = replace(verdict, signals=signals)
    fields = tuple(each for decision in decisions for each in decision.fields)
    keep = any(decision.keep for decision in decisions)
    common, dispositions = _settle(verdict, case, wanted)
    return Ruled(replace(verdict, disposition=common), dispositions, fields, keep)


def _readers_of(organisation_id: int, case: Case) -> Sequence[Reader]:
    if case.way is Way.OUTBOUND:
        return case.readers
    return [reader for reader in case.readers if reader.organisation_id == organisation_id]


def _settle(
    verdict: Verdict, case: Case, wanted: Mapping[Reader, Disposition]
) -> tuple[Disposition, dict[int, Disposition]]:
    """One disposition for all where that can be. A message is refused for all or for none: where rules want it refused
    for some, it is kept apart for those.
    """
    if not wanted:
        return verdict.disposition, {}
    if case.way is Way.OUTBOUND:
        return min(wanted.values(), key=_STRICT.index), {}
    each = {reader: wanted.get(reader, verdict.disposition) for reader in case.readers}
    if len(set(each.values())) == 1:
        return next(iter(each.values())), {}
    common = Disposition.ACCEPT if verdict.disposition in _REFUSALS else verdict.disposition
    apart = {
        reader.mailbox_id: Disposition.QUARANTINE if disposition in _REFUSALS else disposition
        for reader, disposition in each.items()
        if reader.mailbox_id is not None
    }
    return common, {mailbox: disposition for mailbox, disposition in apart.items() if disposition is not common}
