"""Address lists of header fields (RFC 5322 §3.4 and §4.4), read in one pass over their tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from everpost.mail.charset import clean, decode_loosely
from everpost.mail.words import WORD_PATTERN, decode_words

MAX_ADDRESSES: Final = 10_000

# Encoded words come first: many senders put a comma into one, unencoded.
_TOKEN = re.compile(
    rf'(?P<space>\s++)|(?P<atom>{WORD_PATTERN}|(?:(?!=\?)[^\s"(),:;<>@\[\]]|=\?)++)|(?P<mark>[,;:<>@])'
    r'|(?P<quoted>"(?:[^"\\]|\\.)*+"?+)|(?P<comment>\()|(?P<literal>\[[^\[\]]*+\]?+)|(?P<other>.)',
    re.DOTALL,
)
_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class HeaderAddress:
    """One mailbox of a header field: the decoded display name, and the addr-spec as it was written.

    What was written need not be an address: show it, never route by it.
    """

    name: str | None
    address: str


@dataclass(frozen=True, slots=True)
class HeaderGroup:
    """A named group (RFC 5322 §3.4), such as "undisclosed-recipients:;"."""

    name: str
    addresses: tuple[HeaderAddress, ...]


def as_addresses(raw: bytes) -> tuple[HeaderAddress | HeaderGroup, ...]:
    """The GroupedAddresses form of RFC 8621 §4.1.2.4: mailboxes and groups in order, at most 10,000 mailboxes.

    Never raises. A mailbox without an "@" keeps its text as the address.
    """
    text = clean(decode_loosely(raw))
    return _Reader(text).read()


def flatten(items: tuple[HeaderAddress | HeaderGroup, ...]) -> tuple[HeaderAddress, ...]:
    """The Addresses form of RFC 8621 §4.1.2.3: every mailbox, groups dissolved."""
    flat: list[HeaderAddress] = []
    for item in items:
        if isinstance(item, HeaderGroup):
            flat.extend(item.addresses)
        else:
            flat.append(item)
    return tuple(flat)


class _Word:
    """Tokens without white space between them; lists, because joining strings one by one takes quadratic time."""

    __slots__ = ("has_at", "plain", "written")

    def __init__(self) -> None:
        self.plain: list[str] = []
        self.written: list[str] = []  # quotes included
        self.has_at = False

    def add(self, token: str, *, quoted: bool) -> None:
        self.written.append(token)
        self.plain.append(_unquote(token) if quoted else token)
        self.has_at = self.has_at or "@" in token

    def takes(self, piece: str) -> bool:
        """Whether the piece belongs to this word in spite of white space, as around "@" and the dots of a
        domain (RFC 5322 §4.4).
        """
        last = self.written[-1]
        return piece == "@" or last == "@" or (self.has_at and (piece[0] == "." or last[-1] == "."))


class _Reader:
    """Collects the tokens of one mailbox until a separator ends it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[HeaderAddress | HeaderGroup] = []
        self.group: str | None = None
        self.members: list[HeaderAddress] = []
        self.count = 0
        self._clear()

    def _clear(self) -> None:
        self.words: list[_Word] = []  # what stands outside angle brackets
        self.comments: list[str] = []
        self.angle: list[str] | None = None
        self.in_angle = False
        self.glue = False  # no white space since the last token

    def read(self) -> tuple[HeaderAddress | HeaderGroup, ...]:
        text, position, size = self.text, 0, len(self.text)
        match = _TOKEN.match
        while position < size and self.count < MAX_ADDRESSES:
            token = match(text, position)
            if token is None:  # cannot happen: the last alternative takes anything
                break
            position = token.end()
            kind = token.lastgroup
            if kind == "space":
                self.glue = False
            elif kind == "comment":
                position = self._comment(position)
            elif kind == "mark":
                self._mark(token[0])
            else:
                self._word(token[0], quoted=kind == "quoted")
        self._flush()
        self._end_group()
        return tuple(self.items)

    def _word(self, token: str, *, quoted: bool) -> None:
        if self.in_angle and self.angle is not None:
            self.angle.append(token)
            return
        if not (self.words and (self.glue or self.words[-1].takes(token))):
            self.words.append(_Word())
        self.words[-1].add(token, quoted=quoted)
        self.glue = True

    def _mark(self, mark: str) -> None:
        if self.in_angle:
            self._mark_in_angle(mark)
        elif mark == "<":
            self.angle = [] if self.angle is None else self.angle
            self.in_angle = True
            self.glue = False
        elif mark == ",":
            self._flush()
        elif mark == ";":
            self._flush()
            self._end_group()
        elif mark == ":" and self._begins_group():
            self._end_group()
            self.group = decode_words(_text(self.words))
            self._clear()
        elif mark != ">":
            self._word(mark, quoted=False)

    def _mark_in_angle(self, mark: str) -> None:
        assert self.angle is not None
        if mark == ">":
            self.in_angle = False
        elif mark == "," and not (self.angle and self.angle[0] == "@"):
            self._flush()  # "<a@example.org, b@example.org": the bracket was never closed
        elif mark == "<":
            self.angle.clear()
        else:
            self.angle.append(mark)

    def _begins_group(self) -> bool:
        return self.angle is None and bool(self.words) and not any(word.has_at for word in self.words)

    def _comment(self, position: int) -> int:
        """Read a comment, nested ones included, from after its first bracket; gives the position after it."""
        depth, start = 1, position
        for match in _IN_COMMENT.finditer(self.text, position):
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            if depth == 0:
                self.comments.append(self.text[start : match.start()])
                return match.end()
        self.comments.append(self.text[start:])
        return len(self.text)

    def _flush(self) -> None:
        if self.angle is not None:
            self._add(self._name_from(self.words), _addr_spec("".join(self.angle)))
        elif self.words:
            self._add_bare()
        self._clear()

    def _add_bare(self) -> None:
        """No angle brackets: the word with an "@" is the address, what is left its name."""
        for number, word in enumerate(self.words):
            if word.has_at:
                rest = self.words[:number] + self.words[number + 1 :]
                self._add(self._name_from(rest), "".join(word.written))
                return
        self._add(self._name_from([]), decode_words(_text(self.words)))

    def _name_from(self, words: list[_Word]) -> str | None:
        text = _text(words) or " ".join(map(_unescape, self.comments))
        return _SPACES.sub(" ", decode_words(text)).strip() or None

    def _add(self, name: str | None, address: str) -> None:
        if not address and name is None:
            return
        self.count += 1
        mailbox = HeaderAddress(name, address)
        if self.group is None:
            self.items.append(mailbox)
        else:
            self.members.append(mailbox)

    def _end_group(self) -> None:
        if self.group is not None:
            self.count += 1  # empty groups count too, or their number had no limit
            self.items.append(HeaderGroup(self.group, tuple(self.members)))
            self.group = None
            self.members = []


def _text(words: list[_Word]) -> str:
    return " ".join("".join(word.plain) for word in words)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _unquote(token: str) -> str:
    inner = token[1:-1] if len(token) > 1 and token.endswith('"') else token[1:]
    return _unescape(inner)


def _addr_spec(text: str) -> str:
    """Without the source route of RFC 5322 §4.4."""
    if text.startswith("@") and ":" in text:
        return text.rpartition(":")[2]
    return text
