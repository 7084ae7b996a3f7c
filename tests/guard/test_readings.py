"""What other programs may read in a message: found, and within bounds whatever is sent."""

from __future__ import annotations

import time

import pytest

from everpost.guard import kinds
from everpost.guard.contents import read_contents
from everpost.guard.oldforms import files_within
from everpost.guard.readings import MAX_READINGS, other_readings
from everpost.guard.steps.reading import form_signals
from everpost.mail.header import parse_header
from everpost.mail.mime import scan
from scanner_tools import BASE64, HEAD, OCTETS, PART, TEXT, mixed, uuencoded, yenc

EVERY_OCTET = bytes(range(256)) * 3


def readings(message: bytes) -> list[tuple[str, bytes]]:
    return list(other_readings(message, scan(message, parse_header(message), descend_messages=True)).found)


def test_an_ordinary_message_has_no_other_reading() -> None:
    usual = mixed(TEXT, PART).replace(b"\r\n\r\n--b", b"\r\n\r\nThis is a multi-part message in MIME format.\r\n--b", 1)
    assert readings(usual) == []
    assert readings(HEAD + b"\r\nhello\r\n") == []
    japanese = HEAD + b'Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B$"\x1b(B\r\n'
    assert readings(japanese) == [("a text in iso-2022-jp", "あ\n".encode())]


def test_what_lies_between_the_parts_is_read() -> None:
    hidden = b"x" * 60
    places = dict(readings(mixed(TEXT).replace(b"\r\n\r\n--b", b"\r\n\r\n" + hidden + b"\r\n--b", 1) + b"y" * 70))
    assert places == {"before the first part": hidden, "behind the last part": b"y" * 70}


def test_both_of_two_fields_are_believed() -> None:
    two = OCTETS + b"Content-Transfer-Encoding: 7bit\r\n" + BASE64 + b"\r\naGVsbG8gd29ybGQh\r\n"
    assert ("a second encoding", b"hello world!") in readings(mixed(two))
    other = (
        HEAD
        + b'Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nin\r\n--b--\r\n'
    )
    assert ("a second Content-Type", b"in") in readings(other)


@pytest.mark.parametrize("encode", [yenc, uuencoded])
def test_files_within_text(encode) -> None:
    text = b"Two files:\r\n\r\n" + encode(EVERY_OCTET) + b"between\r\n" + encode(b"second") + b"the end\r\n"
    assert list(files_within(text)) == [("e.com", EVERY_OCTET), ("e.com", b"second")]


def test_the_form_of_a_message_is_noticed() -> None:
    partial = HEAD + b'Content-Type: message/partial; id="x"; number=1; total=2\r\n\r\n' + HEAD
    deep = b"\r\n\r\nhello"
    for number in range(60):
        mark = b"m%d" % number
        deep = (
            b"\r\nContent-Type: multipart/mixed; boundary="
            + mark
            + b"\r\n\r\n--"
            + mark
            + deep
            + b"\r\n--"
            + mark
            + b"--"
        )
    two = mixed(OCTETS + OCTETS + b"\r\nx")
    for message, kind in (
        (partial, kinds.PARTIAL), (HEAD + deep.lstrip(), kinds.UNREAD), (two, kinds.AMBIGUOUS),
        (mixed(TEXT, mark=b"c"), kinds.MALFORMED),
    ):  # fmt: skip
        contents = read_contents(message, parse_header(message))
        assert kind.name in {each.kind for each in form_signals(contents)}
    ordinary = mixed(TEXT, PART)
    assert list(form_signals(read_contents(ordinary, parse_header(ordinary)))) == []


@pytest.mark.parametrize(
    "message",
    [
        mixed(*(OCTETS + OCTETS + BASE64 * 4 + b"\r\nAAAA" for _ in range(900))),
        HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"".join(b"--%d\r\n" % n for n in range(200_000)),
        HEAD + b"\r\n" + b"begin 644 x\r\n" * 100_000,
        HEAD + b"\r\n" + b"=ybegin line=1 name=x\r\n" * 50_000,
        HEAD + b"\r\n" + b"=ybegin " + b"name" * 500_000,
        mixed(*(b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + b"+AGE-" * 1000 for _ in range(500))),
        HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"\r\n--b\r\n\r\nx" + b"y" * 5000) * 500,
        HEAD + b"Content-Transfer-Encoding: what\r\n\r\n" + b"=41" * 1_000_000,
    ],
    ids=["fields", "marks", "begins", "ybegins", "long ybegin", "charsets", "no end", "encoding"],
)
def test_hostile_messages_cost_little(message: bytes) -> None:
    started = time.perf_counter()
    found = readings(message)
    assert time.perf_counter() - started < 3
    assert len(found) <= MAX_READINGS


def test_uuencoded_lines_do_not_make_much_of_little() -> None:
    text = b"begin 644 x\n" + b"M\n" * 100_000 + b"end\n"
    [(_, content)] = files_within(text)
    assert len(content) < 2.1 * len(text)


def test_many_other_readings_hide_none() -> None:
    """Past the limit the message is not clean, whatever the last of them is."""
    field = b"Content-Transfer-Encoding: 7bit\r\n"
    flood = mixed(*(OCTETS + field + field + b"\r\nx%d" % number for number in range(MAX_READINGS + 1)), PART)
    contents = read_contents(flood, parse_header(flood))
    assert not contents.readings_complete
    assert kinds.UNREAD.name in {each.kind for each in form_signals(contents)}


def test_the_last_of_very_many_fields_is_believed_as_well() -> None:
    fields = b"Content-Transfer-Encoding: 7bit\r\n" * 50 + BASE64
    assert ("a second encoding", b"hello world!") in readings(mixed(OCTETS + fields + b"\r\naGVsbG8gd29ybGQh\r\n"))
