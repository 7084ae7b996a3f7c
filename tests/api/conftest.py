from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api_tools.house import House, make_house
from everpost.crypto.keys import SealingKey
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database


@pytest.fixture
async def house(
    database: Database, master: SealingKey, keys: KeyRing, blobs: BlobReader, tmp_path: Path
) -> AsyncIterator[House]:
    house = await make_house(database, master, keys, blobs, tmp_path)
    yield house
    await house.api.close()
