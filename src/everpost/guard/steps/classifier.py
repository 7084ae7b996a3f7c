"""How a message reads: what the trainable classifier has to say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from everpost.guard.case import Case
from everpost.guard.contents import Contents
from everpost.guard.learn.features import features_of
from everpost.guard.learn.models import Models
from everpost.guard.learn.speak import Model, Spoken, Terms, silence, speak
from everpost.guard.model import Signal
from everpost.guard.steps.reading import BESIDE
from everpost.mail.header import Header


class Classifier:
    """Runs after the step that reads the message. `on_spoken` hears how each ended, for the figures."""

    def __init__(
        self, models: Models, terms: Terms, on_spoken: Callable[[Spoken], None] = lambda _spoken: None
    ) -> None:
        self._models = models
        self._terms = terms
        self._on_spoken = on_spoken

    async def __call__(self, case: Case) -> Iterable[Signal]:
        if case.contents is None:
            return ()  # it could not be read: the step that tried has said so
        prior, own = await self._models.of(case.organisation_ids)
        silent = silence(prior, own, self._terms)
        if silent is not None:
            self._on_spoken(Spoken.SILENT)
            return (silent,)
        work = (case.header, case.contents, prior, own, self._terms)
        spoken, found = _look(*work) if case.size <= BESIDE else await asyncio.to_thread(_look, *work)
        self._on_spoken(spoken)
        return (found,)


def _look(
    header: Header, contents: Contents, prior: Model | None, own: Model | None, terms: Terms
) -> tuple[Spoken, Signal]:
    return speak(features_of(header, contents), prior, own, terms)
