"""The copies of a mailbox's messages on its primary, and what their going and flags mean for the standby. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

FEW = 100
MOST_SHARE = 0.2
"""More messages than `FEW` and than this share of a mailbox are not taken away in one go without a person's word."""

Spot = tuple[str, int]
"""Folder on the primary, UID."""


@dataclass(frozen=True, slots=True)
class RemoteCopy:
    """A message where the primary has it, and what it is here."""

    spot: Spot
    entry_id: int
    folder_id: int


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of an entry: the folders it `left`, those where it `stands`, and keywords where they changed.

    One that stands nowhere is gone from the primary.
    """

    entry_id: int
    left: frozenset[int]
    stands: frozenset[int]
    keywords: frozenset[str] | None

    @property
    def is_gone(self) -> bool:
        return not self.stands

    def folders(self, now: Collection[int]) -> frozenset[int]:
        """Where the entry belongs, that stands in the folders `now`: others, that only the standby knows, are kept."""
        return frozenset(now) - self.left or self.stands


def steps(copies: Iterable[RemoteCopy], gone: Collection[Spot], flagged: Mapping[Spot, frozenset[str]]) -> list[Step]:
    """For entries all of whose copies are given. Of several copies that changed, the last one's keywords count."""
    by_entry: dict[int, list[RemoteCopy]] = defaultdict(list)
    for copy in sorted(copies, key=lambda each: each.spot):
        by_entry[copy.entry_id].append(copy)
    found = []
    for entry_id, all_copies in by_entry.items():
        rest = [copy for copy in all_copies if copy.spot not in gone]
        stands = frozenset(copy.folder_id for copy in rest)
        left = frozenset(copy.folder_id for copy in all_copies if copy.spot in gone) - stands
        keywords = [flagged[copy.spot] for copy in rest if copy.spot in flagged]
        if left or keywords or not stands:
            found.append(Step(entry_id, left, stands, keywords[-1] if keywords else None))
    return found


def is_too_much(going: int, all_messages: int) -> bool:
    """Whether so many of a mailbox's messages went at once that a person should look first."""
    return going > FEW and going > MOST_SHARE * all_messages
