"""The MIME scanner, content decoding, body lists and previews."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.mail.mime import (
    MimeProblem,
    Part,
    body_lists,
    decode_body,
    decode_text,
    has_attachment,
    load,
    preview,
    scan,
    serialise,
)


def crlf(text: str) -> bytes:
    return text.lstrip("\n").replace("\n", "\r\n").encode()


NESTED = crlf(
    """
Subject: x
Content-Type: multipart/mixed; boundary="out er"

preamble
--out er
Content-Type: multipart/alternative; boundary=in

--in
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9 =
here

--in
Content-Type: text/html

<p>café</p>
--in--
--out er{padding}
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename*=utf-8''na%C3%AFve.pdf
Content-Transfer-Encoding: base64
Content-ID: <cid@example.org>
Content-Language: de, en
Content-Location: https://example.org/a

aGVs
bG8=
--out er
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary=b

--b

deep
--b--
--out er--
epilogue
""".replace("{padding}", "  ")
)


def structure(part: Part) -> list[tuple[str, str]]:
    return [(item.part_id, item.type) for item in part.walk()]


def test_structure_and_spans() -> None:
    root = scan(NESTED)
    assert structure(root) == [
        ("", "multipart/mixed"),
        ("1", "multipart/alternative"),
        ("1.1", "text/plain"),
        ("1.2", "text/html"),
        ("2", "application/pdf"),
        ("3", "message/rfc822"),
    ]
    plain, _ = root.children[0].children
    assert NESTED[plain.body_start : plain.body_end] == b"caf=C3=A9 =\r\nhere\r\n"
    assert NESTED[plain.header_start :].startswith(b"Content-Type: text/plain")
    assert (plain.lines, plain.size, plain.encoding, plain.charset) == (2, 19, "quoted-printable", "utf-8")
    assert decode_text(NESTED, plain) == ("café here\n", False)
    pdf = root.children[1]
    assert (pdf.disposition, pdf.filename, pdf.cid) == ("attachment", "naïve.pdf", "cid@example.org")
    assert (pdf.language, pdf.location, pdf.charset) == (("de", "en"), "https://example.org/a", None)
    assert decode_body(NESTED, pdf) == b"hello"
    assert not any(item.problems for item in root.walk())
    assert preview(NESTED, root) == "café here"


def test_descending_into_messages() -> None:
    root = scan(NESTED, descend_messages=True)
    assert structure(root)[5:] == [("3", "message/rfc822"), ("3.TEXT", "multipart/mixed"), ("3.1", "text/plain")]
    deep = root.children[2].children[0].children[0]
    assert decode_body(NESTED, deep) == b"deep"
    single = crlf("Content-Type: message/rfc822\n\nSubject: a\n\ntext\n")
    assert structure(scan(single, descend_messages=True)) == [("1", "message/rfc822"), ("1.1", "text/plain")]


def test_storage() -> None:
    for root in (scan(NESTED), scan(NESTED, descend_messages=True), scan(b"")):
        assert load(serialise(root)) == root
    assert len(serialise(scan(NESTED))) < 700
    with pytest.raises(ValueError):
        load(b"\x93\x01")


@pytest.mark.parametrize(
    ("text", "types", "problem"),
    [
        ("Content-Type: multipart/mixed\n\nbody", ["text/plain"], MimeProblem.MISSING_BOUNDARY),
        ("Content-Type: multipart/mixed; boundary=a\n\nbody", ["text/plain"], MimeProblem.MISSING_BOUNDARY),
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nbody",
            ["multipart/mixed", "text/plain"],
            MimeProblem.TRUNCATED,
        ),
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nbody\n--a\n",
            ["multipart/mixed", "text/plain"],
            MimeProblem.TRUNCATED,
        ),
        ("Content-Type: nonsense\n\nbody", ["text/plain"], MimeProblem.BAD_TYPE),
        ("Content-Transfer-Encoding: rot13\n\nbody", ["text/plain"], MimeProblem.BAD_ENCODING),
        ("Content-Type: text/html\nContent-Type: text/plain\n\nbody", ["text/html"], MimeProblem.DUPLICATE_FIELD),
    ],
)
def test_problems(text: str, types: list[str], problem: MimeProblem) -> None:
    root = scan(crlf(text))
    assert [part.type for part in root.walk()] == types
    assert root.problems == (problem,)


def test_outer_delimiters_win_and_prefixes_do_not_count() -> None:
    data = crlf("""
Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/mixed; boundary=ab

--ab

one
--abc
--a
Content-Type: text/html

