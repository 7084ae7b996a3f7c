"""Identifiers as JMAP shows them. Only the one spelling we gave out is taken back."""

from __future__ import annotations

from dataclasses import dataclass

from everpost.standby.values import Account
from everpost.store.ids import decode_id, encode_id

NOTHING = -1
"""A number that nothing has."""


def number_of(text: str) -> int:
    """The number behind an id of a folder, entry, thread or submission; `NOTHING` where it cannot be one."""
    try:
        number = decode_id(text)
    except ValueError:
        return NOTHING
    return number if encode_id(number) == text else NOTHING


def account_id(account: Account) -> str:
    """A person sees one account: their mailbox."""
    return "A" + encode_id(account.mailbox_id)


def state_of(text: str) -> int:
    """The number behind a state string; `NOTHING` where it cannot be one."""
    if text.isascii() and text.isdigit() and len(text) < 19 and str(int(text)) == text:
        return int(text)
    return NOTHING


MAX_NESTING = 5


@dataclass(frozen=True, slots=True)
class MessageBlob:
    """An entry's message; with `parts` the decoded content of one of its parts (a number in the walk), and of a part
    of the message that stands in there, and so on.
    """

    entry_id: int
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class UploadBlob:
    """What a person uploaded; with `parts` as of a message."""

    blob_id: int
    parts: tuple[int, ...] = ()


def message_blob(entry_id: int) -> str:
    return "M" + encode_id(entry_id)


def upload_blob(blob_id: int) -> str:
    return "U" + encode_id(blob_id)


def read_blob_id(text: str) -> MessageBlob | UploadBlob | None:
    """None where it cannot be a blob's id."""
    head, *tail = text[1:].split("-", MAX_NESTING + 1)
    number = number_of(head)
    if number == NOTHING or len(tail) > MAX_NESTING:
        return None
    if not all(part.isascii() and part.isdigit() and len(part) <= 4 and str(int(part)) == part for part in tail):
        return None
    parts = tuple(map(int, tail))
    if text[0] == "U":
        return UploadBlob(number, parts)
    return MessageBlob(number, parts) if text[0] == "M" else None
