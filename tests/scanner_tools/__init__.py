"""EICAR in the disguises of MIME: one message for each."""

from __future__ import annotations

import base64
import binascii
import io
import quopri
import zipfile
from collections.abc import Iterator

from peers.clamd import EICAR

HEAD = b"From: a@example.com\r\nTo: b@example.org\r\nSubject: invoice\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\nSee the file.\r\n"
B64 = base64.encodebytes(EICAR).replace(b"\n", b"\r\n")
ATTACHED = b'Content-Disposition: attachment; filename="e.com"\r\n'
OCTETS = b"Content-Type: application/octet-stream\r\n"
BASE64 = b"Content-Transfer-Encoding: base64\r\n"
PART = OCTETS + ATTACHED + BASE64 + b"\r\n" + B64


def mixed(*parts: bytes, kind: bytes = b'Content-Type: multipart/mixed; boundary="b"', mark: bytes = b"b") -> bytes:
    """A message of these parts."""
    body = b"".join(b"--" + mark + b"\r\n" + part.removesuffix(b"\r\n") + b"\r\n" for part in parts)
    return HEAD + kind + b"\r\n\r\n" + body + b"--" + mark + b"--\r\n"


def part(field: bytes, body: bytes, kind: bytes = OCTETS) -> bytes:
    return kind + ATTACHED + field + b"\r\n" + body


def zipped(data: bytes, name: str = "e.com") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return target.getvalue()


def yenc(data: bytes) -> bytes:
    """yEnc 1.3: each octet plus 42, the critical ones escaped."""
    out = bytearray()
    for octet in data:
        code = (octet + 42) % 256
        out += bytes((0x3D, (code + 64) % 256)) if code in (0, 10, 13, 0x3D) else bytes((code,))
    crc = binascii.crc32(data)
    return (
        f"=ybegin line=128 size={len(data)} name=e.com\r\n".encode()
        + bytes(out) + f"\r\n=yend size={len(data)} crc32={crc:08x}\r\n".encode()
    )  # fmt: skip


def uuencoded(data: bytes) -> bytes:
    lines = [binascii.b2a_uu(data[start : start + 45]).replace(b"\n", b"\r\n") for start in range(0, len(data), 45)]
    return b"begin 644 e.com\r\n" + b"".join(lines) + b"`\r\nend\r\n"


def disguises() -> Iterator[tuple[str, bytes]]:
    """Name and message. Every one is readable as EICAR by some program."""
    yield "plain", HEAD + b"\r\n" + EICAR + b"\r\n"
    yield "attached", mixed(TEXT, PART)
    yield from _boundaries()
    yield from _encodings()
    yield from _fields()
    yield from _nesting()
    yield from _old_forms()


