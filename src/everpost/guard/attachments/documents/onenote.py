"""OneNote sections ([MS-ONESTORE]): the files that lie in them, where a click starts them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.binary import little
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.filetypes import PICTURES, FileType, detect
from everpost.guard.attachments.model import FindingKind

_FILE_DATA: Final = uuid.UUID("BDE316E7-2665-4511-A4C4-8D4D0B7A9EAC").bytes_le
_HEADER: Final = 36
_MAX_FILES: Final = 500
_HARMLESS: Final = PICTURES | {FileType.UNKNOWN, FileType.MEDIA}


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """Every FileDataStoreObject (§2.6.13). Their names stand elsewhere; those of programs are shown as they are."""
    position = -1
    for number in range(1, _MAX_FILES + 1):
        position = item.data.find(_FILE_DATA, position + 1)
        if position < 0:
            return
        size = little(item.data, position + 16, 8)
        data = item.data[position + _HEADER : position + _HEADER + size]
        context.budget.take(len(data))
        kind = detect(data)
        if kind not in _HARMLESS:
            context.find(FindingKind.ONENOTE_EMBEDDED, item.path, f"an embedded file ({kind})")
        yield Child(f"file {number}", data)
    context.find(FindingKind.TOO_MANY, item.path, f"more than {_MAX_FILES} files")
