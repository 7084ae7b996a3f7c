"""Messages as sources have them, a run of an import, and ways to look at what it made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from everpost.crypto.keys import SealingKey
from everpost.intake.history import Figures, HistoryImport
from everpost.standby.history.model import Source
from everpost.standby.values import Account
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from world import Organisation, make_organisation


def message(word: str, *more: str, body: str = "hello") -> bytes:
    """With LF at the ends of lines, as files have it."""
    extra = "".join(f"{line}\n" for line in more)
    return (
        f"From: <cora@example.com>\nTo: <anna@example.org>\nDate: Fri, 08 Mar 2024 10:00:00 +0000\nSubject: {word}\n"
        f"Message-ID: <{word}@example.com>\n{extra}\n{body} {word}\n"
    ).encode()


def mbox(*messages: bytes, line: str = "From cora@example.com Sat Mar  9 08:07:06 2024") -> bytes:
    return b"".join(line.encode() + b"\n" + each + b"\n" for each in messages)


@dataclass
class Mailbox:
    """One mailbox that history is brought into."""

    database: Database
    keys: KeyRing
    organisation: Organisation
    folder: Path
    person: str = "anna"

    @property
    def account(self) -> Account:
        return Account(self.organisation.id, self.organisation.mailboxes[self.person])

    async def bring(self, source: Source, *, dry_run: bool = False) -> Figures:
        job = HistoryImport(
            self.database, self.keys, self.account, source, actor="test", subject="anna@example.org",
            spool_folder=self.folder, dry_run=dry_run,
        )  # fmt: skip
        return await job.run()

    async def fetch(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            return [tuple(row) for row in await connection.fetch(query, *values)]

    async def entries(self) -> dict[str, tuple[list[str], list[str], datetime, str]]:
        """By subject: names of folders, keywords, date, origin. Fails where a subject is there twice."""
        rows = await self.fetch(
            "SELECT m.subject, e.folder_ids, e.keywords, e.received_at, e.origin FROM entry e JOIN message m ON "
            "m.id = e.message_id WHERE e.mailbox_id = $1", self.account.mailbox_id,
        )  # fmt: skip
        paths = await self.paths()
        assert len({row[0] for row in rows}) == len(rows), sorted(row[0] for row in rows)
        placed = await self.fetch(
            "SELECT message_id, folder_id FROM placement WHERE mailbox_id = $1", self.account.mailbox_id
        )
        assert len(placed) == sum(len(row[1]) for row in rows)
        return {row[0]: (sorted(paths[f] for f in row[1]), sorted(row[2]), row[3], row[4]) for row in rows}

    async def paths(self) -> dict[int, str]:
        rows = await self.fetch("SELECT id, parent_id, name FROM folder WHERE mailbox_id = $1", self.account.mailbox_id)
        known = {row[0]: row for row in rows}

        def path(folder_id: int) -> str:
            _, parent, name = known[folder_id]
            return f"{path(parent)}/{name}" if parent else str(name)

        return {folder_id: path(folder_id) for folder_id in known}


async def make_mailbox(database: Database, keys: KeyRing, master: SealingKey, folder: Path) -> Mailbox:
    return Mailbox(database, keys, await make_organisation(database, master), folder)
