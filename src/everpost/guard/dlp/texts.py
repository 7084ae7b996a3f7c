"""The text of a message and of its files, for looking for what must not leave: what a reader sees, without markup.

Of files, texts and the documents of Office (OOXML, OpenDocument) are read; PDF, old Office formats, pictures and
archives are not.
"""

from __future__ import annotations

import html
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from everpost.guard.contents import Contents, File

MAX_TEXT: Final = 1024 * 1024
"""Characters of one message that are looked at."""
MAX_FILES: Final = 50
_MAX_MEMBERS: Final = 100
_MAX_OCTETS: Final = 8 * 1024 * 1024  # unpacked, of one document
_MAX_ARCHIVE: Final = 64 * 1024 * 1024
_BROKEN: Final = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, ValueError, NotImplementedError, RuntimeError,
    OSError, EOFError, KeyError,
)  # fmt: skip
_TEXT_NAMES: Final = (".txt", ".csv", ".tsv", ".json", ".xml", ".md", ".log", ".eml", ".html", ".htm", ".sql")
_UNSEEN: Final = re.compile(r"<!--.*?(?:-->|\Z)|<(head|style|script)\b[^<>]*+>.*?(?:</\1\s*+>|\Z)", re.S | re.I)
_INLINE: Final = re.compile(r"</?(?:a|abbr|b|big|em|font|i|ins|mark|small|span|strong|sub|sup|u|wbr)\b[^<>]*+>", re.I)
_TAG: Final = re.compile(r"<[^<>]*+>")
_BREAK: Final = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6])\b[^<>]*+>", re.I)
_MEMBERS: Final = re.compile(
    r"(?:word/(?:document|header\d*|footer\d*|footnotes|endnotes|comments)|xl/sharedStrings|xl/worksheets/[^/]{1,60}"
    r"|ppt/slides/[^/]{1,60}|ppt/notesSlides/[^/]{1,60}|content)\.xml\Z"
)
_CELL: Final = re.compile(r"</(?:\w+:)?(?:p|si|c|v|row|table-cell)>")


def text_of(contents: Contents) -> str:
    """At most `MAX_TEXT` characters. Never raises."""
    return _joined(_texts(contents))


def _texts(contents: Contents) -> Iterator[str]:
    yield contents.subject
    yield from contents.texts
    yield from map(_visible, contents.htmls)
    for file in contents.files[:MAX_FILES]:
        yield _file_text(file)


def _joined(texts: Iterable[str]) -> str:
    pieces: list[str] = []
    room = MAX_TEXT
    for text in texts:
        if text:
            pieces.append(text[:room])
            room -= len(text) + 1
        if room <= 0:
            break
    return "\n".join(pieces)[:MAX_TEXT]


def _visible(markup: str) -> str:
    seen = _INLINE.sub("", _BREAK.sub("\n", _UNSEEN.sub(" ", markup)))
    return html.unescape(_TAG.sub(" ", seen))


def _file_text(file: File) -> str:
    name = file.name.lower()
    if file.data.startswith(b"PK\x03\x04"):
        return _document(file.data) if len(file.data) <= _MAX_ARCHIVE else ""
    if file.type.startswith("text/") or name.endswith(_TEXT_NAMES):
        text = _decoded(file.data[: 4 * MAX_TEXT])
        return _visible(text) if name.endswith((".html", ".htm")) else text
    return ""


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _document(data: bytes) -> str:
    """The words of an Office document; empty for other archives and broken ones."""
    pieces: list[str] = []
    room = _MAX_OCTETS
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            wanted = [each for each in archive.infolist() if _MEMBERS.match(each.filename)]
            for member in wanted[:_MAX_MEMBERS]:
                with archive.open(member) as opened:
                    content = opened.read(room)
                room -= len(content)
                pieces.append(_words(content.decode("utf-8", "replace")))
                if room <= 0:
                    break
    except _BROKEN:
        pass  # what is broken is told by the step that looks into files; what was read counts
    return "\n".join(pieces)


def _words(markup: str) -> str:
    """Runs of one paragraph belong together; cells and paragraphs do not."""
    return html.unescape(_TAG.sub("", _CELL.sub("\n", markup)))
