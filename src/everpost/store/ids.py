"""Identifiers: 63-bit numbers, unique in the database, allocated in blocks so that an insert needs no round trip.

People see them in Crockford's base 32 (no letters that are taken for digits), e.g. as queue ids.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

BLOCK = 1024
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_MAX = 2**63 - 1


def encode_id(number: int) -> str:
    """The text form of an identifier."""
    digits = []
    while True:
        number, low = divmod(number, 32)
        digits.append(_ALPHABET[low])
        if not number:
            return "".join(reversed(digits))


def decode_id(text: str) -> int:
    """The number behind a text form; raises `ValueError` for anything that is none."""
    if not 0 < len(text) <= 13:
        raise ValueError(f"{text[:20]!r} is not an identifier")
    number = 0
    for letter in text.upper():
        try:
            number = number * 32 + _VALUES[letter]
        except KeyError:
            raise ValueError(f"{text[:20]!r} is not an identifier") from None
    if number > _MAX:
        raise ValueError(f"{text[:20]!r} is not an identifier")
    return number


class IdAllocator:
    """Hands out identifiers of blocks that `next_block` reserves in the database."""

    def __init__(self, next_block: Callable[[], Awaitable[int]]) -> None:
        self._next_block = next_block
        self._next = 0
        self._end = 0

    async def reserve(self, count: int) -> None:
        """See to it that `take` can be called `count` times (at most BLOCK) without waiting."""
        if self._end - self._next < count:
            block = await self._next_block()
            self._next = block * BLOCK
            self._end = self._next + BLOCK

    def take(self) -> int:
        """The next identifier; raises `LookupError` where `reserve` did not provide for it."""
        if self._next >= self._end:
            raise LookupError("no identifier reserved")
        self._next += 1
        return self._next - 1

    async def new(self) -> int:
        """Reserve and take one."""
        await self.reserve(1)
        return self.take()
