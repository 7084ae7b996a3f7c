"""What sources of history give, and how far they were read. Sources block: they are read beside the event loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from everpost.standby.model import ANSWERED, DRAFT, FLAGGED, FORWARDED, SEEN, Role

MAX_MESSAGE_OCTETS = 100 * 1024 * 1024
"""Longer ones are named as unreadable: nothing can deliver them anyway."""

USUAL_NAMES = {
    "inbox": Role.INBOX,
    "sent": Role.SENT, "sent items": Role.SENT, "sent messages": Role.SENT, "sent mail": Role.SENT,
    "drafts": Role.DRAFTS, "draft": Role.DRAFTS,
    "trash": Role.TRASH, "deleted items": Role.TRASH, "deleted messages": Role.TRASH, "bin": Role.TRASH,
    "junk": Role.JUNK, "spam": Role.JUNK, "junk e-mail": Role.JUNK, "junk email": Role.JUNK, "bulk mail": Role.JUNK,
    "archive": Role.ARCHIVE, "archives": Role.ARCHIVE,
    "posteingang": Role.INBOX, "boîte de réception": Role.INBOX,
    "gesendet": Role.SENT, "gesendete elemente": Role.SENT, "gesendete objekte": Role.SENT,
    "entwürfe": Role.DRAFTS, "papierkorb": Role.TRASH, "gelöschte elemente": Role.TRASH,
    "gelöschte objekte": Role.TRASH,
    "junk-e-mail": Role.JUNK, "archiv": Role.ARCHIVE,
    "envoyés": Role.SENT, "éléments envoyés": Role.SENT, "brouillons": Role.DRAFTS, "corbeille": Role.TRASH,
    "éléments supprimés": Role.TRASH, "indésirables": Role.JUNK, "courrier indésirable": Role.JUNK,
}  # fmt: skip

KEYWORDS_OF_FLAGS = {
    "\\seen": SEEN, "\\answered": ANSWERED, "\\flagged": FLAGGED, "\\draft": DRAFT,
    "$forwarded": FORWARDED, "forwarded": FORWARDED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HistoryFolder:
    """A folder of a source. `place` is its lasting name there, `path` its names from the top, for people.

    `size` is in messages or in octets (`counts_octets`), None where it is not known; `validity` says whether a position
    that was reached in it still means the same.
    """

    place: str
    path: tuple[str, ...]
    role: Role | None = None
    size: int | None = None
    validity: str = ""
    counts_octets: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a folder was read: everything up to `position`, and the files in `items` (`item_of` their names)."""

    position: int = 0
    items: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """A message as the source has it. `position` or `item` tell where it stands; `units` what it adds to progress."""

    label: str
    content: bytes = field(repr=False)
    at: datetime
    keywords: frozenset[str]
    position: int = 0
    item: int | None = None
    units: int = 1


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that could not be read, and why. It is tried again next time."""

    label: str
    why: str
    units: int = 1


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A message that the source itself holds for deleted."""

    position: int = 0
    item: int | None = None
    units: int = 1


Reading = Found | Unreadable | LeftOut


class Source(Protocol):
    """Where history comes from.

    `name` says so for the state and the audit. `is_whole`: it shows all of a mailbox, so that where a message stands in
    it is where it belongs; else it is a part that only adds. `is_rebuilt`: its messages are not byte for byte what was
    received, and are met by their Message-IDs.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_whole(self) -> bool: ...

    @property
    def is_rebuilt(self) -> bool: ...

    def folders(self) -> list[HistoryFolder]:
        """In the order in which they are read. Raises `HistoryFailure`."""

    def read(self, folder: HistoryFolder, mark: Mark) -> Iterator[Reading]:
        """What comes after `mark`. Raises `HistoryFailure` where nothing more can be read from the source."""

    def close(self) -> None:
        """Let go of it. Raises nothing."""


class HistoryFailure(Exception):
    """The source cannot be read (any more). The message is one line for people."""


def item_of(name: str) -> int:
    """The lasting name of a file as a number."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def usual_role(path: tuple[str, ...]) -> Role | None:
    """The role that a folder at the top has by its name; those of Gmail stand in a folder of their own."""
    if len(path) == 2 and path[0].lower() in ("[gmail]", "[google mail]"):
        path = path[1:]
    return USUAL_NAMES.get(path[0].lower()) if len(path) == 1 else None


def sensible_date(*candidates: datetime | None) -> datetime:
    """The first that mail can have, in UTC: since 1980, and not in the future. Else now."""
    now = datetime.now(UTC)
    for candidate in candidates:
        if candidate is not None and candidate.year >= 1980:
            moment = candidate.astimezone(UTC)
            if moment <= now:
                return moment
    return now


def inbox_last(folders: list[HistoryFolder]) -> list[HistoryFolder]:
    """What stands in another folder too is not taken out of the Inbox again: see `intake.history`."""
    return sorted(folders, key=lambda folder: (folder.role is Role.INBOX, folder.path))
