"""Files that hold one other file, compressed or written as text."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

from everpost.guard.attachments import streams
from everpost.guard.attachments.binary import Malformed, big
from everpost.guard.attachments.budget import Budget
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.filetypes import FileType
from everpost.guard.attachments.model import FindingKind

_UNPACK: Final[dict[FileType, Callable[[bytes, Budget], bytes]]] = {
    FileType.GZIP: streams.gunzip,
    FileType.BZIP2: streams.bunzip,
    FileType.XZ: streams.unxz,
    FileType.LZMA: streams.unxz,
    FileType.ZSTD: streams.unzstd,
    FileType.SZDD: streams.unszdd,
}
_SHORT: Final = {
    ".tgz": ".tar",
    ".tbz": ".tar",
    ".tbz2": ".tar",
    ".txz": ".tar",
    ".tzst": ".tar",
    ".svgz": ".svg",
    ".wmz": ".wmf",
    ".emz": ".emf",
}
_BINHEX: Final = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_RUN: Final = re.compile(rb"\x90(.)", re.DOTALL)


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The file inside, under the name that the format or the outer name gives."""
    name = _stored_name(item.data) if item.type is FileType.GZIP else ""
    try:
        data = _UNPACK[item.type](item.data, context.budget)
    except streams.Torn as torn:
        context.find(FindingKind.DAMAGED, item.path, f"unpacked as far as it goes: {torn}")
        data = torn.data
    yield Child(name or inner_name(item.name), data)


def inner_name(name: str) -> str:
    """`a.tar.gz` holds `a.tar`, `a.tgz` too; `setup.ex_` holds `setup.ex`."""
    stem, dot, last = name.rpartition(".")
    if not dot or not stem:
        return f"{name or 'content'}.unpacked" if not dot else name
    return stem + _SHORT.get(f".{last.lower()}", "")


def _stored_name(data: bytes) -> str:
    """RFC 1952 §2.3.1: the original name, after the extra field."""
    if len(data) < 12 or not data[3] & 8:
        return ""
    start = 10
    if data[3] & 4:
        start += 2 + int.from_bytes(data[10:12], "little")
    stop = data.find(b"\0", start, start + 512)
    return data[start:stop].decode("latin-1") if stop > start else ""


def unbinhex(item: Item, context: Context) -> Iterator[Child]:
    """BinHex 4.0 (RFC 1741 appendix A): six bits to a letter, then runs, then a header and two forks."""
    start = item.data.find(b":", 40)
    letters = item.data[start + 1 : item.data.find(b":", start + 1)].translate(None, b"\r\n\t ")
    if start < 0 or letters.translate(None, _BINHEX):
        raise Malformed("BinHex with foreign letters")
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    packed = binascii.a2b_base64(letters.translate(bytes.maketrans(_BINHEX, _BASE64)) + b"=" * (-len(letters) % 4))
    data = context.budget.collect(_runs(packed), len(packed))
    size = big(data, 0, 1)
    name = data[1 : 1 + size].decode("mac_roman")
    content = 1 + size + 1 + 18 + 2
    yield Child(name, data[content : content + big(data, content - 10, 4)])


def _runs(packed: bytes) -> Iterator[bytes]:
    """0x90 and a number repeat the octet before; 0x90 0x00 is the octet itself."""
    position, last = 0, b""
    for match in _RUN.finditer(packed):
        plain = packed[position : match.start()]
        last = plain[-1:] or last
        count = match[1][0]
        if count == 0:
            plain, last = plain + b"\x90", b"\x90"
        else:
            plain += last * (count - 1)
        yield plain
        position = match.end()
    yield packed[position:]
