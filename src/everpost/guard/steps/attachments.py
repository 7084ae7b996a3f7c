"""What a message carries: files typed by their content, unpacked and looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from everpost.guard import kinds
from everpost.guard.attachments import Attachment, Finding, Limits, inspect
from everpost.guard.case import Case
from everpost.guard.contents import Contents
from everpost.guard.model import Signal, signal

_EACH: Final = 3  # signals of one kind


class Attachments:
    """Runs after the step that reads the message. `seconds` bounds the look at all files of one message; `at_once`,
    how many messages are looked into at the same time.
    """

    def __init__(self, seconds: float, at_once: int = 2) -> None:
        self._limits = Limits(seconds=seconds)
        self._room = asyncio.Semaphore(at_once)

    async def __call__(self, case: Case) -> Iterable[Signal]:
        contents = case.contents
        if contents is None or not contents.files:
            return ()
        async with self._room:
            return await asyncio.to_thread(_look, contents, self._limits)


def _look(contents: Contents, limits: Limits) -> tuple[Signal, ...]:
    files = [Attachment(file.name, file.type, file.data) for file in contents.files]
    return tuple(attachment_signals(inspect(files, (contents.subject, *contents.texts), limits).findings))


def attachment_signals(findings: Iterable[Finding]) -> Iterator[Signal]:
    """At most a few of each kind; only the first counts, so that many files of a kind weigh no more than one."""
    seen: dict[str, int] = {}
    for finding in findings:
        kind = kinds.ATTACHMENT_KINDS[finding.kind]
        count = seen[kind.name] = seen.get(kind.name, 0) + 1
        if count <= _EACH:
            yield signal(kind, f"{finding.path}: {finding.evidence}", weight=None if count == 1 else 0.0)
