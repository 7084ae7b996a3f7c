"""kill -9 of the worker and of PostgreSQL under load; then every acknowledged message is counted."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import smtplib
import socket
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

import asyncpg
import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811

from everpost.crypto.keys import master_key_from_hex, new_key
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from everpost.store.migrate import migrate
from everpost.store.postgres import EmbeddedPostgres
from world import make_organisation

KILLS = int(os.environ.get("EVERPOST_TEST_KILLS", "12"))
SENDERS = 6


class Load(threading.Thread):
    """Sends one message after the other, each once, and remembers those that were acknowledged."""

    def __init__(self, port: int, name: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port, self._name, self._stop_sending = port, name, stop
        self._number = 0
        self.acknowledged: dict[str, bytes] = {}

    def run(self) -> None:
        while not self._stop_sending.is_set():
            try:
                with smtplib.SMTP("127.0.0.1", self._port, timeout=10) as client:
                    client.ehlo()
                    while not self._stop_sending.is_set():
                        self._send(client)
            except (OSError, smtplib.SMTPException):
                self._stop_sending.wait(0.05)

    def _send(self, client: smtplib.SMTP) -> None:
        self._number += 1
        mark = f"{self._name}-{self._number}"
        filler = hashlib.sha256(mark.encode()).hexdigest() * (1 + self._number % 40)
        lines = "\r\n".join(filler[at : at + 70] for at in range(0, len(filler), 70))
        content = f"From: x@example.com\r\nSubject: {mark}\r\nMessage-ID: <{mark}@example.com>\r\n\r\n{lines}\r\n"
        recipient = ("anna", "ben")[self._number % 2] + "@example.org"
        ready = client.mail("x@example.com")[0] == 250 and client.rcpt(recipient)[0] == 250
        if ready and client.data(content.encode())[0] == 250:
            self.acknowledged[mark] = content.encode()
        else:
            client.rset()


class Counting:
    """A primary that counts what it is given by subject."""

    def __init__(self) -> None:
        self.got: Counter[str] = Counter()

    async def handle_DATA(self, server, session, envelope) -> str:
        for line in envelope.original_content.split(b"\r\n"):
            if line.startswith(b"Subject: "):
                self.got[line[9:].decode()] += 1
                break
        return "250 OK"


class Victims:
    """The worker and the database, started again after each kill, as a supervisor would."""

    def __init__(self, server: EmbeddedPostgres, settings: dict) -> None:
        self.server, self.settings = server, settings
        self.worker: asyncio.subprocess.Process | None = None

    async def start_worker(self) -> None:
        self.settings["run"] += 1
        script = str(Path(__file__).with_name("node_process.py"))
        self.worker = await asyncio.create_subprocess_exec(sys.executable, script, json.dumps(self.settings))

    async def kill_worker(self) -> None:
        assert self.worker is not None
        with contextlib.suppress(ProcessLookupError):
            self.worker.kill()
        await self.worker.wait()

    async def kill_database(self) -> None:
        """The whole process group at once: nothing gets the chance to tidy up."""
        assert self.server.pid is not None
        os.killpg(self.server.pid, signal.SIGKILL)
        await self.server.wait()


@pytest.mark.crash
@pytest.mark.timeout(600)
async def test_every_acknowledged_message_survives() -> None:
    folder = Path(tempfile.mkdtemp(prefix="everpost-crash-"))
    folder.chmod(0o711)
    server = EmbeddedPostgres(folder / "db")
    await server.start()
    try:
        await _run(server, folder)
    finally:
        await server.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _run(server: EmbeddedPostgres, folder: Path) -> None:
    connection = await asyncpg.connect(server.dsn)
    await migrate(connection)
    await connection.close()
    secret = new_key().hex()
    master = master_key_from_hex(secret)
    database = await Database.connect(server.dsn)
    organisation = await make_organisation(database, master)
    await database.close()
    primary = Counting()
    loop = asyncio.get_running_loop()
    sink = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "dsn": server.dsn, "master": secret, "folder": str(folder), "organisation": organisation.id,
        "primary": organisation.primary_id, "primary_port": sink.sockets[0].getsockname()[1], "port": port, "run": 100,
    }  # fmt: skip
    victims = Victims(server, settings)
    await victims.start_worker()
    stop = threading.Event()
    load = [Load(port, f"sender{number}", stop) for number in range(SENDERS)]
    for thread in load:
        thread.start()
    await _kill_at_random(victims)
    stop.set()
    for thread in load:
        await asyncio.to_thread(thread.join, 30)
    acknowledged = {mark: content for thread in load for mark, content in thread.acknowledged.items()}
    await victims.kill_worker()
    await _count(server, master, organisation.id, acknowledged)
    await _let_everything_arrive(server, victims, primary, acknowledged)
    sink.close()
    print(f"{KILLS} kills, {len(acknowledged)} acknowledged, all kept once")


async def _kill_at_random(victims: Victims) -> None:
    chance = random.Random(KILLS)
    for number in range(KILLS):
        await asyncio.sleep(chance.uniform(0.8, 2.5))
        kind = number % 3
        if kind in (0, 2):
            await victims.kill_worker()
        if kind in (1, 2):
            await victims.kill_database()
            await victims.server.start()
        if kind in (0, 2):
            await victims.start_worker()
    await asyncio.sleep(1)


async def _count(server: EmbeddedPostgres, master, organisation_id: int, acknowledged: dict[str, bytes]) -> None:
    """Each acknowledged message stands once, with identical bytes; nothing stands half or twice."""
    assert len(acknowledged) > 50 * KILLS / 10, "there was no load"
    database = await Database.connect(server.dsn)
    blobs = BlobReader(database, KeyRing(database, master))
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT m.subject, m.blob_id, count(e.*) AS entries, count(p.*) AS placements, count(d.*) AS deliveries,"
            " count(c.*) AS changes FROM message m"
            " LEFT JOIN entry e ON e.organisation_id = m.organisation_id AND e.message_id = m.id"
            " LEFT JOIN placement p ON p.organisation_id = m.organisation_id AND p.message_id = m.id"
            " LEFT JOIN delivery d ON d.organisation_id = m.organisation_id AND d.message_id = m.id"
            " LEFT JOIN change c ON c.organisation_id = m.organisation_id AND c.message_id = m.id"
            " GROUP BY m.subject, m.blob_id, m.id"
        )
    assert [row for row in rows if tuple(row)[2:] != (1, 1, 1, 1)] == []
    found = {row["subject"]: row["blob_id"] for row in rows}
    assert len(found) == len(rows), "a message stands twice"
    assert set(acknowledged) <= set(found), "an acknowledged message is lost"
    for mark, content in acknowledged.items():
        assert await blobs.read(organisation_id, found[mark]) == content
    await database.close()


async def _let_everything_arrive(
    server: EmbeddedPostgres, victims: Victims, primary: Counting, acknowledged: dict[str, bytes]
) -> None:
    """Every obligation is met in the end. Only what was in doubt at a kill may have been sent again."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("UPDATE delivery SET next_attempt_at = now() WHERE status = 'queued'")
    await victims.start_worker()
    async with asyncio.timeout(60):
        while await connection.fetchval("SELECT count(*) FROM delivery WHERE status <> 'delivered'"):
            await asyncio.sleep(0.1)
    await victims.kill_worker()
    await connection.close()
    assert set(acknowledged) <= set(primary.got)
