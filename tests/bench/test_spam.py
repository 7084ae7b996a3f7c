"""The arithmetic of `make spam`: dates, what is stripped, recall at few false positives, and that candidates learn."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.spam.candidates import CANDIDATES, Example
from bench.spam.corpus import date_of, stripped
from bench.spam.roc import picture, roc_of

from everpost.guard.contents import read_contents
from everpost.guard.learn.features import feature_number, features_of
from everpost.mail.header import parse_header
from guard_tools.corpus import mail


@pytest.mark.parametrize(
    ("head", "at", "by"),
    [
        (b"Received: by b;\n Thu, 22 Aug 2002 09:44:02 -0400\nDate: 1 Jan 1990 00:00:00 +0000\n", "22 13", "received"),
        (b"Received: from a by b; 1 Jan 1970 00:00:00 +0000\nDate: Thu, 22 Aug 2002 10:00:00 +0000\n", "22 10", "date"),
        (b"From a@b  Thu Aug 22 14:44:07 2002\nDate: never\n", "22 14", "from line"),
        (b"Subject: x\n", "01 00", "none"),
    ],
)  # fmt: skip
def test_dates(head: bytes, at: str, by: str) -> None:
    found, dated_by = date_of(head + b"\nbody; Thu, 29 Aug 2002 09:44:02 -0400\n")
    assert (f"{found:%d %H}", dated_by) == (at, by)


def test_what_gives_the_class_away_is_stripped() -> None:
    data = (
        b"From x@y  Thu Aug 22 14:44:07 2002\nSubject: Re: [ILUG] hello\nTo: zzzz@spamassassin.taint.org\n\n"
        b"Text zzzz.\n"
        b"_______________________________________________\nIrish Linux Users' Group mailing list\n"
    )
    assert stripped(data) == b"Subject: Re: hello\nTo: someone@here.example\n\nText someone.\n"


def test_recall() -> None:
    ham = [(False, float(at)) for at in range(1000)]
    roc = roc_of([*ham, (True, 998.5), (True, 999.5), (True, 500.5), (True, -1.0)])
    assert roc.recall(0) == 0.25
    assert roc.recall(0.001) == 0.5
    assert roc.recall(0.5) == 0.75
    assert roc.above(500) == (0.499, 0.75)
    assert roc.missed_area() == pytest.approx((1 + 0 + 499 + 1000) / 4000)
    assert ET.fromstring(picture({"a <b>": roc, "c": roc})).tag.endswith("svg")


@pytest.mark.parametrize("name", list(CANDIDATES))
def test_candidates_learn(name: str) -> None:
    examples = []
    for number in range(60):
        data = mail(number, spam=number % 2 == 0)
        header = parse_header(data)
        features = features_of(header, read_contents(data, header))
        examples.append(Example(str(number), number % 2 == 0, features, tuple(map(feature_number, features))))
    score = CANDIDATES[name](examples[:40])
    assert roc_of([(each.is_spam, score(each)) for each in examples[40:]]).recall(0) == 1.0
