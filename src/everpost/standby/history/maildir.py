"""Maildir with the folders of Maildir++: flags from the file name, folders by dots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from imapclient.imap_utf7 import decode as decode_utf7

from everpost.standby.history.files import read_message
from everpost.standby.history.model import (
    Found,
    HistoryFailure,
    HistoryFolder,
    LeftOut,
    Mark,
    Reading,
    Unreadable,
    inbox_last,
    item_of,
    sensible_date,
    usual_role,
)
from everpost.standby.model import ANSWERED, DRAFT, FLAGGED, FORWARDED, SEEN, Role

_FLAGS = {"S": SEEN, "R": ANSWERED, "F": FLAGGED, "D": DRAFT, "P": FORWARDED}
_TIME = re.compile(r"(\d{9,11})\.")


class MaildirSource:
    """A Maildir. The Inbox is its top (`cur` and `new`), other folders `.Name` or `.Name.Below`.

    Dovecot's own keywords (letters a–z) are read from `dovecot-keywords`. Names are in modified UTF-7 (RFC 3501 §5.1.3)
    or UTF-8.
    """

    is_whole = True
    is_rebuilt = False

    def __init__(self, top: Path) -> None:
        self._top = top
        self._folders: dict[str, Path] = {}
        self.name = f"maildir:{top.resolve()}"

    def folders(self) -> list[HistoryFolder]:
        if not (self._top / "cur").is_dir():
            raise HistoryFailure(f"{self._top} is no Maildir: it has no folder cur")
        found = []
        try:
            for folder in (self._top, *(each for each in self._top.iterdir() if each.name.startswith("."))):
                if not (folder / "cur").is_dir():
                    continue
                place = "" if folder == self._top else folder.name
                path = _path_of(place)
                role = Role.INBOX if not place else usual_role(path)
                self._folders[place] = folder
                found.append(HistoryFolder(place, path, role, len(_files(folder))))
        except OSError as error:
            raise HistoryFailure(str(error)) from error
        return inbox_last(found)

    def read(self, folder: HistoryFolder, mark: Mark) -> Iterator[Reading]:
        where = self._folders[folder.place]
        try:
            letters = _keyword_letters(where)
            files = _files(where)
        except OSError as error:
            raise HistoryFailure(str(error)) from error
        for file in files:
            name, _, info = file.name.partition(":2,")
            item = item_of(name)
            if item in mark.items:
                continue
            if "T" in info:
                yield LeftOut(item=item)
                continue
            yield self._reading(file, name, item, _keywords(info, letters))

    def close(self) -> None:
        pass

    def _reading(self, file: Path, name: str, item: int, keywords: frozenset[str]) -> Reading:
        label = str(file.relative_to(self._top))
        try:
            content, written = read_message(file)
        except (OSError, ValueError) as error:
            return Unreadable(label, str(error))
        # The file's time is INTERNALDATE, unless the copying lost it; the name says when the file was made.
        made = _TIME.match(name)
        moments = [written] + ([datetime.fromtimestamp(int(made[1]), UTC)] if made else [])
        return Found(label, content, sensible_date(min(moments), written), keywords, item=item)


def _path_of(place: str) -> tuple[str, ...]:
    if not place:
        return (Role.INBOX.folder_name,)
    try:
        text = str(decode_utf7(place[1:].encode("utf-8", "surrogateescape"))) if place.isascii() else place[1:]
    except (ValueError, LookupError):
        text = place[1:]
    return tuple(part for part in text.split(".") if part) or (place,)


def _files(folder: Path) -> list[Path]:
    found = []
    for below in ("cur", "new"):
        if (folder / below).is_dir():
            found += [file for file in (folder / below).iterdir() if not file.name.startswith(".")]
    return sorted(found, key=lambda file: file.name)


def _keyword_letters(folder: Path) -> dict[str, str]:
    """Lines `0 $Label1` of dovecot-keywords: 0 is the letter a."""
    letters: dict[str, str] = {}
    file = folder / "dovecot-keywords"
    if file.is_file():
        for line in file.read_text("utf-8", "replace").splitlines()[:26]:
            number, _, keyword = line.partition(" ")
            if number.isdecimal() and int(number) < 26 and keyword:
                letters[chr(ord("a") + int(number))] = keyword
    return letters


def _keywords(info: str, letters: dict[str, str]) -> frozenset[str]:
    known = _FLAGS | letters
    return frozenset(known[letter] for letter in info if letter in known)
