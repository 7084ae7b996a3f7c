"""What full text search knows of a message: folded words with places, header fields, sort keys. Pure.

Words are folded: case, accents and width do not count. Scripts that are written without spaces (and Hangul) are cut
into overlapping pairs of characters, so that every part of a sentence is found. A word of one address field stands
there a second time, marked with the field; so do the names of header fields.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from everpost.mail.bodies import body_lists
from everpost.mail.content import decode_text
from everpost.mail.header import Header, as_text
from everpost.mail.part import Part
from everpost.standby.summary import Person, Summary

MAX_BODY_OCTETS: Final = 256 * 1024
"""Of one body part; what follows is not searched."""
MAX_PLACES: Final = 16_000
"""Words of one message; PostgreSQL counts places up to 16383."""
MAX_WORD: Final = 60
MAX_WORD_OCTETS: Final = 300_000
"""Of the different words of one message; PostgreSQL takes a tsvector of 1 MB."""
MAX_HEADER_LETTERS: Final = 32_768
MAX_FIELD_LETTERS: Final = 1000
MAX_TERMS: Final = 20
_MAX_BODY_PARTS = 20
_MAX_NAMES = 200
_GAP = 5  # between two fields, so that no phrase reaches across
_UNSAID = frozenset(("dkim-signature", "arc-seal", "arc-message-signature", "x-google-dkim-signature"))

_WORD = re.compile(r"\w+")
_PAIRED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_PAIRED += "\U00020000-\U0003ffff"
_RUN = re.compile(f"[{_PAIRED}]+|[^{_PAIRED}]+")
_IS_PAIRED = re.compile(f"[{_PAIRED}]")
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th"})
_TAG = re.compile(r"<[^<>]*>")
_UNSEEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<(head|style|script|title)\b[^<>]*+>.*?(?:</\1\s*+>|\Z)", re.DOTALL | re.IGNORECASE
)
_QUOTED = re.compile(r'"([^"]*)"|(\S+)')
_SUBJECT_LEAD = re.compile(
    r"\s*+(?:(?:re|fwd?|aw|wg|tr|sv|vs|antw)\s*+(?:\[[^\[\]]{0,100}\])?\s*+:|\[[^\[\]]{0,100}\])"
)
_SUBJECT_TAIL = re.compile(r"(?:\s|\(fwd\))*\Z")


def fold(text: str) -> str:
    """The text as it is compared: without case, accents, vowel points and width."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", text.casefold())
    # Combining classes below 10 are parts of letters (nukta, kana voicing, virama), not marks upon them.
    bare = "".join(letter for letter in folded if unicodedata.combining(letter) < 10)
    return unicodedata.normalize("NFC", bare).translate(_LETTERS)


def is_paired(text: str) -> bool:
    """Whether there are letters in it of a script that is searched by pairs."""
    return not text.isascii() and _IS_PAIRED.search(text) is not None


def words(text: str) -> Iterator[str]:
    """The words of a text, folded; pairs of characters where a script needs it."""
    for match in _WORD.finditer(fold(text)):
        word = match.group()
        if word.isascii() or not _IS_PAIRED.search(word):
            yield word[:MAX_WORD]
            continue
        for run in _RUN.findall(word):
            if not _IS_PAIRED.match(run):
                yield run[:MAX_WORD]
                continue
            for place in range(len(run) - 1):
                yield run[place : place + 2]
            yield run[-1]


@dataclass(slots=True)
class _Vector:
    """Collects words with their places and weight, as PostgreSQL reads a tsvector."""

    places: dict[str, list[str]] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)
    place: int = 0
    octets: int = 0

    def add(self, text: str, weight: str, mark: str = "") -> None:
        for word in words(text):
            if self.place >= MAX_PLACES or self.octets >= MAX_WORD_OCTETS:
                return
            self.place += 1
            known = self.places.setdefault(word, [])
            if not known:
                self.octets += len(word.encode("utf-8", "ignore"))
            if len(known) < 250:
                known.append(f"{self.place}{weight}")
            if mark:
                known = self.places.setdefault(f"={mark}{word}", [])
                if len(known) < 250:
                    known.append(str(self.place))
        self.place += _GAP

    def text(self) -> str:
        words = [f"'{word}':{','.join(places)}" for word, places in self.places.items()]
        return " ".join([*words, *(f"'{mark}'" for mark in sorted(self.marks))])


@dataclass(frozen=True, slots=True)
class Indexed:
    """One message as `message_text` keeps it."""

    words: str
    header: str
    from_key: str
    to_key: str
    subject_key: str
    sent_at: datetime


