"""Other readings of messages, files within text, and the answers of ICAP services."""

from __future__ import annotations

import asyncio

from everpost.guard.contents import read_contents
from everpost.guard.oldforms import files_within
from everpost.guard.readings import MAX_READINGS, other_readings
from everpost.guard.scanners.icap import _named, _read_head
from everpost.guard.scanners.model import Unavailable
from everpost.mail.header import parse_header
from everpost.mail.mime import scan

SEEDS: list[bytes] = [
    b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=a\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Transfer-Encoding: x\r\n\r\nbefore before before before before before before before before before\r\n"
    b"--a\r\nContent-Type: text/html; charset=utf-7\r\n\r\n+AGE-\r\n--a--\r\n--b\r\n\r\nbehind\r\n",
    b"Content-Type: message/partial; id=x\r\n\r\nbegin 644 a\r\n#86)C\r\n`\r\nend\r\n"
    b"=ybegin line=128 size=3 name=b\r\n\x8b=n\x8d\r\n=yend size=3\r\n",
    b"ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n"
    b"X-Violations-Found: 1\r\n\ta\r\n\tb\r\n\r\n",
]


def run(data: bytes) -> None:
    """Nothing raises but what is meant for it, and everything is bounded."""
    header = parse_header(data)
    assert len(other_readings(data, scan(data, header, descend_messages=True)).found) <= MAX_READINGS
    read_contents(data, header)
    assert sum(len(content) for _, content in files_within(data)) <= 4 * len(data) + 60 * 1100
    asyncio.run(_answer(data))


async def _answer(data: bytes) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    try:
        _named((await _read_head(reader)).fields)
    except (Unavailable, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return
