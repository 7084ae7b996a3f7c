"""What a name looks like: skeletons in the sense of UTS #39 §4, and the scripts of its letters.

Our own small table and not a library: those at hand compare strings of any kind, come without a skeleton or are not
kept up, and names in the DNS need only what IDNA allows.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

_DIGITS: Final = str.maketrans({"0": "o", "1": "l", "3": "e", "5": "s", "i": "l"})
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_TOGETHER: Final = (
    frozenset(("LATIN", "HAN", "HIRAGANA", "KATAKANA")),
    frozenset(("LATIN", "HAN", "BOPOMOFO")),
    frozenset(("LATIN", "HAN", "HANGUL")),
)
"""Scripts that people write together (UTS #39 §5.2, "highly restrictive")."""


@cache
def _table() -> dict[int, str]:
    text = files("everpost.guard.links").joinpath("data/confusables.txt").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {ord(letter): line[0] for line in lines for letter in line[1:]}


@lru_cache(maxsize=16_384)
def skeleton(name: str) -> str:
    """A form that is equal for names that look alike: without accents, foreign letters as those they resemble,
    `0 1 3 5 i` as `o l e s l`, `rn vv cl` as `m w d`."""
    text = name if name.isascii() else _latin(name)
    text = text.lower().translate(_DIGITS)
    for pair, letter in _PAIRS:
        text = text.replace(pair, letter)
    return text


def _latin(name: str) -> str:
    text = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in text if not unicodedata.combining(letter)).translate(_table())


def scripts(name: str) -> frozenset[str]:
    """The scripts of the letters, by the beginning of their Unicode names: LATIN, CYRILLIC, GREEK, HAN …"""
    if name.isascii():
        return frozenset(("LATIN",)) if any(letter.isalpha() for letter in name) else frozenset()
    found = {unicodedata.name(letter, "UNKNOWN").partition(" ")[0] for letter in name if letter.isalpha()}
    return frozenset("HAN" if script == "CJK" else script for script in found)


def is_mixed(name: str) -> bool:
    """Whether one label mixes scripts that nobody writes together."""
    found = scripts(name)
    return len(found) > 1 and not any(found <= together for together in _TOGETHER)
