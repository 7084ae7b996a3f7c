"""What a message carries: files typed by their content, unpacked and looked into."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from everpost.guard import kinds
from everpost.guard.attachments import Attachment, Limits, inspect
from everpost.guard.case import Case
from everpost.guard.contents import Contents
from everpost.guard.model import Signal, signals_of
from everpost.guard.scanners.shelf import Kept, Shelf


class Attachments:
    """Runs after the step that reads the message. `seconds` bounds the look at all files of one message; `at_once`,
    how many messages are looked into at the same time. Where there is a `shelf`, what was unpacked is left in the case.
    """

    def __init__(self, seconds: float, at_once: int = 2, shelf: Shelf | None = None) -> None:
        self._limits = Limits(seconds=seconds)
        self._room = asyncio.Semaphore(at_once)
        self._shelf = shelf

    async def __call__(self, case: Case) -> Iterable[Signal]:
        contents = case.contents
        if contents is None or not (contents.files or contents.readings):
            return ()
        async with self._room:
            case.kept = self._shelf.kept() if self._shelf else None
            return await asyncio.to_thread(_look, contents, self._limits, case.kept)


def _look(contents: Contents, limits: Limits, kept: Kept | None) -> tuple[Signal, ...]:
    files = [Attachment(file.name, file.type, file.data) for file in (*contents.files, *contents.readings)]
    texts = (contents.subject, *contents.texts)
    findings = (inspect(files, texts, limits, kept.put) if kept is not None else inspect(files, texts, limits)).findings
    return tuple(signals_of((kinds.ATTACHMENT_KINDS[each.kind], f"{each.path}: {each.evidence}") for each in findings))
