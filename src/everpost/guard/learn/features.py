"""What is remembered of a message: words of what it says, of who wrote it and of how it is made. Pure and bounded.

Every feature is a short text that a person can read; the model keeps a number of 32 bits for it. What a message says
of its way (Received, List-*, Return-Path) and of itself (X-Spam-*) is not looked at: the way tells about those who
collected the mail, and the rest is whatever the sender wants us to believe. References and In-Reply-To are left out for
the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final
from zlib import crc32

from everpost.guard.contents import Contents
from everpost.guard.learn.texts import gapped, hosts, markup_marks, visible, words
from everpost.mail.addresslist import HeaderAddress
from everpost.mail.header import Header, as_addresses, as_text, flatten

VERSION: Final = 1
"""Of the way features are made; lessons of another version are not mixed with those of this one."""
MAX_FEATURES: Final = 1000  # different ones of one message
MAX_WORDS: Final = 700  # of its texts together
MAX_TEXT: Final = 60_000  # letters of one text or page that are read
MAX_TEXTS: Final = 8
_MAX_SUBJECT_WORDS = 40
_MAX_LINKS = 60
_MAX_FILES = 20
_ENDING: Final = re.compile(r"[a-z0-9]{1,10}\Z")
_CHARSET: Final = re.compile(r'charset\s{0,3}=\s{0,3}"?([\w-]{1,30})')
_SAID: Final = (
    "mime-version", "content-type", "content-transfer-encoding", "message-id", "date", "to", "cc", "reply-to",
    "x-priority", "x-msmail-priority", "importance", "x-mimeole", "organization", "user-agent", "x-mailer",
)  # fmt: skip
"""Fields whose presence says something of the program that made the message."""


def feature_number(feature: str) -> int:
    """The number the model knows a feature by: CRC-32 of its UTF-8."""
    return crc32(feature.encode("utf-8", "replace"))


def features_of(header: Header, contents: Contents) -> tuple[str, ...]:
    """The different features of a message in the order found, at most `MAX_FEATURES`. Never raises."""
    found: dict[str, None] = {}
    for feature in _all(header, contents):
        found[feature] = None
        if len(found) >= MAX_FEATURES:
            break
    return tuple(found)


def _all(header: Header, contents: Contents) -> Iterator[str]:
    yield from _author(header)
    yield from _made(header, contents)
    subject = list(words(contents.subject, _MAX_SUBJECT_WORDS))
    yield from (f"subject:{word}" for word in subject)
    yield from (f"subject:{one} {other}" for one, other in pairwise(subject))
    if contents.subject.isupper():
        yield "subject is in capitals"
    yield from _attached(contents)
    texts = [text[:MAX_TEXT] for text in contents.texts[:MAX_TEXTS]]
    pages = [page[:MAX_TEXT] for page in contents.htmls[:MAX_TEXTS]]
    yield from _links((*texts, *pages))
    for page in pages:
        yield from (f"html:{mark}" for mark in markup_marks(page))
    yield from _said((*texts, *(visible(page) for page in pages)))


def _said(texts: Iterable[str]) -> Iterator[str]:
    """Words, and pairs of neighbours."""
    left = MAX_WORDS
    for text in texts:
        if left <= 0:
            return
        yield from (f"spaced out:{word}" for word in gapped(text))
        last = ""
        for word in words(text, left):
            left -= 1
            yield word
            if last:
                yield f"{last} {word}"
            last = word


def _author(header: Header) -> Iterator[str]:
    authors = _addresses(header, "from")
    for author in authors[:3]:
        yield from (f"from:{word}" for word in words(author.name or "", 8))
        yield from (f"from:{name}" for name in _domains(author.address))
        local = author.address.rpartition("@")[0]
        if sum(letter.isdigit() for letter in local) > 3:
            yield "from: digits in the address"
    mine = {author.address.rpartition("@")[2].lower() for author in authors}
    answers = {answer.address.rpartition("@")[2].lower() for answer in _addresses(header, "reply-to")}
    if answers:
        yield "reply-to: same domain" if answers <= mine else "reply-to: another domain"


def _addresses(header: Header, name: str) -> list[HeaderAddress]:
    field = header.first(name)
    return list(flatten(as_addresses(field.raw[:10_000]))[:20]) if field else []


def _domains(address: str) -> Iterator[str]:
    domain = address.rpartition("@")[2].lower()[:100]
    yield domain
    parts = domain.split(".")
    if len(parts) > 2:
        yield ".".join(parts[-2:])
    yield f".{parts[-1]}"


def _made(header: Header, contents: Contents) -> Iterator[str]:
    for name in _SAID:
        field = header.first(name)
        yield f"header:{name}" if field else f"header:no {name}"
    kind = header.first("content-type")
    if kind:
        yield from _typed(as_text(kind.raw[:500]).lower())
    recipients = len(_addresses(header, "to")) + len(_addresses(header, "cc"))
    yield f"header:{min(recipients, 4)} recipients"
    texts, pages, pictures = (min(len(each), 3) for each in (contents.texts, contents.htmls, contents.pictures))
    yield f"parts:{texts} texts {pages} pages {pictures} pictures"


def _typed(value: str) -> Iterator[str]:
    yield f"type:{value.partition(';')[0].strip()[:60]}"
    found = _CHARSET.search(value)
    if found:
        yield f"charset:{found[1]}"


def _attached(contents: Contents) -> Iterator[str]:
    for file in contents.files[:_MAX_FILES]:
        yield f"file:{file.type[:60].lower()}"
        ending = file.name[-40:].rpartition(".")[2].lower()
        if _ENDING.match(ending):
            yield f"file:.{ending}"


def _links(texts: Iterable[str]) -> Iterator[str]:
    left = _MAX_LINKS
    for text in texts:
        for host, path in hosts(text, left):
            left -= 1
            yield from (f"link:{name}" for name in _domains(host))
            yield from (f"link:/{word}" for word in words(path, 6))
