"""The machinery of the server engine: input, output, lines, states, limits. Commands are in `server`."""

from __future__ import annotations

import enum
from collections import deque
from typing import NoReturn

from everpost.mail.reply import Reply
from everpost.wire.smtp.events import MIB, NEED_DATA, PAUSED, Closed, Event, ServerProfile, Signal

_MAX_DISCARD = MIB
_BARE_LF = Reply(500, "Bare LF: commands must end with CRLF", (5, 2))


class State(enum.Enum):
    COMMAND = 1
    DISCARD = 2
    AUTH = 3
    DATA = 4
    BDAT = 5
    PAUSED = 6
    TLS = 7
    CLOSED = 8


class LineRefused(Exception):
    """A line was taken, refused and answered."""


class Asked(enum.Enum):
    """Which decision of the host the engine is waiting for."""

    AUTH = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    END = 5


class Session:
    """What every SMTP server session does whatever it is told: the base of `ServerEngine`."""

    def __init__(self, profile: ServerProfile, *, tls_active: bool) -> None:
        self.profile = profile
        self.tls_active = tls_active
        self.plaintext_discarded = 0  # octets that came after STARTTLS and before the handshake had ended
        self._limits = profile.limits
        self._input = bytearray()
        self._scanned = 0
        self._output: list[bytes] = []
        self._events: deque[Event] = deque()
        self._state = State.COMMAND
        self._asked: Asked | None = None
        self._eof = False
        self._close_reason = ""
        self._errors = self._idle_commands = self._discarded = 0

    @property
    def closing(self) -> bool:
        """Nothing more is read: send what is queued, then close."""
        return self._state is State.CLOSED

    @property
    def buffered(self) -> int:
        """Octets handed over and not yet used."""
        return len(self._input)

    def receive_data(self, data: bytes) -> None:
        """Take what the client sent; `b""` is the end of its stream."""
        if self._state is State.CLOSED:
            return
        if self._state is State.TLS:
            self.plaintext_discarded += len(data)
            self._eof = self._eof or not data
        elif data:
            self._input += data
        else:
            self._eof = True

    def data_to_send(self) -> bytes:
        """Everything queued for the client since the last call."""
        if not self._output:
            return b""
        data = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        return data

    def next_event(self) -> Event | Signal:
        """The next event, or why there is none. `Closed` comes again and again once the session is over."""
        events = self._events
        while True:
            if events:
                return events.popleft()
            state = self._state
            if state is State.PAUSED:
                return PAUSED
            if state is State.CLOSED:
                return Closed(self._close_reason)
            if state is State.TLS:
                if not self._eof:
                    return PAUSED
                self._end("connection lost")
            elif not self._step(state):
                if not self._eof:
                    return NEED_DATA
                self._end("connection lost")

    def close(self, reply: Reply) -> None:
        """End the session from our side, as with 421 on a timeout."""
        if self._state is not State.CLOSED:
            self._say(reply)
            self._end(reply.text)

    # ------------------------------------------------------------------ for the commands

    def _step(self, state: State) -> bool:
        """Do one thing with the input; False where more is needed for it."""
        raise NotImplementedError

    def _say(self, reply: Reply) -> None:
        self._output.append(reply.encode())

    def _end(self, reason: str) -> None:
        self._state = State.CLOSED
        self._close_reason = reason
        self._asked = None
        self._input.clear()

    def _fatal(self, reply: Reply) -> None:
        self._say(reply)
        self._end(reply.text)

    def _bad(self, reply: Reply) -> None:
        self._say(reply)
        self._errors += 1
        if self._errors >= self._limits.errors:
            self._fatal(Reply(421, "Too many errors", (7, 0)))

    def _idle(self) -> None:
        self._idle_commands += 1
        if self._idle_commands > self._limits.commands_without_mail:
            self._fatal(Reply(421, "Too many commands without mail", (7, 0)))

    def _ask(self, asked: Asked, event: Event) -> None:
        self._asked = asked
        self._state = State.PAUSED
        self._events.append(event)

    def _read_line(self, limit: int) -> str | None:
        """The next line without its CRLF, None where there is none yet; raises `LineRefused`."""
        buffer = self._input
        at = buffer.find(b"\n", self._scanned)
        if (at if at >= 0 else len(buffer)) >= limit:
            self._refuse_line(limit - 1, Reply(500, "Line too long", (5, 2)))
        if at < 0:
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        if at == 0 or buffer[at - 1] != 13:
            self._refuse_line(at + 1, _BARE_LF)  # LF alone never ends a line
        raw = bytes(buffer[: at - 1])
        del buffer[: at + 1]
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line = "\0"
        if not (line.isprintable() if line.isascii() else all(" " <= c != "\x7f" for c in line)):
            self._bad(Reply(500, "Control characters or invalid UTF-8 in command", (5, 2)))
            raise LineRefused
        return line

    def _refuse_line(self, used: int, reply: Reply) -> NoReturn:
        del self._input[:used]
        self._scanned = 0
        self._discarded = used
        self._state = State.DISCARD
        self._bad(reply)
        raise LineRefused

    def _discard(self) -> bool:
        """Drop the rest of a refused line, up to the next CRLF."""
        buffer = self._input
        at = buffer.find(b"\r\n")
        gone = at + 2 if at >= 0 else len(buffer) - buffer.endswith(b"\r")
        self._discarded += gone
        del buffer[:gone]
        if self._discarded > _MAX_DISCARD:
            self._fatal(Reply(421, "Line too long", (5, 2)))
            return True
        if at >= 0:
            self._state = State.COMMAND
        return at >= 0
