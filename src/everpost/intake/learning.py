"""Learning what is spam from what people do: they report a message, release it, or move it to Junk and out of it.

What a person says of a message is on record at once (`learn_report`); a role of the control process reads the message
and makes the organisation's model anew. The last word of each person counts, and can be taken back without a trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

import structlog

from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.guard.contents import read_contents
from everpost.guard.learn.features import VERSION, features_of
from everpost.guard.learn.model import Class
from everpost.guard.learn.models import MAX_OF_PERSON, make_stale_models, signed
from everpost.intake.sorting import ACTOR as FILTER
from everpost.mail.header import parse_header
from everpost.standby.model import JUNK, ChangeKind, Role
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.database import Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL: Final = load("classifier")
NOT_JUNK: Final = "$notjunk"
MAX_OCTETS: Final = 1024 * 1024  # of a message that are read for its features
PAUSE: Final = timedelta(minutes=2)  # between two makings of one model
AT_ONCE: Final = 100  # lessons
MAILBOXES: Final = 1000
DEEDS: Final = 5000
_NONE: Final = "none"


async def learn_report(
    connection: Connection, organisation_id: int, mailbox_id: int, message_id: int, verdict: Class | None
) -> None:
    """Note, inside the caller's transaction, what a person says of a message; None takes it back.

    The mailbox is the person: its last word counts, once. The message is read later, by the role `Learning`.
    """
    word = _NONE if verdict is None else verdict.value
    await connection.execute(_SQL["say"], organisation_id, mailbox_id, message_id, word, datetime.now(UTC))


def words_of(deeds: Iterable[Mapping[str, Any]]) -> dict[int, Class | None]:
    """The last word on each message in these rows of the change log (kind, message_id, detail). Pure.

    What is deleted from Junk, or merely flagged otherwise, says nothing.
    """
    found: dict[int, Class | None] = {}
    for deed in deeds:
        word = _word(ChangeKind(deed["kind"]), deed["detail"] or {})
        if word is not _nothing:
            found[deed["message_id"]] = word
    return found


_nothing: Final[Any] = object()


def _word(kind: ChangeKind, detail: Mapping[str, Any]) -> Any:
    if kind is ChangeKind.MOVED:
        before, after = (_sides(detail, "folders", side) for side in ("before", "after"))
        if (Role.JUNK.folder_id in before) == (Role.JUNK.folder_id in after):
            return _nothing
        if Role.JUNK.folder_id in after:
            return Class.SPAM
        return _nothing if after <= {Role.TRASH.folder_id} else Class.HAM
    before, after = (_sides(detail, "keywords", side) for side in ("before", "after"))
    if NOT_JUNK in after and NOT_JUNK not in before:
        return Class.HAM
    if JUNK in after and JUNK not in before:
        return Class.SPAM
    taken_back = (JUNK in before and JUNK not in after) or (NOT_JUNK in before and NOT_JUNK not in after)
    return None if taken_back else _nothing


def _sides(detail: Mapping[str, Any], what: str, side: str) -> set[Any]:
    return set((detail.get(what) or {}).get(side) or ())


def _mailbox(deed: Any) -> tuple[int, int]:
    return deed["organisation_id"], deed["mailbox_id"]


def _reached(until: dict[tuple[int, int], int], deeds: Sequence[Any]) -> dict[tuple[int, int], int]:
    """How far each log was read where the deeds end early: they are sorted, so nothing after the last was seen."""
    last = _mailbox(deeds[-1])
    return {each: modseq for each, modseq in until.items() if each < last} | {last: deeds[-1]["modseq"]}


class Learning:
    """A role: one process at a time. `on_learned` hears of every lesson, for the figures.

    Where `from_primary`, moves that people make on their primary count as well.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobReader,
        *,
        from_primary: bool = False,
        on_learned: Callable[[str], None] = lambda _verdict: None,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._from_primary = from_primary
        self._on_learned = on_learned
        self._is_current = False  # whether lessons of older versions were looked for

    async def run_once(self, pause: timedelta = PAUSE) -> None:
        """Follow the change log, read what is new, make models. Raises what `store.database.UNAVAILABLE` lists."""
        if not self._is_current:
            async with self._database.connection() as connection:
                await connection.execute(_SQL["read_again"], VERSION)
            self._is_current = True
        while await self._follow():
            pass
        while await self._read_new():
            pass
        await make_stale_models(self._database, pause)

    # ------------------------------------------------------------------ what people did

    async def _follow(self) -> bool:
        """Read the logs of some mailboxes, and note how far, as one transaction. Whether there is more."""
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_SQL["mailboxes_to_read"], MAILBOXES)
            until = {(row["organisation_id"], row["id"]): row["modseq"] for row in rows}
            places = zip(*until, strict=True) if until else ((), ())
            organisations, mailboxes = (list(each) for each in places)
            deeds = await connection.fetch(
                _SQL["deeds"], organisations, mailboxes, [row["seen"] for row in rows], list(until.values()), DEEDS,
                self._from_primary, FILTER,
            )  # fmt: skip
            for (organisation_id, mailbox_id), own in groupby(deeds, _mailbox):
                for message_id, word in words_of(own).items():
                    await learn_report(connection, organisation_id, mailbox_id, message_id, word)
            reached = _reached(until, deeds) if len(deeds) == DEEDS else until
            columns = ([organisation for organisation, _ in reached], [mailbox for _, mailbox in reached])
            await connection.execute(_SQL["read_until"], *columns, list(reached.values()))
        return len(rows) == MAILBOXES or len(deeds) == DEEDS

    # ------------------------------------------------------------------ what they said

    async def _read_new(self) -> bool:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["new_lessons"], AT_ONCE)
        for row in rows:
            features = await self._features(row) if row["verdict"] != _NONE and row["version"] != VERSION else None
            await self._learn(row, features)
        return len(rows) == AT_ONCE

    async def _learn(self, row: Any, features: list[int] | None) -> None:
        """Count a lesson as what it was said to be, or drop one that cannot be read."""
        key = (row["organisation_id"], row["mailbox_id"], row["message_id"])
        known = features is not None or row["version"] == VERSION
        async with self._database.transaction() as connection:
            if row["verdict"] == _NONE or known:
                version = VERSION if features is not None else None
                await connection.execute(_SQL["learned"], *key, row["verdict"], row["verdict"], version, features)
            else:
                await connection.execute(_SQL["drop_lesson"], *key)
            await connection.execute(_SQL["trim_lessons"], key[0], key[1], MAX_OF_PERSON)
            await connection.execute(_SQL["spoil"], key[0])
        self._on_learned(row["verdict"] if row["verdict"] == _NONE or known else "unreadable")

    async def _features(self, row: Any) -> list[int] | None:
        """None where there is nothing to learn from: the message is gone, cannot be read, or is no stranger's."""
        if row["blob_id"] is None or row["direction"] != "inbound":
            return None
        try:
            data = await self._blobs.read(row["organisation_id"], row["blob_id"], limit=MAX_OCTETS)
        except (NoSuchBlob, DamagedBlob, KeyProblem) as error:
            log.warning("learning.unreadable", message=row["message_id"], error=str(error))
            return None
        return await asyncio.to_thread(read_features, data)


def read_features(data: bytes) -> list[int]:
    """The numbers of a message's features, as the database keeps them."""
    header = parse_header(data)
    return signed(features_of(header, read_contents(data, header)))
