"""Single compressed streams, unpacked piece by piece within the budget; a torn one gives what could be read."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import zstandard

from everpost.guard.attachments.binary import Malformed
from everpost.guard.attachments.budget import CHUNK, Budget, Refused
from everpost.guard.attachments.model import FindingKind

MAX_DICTIONARY: Final = 64 * 1024 * 1024
_FEED: Final = 64 * 1024


class Torn(Malformed):
    """The stream ends early or is damaged; `data` is what came before."""

    def __init__(self, data: bytes, why: str) -> None:
        super().__init__(why)
        self.data = data


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


_DAMAGE: Final = (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


def bounded(chunks: Iterator[bytes], budget: Budget, packed: int) -> bytes:
    """What `chunks` gives. Raises Torn with what was read so far where the stream breaks."""
    parts: list[bytes] = []

    def kept() -> Iterator[bytes]:
        for chunk in chunks:
            parts.append(chunk)
            yield chunk

    try:
        return budget.collect(kept(), packed)
    except MemoryError as error:
        raise Refused(FindingKind.TOO_LARGE, "needs too much memory to unpack") from error
    except _DAMAGE as error:
        raise Torn(b"".join(parts), str(error) or "the stream is damaged") from error


def inflate(data: bytes, budget: Budget, wbits: int = -15, zdict: bytes = b"") -> bytes:
    """Deflate (RFC 1951), or zlib (RFC 1950) with `wbits` 15."""
    return bounded(_inflated(data, wbits, zdict), budget, len(data))


def _inflated(data: bytes, wbits: int, zdict: bytes) -> Iterator[bytes]:
    stream = zlib.decompressobj(wbits, zdict) if zdict else zlib.decompressobj(wbits)
    rest = data
    while not stream.eof:
        chunk = stream.decompress(rest, CHUNK)
        rest = stream.unconsumed_tail
        if chunk:
            yield chunk
        elif not rest:
            raise EOFError("the compressed data ends early")


def gunzip(data: bytes, budget: Budget) -> bytes:
    """All members of a gzip file (RFC 1952); what follows the last one is left."""
    return bounded(_gunzipped(data), budget, len(data))


def _gunzipped(data: bytes) -> Iterator[bytes]:
    rest = data
    while rest[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(31)
        while not stream.eof:
            chunk = stream.decompress(rest, CHUNK)
            rest = stream.unconsumed_tail
            if chunk:
                yield chunk
            elif not rest and not stream.eof:
                raise EOFError("the compressed data ends early")
        rest = stream.unused_data.lstrip(b"\0")


def bunzip(data: bytes, budget: Budget) -> bytes:
    return bounded(_fed(data, bz2.BZ2Decompressor), budget, len(data))


def unxz(data: bytes, budget: Budget) -> bytes:
    """xz and the older lzma, with a dictionary of at most MAX_DICTIONARY."""
    make = lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=MAX_DICTIONARY + 16 * 1024 * 1024)  # noqa: E731
    try:
        return bounded(_fed(data, make), budget, len(data))
    except Torn as error:
        if "memory usage limit" in str(error).lower():
            raise Refused(FindingKind.BOMB, "asks for a dictionary of more than 64 MB") from error
        raise


def _fed(data: bytes, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Streams one after the other, each with a new decompressor."""
    position = 0
    while position < len(data):
        stream = make()
        started = position
        while not stream.eof:
            piece = data[position : position + _FEED] if stream.needs_input else b""
            position += len(piece)
            if stream.needs_input and not piece:
                raise EOFError("the compressed data ends early")
            chunk = stream.decompress(piece, CHUNK)
            if chunk:
                yield chunk
        position -= len(stream.unused_data)
        if position <= started or not data[position : position + 4].strip(b"\0"):
            return
        if data[started : started + 3] != data[position : position + 3]:
            return  # not another stream, but something that was put behind it


def unzstd(data: bytes, budget: Budget) -> bytes:
    return bounded(_unzstd(data), budget, len(data))


