"""Strangers who take what they can get: connections, time, memory. The real service, and mail that flows beside."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import resource
import smtplib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from crash_tools import make_message
from serve_tools import PEOPLE, House, children, house

MIB = 1024 * 1024
ORDINARY = 1024
"""The number of open files that a shell gives a process to begin with."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """The service begins with the ordinary limit; the test itself may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 8192:
        pytest.skip(f"no process may have more than {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (ORDINARY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def workers(place: House) -> list[int]:
    found = children(place.installation.child.process.pid)
    return [pid for name, pid in found.items() if name.startswith("worker")]


def own_memory(pid: int) -> int:
    """Octets that only this process has, and its share of the others."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def resident(pid: int, name: str) -> int:
    """VmRSS now, or VmHWM: the most there was since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def send(port: int, first: int, count: int) -> list[float]:
    """Ordinary mail, each message over a connection of its own; the seconds each took."""
    waits = []
    for number in range(first, first + count):
        began = time.monotonic()
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            content = make_message(f"ordinary-{number}", number)
            assert client.sendmail("x@example.com", [PEOPLE[number % len(PEOPLE)]], content) == {}
        waits.append(time.monotonic() - began)
    return waits


@contextlib.asynccontextmanager
async def idle(port: int, count: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Connections that were greeted and say nothing."""
    open_: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    room = asyncio.Semaphore(50)

    async def one() -> None:
        async with room:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            open_.append((reader, writer))
            assert (await asyncio.wait_for(reader.readline(), 60)).startswith(b"220 ")

    try:
        await asyncio.gather(*(one() for _ in range(count)))
        yield open_
    finally:
        for _, writer in open_:
            writer.close()


@pytest.mark.timeout(180)
async def test_two_thousand_idle_connections_are_held_while_mail_flows(many_files: None) -> None:
    count = 2000
    async with house(extra_mx="connections_per_client = 3000") as place:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (8192, hard))
        port = place.installation.mx_port
        await asyncio.to_thread(send, port, 0, 20)
        before = sum(own_memory(pid) for pid in workers(place))
        async with idle(port, count) as connections:
            grown = sum(own_memory(pid) for pid in workers(place)) - before
            waits = await asyncio.to_thread(send, port, 100, 100)
            assert sorted(waits)[98] < 5, "mail is held up"
            await place.until("SELECT count(*) FROM delivery WHERE status <> 'delivered'", 0)
            assert all(not reader.at_eof() for reader, _ in connections)
            for reader, writer in connections[:: count // 50]:
                writer.write(b"NOOP\r\n")
                assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"250 ")
        assert grown < count * 40_000, f"{grown // count} octets for each connection"
    print(f"{count} idle: {grown // count} octets each; 99 % of the mail beside them within {sorted(waits)[98]:.3f} s")


@pytest.mark.timeout(180)
async def test_a_message_of_50_mb_costs_a_worker_less_than_64() -> None:
    """Resident memory of the one worker, at its highest from before the first octet until the primary has it all."""
    line = b"x" * 76 + b"\r\n"
    size = 50_000_000
    content = make_message("large", 1) + b"".join(b"%08d" % number + line for number in range(size // 86))
    async with house(workers=1) as place:
        port, (pid,) = place.installation.mx_port, workers(place)
        await asyncio.to_thread(send, port, 0, 50)
        await place.until("SELECT count(*) FROM delivery WHERE status <> 'delivered'", 0)
        forget_peak(pid)
        before = resident(pid, "VmRSS")
        with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
            assert await asyncio.to_thread(client.sendmail, "x@example.com", [PEOPLE[0]], content) == {}
        taken = resident(pid, "VmHWM") - before
        await place.until("SELECT count(*) FROM delivery WHERE status <> 'delivered'", 0)
        passed_on = resident(pid, "VmHWM") - before
        assert passed_on <= 64 * MIB, (
            f"taking it in {taken / MIB:.0f} MiB, with passing it on {passed_on / MIB:.0f} MiB"
        )
        [large] = [item.raw for item in await place.on_primary(PEOPLE[0]) if b"Subject: large" in item.raw[:1000]]
        assert large.endswith(content)
        standby = [raw for raw in await place.standby(PEOPLE[0]) if len(raw) > MIB]
        assert [hashlib.sha256(raw).digest() for raw in standby] == [hashlib.sha256(content).digest()]
    print(f"{len(content) / MIB:.0f} MiB: {taken / MIB:.0f} MiB to take them, {passed_on / MIB:.0f} at the most")


@pytest.mark.timeout(180)
async def test_slow_clients_hold_up_nobody_and_are_hung_up_on() -> None:
    """One octet a second, before and inside of messages: until the longest session is over."""
    async with house(workers=1, extra_mx="session_s = 10\nidle_s = 5\nconnections_per_client = 500") as place:
        port = place.installation.mx_port
        await asyncio.to_thread(send, port, 0, 5)
        ends: Counter[bytes] = Counter()
        inside = b"EHLO x\r\nMAIL FROM:<x@example.com>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n"
        began = time.monotonic()

        async def drip(opening: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(opening)
            reading = asyncio.create_task(reader.read())
            with contextlib.suppress(OSError):
                while not reading.done():
                    writer.write(b"a")
                    await writer.drain()
                    await asyncio.wait((reading,), timeout=1)
            with contextlib.suppress(OSError):
                ends[(await reading).splitlines()[-1][:4]] += 1
            writer.close()

        slow = [asyncio.create_task(drip(opening)) for opening in (b"", inside) for _ in range(150)]
        waits = await asyncio.to_thread(send, port, 100, 60)
        assert not any(task.done() for task in slow), "the slow ones were gone already: nothing was shown"
        assert sorted(waits)[58] < 5, "mail is held up"
        await asyncio.wait_for(asyncio.gather(*slow), 60)
        assert ends == {b"421 ": 300}
        assert time.monotonic() - began < 40
        assert await place.value("SELECT count(*) FROM message") == 65
        assert list((place.installation.folder / "data" / "spool").glob("*")) == []
    print(f"300 slow ones: 99 % of the mail beside them within {sorted(waits)[58]:.3f} s")


@pytest.mark.timeout(180)
async def test_a_hundred_thousand_recipients_are_refused_in_flat_memory() -> None:
    count = 100_000
    async with house(workers=1) as place:
        port, (pid,) = place.installation.mx_port, workers(place)
        await asyncio.to_thread(send, port, 0, 20)
        forget_peak(pid)
        before = resident(pid, "VmRSS")
        for words in ("stranger%d@example.org", "anna+%d@example.org"):
            for _ in range(3):  # a busy client that is hung up on may lose every reply that it has not read
                if replies := await many_recipients(port, words, count):
                    break
            assert sum(number for code, number in replies.items() if code == b"250") <= 1002  # EHLO and MAIL
            assert replies.keys() <= {b"220", b"250", b"421", b"452", b"550"}
            # It was hung up on: a client that goes on writing may lose the last replies, 421 among them.
            assert 500 < replies[b"452"] + replies[b"550"] < 10_000, replies
        grown = resident(pid, "VmHWM") - before
        assert grown < 16 * MIB, f"{grown / MIB:.1f} MiB"
        await asyncio.to_thread(send, port, 100, 20)
        assert await place.value("SELECT count(*) FROM message") == 40
    print(f"{count} recipients, twice: {grown / MIB:.1f} MiB")


async def many_recipients(port: int, words: str, count: int) -> Counter[bytes]:
    """In one session, without waiting; the replies by their code."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    replies: Counter[bytes] = Counter()

    async def read() -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                if line[3:4] == b" ":
                    replies[line[:3]] += 1

    reading = asyncio.create_task(read())
    with contextlib.suppress(ConnectionError):
        writer.write(b"EHLO x\r\nMAIL FROM:<x@example.com>\r\n")
        for number in range(count):
            writer.write(b"RCPT TO:<" + (words % number).encode() + b">\r\n")
            if number % 500 == 0:
                await writer.drain()
    await asyncio.wait_for(reading, 60)
    writer.close()
    return replies
