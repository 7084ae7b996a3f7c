"""What the classifier says of a message as a signal, and when it says nothing. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from everpost.guard import kinds
from everpost.guard.learn.features import feature_number
from everpost.guard.learn.model import Opinion, Table, opinion
from everpost.guard.model import Signal, signal

MOST_FOR: Final = 2.0
"""What a message earns at most by reading like ham: good words are cheap."""
SLOPE: Final = 7.0  # score → log-likelihood ratio, fitted on the second half of the corpus (docs/guard-classifier.md)
_FEWEST: Final = 10  # features of a message that have to be known
_UNSURE: Final = 0.5


class Spoken(enum.StrEnum):
    """How it ended, for the figures."""

    SPAM = "spam"
    HAM = "ham"
    UNSURE = "unsure"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Model:
    """What was learned by the installation (the prior) or by one organisation: a table, and messages of each class."""

    table: Table
    spam: float
    ham: float


@dataclass(frozen=True, slots=True)
class Terms:
    """`minimum`: messages of each class that have to be learned before a model speaks. `most`: what it says against a
    message at most, kept below what makes a message spam: what people say never decides alone. `most_taught`: the same
    where the prior, which only administrators teach, says as much by itself and has `taught` messages of each class.
    """

    minimum: int = 50
    most: float = 4.5
    most_taught: float = 6.0
    taught: int = 500


def silence(prior: Model | None, own: Model | None, terms: Terms = Terms()) -> Signal | None:
    """Why nothing can be said of any message, so that none need be looked at; None where something can."""
    if any(each is not None and _knows_enough(each, terms.minimum) for each in (own, prior)):
        return None
    return signal(kinds.CONTENT_SILENT, _too_little(prior, own, terms.minimum))


def speak(
    features: Sequence[str], prior: Model | None, own: Model | None, terms: Terms = Terms()
) -> tuple[Spoken, Signal]:
    """The one signal: spam or ham with the features that said most, or why there is neither."""
    silent = silence(prior, own, terms)
    if silent is not None:
        return Spoken.SILENT, silent
    tables = [each.table for each in (own, prior) if each is not None and _knows_enough(each, terms.minimum)]
    numbers = [feature_number(each) for each in features]
    said = opinion(features, numbers, tables)
    if said.known < _FEWEST:
        why = f"knows {said.known} of {len(features)} features of this message, {_FEWEST} are needed"
        return Spoken.SILENT, signal(kinds.CONTENT_SILENT, why)
    weight = max(SLOPE * said.score, -MOST_FOR)
    if weight > terms.most:
        weight = min(weight, _most(features, numbers, prior, terms))
    weight = round(weight, 2)
    if abs(weight) < _UNSURE:
        return Spoken.UNSURE, signal(kinds.CONTENT_UNSURE, f"{weight:+.2f}: {_shown(said)}")
    if weight > 0:
        return Spoken.SPAM, signal(kinds.CONTENT_SPAM, _shown(said), weight=weight)
    return Spoken.HAM, signal(kinds.CONTENT_HAM, _shown(said), weight=weight)


def _knows_enough(model: Model, minimum: int) -> bool:
    return min(model.spam, model.ham) >= minimum and len(model.table) > 0


def _most(features: Sequence[str], numbers: Sequence[int], prior: Model | None, terms: Terms) -> float:
    """What may be said against a message at most: more than `terms.most` only where the prior alone says it, too."""
    if prior is None or not _knows_enough(prior, max(terms.taught, terms.minimum)):
        return terms.most
    alone = SLOPE * opinion(features, numbers, (prior.table,), 0).score
    return max(terms.most, min(alone, terms.most_taught))


def _too_little(prior: Model | None, own: Model | None, minimum: int) -> str:
    amounts = [
        f"{name} {each.spam:.0f} spam and {each.ham:.0f} ham"
        for name, each in (("the organisation has", own), ("the installation has", prior))
        if each is not None
    ]
    known = "; ".join(amounts) or "nothing"
    return f"learned so far: {known}; {minimum} of each are needed"


def _shown(said: Opinion) -> str:
    words = ", ".join(f"{feature!r} {weight:+.1f}" for feature, weight in said.telling)
    return f"{said.known} features known: {words}"
