"""The model: how often each feature was in spam and in ham, what that says of it, and what a message's features say
together. Naive Bayes with shrunken estimates, over a prior. Pure.

Lessons are only ever added up, so their order does not matter and each can be taken back exactly. Amounts are counted
in thousandths of a message, so that a lesson of somebody who gives many can weigh less than one.
"""

from __future__ import annotations

import enum
import math
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WHOLE: Final = 1000
"""What the lesson of one message counts, where its teacher gave few."""
MAX_KNOWN: Final = 300_000  # features of one table: 2.4 MB
MOST_OF_ONE: Final = 20
"""Messages that all lessons of one person weigh together at most."""
_DOUBT: Final = 0.1  # messages that are imagined to say nothing of a feature (Robinson's s)
_TRUST: Final = (
    4.0  # messages that the prior's word on a feature counts as, where an organisation has lessons of its own
)
_FLATTEN: Final = 5.0  # features that are imagined to say nothing of a message


class Class(enum.StrEnum):
    """What a lesson says a message is."""

    SPAM = "spam"
    HAM = "ham"


@dataclass(frozen=True, slots=True)
class Amount:
    """Lessons of each class, in thousandths of a message."""

    spam: int = 0
    ham: int = 0

    def plus(self, spam: int, ham: int) -> Amount:
        return Amount(self.spam + spam, self.ham + ham)

    def least(self) -> float:
        """Messages of the class that there are fewer of."""
        return min(self.spam, self.ham) / WHOLE


class Counts:
    """Lessons added up: in memory, for measurements and as the meaning of what the database does."""

    def __init__(self) -> None:
        self.total = Amount()
        self.of: dict[int, Amount] = {}

    def learn(self, numbers: Iterable[int], verdict: Class, weight: int = WHOLE) -> None:
        """Add a lesson; `weight` below zero takes one back."""
        spam, ham = (weight, 0) if verdict is Class.SPAM else (0, weight)
        self.total = self.total.plus(spam, ham)
        for number in set(numbers):
            now = self.of.get(number, Amount()).plus(spam, ham)
            if now.spam or now.ham:
                self.of[number] = now
            else:
                del self.of[number]

    def unlearn(self, numbers: Iterable[int], verdict: Class, weight: int = WHOLE) -> None:
        """As if the lesson had never been."""
        self.learn(numbers, verdict, -weight)


class Table:
    """What each feature says: log-odds that a message with it is spam. Does not change; 8 octets a feature."""

    __slots__ = ("_numbers", "_starts", "_weights")

    def __init__(self, weights: Mapping[int, float] | None = None) -> None:
        """Of more than `MAX_KNOWN` features those are left out that say least."""
        items = sorted((weights or {}).items())
        if len(items) > MAX_KNOWN:
            items = sorted(sorted(items, key=lambda item: -abs(item[1]))[:MAX_KNOWN])
        self._fill(array("I", (number for number, _ in items)), array("f", (weight for _, weight in items)))

    def _fill(self, numbers: array[int], weights: array[float]) -> None:
        self._numbers, self._weights = numbers, weights
        bits = range(0, (1 << 32) + 1, 1 << 20)  # where numbers with the same upper 12 bits begin
        self._starts = array("I", (bisect_left(numbers, first) for first in bits))

    def __len__(self) -> int:
        return len(self._numbers)

    def get(self, number: int) -> float | None:
        """None where the feature is not known."""
        bucket = number >> 20
        end = self._starts[bucket + 1]
        at = bisect_left(self._numbers, number, self._starts[bucket], end)
        return self._weights[at] if at < end and self._numbers[at] == number else None

    def to_bytes(self) -> bytes:
        """As it is stored: numbers in order, then weights, both little-endian and 4 octets wide."""
        return _little(self._numbers).tobytes() + _little(self._weights).tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Table:
        """Raises `ValueError` where this is no table."""
        if len(data) % 8:
            raise ValueError("not a table of features")
        numbers, weights = array("I"), array("f")
        numbers.frombytes(data[: len(data) // 2])
        weights.frombytes(data[len(data) // 2 :])
        table = cls.__new__(cls)
        table._fill(_little(numbers), _little(weights))
        return table


def _little(values: array) -> array:  # type: ignore[type-arg]
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values


def make_table(counts: Mapping[int, Amount], total: Amount, prior: Table | None = None) -> Table:
    """What features say after these lessons: f = (s·x + n·p) / (s + n), where p is the share of spam among as many
    messages of each class, n the number of lessons, and x what was believed before, which counts as s messages.

    With a prior, x is its word on the feature. Empty where a class has no lessons.
    """
    if total.spam <= 0 or total.ham <= 0:
        return Table()
    weights: dict[int, float] = {}
    for number, amount in counts.items():
        rate_spam, rate_ham = amount.spam / total.spam, amount.ham / total.ham
        if rate_spam + rate_ham <= 0:
            continue
        known = prior.get(number) if prior is not None else None
        before, strength = (0.5, _DOUBT) if known is None else (_probability(known), _TRUST)
        lessons = (amount.spam + amount.ham) / WHOLE
        belief = (strength * before + lessons * rate_spam / (rate_spam + rate_ham)) / (strength + lessons)
        weights[number] = log_odds(belief)
    return Table(weights)


def _probability(weight: float) -> float:
    return 1.0 / (1.0 + math.exp(-weight))


def log_odds(probability: float) -> float:
    """Within ±9."""
    bounded = min(max(probability, 1.2e-4), 1 - 1.2e-4)
    return math.log(bounded / (1 - bounded))


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the features of a message say together: the mean of what each says, kept near zero where few are known;
    and those that said most, as (feature, weight).
    """

    score: float
    known: int
    telling: tuple[tuple[str, float], ...]


def opinion(features: Sequence[str], numbers: Sequence[int], tables: Sequence[Table], most: int = 8) -> Opinion:
    """The first table that knows a feature has the word on it. `numbers` are those of the `features`."""
    said: list[tuple[float, int]] = []
    for at, number in enumerate(numbers):
        for table in tables:
            weight = table.get(number)
            if weight is not None:
                said.append((weight, at))
                break
    score = math.fsum(weight for weight, _ in said) / (len(said) + _FLATTEN)
    side = 1 if score >= 0 else -1
    said.sort(key=lambda each: (-side * each[0], each[1]))
    telling = tuple((features[at], weight) for weight, at in said[:most] if weight * side > 0)
    return Opinion(score, len(said), telling)
