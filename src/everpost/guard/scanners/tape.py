"""Many pieces of a message as one object: every scanner looks into a tar, and asking once costs less than a hundred
times.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from everpost.guard.scanners.model import Piece

_BLOCK: Final = tarfile.BLOCKSIZE
_END: Final = bytes(2 * _BLOCK)


def tape(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The tar in chunks, without copying the pieces. Members are numbered: what strangers call them stays out."""
    for number, piece in enumerate(pieces):
        entry = tarfile.TarInfo(f"{number}")
        entry.size = len(piece.data)
        yield entry.tobuf(tarfile.USTAR_FORMAT)
        yield piece.data
        if rest := -len(piece.data) % _BLOCK:
            yield bytes(rest)
    yield _END


def tape_octets(pieces: Iterable[Piece]) -> int:
    """How long the tar is."""
    return sum(map(_room, pieces)) + len(_END)


def batches(pieces: Sequence[Piece], max_octets: int) -> Iterator[list[Piece]]:
    """The pieces in lists of which each makes a tar of at most `max_octets`. Larger ones are left out."""
    batch: list[Piece] = []
    size = len(_END)
    for piece in pieces:
        room = _room(piece)
        if room + len(_END) > max_octets:
            continue
        if size + room > max_octets:
            yield batch
            batch, size = [], len(_END)
        batch.append(piece)
        size += room
    if batch:
        yield batch


def _room(piece: Piece) -> int:
    return _BLOCK + len(piece.data) + -len(piece.data) % _BLOCK
