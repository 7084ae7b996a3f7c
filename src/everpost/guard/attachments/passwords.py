"""Passwords for encrypted attachments, as they stand in the words of the message, the most likely first."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from everpost.guard.attachments.budget import Budget

MAX_TEXT: Final = 200_000
MAX_CANDIDATES: Final = 1500
MAX_LENGTH: Final = 64

_WORDS: Final = (
    r"pass(?:word|wort|code|phrase|code)?|kennwort|losung|codewort|zugangscode|mot\s+de\s+passe|mdp|contrase[nñ]a|clave|"
    r"senha|palavra-passe|wachtwoord|has[łl]o|l[öo]senord|adgangskode|passord|salasana|heslo|jelsz[óo]|parola|"
    r"пароль|код|şifre|pwd|pw|pin|code|key|κωδικός|密码|密碼|パスワード|암호"
)
# The word, then at most a few others, then what is given: "password: x", "The password for the file is x".
_NEAR: Final = re.compile(rf"(?:{_WORDS})\b(?=([^\n]{{0,200}}\n?[^\n]{{0,200}}\n?[^\n]{{0,200}}))", re.IGNORECASE)
_AFTER_COLON: Final = re.compile(
    r"[:=→>]\s*(?:is\s+|ist\s+|est\s+)?(\S{1,64})|\b(?:is|ist|est|es|è|är|lautet)\s*:?\s+(\S{1,64})"
)
_QUOTED: Final = re.compile(
    r"[\"'“”„‚‘’«»`*\[\](<]([^\s\"'“”„‚‘’«»`*\[\]()<>][^\"'“”„‚‘’«»`*\[\]()<>\n]{0,63})[\"'“”„‘’«»`*\[\])>]"
)
_TOKEN: Final = re.compile(r"\S{1,80}")
_EDGES: Final = ".,;:!?\"'“”„‚‘’«»`*()[]<>…"
USUAL: Final = ("infected", "1234", "12345", "123456", "password", "123", "0000", "1111", "VelvetSweatshop")


class Passwords:
    """The candidates of one message, and those that have opened something."""

    def __init__(self, texts: Iterable[str], budget: Budget) -> None:
        self._budget = budget
        self._texts = tuple(texts)
        self._found: list[str] = []
        self._candidates: tuple[str, ...] | None = None
        self._names: list[str] = []

    def add_name(self, name: str) -> None:
        """The name of a file may be its password."""
        if len(self._names) < 20:
            self._names.append(name)

    def opens(self, test: Callable[[str], bool]) -> str | None:
        """The first candidate that `test` says opens it; None when none does or the tries are used up."""
        for candidate in self._all():
            if not self._budget.may_try():
                return None
            started = time.monotonic()
            try:
                if test(candidate):
                    if candidate not in self._found:
                        self._found.insert(0, candidate)
                    return candidate
            finally:
                self._budget.tried(time.monotonic() - started)
        return None

    def stands_in_text(self, password: str) -> bool:
        return any(password in text for text in self._texts)

    def _all(self) -> Iterator[str]:
        if self._candidates is None:
            self._candidates = tuple(find_candidates(self._texts))
        seen: set[str] = set()
        names = [form for name in self._names for form in (name, name.rsplit(".", 1)[0])]
        for candidate in (*self._found, *self._candidates[:40], *USUAL, *names, *self._candidates[40:]):
            if candidate and candidate not in seen:
                seen.add(candidate)
                yield candidate


def find_candidates(texts: Iterable[str]) -> list[str]:
    """What could be a password, the likely first: after a word for it, quoted, with digits, then every other word."""
    near: dict[str, None] = {}
    quoted: dict[str, None] = {}
    mixed: dict[str, None] = {}
    others: dict[str, None] = {}
    for text in texts:
        text = text[:MAX_TEXT]
        for position in _NEAR.finditer(text, 0, MAX_TEXT):
            near.update(dict.fromkeys(_given(position[1][:250])))
            if len(near) > MAX_CANDIDATES:
                break
        quoted.update(dict.fromkeys(match[1].strip() for match in _QUOTED.finditer(text)))
        for token in _TOKEN.findall(text):
            bare = token.strip(_EDGES)
            kind = mixed if any(map(str.isdigit, bare)) and len(bare) <= 24 else others
            if 3 <= len(bare) <= 32:
                kind[bare] = None
            if len(mixed) + len(others) > MAX_CANDIDATES:
                break
    ordered = dict.fromkeys((*near, *quoted, *mixed, *others))
    return [word for word in ordered if 0 < len(word) <= MAX_LENGTH][:MAX_CANDIDATES]


def _given(line: str) -> Iterator[str]:
    """What follows the word for a password, as it stands and without the punctuation around it."""
    for match in _AFTER_COLON.finditer(line):
        token = match[1] or match[2] or ""
        yield from _forms(token)
    for match in _QUOTED.finditer(line):
        yield match[1]
    for token in _TOKEN.findall(line)[:8]:
        yield from _forms(token)


def _forms(token: str) -> Iterator[str]:
    bare = token.strip(_EDGES)
    if bare:
        yield bare
    final = token.rstrip(".,;")
    if final not in (bare, token):
        yield final
    if token != bare:
        yield token
