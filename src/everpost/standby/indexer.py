"""Fills the index of full text search behind the intake: what came into a mailbox since it was last looked at."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.mail.header import parse_header
from everpost.mail.part import load as load_structure
from everpost.standby.summary import decode_summary
from everpost.standby.text import Indexed, index_message
from everpost.standby.values import Account
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.database import Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("text")
AT_ONCE = 200
"""Messages of one mailbox in one go."""
MAILBOXES_AT_ONCE = 50
READ_OCTETS = 2 * 1024 * 1024
"""Of one message; text that begins later is not indexed."""
_ASIDE_OCTETS = 64 * 1024


class Indexer:
    """One process runs it at a time; a search does the same for the mailbox it looks into."""

    def __init__(self, database: Database, blobs: BlobReader) -> None:
        self._database = database
        self._blobs = blobs

    async def run_once(self) -> int:
        """Go through the mailboxes that have something new; returns how many messages were looked at.

        Call it again at once while it returns more than 0. Raises what `store.database.UNAVAILABLE` lists.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["mailboxes_behind"], MAILBOXES_AT_ONCE)
        return sum([await self.catch_up(Account(row["organisation_id"], row["id"])) for row in rows])

    async def catch_up(self, account: Account, most: int = AT_ONCE) -> int:
        """Index up to `most` messages of a mailbox, the oldest of the new ones first; returns how many were looked at,
        those that another mailbox had indexed already included.
        """
        key = (account.organisation_id, account.mailbox_id)
        async with self._database.connection() as connection:
            progress = await connection.fetchrow(_SQL["progress"], *key)
            if progress is None or progress["reached"] >= progress["current"]:
                return 0
            rows = await connection.fetch(
                _SQL["appeared"], *key, progress["reached"], progress["current"], most
            )  # fmt: skip
        found = [(row["message_id"], await self._read(account, row)) for row in rows if not row["known"]]
        reached = rows[-1]["modseq"] if len(rows) == most else progress["current"]
        values = [
            (account.organisation_id, message_id, item.words, item.header, item.from_key, item.to_key,
             item.subject_key, item.sent_at)
            for message_id, item in sorted(found, key=lambda pair: pair[0])  # in one order: nobody waits in a circle
        ]  # fmt: skip
        async with self._database.transaction() as connection:
            await connection.executemany(_SQL["insert_text"], values)
            await connection.execute(_SQL["set_progress"], *key, reached)
        return len(rows)

    async def _read(self, account: Account, row: Any) -> Indexed:
        limit = min(row["size"], READ_OCTETS)
        try:
            data = await self._blobs.read(account.organisation_id, row["blob_id"], limit=limit)
        except (NoSuchBlob, KeyProblem, DamagedBlob) as error:
            log.warning("indexer.unreadable", message=row["message_id"], error=str(error))
            data = b""  # its summary is still there
        if len(data) > _ASIDE_OCTETS:
            return await asyncio.to_thread(_index, data, row)
        return _index(data, row)


def _index(data: bytes, row: Any) -> Indexed:
    summary, structure = decode_summary(row["summary"]), load_structure(row["structure"])
    return index_message(data, parse_header(data), structure, summary, row["received_at"])
