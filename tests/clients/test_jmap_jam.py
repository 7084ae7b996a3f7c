"""jmap-jam, a JMAP client for JavaScript, unmodified: log in, list, read, flag, move, send (jam.mjs)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clients.conftest import Server
from web_tools.world import Person, World, message

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="Node is not installed: jmap-jam cannot run")


@pytest.fixture(scope="session")
def jam() -> Path:
    """The script, beside its dependencies as the lock file has them."""
    if not (HERE / "node_modules" / "jmap-jam").exists():
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=HERE, check=True, capture_output=True, timeout=120)
    return HERE / "jam.mjs"


async def test_a_person_works_with_jmap_jam(world: World, ann: Person, server: Server, jam: Path) -> None:
    await world.deliver("ann@example.org", message("Minutes", body="Please read.\r\n"))
    bob = await world.person("bob@example.org")
    process = await asyncio.create_subprocess_exec(
        "node", str(jam), f"https://{server.host}", "token-ann@example.org",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"NODE_EXTRA_CA_CERTS": str(server.authority)},
    )  # fmt: skip
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    seen = json.loads(out)
    assert seen["username"] == "ann@example.org"
    assert seen["subject"] == "Minutes"
    assert seen["text"] == "Please read.\n"
    assert "Subject: Minutes\r\n" in seen["source"]
    assert seen["undoStatus"] == "final"
    assert await ann.email_ids() == []
    (moved,) = await ann.email_ids("archive")
    assert (await ann.email(moved))["keywords"] == {"$flagged": True}
    (sent,) = await ann.email_ids("sent")
    assert (await ann.email(sent))["keywords"] == {"$seen": True}
    (arrived,) = await bob.email_ids()
    assert (await bob.email(arrived))["subject"] == "Re: Minutes"
