"""The API in a running service, with administrators made by the command line."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api_tools.house import OURS, PASSWORD
from everpost.app.config import load_config
from everpost.app.demo.installation import Installation


async def everpost(installation: Installation, *words: str, given: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "everpost", "--config", str(installation.config_path), *words,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate(given.encode())
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


@pytest.fixture
async def installation() -> AsyncIterator[Installation]:
    """Where the account that runs the embedded database may enter, which is not so of pytest's own folders."""
    with tempfile.TemporaryDirectory(prefix="everpost-test-") as folder:
        made = Installation(Path(folder) / "node", workers=1)
        Path(folder).chmod(0o711)
        made.write_configuration()
        load_config(made.config_path, {}).load_master_key(create=True)
        await made.start()
        yield made
        await made.stop()


async def test_from_command_line_to_stream(installation: Installation) -> None:
    await everpost(installation, "org", "create", "example")
    await everpost(installation, "primary", "create", "main", "--smtp", "127.0.0.1:9", "--smtp-tls", "none")
    await everpost(installation, "domain", "create", "example.org", "--primary", "main")
    await everpost(installation, "admin", "create", "ann", "--org", "example", "--password-file", "-", given=PASSWORD)
    token = await everpost(installation, "admin", "token", "ann", "--days", "1")
    assert '"organisation":"example"' in await everpost(installation, "admin", "list", "--json")
    base = f"{installation.url}/api/v1"
    async with httpx.AsyncClient(timeout=20) as page, httpx.AsyncClient(timeout=20) as program:
        logged_in = await page.post(f"{base}/login", json={"name": "ann", "password": PASSWORD}, headers=OURS)
        assert logged_in.status_code == 200, logged_in.text
        assert (await page.get(f"{base}/standby")).status_code == 401  # of people, not of administrators
        overview = (await page.get(f"{base}/overview")).json()
        assert overview["workers"]["alive"] == 1
        [primary] = overview["organisations"][0]["primaries"]
        program.headers["Authorization"] = f"Bearer {token}"
        async with page.stream("GET", f"{base}/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 3000"
            await asyncio.sleep(0.5)  # until its first look; a switch before that is in what the page reads anyway
            isolated = await program.post(f"{base}/primaries/{primary['id']}/isolate", json={"reason": "drill"})
            assert isolated.json()["confirmed"] is True, isolated.text
            async with asyncio.timeout(5):
                while "primaries" not in await anext(lines):
                    pass
            began = time.monotonic()
            await installation.stop()  # with the stream still open
            assert time.monotonic() - began < 9  # less than uvicorn would wait for it
            with contextlib.suppress(httpx.RemoteProtocolError):
                async for line in lines:
                    assert not line.startswith("event"), line
