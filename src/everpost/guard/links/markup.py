"""HTML cut into tags and text by offsets, as the tokenizer of the HTML standard (§13.2.5) does, without a tree.

A tree takes quadratic time on deep input, and it cannot be written back byte for byte. Every place is read at most
twice: what stands in conditional comments (which Outlook shows) and in elements without markup (whose meaning
depends on where they stand) is cut as well, as a region of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from html.entities import html5
from typing import Final

_SPACE = r"\t\n\f\r "
_VALUE = rf"""(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^{_SPACE}>"'][^{_SPACE}>]*+)?"""
_ATTRIBUTES = rf"(?:[{_SPACE}/]++|[^{_SPACE}/>][^{_SPACE}/>=]*+(?:[{_SPACE}]*+=[{_SPACE}]*+{_VALUE})?+)*+"
_TAG = re.compile(rf"<(/?)([A-Za-z][^{_SPACE}/>]*+)({_ATTRIBUTES})(?:>|\Z)")
_ATTRIBUTE = re.compile(
    rf"""([^{_SPACE}/>][^{_SPACE}/>=]*+)(?:[{_SPACE}]*+=[{_SPACE}]*+"""
    rf"""(?:"([^"]*+)(?:"|\Z)|'([^']*+)(?:'|\Z)|([^{_SPACE}>"'][^{_SPACE}>]*+)|))?+"""
)
_COMMENT_END = re.compile(r"--!?>")
_CONDITIONAL = re.compile(r"<!--\[if[^\]>]{0,200}+\]>", re.IGNORECASE)
_RAW: Final = {
    name: re.compile(rf"</{name}(?=[{_SPACE}/>]|\Z)", re.IGNORECASE)
    for name in ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
}
_REFERENCE = re.compile(r"&(?:#[0-9]{1,9}+;?|#[xX][0-9A-Fa-f]{1,8}+;?|[A-Za-z][A-Za-z0-9]{1,31}+;?)(?=(=?))")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute; `start` and `end` span the value without its quotes, and are equal where there is none."""

    name: str
    start: int
    end: int
    quoted: bool


@dataclass(frozen=True, slots=True)
class Tag:
    """A start or end tag. `attributes_at` spans what follows its name. `raw_in` names the element without markup, or
    "comment", inside which it stands."""

    name: str
    closing: bool
    start: int
    end: int
    attributes_at: tuple[int, int]
    raw_in: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """Characters between tags, references not yet decoded. `raw_in` as with tags."""

    start: int
    end: int
    raw_in: str = ""


def tokens(markup: str) -> Iterator[Tag | Text]:
    """Tags and texts in order. Never raises; linear."""
    return _region(markup, 0, len(markup), "")


def attributes(markup: str, tag: Tag) -> Iterator[Attribute]:
    """The attributes of a tag, names in lower case; one that stands twice comes twice."""
    for match in _ATTRIBUTE.finditer(markup, *tag.attributes_at):
        group = match.lastindex or 1
        start, end = match.span(group) if group > 1 else (match.end(), match.end())
        yield Attribute(match.group(1).lower(), start, end, group in (2, 3))


def attribute_value(raw: str) -> str:
    """A value with its references decoded as in attributes: `&copy=1` stays (HTML §13.2.5.73)."""
    return _REFERENCE.sub(_reference, raw) if "&" in raw else raw


def _reference(match: re.Match[str]) -> str:
    text = match.group()
    if text[1] == "#":
        return html.unescape(text)
    if text[1:] not in html5 or (match.group(1) and not text.endswith(";")):
        return text
    return html.unescape(text)


def _region(markup: str, start: int, end: int, raw_in: str) -> Iterator[Tag | Text]:
    position = text_from = start
    while (at := markup.find("<", position, end)) >= 0:
        following = markup[at + 1 : at + 2]
        match = _TAG.match(markup, at, end)
        if match is None and following not in ("!", "?", "/"):
            position = at + 1
            continue
        if text_from < at:
            yield Text(text_from, at, raw_in)
        if match is None:
            position = yield from _declaration(markup, at, end, raw_in)
        else:
            name = match.group(2).lower()
            yield Tag(name, bool(match.group(1)), at, match.end(), match.span(3), raw_in)
            position = match.end()
            if not raw_in and not match.group(1) and name in _RAW:
                closing = _RAW[name].search(markup, position, end)
                until = closing.start() if closing else end
                yield from _region(markup, position, until, name)
                position = until
        text_from = position
    if text_from < end:
        yield Text(text_from, end, raw_in)


def _declaration(markup: str, at: int, end: int, raw_in: str) -> Generator[Tag | Text, None, int]:
    """Passes a comment, doctype or the like; returns (as a generator does) where it ends."""
    if not markup.startswith("<!--", at, end):
        close = markup.find(">", at, end)
        return end if close < 0 else close + 1
    closing = _COMMENT_END.search(markup, at + 2, end)
    if closing is not None and closing.start() == at + 2 and closing.end() == at + 6:  # <!--!> does not end it
        closing = _COMMENT_END.search(markup, at + 4, end)
    until = closing.start() if closing else end
    conditional = None if raw_in else _CONDITIONAL.match(markup, at, until)
    if conditional is not None:
        yield from _region(markup, conditional.end(), until, "comment")
    return closing.end() if closing else end
