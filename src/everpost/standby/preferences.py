"""How a person likes the webmail (docs/jmap-settings.md): kept with their mailbox, the same on every device."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Final

import msgspec
import structlog

from everpost.standby.values import Account
from everpost.standby.work import Work
from everpost.store.database import Connection
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("preferences")
MAX_LABELS: Final = 500
MAX_SENDERS: Final = 500
MAX_UNDO_S: Final = 3600


class Theme(enum.StrEnum):
    """The colours; `system`: as the device has them."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


class ReadingPane(enum.StrEnum):
    """Where a message is read: beside the list, below it, or in its place."""

    RIGHT = "right"
    BOTTOM = "bottom"
    NONE = "none"


_Language = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$")]  # RFC 5646
_Keyword = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,255}$")]
_Address = Annotated[str, msgspec.Meta(pattern="^[^\\s\x00-\x1f\x7f\ud800-\udfff]{1,320}$")]
_Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,255}$")]


class Preferences(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """All of them, as they are stored and as JMAP shows them."""

    language: _Language | None = None
    """Null: as the device has it."""
    theme: Theme = Theme.SYSTEM
    reading_pane: ReadingPane = ReadingPane.RIGHT
    threads: bool = True
    rich_text: bool = True
    undo_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_UNDO_S)] = 8
    """How long a message waits to be taken back before it is sent."""
    labels: Annotated[tuple[_Keyword, ...], msgspec.Meta(max_length=MAX_LABELS)] = ()
    """Keywords of labels that were made, used or not."""
    pictures_from: Annotated[tuple[_Address, ...], msgspec.Meta(max_length=MAX_SENDERS)] = ()
    """Senders whose pictures are shown without asking."""
    identity_id: _Id | None = None
    """Whom a new message is from; null, or one that is gone: the first identity."""


def read_preferences(properties: dict[str, Any]) -> Preferences:
    """What is null or left out is as it is by default. Raises `msgspec.ValidationError`."""
    given = {name: value for name, value in properties.items() if value is not None}
    return msgspec.convert(given, Preferences)


def as_properties(preferences: Preferences) -> dict[str, Any]:
    """By their JMAP names."""
    shown: dict[str, Any] = msgspec.to_builtins(preferences)
    return shown


async def preferences_of(connection: Connection, account: Account) -> Preferences:
    """The defaults where nothing was set, or what was set by a version that this one does not understand."""
    document = await connection.fetchval(_SQL["of_mailbox"], account.organisation_id, account.mailbox_id)
    try:
        return read_preferences(document or {})
    except msgspec.ValidationError as error:
        log.error("preferences.unreadable", mailbox=account.mailbox_id, error=str(error))
        return Preferences()


async def save_preferences(work: Work, preferences: Preferences) -> None:
    """Replaces what was set."""
    key = work.account.organisation_id, work.account.mailbox_id
    await work.connection.execute(_SQL["save"], *key, as_properties(preferences))
    work.note("Settings", "singleton", "updated")
