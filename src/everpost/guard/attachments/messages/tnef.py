"""TNEF, Outlook's winmail.dat ([MS-OXTNEF]): its attachments, with their long names and embedded messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from everpost.guard.attachments.binary import Malformed, Reader
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_ATTACHMENT_LEVEL: Final = 2
_TITLE, _DATA, _BEGINS, _PROPERTIES = 0x8010, 0x800F, 0x9002, 0x9005
_MESSAGE_PROPERTIES: Final = 0x9003
_LONG_NAME, _SHORT_NAME, _DISPLAY_NAME, _DATA_OBJECT, _RTF = 0x3707, 0x3704, 0x3001, 0x3701, 0x1009
_OBJECT, _BINARY, _ANSI, _UNICODE, _MULTIPLE = 0x000D, 0x0102, 0x001E, 0x001F, 0x1000
_FIXED: Final = {
    0x0002: 4,
    0x0003: 4,
    0x0004: 4,
    0x0005: 8,
    0x0006: 8,
    0x0007: 8,
    0x000A: 4,
    0x000B: 4,
    0x0014: 8,
    0x0040: 8,
    0x0048: 16,
}
_NAMED: Final = 0x8000
_MAX_VALUES: Final = 10_000
_MAX_ATTACHMENTS: Final = 1000


@dataclass(slots=True)
class _Attached:
    title: str = ""
    long_name: str = ""
    data: bytes = b""
    embedded: bytes = b""


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The attachments; an embedded message is a TNEF of its own, an embedded object a compound file."""
    context.find(FindingKind.TNEF, item.path, "a message in Outlook's own format")
    attached: list[_Attached] = []
    try:
        for level, identifier, value in _attributes(item.data):
            if identifier == _BEGINS:
                attached.append(_Attached())
            elif level == _ATTACHMENT_LEVEL and attached:
                _attribute(attached[-1], identifier, value)
            if len(attached) > _MAX_ATTACHMENTS:
                break
    except Malformed as error:
        context.find(FindingKind.DAMAGED, item.path, f"read as far as it goes: {error}")
    for number, one in enumerate(attached, start=1):
        name = one.long_name or one.title or f"attachment {number}"
        for data in filter(None, (one.data, one.embedded)) if one.data or one.embedded else (b"",):
            context.budget.take(len(data))
            yield Child(name, data)


def _attributes(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Level, identifier and value; check sums are not looked at, as readers do not either."""
    reader = Reader(data, 6)
    while reader.left >= 9:
        level, identifier = reader.u8(), reader.u16()
        reader.skip(2)
        if level not in (1, 2):
            return  # something was put behind it
        value = reader.take(min(reader.u32(), reader.left))
        yield level, identifier, value
        reader.skip(min(2, reader.left))


def _attribute(attached: _Attached, identifier: int, value: bytes) -> None:
    if identifier == _TITLE:
        attached.title = value.split(b"\0")[0].decode("cp1252", "replace")
    elif identifier == _DATA:
        attached.data = value
    elif identifier == _PROPERTIES:
        for tag, content in _properties(value):
            if tag == _LONG_NAME:
                attached.long_name = _text(content)
            elif tag in (_SHORT_NAME, _DISPLAY_NAME) and not attached.title:
                attached.title = _text(content)
            elif tag == _DATA_OBJECT and len(content) > 16:
                attached.embedded = content if attached.data != content else b""
                # An object begins with the identifier of its interface.
                if content[16:20] in (b"\x78\x9f\x3e\x22", b"\xd0\xcf\x11\xe0"):
                    attached.embedded = content[16:]


def _text(raw: bytes) -> str:
    if len(raw) > 1 and raw[1::2].count(0) * 4 > len(raw):
        return raw.decode("utf-16-le", "replace").split("\0")[0]
    return raw.split(b"\0")[0].decode("cp1252", "replace")


def _properties(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and first values of those that have a variable size."""
    reader = Reader(data)
    for _ in range(min(reader.u32(), _MAX_VALUES)):
        kind, tag = reader.u16(), reader.u16()
        if tag >= _NAMED:
            reader.skip(16)
            if reader.u32():
                size = reader.u32()
                reader.skip(size + -size % 4)
            else:
                reader.skip(4)
        yield from _values(reader, kind, tag)


def _values(reader: Reader, kind: int, tag: int) -> Iterator[tuple[int, bytes]]:
    single = kind & ~_MULTIPLE
    if single in (_ANSI, _UNICODE, _BINARY, _OBJECT):
        for _ in range(min(reader.u32(), _MAX_VALUES)):
            size = reader.u32()
            value = reader.take(size)
            reader.skip(min(-size % 4, reader.left))
            yield tag, value
        return
    if single not in _FIXED:
        raise Malformed(f"a property of an unknown kind ({kind:#x})")
    count = min(reader.u32(), _MAX_VALUES) if kind & _MULTIPLE else 1
    reader.skip(_FIXED[single] * count)
