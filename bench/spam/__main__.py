"""`make spam`: learns from the first half of a public corpus by date, and judges the second."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import click

from bench.spam.candidates import CANDIDATES, Example, naive_bayes, table_of
from bench.spam.corpus import FOLDER, CorpusMissing, Mail, header_words, load, stripped
from bench.spam.roc import RATES, Roc, picture, roc_of
from everpost.guard.attachments import Attachment, Limits, inspect
from everpost.guard.case import Case
from everpost.guard.contents import read_contents
from everpost.guard.kinds import ATTACHMENT_KINDS
from everpost.guard.learn.features import feature_number, features_of
from everpost.guard.learn.model import opinion
from everpost.guard.learn.speak import SLOPE, Model, Terms, speak
from everpost.guard.model import Signal, Way, signals_of
from everpost.guard.steps.author import author_signals
from everpost.guard.steps.links import Links
from everpost.guard.verdict import Policy, judge
from everpost.mail.header import parse_header

Halves = tuple[list[int], list[int]]
_OPEN: Final = Policy()


def by_date(mails: Sequence[Mail]) -> Halves:
    """The first half of all mail, and the second."""
    half = len(mails) // 2
    return list(range(half)), list(range(half, len(mails)))


def each_by_date(mails: Sequence[Mail]) -> Halves:
    """The first half of the ham and of the spam, and their second halves."""
    first: list[int] = []
    second: list[int] = []
    for is_spam in (False, True):
        places = [at for at, mail in enumerate(mails) if mail.is_spam is is_spam]
        first += places[: len(places) // 2]
        second += places[len(places) // 2 :]
    return sorted(first), sorted(second)


def at_random(mails: Sequence[Mail]) -> Halves:
    """Two halves drawn by lot: what the classifier would know if spam and ham did not change with time."""
    places = list(range(len(mails)))
    random.Random(1).shuffle(places)
    return sorted(places[: len(places) // 2]), sorted(places[len(places) // 2 :])


SPLITS: Final[dict[str, Callable[[Sequence[Mail]], Halves]]] = {
    "By date": by_date,
    "Each class by date": each_by_date,
    "At random": at_random,
}


def example_of(mail: Mail, change: Callable[[bytes], bytes], more: Callable[[bytes], Iterable[str]]) -> Example:
    """The features of a message after `change`, and `more`."""
    data = change(mail.data)
    header = parse_header(data)
    features = tuple(dict.fromkeys((*features_of(header, read_contents(data, header)), *more(mail.data))))
    return Example(mail.name, mail.is_spam, features, tuple(map(feature_number, features)))


def judged(
    examples: Sequence[Example], halves: Halves, learn: Callable[[Sequence[Example]], Callable[[Example], float]]
) -> Roc:
    """Learn from the first half, score the second."""
    first, second = halves
    score = learn([examples[at] for at in first])
    return roc_of([(examples[at].is_spam, score(examples[at])) for at in second])


def taught_as_it_goes(examples: Sequence[Example], halves: Halves, every: int = 100) -> Roc:
    """As `judged`, but the model goes on learning: people say of every hundred messages what they were."""
    first, second = halves
    scored: list[tuple[bool, float]] = []
    known = [examples[at] for at in first]
    for start in range(0, len(second), every):
        batch = [examples[at] for at in second[start : start + every]]
        score = naive_bayes(known)
        scored += [(example.is_spam, score(example)) for example in batch]
        known += batch
    return roc_of(scored)


# ------------------------------------------------------------------ with the rules of the guard


async def rule_signals(mail: Mail) -> list[Signal]:
    """What the guard's rules see without asking the DNS: author, links, files."""
    data = stripped(mail.data)
    header = parse_header(data)
    contents = read_contents(data, header)
    case = Case(
        Way.INBOUND, None, "mail.example", None, None, (), frozenset({1}), frozenset({"example.org"}), header,
        len(data), datetime.now(UTC), lambda: (data,), contents=contents,
    )  # fmt: skip
    found = [*author_signals(case), *await Links(frozenset())(case)]
    files = [Attachment(file.name, file.type, file.data) for file in contents.files]
    if files:
        findings = inspect(files, (contents.subject, *contents.texts), Limits(seconds=2)).findings
        found += signals_of((ATTACHMENT_KINDS[each.kind], each.evidence) for each in findings)
    return found


def guard_scores(
    examples: Sequence[Example], halves: Halves, rules: Sequence[list[Signal]]
) -> tuple[Roc, Counter[tuple[bool, str]]]:
    """The score of the whole guard for the second half, and what it judged (class, judgement)."""
    first, second = halves
    learned = [examples[at] for at in first]
    spam = sum(example.is_spam for example in learned)
    model = Model(table_of(learned), spam, len(learned) - spam)
    scored: list[tuple[bool, float]] = []  # the sum before the classifier's caps, which make many equal
    judgements: Counter[tuple[bool, str]] = Counter()
    for at in second:
        _, said = speak(examples[at].features, model, None, Terms())
        verdict = judge([*rules[at], said], Way.INBOUND, _OPEN)
        ruled = judge(rules[at], Way.INBOUND, _OPEN).score
        read = opinion(examples[at].features, examples[at].numbers, (model.table,)).score
        scored.append((examples[at].is_spam, ruled + SLOPE * read))
        judgements[examples[at].is_spam, verdict.judgement] += 1
    return roc_of(scored), judgements


