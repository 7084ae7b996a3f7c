"""A Postfix policy server in a thread: answers change at once, without a reload."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True)
class Rule:
    """What to answer at one state of the protocol (CONNECT, MAIL, RCPT, DATA, END-OF-MESSAGE)."""

    state: str
    action: str
    sender: str | None = None
    recipient: str | None = None

    def matches(self, request: dict[str, str]) -> bool:
        return (
            request.get("protocol_state") == self.state
            and self.sender in (None, request.get("sender"))
            and self.recipient in (None, request.get("recipient"))
        )


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        policy = cast("_Server", self.server).policy
        with contextlib.suppress(OSError):
            while True:
                request: dict[str, str] = {}
                while (line := self.rfile.readline(4096)) not in (b"\n", b""):
                    key, _, value = line.decode("utf-8", "replace").rstrip("\n").partition("=")
                    request[key] = value
                if not line:
                    return
                self.wfile.write(f"action={policy.decide(request)}\n\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    policy: PolicyServer


class PolicyServer:
    """Refuses and delays on command. `address` is what `check_policy_service` takes."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.policy = self
        self._rules: tuple[Rule, ...] = ()
        self._delay = 0.0
        self._slow_state = "RCPT"
        self._changed = threading.Event()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"inet:127.0.0.1:{self._server.server_address[1]}"

    def refuse(self, *rules: Rule) -> None:
        """From now on these rules hold instead of the earlier ones; none: everything is welcome."""
        self._rules = rules

    def slow(self, delay: float, state: str) -> None:
        """Wait so many seconds before answering at that state. A new call ends a wait under way."""
        self._delay, self._slow_state = delay, state
        waiting, self._changed = self._changed, threading.Event()
        waiting.set()

    def decide(self, request: dict[str, str]) -> str:
        if self._delay and request.get("protocol_state") == self._slow_state:
            self._changed.wait(self._delay)
        return next((rule.action for rule in self._rules if rule.matches(request)), "DUNNO")

    def close(self) -> None:
        self.slow(0, "RCPT")
        self._server.shutdown()
        self._server.server_close()
