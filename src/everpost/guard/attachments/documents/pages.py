"""HTML and SVG: files that a page makes in the browser (smuggling), scripts in pictures, declared entities."""

from __future__ import annotations

import binascii
import re
import urllib.parse
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.filetypes import FileType, decode_text, detect
from everpost.guard.attachments.model import FindingKind

_MAX_TEXT: Final = 16 * 1024 * 1024
_MAX_EMBEDDED: Final = 50
_MADE: Final = re.compile(
    r"\bURL\s*\.\s*createObjectURL\b|\bmsSaveOrOpenBlob\b|\bmsSaveBlob\b|\bcreateObjectURL\b|\bnew\s+Blob\s*\(|"
    r"\bnew\s+File\s*\(|\bsaveAs\s*\(",
    re.IGNORECASE,
)
_DECODED: Final = re.compile(
    r"\batob\s*\(|\bfromCharCode\b|\bcharCodeAt\b|\bUint8Array\b|\bunescape\s*\(|\bdecodeURIComponent\s*\(|\bTextDecoder\b",
    re.IGNORECASE,
)
_OFFERED: Final = re.compile(
    r"\.\s*download\s*=|\bdownload\s*=\s*[\"']|[\"']download[\"']|\.click\s*\(\s*\)", re.IGNORECASE
)
_DATA_URL: Final = re.compile(
    r"data:([\w.+-]{1,60}/[\w.+-]{1,100})?((?:;[\w=.+-]{1,60}){0,5}),([A-Za-z0-9+/=%_.~\s-]{16,})", re.IGNORECASE
)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{512,}={0,2}")
_JOINED: Final = re.compile(r"[\"'`]\s*[+,]\s*[\"'`]|\\r|\\n|\\\s*\n")
_SCRIPT: Final = re.compile(r"<(?:\w+:)?script\b", re.IGNORECASE)
_HANDLER: Final = re.compile(r"<[^<>]*\son\w{3,30}\s*=\s*[\"']", re.IGNORECASE)
_SCRIPT_LINK: Final = re.compile(
    r"(?:href|src|action|formaction|data)\s*=\s*[\"']?\s*(?:javascript|vbscript)\s*:", re.IGNORECASE
)
_FOREIGN: Final = re.compile(r"<(?:\w+:)?foreignObject\b|<(?:iframe|embed|object)\b", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"<input\b[^<>]{0,400}\btype\s*=\s*[\"']?password", re.IGNORECASE)
_REFRESH: Final = re.compile(
    r"<meta\b[^<>]{0,200}http-equiv\s*=\s*[\"']?refresh|\blocation(?:\.href|\.replace\s*\(|\.assign\s*\()?\s*=?\s*[\"'(]",
    re.IGNORECASE,
)
_HARMLESS: Final = frozenset((FileType.UNKNOWN, FileType.TEXT, FileType.FONT, FileType.MEDIA, FileType.EMPTY))
_PICTURE_TYPES: Final = ("image/", "font/", "audio/", "video/", "application/font", "application/x-font")


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """What is written into the page: data URLs and long base64 in its scripts."""
    text = decode_text(item.data[:_MAX_TEXT]) or item.data[:_MAX_TEXT].decode("latin-1")
    _inspect_entities(text, item, context)
    if item.type is FileType.SVG:
        _inspect_picture(text, item, context)
    elif _SCRIPT.search(text) or _SCRIPT_LINK.search(text):
        context.find(FindingKind.HTML_SCRIPT, item.path, _script_evidence(text))
    makes, decodes, offers = _MADE.search(text), _DECODED.search(text), _OFFERED.search(text)
    if makes and (decodes or offers):
        evidence = f"the page makes a file by itself ({makes[0].strip()}" + (
            f", {decodes[0].strip()})" if decodes else ")"
        )
        context.find(FindingKind.HTML_SMUGGLING, item.path, evidence)
    yield from _embedded(text, item, context)


def _script_evidence(text: str) -> str:
    notes = ["a page with a script"]
    if _PASSWORD.search(text):
        notes.append("it asks for a password")
    if _REFRESH.search(text):
        notes.append("it leads elsewhere by itself")
    return ", ".join(notes)


def _inspect_picture(text: str, item: Item, context: Context) -> None:
    for pattern, evidence in (
        (_SCRIPT, "the picture carries a script"),
        (_HANDLER, "the picture runs a script on an event"),
        (_SCRIPT_LINK, "a link of the picture runs a script"),
        (_FOREIGN, "the picture carries a page"),
    ):
        if pattern.search(text):
            context.find(FindingKind.SVG_SCRIPT, item.path, evidence)


def _inspect_entities(text: str, item: Item, context: Context) -> None:
    entities = text.count("<!ENTITY")
    if entities:
        context.find(FindingKind.XML_ENTITY, item.path, f"{entities} entities are declared")


def _embedded(text: str, item: Item, context: Context) -> Iterator[Child]:
    count = 0
    for match in _DATA_URL.finditer(text):
        context.budget.check()
        declared = (match[1] or "text/plain").lower()
        data = _url_content(match[3], is_base64="base64" in match[2].lower())
        kind = detect(data)
        if not data or (declared.startswith(_PICTURE_TYPES) and declared != "image/svg+xml" and kind in _HARMLESS):
            continue
        count += 1
        if count > _MAX_EMBEDDED:
            context.find(FindingKind.TOO_MANY, item.path, f"more than {_MAX_EMBEDDED} embedded files")
            return
        if not declared.startswith(_PICTURE_TYPES) and kind not in _HARMLESS:
            context.find(FindingKind.HTML_SMUGGLING, item.path, f"a file within a link ({declared}), which is {kind}")
        context.budget.take(len(data))
        yield Child(f"data {count}", data)
    yield from _long_strings(text, count, item, context)


def _url_content(text: str, *, is_base64: bool) -> bytes:
    plain = urllib.parse.unquote_to_bytes(text)
    return _base64(plain) if is_base64 else plain


def _base64(letters: bytes) -> bytes:
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", letters)
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def _long_strings(text: str, count: int, item: Item, context: Context) -> Iterator[Child]:
    """Base64 in scripts, also where it is put together from pieces, and turned round."""
    if not _SCRIPT.search(text) and item.type is not FileType.HTA:
        return
    joined = _JOINED.sub("", _DATA_URL.sub("", text))
    for match in _BASE64.finditer(joined):
        context.budget.check()
        for letters in (match[0], match[0][::-1]):
            data = _base64(letters.encode())
            kind = detect(data)
            if kind in _HARMLESS:
                continue
            count += 1
            if count > _MAX_EMBEDDED:
                return
            context.find(FindingKind.HTML_SMUGGLING, item.path, f"a script holds a file in base64, which is {kind}")
            context.budget.take(len(data))
            yield Child(f"data {count}", data)
            break


def inspect_table(item: Item, context: Context) -> None:
    """CSV, SYLK and web queries: cells that start a program (=cmd|' /C calc'!A0)."""
    text = decode_text(item.data[:_MAX_TEXT]) or ""
    match = _CELL.search(text)
    if match:
        context.find(FindingKind.DDE, item.path, f"a cell that starts a program: {match[1].strip()[:200]}")


_CELL: Final = re.compile(
    r"(?:^|[,;\t\"'E])\s*([=+@-]\s*[\w.+\"'() -]{1,80}\|[^!\n]{0,300}!\s*[\w\"'$]+)", re.MULTILINE
)