# ------------------------------------------------------------------ the report


def row(name: str, roc: Roc) -> str:
    """One line of a Markdown table."""
    recalls = " | ".join(f"{roc.recall(rate):.1%}" for rate in RATES)
    return f"| {name} | {recalls} | {roc.missed_area():.2%} |"


def head(title: str, roc: Roc) -> str:
    """The head of a table."""
    rates = " | ".join(f"{rate:.1%}" for rate in RATES)
    line = "|".join(["---"] * (len(RATES) + 2))
    return f"\n{title}: {len(roc.ham)} ham, {len(roc.spam)} spam judged\n\n| | {rates} | area missed |\n|{line}|"


def timing(mails: Sequence[Mail], examples: Sequence[Example], halves: Halves) -> str:
    """Milliseconds for each message, after parsing."""
    model = Model(table_of([examples[at] for at in halves[0]]), 1000, 1000)
    parsed = []
    for mail in mails[::10]:
        header = parse_header(mail.data)
        parsed.append((header, read_contents(mail.data, header)))
    times = []
    for header, contents in parsed:
        began = time.perf_counter()
        speak(features_of(header, contents), model, None)
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    octets = len(model.table.to_bytes())
    middle, high = times[len(times) // 2], times[len(times) * 99 // 100]
    return (
        f"{len(model.table)} features in {octets / 1e6:.1f} MB; features and score take {middle:.2f} ms (median), "
        f"{high:.2f} ms (99 %) for each message"
    )


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the comparison of candidates and the variants.")
def main(*, quick: bool) -> None:
    """Measure the classifier on the SpamAssassin corpus, and write build/spam/results.md, results.json, roc.svg."""
    try:
        mails = load()
    except CorpusMissing as error:
        raise click.ClickException(str(error)) from error
    lines = [_described(mails)]
    curves: dict[str, Roc] = {}
    plain = [example_of(mail, stripped, _nothing) for mail in mails]
    rules = asyncio.run(_all_rules(mails))
    variants: dict[str, list[Example]] = {}
    if not quick:
        variants["the guard's, nothing stripped"] = [example_of(mail, bytes, _nothing) for mail in mails]
        variants["the guard's, reading every header field"] = [example_of(mail, bytes, header_words) for mail in mails]
    for title, split in SPLITS.items():
        halves = split(mails)
        for name, learn in CANDIDATES.items():
            if quick and learn is not naive_bayes:
                continue
            roc = judged(plain, halves, learn)
            lines += [head(title, roc)] if learn is naive_bayes else []
            lines.append(row(name, roc))
            if split is by_date:
                curves[name] = roc
        whole, judgements = guard_scores(plain, halves, rules)
        lines.append(row("the guard's, with its rules", whole))
        lines.append(row("the guard's, taught as it goes", taught_as_it_goes(plain, halves)))
        if split is by_date:
            curves["the guard's, with its rules"] = whole
        for name, examples in variants.items():
            lines.append(row(name, judged(examples, halves, naive_bayes)))
        lines.append("\n" + _judgements(judgements))
    lines.append("\n" + timing(mails, plain, by_date(mails)))
    text = "\n".join(lines) + "\n"
    (FOLDER / "results.md").write_text(text, encoding="utf-8")
    (FOLDER / "roc.svg").write_text(picture(curves), encoding="utf-8")
    figures = {name: {f"{rate:g}": roc.recall(rate) for rate in RATES} for name, roc in curves.items()}
    (FOLDER / "results.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    click.echo(text)


def _nothing(_data: bytes) -> Iterable[str]:
    return ()


async def _all_rules(mails: Sequence[Mail]) -> list[list[Signal]]:
    return [await rule_signals(mail) for mail in mails]


def _described(mails: Sequence[Mail]) -> str:
    dated = Counter(mail.dated_by for mail in mails)
    spam = sum(mail.is_spam for mail in mails)
    return (
        f"{len(mails)} messages, {spam} spam; dated by {dict(dated)}; {mails[0].at:%Y-%m-%d} to {mails[-1].at:%Y-%m-%d}"
    )


def _judgements(counted: Counter[tuple[bool, str]]) -> str:
    found = []
    for is_spam, name in ((False, "ham"), (True, "spam")):
        total = sum(count for (spam, _), count in counted.items() if spam is is_spam)
        shares = sorted(((judgement, count) for (spam, judgement), count in counted.items() if spam is is_spam))
        found.append(
            f"{name}: " + ", ".join(f"{judgement} {count} ({count / total:.1%})" for judgement, count in shares)
        )
    return "With the guard's default thresholds: " + "; ".join(found)


if __name__ == "__main__":
    main(prog_name="python -m bench.spam")
