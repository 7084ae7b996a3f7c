"""What the stand-in's IMAP server answers with: items of FETCH, names of folders."""

from __future__ import annotations

import re
from collections.abc import Iterable

from everpost.app.demo.standin.parser import BadCommand, Section
from everpost.app.demo.standin.store import Row


def render(item: str | Section, row: Row, content: tuple[bytes, bytes]) -> bytes:
    """One item with its value; `content` is header section and body, looked at for sections only."""
    if isinstance(item, Section):
        data = section_bytes(item, *content)
        return b"%b {%d}\r\n%b" % (item.label.encode("utf-8"), len(data), data)
    if item == "UID":
        return b"UID %d" % row.uid
    if item == "FLAGS":
        return f"FLAGS ({' '.join(sorted(row.flags))})".encode()
    if item == "INTERNALDATE":
        return f'INTERNALDATE "{row.date}"'.encode()
    return b"RFC822.SIZE %d" % row.size


def section_bytes(section: Section, head: bytes, body: bytes) -> bytes:
    """The octets a section names."""
    if section.part == "":
        data = head + body
    elif section.part == "TEXT":
        data = body
    elif section.part == "HEADER":
        data = head
    else:
        data = some_fields(head, section.fields, inverted=section.part.endswith(".NOT"))
    if section.partial is None:
        return data
    start, octets = section.partial
    return data[start : start + octets]


def some_fields(head: bytes, fields: Iterable[str], *, inverted: bool) -> bytes:
    """Chosen header fields as they stand, with an empty line at the end (RFC 3501 §6.4.5)."""
    kept, taking = [], False
    for line in head.split(b"\r\n"):
        if not line:
            continue
        if line[:1] not in (b" ", b"\t"):
            name = line.partition(b":")[0].strip().lower().decode("latin-1")
            taking = (name in fields) is not inverted
        if taking:
            kept.append(line + b"\r\n")
    return b"".join(kept) + b"\r\n"


def list_pattern(text: str) -> re.Pattern[str]:
    """A LIST pattern: `*` matches anything, `%` anything within a level. Runs of wildcards count as one."""
    text = re.sub(r"[*%]*\*[*%]*", "*", re.sub("%+", "%", text[:500]))
    if text.count("*") + text.count("%") > 5:
        raise BadCommand("too many wildcards")
    return re.compile(re.escape(text).replace(r"\*", ".*").replace("%", "[^/]*"), re.IGNORECASE)


def quoted(name: str) -> str:
    """A folder's name as a quoted string."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