def _boundaries() -> Iterator[tuple[str, bytes]]:
    whole = mixed(TEXT, PART)
    yield "wrong boundary", mixed(TEXT, PART, mark=b"c")
    yield "no boundary", mixed(TEXT, PART, kind=b"Content-Type: multipart/mixed")
    yield "boundary twice", mixed(TEXT, PART, kind=b'Content-Type: multipart/mixed; boundary="x"; boundary="b"')
    yield "boundary twice, first", mixed(TEXT, PART, kind=b'Content-Type: multipart/mixed; boundary="b"; boundary="x"')
    yield "no closing boundary", whole.removesuffix(b"--b--\r\n")
    yield "after the closing boundary", mixed(TEXT) + b"--b\r\n" + PART + b"--b--\r\n"
    yield "bare after the closing boundary", mixed(TEXT) + b"\r\n" + EICAR + b"\r\n"
    yield "preamble", mixed(TEXT).replace(b"\r\n\r\n--b", b"\r\n\r\n" + EICAR + b"\r\n--b", 1)
    yield "part in the preamble", mixed(TEXT).replace(b"\r\n\r\n--b", b"\r\n\r\n" + PART + b"\r\n--b", 1)
    yield (
        "quoted boundary with spaces",
        mixed(TEXT, PART, kind=b'Content-Type: multipart/mixed; boundary="b b"', mark=b"b b"),
    )
    yield "boundary with blanks behind it", whole.replace(b"--b\r\n", b"--b \t\r\n")
    yield (
        "boundary in RFC 2231",
        mixed(TEXT, PART, kind=b"Content-Type: multipart/mixed; boundary*0=ab; boundary*1=cd", mark=b"abcd"),
    )
    yield (
        "boundary percent-encoded",
        mixed(TEXT, PART, kind=b"Content-Type: multipart/mixed; boundary*=us-ascii''a%62", mark=b"ab"),
    )
    yield "folded content type", mixed(TEXT, PART, kind=b'Content-Type:\r\n multipart/mixed;\r\n\tboundary="b"')
    yield "comments", mixed(TEXT, PART, kind=b'Content-Type: (a) multipart (b) / (c) mixed (d); (e) boundary="b" (f)')
    yield "odd case", mixed(TEXT, PART, kind=b'cONTENT-tYPE: MULTIPART/Mixed; BOUNDARY="b"')
    yield "unknown multipart", mixed(TEXT, PART, kind=b'Content-Type: multipart/x-whatever; boundary="b"')
    yield "line feeds alone", whole.replace(b"\r\n", b"\n")
    yield "prefix of the boundary", whole.replace(b"--b\r\nContent-Type: app", b"--bb\r\n--b\r\nContent-Type: app")
    yield "no MIME-Version", whole.replace(b"MIME-Version: 1.0\r\n", b"")
    yield "empty first part", mixed(b"\r\n", PART)
    yield "no multipart, but parts", whole.replace(b'Content-Type: multipart/mixed; boundary="b"', b"X-Nothing: 1")
    yield "declared as text", whole.replace(b'multipart/mixed; boundary="b"', b"text/plain")


