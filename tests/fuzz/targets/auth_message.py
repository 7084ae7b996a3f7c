"""Whole messages with signatures: no input breaks the check, wherever the body is cut."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

from everpost.auth.canonical import BodyForm, Canonicalisation, SignedHeader, hash_body
from everpost.auth.check import Peer, authenticate
from everpost.auth.resolver import Lookup, RecordType, Status
from everpost.mail.header import parse_header

_KEY = (
    "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16J"
    "Yi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/"
    "K4w3QIDAQAB"
)
SEEDS: list[bytes] = [
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=football.example.com; i=@football.example.com;\r\n"
    b" q=dns/txt; s=test; t=1528637909; x=99999999999; l=3; h=from : to : subject : from;\r\n"
    b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=; b=F45dVWDfMbQDGHJFlXUNB2HK\r\n"
    b"From: Joe <joe@football.example.com>\r\nTo: s@example.net\r\nSubject: dinner\r\n\r\nHi. \t\r\n\r\n \r\n",
    b"ARC-Seal: i=1; a=rsa-sha256; t=12345; cv=none; d=example.org; s=x; b=dOdFEyhrk/tw\r\n"
    b"ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=x; h=from:to;\r\n"
    b" bh=KWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZYLQ=; b=QsRzR/UqwRfV\r\n"
    b"ARC-Authentication-Results: i=1; lists.example.org; dmarc=pass\r\nFrom: a@example.org\r\n\r\nbody\r\n",
]


class _Zone:
    """A key for every name."""

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        return Lookup(Status.FOUND, (_KEY,), 60) if kind is RecordType.TXT else Lookup(Status.NO_DATA)


def run(data: bytes) -> None:
    message = SignedHeader.parse(data)
    body = data[parse_header(data).size :]
    peer = Peer(IPv4Address("192.0.2.1"), data[:20].decode("latin-1"))
    path = data[-40:].decode("utf-8", "replace")
    found = asyncio.run(authenticate(peer, path, message, (body,), _Zone(), now=1.7e9))
    assert len(found.dkim) <= 10
    assert found.arc.verdict != "pass"
    forms = [BodyForm(form, length) for form in Canonicalisation for length in (None, 3)]
    assert hash_body([body[:9], body[9:]], forms) == hash_body((body[at : at + 1] for at in range(len(body))), forms)
