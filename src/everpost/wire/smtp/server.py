"""The SMTP server engine (RFC 5321): bytes in, events out. No sockets, no clock.

The host feeds `receive_data`, takes events with `next_event` until `NEED_DATA` or `PAUSED`, sends `data_to_send`,
and answers each event that pauses the engine with `reply`. While the engine is paused the host should not read from
the client; what it hands over all the same is kept. Nothing a client sends raises.
"""

from __future__ import annotations

from collections.abc import Callable

from everpost.mail.envelope import Body
from everpost.mail.reply import Outcome, Reply
from everpost.wire.smtp import syntax
from everpost.wire.smtp.auth import AuthSession
from everpost.wire.smtp.body import BodyReader
from everpost.wire.smtp.events import (
    BodyChunk,
    BodyEnd,
    DataStart,
    Hello,
    MailFrom,
    Quit,
    RcptTo,
    Reset,
    ServerProfile,
    StartTls,
)
from everpost.wire.smtp.session import Asked, LineRefused, State

_HTTP_VERBS = frozenset(("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "TRACE", "PATCH", "PRI"))
_TLS_HANDSHAKE = 0x16
# BDAT is refused there too, but by its handler, which reads the octets that follow.
_BEFORE_TLS = frozenset(("EHLO", "HELO", "STARTTLS", "NOOP", "QUIT", "RSET", "BDAT"))

_OK = b"250 2.0.0 OK\r\n"
_NO_MAIL = Reply(503, "MAIL is needed first", (5, 1))
_NO_RECIPIENTS = Reply(554, "No valid recipients", (5, 1))
_TOO_MANY_RECIPIENTS = Reply(452, "Too many recipients", (5, 3))
_TOO_BIG = Reply(552, "Message exceeds the size limit", (3, 4))


class ServerEngine(AuthSession):
    """One session. `hello_check` may refuse a client's name by returning a reply."""

    def __init__(
        self,
        profile: ServerProfile,
        *,
        tls_active: bool = False,
        hello_check: Callable[[str], Reply | None] | None = None,
    ) -> None:
        super().__init__(profile, tls_active=tls_active)
        self.esmtp = False
        self._hello_check = hello_check
        self._transactions = self._refused = 0
        self._chunk_answer: Reply | None = None
        self._drop_transaction()

    # ------------------------------------------------------------------ what the host calls

    @property
    def in_transaction(self) -> bool:
        return self._in_mail

    def greet(self) -> None:
        """Queue the 220 banner."""
        self._say(Reply(220, f"{self.profile.hostname} ESMTP Everpost"))

    def reply(self, reply: Reply) -> None:
        """The host's answer to the event that paused the engine.

        Raises `RuntimeError` where no answer is due, or where a faulty message would be accepted.
        """
        asked = self._asked
        if asked is None or self._state is not State.PAUSED:
            raise RuntimeError("no answer is due")
        accepted = reply.outcome is Outcome.SUCCESS
        if asked is Asked.END and accepted and self._body is not None and self._body.fault is not None:
            raise RuntimeError(f"a message with a fault was accepted: {self._body.fault.value}")
        self._asked = None
        self._state = State.COMMAND
        if reply.code == 421:
            self._fatal(reply)
        elif asked is Asked.DATA and reply.outcome in (Outcome.SUCCESS, Outcome.INTERMEDIATE):
            self._begin_body(reply)
        elif asked is Asked.DATA and self._chunked:
            left = self._chunk_left
            self._drop_transaction()
            self._refuse_chunk(left, reply)
        else:
            self._say(reply)
            self._answered(asked, accepted)

    def tls_started(self) -> None:
        """The handshake is done. Everything the client said before it is forgotten (RFC 3207 §4.2)."""
        if self._state is not State.TLS:
            raise RuntimeError("no handshake was due")
        self.plaintext_discarded += len(self._input)
        self._input.clear()
        self._output.clear()
        self._scanned = 0
        self.tls_active = True
        self.hello = None
        self.esmtp = False
        self.authenticated = None
        self._drop_transaction()
        self._state = State.COMMAND

    # ------------------------------------------------------------------ machinery

    def _drop_transaction(self) -> None:
        self._in_mail = False
        self._smtputf8 = False
        self._body_type = Body.SEVEN_BIT
        self._recipients = 0
        self._excess = 0
        self._body: BodyReader | None = None
        self._chunked = False
        self._chunk_left = 0
        self._chunk_last = False

    def _reset(self) -> None:
        if self._in_mail:
            self._drop_transaction()
            self._events.append(Reset())

    def _answered(self, asked: Asked, accepted: bool) -> None:
        if asked is Asked.MAIL:
            self._in_mail = accepted
            if not accepted:
                self._drop_transaction()
                self._idle()
        elif asked is Asked.RCPT:
            if accepted:
                self._recipients += 1
            else:
                self._refused += 1
                if self._refused > self._limits.refused_recipients:
                    self._fatal(Reply(421, "Too many refused recipients", (7, 0)))
        elif asked is Asked.AUTH:
            self._auth_answered(accepted)
        else:
            self._drop_transaction()
            if accepted:
                self._errors = self._idle_commands = 0

    def _step(self, state: State) -> bool:
        """Do one thing with the input; False where more is needed for it."""
        if state is State.COMMAND:
            return self._read_command()
        if state is State.DATA:
            return self._read_dots()
        if state is State.BDAT:
            return self._read_chunk()
        if state is State.AUTH:
            return self._read_auth()
        return self._discard()

    def _read_command(self) -> bool:
        buffer = self._input
        if not buffer:
            return False
        if buffer[0] == _TLS_HANDSHAKE:
            self._fatal(Reply(500, "This is no TLS port", (5, 2)))
            return True
        limits = self._limits
        limit = limits.auth_line_octets if buffer[:5].upper() == b"AUTH " else limits.line_octets
        try:
            line = self._read_line(limit)
        except LineRefused:
            return True
        if line is None:
            return False
        verb, _, argument = line.partition(" ")
        verb = verb.upper()
        handler = _COMMANDS.get(verb)
        if verb in _HTTP_VERBS:
            self._fatal(Reply(500, "This is no HTTP server", (5, 2)))
        elif handler is None:
            self._unknown(verb)
        elif self.profile.require_tls and not self.tls_active and verb not in _BEFORE_TLS:
            self._bad(Reply(530, "Must issue a STARTTLS command first", (7, 0)))
        else:
            try:
                handler(self, argument)
            except syntax.SyntaxFault as fault:
                self._bad(fault.reply)
        return True

    def _unknown(self, verb: str) -> None:
        if verb == "BDAT":
            # Its octets would follow and be taken for commands.
            self._fatal(Reply(502, "BDAT is not offered", (5, 1)))
        else:
            self._bad(Reply(500, "Command not known", (5, 2)))

    # ------------------------------------------------------------------ session commands

    def _ehlo(self, argument: str) -> None:
        self._greeted(argument, esmtp=True)

    def _helo(self, argument: str) -> None:
        self._greeted(argument, esmtp=False)

    def _greeted(self, argument: str, *, esmtp: bool) -> None:
        name = syntax.parse_hello(argument)
        refusal = self._hello_check(name) if self._hello_check is not None else None
        if refusal is not None:
            self._say(refusal)
            if refusal.code == 421:
                self._end(refusal.text)
            else:
                self._idle()
            return
        self._reset()
        self.hello = name
        self.esmtp = esmtp
        self._say(Reply(250, "\n".join(self._capabilities()) if esmtp else self.profile.hostname))
        self._events.append(Hello(name, esmtp))
        self._idle()

    def _capabilities(self) -> list[str]:
        profile, limits = self.profile, self._limits
        lines = [profile.hostname, "PIPELINING", f"SIZE {limits.message_octets}", "8BITMIME"]
        lines.append("ENHANCEDSTATUSCODES")
        if profile.smtputf8:
            lines.append("SMTPUTF8")
        if profile.dsn:
            lines.append("DSN")
        if profile.chunking:
            lines.append("CHUNKING")
            if profile.binarymime:
                lines.append("BINARYMIME")
        if profile.starttls and not self.tls_active:
            lines.append("STARTTLS")
        if self._auth_offered:
            lines.append("AUTH " + " ".join(profile.auth_mechanisms))
        mailmax = f" MAILMAX={limits.transactions}" if limits.transactions else ""
        lines.append(f"LIMITS RCPTMAX={limits.recipients}{mailmax}")  # RFC 9422
        return lines

    def _starttls(self, argument: str) -> None:
        if not self.profile.starttls:
            self._bad(Reply(502, "STARTTLS is not offered", (5, 1)))
        elif self.tls_active:
            self._bad(Reply(503, "TLS is already active", (5, 1)))
        elif argument.strip(" "):
            self._bad(Reply(501, "STARTTLS takes no argument", (5, 4)))
        else:
            self._reset()
            self._output.append(b"220 2.0.0 Ready to start TLS\r\n")
            self.plaintext_discarded += len(self._input)  # injection: CVE-2011-0411 and its many kin
            self._input.clear()
            self._state = State.TLS
            self._events.append(StartTls())

    def _noop(self, argument: str) -> None:
        self._output.append(_OK)
        self._idle()

    def _rset(self, argument: str) -> None:
        self._reset()
        self._output.append(_OK)
        self._idle()

    def _vrfy(self, argument: str) -> None:
        self._output.append(b"252 2.5.0 Cannot verify, but will take mail and try to deliver it\r\n")
        self._idle()

    def _expn(self, argument: str) -> None:
        self._bad(Reply(502, "EXPN is not offered", (5, 1)))

    def _help(self, argument: str) -> None:
        self._output.append(b"214 2.0.0 See RFC 5321\r\n")
        self._idle()

    def _quit(self, argument: str) -> None:
        self._output.append(b"221 2.0.0 Bye\r\n")
        self._events.append(Quit())
        self._end("quit")

    # ------------------------------------------------------------------ the transaction

    def _mail(self, argument: str) -> None:
        profile, limits = self.profile, self._limits
        if self.hello is None:
            self._bad(Reply(503, "EHLO is needed first", (5, 1)))
        elif self._in_mail:
            self._bad(Reply(503, "MAIL was given already", (5, 1)))
        elif profile.require_auth and self.authenticated is None:
            self._bad(Reply(530, "Authentication required", (7, 0)))
        elif limits.transactions and self._transactions >= limits.transactions:
            self._fatal(Reply(421, "Too many messages in one session", (7, 0)))
        else:
            sender = syntax.parse_mail(
                argument,
                smtputf8=profile.smtputf8,
                dsn=profile.dsn,
                binarymime=profile.chunking and profile.binarymime,
                auth=self._auth_offered,
            )
            if sender.size is not None and sender.size > limits.message_octets:
                self._say(_TOO_BIG)
                self._idle()
                return
            self._transactions += 1
            self._smtputf8 = sender.smtputf8
            self._body_type = sender.body
            self._ask(Asked.MAIL, MailFrom(sender))

    def _rcpt(self, argument: str) -> None:
        if not self._in_mail:
            self._bad(_NO_MAIL)
        elif self._chunked:
            self._bad(Reply(503, "Not after BDAT", (5, 1)))
        elif self._recipients >= self._limits.recipients:
            self._say(_TOO_MANY_RECIPIENTS)
            self._excess += 1
            if self._excess > 9 * self._limits.recipients:
                self._fatal(Reply(421, "Far too many recipients", (5, 3)))
        else:
            profile = self.profile
            recipient = syntax.parse_rcpt(argument, smtputf8=self._smtputf8, dsn=profile.dsn, hostname=profile.hostname)
            self._ask(Asked.RCPT, RcptTo(recipient))

    def _data(self, argument: str) -> None:
        if argument.strip(" "):
            self._bad(Reply(501, "DATA takes no argument", (5, 4)))
        elif not self._in_mail:
            self._bad(_NO_MAIL)
        elif self._chunked or self._body_type is Body.BINARY:
            self._bad(Reply(503, "BDAT is needed here", (5, 1)))  # RFC 3030 §2, §3
        elif not self._recipients:
            self._bad(_NO_RECIPIENTS)
        else:
            self._ask(Asked.DATA, DataStart(chunked=False))

    def _begin_body(self, reply: Reply) -> None:
        self._body = BodyReader(self._limits, binary=self._body_type is Body.BINARY, refuse_nul=self.profile.refuse_nul)
        if self._chunked:
            self._state = State.BDAT
            return
        self._output.append(reply.encode() if reply.code == 354 else b"354 Go ahead\r\n")
        self._body.start_dots(self._input)
        self._state = State.DATA

    def _read_dots(self) -> bool:
        body = self._body
        assert body is not None
        chunk, ended = body.read_dots(self._input)
        if body.hopeless:
            self._fatal(_TOO_BIG)
            return True
        if chunk and not body.fault:
            self._events.append(BodyChunk(chunk))
        if ended:
            self._ask(Asked.END, BodyEnd(body.fault, body.octets))
        return ended or bool(self._events)

    # ------------------------------------------------------------------ BDAT (RFC 3030)

    def _bdat(self, argument: str) -> None:
        if not self.profile.chunking:
            self._unknown("BDAT")
            return
        words = argument.upper().split()
        size = words[0] if words else ""
        if not size.isdigit() or not size.isascii() or len(size) > 20 or words[1:] not in ([], ["LAST"]):
            # How many octets follow is not known, so nothing after this can be read safely.
            self._fatal(Reply(501, "BDAT needs a size, and LAST or nothing", (5, 4)))
            return
        octets = int(size)
        if octets > self._limits.message_octets * self._limits.oversize_factor:
            self._fatal(_TOO_BIG)
            return
        self._chunk_left = octets
        self._chunk_last = len(words) == 2
        refusal = _NO_MAIL if not self._in_mail else None if self._recipients else _NO_RECIPIENTS
        if refusal is not None:
            self._refuse_chunk(octets, refusal)
        elif self._body is None:
            self._chunked = True
            self._ask(Asked.DATA, DataStart(chunked=True))
        else:
            self._state = State.BDAT

    def _refuse_chunk(self, octets: int, answer: Reply) -> None:
        """Read the chunk all the same, or its octets would be taken for commands; then answer."""
        self._chunk_left = octets
        self._chunk_answer = answer
        self._state = State.BDAT

    def _read_chunk(self) -> bool:
        buffer = self._input
        size = min(len(buffer), self._chunk_left)
        self._chunk_left -= size
        done = self._chunk_left == 0
        if self._chunk_answer is not None:
            del buffer[:size]
            if done:
                answer, self._chunk_answer = self._chunk_answer, None
                self._state = State.COMMAND
                self._say(answer)
                self._idle()
            return done
        body = self._body
        assert body is not None
        raw = bytes(buffer[:size])
        del buffer[:size]
        ended = done and self._chunk_last
        chunk = body.read_chunk(raw, last=ended)
        if body.hopeless:
            self._fatal(_TOO_BIG)
            return True
        if chunk and not body.fault:
            self._events.append(BodyChunk(chunk))
        if ended:
            self._ask(Asked.END, BodyEnd(body.fault, body.octets))
        elif done:
            self._output.append(b"250 2.0.0 Chunk received\r\n")
            self._state = State.COMMAND
        return done or bool(self._events)


_COMMANDS: dict[str, Callable[[ServerEngine, str], None]] = {
    "EHLO": ServerEngine._ehlo,
    "HELO": ServerEngine._helo,
    "STARTTLS": ServerEngine._starttls,
    "AUTH": ServerEngine._auth,
    "MAIL": ServerEngine._mail,
    "RCPT": ServerEngine._rcpt,
    "DATA": ServerEngine._data,
    "BDAT": ServerEngine._bdat,
    "RSET": ServerEngine._rset,
    "NOOP": ServerEngine._noop,
    "VRFY": ServerEngine._vrfy,
    "EXPN": ServerEngine._expn,
    "HELP": ServerEngine._help,
    "QUIT": ServerEngine._quit,
}
