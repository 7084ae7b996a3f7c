"""`everpost serve` as a user runs it: real processes, killed, reloaded, drained."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import DidNotStart, Installation, free_port
from everpost.directory.admin import DirectoryAdmin
from everpost.identity.login import Identity

PASSWORD = "standby-test"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folders, which the account that runs PostgreSQL cannot pass through."""
    with tempfile.TemporaryDirectory(prefix="everpost-serve-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
async def installation(folder: Path) -> AsyncIterator[Installation]:
    made = Installation(folder, workers=2)
    made.write_configuration()
    config = load_config(made.config_path)
    config.load_master_key(create=True)
    await made.start()
    async with open_database(config) as database:
        admin = DirectoryAdmin(database, config.load_master_key())
        organisation = await admin.create_organisation("acme")
        await admin.create_domain(organisation.id, "example.org")
        mailbox_id = await admin.create_mailbox(organisation.id, "anna@example.org")
        await Identity(database).set_password(organisation.id, mailbox_id, PASSWORD)
    yield made
    await made.stop()


def send(installation: Installation, number: int) -> None:
    with smtplib.SMTP("127.0.0.1", installation.mx_port, timeout=10) as client:
        text = f"From: x@example.com\r\nMessage-ID: <{number}@example.com>\r\nSubject: {number}\r\n\r\nhello\r\n"
        client.sendmail("x@example.com", ["anna@example.org"], text)


def subjects(installation: Installation) -> set[str]:
    with httpx.Client(base_url=installation.url, auth=("anna@example.org", PASSWORD), timeout=10) as client:
        session = client.get("/jmap/session").raise_for_status().json()
        account = next(iter(session["accounts"]))
        calls = [
            ["Email/query", {"accountId": account}, "0"],
            [
                "Email/get",
                {
                    "accountId": account, "properties": ["subject"],
                    "#ids": {"resultOf": "0", "name": "Email/query", "path": "/ids"},
                },
                "1",
            ],
        ]  # fmt: skip
        using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"]
        answer = client.post("/jmap/api", json={"using": using, "methodCalls": calls}).raise_for_status().json()
        return {row["subject"] for row in answer["methodResponses"][1][1]["list"]}


def children(pid: int) -> dict[str, int]:
    """Process → pid, of the supervisor's own."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone since it was listed
        if not command:
            continue  # dead, and not mourned yet
        name = "postgres" if "postgres" in command else command.split()[-1].rpartition(".")[2]
        found[f"{name}-{sum(key.startswith(name) for key in found)}"] = int(child)
    return found


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.05)


async def ready(installation: Installation) -> bool:
    async with httpx.AsyncClient(timeout=2) as client:
        try:
            return (await client.get(f"{installation.url}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False


async def test_serves_and_drains(installation: Installation) -> None:
    await asyncio.to_thread(send, installation, 1)
    assert await asyncio.to_thread(subjects, installation) == {"1"}
    metrics = httpx.get(f"http://127.0.0.1:{installation.metrics_port}/metrics").text
    await eventually(lambda: _accepted(installation, 1))
    assert "everpost_leader" in metrics
    assert installation.child is not None
    before = children(installation.child.process.pid)
    assert sorted(key.partition("-")[0] for key in before) == ["control", "indexing", "postgres", "worker", "worker"]
    assert await installation.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in before.values())
    await installation.start()
    assert await asyncio.to_thread(subjects, installation) == {"1"}


async def _accepted(installation: Installation, number: int) -> bool:
    text = httpx.get(f"http://127.0.0.1:{installation.metrics_port}/metrics").text
    return f"everpost_accepted_messages_total {number}.0" in text


async def test_whatever_is_killed_comes_back(installation: Installation) -> None:
    assert installation.child is not None
    supervisor = installation.child.process.pid
    for number, victim in enumerate(("worker-0", "control-0", "worker-1", "postgres-0"), 1):
        pid = children(supervisor)[victim]
        os.kill(pid, signal.SIGKILL)

        async def is_back(pid: int = pid) -> bool:
            now = children(supervisor)
            return len(now) == 5 and pid not in now.values() and await ready(installation)

        await eventually(is_back, 30)

        async def is_accepted(number: int = number) -> bool:
            try:
                await asyncio.to_thread(send, installation, number)
            except (OSError, smtplib.SMTPException):
                return False
            return True

        await eventually(is_accepted, 30)
    assert await asyncio.to_thread(subjects, installation) == {"1", "2", "3", "4"}


async def test_a_killed_supervisor_leaves_nothing_behind_and_starts_again(installation: Installation) -> None:
    assert installation.child is not None
    await asyncio.to_thread(send, installation, 1)
    orphans = children(installation.child.process.pid)
    await installation.child.kill()
    workers = [pid for name, pid in orphans.items() if not name.startswith("postgres")]
    await eventually(lambda: _gone(workers), 30)
    await installation.start()
    await asyncio.to_thread(send, installation, 2)
    assert await asyncio.to_thread(subjects, installation) == {"1", "2"}


async def _gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def test_reload_replaces_every_process_without_refusing_anybody(installation: Installation) -> None:
    assert installation.child is not None
    supervisor = installation.child.process.pid
    before = set(children(supervisor).values())
    text = installation.config_path.read_text()
    installation.config_path.write_text(text.replace("[smtp.mx]", "[smtp.mx]\nrecipients = 123").replace("= 2", "= 1"))
    os.kill(supervisor, signal.SIGHUP)
    sent = 0

    async def is_replaced() -> bool:
        nonlocal sent
        sent += 1
        await asyncio.to_thread(send, installation, sent)  # raises where it is refused
        now = children(supervisor)
        return len(now) == 4 and len(set(now.values()) & before) == 1  # the database stays

    await eventually(is_replaced, 60)
    with smtplib.SMTP("127.0.0.1", installation.mx_port, timeout=10) as client:
        client.ehlo()
        assert "RCPTMAX=123" in client.esmtp_features["limits"]
    assert await asyncio.to_thread(subjects, installation) == {str(number) for number in range(1, sent + 1)}


async def test_a_wrong_configuration_changes_nothing(installation: Installation) -> None:
    assert installation.child is not None
    supervisor = installation.child.process.pid
    await eventually(lambda: _logged(installation, "serve.ready"), 60)  # a worker is ready before all of them are
    before = children(supervisor)
    installation.config_path.write_text(installation.config_path.read_text() + "\n[nonsense]\n")
    os.kill(supervisor, signal.SIGHUP)
    try:
        await eventually(lambda: _logged(installation, "serve.reload_refused"), 60)
    except TimeoutError:
        pytest.fail(f"the reload was not refused: {installation.child.last_words()}")
    assert children(supervisor) == before
    await asyncio.to_thread(send, installation, 1)


async def _logged(installation: Installation, event: str) -> bool:
    assert installation.child is not None
    return event in installation.child.log.read_text()


async def test_an_address_in_use_is_one_line(folder: Path) -> None:
    taken = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", free_port())
    made = Installation(folder, workers=1, mx_port=taken.sockets[0].getsockname()[1])
    made.write_configuration()
    load_config(made.config_path).load_master_key(create=True)
    with pytest.raises(DidNotStart, match=f"cannot listen on 127.0.0.1:{made.mx_port}: Address already in use"):
        await made.start()
    taken.close()


async def test_idle_sessions_do_not_hold_up_the_end(installation: Installation) -> None:
    connections = [await asyncio.open_connection("127.0.0.1", installation.mx_port) for _ in range(5)]
    for reader, _ in connections:
        assert (await reader.readline()).startswith(b"220")
    began = time.monotonic()
    assert await installation.stop() == 0
    assert time.monotonic() - began < 15
    for reader, writer in connections:
        assert b"421" in await reader.read()
        writer.close()
