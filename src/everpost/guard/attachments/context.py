"""What the readers of the formats are given, and what they give back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from everpost.guard.attachments.budget import Budget
from everpost.guard.attachments.filetypes import FileType
from everpost.guard.attachments.model import Finding, FindingKind
from everpost.guard.attachments.passwords import Passwords


@dataclass(frozen=True, slots=True)
class Item:
    """What a reader looks into."""

    path: str
    name: str
    data: bytes
    type: FileType
    depth: int


@dataclass(frozen=True, slots=True)
class Child:
    """What was found inside: with its octets, or with its name alone where they cannot be had."""

    name: str
    data: bytes | None


class Context:
    """The findings of one inspection, and what its readers share."""

    def __init__(self, budget: Budget, passwords: Passwords) -> None:
        self.budget = budget
        self.passwords = passwords
        self.findings: dict[Finding, None] = {}

    def find(self, kind: FindingKind, path: str, evidence: str) -> None:
        """Notes a finding once; past the limit only kinds that were not seen before."""
        finding = Finding(kind, path[-500:], evidence[:500])
        if len(self.findings) < self.budget.limits.findings or all(kind is not seen.kind for seen in self.findings):
            self.findings[finding] = None

    def opened_with(self, path: str, password: str) -> None:
        where = "stands in the message" if self.passwords.stands_in_text(password) else "is a usual one"
        self.find(FindingKind.PASSWORD_IN_TEXT, path, f"opens with the password “{password}”, which {where}")


Handler = Callable[[Item, Context], Iterator[Child]]