def _unzstd(data: bytes) -> Iterator[bytes]:
    reader = zstandard.ZstdDecompressor(max_window_size=MAX_DICTIONARY).stream_reader(data, read_across_frames=True)
    while chunk := reader.read(CHUNK):
        yield chunk


def raw_lzma(data: bytes, budget: Budget, filters: list[dict[str, int]], size: int | None) -> bytes:
    """LZMA as zip and 7z have it: without a header. `size` octets where that is known, since it has no end mark."""
    return bounded(_raw(data, filters, size), budget, len(data))


def _raw(data: bytes, filters: list[dict[str, int]], size: int | None) -> Iterator[bytes]:
    stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    left = size
    piece = data
    while not stream.eof and left != 0:
        chunk = stream.decompress(piece, CHUNK if left is None else min(CHUNK, left))
        piece = b""
        if chunk:
            yield chunk
        elif stream.needs_input:
            raise EOFError("the compressed data ends early")
        if left is not None:
            left -= len(chunk)


def inflate64(data: bytes, budget: Budget) -> bytes:
    """Deflate64, which Windows uses for large files."""
    return bounded(_inflated64(data), budget, len(data))


def _inflated64(data: bytes) -> Iterator[bytes]:
    from inflate64 import Inflater  # 27 ms to import, and seldom needed

    stream = Inflater()
    for position in range(0, len(data), 1024):
        if stream.eof:
            return
        if chunk := stream.inflate(data[position : position + 1024]):
            yield chunk


def unszdd(data: bytes, budget: Budget) -> bytes:
    """What Microsoft's COMPRESS.EXE made (`setup.ex_`): LZSS with a window of 4 kB."""
    return bounded(_unszdd(data), budget, len(data))


def _unszdd(data: bytes) -> Iterator[bytes]:
    window = bytearray(b" " * 4096)
    at, position, left = 4096 - 16, 14, int.from_bytes(data[10:14], "little")
    out = bytearray()
    while position < len(data) and left > 0:
        control = data[position]
        position += 1
        for bit in range(8):
            if position >= len(data) or left <= 0:
                break
            if control >> bit & 1:
                run, position = data[position : position + 1], position + 1
            else:
                low, high = data[position], data[position + 1] if position + 1 < len(data) else 0
                start, position = low | (high & 0xF0) << 4, position + 2
                run = _windowed(window, start, at, (high & 0x0F) + 3)
            for octet in run[:left]:
                window[at] = octet
                at = (at + 1) & 4095
            out += run[:left]
            left -= len(run)
        if len(out) >= CHUNK:
            yield bytes(out)
            out.clear()
    yield bytes(out)


def _windowed(window: bytearray, start: int, at: int, count: int) -> bytes:
    """A run out of the window, which may overlap what it is about to write."""
    run = bytearray()
    for step in range(count):
        source = (start + step) & 4095
        behind = (source - at) & 4095
        run.append(run[behind] if behind < len(run) else window[source])
    return bytes(run)


def lzma1_filter(properties: bytes, size: int) -> dict[str, int]:
    """The five octets of LZMA properties as liblzma wants them; no dictionary is larger than the output needs."""
    if len(properties) != 5 or properties[0] >= 225:
        raise Malformed("LZMA properties that cannot be")
    lc, rest = properties[0] % 9, properties[0] // 9
    dictionary = _dictionary(int.from_bytes(properties[1:], "little"), size)
    return {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": rest % 5, "pb": rest // 5, "dict_size": dictionary}


def lzma2_filter(properties: bytes, size: int) -> dict[str, int]:
    if len(properties) != 1 or properties[0] > 40:
        raise Malformed("LZMA2 properties that cannot be")
    exponent = properties[0]
    wanted = (2 | exponent & 1) << (exponent // 2 + 11)
    return {"id": lzma.FILTER_LZMA2, "dict_size": _dictionary(wanted, size)}


def _dictionary(wanted: int, size: int) -> int:
    needed = max(4096, min(wanted, size or wanted))
    if needed > MAX_DICTIONARY * 2:
        raise Refused(FindingKind.BOMB, f"asks for a dictionary of {needed} octets")
    return needed
