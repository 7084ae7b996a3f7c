"""mbox files, plain or compressed with zstd, read as a stream."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from everpost.mail.dates import as_date
from everpost.mail.header import Header, parse_header
from everpost.standby.history.model import (
    MAX_MESSAGE_OCTETS,
    Found,
    HistoryFailure,
    HistoryFolder,
    LeftOut,
    Mark,
    Reading,
    Unreadable,
    sensible_date,
    usual_role,
)
from everpost.standby.model import ANSWERED, DRAFT, FLAGGED, FORWARDED, SEEN, Role

_LINE = 1024 * 1024  # octets read at once where lines are longer
_BEGINNING = 1024  # octets by which a file is known again
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.MULTILINE)
_SUFFIXES = (".zst", ".mbox", ".mbx")
_STATUS = {"R": SEEN, "A": ANSWERED, "F": FLAGGED, "T": DRAFT}
_MOZILLA = ((0x1, SEEN), (0x2, ANSWERED), (0x4, FLAGGED), (0x1000, FORWARDED))
_MOZILLA_EXPUNGED = 0x8
_DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class RawMessage:
    """What stands between two `From ` lines, still quoted. `content` is None where it is longer than the limit.

    `start` and `end` are offsets in octets of the (decompressed) file.
    """

    start: int
    end: int
    from_line: bytes
    content: bytes | None


def open_mbox(path: Path) -> BinaryIO:
    """The decompressed file. Raises `OSError`."""
    file = path.open("rb")
    if path.suffix != ".zst":
        return file
    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True)
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, reader), _LINE))


def split_mbox(stream: BinaryIO, start: int = 0, limit: int = MAX_MESSAGE_OCTETS) -> Iterator[RawMessage]:
    """Messages of a stream that stands at the offset `start`, where a message begins.

    What is before the first `From ` line is no mail. The empty line that ends each message is taken away. Raises
    `OSError`, `zstandard.ZstdError`.
    """
    lines: list[bytes] | None = None
    from_line, begun, offset, size = b"", start, start, 0
    at_start = after_empty = True
    while line := stream.readline(_LINE):
        if at_start and after_empty and line.startswith(b"From "):
            if lines is not None:
                yield RawMessage(begun, offset, from_line, _joined(lines) if size <= limit else None)
            lines, size, begun, from_line = [], 0, offset, line
            offset += len(line)
            while not line.endswith(b"\n") and (line := stream.readline(_LINE)):
                offset += len(line)
            after_empty, at_start = False, True
            continue
        offset += len(line)
        if lines is not None:
            size += len(line)
            if size <= limit:
                lines.append(line)
        after_empty = at_start and line in (b"\n", b"\r\n")
        at_start = line.endswith(b"\n")
    if lines is not None:
        yield RawMessage(begun, offset, from_line, _joined(lines) if size <= limit else None)


def _joined(lines: list[bytes]) -> bytes:
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines.pop()
    return b"".join(lines)


def unquoted(content: bytes) -> bytes:
    """As it was before it was put into an mboxrd file, with CRLF at the ends of lines."""
    return crlf(_QUOTED_FROM.sub(rb"\1", content) if b">From " in content else content)


def crlf(content: bytes) -> bytes:
    """Line ends as CRLF, also bare CRs, and one at the end."""
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    content = content.replace(b"\n", b"\r\n")
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


class MboxSource:
    """One or several mbox files, each a folder named after its file unless `path` says which.

    A message without any word about whether it was read counts as read, unless `unread`.
    """

    is_whole = False
    is_rebuilt = False

    def __init__(self, files: list[Path], path: tuple[str, ...] | None = None, *, unread: bool = False) -> None:
        self._files = {str(file.resolve()): file for file in files}
        self._path = path
        self._unread = unread
        self.name = "mbox"

    def folders(self) -> list[HistoryFolder]:
        found = []
        for place, file in self._files.items():
            path = self._path or (_name_of(file),)
            try:
                # Of a compressed file only reading tells how much there is.
                size = file.stat().st_size if file.suffix != ".zst" else None
                with open_mbox(file) as stream:
                    beginning = stream.read(_BEGINNING)
            except (OSError, zstandard.ZstdError) as error:
                raise HistoryFailure(f"{file}: {error}") from error
            if not beginning.startswith(b"From ") and beginning.strip():
                raise HistoryFailure(f"{file} is no mbox file: it does not begin with a `From ` line")
            validity = hashlib.sha256(beginning).hexdigest()[:32]
            found.append(HistoryFolder(place, path, usual_role(path), size, validity, counts_octets=True))
        return found

    def read(self, folder: HistoryFolder, mark: Mark) -> Iterator[Reading]:
        file = self._files[folder.place]
        try:
            with open_mbox(file) as stream:
                _skip(stream, mark.position)
                written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                for raw in split_mbox(stream, mark.position):
                    yield self._reading(file, folder, raw, written)
        except (OSError, zstandard.ZstdError) as error:
            raise HistoryFailure(f"{file}: {error}") from error

    def close(self) -> None:
        pass

    def _reading(self, file: Path, folder: HistoryFolder, raw: RawMessage, written: datetime) -> Reading:
        label, units = f"{file.name}, offset {raw.start}", raw.end - raw.start
        if raw.content is None:
            return Unreadable(label, f"longer than {MAX_MESSAGE_OCTETS // 1024**2} MiB", units)
        if not raw.content.strip():
            return Unreadable(label, "empty", units)
        content = unquoted(raw.content)
        header = parse_header(content)
        keywords = keywords_of(header)
        if keywords is not None and _DELETED in keywords:
            return LeftOut(raw.end, None, units)
        if keywords is None:
            keywords = frozenset() if self._unread else frozenset((SEEN,))
        if folder.role is Role.DRAFTS:
            keywords |= {DRAFT}
        field = header.first("date")
        at = sensible_date(_from_date(raw.from_line), as_date(field.raw) if field else None, written)
        return Found(label, content, at, keywords, raw.end, None, units)


def _name_of(file: Path) -> str:
    name = file.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name or file.name


def _skip(stream: BinaryIO, octets: int) -> None:
    if not isinstance(getattr(stream, "raw", None), io.FileIO):
        while octets > 0 and (read := stream.read(min(octets, _LINE))):
            octets -= len(read)
        return
    stream.seek(octets)


def _from_date(line: bytes) -> datetime | None:
    """`From sender Tue Nov 24 09:25:01 2026`; senders have no spaces."""
    words = line.split(None, 2)
    return as_date(words[2]) if len(words) == 3 else None


def keywords_of(header: Header) -> frozenset[str] | None:
    """What mail programs wrote into the header (Status, X-Status, X-Keywords, X-Mozilla-Status, X-Gmail-Labels);
    None where they wrote nothing of it. `deleted` for what only waits to be removed.
    """
    found: set[str] = set()
    said = False
    for name in ("status", "x-status"):
        field = header.first(name)
        if field is not None:
            said = True
            letters = field.raw.decode("ascii", "replace").strip().upper()[:20]
            found |= {_STATUS[letter] for letter in letters if letter in _STATUS}
            if "D" in letters:
                found.add(_DELETED)
    mozilla = header.first("x-mozilla-status")
    if mozilla is not None:
        with contextlib.suppress(ValueError):
            bits = int(mozilla.raw.strip()[:8], 16)
            said = True
            found |= {keyword for bit, keyword in _MOZILLA if bits & bit}
            if bits & _MOZILLA_EXPUNGED:
                found.add(_DELETED)
    for name in ("x-keywords", "x-mozilla-keys"):
        field = header.first(name)
        if field is not None:
            found |= {word.lower() for word in field.raw.decode("ascii", "replace").split()[:50]}
    labels = header.first("x-gmail-labels")
    if labels is not None:
        said = True
        words = {word.strip().lower() for word in labels.raw.decode("ascii", "replace").split(",")}
        found |= ({SEEN} if "unread" not in words else set()) | ({FLAGGED} if "starred" in words else set())
    return frozenset(found) if said or found else None
