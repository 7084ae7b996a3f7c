"""A policy ready to be asked, and what it decides about a message. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from everpost.guard import kinds
from everpost.guard.case import Reader
from everpost.guard.model import Disposition, Judgement, Signal, signal
from everpost.guard.policy.conditions import BadValue, MessageTest, ReaderTest, message_test, reader_test
from everpost.guard.policy.facts import Facts
from everpost.guard.policy.model import Action, ActionKind, Field, Hit, PolicyDocument, Rule, RuleState
from everpost.guard.verdict import UNSCANNED

_DISPOSITIONS: Final[Mapping[ActionKind, Disposition]] = {
    ActionKind.ACCEPT: Disposition.ACCEPT,
    ActionKind.JUNK: Disposition.JUNK,
    ActionKind.QUARANTINE: Disposition.QUARANTINE,
    ActionKind.DEFER: Disposition.DEFER,
    ActionKind.REJECT: Disposition.REJECT,
}


@dataclass(slots=True)
class Decision:
    """What the rules of an organisation say about a message for its readers. `dispositions` is by the reader's place
    among them; `fields` are header fields for the delivery copies, `keep` leaves their text and links as they are.
    """

    dispositions: dict[int, Disposition] = field(default_factory=dict)
    fields: list[str] = field(default_factory=list)
    keep: bool = False
    hits: list[Hit] = field(default_factory=list)

    def signals(self) -> list[Signal]:
        """The hits, for the trace: they weigh nothing."""
        return [
            signal(
                kinds.POLICY_RULE if hit.acted else kinds.POLICY_SHADOW,
                f"{hit.name or hit.rule_id}: {', '.join(hit.actions) or 'nothing to do'}",
            )
            for hit in self.hits
        ]


@dataclass(frozen=True, slots=True)
class _Compiled:
    rule: Rule
    message: tuple[MessageTest, ...]
    readers: tuple[ReaderTest, ...]


class RuleBook:
    """The rules of one organisation, made ready once. `version` is that of the document."""

    def __init__(self, document: PolicyDocument, groups: Mapping[str, int], version: int = 0) -> None:
        """Raises `BadPolicy`."""
        self.version = version
        self._rules = tuple(_compiled(rule, groups) for rule in document.rule if rule.state is not RuleState.OFF)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def decide(self, facts: Facts, readers: Sequence[Reader]) -> Decision:
        """Top down. A rule that says `stop` ends it for the readers that it was true of."""
        decision = Decision()
        left = set(range(len(readers)))
        for each in self._rules:
            if not left:
                break
            if not all(test(facts) for test in each.message):
                continue
            meant = {number for number in left if all(test(facts, readers[number]) for test in each.readers)}
            if meant:
                _act(each.rule, meant, facts, decision)
                if each.rule.stop and each.rule.state is RuleState.ON:
                    left -= meant
        return decision


class BadPolicy(ValueError):
    """A document that cannot be used; the message names the rule and says why."""


def _compiled(rule: Rule, groups: Mapping[str, int]) -> _Compiled:
    message: list[MessageTest] = []
    readers: list[ReaderTest] = []
    for number, condition in enumerate(rule.when, start=1):
        try:
            if condition.field is Field.RECIPIENT:
                readers.append(reader_test(condition, groups))
            else:
                message.append(message_test(condition))
        except BadValue as error:
            raise BadPolicy(f"rule {rule.id!r}, condition {number} ({condition.field}): {error}") from None
    return _Compiled(rule, tuple(message), tuple(readers))


def _act(rule: Rule, meant: set[int], facts: Facts, decision: Decision) -> None:
    acts = rule.state is RuleState.ON
    decision.hits.append(Hit(rule.id, rule.name, acts, len(meant), tuple(each.do for each in rule.do)))
    if not acts:
        return
    for action in rule.do:
        _do(action, meant, facts, decision)


def _do(action: Action, meant: set[int], facts: Facts, decision: Decision) -> None:
    if action.do is ActionKind.FIELD:
        decision.fields.append(action.value)
    elif action.do is ActionKind.KEEP:
        decision.keep = True
    elif action.do is not ActionKind.ACCEPT or not _is_fixed(facts):
        decision.dispositions |= dict.fromkeys(meant, _DISPOSITIONS[action.do])


def _is_fixed(facts: Facts) -> bool:
    """Whether no rule lets it in: it is malware, or a scanner that had to see it first is away."""
    return facts.judgement is Judgement.MALWARE or not facts.signals.isdisjoint(UNSCANNED)
