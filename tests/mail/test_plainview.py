"""A look at a message that can do no harm."""

from __future__ import annotations

from everpost.mail.mime import scan
from everpost.mail.plainview import MAX_TEXT, READ_OCTETS, PlainView, plain_view

MIXED = b"""From: =?utf-8?q?B=C3=A4nk?= <a@bank.example>\r
Subject: Pay\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/html; charset=utf-8\r
\r
<style>p { color: red }</style><script>alert(1)</script><p>Dear <b>customer</b></p>\r
<a href="https://evil.example/">Click</a><img src="https://evil.example/t.gif">\r
--b\r
Content-Type: application/zip; name="invoice\xe2\x80\xaefdp.zip"\r
Content-Disposition: attachment\r
\r
PK\r
--b--\r
"""


def look(data: bytes) -> PlainView:
    return plain_view(data[:READ_OCTETS], scan(data))


def test_html_is_taken_for_its_words() -> None:
    view = look(MIXED)
    assert view.text.split("\n") == ["Dear", "customer", "Click"]
    assert view.complete
    assert ("From", "Bänk <a@bank.example>") in view.fields


def test_names_of_files_show_what_turns_them_round() -> None:
    [file] = look(MIXED).files
    assert (file.name, file.type, file.size) == ("invoice\ufffdfdp.zip", "application/zip", 2)


def test_what_is_cut_off_is_said() -> None:
    head = b"Subject: long\r\n\r\n"
    assert look(head + b"x" * MAX_TEXT).complete
    long = look(head + b"x" * (MAX_TEXT + 1))
    assert (len(long.text), long.complete) == (MAX_TEXT, False)
    assert not look(b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\nhi").complete


def test_text_behind_what_is_read_is_not_shown() -> None:
    big = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\n"
    view = look(big + b"A" * READ_OCTETS + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nlater\r\n--b--\r\n")
    assert (view.text, view.complete, len(view.files)) == ("", False, 1)


def test_nothing_at_all() -> None:
    assert look(b"") == PlainView((), "", True, ())
