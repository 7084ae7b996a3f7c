"""Message content on the wire: dot-stuffing, chunks, and the checks that stop smuggling."""

from __future__ import annotations

from everpost.wire.smtp.events import BodyFault, ServerLimits

_END = b"\r\n.\r\n"
_PARTIAL_ENDS = (b"\r\n.\r", b"\r\n.", b"\r\n", b"\r")


class UnsafeContent(ValueError):
    """Content with a bare CR or LF: a careless receiver could take what follows for a command. Never sent."""


class BodyReader:
    """Reads one message by DATA or BDAT and judges it. What it says does not depend on how input was cut.

    Only `<CRLF>.<CRLF>` ends a message of DATA (RFC 5321 §4.1.1.4). Nothing but a few octets is kept between calls.
    """

    __slots__ = ("_faults", "_in_header", "_limits", "_line", "_nul", "_pending_cr", "_skip", "_strict", "octets")

    def __init__(self, limits: ServerLimits, *, binary: bool = False, refuse_nul: bool = False) -> None:
        self.octets = 0
        self._limits = limits
        self._strict = not binary
        self._nul = refuse_nul
        self._faults: set[BodyFault] = set()
        self._in_header = True
        self._line = 0
        self._skip = 0
        self._pending_cr = False

    @property
    def fault(self) -> BodyFault | None:
        """The most serious fault so far."""
        if not self._faults:
            return None
        return next(fault for fault in BodyFault if fault in self._faults)

    @property
    def hopeless(self) -> bool:
        """So far above the limit that reading on is not worth it."""
        return self.octets > self._limits.message_octets * self._limits.oversize_factor

    def start_dots(self, buffer: bytearray) -> None:
        """Begin a DATA message: `buffer` holds what came after the DATA line."""
        buffer[0:0] = b"\r\n"  # the start of the content counts as the start of a line
        self._skip = 2

    def read_dots(self, buffer: bytearray) -> tuple[bytes, bool]:
        """Take from `buffer` what surely is content; True where the message has ended."""
        first = buffer.find(b"\r\n.")
        end = buffer.find(_END, first) if first >= 0 else -1
        if end >= 0:
            raw = bytes(buffer[: end + 2])
            del buffer[: end + 5]
        else:
            size = len(buffer)
            for partial in _PARTIAL_ENDS:
                if buffer.endswith(partial):
                    size -= len(partial)
                    break
            raw = bytes(buffer[:size])
            del buffer[:size]
        if first != end:
            raw = raw.replace(b"\r\n.", b"\r\n")
        if self._skip and raw:
            raw = raw[2:]
            self._skip = 0
        if raw:
            self._judge(raw)
        return raw, end >= 0

    def read_chunk(self, raw: bytes, *, last: bool) -> bytes:
        """Take octets of a BDAT chunk; `last` with the final octets of the message."""
        if self._pending_cr:
            raw = b"\r" + raw
        self._pending_cr = not last and raw.endswith(b"\r")
        if self._pending_cr:
            raw = raw[:-1]
        if raw:
            self._judge(raw)
        return raw

    def _judge(self, chunk: bytes) -> None:
        size = len(chunk)
        limits = self._limits
        if self._strict:
            pairs = chunk.count(b"\r\n")
            if chunk.count(b"\n") != pairs:
                self._faults.add(BodyFault.BARE_LF)
            if chunk.count(b"\r") != pairs:
                self._faults.add(BodyFault.BARE_CR)
        if self._nul and b"\0" in chunk:
            self._faults.add(BodyFault.NUL)
        if self._in_header:
            self._judge_header(chunk)
        self.octets += size
        if self.octets > limits.message_octets:
            self._faults.add(BodyFault.TOO_BIG)
        if limits.text_line_octets and self._line + size > limits.text_line_octets - 2:
            self._judge_lines(chunk)
        at = chunk.rfind(b"\n")
        self._line = size - at - 1 if at >= 0 else self._line + size

    def _judge_header(self, chunk: bytes) -> None:
        if self.octets == 0 and chunk.startswith(b"\r\n"):
            self._in_header = False
            return
        if self._line == 0 and self.octets and chunk.startswith(b"\r\n"):
            at = 0
        else:
            at = chunk.find(b"\r\n\r\n")
            at = at + 2 if at >= 0 else -1
        self._in_header = at < 0
        if self.octets + (len(chunk) if at < 0 else at) > self._limits.header_octets:
            self._faults.add(BodyFault.HEADER_TOO_BIG)

    def _judge_lines(self, chunk: bytes) -> None:
        lines = chunk.split(b"\n")
        longest = max(self._line + len(lines[0]), max(map(len, lines[1:]), default=0))
        if longest + 1 > self._limits.text_line_octets:
            self._faults.add(BodyFault.LINE_TOO_LONG)


class DotEncoder:
    """Makes DATA content of a message: doubles leading dots, adds the end, changes nothing else.

    A message that does not end in CRLF gets one, as DATA cannot express it otherwise. Raises `UnsafeContent` for a
    bare CR or LF, before anything of the chunk that holds it is given out.
    """

    __slots__ = ("_at_start", "_ends_in_crlf", "_pending_cr")

    def __init__(self) -> None:
        self._at_start = True
        self._ends_in_crlf = True
        self._pending_cr = False

    def encode(self, chunk: bytes) -> bytes:
        """The next octets for the wire; may hold back a trailing CR."""
        if self._pending_cr:
            chunk = b"\r" + chunk
        if not chunk:
            return b""
        self._pending_cr = chunk.endswith(b"\r")
        if self._pending_cr:
            chunk = chunk[:-1]
            if not chunk:
                return b""
        check_lines(chunk)
        # A line may start exactly where the previous chunk ended.
        starts_with_dot = self._at_start and chunk.startswith(b".")
        self._at_start = self._ends_in_crlf = chunk.endswith(b"\r\n")
        if b"\r\n." in chunk:
            chunk = chunk.replace(b"\r\n.", b"\r\n..")
        return b"." + chunk if starts_with_dot else chunk

    def finish(self) -> bytes:
        """The end of the content."""
        if self._pending_cr:
            raise UnsafeContent("the message ends in a bare CR")
        return b".\r\n" if self._ends_in_crlf else _END


def check_lines(content: bytes) -> None:
    """Raise `UnsafeContent` unless every CR and LF stands in a CRLF."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") != pairs:
        raise UnsafeContent("the message holds a bare LF")
    if content.count(b"\r") != pairs:
        raise UnsafeContent("the message holds a bare CR")


def encode_message(content: bytes) -> bytes:
    """A whole message with its end, for DATA; raises `UnsafeContent`."""
    encoder = DotEncoder()
    return encoder.encode(content) + encoder.finish()
