"""Figures: percentiles, the results file that suites add to, the table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of both sides. In suites without a peer, `peer` is the first measuring point."""

    everpost: float | None
    peer: float | None = None

    @property
    def ratio(self) -> float | None:
        """Everpost divided by the peer."""
        return self.everpost / self.peer if self.everpost is not None and self.peer else None

    def as_json(self) -> dict[str, float | None]:
        return {"everpost": tidy(self.everpost), "peer": tidy(self.peer), "ratio": tidy(self.ratio)}


Suite = Mapping[str, Pair]
Results = Mapping[str, Suite]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all are not above (nearest rank). Raises `ValueError` for none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def tidy(value: float | None) -> float | None:
    """Four significant digits: more would pretend."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def pairs(everpost: Mapping[str, float], peer: Mapping[str, float]) -> dict[str, Pair]:
    """What both sides measured under the same name, and what only one of them did."""
    return {metric: Pair(everpost.get(metric), peer.get(metric)) for metric in {**everpost, **peer}}


def merge(path: Path, fresh: Results) -> dict[str, dict[str, dict[str, float | None]]]:
    """Put suites into the results file: those of this run replace their older selves, all others stay."""
    merged = read(path)
    for suite, metrics in fresh.items():
        merged[suite] = {metric: pair.as_json() for metric, pair in metrics.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(merged, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
    return merged


def read(path: Path) -> dict[str, dict[str, dict[str, float | None]]]:
    """The results file, or nothing where there is none. Raises `ValueError` for anything else."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no results file")
    return found


def shown(value: float | None) -> str:
    """A figure for people."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def table(results: Results, notes: Mapping[str, tuple[str, str]]) -> Table:
    """Results for the terminal. `notes` has each suite's title and what its second column is."""
    made = Table(show_edge=False, pad_edge=False)
    made.add_column("")
    for heading in ("everpost", "peer", "ratio"):
        made.add_column(heading, justify="right")
    for suite, metrics in results.items():
        title, second = notes.get(suite, (suite, "peer"))
        made.add_row(f"[bold]{title}[/bold]", "", f"[dim]{second}[/dim]", "")
        for metric, pair in metrics.items():
            made.add_row("  " + metric, shown(pair.everpost), shown(pair.peer), shown(pair.ratio))
        made.add_section()
    return made
