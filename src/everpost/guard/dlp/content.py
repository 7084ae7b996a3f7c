"""The values of the policy condition `content`: what is looked for, and from how many of it on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from everpost.guard.dlp.marks import Mark
from everpost.guard.dlp.numbers import IDENTITIES, cards, ibans, identities
from everpost.mail.header import Header

ContentTest = Callable[["Searched"], bool]
_NUMBERS: Final = re.compile(r"(iban|card|national-id(?::([A-Za-z]{2}))?)\s*(?:>=\s*([1-9][0-9]{0,5}))?\s*\Z")


class Searched:
    """A message that is looked through: each kind of number once, when it is first asked for."""

    def __init__(self, header: Header, subject: str, text: str) -> None:
        self.header = header
        self.subject = subject
        self.text = text
        self._found: dict[str, int] = {}

    def count(self, kind: str) -> int:
        """How many different numbers of a kind there are: `iban`, `card`, or a country's."""
        if kind not in self._found:
            self._found[kind] = len(_find(kind, self.text))
        return self._found[kind]


def content_test(value: str) -> ContentTest:
    """`iban`, `card >= 3`, `national-id:DE`, `national-id` (of any country known), `mark:Confidential`.

    Raises `ValueError`, with what would be right.
    """
    if value.lower().startswith("mark:"):
        mark = Mark(value[5:].strip())
        return lambda searched: mark.is_in(searched.header, searched.subject, searched.text)
    found = _NUMBERS.match(value.strip())
    if found is None:
        raise ValueError(f"{value!r} is none of iban, card, national-id:DE, mark:Confidential; numbers also iban >= 5")
    least = int(found[3] or 1)
    if found[1] in ("iban", "card"):
        kind = found[1]
        return lambda searched: searched.count(kind) >= least
    countries = [found[2].upper()] if found[2] else sorted(IDENTITIES)
    if countries[0] not in IDENTITIES:
        raise ValueError(f"{value!r}: no numbers are known of {countries[0]}, only of {', '.join(sorted(IDENTITIES))}")
    return lambda searched: sum(map(searched.count, countries)) >= least


def _find(kind: str, text: str) -> frozenset[str]:
    if kind == "iban":
        return ibans(text)
    return cards(text) if kind == "card" else identities(text, kind)
