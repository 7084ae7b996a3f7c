"""What the standby service takes, gives and refuses. Pure values."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from everpost.mail.part import Part
from everpost.standby.model import Origin, Role
from everpost.standby.summary import Summary

MAX_FOLDERS = 1000
MAX_FOLDER_DEPTH = 10
MAX_FOLDER_NAME_OCTETS = 255
MAX_FOLDERS_OF_ENTRY = 50
MAX_KEYWORDS = 100

_KEYWORD = re.compile(r"[\x21-\x7e]{1,255}\Z")
_NOT_IN_KEYWORD = frozenset('(){]%*"\\')
_SYSTEM_FOLDERS = frozenset(role.folder_id for role in Role)


@dataclass(frozen=True, slots=True)
class Account:
    """A standby mailbox. Nothing is ever looked up without both numbers (DESIGN I7)."""

    organisation_id: int
    mailbox_id: int


class StandbyRefusal(Exception):
    """What was asked cannot be done; nothing was changed. The message is fit to be shown."""


class NoSuchThing(StandbyRefusal):
    """The mailbox has no such entry, folder or upload."""


class BadValue(StandbyRefusal):
    """A value that cannot be stored. `about` names it: keywords, folders, name, parent …"""

    def __init__(self, about: str, why: str) -> None:
        super().__init__(why)
        self.about = about


class AlreadyThere(StandbyRefusal):
    """There is a folder of that name beside it; `existing` is its number."""

    def __init__(self, existing: int) -> None:
        super().__init__("there is a folder of that name already")
        self.existing = existing


class NotPermitted(StandbyRefusal):
    """System folders stay as they are."""


class FolderHasChild(StandbyRefusal):
    """A folder with folders in it cannot go."""


class FolderHasEntries(StandbyRefusal):
    """A folder with entries in it goes only together with them."""


class ReadOnly(StandbyRefusal):
    """The primary is the master of this mailbox now: what is changed here would be lost."""


class OverLimit(StandbyRefusal):
    """A bound of the service was reached."""


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder. Counts are left at 0 where they were not asked for."""

    id: int
    parent_id: int | None
    name: str
    role: Role | None
    sort_order: int
    modseq: int
    total: int = 0
    unread: int = 0
    threads: int = 0
    unread_threads: int = 0
    subscribed: bool = True

    @property
    def is_system(self) -> bool:
        return self.id in _SYSTEM_FOLDERS


@dataclass(frozen=True, slots=True)
class Entry:
    """One message in a mailbox. `structure` is None where it was not asked for."""

    id: int
    received_at: datetime
    thread_id: int
    folder_ids: tuple[int, ...]
    keywords: frozenset[str]
    origin: Origin
    modseq: int
    blob_id: int
    size: int
    summary: Summary
    structure: Part | None = None


def check_keywords(keywords: frozenset[str]) -> frozenset[str]:
    """Keywords in lower case (RFC 8621 §4.1.1, RFC 9051 flag-keyword); raises `BadValue`."""
    if len(keywords) > MAX_KEYWORDS:
        raise BadValue("keywords", f"a message has at most {MAX_KEYWORDS} keywords")
    for keyword in keywords:
        if not _KEYWORD.match(keyword) or not _NOT_IN_KEYWORD.isdisjoint(keyword):
            raise BadValue("keywords", f"{keyword[:40]!r} cannot be a keyword")
    return frozenset(keyword.lower() for keyword in keywords)


def check_folder_name(name: str) -> str:
    """A folder's name in NFC (RFC 8621 §2); raises `BadValue`."""
    name = unicodedata.normalize("NFC", name) if len(name) <= MAX_FOLDER_NAME_OCTETS else name
    if not name or name != name.strip() or not name.isprintable():
        raise BadValue("name", "a folder's name is printable, not empty, and without spaces around it")
    if len(name.encode("utf-8", "replace")) > MAX_FOLDER_NAME_OCTETS:
        raise BadValue("name", f"a folder's name has at most {MAX_FOLDER_NAME_OCTETS} octets")
    return name
