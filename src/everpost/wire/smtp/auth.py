"""AUTH of the server engine (RFC 4954): the dialogue, without any look at the credentials."""

from __future__ import annotations

from everpost.mail.reply import Reply
from everpost.wire.smtp import sasl
from everpost.wire.smtp.events import Authenticate, ServerProfile
from everpost.wire.smtp.session import Asked, LineRefused, Session, State


class AuthSession(Session):
    """A session that knows who the client says it is."""

    def __init__(self, profile: ServerProfile, *, tls_active: bool) -> None:
        super().__init__(profile, tls_active=tls_active)
        self.hello: str | None = None
        self.authenticated: str | None = None
        self._in_mail = False
        self._auth_failures = 0
        self._dialogue: sasl.Dialogue | None = None
        self._pending_auth: Authenticate | None = None

    @property
    def _auth_offered(self) -> bool:
        profile = self.profile
        return bool(profile.auth_mechanisms) and (self.tls_active or not profile.auth_requires_tls)

    def _auth(self, argument: str) -> None:
        mechanism, space, initial = argument.strip(" ").partition(" ")
        if not self.profile.auth_mechanisms:
            self._bad(Reply(502, "AUTH is not offered", (5, 1)))
        elif not self._auth_offered:
            self._bad(Reply(538, "Encryption is required for authentication", (7, 11)))
        elif self.hello is None:
            self._bad(Reply(503, "EHLO is needed first", (5, 1)))
        elif self.authenticated is not None:
            self._bad(Reply(503, "Already authenticated", (5, 1)))
        elif self._in_mail:
            self._bad(Reply(503, "Not during a transaction", (5, 1)))
        else:
            dialogue = sasl.begin(mechanism.upper())
            if dialogue is None or mechanism.upper() not in self.profile.auth_mechanisms:
                self._bad(Reply(504, "Mechanism not known here", (5, 4)))
                return
            self._dialogue = dialogue
            if space:
                self._auth_answer("" if initial == "=" else initial)
            else:
                self._challenge(dialogue.start())

    def _challenge(self, text: str) -> None:
        self._output.append(f"334 {text}\r\n".encode())
        self._state = State.AUTH

    def _read_auth(self) -> bool:
        try:
            line = self._read_line(self._limits.auth_line_octets)
        except LineRefused:
            self._dialogue = None
            if self._state is State.AUTH:
                self._state = State.COMMAND
            return True
        if line is None:
            return False
        if line == "*":
            self._stop_auth()
            self._bad(Reply(501, "Authentication cancelled", (7, 0)))
        else:
            self._auth_answer(line)
        return True

    def _stop_auth(self) -> None:
        self._dialogue = None
        self._state = State.COMMAND

    def _auth_answer(self, line: str) -> None:
        assert self._dialogue is not None
        self._state = State.COMMAND
        try:
            result = self._dialogue.answer(sasl.decode_base64(line))
        except sasl.SaslError:
            self._stop_auth()
            self._bad(Reply(501, "Cannot decode this response", (5, 2)))
            return
        if isinstance(result, str):
            self._challenge(result)
            return
        self._dialogue = None
        self._pending_auth = result
        self._ask(Asked.AUTH, result)

    def _auth_answered(self, accepted: bool) -> None:
        pending, self._pending_auth = self._pending_auth, None
        if accepted and pending is not None:
            self.authenticated = self.authenticated or pending.username
            return
        self._auth_failures += 1
        if self._auth_failures >= self._limits.auth_failures:
            self._fatal(Reply(421, "Too many failed authentications", (7, 0)))