def _encodings() -> Iterator[tuple[str, bytes]]:
    broken = b"\r\n".join(b"*" + B64[start : start + 7] + b"!" for start in range(0, len(B64.strip()), 7)) + b"\r\n"
    yield (
        "quoted-printable",
        mixed(TEXT, part(b"Content-Transfer-Encoding: quoted-printable\r\n", quopri.encodestring(EICAR))),
    )
    yield (
        "every octet quoted",
        mixed(
            TEXT,
            part(
                b"Content-Transfer-Encoding: quoted-printable\r\n",
                b"=\r\n".join(
                    b"".join(b"=%02X" % octet for octet in EICAR[n : n + 20]) for n in range(0, len(EICAR), 20)
                ),
            ),
        ),
    )
    yield "binary", mixed(TEXT, part(b"Content-Transfer-Encoding: binary\r\n", EICAR))
    yield "no encoding", mixed(TEXT, part(b"", EICAR))
    yield "foreign characters in base64", mixed(TEXT, part(BASE64, broken))
    yield "blanks in base64", mixed(TEXT, part(BASE64, b" ".join(B64[n : n + 1] for n in range(len(B64)))))
    yield (
        "padding amid base64",
        mixed(TEXT, part(BASE64, base64.b64encode(EICAR[:20]) + b"\r\n" + base64.b64encode(EICAR[20:]) + b"\r\n")),
    )
    yield "base64 torn at the end", mixed(TEXT, part(BASE64, B64.rstrip().rstrip(b"=") + b"\r\n"))
    yield "base64 on one line", mixed(TEXT, part(BASE64, base64.b64encode(EICAR) + b"\r\n"))
    yield "base64 with text behind", mixed(TEXT, part(BASE64, B64 + b"\r\n==\r\nthe end of it\r\n"))
    for name, value in (
        ("comment", b"base64 (really)"), ("quotes", b'"base64"'), ("case", b"BaSe64"), ("semicolon", b"base64;"),
        ("blanks", b"  base64  "), ("folded", b"\r\n base64"), ("two words", b"base64 7bit"), ("misspelt", b"base-64"),
        ("short", b"b64"), ("x", b"x-base64"), ("unknown", b"rot13"), ("tab", b"\tbase64\t"),
    ):  # fmt: skip
        yield f"encoding: {name}", mixed(TEXT, part(b"Content-Transfer-Encoding: " + value + b"\r\n", B64))
    yield "encoding undeclared", mixed(TEXT, part(b"", B64))
    yield "encoding: blank before the colon", mixed(TEXT, part(b"Content-Transfer-Encoding : base64\r\n", B64))
    yield "uuencoded part", mixed(TEXT, part(b"Content-Transfer-Encoding: x-uuencode\r\n", uuencoded(EICAR)))
    yield (
        "encoded multipart",
        HEAD
        + b'Content-Type: multipart/mixed; boundary="b"\r\n'
        + BASE64
        + b"\r\n"
        + (base64.encodebytes(mixed(TEXT, PART).split(b"\r\n\r\n", 1)[1]).replace(b"\n", b"\r\n")),
    )
    yield "base64 text", HEAD + b"Content-Type: text/plain\r\n" + BASE64 + b"\r\n" + B64
    yield "base64 html", HEAD + b"Content-Type: text/html\r\n" + BASE64 + b"\r\n" + B64
    yield "broken base64 text", HEAD + b"Content-Type: text/plain\r\n" + BASE64 + b"\r\n" + broken
    amid = base64.b64encode(EICAR[:20]) + b"\r\n" + base64.b64encode(EICAR[20:]) + b"\r\n"
    yield "padding amid a base64 text", HEAD + b"Content-Type: text/plain\r\n" + BASE64 + b"\r\n" + amid
    utf16 = base64.encodebytes(EICAR.decode().encode("utf-16")).replace(b"\n", b"\r\n")
    yield "utf-16", mixed(b"Content-Type: text/plain; charset=utf-16\r\n" + BASE64 + b"\r\n" + utf16)
    yield "utf-7", mixed(b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + EICAR.decode().encode("utf-7") + b"\r\n")
    seven = b"+" + base64.b64encode(EICAR.decode().encode("utf-16-be")).rstrip(b"=") + b"-"
    yield "all of utf-7", mixed(b"Content-Type: text/plain; charset=utf-7\r\n\r\n" + seven + b"\r\n")
    yield "ebcdic", mixed(
        b"Content-Type: text/plain; charset=cp037\r\n" + BASE64 + b"\r\n"
        + base64.encodebytes(EICAR.decode().encode("cp037")).replace(b"\n", b"\r\n")
    )  # fmt: skip


def _fields() -> Iterator[tuple[str, bytes]]:
    other = b"Content-Transfer-Encoding: 7bit\r\n"
    yield "two encodings", mixed(TEXT, part(other + BASE64, B64))
    yield "two encodings, the other way", mixed(TEXT, part(BASE64 + other, B64))
    two = b'Content-Type: multipart/mixed; boundary="b"'
    yield "two content types", mixed(TEXT, PART, kind=b"Content-Type: text/plain\r\n" + two)
    yield "two content types, the other way", mixed(TEXT, PART, kind=two + b"\r\nContent-Type: text/plain")
    yield (
        "two boundaries in two fields",
        mixed(TEXT, PART, kind=b'Content-Type: multipart/mixed; boundary="x"\r\n' + two),
    )
    yield (
        "name in RFC 2231",
        mixed(TEXT, PART.replace(b'filename="e.com"', b"filename*0*=utf-8''%65; filename*1=.c; filename*2=om")),
    )
    yield "name encoded as a word", mixed(TEXT, PART.replace(b"e.com", b"=?utf-8?b?ZS5jb20=?="))
    yield "no name", mixed(TEXT, OCTETS + BASE64 + b"\r\n" + B64)
    for kind in (b"image/png", b"text/plain", b"text/html", b"audio/x-wav", b"nonsense", b"", b"text/calendar"):
        field = b"Content-Type: " + kind + b"\r\n"
        yield f"declared as {kind.decode() or 'nothing'}", mixed(TEXT, field + BASE64 + b"\r\n" + B64)
    yield "blank line within the header", mixed(TEXT, OCTETS + ATTACHED + BASE64 + b"X: y\r\n \r\n\r\n" + B64)
    yield "a line that is no field", mixed(TEXT, OCTETS + b"nonsense\r\n" + BASE64 + b"\r\n" + B64)
    yield "a long header", mixed(TEXT, OCTETS + b"X: " + b"y" * 20_000 + b"\r\n" + BASE64 + b"\r\n" + B64)


