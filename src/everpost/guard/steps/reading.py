"""Reads and decodes the message once, for the steps that look at what it says and carries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.contents import Contents, read_contents
from everpost.guard.model import Signal, signal
from everpost.mail.mime import MimeProblem

_FORM: Final = {
    kinds.UNREAD: {MimeProblem.TOO_DEEP, MimeProblem.TOO_MANY_PARTS, MimeProblem.HEADER_CUT},
    kinds.AMBIGUOUS: {MimeProblem.DUPLICATE_FIELD},
    kinds.MALFORMED: {MimeProblem.MISSING_BOUNDARY, MimeProblem.BAD_ENCODING, MimeProblem.BAD_TYPE},
}
BESIDE: Final = 64 * 1024  # octets from which on a message is read beside the event loop
MAX_OCTETS: Final = 64 * 1024 * 1024  # of a larger message only the beginning is looked at


class Reading:
    """The step; what it reads is left in the case. It notices what is wrong with the form of the message."""

    async def __call__(self, case: Case) -> Iterable[Signal]:
        case.contents = await asyncio.to_thread(_read, case) if case.size > BESIDE else _read(case)
        return (*form_signals(case.contents), *_cut(case.size))


def form_signals(contents: Contents) -> Iterator[Signal]:
    """What makes programs read a message in different ways, or keeps it from being read at all."""
    if contents.partial:
        yield signal(kinds.PARTIAL, "a part is of type message/partial")
    if not contents.readings_complete:
        yield signal(kinds.UNREAD, "it can be read in more ways than are scanned")
    for kind, problems in _FORM.items():
        if found := sorted(each.name.lower().replace("_", " ") for each in problems & contents.problems):
            yield signal(kind, ", ".join(found))


def _cut(size: int) -> Iterator[Signal]:
    if size > MAX_OCTETS:
        yield signal(kinds.UNREAD, f"only the first {MAX_OCTETS} octets of {size} were read", weight=1.0)


def _read(case: Case) -> Contents:
    octets = bytearray()
    for chunk in case.open():
        octets += chunk
        if len(octets) > MAX_OCTETS:
            break
    return read_contents(bytes(octets), case.header)
