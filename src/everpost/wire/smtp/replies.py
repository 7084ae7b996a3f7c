"""Reading replies of a server (RFC 5321 §4.2), bounded."""

from __future__ import annotations

import functools
import re

from everpost.mail.reply import Reply

MAX_LINE_OCTETS = 4096
MAX_LINES = 100
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ \-])(.*))?\Z", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:[ \t]|\Z)")


class ProtocolError(Exception):
    """The server does not keep to the protocol: the connection is of no further use."""


class ReplyReader:
    """Bytes in, whole replies out. Lines must end in CRLF, or in a bare LF as some servers send."""

    __slots__ = ("_buffer", "_code", "_lines", "_scanned")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._code = b""
        self._lines: list[str] = []

    @property
    def empty(self) -> bool:
        """Whether nothing has come beyond the last reply taken."""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> Reply | None:
        """The next whole reply; raises `ProtocolError`."""
        buffer = self._buffer
        while True:
            at = buffer.find(b"\n", self._scanned)
            if (at if at >= 0 else len(buffer)) >= MAX_LINE_OCTETS:
                raise ProtocolError("reply line too long")
            if at < 0:
                self._scanned = len(buffer)
                return None
            self._scanned = 0
            line = bytes(buffer[:at])
            del buffer[: at + 1]
            if line.endswith(b"\r"):
                line = line[:-1]
            if not self._lines and len(line) <= 80 and line[3:4] == b" ":
                return _single(line)
            if self._line(line):
                lines, self._lines = self._lines, []
                return _build(int(self._code), lines)

    def _line(self, line: bytes) -> bool:
        match = _LINE.match(line)
        if match is None:
            raise ProtocolError("malformed reply")
        code, separator, text = match.groups()
        if self._lines and code != self._code:
            raise ProtocolError("reply code changes within a reply")
        if len(self._lines) >= MAX_LINES:
            raise ProtocolError("reply has too many lines")
        self._code = code
        self._lines.append(_text(text))
        return bool(separator != b"-")


@functools.lru_cache(maxsize=256)
def _single(line: bytes) -> Reply:
    """A short reply of one line: servers say the same few over and over."""
    match = _LINE.match(line)
    if match is None:
        raise ProtocolError("malformed reply")
    return _build(int(match.group(1)), [_text(match.group(3))])


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace").replace("\r", " ")


def _build(code: int, lines: list[str]) -> Reply:
    detail: tuple[int, int] | None = None
    match = _ENHANCED.match(lines[0])
    if match is not None and int(match.group(1)) == code // 100:
        detail = (int(match.group(2)), int(match.group(3)))
        prefix = lines[0][: match.end()]
        lines = [line[len(prefix) :] if line.startswith(prefix) else line for line in lines]
    return Reply(code, "\n".join(lines), detail)
