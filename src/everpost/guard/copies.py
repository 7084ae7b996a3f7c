"""How delivery copies differ from the original because of the guard. The original stays as it came. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from everpost.auth.check import Authentication
from everpost.auth.results import NAME, results_field
from everpost.guard.model import Judgement, Verdict, Way
from everpost.mail.header import Header

VERDICT: Final = "X-Everpost-Verdict"
SPAM_FLAG: Final = "X-Spam-Flag"  # what mail servers and programs sort by
_OURS: Final = frozenset({NAME, VERDICT.lower(), SPAM_FLAG.lower(), "x-spam-status"})
_FLAGGED: Final = frozenset({Judgement.SPAM, Judgement.PHISHING, Judgement.MALWARE, Judgement.POLICY})

Cuts = tuple[int, ...]
"""Offsets into the original in pairs: from, to. Ascending, and never overlapping."""


def added_fields(verdict: Verdict, authentication: Authentication | None, authserv_id: str) -> bytes:
    """The fields to be put on top of a copy, with their line ends."""
    fields = b""
    if authentication is not None:
        fields += results_field(authentication.results(authserv_id))
    names = ", ".join(dict.fromkeys(each.kind for each in verdict.signals if each.weight))
    details = f" ({names})" if names else ""
    fields += _folded(f"{VERDICT}: {verdict.judgement} score={verdict.score:g}{details}")
    if verdict.judgement in _FLAGGED:
        fields += f"{SPAM_FLAG}: YES\r\n".encode()
    return fields


def cuts_of(header: Header, way: Way) -> Cuts:
    """Where in a stranger's message lie fields that only we may write (RFC 8601 §5): readers behind us believe them."""
    if way is not Way.INBOUND:
        return ()
    spans = [(field.start, field.end) for field in header.fields if field.key in _OURS]
    return tuple(offset for span in spans for offset in span)


def cut_octets(cuts: Cuts) -> int:
    """How much shorter a copy is."""
    return sum(end - start for start, end in _pairs(cuts))


def without(data: bytes, cuts: Cuts) -> bytes:
    """The octets of a copy."""
    if not cuts:
        return data
    kept, position = [], 0
    for start, end in _pairs(cuts):
        kept.append(data[position:start])
        position = end
    return b"".join((*kept, data[position:]))


class Cutter:
    """As `without`, for octets that come in chunks."""

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = list(_pairs(cuts))
        self._position = 0

    def feed(self, chunk: bytes) -> bytes:
        """What of the next chunk stays."""
        begun, self._position = self._position, self._position + len(chunk)
        if not self._cuts:
            return chunk
        kept, at = [], begun
        while self._cuts and self._cuts[0][0] < self._position:
            start, end = self._cuts[0]
            kept.append(chunk[at - begun : max(start - begun, at - begun)])
            at = max(at, min(end, self._position))
            if end > self._position:
                break
            del self._cuts[0]
        return b"".join((*kept, chunk[at - begun :]))


def _pairs(cuts: Cuts) -> Iterable[tuple[int, int]]:
    return zip(cuts[::2], cuts[1::2], strict=True)


def _folded(line: str, width: int = 76) -> bytes:
    """One field on lines of at most `width` characters where it has spaces to be folded at (RFC 5322 §2.2.3)."""
    lines, rest = [], line
    while len(rest) > width and (at := rest.rfind(" ", 1, width)) > 0:
        lines.append(rest[:at])
        rest = rest[at:]
    lines.append(rest)
    return ("\r\n".join(lines) + "\r\n").encode()
