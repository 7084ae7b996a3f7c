"""Header fields and everything that reads their values."""

from __future__ import annotations

from everpost.mail.header import (
    as_addresses,
    as_date,
    as_message_ids,
    as_text,
    as_urls,
    encode_text,
    flatten,
    parse_header,
)

SEEDS: list[bytes] = [
    b"From: =?utf-8?q?A,_B?= <a@example.org>\r\nTo: G: b@example.org, (c) <c@example.org>;\r\n"
    b"Date: Tue, 1 Jul 2003 10:52:37 +0200 (CEST)\r\nMessage-ID: <x@example.org>\r\n"
    b"References: <a@b>\r\n <c@d>\r\nList-Post: <mailto:l@example.org>\r\n\r\nbody",
    b'To: "quoted \\" local"@example.org, <@r1,@r2:a@example.org>, a @ b . c\nSubject: =?koi8-r?B?8NLJ18XU?=\n\n',
]


def run(data: bytes) -> None:
    """Nothing may raise; whatever comes out can be stored."""
    header = parse_header(data)
    for field in header.fields:
        assert 0 <= field.start < field.end <= header.size <= len(data)
        texts = [as_text(field.raw), *as_message_ids(field.raw), *as_urls(field.raw)]
        for item in flatten(as_addresses(field.raw)):
            texts += [item.address, item.name or ""]
        as_date(field.raw)
        for text in texts:
            assert "\0" not in text
            text.encode("utf-8")
        encoded = encode_text(texts[0])
        assert b"\r" not in encoded.replace(b"\r\n ", b"")
        assert encoded.count(b"\n") == encoded.count(b"\r\n ")
