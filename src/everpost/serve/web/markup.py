"""A stranger's HTML made well-formed and shallow, so that whatever reads it next takes time in proportion to its size.

HTML parsers that follow the standard need quadratic time for elements nested a hundred thousand deep, and formatting
elements left open multiply at every paragraph. Here tags are read one after the other, never twice; what comes out
nests properly, at most `MAX_DEPTH` deep. Safety is not decided here: that is the sanitiser's work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

MAX_DEPTH: Final = 200
"""Tags of elements below are left out, their text stays."""
MAX_TAGS: Final = 50_000
"""Tags after these are left out."""
MAX_ATTRIBUTES: Final = 50

_VOID: Final = frozenset(("br", "hr", "img", "wbr", "col"))
_RAW: Final = frozenset(
    ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "plaintext"]
)
_INLINE: Final = frozenset(
    [
        "a",
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "cite",
        "code",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "label",
        "mark",
        "q",
        "ruby",
        "rp",
        "rt",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "time",
        "tt",
        "u",
        "var",
    ]
)
_TABLE: Final = frozenset(["table", "caption", "colgroup", "tbody", "td", "tfoot", "th", "thead", "tr"])
_CELL: Final = frozenset(("table", "td", "th", "caption"))
_ENDS_ITSELF: Final = {
    "li": frozenset(("li",)), "dt": frozenset(("dt", "dd")), "dd": frozenset(("dt", "dd")),
    "td": frozenset(("td", "th")), "th": frozenset(("td", "th")), "tr": frozenset(("tr", "td", "th")),
    "a": frozenset(("a",)),
}  # fmt: skip
_NAME: Final = re.compile(r"[a-zA-Z][^\s/>]{0,40}")
_SPACE: Final = re.compile(r"[\s/]*")
_ATTRIBUTE_NAME: Final = re.compile(r"[^\s/>=][^\s/>=]*")
_EQUALS: Final = re.compile(r"\s*=\s*")
_UNQUOTED: Final = re.compile(r"[^\s>]*")
_RAW_ENDS: Final = {name: re.compile(f"</{name}", re.IGNORECASE) for name in _RAW}


def well_formed(
    html: str, tags: Collection[str], is_wanted: Callable[[str, str], bool] = lambda name, attributes: True
) -> str:
    """`html` with the elements of `tags` only: comments, other tags and what scripts and styles hold are left out.

    So are empty elements that `is_wanted`, told their name and their attributes as written here, does not want.
    """
    writer = _Writer(tags, is_wanted)
    for kind, name, rest in _tokens(html):
        if kind == "text":
            writer.out.append(name)
        elif kind == "end":
            writer.end(name)
        else:
            writer.start(name, rest)
    writer.close_to(0)
    return "".join(writer.out)


def _tokens(html: str) -> Iterator[tuple[str, str, str]]:
    """("text", text, ""), ("start", name, attributes as they are to be written), ("end", name, "")."""
    at = 0
    while at < len(html):
        opened = html.find("<", at)
        if opened < 0:
            yield "text", html[at:], ""
            return
        if opened > at:
            yield "text", html[at:opened], ""
        end = html[opened + 1 : opened + 2] == "/"
        match = _NAME.match(html, opened + 2 if end else opened + 1)
        if match is None:
            at = _after_markup(html, opened)
            if at == opened + 1:
                yield "text", "&lt;", ""
            continue
        attributes, at = _attributes(html, match.end())
        if at < 0:
            return
        name = match[0].lower()
        yield ("end" if end else "start"), name, attributes
        if not end and name in _RAW:
            closed = _RAW_ENDS[name].search(html, at)
            if closed is None:
                return
            at = closed.start()


def _after_markup(html: str, opened: int) -> int:
    """After a comment, declaration or instruction; one on where it is none of them."""
    if html.startswith("<!--", opened):
        closed, length = html.find("-->", opened + 4), 3
    elif html.startswith(("<!", "<?", "</"), opened):
        closed, length = html.find(">", opened), 1
    else:
        return opened + 1
    return len(html) if closed < 0 else closed + length


def _attributes(html: str, at: int) -> tuple[str, int]:
    """The attributes of a tag and where it has ended; -1 where it never does."""
    found: list[str] = []
    while True:
        at = _end_of(_SPACE, html, at)
        if at >= len(html):
            return "", -1
        if html[at] == ">":
            return "".join(found), at + 1
        name_end = max(_end_of(_ATTRIBUTE_NAME, html, at), at + 1)
        name = html[at:name_end].lower()
        at = name_end
        value = ""
        equals = _EQUALS.match(html, at)
        if equals is not None:
            start = equals.end()
            quote = html[start : start + 1]
            if quote in ('"', "'") and quote:
                closed = html.find(quote, start + 1)
                if closed < 0:
                    return "", -1
                value, at = html[start + 1 : closed], closed + 1
            else:
                at = _end_of(_UNQUOTED, html, start)
                value = html[start:at]
        if name.isascii() and name.isalpha() and len(found) < MAX_ATTRIBUTES:
            written = value.replace('"', "&quot;").replace("<", "&lt;")
            found.append(f' {name}="{written}"')


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


class _Writer:
    """Writes tags so that they nest."""

    def __init__(self, tags: Collection[str], is_wanted: Callable[[str, str], bool]) -> None:
        self.out: list[str] = []
        self._tags = tags
        self._is_wanted = is_wanted
        self._open: list[str] = []
        self._left = MAX_TAGS

    def start(self, name: str, attributes: str) -> None:
        if name not in self._tags or self._left <= 0:
            return
        if name not in _INLINE and name not in _VOID:
            self._end_reached("p")
        for other in _ENDS_ITSELF.get(name, ()):
            self._end_reached(other)
        if name not in _VOID:
            if len(self._open) >= MAX_DEPTH:
                return
            self._open.append(name)
        elif not self._is_wanted(name, attributes):
            return
        self._left -= 1
        self.out.append(f"<{name}{attributes}>")

    def end(self, name: str) -> None:
        """Closes the nearest open one that the standard lets an end tag of this name reach."""
        for index in range(len(self._open) - 1, -1, -1):
            above = self._open[index]
            if above == name:
                self.close_to(index)
                return
            if name in _INLINE and above not in _INLINE:
                return
            if above == "table" or (above in _CELL and name not in _TABLE):
                return

    def close_to(self, index: int) -> None:
        while len(self._open) > index:
            self.out.append(f"</{self._open.pop()}>")

    def _end_reached(self, name: str) -> None:
        """Closes one of this name that has only inline elements in it."""
        for index in range(len(self._open) - 1, -1, -1):
            if self._open[index] == name:
                self.close_to(index)
                return
            if self._open[index] not in _INLINE:
                return
