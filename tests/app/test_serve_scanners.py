"""`everpost serve` with scanners, as a user runs it: what they find is held, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import Installation
from everpost.app.demo.nameserver import NameServer
from everpost.directory.admin import DirectoryAdmin
from peers.clamd import Clamd
from peers.process import PeerMissing
from scanner_tools import B64, BASE64, HEAD, OCTETS, TEXT, mixed

pytestmark = pytest.mark.peer
RULE = 'rule Invoice { strings: $a = "pay to this account" condition: $a }\n'


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="everpost-serve-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def clamd() -> Iterator[Clamd]:
    try:
        server = Clamd()
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


def send(installation: Installation, message: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", installation.mx_port, timeout=30) as client:
        client.sendmail("x@example.com", ["anna@example.org"], message)


def figures(installation: Installation, name: str) -> dict[str, float]:
    text = httpx.get(f"http://127.0.0.1:{installation.metrics_port}/metrics").text
    return {labels: float(value) for labels, value in re.findall(rf"^{name}(\S*) (\S+)$", text, re.MULTILINE)}


def children(parent: int, module: str) -> list[int]:
    """Processes that this one has started from a module."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid, words = int(entry.name), (entry / "cmdline").read_bytes().split(b"\0")
            if module.encode() in words and f"\nPPid:\t{parent}\n" in (entry / "status").read_text():
                found.append(pid)
    return found


async def test_scanners_of_a_running_service(folder: Path, clamd: Clamd) -> None:
    (folder / "rules").mkdir()
    (folder / "rules" / "a.yar").write_text(RULE)
    names = NameServer()
    address = await names.start()
    with contextlib.closing(names):
        extra = f'[guard.clamd]\naddress = "{clamd.address}"\n[guard.yara]\nrules_dir = "rules"\n'
        installation = Installation(folder, workers=1, name_server=address, extra=extra)
        installation.write_configuration()
        config = load_config(installation.config_path)
        config.load_master_key(create=True)
        await installation.start()
        try:
            async with open_database(config) as database:
                admin = DirectoryAdmin(database, config.load_master_key())
                organisation = await admin.create_organisation("acme")
                await admin.create_domain(organisation.id, "example.org")
                await admin.create_mailbox(organisation.id, "anna@example.org")
                for message in (
                    mixed(TEXT, OCTETS + BASE64 + b"\r\n" + B64),
                    HEAD + b"\r\nPlease pay to this account\r\n",
                    HEAD + b"\r\nhello\r\n",
                ):
                    await asyncio.to_thread(send, installation, message)
                async with database.connection() as connection:
                    verdicts = await connection.fetch("SELECT verdict FROM message ORDER BY id")
            malware = [b'"judgement":"malware"' in row["verdict"] for row in verdicts]
            assert malware == [True, True, False]
            scans = figures(installation, "everpost_scans_total")
            assert scans['{engine="clamd",result="found"}'] == 1
            assert scans['{engine="clamd",result="clean"}'] == 2
            assert scans['{engine="yara",result="found"}'] == 1
            assert figures(installation, "everpost_yara_rules") == {"": 1.0}
            up = figures(installation, "everpost_scanner_up")
            assert up == {'{engine="clamd"}': 1.0, '{engine="yara"}': 1.0}
            assert installation.child is not None
            assert installation.child.process is not None
            [worker] = children(installation.child.process.pid, "everpost.app.worker")
            [rules] = children(worker, "everpost.guard.scanners.yara_process")
            os.kill(worker, signal.SIGKILL)
            async with asyncio.timeout(5):
                while Path(f"/proc/{rules}/cmdline").exists() and Path(f"/proc/{rules}/cmdline").read_bytes():
                    await asyncio.sleep(0.05)  # it ends with its worker, however that ends
        finally:
            await installation.stop()