two
--a--
""")
    root = scan(data)
    assert structure(root) == [
        ("", "multipart/mixed"),
        ("1", "multipart/mixed"),
        ("1.1", "text/plain"),
        ("2", "text/html"),
    ]
    assert decode_body(data, root.children[0].children[0]) == b"one\r\n--abc"


def test_digest_default_type() -> None:
    root = scan(crlf("Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\ny\n--a--\n"))
    assert root.children[0].type == "message/rfc822"


def test_empty_part_has_no_negative_span() -> None:
    root = scan(b"Content-Type: multipart/mixed; boundary=a\n\n--a\n--a\n\n--a--")
    assert [(part.body_start <= part.body_end) for part in root.walk()] == [True, True, True]
    assert len(root.children) == 2


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename=a b.txt", "a b.txt"),
        ("attachment; filename*0=long; filename*1=-name.txt", "long-name.txt"),
        ("attachment; filename*0*=utf-8''%C3%A9; filename*1=x", "éx"),
        ("attachment; filename=old; filename*=utf-8''%C3%A9", "é"),
        ('attachment; filename="=?utf-8?b?w6k=?="', "é"),
        ('attachment; filename="é"', "é"),
        ('attachment; filename="q\\"q"', 'q"q'),
        ("attachment; filename*=unknown''%C3%A9", "é"),
        ('attachment; filename="a\0b"', "ab"),
        ('attachment;\n filename="a\n b"', "a b"),
        ("attachment", None),
    ],
)
def test_filenames(value: str, name: str | None) -> None:
    assert scan(crlf(f"Content-Disposition: {value}\n\nx")).filename == name


def single(encoding: str, body: bytes, kind: str = "text/plain; charset=utf-8") -> tuple[bytes, Part]:
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    data = head.encode() + body
    return data, scan(data)


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("base64", b"aGVs!\r\n bG8=", b"hello"),
        ("base64", b"aGVsbG8=aGVsbG8=", b"hellohello"),
        ("base64", b"aGVsbG8", b"hello"),
        ("base64", b"aGVsbG8x=", b"hello1"),
        ("base64", b"a", b""),
        ("BASE64", b"aGVsbG8=", b"hello"),
        ("quoted-printable", b"a=3D=zz=\r\nb=", b"a==zzb"),
        ("x-uuencode", b"begin 644 a\r\n#86)C\r\n`\r\nend\r\n", b"abc"),
        ("8bit", b"\xff\0", b"\xff\0"),
        ("what", b"=41", b"=41"),
    ],
)
def test_transfer_decoding(encoding: str, body: bytes, expected: bytes) -> None:
    data, part = single(encoding, body)
    assert decode_body(data, part) == expected
    assert decode_body(data, part, limit=2) == expected[:2]


@given(st.binary(max_size=3000), st.integers(0, 3000))
def test_base64_round_trip_with_limit(content: bytes, limit: int) -> None:
    data, part = single("base64", base64.encodebytes(content))
    assert decode_body(data, part) == content
    assert decode_body(data, part, limit=limit) == content[:limit]


@pytest.mark.parametrize(
    ("kind", "body", "text", "problem"),
    [
        ("text/plain; charset=utf-8", "é\r\n".encode(), "é\n", False),
        ("text/plain; charset=iso-8859-1", "é".encode("latin-1"), "é", False),
        ("text/plain; charset=latin1", b"\x93q\x94", "“q”", False),
        ("text/plain", b"ascii", "ascii", False),
        ("text/plain", "é".encode(), "é", True),
        ("text/plain; charset=unknown-8bit", "é".encode(), "é", True),
        ("text/plain; charset=utf-8", "привет как дела сегодня".encode("cp1251"), "привет как дела сегодня", True),
        ("text/plain; charset=utf-8", "äöü".encode() + b"\xff", "äöü\ufffd", True),
        ("text/plain; charset=idna", b"abc", "abc", True),
        ("text/plain; charset=utf-16le", "x\0y".encode("utf-16le"), "xy", False),
        ("text/plain; charset=gb2312", "镕".encode("gb18030"), "镕", False),
    ],
)
def test_charsets(kind: str, body: bytes, text: str, problem: bool) -> None:
    data, part = single("8bit", body, kind)
    assert decode_text(data, part) == (text, problem)


def test_a_cut_character_is_no_problem() -> None:
    data, part = single("8bit", "ééé".encode())
    assert decode_text(data, part, limit=3) == ("é", False)


def test_body_lists_of_alternative_with_related() -> None:
    data = crlf("""
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a

plain
--a
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html

<p>x
--r
Content-Type: image/png
Content-Disposition: inline

x
--r--
--a--
--m
Content-Type: image/png

y
--m
Content-Type: text/plain; name=notes.txt

