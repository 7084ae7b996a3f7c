"""kill -9 of the process that sends digests, again and again: everybody gets one each time, of each message once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from everpost.crypto.keys import master_key_from_hex, new_key
from everpost.intake.quarantine_settings import QuarantineSettings
from everpost.store.blobs import KeyRing
from quarantine_tools import keep
from world import Node, make_organisation

KILLS = int(os.environ.get("EVERPOST_TEST_KILLS", "10"))
PEOPLE = tuple(f"person{number}" for number in range(60))
ROUNDS = 2


async def test_one_digest_for_everybody_each_time(database, database_dsn: str, tmp_path: Path) -> None:
    key = new_key()
    keys = KeyRing(database, master_key_from_hex(key.hex()))
    organisation = await make_organisation(database, keys._master, people=PEOPLE, with_primary=False)
    node = Node(database, keys, tmp_path, organisation, 1)
    await node.routes.load()
    node.intake.start()
    chance = random.Random(KILLS)
    due = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
    killed = 0
    for number in range(1, ROUNDS + 1):
        for _ in range(3):
            await keep(node.intake, node.directory, [f"{person}@example.org" for person in PEOPLE])
        await execute(database, "UPDATE organisation SET digest_due_at = $1", due)
        settings = {
            "dsn": database_dsn, "master": key.hex(), "folder": str(tmp_path), "organisation": organisation.id,
            "now": due.isoformat(),
        }  # fmt: skip
        for _ in range(KILLS // ROUNDS):
            killed += await run(settings, after_s=chance.uniform(0.0, 0.25))
        assert await run(settings, after_s=None) == 0
        assert await digests(database) == dict.fromkeys(organisation.mailboxes.values(), number)
        assert await told(database) == len(PEOPLE) * 3 * number
        [(planned,)] = await fetch(database, "SELECT digest_due_at FROM organisation")
        assert planned == QuarantineSettings().next_digest(due)
        due = planned
    assert killed > 0, "every process was faster than its end"
    await node.intake.stop()


async def run(settings: dict, after_s: float | None) -> int:
    """1 where the process was killed before it had come to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("digest_process.py")), json.dumps(settings),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"begins\n"
    if after_s is not None:
        await asyncio.sleep(after_s)
        if process.returncode is None:
            process.kill()
    code = await process.wait()
    assert code in (0, -9)
    return int(code == -9)


async def digests(database) -> dict[int, int]:
    """How many each mailbox got."""
    rows = await fetch(
        database,
        "SELECT e.mailbox_id, count(*) FROM entry e JOIN message m ON m.organisation_id = e.organisation_id"
        " AND m.id = e.message_id WHERE m.source = 'notice' GROUP BY 1",
    )
    return dict(rows)


async def told(database) -> int:
    return (await fetch(database, "SELECT count(*) FROM quarantine_told"))[0][0]


async def fetch(database, query: str, *values) -> list[tuple]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(query, *values)]


async def execute(database, query: str, *values) -> None:
    async with database.connection() as connection:
        await connection.execute(query, *values)
