"""A world with an organisation and a person, for the standby service and the web face."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from everpost.crypto.keys import SealingKey
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from web_tools.world import Person, World


@pytest.fixture
async def world(
    database: Database, master: SealingKey, keys: KeyRing, blobs: BlobReader, tmp_path: Path
) -> AsyncIterator[World]:
    world = World(database, master, keys, blobs, tmp_path)
    await world.organisation("example.org")
    world.intake.start()
    yield world
    await world.intake.stop()


@pytest.fixture
async def ann(world: World) -> Person:
    return await world.person("ann@example.org", "ann.alias@example.org")