def _nesting() -> Iterator[tuple[str, bytes]]:
    inner = mixed(TEXT, PART, kind=b'Content-Type: multipart/mixed; boundary="i"', mark=b"i")
    yield "message in a message", mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + inner)
    yield (
        "encoded message",
        mixed(
            TEXT,
            b"Content-Type: message/rfc822\r\n" + BASE64 + b"\r\n" + base64.encodebytes(inner).replace(b"\n", b"\r\n"),
        ),
    )
    yield "message as octets", mixed(TEXT, part(BASE64, base64.encodebytes(inner).replace(b"\n", b"\r\n")))
    yield "message/global", mixed(TEXT, b"Content-Type: message/global\r\n\r\n" + inner)
    yield "digest", mixed(b"\r\n" + inner, kind=b'Content-Type: multipart/digest; boundary="b"')
    body = PART
    for depth in range(12):
        mark = b"m%d" % depth
        body = (
            b"Content-Type: multipart/mixed; boundary="
            + mark
            + b"\r\n\r\n--"
            + mark
            + b"\r\n"
            + body
            + (b"\r\n--" + mark + b"--\r\n")
        )
    yield "twelve levels", mixed(TEXT, body)
    yield "alternative", mixed(TEXT, PART, kind=b'Content-Type: multipart/alternative; boundary="b"')
    yield (
        "same boundary inside",
        mixed(TEXT, b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n' + PART + b"--b--\r\n"),
    )
    yield "zip", mixed(TEXT, part(BASE64, base64.encodebytes(zipped(EICAR)).replace(b"\n", b"\r\n")))
    nested = zipped(zipped(zipped(EICAR), "b.zip"), "a.zip")
    yield "zip in zip in zip", mixed(TEXT, part(BASE64, base64.encodebytes(nested).replace(b"\n", b"\r\n")))
    yield "partial", HEAD + b'Content-Type: message/partial; id="x"; number=1; total=2\r\n\r\n' + inner
    half = B64[: len(B64) // 2]
    yield "half of it in a partial", (
        HEAD + b'Content-Type: message/partial; id="x"; number=1; total=2\r\n\r\n' + HEAD + OCTETS + BASE64
        + b"\r\n" + half
    )  # fmt: skip


def _old_forms() -> Iterator[tuple[str, bytes]]:
    yield "uuencoded in the text", HEAD + b"\r\nSee below.\r\n\r\n" + uuencoded(EICAR)
    yield "uuencoded in a part", mixed(b"Content-Type: text/plain\r\n\r\nSee below.\r\n\r\n" + uuencoded(EICAR))
    yield "uuencoded in html", mixed(b"Content-Type: text/html\r\n\r\n<pre>\r\n" + uuencoded(EICAR) + b"</pre>\r\n")
    yield "yEnc in the text", HEAD + b"Content-Transfer-Encoding: binary\r\n\r\nSee below.\r\n\r\n" + yenc(EICAR)
    yield "yEnc in a part", mixed(TEXT, part(b"Content-Transfer-Encoding: binary\r\n", yenc(EICAR)))
    yield "yEnc as an encoding", mixed(TEXT, part(b"Content-Transfer-Encoding: x-yenc\r\n", yenc(EICAR)))
    yield "binhex-like name", mixed(TEXT, PART.replace(b"e.com", b"e.hqx"))
