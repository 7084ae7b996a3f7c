"""What becomes of a click on a link of a delivery copy: the address is judged with what is known now."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from everpost.guard import kinds
from everpost.guard.links.clicks import Click, ClickKey, ClickRefusal, Refused, open_click
from everpost.guard.links.findings import LinkContext, judge_links
from everpost.guard.links.model import Link, LinkSource
from everpost.guard.model import Judgement, Way, signals_of
from everpost.guard.verdict import Policy, judge

ODD: Final = 2.0
"""The score from which a reader is warned. Lower than for a message: whoever clicks is about to go there."""


class ClickOutcome(enum.StrEnum):
    """Where a click leads."""

    OPENED = "opened"
    WARNED = "warned"  # a page that says what is odd, from which the reader may go on
    BLOCKED = "blocked"  # a page that says why, from which nothing leads on
    EXPIRED = "expired"
    NOT_OURS = "not ours"


@dataclass(frozen=True, slots=True)
class Clicked:
    """The outcome, and what it is about: nothing of an address that is not ours."""

    outcome: ClickOutcome
    click: Click | None = None
    reasons: tuple[str, ...] = ()


def read_click(token: str, keys: Mapping[int, ClickKey], now: float) -> Clicked | Click:
    """The click that a token stands for, or its end."""
    found = open_click(token, keys, now)
    if isinstance(found, Click):
        return found
    assert isinstance(found, Refused)
    if found.reason is ClickRefusal.EXPIRED:
        return Clicked(ClickOutcome.EXPIRED, found.click)
    return Clicked(ClickOutcome.NOT_OURS)


def judge_click(click: Click, context: LinkContext, policy: Policy) -> Clicked:
    """With the lists, names and thresholds of this moment."""
    findings = judge_links((Link(click.url, click.url, LinkSource.HTML_HREF),), context)
    signals = list(signals_of((kinds.LINK_KINDS[each.kind], each.evidence) for each in findings))
    verdict = judge(signals, Way.INBOUND, policy)
    reasons = tuple(each.evidence for each in verdict.signals if each.weight > 0)
    if verdict.judgement not in (Judgement.CLEAN, Judgement.SUSPICIOUS):
        return Clicked(ClickOutcome.BLOCKED, click, reasons)
    return Clicked(ClickOutcome.WARNED, click, reasons) if verdict.score >= ODD else Clicked(ClickOutcome.OPENED, click)
