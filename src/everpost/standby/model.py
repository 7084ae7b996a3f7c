"""Words of the standby mailbox. Pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Role(enum.StrEnum):
    """System folders of every mailbox (RFC 8621 §2, RFC 6154)."""

    INBOX = "inbox"
    DRAFTS = "drafts"
    SENT = "sent"
    ARCHIVE = "archive"
    JUNK = "junk"
    TRASH = "trash"

    @property
    def folder_id(self) -> int:
        """System folders have the same small number in every mailbox; own folders have allocated ones."""
        return _FOLDER_IDS[self]

    @property
    def folder_name(self) -> str:
        return self.value.capitalize()


_FOLDER_IDS = {role: number for number, role in enumerate(Role, start=1)}


class Origin(enum.StrEnum):
    """How an entry came to stand in a mailbox."""

    WIRE = "wire"  # received by SMTP for this mailbox
    SENT = "sent"  # relayed for its owner by the primary or by submission
    JOURNAL = "journal"  # seen in a journal report of the primary
    LOCAL = "local"  # made in the standby: draft, sent from the webmail, upload
    IMPORT = "import"


class ChangeKind(enum.StrEnum):
    """What a row of the change log tells."""

    RECEIVED = "received"  # an entry appeared, by whatever origin
    CREATED = "created"  # a person made it in the standby
    KEYWORDS = "keywords"
    MOVED = "moved"
    DESTROYED = "destroyed"
    FOLDER_CREATED = "folder-created"
    FOLDER_CHANGED = "folder-changed"
    FOLDER_DESTROYED = "folder-destroyed"
    SUBMITTED = "submitted"
    SETTINGS = "settings"  # an identity, the vacation response, a submission: detail says what


SEEN = "$seen"
JUNK = "$junk"
DRAFT = "$draft"
ANSWERED = "$answered"
FLAGGED = "$flagged"
FORWARDED = "$forwarded"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry that intake shall make. Where `unless_present`, one with the same content is enough; where
    `is_filtered`, the mailbox's filters say where it stands: the standby is the master of the mailbox.
    """

    organisation_id: int
    mailbox_id: int
    role: Role
    origin: Origin
    keywords: tuple[str, ...] = ()
    unless_present: bool = False
    is_filtered: bool = False
