"""Words of a failback. Pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime


class RunState(enum.StrEnum):
    """Where a failback stands."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"  # by a person, or because the primary failed again; what was given back stays so
    FINISHED = "finished"


class MailboxState(enum.StrEnum):
    """Where one mailbox of a failback stands."""

    WAITING = "waiting"
    REPLAYING = "replaying"
    PROBLEM = "problem"  # tried again by itself; the text says why
    GIVEN_UP = "given up"  # a person: return it without replaying what people did in it
    RETURNED = "returned"


class ItemKind(enum.StrEnum):
    """What is to be done about one message (or, for the last three, one folder)."""

    INBOUND = "inbound"  # deliver by SMTP with the original envelope
    APPEND = "append"  # sent mail and drafts
    FLAGS = "flags"
    MOVE = "move"
    DELETE = "delete"
    FOLDER_CREATE = "folder create"
    FOLDER_RENAME = "folder rename"
    FOLDER_DELETE = "folder delete"


class ItemState(enum.StrEnum):
    """How far it got. BEGUN after a crash means: may have been done, look first."""

    PENDING = "pending"
    BEGUN = "begun"
    DONE = "done"
    ALREADY = "already"  # found as it should be
    HELD = "held"  # refused or not possible: kept here, listed in the report
    MISSING = "missing"  # the message is not on the primary


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the ledger. `id` is a message's or, for folder kinds, a folder's."""

    id: int
    kind: ItemKind
    state: ItemState = ItemState.PENDING
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """A message an item is about, as the standby has it."""

    id: int
    message_id: str | None
    content_digest: bytes
    size: int
    blob_id: int
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Append:
    """Put a message into a folder. `folder_id` is the standby's."""

    subject: Subject
    folder_id: int
    keywords: frozenset[str]
    at: datetime
    also_in: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Flags:
    """Set and clear keywords of a message."""

    subject: Subject
    add: frozenset[str]
    remove: frozenset[str]


@dataclass(frozen=True, slots=True)
class Move:
    """Bring a message from one of the folders it was in to another."""

    subject: Subject
    before: tuple[int, ...]
    folder_id: int
    also_in: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a message that was in one of these folders."""

    subject: Subject
    before: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FolderCreate:
    """Make a folder; the path is of names from the top."""

    id: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderRename:
    """Give a folder another name or place."""

    id: int
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderDelete:
    """Remove a folder, if nothing is in it."""

    id: int
    path: tuple[str, ...]


Action = Append | Flags | Move | Delete | FolderCreate | FolderRename | FolderDelete

_KINDS: dict[type[Action], ItemKind] = {
    Append: ItemKind.APPEND,
    Flags: ItemKind.FLAGS,
    Move: ItemKind.MOVE,
    Delete: ItemKind.DELETE,
    FolderCreate: ItemKind.FOLDER_CREATE,
    FolderRename: ItemKind.FOLDER_RENAME,
    FolderDelete: ItemKind.FOLDER_DELETE,
}


def kind_of(action: Action) -> ItemKind:
    """The ledger's word for an action."""
    return _KINDS[type(action)]


def key_of(action: Action) -> tuple[int, ItemKind]:
    """An action's place in the ledger of a mailbox."""
    if isinstance(action, FolderCreate | FolderRename | FolderDelete):
        return action.id, kind_of(action)
    return action.subject.id, kind_of(action)


@dataclass(slots=True)
class Figures:
    """What a mailbox's reconciliation counted. Messages, except `changes`.

    `received` waited for the primary; of these `replayed` were delivered now, `already` stood there, `held` were
    refused and are listed. `appended` are sent mail and drafts. `lost` were accepted by the primary and are not found
    there, `duplicated` stand there more than once, `altered` with other content. `looked` is False where there is no
    IMAP connector to look with.
    """

    looked: bool = False
    received: int = 0
    replayed: int = 0
    already: int = 0
    held: int = 0
    appended: int = 0
    changes: int = 0
    missing: int = 0
    lost: int = 0
    duplicated: int = 0
    altered: int = 0
    remarks: list[str] = field(default_factory=list)


MAX_REMARKS = 200
