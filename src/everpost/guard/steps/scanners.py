"""Malware: what the configured scanners say of the message and of what was unpacked from it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.model import Signal, signal
from everpost.guard.scanners.engine import Scanner
from everpost.guard.scanners.model import Piece, Subject


class Scanners:
    """Runs after the step that looks into the files, which leaves what it unpacked in the case. All engines are asked
    at the same time.
    """

    def __init__(self, scanners: Sequence[Scanner]) -> None:
        self._scanners = tuple(scanners)

    async def __call__(self, case: Case) -> Iterable[Signal]:
        kept = case.kept
        subject = Subject(case.size, case.open, kept.pieces if kept is not None else (), _texts(case))
        said = await asyncio.gather(*(each.look(subject) for each in self._scanners))
        signals = [each for signals in said for each in signals]
        if kept is not None and kept.left_out:
            signals.append(signal(kinds.SCANNER_INCOMPLETE, f"{kept.left_out} unpacked files were too much to scan"))
        return signals


def _texts(case: Case) -> tuple[Piece, ...]:
    """Subject, texts and pages."""
    contents = case.contents
    if contents is None:
        return ()
    named = [
        ("the subject", contents.subject),
        *(("a text", text) for text in contents.texts),
        *(("a page", page) for page in contents.htmls),
    ]
    return tuple(Piece(where, text.encode("utf-8", "replace")) for where, text in named if text)
