"""How delivery copies differ from the original because of the guard. The original stays as it came. Pure."""

from __future__ import annotations

from typing import Final

from everpost.auth.check import Authentication
from everpost.auth.results import NAME, results_field
from everpost.guard.kinds import kind_of
from everpost.guard.model import Group, Judgement, Signal, Verdict, Way
from everpost.mail.edits import Edit, Edits
from everpost.mail.header import Header

VERDICT: Final = "X-Everpost-Verdict"
SPAM_FLAG: Final = "X-Spam-Flag"  # what mail servers and programs sort by
_OURS: Final = frozenset({NAME, VERDICT.lower(), SPAM_FLAG.lower(), "x-spam-status"})
_FLAGGED: Final = frozenset({Judgement.SPAM, Judgement.PHISHING, Judgement.MALWARE, Judgement.POLICY})


def added_fields(verdict: Verdict, authentication: Authentication | None, authserv_id: str) -> bytes:
    """The fields to be put on top of a copy, with their line ends."""
    fields = b""
    if authentication is not None:
        fields += results_field(authentication.results(authserv_id))
    names = ", ".join(dict.fromkeys(each.kind for each in verdict.signals if each.weight or _unseen(each)))
    details = f" ({names})" if names else ""
    fields += _folded(f"{VERDICT}: {verdict.judgement} score={verdict.score:g}{details}")
    if verdict.judgement in _FLAGGED:
        fields += f"{SPAM_FLAG}: YES\r\n".encode()
    return fields


def _unseen(each: Signal) -> bool:
    """Whether it says that something was not looked at: readers are told, though it weighs nothing."""
    kind = kind_of(each.kind)
    return kind is not None and kind.group is Group.FAULT


def strangers_results(header: Header, way: Way) -> Edits:
    """Leaves out of a stranger's message the fields that only we may write (RFC 8601 §5): readers behind us believe
    them.
    """
    if way is not Way.INBOUND:
        return ()
    return tuple(Edit(field.start, field.end) for field in header.fields if field.key in _OURS)


def _folded(line: str, width: int = 76) -> bytes:
    """One field on lines of at most `width` characters where it has spaces to be folded at (RFC 5322 §2.2.3)."""
    lines, rest = [], line
    while len(rest) > width and (at := rest.rfind(" ", 1, width)) > 0:
        lines.append(rest[:at])
        rest = rest[at:]
    lines.append(rest)
    return ("\r\n".join(lines) + "\r\n").encode()
