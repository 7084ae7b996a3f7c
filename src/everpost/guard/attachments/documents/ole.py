"""Compound files ([MS-CFB]), by olefile: old Office documents, their macros, embedded objects and passwords."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import Any, Final

from everpost.guard.attachments.binary import Malformed, Reader
from everpost.guard.attachments.budget import Exhausted, Refused
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.documents import vba
from everpost.guard.attachments.filetypes import FileType
from everpost.guard.attachments.messages.mail import unpack_msg
from everpost.guard.attachments.model import FindingKind

_MAX_STREAMS: Final = 2000
_MAX_ROUNDS: Final = 200_000
"""Office writes 100,000, some 0.1 s for each password."""
_SPIN_COUNT: Final = re.compile(rb"spinCount\s*=\s*[\"'](\d{1,20})")
_FIELD: Final = re.compile(rb"\x13([^\x13\x14\x15]{1,400}?)[\x14\x15]", re.DOTALL)
_DDE: Final = re.compile(rb"\s*DDE(?:AUTO)?\b", re.IGNORECASE)
_BOUND_SHEET, _NAME, _FILE_PASS, _MACRO_SHEET = 0x85, 0x18, 0x2F, 1
_OFFICE: Final = frozenset((FileType.DOC, FileType.XLS, FileType.PPT, FileType.OLE_ENCRYPTED))
_PPT_OLE: Final = b"\x10\x00\x11\x10"


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """What a compound file carries. Raises Malformed where olefile cannot read it."""
    import olefile

    if item.type is FileType.OUTLOOK:
        yield from unpack_msg(item, context)
        return
    ole = _opened(olefile, item.data)
    with ole:
        if item.type is FileType.OLE_ENCRYPTED or (item.type in _OFFICE and _is_locked(ole, item)):
            yield from _unlock(item, context)
            return
        vba.inspect(ole, item, context)
        streams = list(ole.listdir())[:_MAX_STREAMS]
        for entry in streams:
            context.budget.check()
            if ole.get_size(entry) > len(item.data):
                raise Malformed(f"a stream larger than the file: {entry[-1]!r}")
            yield from _stream(ole, entry, item, context)


def _opened(olefile: Any, data: bytes) -> Any:
    try:
        return olefile.OleFileIO(io.BytesIO(data))
    except (OSError, ValueError, IndexError, TypeError, struct.error, AttributeError) as error:
        raise Malformed(f"not readable as a compound file: {error}") from error


def _stream(ole: Any, entry: list[str], item: Item, context: Context) -> Iterator[Child]:
    name = entry[-1]
    small = name.lower()
    if small == "\x01ole10native":
        found = native(ole.openstream(entry).read())
        context.find(FindingKind.EMBEDDED_OBJECT, item.path, f"a packaged file: {found.name}")
        yield found
    elif small == "package":
        context.find(FindingKind.EMBEDDED_OBJECT, item.path, "an embedded document")
        yield Child("package", ole.openstream(entry).read())
    elif small == "equation native":
        context.find(FindingKind.EQUATION_EDITOR, item.path, "an object of the old equation editor")
    elif small == "contents" and item.type is not FileType.MSI:
        yield Child("/".join(entry), ole.openstream(entry).read())
    elif small in ("worddocument", "1table", "0table"):
        _inspect_fields(ole.openstream(entry).read(), item, context)
    elif small in ("workbook", "book"):
        _inspect_workbook(ole.openstream(entry).read(), item, context)
    elif small == "powerpoint document":
        yield from _slides(ole.openstream(entry).read(), item, context)


def native(data: bytes) -> Child:
    """An OLE package (Packager): label, path, and the file itself. As flexible as Office."""
    reader = Reader(data)
    reader.skip(4)
    mark = reader.u16()
    if mark != 2:
        return Child("object", data[4:])
    label = reader.until_nul()
    path = reader.until_nul()
    reader.skip(4)
    reader.skip(reader.u32())
    size = reader.u32()
    name = (label or path).decode("cp1252", "replace")
    return Child(re.split(r"[\\/]", name)[-1] or "package", reader.take(min(size, reader.left)))


def _inspect_fields(data: bytes, item: Item, context: Context) -> None:
    """Word's fields stand between 0x13 and 0x14, in one or two octets a letter."""
    for text in (data, data[::2], data[1::2]):
        for match in _FIELD.finditer(text):
            if _DDE.match(match[1]):
                shown = match[1].decode("latin-1").replace("\0", "").strip()
                context.find(FindingKind.DDE, item.path, f"a field that starts a program: {shown[:200]}")
                return


