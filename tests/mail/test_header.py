"""The header and the readers of its values."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.mail import header as h
from everpost.mail.header import HeaderAddress, HeaderGroup

MESSAGE = b"From x\r\nSubject: one\r\n\ttwo\r\nno field\r\nX-A : b\r\nsubject:again\r\n\r\nbody: text\r\n"


def test_fields_and_spans() -> None:
    header = h.parse_header(MESSAGE)
    assert [(f.name, f.key, f.raw) for f in header.fields] == [
        ("Subject", "subject", b" one\r\n\ttwo"),
        ("X-A", "x-a", b" b"),
        ("subject", "subject", b"again"),
    ]
    assert MESSAGE[header.size :] == b"body: text\r\n"
    assert [MESSAGE[f.start : f.end] for f in header.fields][:2] == [b"Subject: one\r\n\ttwo\r\n", b"X-A : b\r\n"]
    assert header.complete
    assert header.first("SUBJECT") is header.fields[0]
    assert header.all("Subject") == (header.fields[0], header.fields[2])
    assert header.first("to") is None
    assert h.parse_header(memoryview(MESSAGE)) == header


def test_bare_line_feeds_give_the_same_fields() -> None:
    bare = h.parse_header(MESSAGE.replace(b"\r\n", b"\n"))
    assert [(f.key, f.raw.replace(b"\n", b"\r\n")) for f in bare.fields] == [
        (f.key, f.raw) for f in h.parse_header(MESSAGE).fields
    ]


@pytest.mark.parametrize(
    ("data", "count", "size"),
    [
        (b"", 0, 0),
        (b"\r\nbody", 0, 2),
        (b"\nbody", 0, 1),
        (b"A: b", 1, 4),
        (b"A: b\r\n", 1, 6),
        (b" folded first\r\nA: b\r\n\r\n", 1, 23),
    ],
)
def test_edges(data: bytes, count: int, size: int) -> None:
    header = h.parse_header(data)
    assert (len(header.fields), header.size, header.complete) == (count, size, True)


def test_limits_cut_fields_but_not_the_size() -> None:
    data = b"A: b\r\n" * 100 + b"\r\nbody"
    by_fields = h.parse_header(data, limit_fields=10)
    assert (len(by_fields.fields), by_fields.size, by_fields.complete) == (10, 602, False)
    by_octets = h.parse_header(data, limit_octets=60)
    assert (len(by_octets.fields), by_octets.size, by_octets.complete) == (10, 602, False)
    assert h.parse_header(data, limit_fields=100).complete


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b" plain", "plain"),
        (b" one\r\n two", "one two"),
        (b" =?utf-8?q?caf=C3?= =?utf-8?q?=A9?= au", "café au"),
        (b" =?utf-8?q?a?=\r\n =?iso-8859-1?b?6Q?= x", "aé x"),
        (b" =?utf-8*en?Q?a_b?=", "a b"),
        ("raw grüße".encode(), "raw grüße"),
        ("raw grüße".encode("cp1252"), "raw grüße"),
        (b" =?koi8-r?B?8NLJ18XU?=", "Привет"),
        (b" =?nonsense?q?=C3=A9?=", "é"),
        (b" =?punycode?q?abc-?=", "abc-"),
        (b" nul\0 =?utf-8?q?=00=1B?=x", "nul x"),
        (b" =?utf-7?q?+2AA-?=x", "x"),
        (b" =?utf-8?q?open", "=?utf-8?q?open"),
        ("e\u0301".encode(), "é"),
    ],
)
def test_text(raw: bytes, text: str) -> None:
    assert h.as_text(raw) == text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'"Doe, J" <a@example.org>', [HeaderAddress("Doe, J", "a@example.org")]),
        (b"a@example.org (A (nested) name)", [HeaderAddress("A (nested) name", "a@example.org")]),
        (b"<@one,@two:a@example.org>", [HeaderAddress(None, "a@example.org")]),
        (b"=?utf-8?q?Doe,_J?= <a@example.org>", [HeaderAddress("Doe, J", "a@example.org")]),
        (
            b"a @ example . org, b@example.org",
            [HeaderAddress(None, "a@example.org"), HeaderAddress(None, "b@example.org")],
        ),
        (b'"odd local"@example.org', [HeaderAddress(None, '"odd local"@example.org')]),
        (b"A B a@example.org", [HeaderAddress("A B", "a@example.org")]),
        (
            b"<a@example.org, b@example.org",
            [HeaderAddress(None, "a@example.org"), HeaderAddress(None, "b@example.org")],
        ),
        (b"undisclosed-recipients:;", [HeaderGroup("undisclosed-recipients", ())]),
        (b"root", [HeaderAddress(None, "root")]),
        (b", ,;", []),
        (
            b"Team: A <a@example.org>, b@example.org;, c@example.org",
            [
                HeaderGroup("Team", (HeaderAddress("A", "a@example.org"), HeaderAddress(None, "b@example.org"))),
                HeaderAddress(None, "c@example.org"),
            ],
        ),
        ("Jürgen <jürgen@example.org>".encode(), [HeaderAddress("Jürgen", "jürgen@example.org")]),
        (b"a@[192.0.2.1]", [HeaderAddress(None, "a@[192.0.2.1]")]),
    ],
)
def test_addresses(raw: bytes, expected: list[HeaderAddress | HeaderGroup]) -> None:
    assert list(h.as_addresses(raw)) == expected


def test_flatten_and_limit() -> None:
    assert len(h.flatten(h.as_addresses(b"a@example.org," * 20_000))) == 10_000
    assert len(h.flatten(h.as_addresses(b"G: a@b, c@d; e@f"))) == 3


def test_message_ids() -> None:
    assert h.as_message_ids(b" <a@b>\r\n <c\r\n d@e>") == ("a@b", "cd@e")
    assert h.as_message_ids(b" a@b c@d") == ("a@b", "c@d")
    assert h.as_message_ids(b" bare") == ("bare",)
    assert h.as_message_ids(b" Your message of Monday") == ()
    assert h.as_message_ids(b"<>") == ()


def test_urls() -> None:
    assert h.as_urls(b" <mailto:a@example.org?subject=x>, (c)\r\n <https://example.org/\r\n y>") == (
        "mailto:a@example.org?subject=x",
        "https://example.org/y",
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b" Tue, 1 Jul 2003 10:52:37 +0200 (CEST)",
            datetime(2003, 7, 1, 10, 52, 37, tzinfo=timezone(timedelta(hours=2))),
        ),
        (b" 21 Nov 97 09:55 GMT", datetime(1997, 11, 21, 9, 55, tzinfo=UTC)),
        (b" 21 Nov 03 09:55:06 EST", datetime(2003, 11, 21, 9, 55, 6, tzinfo=timezone(timedelta(hours=-5)))),
        (b" Mon Jan  5 01:02:03 2015", datetime(2015, 1, 5, 1, 2, 3, tzinfo=UTC)),
        (b" 2015-01-05T01:02:03Z", datetime(2015, 1, 5, 1, 2, 3, tzinfo=UTC)),
        (b" 31 Dec 2016 23:59:60 -0000", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b" 31 Feb 2016 23:59:00 +0000", None),
        (b" 1 Jan 9999 00:00:00 +0000", None),
        (b" soon", None),
        (b"", None),
    ],
)
def test_dates(raw: bytes, expected: datetime | None) -> None:
    assert h.as_date(raw) == expected


@given(st.text())
def test_encoded_text_comes_back(text: str) -> None:
    encoded = h.encode_text(text)
    assert encoded.isascii()
    assert all(len(line) <= 998 for line in encoded.split(b"\r\n"))
    lines = encoded.split(b"\r\n")
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    assert b"\r" not in encoded.replace(b"\r\n", b"")
    cleaned = h.as_text(text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ").encode("utf-8", "replace"))
    if "=?" not in text:
        assert h.as_text(encoded).strip() == cleaned.strip()


@given(st.text(alphabet=st.characters(codec="utf-8", min_codepoint=0xA0), max_size=300))
def test_encoded_words_are_short(text: str) -> None:
    assert all(len(line) <= 76 for line in h.encode_text(text, first_line=9).split(b"\r\n"))


LUMPS = [
    b"\r\n",
    b"\n",
    b" ",
    b"\t",
    b":",
    b"A",
    b"Subject:",
    b"From ",
    b"\0",
    b"\xff",
    b"=?utf-8?q?",
    b"?=",
    b"<",
    b">",
    b"@",
]
LUMPS += [b'"', b"\\", b"(", b")", b",", b";", b"[", b"]", b"1 Jan 2020 10:00", b"+9999", b"=C3"]
lumpy = st.lists(st.sampled_from(LUMPS), max_size=60).map(b"".join) | st.binary(max_size=200)


@given(lumpy)
def test_header_of_anything(data: bytes) -> None:
    header = h.parse_header(data)
    assert header == h.parse_header(data)
    position = 0
    for field in header.fields:
        assert position <= field.start < field.end <= header.size <= len(data)
        assert field.raw in data[field.start : field.end]
        position = field.end
    assert b"\n\n" not in data[: max(header.size - 2, 0)].replace(b"\r\n", b"\n")


@given(lumpy)
def test_readers_of_anything(raw: bytes) -> None:
    texts = [h.as_text(raw), *h.as_message_ids(raw), *h.as_urls(raw)]
    for item in h.flatten(h.as_addresses(raw)):
        texts += [item.address, item.name or ""]
    for text in texts:
        assert "\0" not in text
        assert "\n" not in text
        text.encode("utf-8")
    date = h.as_date(raw)
    if date is not None:
        date.astimezone(UTC)


@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b"x" * 140_000 + b'" <a@example.org>',
        b'"' * 140_000,
        b"(" * 140_000,
        b"((a)" * 40_000,
        b"<" * 140_000,
        b"a:" * 70_000,
        b"\\" * 140_000,
        b"=?utf-8?q?=C3=A9?= " * 20_000,
        b"".join(b"=?x-%d?q?a?= " % n for n in range(20_000)),
        b"=?a?q?" * 50_000,
        b"=?" * 100_000,
        b"a@b," * 100_000,
        b" " * 1_000_000,
        b"x" * 1_000_000,
        b"x@" * 200_000,
        b"." * 200_000,
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_hostile_values_take_bounded_time(raw: bytes) -> None:
    for reader in (h.as_text, h.as_addresses, h.as_message_ids, h.as_date, h.as_urls):
        started = time.process_time()
        reader(raw)
        assert time.process_time() - started < 1.0, reader


@pytest.mark.parametrize(
    "data",
    [b"X: " + b"a" * 1_000_000, b"\n a" * 400_000, b"a\n" * 500_000, b"a:\n" * 400_000, b"x" * 1_000_000 + b"\n\n"],
    ids=lambda data: repr(data[:8]),
)
def test_hostile_headers_take_bounded_time(data: bytes) -> None:
    started = time.process_time()
    header = h.parse_header(data)
    assert time.process_time() - started < 0.5
    assert len(header.fields) <= h.LIMIT_FIELDS