z
--m--
""")
    root = scan(data)
    lists = body_lists(root)
    assert [part.part_id for part in lists.text] == ["1.1", "2"]
    assert [part.part_id for part in lists.html] == ["1.2.1", "2"]
    assert [part.part_id for part in lists.attachments] == ["1.2.2", "3"]
    assert has_attachment(root)


def test_body_lists_of_the_example_in_rfc_8621() -> None:
    """The tree of RFC 8621 §4.1.4, parts A to K."""

    def leaf(part_id: str, kind: str, disposition: str | None = None) -> Part:
        return Part(part_id, kind, 0, 0, 0, disposition=disposition)

    def multi(kind: str, *children: Part) -> Part:
        return Part("", f"multipart/{kind}", 0, 0, 0, children=children)

    root = multi(
        "mixed",
        leaf("A", "text/plain", "inline"),
        multi(
            "mixed",
            multi(
                "alternative",
                multi(
                    "mixed",
                    leaf("B", "text/plain", "inline"),
                    leaf("C", "image/jpeg", "inline"),
                    leaf("D", "text/plain", "inline"),
                ),
                multi("related", leaf("E", "text/html"), leaf("F", "image/jpeg")),
            ),
            leaf("G", "image/jpeg", "attachment"),
            leaf("H", "application/x-excel"),
            leaf("J", "message/rfc822"),
        ),
        leaf("K", "text/plain", "inline"),
    )
    lists = body_lists(root)
    assert [part.part_id for part in lists.text] == list("ABCDK")
    assert [part.part_id for part in lists.html] == list("AEK")
    assert [part.part_id for part in lists.attachments] == list("CFGHJ")


def test_html_only_shows_in_both_and_inline_picture_is_no_attachment() -> None:
    root = scan(b"Content-Type: text/html\r\n\r\n<p>a")
    lists = body_lists(root)
    assert lists.text == lists.html == (root,)
    assert not has_attachment(root)


def test_preview_of_html() -> None:
    markup = "<html><head><title>t</title><style>p{}</style></head><!-- c --><body><script>s</script>"
    markup += "<p>Hello&nbsp;&amp; <b>welcome</b>\n\n</p>" + "word " * 100
    data, part = single("8bit", markup.encode(), "text/html; charset=utf-8")
    line = preview(data, part)
    assert line.startswith("Hello & welcome word word")
    assert 250 <= len(line) <= 256
    assert preview(*single("7bit", b"", "application/pdf")) == ""


LUMPS = [
    b"\r\n",
    b"\n",
    b"--a",
    b"--ab",
    b"--",
    b"\r\n--a\r\n",
    b"\r\n--a--\r\n",
    b"\r\n\r\n",
    b"x",
    b"=",
    b"\xff",
    b"\0",
]
LUMPS += [b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: multipart/digest; boundary=ab\r\n"]
LUMPS += [b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html\r\n", b"Content-Transfer-Encoding: base64\r\n"]
LUMPS += [b"Content-Disposition: attachment; filename*0*=utf-8''%", b"<p>", b"<!--", b"charset=utf-7\r\n"]
lumpy = st.lists(st.sampled_from(LUMPS), max_size=40).map(b"".join) | st.binary(max_size=300)


def check_nesting(part: Part, start: int, end: int) -> None:
    assert start <= part.header_start <= part.body_start <= part.body_end <= end
    position = part.body_start
    for child in part.children:
        check_nesting(child, position, part.body_end)
        position = child.body_end


@given(lumpy, st.booleans())
def test_scan_of_anything(data: bytes, descend: bool) -> None:
    root = scan(data, descend_messages=descend)
    assert root == scan(data, descend_messages=descend)
    assert load(serialise(root)) == root
    check_nesting(root, 0, len(data))
    parts = list(root.walk())
    assert len({part.part_id for part in parts}) == len(parts)
    for part in parts:
        text, _ = decode_text(data, part)
        assert "\0" not in text
        text.encode("utf-8")
        assert decode_body(data, part, limit=5) == decode_body(data, part)[:5] or len(data) > 1024
    assert len(preview(data, root)) <= 256
    has_attachment(root)


def deep(levels: int) -> bytes:
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(levels))
    return opening + b"\r\nx"


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 100_000,
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n" + b"\r\n--ax" * 1_000_000,
        deep(10_000),
        b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
        b"Content-Type: multipart/mixed; boundary=a\r\n" * 20_000,
        b"Content-Type: text/plain" + b"; a*1=b" * 100_000 + b"\r\n\r\n",
        b"Content-Type: text/plain;" + b"(" * 200_000 + b"\r\n\r\n",
        b'Content-Type: text/plain; a="' + b"\\" * 200_000 + b"\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 1_000_000,
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"a=" * 500_000,
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 100_000,
        b"Content-Type: text/html\r\n\r\n" + b"<style>" * 100_000,
        b"Content-Type: text/html\r\n\r\n" + b"<!--" * 100_000,
        b"Content-Type: text/html\r\n\r\n" + b"".join(b"<b id=%d>" % n for n in range(20_000)) + b"<p>" * 20_000,
    ],
    ids=lambda data: repr(data[14:60]),
)
def test_hostile_structure_takes_bounded_time(data: bytes) -> None:
    started = time.process_time()
    root = scan(data, descend_messages=True)
    parts = list(root.walk())
    preview(data, root)
    decode_text(data, root)
    assert time.process_time() - started < 1.0
    assert len(parts) <= 1000
    check_nesting(root, 0, len(data))


def test_limits_are_told() -> None:
    many = scan(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 3000)
    assert MimeProblem.TOO_MANY_PARTS in many.problems
    deepest = list(scan(deep(60)).walk())
    assert any(MimeProblem.TOO_DEEP in part.problems for part in deepest)
    assert len(deepest) == 51