def _inspect_workbook(data: bytes, item: Item, context: Context) -> None:
    """Records of [MS-XLS]: Excel 4.0 macro sheets and names that run them."""
    position = 0
    sheets: list[str] = []
    starts = False
    for _ in range(20_000):
        if position + 4 > len(data):
            break
        kind, size = (
            int.from_bytes(data[position : position + 2], "little"),
            int.from_bytes(data[position + 2 : position + 4], "little"),
        )
        body = data[position + 4 : position + 4 + size]
        position += 4 + size
        if kind == _BOUND_SHEET and len(body) > 8 and body[5] == _MACRO_SHEET:
            hidden = (" (hidden)", " (very hidden)")[min(body[4] & 3, 2) - 1] if body[4] & 3 else ""
            sheets.append(body[8:].decode("latin-1").replace("\0", "") + hidden)
        elif kind == _NAME and len(body) > 15 and body[0] & 0x20 and body[15:16] in (b"\x01", b"\x02"):
            starts = True  # the built-in names Auto_Open and Auto_Close
        elif kind == _NAME and b"auto_open" in body.lower().replace(b"\0", b""):
            starts = True
    if sheets:
        context.find(FindingKind.MACRO, item.path, f"Excel 4.0 macro sheets: {', '.join(sheets[:5])}")
        if starts:
            context.find(FindingKind.AUTO_MACRO, item.path, "Auto_Open runs an Excel 4.0 macro sheet")


def _slides(data: bytes, item: Item, context: Context) -> Iterator[Child]:
    """PowerPoint keeps embedded objects and VBA projects compressed in its document stream."""
    from everpost.guard.attachments import streams

    position = 0
    for _ in range(50):
        position = data.find(_PPT_OLE, position)
        if position < 0:
            return
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + size]
        position += 4
        if len(body) < 8 or body[4:5] not in (b"\x78", b"\x48", b"\x58", b"\x68"):
            continue
        try:
            content = streams.inflate(body[4:], context.budget, 15)
        except streams.Torn as torn:
            content = torn.data
        if content:
            context.find(FindingKind.EMBEDDED_OBJECT, item.path, "an object embedded in the slides")
            yield Child("object", content)


def _is_locked(ole: Any, item: Item) -> bool:
    if item.type is FileType.DOC and ole.exists("WordDocument"):
        flags = ole.openstream("WordDocument").read(12)[11:]
        return bool(flags and flags[0] & 1)  # fEncrypted of [MS-DOC] §2.5.2
    if item.type is FileType.XLS:
        book = ole.openstream("Workbook" if ole.exists("Workbook") else "Book").read(2048)
        return b"\x2f\x00" in book and _has_record(book, _FILE_PASS)
    return bool(ole.exists("EncryptedSummary"))


def _has_record(book: bytes, wanted: int) -> bool:
    position = 0
    while position + 4 <= len(book):
        if int.from_bytes(book[position : position + 2], "little") == wanted:
            return True
        position += 4 + int.from_bytes(book[position + 2 : position + 4], "little")
    return False


def _unlock(item: Item, context: Context) -> Iterator[Child]:
    """An encrypted document, by msoffcrypto. Excel opens what has its standard password without asking."""
    from msoffcrypto import OfficeFile

    rounds = _SPIN_COUNT.search(item.data)
    if rounds and int(rounds[1]) > _MAX_ROUNDS:
        raise Refused(FindingKind.ENCRYPTED, f"a key of {int(rounds[1])} rounds, which would take too long to derive")
    context.passwords.add_name(item.name)
    plain = io.BytesIO()

    def opens(password: str) -> bool:
        plain.seek(0)
        plain.truncate()
        try:
            document: Any = OfficeFile(io.BytesIO(item.data))
            document.load_key(password=password, verify_password=True)
            document.decrypt(plain)
        except Exhausted:
            raise
        except Exception:  # noqa: BLE001 (every kind of encryption fails in its own way; it is not opened then)
            return False
        return True

    password = "VelvetSweatshop" if opens("VelvetSweatshop") else context.passwords.opens(opens)
    if password is None:
        context.find(FindingKind.ENCRYPTED, item.path, "the document is encrypted")
        return
    if password == "VelvetSweatshop":  # noqa: S105
        context.find(FindingKind.ENCRYPTED, item.path, "encrypted with the password that Excel tries by itself")
    else:
        context.opened_with(item.path, password)
    data = plain.getvalue()
    context.budget.take(len(data))
    yield Child(item.name, data)
