"""Fixtures: one embedded PostgreSQL for the whole run, a fresh migrated database for each test that asks."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from everpost.crypto.keys import SealingKey, new_key
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from everpost.store.migrate import migrate
from everpost.store.postgres import EmbeddedPostgres

_numbers = itertools.count(1)
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A server for the run, with a migrated database `template` that tests copy."""
    folder = Path(tempfile.mkdtemp(prefix="everpost-test-"))
    folder.chmod(0o711)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(120)

    server = EmbeddedPostgres(folder / "db")
    run(server.start())
    run(_make_template(server.dsn))
    yield server.dsn
    run(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    shutil.rmtree(folder, ignore_errors=True)


async def _make_template(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE DATABASE template_everpost")
    await connection.close()
    connection = await asyncpg.connect(dsn.replace("/everpost?", "/template_everpost?"))
    await migrate(connection)
    await connection.close()


@pytest.fixture
async def database_dsn(postgres_dsn: str) -> AsyncIterator[str]:
    """A database of its own, migrated and empty."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template_everpost")
    yield postgres_dsn.replace("/everpost?", f"/{name}?")
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_dsn)
    yield database
    await database.close()


@pytest.fixture
def master() -> SealingKey:
    return SealingKey.from_bytes(new_key())


@pytest.fixture
def keys(database: Database, master: SealingKey) -> KeyRing:
    return KeyRing(database, master)


@pytest.fixture
def blobs(database: Database, keys: KeyRing) -> BlobReader:
    return BlobReader(database, keys)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's driver keeps an event loop running in this thread until the session ends: its tests come last."""
    items.sort(key=lambda item: "browser" in item.path.parts)
