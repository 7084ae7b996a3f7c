"""Texts as the classifier reads them: words without case, accents and disguise; what HTML shows. Pure, linear."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_SHORTEST, _LONGEST = 2, 24
_MAX_LETTERS: Final = 16_000
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff]+"
)
_ACCENTS: Final = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*+|[$€£¥%!?]+")
_DIGITS: Final = re.compile(r"\d+")
_PAIRED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)
_GAPPED: Final = re.compile(r"(?<![^\W_])[^\W\d_](?:[ .*_\-]{1,2}[^\W\d_](?![^\W_])){2,15}")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z!?][a-zA-Z0-9]{0,14})[^<>]*>?")
_UNSEEN: Final = re.compile(
    r"<!--.*?(?:-->|\Z)|<(head|style|script|title)\b[^<>]*+>.*?(?:</\1\s*+>|\Z)", re.DOTALL | re.IGNORECASE
)
_INLINE: Final = frozenset(
    ("a", "abbr", "b", "big", "em", "font", "i", "ins", "o", "small", "span", "strong", "sub", "sup", "tt", "u", "wbr")
)
_ADDRESS: Final = re.compile(r"https?://([^\s/\"'<>?#]{1,200})([^\s\"'<>]{0,200})", re.IGNORECASE)
_MARK: Final = re.compile(
    r"<(?P<tag>[a-z][a-z0-9]{0,14})\b|(?P<style>display\s?:\s?none|visibility\s?:\s?hidden|font-size\s?:\s?[0-4](?:px|pt)?\b)"
    r"|(?P<colour>color\s?[=:]\s?[\"']?#?[a-z0-9]{1,8})|(?P<size>size\s?=\s?[\"']?[+-]?\d)", re.IGNORECASE
)  # fmt: skip
_MAX_MARKS: Final = 500


def fold(text: str) -> str:
    """Without case, accents, width and letters that nobody sees."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", folded))


def words(text: str, most: int) -> Iterator[str]:
    """At most so many words of the beginning, folded. Digits become 0: numbers are alike by their length. Long words
    are cut to what they begin with; scripts without spaces come as pairs of letters.
    """
    for word in _WORD.findall(fold(text[:_MAX_LETTERS])[:_MAX_LETTERS]):
        for piece in _pieces(word):
            if most <= 0:
                return
            most -= 1
            yield piece


def _pieces(word: str) -> tuple[str, ...] | list[str]:
    if word.isascii() and word.isalpha() and _SHORTEST <= len(word) <= _LONGEST:
        return (word,)
    if not word.isascii() and _PAIRED.search(word):
        return [word[at : at + 2] for at in range(min(len(word), 200) - 1)] or [word]
    if len(word) < _SHORTEST and word.isalnum():
        return ()
    if len(word) > _LONGEST:
        word = f"{word[:8]}{'…' * min(len(word) // 10, 6)}"
    return (_DIGITS.sub(_zeros, word),)


def _zeros(match: re.Match[str]) -> str:
    return "0" * min(len(match.group()), 6)


def gapped(text: str) -> Iterator[str]:
    """Words whose letters stand apart, so that no filter sees them: `v i a g r a`."""
    for number, match in enumerate(_GAPPED.finditer(text)):
        if number >= 20:
            return
        yield "".join(letter for letter in fold(match.group()) if letter.isalpha())


def visible(markup: str) -> str:
    """What a page shows, roughly. Tags within a word leave it whole, others part words."""
    return html.unescape(_TAG.sub(_space, _UNSEEN.sub("", markup)))


def _space(match: re.Match[str]) -> str:
    return "" if match[2].lower() in _INLINE or match[2][0] == "!" else " "


def hosts(text: str, most: int) -> Iterator[tuple[str, str]]:
    """(host, path) of at most so many addresses with a scheme."""
    for match in _ADDRESS.finditer(text):
        if most <= 0:
            return
        most -= 1
        yield match[1].rpartition("@")[2].partition(":")[0].lower(), match[2]


def markup_marks(markup: str) -> Iterator[str]:
    """How a page is made: its tags, colours, sizes, and what it hides."""
    for number, match in enumerate(_MARK.finditer(markup)):
        if number >= _MAX_MARKS:
            return
        yield match.group().lower().replace(" ", "").lstrip("<")
