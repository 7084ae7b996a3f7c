"""Reads and decodes the message once, for the steps that look at what it says and carries."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from everpost.guard.case import Case
from everpost.guard.contents import Contents, read_contents
from everpost.guard.model import Signal

BESIDE: Final = 64 * 1024  # octets from which on a message is read beside the event loop
MAX_OCTETS: Final = 64 * 1024 * 1024  # of a larger message only the beginning is looked at


class Reading:
    """The step; what it reads is left in the case. It notices nothing itself."""

    async def __call__(self, case: Case) -> Iterable[Signal]:
        case.contents = await asyncio.to_thread(_read, case) if case.size > BESIDE else _read(case)
        return ()


def _read(case: Case) -> Contents:
    octets = bytearray()
    for chunk in case.open():
        octets += chunk
        if len(octets) > MAX_OCTETS:
            break
    return read_contents(bytes(octets), case.header)
