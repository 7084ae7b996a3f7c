"""Office Open XML and OpenDocument: macros, DDE, what is fetched from elsewhere, embedded objects.

The XML is searched as text, never parsed: there are no entities to expand and no depth to be lost in.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.containers.zipfiles import unzip
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.documents.vba import inspect_source
from everpost.guard.attachments.filetypes import FileType, decode_text
from everpost.guard.attachments.model import FindingKind

_MAX_XML: Final = 16 * 1024 * 1024
_MAX_TAG: Final = 8192
# A tag reaches to the next "<": in XML none stands within one, so that every search is done in one pass.
_RELATION: Final = re.compile(r"<(?:\w+:)?Relationship\b([^<]*)", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"([\w:]+)\s*=\s*(?:\"([^\"<]*)\"|'([^'<]*)')")
_INSTRUCTION: Final = re.compile(r"<w:(instrText|fldSimple|fldChar)\b([^<>]*)>?([^<]*)")
_DDE: Final = re.compile(r"\bDDE(?:AUTO)?\b", re.IGNORECASE)
_DDE_LINK: Final = re.compile(r"<ddeLink\b([^<]*)", re.IGNORECASE)
_DEFINED_NAME: Final = re.compile(r"<definedName\b([^<]*)", re.IGNORECASE)
_AUTO_NAME: Final = re.compile(r"(?:_xlnm\.)?(?:auto_?open|auto_?close)", re.IGNORECASE)
_EXTERNAL: Final = {
    "attachedtemplate": FindingKind.TEMPLATE_INJECTION,
    "frame": FindingKind.TEMPLATE_INJECTION,
    "subdocument": FindingKind.TEMPLATE_INJECTION,
    "oleobject": FindingKind.TEMPLATE_INJECTION,
    "externallinkpath": FindingKind.TEMPLATE_INJECTION,
    "customui": FindingKind.TEMPLATE_INJECTION,
    "control": FindingKind.TEMPLATE_INJECTION,
}
_MACRO_TYPES: Final = re.compile(r"\A(?:.*/)?vbaProject\w*\.bin\Z", re.IGNORECASE)
_SHEETS: Final = re.compile(r"(?:^|/)macrosheets/", re.IGNORECASE)
_EMBEDDED: Final = re.compile(r"(?:^|/)(?:embeddings|activeX|ctrlProps)/(?!_rels)|(?:^|/)Object ?\d+$", re.IGNORECASE)
_MARKUP: Final = (".xml", ".rels", ".vml")
_LOCAL: Final = re.compile(r"\A(?:https?|ftp|file|mhtml|\\\\|//|[a-z][a-z0-9+.-]*:)", re.IGNORECASE)


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The parts that are no markup (macros, embedded files, pictures); the markup is searched here."""
    for child in unzip(item, context):
        small = child.name.lower()
        if _SHEETS.search(child.name):
            context.find(FindingKind.MACRO, item.path, f"an Excel 4.0 macro sheet ({child.name})")
        if child.data is None or not small.endswith(_MARKUP):
            if _EMBEDDED.search(child.name):
                context.find(FindingKind.EMBEDDED_OBJECT, item.path, f"an embedded object: {child.name}")
            elif _MACRO_TYPES.match(child.name) or small.endswith("vbadata.xml"):
                context.find(FindingKind.MACRO, item.path, f"VBA macros ({child.name})")
            yield child
            continue
        text = decode_text(child.data[:_MAX_XML]) or ""
        if small.endswith(".rels"):
            _inspect_relations(text, child.name, item, context)
        else:
            _inspect_markup(text, child.name, item, context)


def _inspect_relations(text: str, part: str, item: Item, context: Context) -> None:
    for match in _RELATION.finditer(text):
        values = _attributes(match[1])
        kind = values.get("type", "").rsplit("/", 1)[-1].lower()
        target = values.get("target", "").strip()
        outside = values.get("targetmode", "").lower() == "external" or target.lower().startswith(("mhtml:", "\\\\"))
        if not outside or not _LOCAL.match(target):
            continue
        if kind in _EXTERNAL:
            context.find(_EXTERNAL[kind], item.path, f"{kind} is fetched from {target[:200]}")
        elif target.lower().startswith(("mhtml:", "ms-msdt:", "search-ms:", "javascript:")) or (
            kind != "hyperlink" and target.startswith(("\\\\", "file:"))
        ):
            context.find(FindingKind.TEMPLATE_INJECTION, item.path, f"{part} points to {target[:200]}")


def _inspect_markup(text: str, part: str, item: Item, context: Context) -> None:
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        context.find(FindingKind.XML_ENTITY, item.path, f"{part} declares entities, which Office never writes")
    if "instr" in text:
        for instruction in _instructions(text):
            if _DDE.search(instruction):
                context.find(FindingKind.DDE, item.path, f"a field that starts a program: {instruction.strip()[:200]}")
    for match in _DDE_LINK.finditer(text):
        link = _attributes(match[1])
        shown = f"{link.get('ddeservice', '')} {link.get('ddetopic', '')}".strip()
        context.find(FindingKind.DDE, item.path, f"a link to a program: {shown[:200]}")
    for match in _DEFINED_NAME.finditer(text):
        name = _attributes(match[1]).get("name", "")
        if _AUTO_NAME.match(name):
            context.find(FindingKind.AUTO_MACRO, item.path, f"the name {name[:80]} runs a macro sheet")
    if item.type is FileType.OPENDOCUMENT:
        _inspect_opendocument(text, part, item, context)


def _attributes(tag: str) -> dict[str, str]:
    """The attributes of a tag, with their names in small letters."""
    found = _ATTRIBUTE.findall(tag[:_MAX_TAG])
    return {name.lower(): html.unescape(one or other) for name, one, other in found}


def _instructions(text: str) -> Iterator[str]:
    """The instructions of fields, which may be cut into many runs."""
    parts: list[str] = []
    for match in _INSTRUCTION.finditer(text):
        if match[1] == "instrText":
            parts.append(html.unescape(match[3]))
        elif match[1] == "fldSimple":
            yield _attributes(match[2]).get("w:instr", "")
        elif "begin" in match[2] and parts:
            yield "".join(parts)
            parts = []
    if parts:
        yield "".join(parts)


def _inspect_opendocument(text: str, part: str, item: Item, context: Context) -> None:
    if part.startswith(("Basic/", "Scripts/")) and "<script:module" in text:
        context.find(FindingKind.MACRO, item.path, f"Basic macros ({part})")
        inspect_source(html.unescape(text), item.path, context)
    if "<script:event-listener" in text:
        context.find(FindingKind.AUTO_MACRO, item.path, f"an event runs a macro ({part})")
    if "office:dde-source" in text:
        context.find(FindingKind.DDE, item.path, f"a link to a program ({part})")
