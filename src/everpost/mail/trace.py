"""Our Received fields (RFC 5321 §4.4), and what the ones before ours tell."""

from __future__ import annotations

import re
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from everpost.mail.header import Header

_MAX_WORD: Final = 255
_LINE: Final = 78
# Everything that could end the field, open or close a comment, or look like the end of a clause.
_UNSAFE = re.compile(r"[^!-'*+\--:<-\[\]-~\u00a1-\ud7ff\ue000-\U0010ffff]+")
_UNSAFE_COMMENT = re.compile(r"[^ -'*-:<-\[\]-~]+")
_COMMENT = re.compile(rb"\((?:[^()\\]|\\.)*+\)", re.DOTALL)
_FROM = re.compile(rb"\s*+from\s++[^\s;]++", re.IGNORECASE)
_BY = re.compile(rb"(?:\A|[\s;])by\s++([^\s;()]++)", re.IGNORECASE)
_ID = re.compile(rb"\sid\s++([^\s;()]++)", re.IGNORECASE)
_MAX_FIELD: Final = 8192


def received(
    *,
    by: str,
    queue_id: str,
    from_helo: str,
    from_ip: str,
    from_rdns: str | None,
    protocol: str,
    tls: str | None,
    recipient: str | None,
    when: datetime,
) -> bytes:
    """One Received field, folded, with its final CRLF.

    `protocol` is a word of RFC 3848 or RFC 6531 (ESMTPSA, UTF8SMTPS …); `tls` describes the session, as
    "TLSv1.3 TLS_AES_256_GCM_SHA384"; `recipient` is given only where the transaction had a single one, so that
    nobody learns of another (RFC 5321 §7.2). Whatever the client said is stripped of all that could break out
    of its place. Raises `ValueError` for a time without a zone.
    """
    if when.tzinfo is None:
        raise ValueError("the time of a Received field needs a zone")
    literal = f"[IPv6:{_word(from_ip)}]" if ":" in from_ip else f"[{_word(from_ip)}]"
    source = f"({_word(from_rdns)} {literal})" if from_rdns else f"({literal})"
    clauses = ["Received:", "from", _word(from_helo), *source.split(" ")]
    if tls:
        clauses += f"(using {_comment(tls)})".split(" ")
    clauses += ["by", _word(by), "with", _word(protocol), "id", _word(queue_id)]
    if recipient:
        clauses += ["for", f"<{_word(recipient)}>"]
    clauses[-1] += ";"
    clauses += format_datetime(when).split(" ")
    return _folded(clauses).encode("utf-8", "replace") + b"\r\n"


def _word(text: str) -> str:
    return _UNSAFE.sub("", text[:_MAX_WORD]) or "unknown"


def _comment(text: str) -> str:
    return " ".join(_UNSAFE_COMMENT.sub(" ", text[:_MAX_WORD]).split())


def _folded(words: list[str]) -> str:
    lines, line = [], words[0]
    for word in words[1:]:
        if len(line) + 1 + len(word.encode("utf-8", "replace")) > _LINE:
            lines.append(line)
            line = f"\t{word}"
        else:
            line += f" {word}"
    return "\r\n".join([*lines, line])


def hops(header: Header) -> int:
    """How many servers say they have handled the message: the number of Received fields (RFC 5321 §6.3)."""
    return len(header.all("received"))


def passed_through(header: Header, hostname: str) -> int:
    """How many Received fields were stamped "by hostname"."""
    return sum(stamp[0] == hostname.lower() for stamp in _stamps(header))


def queue_ids(header: Header, hostname: str) -> tuple[str, ...]:
    """The ids in the Received fields stamped "by hostname", newest first."""
    name = hostname.lower()
    return tuple(identifier for by, identifier in _stamps(header) if by == name and identifier)


def _stamps(header: Header) -> list[tuple[str, str]]:
    """Host and id of every Received field. Comments do not count: a client could have put "by us" into one."""
    stamps: list[tuple[str, str]] = []
    for item in header.all("received"):
        text = item.raw[:_MAX_FIELD]
        for _ in range(3):
            if b"(" not in text:
                break
            text = _COMMENT.sub(b" ", text)
        client = _FROM.match(text)  # a client may call itself "by"
        by = _BY.search(text, client.end() if client else 0)
        if by is None:
            continue
        identifier = _ID.search(text, by.end())
        stamps.append(
            (
                by[1].decode("utf-8", "replace").lower().rstrip("."),
                identifier[1].decode("utf-8", "replace") if identifier else "",
            )
        )
    return stamps
