"""Recall at few false positives, and the curve as a picture."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

RATES: Final = (0.0, 0.001, 0.002, 0.005, 0.01)
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 420, 60, 50, 20
_FLOOR: Final = 2e-4  # of false positives, shown on a logarithmic axis
_LOWEST: Final = 0.5  # recall
_COLOURS: Final = ("#1f6f54", "#b3541e", "#3b5b92", "#7a4a8c", "#8a8577")


@dataclass(frozen=True, slots=True)
class Roc:
    """Scores of ham and spam, each sorted."""

    ham: tuple[float, ...]
    spam: tuple[float, ...]

    def recall(self, rate: float) -> float:
        """The share of spam above a threshold that at most this share of ham passes."""
        allowed = int(rate * len(self.ham) + 1e-9)
        threshold = self.ham[len(self.ham) - 1 - allowed]
        return self.above(threshold)[1]

    def above(self, threshold: float) -> tuple[float, float]:
        """(share of ham, share of spam) with more than this score."""
        ham = len(self.ham) - bisect_right(self.ham, threshold)
        return ham / len(self.ham), (len(self.spam) - bisect_right(self.spam, threshold)) / len(self.spam)

    def missed_area(self) -> float:
        """The area above the curve: the chance that a ham scores higher than a spam."""
        lost = sum(
            len(self.ham) - (bisect_left(self.ham, score) + bisect_right(self.ham, score)) / 2 for score in self.spam
        )
        return lost / len(self.ham) / len(self.spam)


def roc_of(scored: Sequence[tuple[bool, float]]) -> Roc:
    """From (is spam, score) of each message."""
    return Roc(
        tuple(sorted(score for is_spam, score in scored if not is_spam)),
        tuple(sorted(score for is_spam, score in scored if is_spam)),
    )


def picture(curves: Mapping[str, Roc]) -> str:
    """An SVG: recall over false positives, logarithmic."""
    parts = [*_axes()]
    for number, (name, roc) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in _points(roc))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = _HEIGHT - _BOTTOM - 20 - 18 * (len(curves) - 1 - number)
        parts.append(f'<rect x="{_WIDTH - 330}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{_WIDTH - 314}" y="{y}">{escape(name)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'role="img" aria-label="Recall over false positives">\n<style>text{font-family:system-ui,sans-serif;'
        "font-size:12px;fill:#222}line{stroke:#ccc}@media(prefers-color-scheme:dark){text{fill:#ddd}"
        f"line{{stroke:#555}}}}</style>\n{body}\n</svg>\n"
    )


def _points(roc: Roc) -> list[tuple[float, float]]:
    found = [(_x(_FLOOR), _y(roc.recall(0)))]
    last = -1.0
    for allowed in range(1, len(roc.ham)):
        rate = allowed / len(roc.ham)
        recall = roc.recall(rate)
        if recall != last:
            found += [(_x(rate), _y(max(last, _LOWEST))), (_x(rate), _y(recall))] if last >= 0 else []
            last = recall
    return [*found, (_x(1.0), _y(1.0))]


def _axes() -> list[str]:
    parts = []
    for rate in (0.001, 0.01, 0.1, 1.0):
        x = _x(rate)
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{rate:.1%}</text>')
    for percent in (50, 60, 70, 80, 90, 100):
        y = _y(percent / 100)
        parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - 15}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent} %</text>')
    middle = (_LEFT + _WIDTH) / 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">ham taken for spam</text>')
    parts.append(f'<text x="{_LEFT + 6}" y="{_TOP + 4}">spam found</text>')
    return parts


def _x(rate: float) -> float:
    share = (math.log10(max(rate, _FLOOR)) - math.log10(_FLOOR)) / -math.log10(_FLOOR)
    return _LEFT + share * (_WIDTH - 15 - _LEFT)


def _y(recall: float) -> float:
    share = (max(recall, _LOWEST) - _LOWEST) / (1 - _LOWEST)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP - 10)
