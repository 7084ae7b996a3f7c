"""The results as a picture: for each figure two bars, the longer one full width."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from bench.results import shown

_WIDTH, _LABEL, _BAR = 860, 240, 440
_ROW, _HEAD, _THICK = 40, 44, 13
_COLOURS = {"everpost": "#1f6f54", "peer": "#b9b4a7"}
_STYLE = (
    "text{font-family:system-ui,sans-serif;font-size:12px;fill:#222}"
    ".title{font-size:14px;font-weight:600}.dim{fill:#777}.ratio{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.dim{fill:#999}}"
)

Merged = Mapping[str, Mapping[str, Mapping[str, float | None]]]


def svg(results: Merged, notes: Mapping[str, tuple[str, str]]) -> str:
    """An SVG document of the results file. `notes` has each suite's title and what its second bar is."""
    parts: list[str] = []
    y = 10
    for suite, metrics in results.items():
        title, second = notes.get(suite, (suite, "peer"))
        parts.append(_text(10, y + 20, title, "title") + _legend(y + 20, second))
        y += _HEAD
        for metric, figures in metrics.items():
            parts.append(_row(y, metric, figures))
            y += _ROW
        y += 12
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
        f'role="img" aria-label="Benchmark results">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _legend(y: int, second: str) -> str:
    x = _LABEL + 90
    return "".join(
        f'<rect x="{at}" y="{y - 10}" width="10" height="10" fill="{_COLOURS[side]}"/>{_text(at + 15, y, name, "dim")}'
        for side, name, at in (("everpost", "everpost", x), ("peer", second, x + 90))
    )


def _row(y: int, metric: str, figures: Mapping[str, float | None]) -> str:
    longest = max((abs(figures.get(side) or 0) for side in _COLOURS), default=0) or 1
    parts = [_text(10, y + 18, metric)]
    for number, (side, colour) in enumerate(_COLOURS.items()):
        value = figures.get(side)
        if value is None:
            continue
        top = y + 2 + number * (_THICK + 1)
        length = max(abs(value) / longest * _BAR, 1)
        parts.append(f'<rect x="{_LABEL}" y="{top}" width="{length:.1f}" height="{_THICK}" fill="{colour}"/>')
        parts.append(_text(_LABEL + length + 6, top + 11, shown(value), "dim"))
    if figures.get("ratio") is not None:
        parts.append(_text(_WIDTH - 70, y + 20, "× " + shown(figures["ratio"]), "ratio"))
    return "".join(parts)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}"{attribute}>{escape(text)}</text>'
