"""PDF: actions, scripts and embedded files, found in the objects and in what is packed into streams.

Objects are not resolved: what is nowhere referred to is found too. Of an encrypted file only the structure is seen.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments import streams
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_STREAM: Final = re.compile(rb"stream(?:\r\n|\n|\r)")
_LENGTH: Final = re.compile(rb"/Length\s+(\d{1,9})(?!\s+\d+\s+R)")
_ESCAPE: Final = re.compile(rb"#([0-9a-fA-F]{2})")
_NAME: Final = re.compile(rb"/[^\s/<>\[\](){}%]{1,127}")
_STRING: Final = rb"\s*(?:\(((?:[^()\\]|\\.){0,400})|<([0-9a-fA-F\s]{2,400})>)"
_LAUNCHED: Final = re.compile(rb"/(?:F|UF|Win|Unix)\b(?:\s*<<\s*/F)?" + _STRING, re.DOTALL)
_FILE_NAME: Final = re.compile(rb"/(?:UF|F)" + _STRING, re.DOTALL)
_MAX_STREAMS: Final = 3000
_MAX_DICTIONARY: Final = 4096
_PICTURES: Final = (b"/DCTDecode", b"/JPXDecode", b"/CCITTFaxDecode", b"/JBIG2Decode")
_SCRIPTS: Final = (b"/JS", b"/JavaScript")


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The embedded files."""
    data = item.data
    outside: list[bytes] = []
    embedded: list[bytes] = []
    position = 0
    for number, (start, stop, dictionary) in enumerate(_streams(data)):
        context.budget.check()
        outside.append(data[position:start])
        position = stop
        if number >= _MAX_STREAMS:
            context.find(FindingKind.TOO_MANY, item.path, f"more than {_MAX_STREAMS} streams")
            break
        if b"/EmbeddedFile" in dictionary:
            embedded.append(_decoded(data[start:stop], dictionary, item, context))
        elif b"/ObjStm" in dictionary or _is_script(dictionary):
            outside.append(_decoded(data[start:stop], dictionary, item, context))
    outside.append(data[position:])
    text = _plain(b"\n".join(outside))
    _inspect(text, item, context)
    names = _file_names(text)
    for number, content in enumerate(embedded, start=1):
        name = next(names, f"file {number}")
        context.find(FindingKind.PDF_EMBEDDED_FILE, item.path, f"an embedded file: {name}")
        yield Child(name, content)


def _streams(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Begin and end of each stream, and its dictionary with escaped names in the plain."""
    position = 0
    while (match := _STREAM.search(data, position)) is not None:
        if data[match.start() - 3 : match.start()] == b"end":
            position = match.end()
            continue
        opening = data.rfind(b"obj", max(position, match.start() - _MAX_DICTIONARY), match.start())
        dictionary = _plain(data[opening if opening >= 0 else max(position, match.start() - 1024) : match.start()])
        stop = data.find(b"endstream", match.end())
        stop = _trimmed(data, match.end(), len(data) if stop < 0 else stop, dictionary)
        yield match.end(), stop, dictionary
        position = stop


def _trimmed(data: bytes, start: int, stop: int, dictionary: bytes) -> int:
    """The end as /Length has it where that is near; else before the line end that belongs to `endstream`."""
    length = _LENGTH.search(dictionary)
    if length and 0 <= stop - start - int(length[1]) <= 4:
        return start + int(length[1])
    return stop - (data[stop - 1 : stop] == b"\n") - (data[stop - 2 : stop] == b"\r\n")


def _is_script(dictionary: bytes) -> bool:
    """A stream of a script has no type of its own; those of pictures, fonts and pages do not matter."""
    return (
        b"/Type" not in dictionary
        and b"/Subtype" not in dictionary
        and b"/Length1" not in dictionary
        and len(dictionary) < 120
    )


def _decoded(raw: bytes, dictionary: bytes, item: Item, context: Context) -> bytes:
    """Undoes the filters in their order; what is a picture's is left."""
    filters = re.findall(
        rb"/(FlateDecode|Fl|ASCIIHexDecode|AHx|ASCII85Decode|A85|LZWDecode|LZW|RunLengthDecode|RL)\b", dictionary
    )
    data = raw
    for name in filters[:6]:
        try:
            if name in (b"FlateDecode", b"Fl"):
                data = streams.inflate(data.lstrip(b"\r\n"), context.budget, zlib.MAX_WBITS)
            elif name in (b"ASCIIHexDecode", b"AHx"):
                digits = re.sub(rb"[^0-9a-fA-F]", b"", data.split(b">")[0])
                data = binascii.unhexlify(digits + b"0" * (len(digits) % 2))
            elif name in (b"ASCII85Decode", b"A85"):
                data = _ascii85(data)
            else:
                context.find(FindingKind.NOT_UNPACKED, item.path, f"a stream packed with {name.decode()}")
                return data
        except streams.Torn as torn:
            data = torn.data
    return data


def _ascii85(data: bytes) -> bytes:
    import base64

    body = re.sub(rb"\s", b"", data.split(b"~>")[0])
    try:
        return base64.a85decode(body)
    except ValueError:
        return b""


def _plain(data: bytes) -> bytes:
    """Names without their escapes: /J#61vaScript is /JavaScript."""
    if b"#" not in data:
        return data
    return _NAME.sub(lambda name: _ESCAPE.sub(lambda code: bytes((int(code[1], 16),)), name[0]), data)


def _inspect(text: bytes, item: Item, context: Context) -> None:
    names = set(_NAME.findall(text))
    if names & set(_SCRIPTS):
        context.find(FindingKind.PDF_JAVASCRIPT, item.path, "the document carries JavaScript")
    if b"/Launch" in names:
        at = text.find(b"/Launch")
        match = _LAUNCHED.search(text, max(0, at - 400), at + 1200)
        what = _string(match) if match else ""
        context.find(FindingKind.PDF_LAUNCH, item.path, f"the document starts a program: {what or '?'}")
    if b"/OpenAction" in names or b"/AA" in names:
        does = [
            name.decode()
            for name in (b"/JavaScript", b"/JS", b"/Launch", b"/URI", b"/SubmitForm", b"/GoToR", b"/GoToE")
            if name in names
        ]
        if does:
            context.find(FindingKind.PDF_OPEN_ACTION, item.path, f"acts when it is opened; it has {', '.join(does)}")
    if b"/Encrypt" in names:
        context.find(
            FindingKind.ENCRYPTED, item.path, "the PDF is encrypted: its strings and packed objects were not read"
        )
    if b"/XFA" in names:
        context.find(FindingKind.PDF_JAVASCRIPT, item.path, "the document has an XFA form, which may carry scripts")


def _file_names(text: bytes) -> Iterator[str]:
    for match in re.finditer(rb"/Filespec\b", text):
        found = _FILE_NAME.search(text, max(0, match.start() - 400), match.end() + 600)
        if found:
            yield _string(found)


def _string(match: re.Match[bytes]) -> str:
    raw = match[1]
    if raw is None:
        digits = re.sub(rb"\s", b"", match[2])
        raw = binascii.unhexlify(digits[: len(digits) // 2 * 2])
    else:
        raw = re.sub(rb"\\([()\\])", rb"\1", raw)
    if raw[:2] == b"\xfe\xff":
        return raw[2:].decode("utf-16-be", "replace")
    return raw.decode("latin-1")
