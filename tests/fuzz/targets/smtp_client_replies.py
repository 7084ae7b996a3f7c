"""The SMTP client engine against a hostile server: no error but `ProtocolError`, and no success that was not said."""

from __future__ import annotations

import re

from everpost.mail.address import Address
from everpost.mail.envelope import Envelope, Recipient, Sender
from everpost.wire.smtp.client import (
    BodyWanted,
    ClientEngine,
    Done,
    Greeted,
    HelloDone,
    ProtocolError,
    ServerClosing,
)

_OPEN = b"220 mx\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-AUTH PLAIN\r\n250 LIMITS RCPTMAX=3\r\n"
SEEDS: list[bytes] = [
    _OPEN + b"250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go\r\n250 2.0.0 queued\r\n",
    _OPEN + b"250 ok\r\n550 no\r\n550 no\r\n354 go\r\n554 none\r\n421 bye\r\n",
    b"220 mx\r\n502 no\r\n250 mx\r\n250 ok\r\n250 ok\r\n450-4.2.0 a\r\n450 4.2.0 b\r\n354 go\r\n552 early\r\n",
    b"220-a\r\n220 b\n250 x\n421 4.3.2 closing\r\n",
]
_ENVELOPE = Envelope(
    Sender(Address("a", "example.com")),
    (Recipient(Address("b", "example.org")), Recipient(Address("c", "example.org"))),
)


def run(data: bytes) -> None:
    client = ClientEngine("gw.example.org")
    ended = False
    position = 0
    try:
        while True:
            event = client.next_event()
            client.data_to_send()
            if event is None:
                if position >= len(data):
                    return
                client.receive_data(data[position : position + 5])
                position += 5
            elif isinstance(event, Greeted):
                client.hello()
            elif isinstance(event, HelloDone):
                client.start(_ENVELOPE, 5)
            elif isinstance(event, BodyWanted):
                client.whole_body(b"x\r\n")
                ended = True
            elif isinstance(event, Done):
                accepted = any(result.accepted for result in event.results)
                if accepted and not ended:
                    raise AssertionError("accepted before the content was sent")
                if accepted and not re.search(rb"354[^0-9]", data):
                    raise AssertionError("accepted without 354")
                return
            elif isinstance(event, ServerClosing):
                return
    except ProtocolError:
        return
