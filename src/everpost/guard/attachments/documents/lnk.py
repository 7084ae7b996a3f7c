"""Windows shortcuts ([MS-SHLLINK]): what they start, with which arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.binary import Malformed, Reader
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind
from everpost.guard.attachments.names import shown

_ID_LIST, _INFO, _NAME, _RELATIVE, _FOLDER, _ARGUMENTS, _ICON, _UNICODE = (1 << bit for bit in range(8))
_HEADER: Final = 76
_ENVIRONMENT: Final = 0xA0000001
_MAX_OVERLAY: Final = 16


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The command line, and what is put behind the shortcut for it to find."""
    reader = Reader(item.data, 20)
    flags = reader.u32()
    reader.skip(_HEADER - 24)
    target = ""
    if flags & _ID_LIST:
        target = _last_of_list(reader.take(reader.u16()))
    if flags & _INFO:
        size = reader.u32()
        if size < 4:
            raise Malformed("LinkInfo of no size")
        target = _base_path(reader.data[reader.position - 4 : reader.position - 4 + size]) or target
        reader.skip(size - 4)
    strings: dict[int, str] = {}
    for kind in (_NAME, _RELATIVE, _FOLDER, _ARGUMENTS, _ICON):
        if flags & kind:
            count = reader.u16()
            raw = reader.take(count * 2 if flags & _UNICODE else count)
            strings[kind] = raw.decode("utf-16-le" if flags & _UNICODE else "cp1252", "replace")
    target = _environment(reader) or target or strings.get(_RELATIVE, "")
    arguments = " ".join(strings.get(_ARGUMENTS, "").split())
    context.find(FindingKind.LNK, item.path, f"a shortcut to {shown(target) or '?'}")
    if arguments or target.lower().endswith((".exe", ".cmd", ".bat", ".com")):
        context.find(
            FindingKind.LNK_COMMAND,
            item.path,
            shown(f"{target} {arguments}"[:400]) if not arguments else f"starts {target[-120:]} {arguments[:300]}",
        )
    overlay = item.data[reader.position :]
    if len(overlay) > _MAX_OVERLAY:
        context.find(FindingKind.APPENDED_DATA, item.path, f"{len(overlay)} octets behind the shortcut")
        yield Child("behind the shortcut", overlay)


def _last_of_list(items: bytes) -> str:
    """A name out of the last shell item: its file's long name, in UTF-16, else the short one."""
    position, names = 0, []
    while position + 2 <= len(items):
        size = int.from_bytes(items[position : position + 2], "little")
        if size < 3:
            break
        body = items[position + 2 : position + size]
        if body and body[0] & 0x70 == 0x30 and len(body) > 14:
            names.append(body[12:].split(b"\0")[0].decode("cp1252", "replace"))
        position += size
    return "\\".join(name for name in names if name)


def _base_path(info: bytes) -> str:
    """LocalBasePath, or the network path."""
    reader = Reader(info, 8)
    flags = reader.u32()
    reader.skip(4)
    local, network = reader.u32(), reader.u32()
    if flags & 1 and 0 < local < len(info):
        return info[local:].split(b"\0")[0].decode("cp1252", "replace")
    if flags & 2 and 0 < network < len(info) - 12:
        at = network + int.from_bytes(info[network + 8 : network + 12], "little")
        return info[at:].split(b"\0")[0].decode("cp1252", "replace")
    return ""


def _environment(reader: Reader) -> str:
    """The target of an EnvironmentVariableDataBlock; passes over all blocks up to the last."""
    target = ""
    while reader.left >= 4:
        size = reader.u32()
        if size < 8:
            break
        body = reader.take(min(size - 4, reader.left))
        if int.from_bytes(body[:4], "little") == _ENVIRONMENT:
            wide = body[264:784].decode("utf-16-le", "replace").split("\0")[0]
            target = wide or body[4:264].split(b"\0")[0].decode("cp1252", "replace")
    return target
