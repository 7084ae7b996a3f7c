"""The SMTP server engine: nothing raises, nothing piles up, and cutting the input changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from everpost.wire.smtp.events import ServerLimits, ServerProfile
from smtp_tools.host import Host

_MAIL = (
    b"EHLO x\r\nMAIL FROM:<a@example.com> SIZE=9 RET=HDRS ENVID=q\r\n"
    b"RCPT TO:<b@example.org> NOTIFY=DELAY ORCPT=rfc822;b@c\r\n"
)
SEEDS: list[bytes] = [
    _MAIL + b"DATA\r\nSubject: x\r\n\r\n..a\r\n.\r\nQUIT\r\n",
    _MAIL + b"BDAT 10\r\n0123456789BDAT 4 LAST\r\na\r\n\r\nRSET\r\n",
    _MAIL + b"DATA\r\nx\n.\r\ny\r.\r\n\r\n.\n\r\n.\r\nNOOP\r\n",
    b"EHLO x\r\nAUTH PLAIN AHVzZXIAc2VjcmV0\r\nAUTH LOGIN\r\ndXNlcg==\r\nc2VjcmV0\r\n" + _MAIL,
    b"HELO y\r\n"
    b'MAIL FROM:<@a,@b:"q\\" >"@c.example>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<u@[IPv6:::1]>\r\nDATA\r\n.\r\n',
    b"EHLO x\r\nSTARTTLS\r\nMAIL FROM:<evil@example.com>\r\n",
    "EHLO x\r\nMAIL FROM:<é@bücher.example> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<ü@example.org>\r\n".encode(),
]
_PROFILE = ServerProfile(
    "mx.example.org",
    limits=ServerLimits(line_octets=300, message_octets=3000, header_octets=200, text_line_octets=200, recipients=3),
    starttls=True,
    auth_mechanisms=("PLAIN", "LOGIN"),
    auth_requires_tls=False,
)


def _play(data: bytes, step: int) -> tuple[object, bytes]:
    host = Host(_PROFILE)
    for start in range(0, len(data), step):
        host.feed(data[start : start + step])
    host.feed(b"")
    limit = _PROFILE.limits.auth_line_octets
    if host.most_buffered > limit and not host.wants_tls:
        raise AssertionError(f"{host.most_buffered} octets piled up")
    return host.events, host.sent


def run(data: bytes) -> None:
    whole = _play(data, max(len(data), 1))
    for step in (1, 7) if len(data) < 4000 else (97,):
        if _play(data, step) != whole:
            raise AssertionError(f"cutting into {step} octets changes what happens")
