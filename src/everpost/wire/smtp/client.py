"""The SMTP client engine (RFC 5321): orders in, bytes out; bytes in, events out. No sockets, no clock.

The session is opened by `greeting → hello() → [starttls()] → [authenticate()]`, each ending in one event; then
`start(envelope, size)` begins a transaction. It ends in `Done`, or in `BodyWanted`: then the content goes out by
`body` (or `whole_body`) and `end_body`, and `Done` follows. `end_written` tells when delivery is in doubt.
"""

from __future__ import annotations

import base64
import enum
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from everpost.mail.address import Address, domain_key
from everpost.mail.envelope import Body, Envelope, Recipient, Sender
from everpost.mail.reply import Outcome, Reply
from everpost.wire.smtp.body import DotEncoder, UnsafeContent, encode_message
from everpost.wire.smtp.replies import ProtocolError, ReplyReader
from everpost.wire.smtp.syntax import encode_xtext

__all__ = [
    "AuthDone",
    "BodyWanted",
    "Capabilities",
    "ClientEngine",
    "ClientEvent",
    "Done",
    "Greeted",
    "HelloDone",
    "ProtocolError",
    "RecipientResult",
    "ServerClosing",
    "TlsReady",
    "UnsafeContent",
]

_NEEDS_SMTPUTF8 = Reply(550, "The address needs SMTPUTF8, which the server does not offer", (6, 7))
_NEEDS_BINARY = Reply(554, "The content is binary, which cannot be sent by DATA", (6, 3))
_UNSENDABLE = Reply(553, "The address cannot be written in SMTP", (1, 3))


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What EHLO announced. `keywords` maps upper-case keywords to their parameters."""

    keywords: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, reply: Reply) -> Capabilities:
        keywords: dict[str, str] = {}
        for line in reply.text.split("\n")[1:]:
            keyword, _, parameters = line.strip().partition(" ")
            if keyword[:5].upper() == "AUTH=":  # an old form, still met
                keyword, parameters = "AUTH", keyword[5:] + " " + parameters
            keyword = keyword.upper()
            if keyword == "AUTH" and keyword in keywords:
                parameters = f"{keywords[keyword]} {parameters}"
            keywords[keyword] = parameters.strip()
        return cls(keywords)

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def size_limit(self) -> int | None:
        """The largest message in octets; None where it is not known (RFC 1870)."""
        text = self.keywords.get("SIZE", "")
        return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 20 else None

    @property
    def auth_mechanisms(self) -> frozenset[str]:
        return frozenset(self.keywords.get("AUTH", "").upper().split())

    def limit(self, name: str) -> int | None:
        """A value of LIMITS (RFC 9422), as RCPTMAX or MAILMAX; None where it is not announced."""
        for word in self.keywords.get("LIMITS", "").split():
            key, _, value = word.partition("=")
            if key.upper() == name and value.isascii() and value.isdigit() and len(value) <= 9:
                return int(value) or None
        return None


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What became of one recipient. `reply` is None where the server never gave one."""

    recipient: Recipient
    reply: Reply | None

    @property
    def accepted(self) -> bool:
        return self.reply is not None and self.reply.outcome is Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class Greeted:
    """The banner, whatever its code."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class HelloDone:
    """The answer to EHLO, or to HELO where EHLO was not known."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TlsReady:
    """The answer to STARTTLS; with 220 the handshake comes next, then `tls_started()`."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class AuthDone:
    """The last answer to AUTH."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class BodyWanted:
    """The server waits for the content, and took at least one recipient."""


@dataclass(frozen=True, slots=True)
class Done:
    """The transaction is over: a reply for every recipient, in the envelope's order."""

    results: tuple[RecipientResult, ...]


@dataclass(frozen=True, slots=True)
class ServerClosing:
    """421 outside any transaction: the server is about to close."""

    reply: Reply


ClientEvent = Greeted | HelloDone | TlsReady | AuthDone | BodyWanted | Done | ServerClosing


class _Expect(enum.Enum):
    GREETING = 1
    EHLO = 2
    HELO = 3
    TLS = 4
    AUTH = 5
    RSET = 6
    MAIL = 7
    RCPT = 8
    DATA = 9
    END = 10
    QUIT = 11