def index_message(data: bytes, header: Header, root: Part, summary: Summary, received_at: datetime) -> Indexed:
    """`data` may end early: what is missing is not indexed. Never raises, whatever the bytes; bounded."""
    vector = _Vector()
    vector.add(summary.subject, "A")
    for mark, people in (("f", summary.from_), ("t", summary.to), ("c", summary.cc), ("b", summary.bcc)):
        for person in people:
            vector.add(person.name or "", "B", mark)
            vector.add(person.address, "B", mark)
    for part in list(root.walk())[:_MAX_NAMES]:
        if part.filename:
            vector.add(part.filename, "C")
    for text in body_texts(data, root):
        vector.add(text, "D")
    vector.marks = {f"=h{name}" for name in _names(header)}
    return Indexed(
        _storable(vector.text()), _storable(_header_text(header)), _person_key(summary.from_), _person_key(summary.to),
        _storable(base_subject(summary.subject)[:200]), summary.sent_at or received_at,
    )  # fmt: skip


def body_texts(data: bytes, root: Part) -> Iterator[str]:
    """What a person would read, part by part."""
    lists = body_lists(root)
    parts = {part.part_id: part for part in (*lists.text, *lists.html) if part.type in ("text/plain", "text/html")}
    for part in list(parts.values())[:_MAX_BODY_PARTS]:
        if part.body_start >= len(data):
            continue
        text = decode_text(data, part, limit=MAX_BODY_OCTETS)[0]
        yield visible_text(text) if part.type == "text/html" else text


def visible_text(markup: str) -> str:
    """HTML without its tags, roughly: for searching, not for showing."""
    return html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", markup)))


def base_subject(subject: str) -> str:
    """The base subject (RFC 5256 §2.1), folded, with the common prefixes of other languages."""
    text = fold(subject)[:1000].strip()
    while True:
        text = _SUBJECT_TAIL.sub("", text) if text.endswith(("(fwd)", " ")) else text
        lead = _SUBJECT_LEAD.match(text)
        if lead is None or not text[lead.end() :].strip():
            return " ".join(text.split())
        text = text[lead.end() :].strip()


def _person_key(people: tuple[Person, ...]) -> str:
    """RFC 8621 §4.4.2: the name of the first address, else the address."""
    return _storable(fold(people[0].name or people[0].address)[:200]) if people else ""


def _names(header: Header) -> set[str]:
    return {name for field in header.fields[:500] if (name := _field_name(field.key))}


def _field_name(key: str) -> str:
    return "".join(letter for letter in key.lower()[:100] if "!" <= letter <= "~" and letter not in "'\\")


def _header_text(header: Header) -> str:
    """Lines of "name:value", folded; values that say nothing to people are left out."""
    lines, left = [""], MAX_HEADER_LETTERS
    for item in header.fields:
        name = _field_name(item.key)
        value = "" if name in _UNSAID else fold(" ".join(as_text(item.raw).split()))[:MAX_FIELD_LETTERS]
        left -= len(name) + len(value) + 2
        if left < 0:
            break
        lines.append(f"{name}:{value}")
    return "\n".join(lines) + "\n"


def _storable(text: str) -> str:
    return text.encode("utf-8", "ignore").decode("utf-8").replace("\0", "")


# ---------------------------------------------------------------------- asking


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must follow each other; the last may be the beginning of a longer one unless it is `exact`."""

    words: tuple[str, ...]
    exact: bool


def terms(text: str) -> list[Term]:
    """What is asked for: words, and phrases in double quotes (RFC 8621 §4.4.1)."""
    found = []
    for match in list(_QUOTED.finditer(text))[:MAX_TERMS]:
        quoted = match.group(1) is not None
        folded = tuple(_asked(match.group(1) if quoted else match.group(2)))[:MAX_TERMS]
        if folded:
            found.append(Term(folded, quoted))
    return found


def _asked(text: str) -> Iterator[str]:
    """As `words`, but a run of pairs needs no last single character: the pair before says it."""
    known = list(words(text))
    for place, word in enumerate(known):
        single = len(word) == 1 and _IS_PAIRED.match(word)
        if single and place and len(known[place - 1]) == 2 and known[place - 1][1] == word:
            continue
        yield word


def tsquery(asked: Iterable[Term], *, weight: str = "", mark: str = "") -> str:
    """All of the terms as a tsquery; in the words of one weight, or in those that carry a field's mark."""
    return " & ".join(_one(term, weight, mark) for term in asked)


def _one(term: Term, weight: str, mark: str) -> str:
    lead = f"={mark}" if mark else ""
    pieces = []
    for place, word in enumerate(term.words):
        star = "*" if place == len(term.words) - 1 and not term.exact else ""
        label = star + weight
        pieces.append(f"'{lead}{word}'" + (f":{label}" if label else ""))
    return "(" + " <-> ".join(pieces) + ")"


def header_name_query(name: str) -> str:
    """That a message has a field of that name."""
    return f"'=h{_field_name(name)}'"


def header_pattern(name: str, value: str) -> str:
    """A PostgreSQL regular expression over the header text: a field of that name that contains the value."""
    return f"\n{_plain(_field_name(name))}:[^\n]*{_plain(fold(' '.join(value.split())))}"


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() or not c.isascii() else "\\" + c for c in text)
