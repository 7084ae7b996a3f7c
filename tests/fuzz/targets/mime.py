"""The MIME scanner, content decoding and previews."""

from __future__ import annotations

from everpost.mail.digest import content_digest
from everpost.mail.mime import (
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

SEEDS: list[bytes] = [
    b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=ab\r\n\r\n"
    b"--ab\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nx=3D=\r\n--ab\r\nContent-Type: text/html\r\n\r\n<p>a"
    b"<!-- c --></p>\r\n--ab--\r\n--a\r\nContent-Type: application/pdf; name*0*=utf-8''%C3; name*1*=%A9.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: inner\r\n\r\ntext\r\n--a--\r\n",
    b"Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: x-uuencode\n\n"
    b"begin 644 a\n#86)C\n`\nend\n",
]


def run(data: bytes) -> None:
    """Nothing may raise, spans lie inside one another, what is stored comes back."""
    for descend in (False, True):
        root = scan(data, descend_messages=descend)
        _check(root, 0, len(data))
        assert load(serialise(root)) == root
    for part in root.walk():
        decode_body(data, part, limit=10)
        text, _ = decode_text(data, part)
        assert "\0" not in text
        text.encode("utf-8")
    body_lists(root)
    has_attachment(root)
    assert len(preview(data, root)) <= 256
    content_digest(data)


def _check(part: Part, start: int, end: int) -> None:
    assert start <= part.header_start <= part.body_start <= part.body_end <= end
    position = part.body_start
    for child in part.children:
        _check(child, position, part.body_end)
        position = child.body_end
