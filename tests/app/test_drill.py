"""A drill as a person calls it: against a running service and a real primary."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app_tools import Office
from everpost.app.config import load_config
from peers import PeerMissing
from peers.primary import MASTER_PASSWORD, Primary
from world import until

ORG = ("--org", "example")


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    try:
        peer = Primary(users=["anna@example.org", "ben@example.org"])
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with peer:
        yield peer


@pytest.fixture
async def service(office: Office, primary: Primary, tmp_path: Path) -> AsyncIterator[Office]:
    """`everpost serve`, on ports that nobody asks for, with `main` at a real server."""
    secret = tmp_path / "secret"
    secret.write_text(MASTER_PASSWORD)
    await office.everpost.run(
        "primary", "update", "main", "--smtp", f"127.0.0.1:{primary.smtp_port}", "--smtp-tls", "none",
        "--imap", f"127.0.0.1:{primary.imap_port}", "--imap-tls", "none", "--imap-password-file", str(secret),
        "--probe-interval", "0.5", "--probe-timeout", "2", *ORG,
    )  # fmt: skip
    dsn = load_config(office.everpost.config, {}).database
    listeners = "".join(
        f'[{name}]\nlisten = ["127.0.0.1:0"]\n' for name in ("smtp.mx", "smtp.smarthost", "web")
    )  # fmt: skip
    office.everpost.config.write_text(
        f'hostname = "mx.example.net"\ndata_dir = "{tmp_path / "data"}"\ndatabase = "{dsn}"\nworkers = 1\n{listeners}'
        "[smtp.submission]\nlisten = []\nlisten_tls = []\n"
    )
    log = (tmp_path / "serve.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "everpost", "--config", str(office.everpost.config), "serve"],
        stdout=log, stderr=log, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip

    async def alive() -> bool:
        assert process.poll() is None, (tmp_path / "serve.log").read_text()[-3000:]
        return bool(await office.fetch("SELECT 1 FROM worker"))

    try:
        await until(alive, 30)
        yield office
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


@pytest.mark.peer
async def test_there_and_back_through_the_running_service(service: Office, primary: Primary) -> None:
    done = await service.everpost.json("drill", "anna@example.org", "--timeout", "60")
    figures = done["figures"]
    assert (done["passed"], figures["problems"]) == (True, [])
    assert (figures["mailboxes"], figures["replayed"], figures["changes"]) == (1, 1, 1)
    assert (figures["lost"], figures["duplicated"]) == (0, 0)
    assert all(figures[name] is not None for name in ("detect_s", "switch_s", "readable_s", "return_s"))
    [stored] = primary.messages("anna@example.org")
    assert stored.flags == {"\\Seen"}
    told = await service.everpost.run("drill", "--group", "Team", "--no-detection", "--timeout", "60", *ORG)
    assert "passed (2 mailboxes)" in told
    assert "lost 0, duplicated 0" in told
    assert len(primary.messages("anna@example.org")) == 2
    assert len(primary.messages("ben@example.org")) == 1
    status = await service.everpost.json("status", *ORG)
    assert status["problems"] == []
    assert [worker["alive"] for worker in status["workers"]] == [True]
    assert status["organisations"][0]["activations"] == []


async def test_it_needs_the_running_service(office: Office) -> None:
    assert "start `everpost serve`" in await office.everpost.error("drill", "anna@example.org")
    assert await office.fetch("SELECT 1 FROM drill") == []


async def test_whom_it_is_for(office: Office) -> None:
    await office.execute("INSERT INTO worker (run, host, pid) VALUES (1, 'node', 42)")
    assert "--mailbox" in await office.everpost.error("drill", code=2)
    assert "no mailbox" in await office.everpost.error("drill", "nobody@example.org")
    assert "no group" in await office.everpost.error("drill", "--group", "Teem", *ORG)
    await office.execute("UPDATE primary_server SET trust_state = 'down'")
    told = await office.everpost.run("drill", "anna@example.org", code=1)
    assert "no time for a drill" in told
