"""What a message carries: files typed by their content, unpacked and looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from everpost.guard import kinds
from everpost.guard.attachments import Attachment, Limits, inspect
from everpost.guard.case import Case
from everpost.guard.contents import Contents
from everpost.guard.model import Signal, signals_of


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
    findings = inspect(files, (contents.subject, *contents.texts), limits).findings
    return tuple(signals_of((kinds.ATTACHMENT_KINDS[each.kind], f"{each.path}: {each.evidence}") for each in findings))
