"""Where the words that were searched for stand: subject and a passage of the text, as HTML (RFC 8621 §5). Pure."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from everpost.standby.search import Combined, Condition, Filter, Operator
from everpost.standby.text import Term, fold, is_paired, terms

MAX_PREVIEW_OCTETS: Final = 255  # RFC 8621 §5
MAX_LETTERS: Final = 200_000
_LEAD_LETTERS = 60
_WORD = re.compile(r"\w+")
_MARK = ("<mark>", "</mark>")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to mark in the subject and in the text."""

    subject: tuple[Term, ...]
    body: tuple[Term, ...]


def wanted_words(wanted: Filter | None) -> Wanted:
    """The words that a filter asks for; what it excludes is not marked."""
    subject: list[Term] = []
    body: list[Term] = []
    _collect(wanted, subject, body)
    return Wanted(tuple(subject), tuple(body))


def _collect(wanted: Filter | None, subject: list[Term], body: list[Term]) -> None:
    if isinstance(wanted, Combined):
        if wanted.operator is not Operator.NOT:
            for part in wanted.parts:
                _collect(part, subject, body)
    elif isinstance(wanted, Condition):
        anywhere = terms(wanted.text or "")
        subject += [*anywhere, *terms(wanted.subject or "")]
        body += [*anywhere, *terms(wanted.body or "")]


def mark_all(text: str, asked: Iterable[Term]) -> str | None:
    """The whole text with the words marked; None where none of them is in it."""
    text = " ".join(text[:MAX_LETTERS].split())
    places = _places(text, asked)
    return _render(text, 0, len(text), places) if places else None


def passage(text: str, asked: Iterable[Term]) -> str | None:
    """A passage around the first such word, of at most 255 octets; None where none of them is in it."""
    text = " ".join(text[:MAX_LETTERS].split())
    places = _places(text, asked)
    if not places:
        return None
    first = places[0][0]
    start = text.rfind(" ", 0, max(0, first - _LEAD_LETTERS)) + 1 if first > _LEAD_LETTERS else 0
    if first - start > 2 * _LEAD_LETTERS:  # a script without spaces
        start = first - _LEAD_LETTERS
    end = min(len(text), start + MAX_PREVIEW_OCTETS)
    while True:
        shown = _render(text, start, end, places)
        excess = len(shown.encode("utf-8", "replace")) - MAX_PREVIEW_OCTETS
        if excess <= 0:
            return shown
        if end - max(1, excess // 4) > places[0][1]:
            end -= max(1, excess // 4)
        elif start < first:
            start = min(first, start + max(1, excess // 4))
        else:
            end -= 1


def _places(text: str, asked: Iterable[Term]) -> list[tuple[int, int]]:
    """Ranges of the text to mark, in order, not overlapping."""
    tokens = _tokens(text)
    marked: set[int] = set()
    for term in asked:
        for start in range(len(tokens) - len(term.words) + 1):
            if _matches(tokens, start, term):
                marked.update(range(start, start + len(term.words)))
    found: list[tuple[int, int]] = []
    for number in sorted(marked):
        start, end, _ = tokens[number]
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _matches(tokens: list[tuple[int, int, str]], start: int, term: Term) -> bool:
    last = len(term.words) - 1
    for place, word in enumerate(term.words):
        here = tokens[start + place][2]
        if not (here.startswith(word) if place == last and not term.exact else here == word):
            return False
    return True


def _tokens(text: str) -> list[tuple[int, int, str]]:
    """Words as the index has them, with where they stand in the text."""
    tokens = []
    for match in _WORD.finditer(text):
        start, word = match.start(), match.group()
        if not is_paired(word):
            tokens.append((start, match.end(), fold(word)))
            continue
        letters = [fold(letter) for letter in word]
        for place in range(len(word)):
            end = min(place + 2, len(word))
            tokens.append((start + place, start + end, "".join(letters[place:end])))
    return tokens


def _render(text: str, start: int, end: int, places: list[tuple[int, int]]) -> str:
    pieces, at = [], start
    for first, last in places:
        if first < start or last > end:
            continue
        pieces += [html.escape(text[at:first]), _MARK[0], html.escape(text[first:last]), _MARK[1]]
        at = last
    return "".join((*pieces, html.escape(text[at:end])))
