"""RTF: the objects it carries in hexadecimal digits, whatever is strewn among them, and what it fetches."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.binary import Malformed, Reader
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.documents.ole import native
from everpost.guard.attachments.model import FindingKind

_OBJECT: Final = re.compile(rb"\\objdata\b", re.IGNORECASE)
_NOISE: Final = re.compile(rb"\\'[0-9a-fA-F]{2}|\\[a-zA-Z]+-?\d* ?|\\[^a-zA-Z]|[^0-9a-fA-F{}\\]+")
_TEMPLATE: Final = re.compile(rb"\\\*\\template\s*([^{}]{1,400})", re.IGNORECASE)
_FIELD: Final = re.compile(rb"\\fldinst\b([^}]{0,400}(?:\}\s*\{[^}]{0,200}){0,5})", re.IGNORECASE)
_DDE: Final = re.compile(rb"\bDDE(?:AUTO)?\b", re.IGNORECASE)
_WORDS: Final = re.compile(rb"\\[a-z]+-?\d* ?|[{}]", re.IGNORECASE)
_LINK: Final = re.compile(rb"\\obj(?:autlink|link|html)\b|\\objupdate\b")
_MAX_OBJECTS: Final = 100
_EQUATION: Final = (b"equation.3", b"equation.2")


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The objects, as the files they are."""
    data = item.data
    template = _TEMPLATE.search(data)
    if template and re.search(rb"https?:|\\\\\\\\|file:|ftp:", template[1]):
        context.find(
            FindingKind.TEMPLATE_INJECTION, item.path, f"a template from {template[1].decode('latin-1')[:200]}"
        )
    for match in _FIELD.finditer(data):
        plain = _WORDS.sub(b"", match[1])
        if _DDE.search(plain):
            context.find(FindingKind.DDE, item.path, f"a field that starts a program: {plain.decode('latin-1')[:200]}")
    if _LINK.search(data):
        context.find(FindingKind.EMBEDDED_OBJECT, item.path, "an object that is linked or updates itself")
    for number, match in enumerate(_OBJECT.finditer(data)):
        if number >= _MAX_OBJECTS:
            context.find(FindingKind.TOO_MANY, item.path, f"more than {_MAX_OBJECTS} objects")
            return
        yield from _object(_digits(data, match.end()), item, context)


def _digits(data: bytes, start: int) -> bytes:
    """Hexadecimal digits up to the end of the group; other words and groups among them do not count."""
    depth, position, end = 0, start, len(data)
    for brace in re.finditer(rb"\\.|[{}]", data[start:], re.DOTALL):
        if brace[0] == b"{":
            depth += 1
        elif brace[0] == b"}":
            depth -= 1
            if depth < 0:
                end = start + brace.start()
                break
    digits = _NOISE.sub(b"", data[position:end]).translate(None, b"{}\\")
    return binascii.unhexlify(digits[: len(digits) // 2 * 2])


def _object(data: bytes, item: Item, context: Context) -> Iterator[Child]:
    """An OLE 1.0 object ([MS-OLEDS] §2.2.5): class, topic, item, then the native data."""
    compound = data.find(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    try:
        reader = Reader(data)
        reader.skip(8)
        name = reader.take(min(reader.u32(), 200)).rstrip(b"\0").decode("cp1252", "replace")
        for _ in range(2):
            reader.skip(reader.u32())
        native_data = reader.take(min(reader.u32(), reader.left))
    except Malformed:
        name, native_data = "", data
    context.find(FindingKind.EMBEDDED_OBJECT, item.path, f"an embedded object of the class {name or '?'}")
    if name.lower().encode() in _EQUATION or _has_equation(data):
        context.find(FindingKind.EQUATION_EDITOR, item.path, "an object of the old equation editor")
    context.budget.take(len(data))
    if name.lower() == "package":
        yield native(b"\0\0\0\0" + native_data)
    elif compound >= 0:
        yield Child(f"object {name}".strip(), data[compound:])
    else:
        yield Child(f"object {name}".strip(), native_data)


def _has_equation(data: bytes) -> bool:
    small = data[:4096].lower()
    return any(name in small for name in _EQUATION) or bytes.fromhex("02ce020000000000c000000000000046") in data
