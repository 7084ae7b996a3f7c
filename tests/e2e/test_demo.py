"""`everpost demo` as a reader runs it: what it says, what it leaves behind, and what it does when it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from everpost.app.demo import mailgen
from everpost.app.demo.people import make_people
from serve_tools import descendants, eventually

NAMED = {
    "accepted", "readable_in_standby", "delivered_to_primary", "replayed_messages", "replayed_changes", "lost",
    "duplicated", "altered", "detect_s", "switch_s", "standby_lag_ms_p99", "rate_msg_s",
}  # fmt: skip
BAD = ("lost", "duplicated", "altered", "unexpected", "refused", "changes_wrong")


@dataclass
class Demo:
    """Runs the command with its temporary files in a folder of its own."""

    folder: Path

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "everpost", "demo", "--exit", "--json", *words,
            env={**os.environ, "TMPDIR": str(self.folder)}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self, *words: str) -> dict:
        process = await self.start(*words)
        seen: set[int] = set()
        ended = asyncio.create_task(process.communicate())
        while not ended.done():
            seen |= descendants(process.pid)
            await asyncio.wait((ended,), timeout=0.2)
        output, errors = await ended
        assert process.returncode == 0, errors.decode()
        assert len(seen) > 8, "nothing was started"
        self.check_nothing_is_left(seen)
        return json.loads(output.splitlines()[-1])

    def check_nothing_is_left(self, pids: set[int]) -> None:
        assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
        assert list(self.folder.iterdir()) == []


@pytest.fixture
def demo() -> Iterator[Demo]:
    """Not below pytest's own folders, which the account that runs PostgreSQL cannot pass through."""
    with TemporaryDirectory(prefix="everpost-") as name:
        Path(name).chmod(0o711)
        yield Demo(Path(name))


@pytest.mark.timeout(300)
async def test_an_outage_from_beginning_to_end(demo: Demo) -> None:
    report = await demo.run("--messages", "500")
    assert report.keys() >= NAMED
    assert {name: report[name] for name in BAD} == dict.fromkeys(BAD, 0)
    assert report["accepted"] == 500
    assert report["readable_in_standby"] == report["delivered_to_primary"] == report["copies"] >= 500
    assert report["replayed_messages"] > 300
    assert report["replayed_changes"] > 20
    assert report["changes_checked"] >= 40
    assert report["rate_msg_s"] > 0
    assert 0 < report["detect_s"] < 30
    assert 0 < report["switch_s"] < 30


@pytest.mark.timeout(300)
async def test_with_the_mail_of_an_mbox(demo: Demo) -> None:
    start = datetime.now(UTC) - timedelta(days=3)
    with TemporaryDirectory() as folder:
        mbox = Path(folder) / "mail.mbox"
        with mbox.open("wb") as file:
            for message in mailgen.generate(make_people("example.net"), 600, 5, start, timedelta(days=2)):
                lines = message.raw.replace(b"\r\n", b"\n").split(b"\n")
                quoted = [b">" + line if line.lstrip(b">").startswith(b"From ") else line for line in lines]
                file.write(b"From somebody Thu Jan  1 00:00:00 2026\n" + b"\n".join(quoted) + b"\n")
        report = await demo.run("--messages", "550", "--mbox", str(mbox))
    assert {name: report[name] for name in BAD} == dict.fromkeys(BAD, 0)
    assert report["accepted"] == 550


@pytest.mark.timeout(120)
async def test_stopped_in_the_middle_it_leaves_nothing_behind(demo: Demo) -> None:
    process = await demo.start("--messages", "5000")
    seen: set[int] = set()

    async def is_in_the_middle() -> bool:
        """Everything has started, and a mailbox file of the stand-in is growing."""
        seen.update(descendants(process.pid))
        files = demo.folder.glob("*/primary/mail/mail.sqlite3-wal")
        return any(file.stat().st_size > 1_000_000 for file in files)

    await eventually(is_in_the_middle, 90)
    process.send_signal(signal.SIGTERM)
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1, errors.decode()
    assert b"interrupted" in output + errors
    demo.check_nothing_is_left(seen)
