"""Tag lists (RFC 6376 §3.2): `a=rsa-sha256; d=example.org; …`, as DKIM, ARC and DMARC write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_TAGS: Final = 100
MAX_LIST: Final = 65_536  # octets

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e \t\r\n]*\Z")
_SPACE = " \t\r\n"
_ANY_SPACE = re.compile(r"[ \t\r\n]+")


class TagError(ValueError):
    """What is written is no tag list; the message says why."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag. `start` and `end` span all that stands between its "=" and the ";" after it."""

    name: str
    value: str
    start: int
    end: int

    @property
    def packed(self) -> str:
        """The value without any white space, for base64 and lists."""
        return _ANY_SPACE.sub("", self.value)


@dataclass(frozen=True, slots=True)
class TagList:
    """The tags in order; names are case-sensitive and unique."""

    tags: tuple[Tag, ...]

    def get(self, name: str) -> Tag | None:
        """The tag of that name."""
        for tag in self.tags:
            if tag.name == name:
                return tag
        return None

    def value(self, name: str, default: str = "") -> str:
        """The value of a tag, or the default where it is missing."""
        tag = self.get(name)
        return default if tag is None else tag.value

    def packed(self, name: str, default: str = "") -> str:
        """As `value`, without white space."""
        tag = self.get(name)
        return default if tag is None else tag.packed

    def demand(self, *names: str) -> None:
        """Raises `TagError` where one of the tags is missing or empty."""
        for name in names:
            if not self.packed(name):
                raise TagError(f"{name}= is missing" if self.get(name) is None else f"{name}= is empty")


def parse_tags(text: str, *, strict: bool = True) -> TagList:
    """Read a tag list. Raises `TagError` for a syntax error or a name that comes twice.

    Not `strict`: parts that are no tags are passed over, as DMARC does (RFC 9989 §4.7).
    """
    if len(text) > MAX_LIST:
        raise TagError("the tag list is too long")
    tags: list[Tag] = []
    names: set[str] = set()
    position = 0
    for part in text.split(";", MAX_TAGS + 1):
        begin, position = position, position + len(part) + 1
        if len(tags) >= MAX_TAGS:
            raise TagError("too many tags")
        if not part.strip(_SPACE):
            if strict and position <= len(text):
                raise TagError("a tag is empty")
            continue
        tag = _read(part, begin)
        if tag is None or tag.name in names:
            if not strict:
                continue
            raise TagError(f"{part.strip(_SPACE)[:40]!r} is no tag" if tag is None else f"{tag.name}= is there twice")
        names.add(tag.name)
        tags.append(tag)
    return TagList(tuple(tags))


def _read(part: str, begin: int) -> Tag | None:
    name, equals, value = part.partition("=")
    written = name.strip(_SPACE)
    if not equals or _NAME.match(written) is None or _VALUE.match(value) is None:
        return None
    start = begin + len(name) + 1
    return Tag(written, value.strip(_SPACE), start, start + len(value))
