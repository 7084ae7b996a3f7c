"""History meets what came by the wire; failback sees nothing of it; a killed run goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everpost.continuity.failback.ledger import read_plan
from everpost.continuity.failback.model import Flags
from everpost.crypto.keys import SealingKey, new_key
from everpost.standby.history.model import Found, HistoryFolder, Mark, Reading
from everpost.standby.model import Role
from everpost.standby.service import Standby
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from history.setting import Mailbox, make_mailbox, mbox, message
from world import Node

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def box(database: Database, keys: KeyRing, master: SealingKey, tmp_path: Path) -> Mailbox:
    return await make_mailbox(database, keys, master, tmp_path)


class Given:
    """A source that shows a whole mailbox: folder → its messages."""

    name = "given"
    is_whole = True
    is_rebuilt = False

    def __init__(self, folders: dict[tuple[str, ...], list[tuple[bytes, frozenset[str]]]], whole: bool = True) -> None:
        self._folders = folders
        self.is_whole = whole

    def folders(self) -> list[HistoryFolder]:
        return [
            HistoryFolder("/".join(path), path, Role.INBOX if path == ("INBOX",) else None, validity="1")
            for path in self._folders
        ]

    def read(self, folder: HistoryFolder, mark: Mark):  # type: ignore[no-untyped-def]
        for number, (content, keywords) in enumerate(self._folders[folder.path], 1):
            if number > mark.position:
                found: Reading = Found(f"{number}", content.replace(b"\n", b"\r\n"), LONG_AGO, keywords, number)
                yield found

    def close(self) -> None:
        pass


async def received(box: Mailbox, *words: str) -> None:
    """By the wire, with the trace fields that a way leaves."""

    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            for word in words:
                trace = b"Received: from a by b; Fri, 08 Mar 2024 10:00:05 +0000\r\n"
                client.sendmail("cora@example.com", "anna@example.org", trace + message(word).replace(b"\n", b"\r\n"))

    node = Node(box.database, box.keys, box.folder, box.organisation, 1)
    await node.start()
    try:
        await asyncio.to_thread(send, node.mx.port)
    finally:
        await node.stop()


SEEN = frozenset({"$seen"})
NONE: frozenset[str] = frozenset()


async def places(box: Mailbox) -> dict[str, tuple[list[str], list[str], str]]:
    return {word: (folders, keywords, origin) for word, (folders, keywords, _, origin) in (await box.entries()).items()}


async def test_what_came_by_the_wire_is_completed_not_doubled(box: Mailbox) -> None:
    await received(box, "inbox", "filed", "both", "standby-only")
    source = Given(
        {
            ("Filed",): [(message("filed"), SEEN), (message("both"), NONE)],
            ("INBOX",): [(message("inbox"), SEEN), (message("both"), NONE), (message("old"), NONE)],
        }
    )
    figures = await box.bring(source)
    assert (figures.brought, figures.met, figures.completed) == (1, 4, 4)
    expected = {
        "inbox": (["Inbox"], ["$seen"], "wire"),
        "filed": (["Filed"], ["$seen"], "wire"),
        "both": (["Filed", "Inbox"], [], "wire"),
        "old": (["Inbox"], [], "import"),
        "standby-only": (["Inbox"], [], "wire"),
    }
    assert await places(box) == expected
    assert (await box.bring(source)).met == 0
    assert await places(box) == expected


async def test_a_part_of_a_mailbox_only_adds_folders(box: Mailbox) -> None:
    await received(box, "one")
    await box.bring(Given({("Saved",): [(message("one"), NONE)]}, whole=False))
    assert (await places(box))["one"][0] == ["Inbox", "Saved"]


async def test_what_people_did_in_the_standby_is_not_undone(box: Mailbox, blobs: BlobReader) -> None:
    await received(box, "one")
    standby = Standby(box.database, box.keys, blobs, box.folder)
    [(entry,)] = await box.fetch("SELECT message_id FROM entry")
    await standby.set_folders(box.account, "anna", entry, [Role.TRASH.folder_id])
    figures = await box.bring(Given({("INBOX",): [(message("one"), SEEN)]}))
    assert (figures.met, figures.completed) == (1, 0)
    assert await places(box) == {"one": (["Trash"], [], "wire")}


async def test_one_message_in_two_folders_of_one_source(box: Mailbox) -> None:
    one = (message("one"), SEEN)
    figures = await box.bring(Given({("A", "B"): [one, one], ("A",): [one]}))
    assert (figures.brought, figures.met, figures.completed) == (1, 2, 1)
    assert await places(box) == {"one": (["A", "A/B"], ["$seen"], "import")}
    entries = await box.fetch("SELECT modseq FROM entry")
    assert entries == await box.fetch("SELECT modseq FROM mailbox WHERE id = $1", box.account.mailbox_id)
    assert [row[0] for row in await box.fetch("SELECT modseq FROM change ORDER BY 1")] == list(
        range(1, entries[0][0] + 1)
    )


async def test_failback_plans_nothing_of_it_but_what_people_did_later(box: Mailbox, blobs: BlobReader) -> None:
    await received(box, "wire")
    await box.bring(Given({("Filed",): [(message("wire"), SEEN), (message("old"), NONE)]}))

    async def plan():  # type: ignore[no-untyped-def]
        async with box.database.connection() as connection:
            key = (box.account.organisation_id, box.account.mailbox_id)
            return (await read_plan(connection, *key, 0, 10**9, LONG_AGO)).actions

    assert await plan() == []
    standby = Standby(box.database, box.keys, blobs, box.folder)
    [(entry,)] = await box.fetch("SELECT id FROM message WHERE subject = 'old'")
    await standby.set_keywords(box.account, "anna", entry, frozenset({"$flagged"}))
    [action] = await plan()
    assert isinstance(action, Flags)


KILLED = """
import asyncio, sys
from pathlib import Path
from everpost.crypto.keys import SealingKey
from everpost.intake.history import HistoryImport
from everpost.standby.history.mbox import MboxSource
from everpost.standby.values import Account
from everpost.store.blobs import KeyRing
from everpost.store.database import Database

async def main():
    dsn, master, organisation, mailbox, file = sys.argv[1:]
    database = await Database.connect(dsn)
    keys = KeyRing(database, SealingKey.from_bytes(bytes.fromhex(master)))
    job = HistoryImport(
        database, keys, Account(int(organisation), int(mailbox)), MboxSource([Path(file)]), actor="test",
        subject="x", spool_folder=Path(file).parent, on_progress=lambda done: print(done.done, flush=True))
    await job.run()

asyncio.run(main())
"""


async def test_killed_in_the_middle_and_run_again(database: Database, tmp_path: Path) -> None:
    raw = new_key()
    master = SealingKey.from_bytes(raw)
    box = await make_mailbox(database, KeyRing(database, master), master, tmp_path)
    file = tmp_path / "big.mbox"
    file.write_bytes(mbox(*(message(f"m{number}", body="x" * 2000) for number in range(3000))))
    key = (str(box.account.organisation_id), str(box.account.mailbox_id))
    kills = 0
    for wanted in (1, 7, 13, 100):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, database.dsn, raw.hex(), *key, str(file), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(wanted):
            if not await process.stdout.readline():
                break
        else:
            os.kill(process.pid, signal.SIGKILL)
        kills += await process.wait() == -signal.SIGKILL
    assert kills == 3
    assert len(await box.entries()) == 3000
    assert await box.fetch("SELECT count(*) FROM message") == [(3000,)]
    assert await box.fetch("SELECT count(*) FROM blob") == [(3000,)]
