"""Marks of classification: what a message says of itself, in fields that programs write and as people write it."""

from __future__ import annotations

import re
from typing import Final

from everpost.mail.header import Header, as_text

MAX_MARK: Final = 100
FIELDS: Final = (
    "sensitivity",  # RFC 4021 §2.1.55
    "classification",
    "x-classification",
    "x-protective-marking",
    "x-label",
    "security-label",
    "x-titus-metadata",
    "msip_labels",  # Microsoft Purview
    "x-ms-exchange-organization-classification",
    "keywords",
)
_SPACES: Final = re.compile(r"\s+")
_LEAD: Final = (
    r"(?:(?:security )?classification|classified|klassifizierung|einstufung|vertraulichkeit|sensitivity|marking"
    r"|clasificaci[oó]n|classifica(?:tion|zione))"
)


class Mark:
    """One mark, as `Confidential`. It counts where it is a label, not where somebody writes about it: in a field of
    `FIELDS`, in square brackets, at the start of the subject, after "Classification:", or alone on a line.
    """

    def __init__(self, text: str) -> None:
        """Raises `ValueError` for an empty or long one."""
        words = text.split()
        if not words or len(text) > MAX_MARK:
            raise ValueError(f"a mark has 1 to {MAX_MARK} characters")
        mark = r"[ \t_-]{1,3}".join(map(re.escape, words))
        whole = rf"(?<!\w){mark}(?!\w)"
        self._anywhere = re.compile(whole, re.IGNORECASE)
        self._subject = re.compile(
            rf"\[[^\[\]]{{0,40}}{whole}[^\[\]]{{0,40}}\]|^\W{{0,10}}(?:[a-z]{{2,3}}: ?){{0,3}}{whole} ?(?::|-|\||$)",
            re.I,
        )
        self._body = re.compile(
            rf"^[^\w\n]{{0,20}}(?:{_LEAD}[ \t]{{0,3}}[:=-]?[ \t]{{0,3}})?{whole}[^\w\n]{{0,20}}$"
            rf"|\[[ \t]{{0,3}}{whole}[ \t]{{0,3}}\]|{_LEAD}[ \t]{{0,3}}[:=][ \t]{{0,3}}{whole}",
            re.IGNORECASE | re.MULTILINE,
        )

    def is_in(self, header: Header, subject: str, text: str) -> bool:
        """Whether a message bears it."""
        fields = (_SPACES.sub(" ", as_text(field.raw)[:4000]) for name in FIELDS for field in header.all(name)[:10])
        return (
            any(self._anywhere.search(field) for field in fields)
            or self._subject.search(subject[:1000]) is not None
            or self._body.search(text) is not None
        )
