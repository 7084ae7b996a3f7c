"""VBA: the modules of a project in the plain ([MS-OVBA] §2.4.1) and what they would do by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from everpost.guard.attachments.binary import Malformed, little
from everpost.guard.attachments.context import Context, Item
from everpost.guard.attachments.model import FindingKind

_MAX_MODULES: Final = 200
_MAX_MODULE: Final = 2 * 1024 * 1024
_CHUNK: Final = 4096
_AUTO: Final = re.compile(
    r"\b(?:sub|function)\s+(auto_?(?:open|exec|close|exit|new)|document_?(?:open|close|new|beforeclose|contentcontrolonenter)|"
    r"workbook_?(?:open|activate|beforeclose|deactivate|windowactivate)|worksheet_?(?:activate|change|calculate)|"
    r"\w+_(?:layout|gotfocus|painted|mousemove|resize|click|change|onconnecting|beforenavigate2|documentcomplete)|"
    r"app_\w+|presentation_?open|slideshowbegin|onslideshowpagechange)\s*\(",
    re.IGNORECASE,
)
_DEEDS: Final = re.compile(
    r"\b(shell(?:execute)?|createobject|getobject|wscript\.shell|urldownloadtofile\w?|powershell|cmd(?:\.exe)?\s*/c|"
    r"adodb\.stream|msxml2\.\w+|winhttp\.\w+|virtualalloc|createthread|rtlmovememory|callbyname|environ|"
    r"savetofile|application\.run|regwrite|winmgmts)\b",
    re.IGNORECASE,
)
_ATTRIBUTE: Final = b"\0Attribut"


def decompress(data: bytes, limit: int = _MAX_MODULE) -> bytes:
    """A CompressedContainer; at most `limit` octets, and what came before where it is damaged."""
    if data[:1] != b"\x01":
        raise Malformed("not a compressed container")
    out = bytearray()
    position = 1
    while position + 2 <= len(data) and len(out) < limit:
        header = little(data, position, 2)
        end = min(position + (header & 0x0FFF) + 3, len(data))
        position += 2
        if header >> 15:
            _tokens(data, position, end, out)
        else:
            out += data[position : position + _CHUNK]
            end = position + _CHUNK
        position = end
    return bytes(out[:limit])


def _tokens(data: bytes, position: int, end: int, out: bytearray) -> None:
    """One chunk: a flag octet, then eight literals or copies of what came before in this chunk."""
    start = len(out)
    while position < end:
        flags = data[position]
        position += 1
        for bit in range(8):
            if position >= end:
                return
            if not flags >> bit & 1:
                out.append(data[position])
                position += 1
                continue
            if position + 2 > end:
                return
            token = little(data, position, 2)
            position += 2
            done = len(out) - start
            bits = max((done - 1).bit_length(), 4) if done else 4
            length = (token & (0xFFFF >> bits)) + 3
            distance = (token >> (16 - bits)) + 1
            if distance > done or done + length > _CHUNK:
                return
            for _ in range(length):
                out.append(out[-distance])


def modules(ole: Any, prefix: list[str], limit: int) -> Iterator[tuple[str, str]]:
    """Names and sources of the modules in a VBA storage. The code begins where its `Attribute` lines do."""
    for number, entry in enumerate(ole.listdir()):
        if number >= _MAX_MODULES * 10 or entry[:-1] != prefix or entry[-1].lower() in ("dir", "_vba_project"):
            continue
        if entry[-1].lower().startswith("__srp_") or ole.get_size(entry) > limit:
            continue
        raw = ole.openstream(entry).read()
        start = raw.find(_ATTRIBUTE)
        if start >= 3:
            yield entry[-1], decompress(raw[start - 3 :]).decode("cp1252", "replace")


def inspect(ole: Any, item: Item, context: Context) -> None:
    """Macros in any storage that holds a `VBA` with a `dir` in it."""
    for entry in ole.listdir():
        if len(entry) >= 2 and entry[-1].lower() == "dir" and entry[-2].lower() == "vba":
            sources = list(modules(ole, entry[:-1], len(item.data)))
            names = ", ".join(name for name, _ in sources[:5]) or "no readable modules"
            context.find(FindingKind.MACRO, item.path, f"VBA macros ({names})")
            inspect_source("\n".join(source for _, source in sources), item.path, context)
            if not sources:
                context.find(FindingKind.DAMAGED, item.path, "VBA without its source (it may be stomped)")


def inspect_source(source: str, path: str, context: Context) -> None:
    """What the source starts by itself, and what it reaches for."""
    starts = _AUTO.search(source)
    deeds = sorted({match[1].lower() for match in _DEEDS.finditer(source)})[:6]
    uses = f"; it uses {', '.join(deeds)}" if deeds else ""
    if starts:
        context.find(FindingKind.AUTO_MACRO, path, f"{starts[1]} runs by itself{uses}")
    elif deeds:
        context.find(FindingKind.MACRO, path, f"a macro{uses}")
