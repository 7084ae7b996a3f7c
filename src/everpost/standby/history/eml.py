"""Folders of .eml files, as mail programs export them: a folder for each folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from everpost.mail.dates import as_date
from everpost.mail.header import parse_header
from everpost.standby.history.files import read_message
from everpost.standby.history.mbox import keywords_of
from everpost.standby.history.model import (
    Found,
    HistoryFailure,
    HistoryFolder,
    Mark,
    Reading,
    Unreadable,
    item_of,
    sensible_date,
    usual_role,
)
from everpost.standby.model import DRAFT, SEEN, Role


class EmlSource:
    """All .eml files of a folder and of those in it. Files at the top stand in a folder named after it, or `path`.

    A message without any word about whether it was read counts as read, unless `unread`.
    """

    is_whole = False
    is_rebuilt = False

    def __init__(self, top: Path, path: tuple[str, ...] | None = None, *, unread: bool = False) -> None:
        self._top = top
        self._path = path
        self._unread = unread
        self.name = f"eml:{top.resolve()}"

    def folders(self) -> list[HistoryFolder]:
        if not self._top.is_dir():
            raise HistoryFailure(f"{self._top} is no folder")
        found = []
        for where, below, names in os.walk(self._top):
            below.sort()
            count = sum(_is_message(name) for name in names)
            if count:
                place = os.path.relpath(where, self._top)
                parts = () if place == "." else Path(place).parts
                path = ((*self._path, *parts) if self._path else parts) or (self._top.resolve().name or "Import",)
                found.append(HistoryFolder(place, path, usual_role(path), count))
        if not found:
            raise HistoryFailure(f"there are no .eml files in {self._top}")
        return found

    def read(self, folder: HistoryFolder, mark: Mark) -> Iterator[Reading]:
        where = self._top / folder.place
        try:
            names = sorted(file.name for file in where.iterdir() if _is_message(file.name))
        except OSError as error:
            raise HistoryFailure(str(error)) from error
        for name in names:
            item = item_of(name)
            if item not in mark.items:
                yield self._reading(where / name, item, folder)

    def close(self) -> None:
        pass

    def _reading(self, file: Path, item: int, folder: HistoryFolder) -> Reading:
        label = str(file.relative_to(self._top))
        try:
            content, written = read_message(file)
        except (OSError, ValueError) as error:
            return Unreadable(label, str(error))
        header = parse_header(content)
        keywords = keywords_of(header)
        if keywords is None:
            keywords = frozenset() if self._unread else frozenset((SEEN,))
        if folder.role is Role.DRAFTS or header.first("x-unsent") is not None:
            keywords |= {DRAFT}
        field = header.first("date")
        sent = as_date(field.raw) if field else None  # the file's time is often that of the export
        return Found(label, content, sensible_date(sent, written), keywords, item=item)


def _is_message(name: str) -> bool:
    return name.lower().endswith(".eml") and not name.startswith(".")
