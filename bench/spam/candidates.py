"""Ways to tell spam that were compared: each learns from features with their class, and gives a message a score."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from everpost.guard.learn.model import WHOLE, Class, Counts, Table, make_table, opinion


@dataclass(frozen=True, slots=True)
class Example:
    """The features of one message, with their numbers, and its class."""

    name: str
    is_spam: bool
    features: tuple[str, ...]
    numbers: tuple[int, ...]


Score = Callable[[Example], float]
Learn = Callable[[Sequence[Example]], Score]


def naive_bayes(examples: Sequence[Example]) -> Score:
    """What the guard does: features that two messages have, shrunken log-odds, their mean."""
    table = table_of(examples)
    return lambda example: opinion(example.features, example.numbers, (table,)).score


def table_of(examples: Sequence[Example]) -> Table:
    """The guard's model of these examples."""
    counts = Counts()
    for example in examples:
        counts.learn(example.numbers, Class.SPAM if example.is_spam else Class.HAM)
    often = {number: amount for number, amount in counts.of.items() if amount.spam + amount.ham >= 2 * WHOLE}
    return make_table(often, counts.total)


def fisher(examples: Sequence[Example]) -> Score:
    """Robinson and Fisher, as SpamBayes has it: the 150 strongest features in two chi-squared tests."""
    counts = Counts()
    for example in examples:
        counts.learn(example.numbers, Class.SPAM if example.is_spam else Class.HAM)
    spam, ham = max(counts.total.spam, 1), max(counts.total.ham, 1)
    beliefs: dict[int, float] = {}
    for number, amount in counts.of.items():
        n = (amount.spam + amount.ham) / WHOLE
        p = amount.spam / spam / (amount.spam / spam + amount.ham / ham)
        beliefs[number] = (0.45 * 0.5 + n * p) / (0.45 + n)

    def score(example: Example) -> float:
        found = [beliefs[number] for number in example.numbers if number in beliefs]
        found = sorted((f for f in found if abs(f - 0.5) >= 0.1), key=lambda f: -abs(f - 0.5))[:150]
        if not found:
            return 0.0
        against = _log_chi2(-2 * sum(math.log(1 - f) for f in found), len(found))
        return _log_chi2(-2 * sum(math.log(f) for f in found), len(found)) - against

    return score


def _log_chi2(x: float, half: int) -> float:
    """The logarithm of the chance that chi-squared with 2·half degrees of freedom is above x."""
    m = x / 2
    term = total = -m
    for i in range(1, half):
        term += math.log(m / i) if m > 0 else -1e9
        total = max(total, term) + math.log1p(math.exp(-abs(total - term)))
    return min(total, 0.0)


_EPOCHS: Final = 8
_RATE: Final = 3.0


def logistic(examples: Sequence[Example]) -> Score:
    """Logistic regression by gradient descent over the same features, each message of length one."""
    weights: dict[int, float] = defaultdict(float)
    order = list(examples)
    spam = sum(example.is_spam for example in order) or 1
    balance = {True: len(order) / 2 / spam, False: len(order) / 2 / max(len(order) - spam, 1)}
    chance = random.Random(1)
    for epoch in range(_EPOCHS):
        chance.shuffle(order)
        for example in order:
            unit = 1 / math.sqrt(len(example.numbers) or 1)
            z = unit * sum(weights[number] for number in example.numbers)
            error = example.is_spam - 1 / (1 + math.exp(-max(-30.0, min(30.0, z))))
            if abs(error) > 1e-3:
                step = _RATE / (1 + epoch / 2) * error * balance[example.is_spam] * unit
                for number in example.numbers:
                    weights[number] += step

    return lambda example: sum(weights.get(n, 0.0) for n in example.numbers) / math.sqrt(len(example.numbers) or 1)


_PROMOTION, _THICKNESS = 1.23, 0.05


def winnow(examples: Sequence[Example]) -> Score:
    """Balanced Winnow with a thick threshold, as in OSB-Winnow: weights are multiplied where it errs or hesitates."""
    weights: dict[int, float] = {}

    def ratio(example: Example) -> float:
        total = sum(weights.get(number, 1.0) for number in example.numbers)
        return total / (len(example.numbers) or 1)

    order = list(examples)
    chance = random.Random(1)
    for _ in range(4):
        chance.shuffle(order)
        for example in order:
            value = ratio(example)
            if example.is_spam and value < 1 + _THICKNESS:
                factor = _PROMOTION
            elif not example.is_spam and value > 1 - _THICKNESS:
                factor = 0.83
            else:
                continue
            for number in example.numbers:
                weights[number] = min(max(weights.get(number, 1.0) * factor, 1e-3), 1e3)
    return lambda example: math.log(max(ratio(example), 1e-9))


CANDIDATES: Final[dict[str, Learn]] = {
    "naive Bayes, mean (the guard's)": naive_bayes,
    "Robinson–Fisher chi-squared": fisher,
    "logistic regression": logistic,
    "balanced Winnow": winnow,
}
