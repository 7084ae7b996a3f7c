"""The step in the pipeline: what it leaves in the trace, and how it takes a database that is away."""

from __future__ import annotations

import pytest

from everpost.guard.contents import read_contents
from everpost.guard.learn.features import feature_number, features_of
from everpost.guard.learn.model import WHOLE, Class, Counts, make_table
from everpost.guard.learn.speak import Model, Spoken, Terms
from everpost.guard.model import Phase
from everpost.guard.pipeline import Pipeline, Step
from everpost.guard.steps.classifier import Classifier
from everpost.guard.steps.reading import Reading
from everpost.mail.header import parse_header
from guard_tools import case_of
from guard_tools.corpus import mail


class FakeModels:
    def __init__(self, prior: Model | None) -> None:
        self.prior = prior
        self.asked: list[frozenset[int]] = []

    async def of(self, organisation_ids: frozenset[int]) -> tuple[Model | None, Model | None]:
        self.asked.append(organisation_ids)
        if self.prior is None:
            raise TimeoutError("no answer")
        return self.prior, None


@pytest.fixture(scope="module")
def prior() -> Model:
    counts = Counts()
    for number in range(60):
        for verdict in Class:
            data = mail(number, spam=verdict is Class.SPAM)
            header = parse_header(data)
            counts.learn(map(feature_number, features_of(header, read_contents(data, header))), verdict)
    return Model(make_table(counts.of, counts.total), counts.total.spam / WHOLE, counts.total.ham / WHOLE)


def pipeline(models: FakeModels, heard: list[Spoken]) -> Pipeline:
    step = Classifier(models, Terms(), heard.append)  # type: ignore[arg-type]
    return Pipeline(
        [Step("reading", Phase.MESSAGE, Reading(), 5), Step("classifier", Phase.MESSAGE, step, 5, after=("reading",))]
    )


async def test_one_signal_for_each_message(prior: Model) -> None:
    heard: list[Spoken] = []
    models = FakeModels(prior)
    run = pipeline(models, heard).run
    [spam] = await run(case_of(mail(300, spam=True)))
    [ham] = await run(case_of(mail(300, spam=False)))
    [large] = await run(case_of(mail(301, spam=True) + b"\r\nbuy" * 40_000))
    assert (spam.kind, ham.kind, large.kind) == ("content.spam", "content.ham", "content.spam")
    assert heard == [Spoken.SPAM, Spoken.HAM, Spoken.SPAM]
    assert models.asked == [frozenset({1})] * 3


async def test_without_a_model_nothing_is_looked_at(prior: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everpost.guard.steps.classifier.features_of", lambda *_: 1 / 0)
    heard: list[Spoken] = []
    [said] = await pipeline(FakeModels(Model(prior.table, 49, 60)), heard).run(case_of(mail(300, spam=True)))
    assert (said.kind, heard) == ("content.silent", [Spoken.SILENT])
    assert "49 spam and 60 ham; 50 of each" in said.evidence


async def test_a_database_that_is_away_costs_a_signal_not_the_message() -> None:
    [said] = await pipeline(FakeModels(None), []).run(case_of(mail(300, spam=True)))
    assert said.kind in ("fault.failed", "fault.late")
