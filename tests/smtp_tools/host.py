"""A host for the server engine that decides by simple rules and writes down what it saw."""

from __future__ import annotations

from dataclasses import dataclass, field

from everpost.mail.reply import Reply
from everpost.wire.smtp.events import (
    NEED_DATA,
    PAUSED,
    START_DATA,
    Authenticate,
    BodyChunk,
    BodyEnd,
    Closed,
    DataStart,
    Event,
    MailFrom,
    Quit,
    RcptTo,
    Reset,
    ServerProfile,
    StartTls,
    fault_reply,
)
from everpost.wire.smtp.server import ServerEngine

OK = Reply(250, "OK", (0, 0))


@dataclass
class Host:
    """Rules: recipients `unknown@` get 550, `later@` 451; senders `refused@` 550, `nodata@` get no DATA."""

    profile: ServerProfile = field(default_factory=lambda: ServerProfile("mx.example.org"))
    tls_active: bool = False

    def __post_init__(self) -> None:
        self.engine = ServerEngine(self.profile, tls_active=self.tls_active)
        self.engine.greet()
        self.events: list[Event] = []
        self.sent = b""
        self.messages: list[bytes] = []
        self.wants_tls = False
        self.most_buffered = 0
        self._body = bytearray()
        self._sender = ""

    def feed(self, data: bytes) -> None:
        self.engine.receive_data(data)
        self.run()

    def run(self) -> None:
        engine = self.engine
        while True:
            event = engine.next_event()
            self.sent += engine.data_to_send()
            if event is NEED_DATA or event is PAUSED:
                self.most_buffered = max(self.most_buffered, engine.buffered)
                return
            assert not isinstance(event, type(NEED_DATA))
            if isinstance(event, Closed):
                if not self.events or not isinstance(self.events[-1], Closed):
                    self._record(event)
                return
            self._record(event)
            if isinstance(event, StartTls):
                self.wants_tls = True
                return
            reply = self.decide(event)
            if reply is not None:
                engine.reply(reply)
                self.sent += engine.data_to_send()

    def start_tls(self) -> None:
        self.wants_tls = False
        self.engine.tls_started()

    def _record(self, event: Event) -> None:
        last = self.events[-1] if self.events else None
        if isinstance(event, BodyChunk):
            self._body += event.data
            if isinstance(last, BodyChunk):
                self.events[-1] = BodyChunk(last.data + event.data)
                return
        faulty = isinstance(event, BodyEnd) and event.fault is not None
        if isinstance(last, BodyChunk) and (faulty or isinstance(event, Closed | Quit | Reset)):
            self.events.pop()  # how much of a lost message came out depends on how it was cut
        self.events.append(event)

    def decide(self, event: Event) -> Reply | None:
        if isinstance(event, MailFrom):
            path = event.sender.reverse_path
            self._sender = path.local if path else ""
            return Reply(550, "Refused", (7, 1)) if self._sender == "refused" else OK
        if isinstance(event, RcptTo):
            local = event.recipient.address.local
            if local == "unknown":
                return Reply(550, "No such mailbox", (1, 1))
            return Reply(451, "Try later", (3, 0)) if local == "later" else OK
        if isinstance(event, DataStart):
            self._body.clear()
            return Reply(451, "Not now", (3, 0)) if self._sender == "nodata" else START_DATA
        if isinstance(event, BodyEnd):
            if event.fault is not None:
                return fault_reply(event.fault)
            assert event.octets == len(self._body)
            self.messages.append(bytes(self._body))
            return Reply(250, "Queued", (0, 0))
        if isinstance(event, Authenticate):
            good = (event.username, event.password) == ("user", "secret")
            return Reply(235, "Welcome", (7, 0)) if good else Reply(535, "Wrong credentials", (7, 8))
        return None