class ClientEngine:
    """One connection to a server. Raises `ProtocolError` from `next_event` where the server breaks the rules."""

    def __init__(self, hostname: str, *, tls_active: bool = False) -> None:
        self.hostname = hostname
        self.tls_active = tls_active
        self.capabilities = Capabilities()
        self.closing = False  # the server said 421, or answered before it should: no further transaction
        self.end_written = False  # the end of the content was given out, and has no reply yet
        self._reader = ReplyReader()
        self._output: list[bytes] = []
        self._commands: deque[tuple[bytes, _Expect]] = deque()
        self._expected: deque[_Expect] = deque([_Expect.GREETING])
        self._events: deque[ClientEvent] = deque()
        self._auth_steps: deque[bytes] = deque()
        self._needs_reset = False
        self._only_envelope = False
        self._encoder: DotEncoder | None = None
        self._utf8 = False
        self._recipients: tuple[Recipient, ...] = ()
        self._replies: list[Reply | None] = []
        self._answered = 0
        self._mail_reply: Reply | None = None

    # ------------------------------------------------------------------ bytes

    def receive_data(self, data: bytes) -> None:
        self._reader.feed(data)

    def data_to_send(self) -> bytes:
        data = b"".join(self._output)
        self._output.clear()
        return data

    def next_event(self) -> ClientEvent | None:
        """The next event, None where more input is needed; raises `ProtocolError`."""
        while not self._events:
            reply = self._reader.take()
            if reply is None:
                return None
            self._take(reply)
        return self._events.popleft()

    # ------------------------------------------------------------------ orders

    def hello(self) -> None:
        """Send EHLO; HELO follows by itself where EHLO is not known (RFC 5321 §3.2)."""
        self._queue(f"EHLO {self.hostname}", _Expect.EHLO)

    def starttls(self) -> None:
        self._queue("STARTTLS", _Expect.TLS)

    def tls_started(self) -> None:
        """The handshake is done: what was said before is forgotten (RFC 3207 §4.2). Raises `ProtocolError`
        where the server said more than its 220.
        """
        if not self._reader.empty:
            raise ProtocolError("the server sent more before the TLS handshake")
        self.tls_active = True
        self.capabilities = Capabilities()

    def authenticate(self, user: str, password: str) -> None:
        """AUTH by PLAIN, else LOGIN; raises `ProtocolError` where the server offers neither."""
        mechanisms = self.capabilities.auth_mechanisms
        if "PLAIN" in mechanisms:
            token = _base64(f"\0{user}\0{password}")
            self._queue("AUTH PLAIN " + token, _Expect.AUTH)
        elif "LOGIN" in mechanisms:
            self._auth_steps.extend(_base64(part).encode() for part in (user, password))
            self._queue("AUTH LOGIN", _Expect.AUTH)
        else:
            raise ProtocolError("the server offers neither AUTH PLAIN nor AUTH LOGIN")

    def quit(self) -> None:
        self._queue("QUIT", _Expect.QUIT)

    def start(self, envelope: Envelope, size: int, *, only_envelope: bool = False) -> None:
        """Begin a transaction of a message of `size` octets. Ends in `BodyWanted` or `Done`.

        `only_envelope` asks about the recipients and sends nothing: it ends in `Done` without DATA.
        Raises `ProtocolError` where the server already said something nobody asked for.
        """
        if self._expected or self._commands or self.end_written or not envelope.recipients:
            raise RuntimeError("no transaction can begin now")
        if not self._reader.empty:
            raise ProtocolError("the server sent a reply that was not due")
        self._recipients = envelope.recipients
        self._replies = [None] * len(envelope.recipients)
        self._answered = 0
        self._mail_reply = None
        self._only_envelope = only_envelope
        refusal = self._cannot_send(envelope)
        if refusal is not None:
            self._finish(refusal)
            return
        lines = []
        if self._needs_reset:
            lines.append(("RSET", _Expect.RSET))
            self._needs_reset = False
        try:
            lines.append((self._mail_line(envelope.sender, size), _Expect.MAIL))
            lines.extend((self._rcpt_line(recipient), _Expect.RCPT) for recipient in envelope.recipients)
        except (ValueError, UnicodeError):
            self._finish(_UNSENDABLE)
            return
        if not only_envelope:
            lines.append(("DATA", _Expect.DATA))
        self._commands.extend((f"{line}\r\n".encode(), expect) for line, expect in lines)
        self._send_commands()

    def body(self, chunk: bytes) -> bytes:
        """The next octets of the content, encoded for the wire; raises `UnsafeContent`."""
        if self._encoder is None:
            raise RuntimeError("no content is wanted")
        return self._encoder.encode(chunk)

    def end_body(self) -> bytes:
        """The end of the content, for the wire; from here on delivery is in doubt until `Done`."""
        if self._encoder is None:
            raise RuntimeError("no content is wanted")
        end = self._encoder.finish()
        self.end_encoded()
        return end

    def whole_body(self, content: bytes) -> bytes:
        """`body` and `end_body` of a whole message in one."""
        encoded = encode_message(content)
        self.end_encoded()
        return encoded

    def end_encoded(self) -> None:
        """The whole content, already made by `encode_message`, is about to go out: as `end_body`."""
        if self._encoder is None:
            raise RuntimeError("no content is wanted")
        self._encoder = None
        self.end_written = True
        self._expected.append(_Expect.END)

    # ------------------------------------------------------------------ commands

    def _queue(self, line: str, expect: _Expect) -> None:
        if "\r" in line or "\n" in line:
            raise ValueError("a command is one line")
        self._commands.append((f"{line}\r\n".encode(), expect))
        self._send_commands()

    def _send_commands(self) -> None:
        """One command at a time, or all of them where the server takes that (RFC 2920)."""
        pipelining = "PIPELINING" in self.capabilities
        while self._commands and (pipelining or not self._expected):
            line, expect = self._commands.popleft()
            self._output.append(line)
            self._expected.append(expect)

    def _cannot_send(self, envelope: Envelope) -> Reply | None:
        sender = envelope.sender
        addresses = [recipient.address for recipient in envelope.recipients]
        if sender.reverse_path is not None:
            addresses.append(sender.reverse_path)
        offered = "SMTPUTF8" in self.capabilities
        needs = sender.smtputf8 or not all(address.is_ascii for address in addresses)
        if needs and not offered:
            return _NEEDS_SMTPUTF8
        # Where it is offered, domains go as they were written.
        self._utf8 = needs or (offered and not all(address.domain.isascii() for address in addresses))
        return _NEEDS_BINARY if sender.body is Body.BINARY else None

    def _path(self, address: Address) -> str:
        """An address without brackets: in A-labels where the server has no SMTPUTF8."""
        if "SMTPUTF8" not in self.capabilities:
            address = Address(address.local, domain_key(address.domain))
        text = str(address)
        if not text.isprintable() or "<" in address.domain or ">" in address.domain:
            raise ValueError("the address cannot be written in SMTP")
        return text

    def _mail_line(self, sender: Sender, size: int) -> str:
        offered = self.capabilities
        line = f"MAIL FROM:<{'' if sender.reverse_path is None else self._path(sender.reverse_path)}>"
        if "SIZE" in offered:
            line += f" SIZE={size}"
        if sender.body is Body.EIGHT_BIT and "8BITMIME" in offered:
            line += " BODY=8BITMIME"
        if self._utf8:
            line += " SMTPUTF8"
        if "DSN" in offered:
            if sender.ret is not None:
                line += f" RET={sender.ret.value}"
            if sender.envid:
                line += f" ENVID={encode_xtext(sender.envid)}"
        return line

    def _rcpt_line(self, recipient: Recipient) -> str:
        line = f"RCPT TO:<{self._path(recipient.address)}>"
        if "DSN" not in self.capabilities:
            return line
        if recipient.notify is not None:
            words = [flag.name or "" for flag in recipient.notify] or ["NEVER"]
            line += " NOTIFY=" + ",".join(words)
        if recipient.orcpt:
            kind, _, address = recipient.orcpt.partition(";")
            if address.isascii() and kind.isascii() and kind.replace("-", "").isalnum():
                line += f" ORCPT={kind};{encode_xtext(address)}"
        return line

    # ------------------------------------------------------------------ replies

    def _take(self, reply: Reply) -> None:
        if not self._expected:
            self._unexpected(reply)
            return
        expect = self._expected.popleft()
        if expect is _Expect.GREETING:
            self._events.append(Greeted(reply))
        elif expect is _Expect.EHLO:
            self._take_ehlo(reply)
        elif expect is _Expect.HELO:
            self._events.append(HelloDone(reply))
        elif expect is _Expect.TLS:
            if reply.code == 220 and not self._reader.empty:
                raise ProtocolError("the server sent more before the TLS handshake")
            self._events.append(TlsReady(reply))
        elif expect is _Expect.AUTH:
            self._take_auth(reply)
        elif expect is not _Expect.QUIT:
            self._take_transaction(expect, reply)
        if reply.code == 421:
            self.closing = True

    def _unexpected(self, reply: Reply) -> None:
        """Only 421 may come unasked (RFC 5321 §3.8), or a refusal while the content is still on its way."""
        refused = reply.outcome in (Outcome.TRANSIENT, Outcome.PERMANENT)
        if self._encoder is not None and refused:
            self._encoder = None
            self.closing = True  # the rest of the content would be taken for commands
            self._finish(reply)
        elif self._encoder is None and reply.code == 421:
            self.closing = True
            self._events.append(ServerClosing(reply))
        else:
            raise ProtocolError(f"the server sent a reply that was not due: {reply.code}")

    def _take_ehlo(self, reply: Reply) -> None:
        if reply.outcome is Outcome.SUCCESS:
            self.capabilities = Capabilities.parse(reply)
        elif reply.code in (500, 501, 502, 504, 550, 554):
            self._queue(f"HELO {self.hostname}", _Expect.HELO)
            return
        self._events.append(HelloDone(reply))

    def _take_auth(self, reply: Reply) -> None:
        if reply.code == 334 and self._auth_steps:
            self._output.append(self._auth_steps.popleft() + b"\r\n")
            self._expected.appendleft(_Expect.AUTH)
        elif reply.code == 334:
            raise ProtocolError("the server asks for more than the mechanism has")
        else:
            self._auth_steps.clear()
            self._events.append(AuthDone(reply))

    def _take_transaction(self, expect: _Expect, reply: Reply) -> None:
        if reply.code == 421 and expect is not _Expect.END:
            # The server closes; nothing of the content was sent.
            self._commands.clear()
            self._expected.clear()
            self._finish(reply)
            return
        if expect is _Expect.MAIL:
            self._check_final(reply)
            self._mail_reply = reply
            if reply.outcome is not Outcome.SUCCESS and self._commands:
                self._commands.clear()  # not pipelined: no transaction was opened
                self._finish(reply)
                return
        elif expect is _Expect.RCPT:
            self._take_rcpt(reply)
        elif expect is _Expect.DATA:
            self._take_data(reply)
        elif expect is _Expect.END:
            self._check_final(reply)
            self.end_written = False
            # RFC 5321 §4.1.1.4 clears the transaction in either case; Postfix keeps it where a policy refuses the end.
            self._needs_reset = reply.outcome is not Outcome.SUCCESS
            self._finish(reply)
        if not self._expected:
            self._send_commands()

    def _check_final(self, reply: Reply) -> None:
        if reply.outcome is Outcome.INTERMEDIATE:
            raise ProtocolError(f"the server sent a reply that was not due: {reply.code}")

    def _take_rcpt(self, reply: Reply) -> None:
        self._check_final(reply)
        if self._mail_reply is not None and self._mail_reply.outcome is not Outcome.SUCCESS:
            reply = self._mail_reply
        self._replies[self._answered] = reply
        self._answered += 1
        last = self._answered == len(self._replies)
        if last and (self._only_envelope or (self._commands and not self._any_accepted())):
            self._commands.clear()  # DATA was not sent yet
            self._needs_reset = True
            self._finish(None)

    def _any_accepted(self) -> bool:
        return any(reply is not None and reply.outcome is Outcome.SUCCESS for reply in self._replies)

    def _take_data(self, reply: Reply) -> None:
        if reply.outcome in (Outcome.SUCCESS, Outcome.INTERMEDIATE) and reply.code != 354:
            raise ProtocolError(f"the server answers DATA with {reply.code}")
        if reply.code != 354:
            self._needs_reset = True
            self._finish(reply)
        elif self._any_accepted():
            self._encoder = DotEncoder()
            self._events.append(BodyWanted())
        else:
            # RFC 2920 §3.1: DATA went through without a recipient, so an empty message ends it.
            self._output.append(b".\r\n")
            self._expected.append(_Expect.END)

    def _finish(self, reply: Reply | None) -> None:
        """End the transaction; `reply` counts for every recipient that was not refused by itself."""
        results = []
        for recipient, own in zip(self._recipients, self._replies, strict=True):
            refused = own is not None and own.outcome is not Outcome.SUCCESS
            results.append(RecipientResult(recipient, own if refused or reply is None else reply))
        self._events.append(Done(tuple(results)))

    def envelope_is(self, envelope: Envelope) -> bool:
        """Whether the running or last transaction is that of `envelope`."""
        return self._recipients is envelope.recipients

    def partial_results(self) -> tuple[RecipientResult, ...]:
        """What is known of the running transaction: refusals; None for all that is not decided."""
        return tuple(
            RecipientResult(recipient, own if own is not None and own.outcome is not Outcome.SUCCESS else None)
            for recipient, own in zip(self._recipients, self._replies, strict=True)
        )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
