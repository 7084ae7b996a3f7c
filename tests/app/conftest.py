from __future__ import annotations

from pathlib import Path

import pytest

from app_tools import Office, make_office
from everpost.store.database import Database


@pytest.fixture
async def office(tmp_path: Path, database: Database, database_dsn: str) -> Office:
    return await make_office(tmp_path, database, database_dsn)
