"""Attached messages (message/rfc822) and messages that Outlook has saved (.msg): their parts and attachments."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.binary import Malformed
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.oldforms import files_within
from everpost.mail.header import parse_header
from everpost.mail.mime import decode_body, scan

_MAX_PARTS: Final = 500
_MBOX: Final = re.compile(rb"\AFrom [^\n]*\n")
_EXTENSIONS: Final = {"text/html": "html", "message/rfc822": "eml", "image/svg+xml": "svg", "text/calendar": "ics"}
_MSG_ATTACHMENT: Final = "__attach_version1.0_"
_MSG_DATA, _MSG_LONG_NAME, _MSG_NAME = "__substg1.0_37010102", "__substg1.0_3707001F", "__substg1.0_3704001F"
_MSG_LONG_NAME_8, _MSG_NAME_8 = "__substg1.0_3707001E", "__substg1.0_3704001E"


def unpack_mail(item: Item, context: Context) -> Iterator[Child]:
    """The leaves of a message but for its plain text; files that are encoded within plain text."""
    begin = _MBOX.match(item.data)
    data = item.data[begin.end() :] if begin else item.data
    root = scan(data, parse_header(data), max_parts=_MAX_PARTS, descend_messages=True)
    pending, number = [root], 0
    while pending:
        part = pending.pop()
        if part.children:
            pending.extend(reversed(part.children))
            continue
        number += 1
        content = decode_body(data, part)
        if part.type == "text/plain" and not part.filename:
            yield from _within(content, context)
            continue
        context.budget.take(len(content))
        yield Child(part.filename or f"part {number}.{_EXTENSIONS.get(part.type, 'bin')}", content)


def _within(text: bytes, context: Context) -> Iterator[Child]:
    """As before MIME, and as some readers still show it."""
    for name, content in files_within(text):
        context.budget.take(len(content))
        yield Child(name, content)


def unpack_msg(item: Item, context: Context) -> Iterator[Child]:
    """[MS-OXMSG]: attachments are storages; their names and contents streams."""
    import olefile

    with olefile.OleFileIO(io.BytesIO(item.data)) as ole:
        for entry in ole.listdir(streams=False, storages=True):
            if not entry[-1].startswith(_MSG_ATTACHMENT):
                continue
            path = list(entry)
            name = ""
            for stream, encoding in (
                (_MSG_LONG_NAME, "utf-16-le"),
                (_MSG_LONG_NAME_8, "cp1252"),
                (_MSG_NAME, "utf-16-le"),
                (_MSG_NAME_8, "cp1252"),
            ):
                if not name and ole.exists([*path, stream]):
                    name = ole.openstream([*path, stream]).read().decode(encoding, "replace").rstrip("\0")
            if ole.exists([*path, _MSG_DATA]):
                if ole.get_size([*path, _MSG_DATA]) > len(item.data):
                    raise Malformed("an attachment larger than the file")
                data = ole.openstream([*path, _MSG_DATA]).read()
                context.budget.take(len(data))
                yield Child(name or path[-1], data)
