"""What a worker had in hand when it died goes on at once, also where nobody could be told of its death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import smtplib
from collections.abc import Callable

import pytest

from crash_tools import make_message, mark_of
from everpost.app.demo.installation import StandIn, free_port
from everpost.directory.primary import ImapConnector, PrimarySettings, ProbeSettings, SmtpConnector
from serve_tools import PEOPLE, House, children, house, kill

UNWATCHED = ProbeSettings(interval_s=600, failures=10)
COUNT = 8


def send(port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for number in range(COUNT):
            content = make_message(f"mail-{number}", number)
            assert client.sendmail("x@example.com", [PEOPLE[number % len(PEOPLE)]], content) == {}


@pytest.mark.crash
@pytest.mark.timeout(180)
async def test_workers_that_die_together_with_the_database_leave_no_lease_behind() -> None:
    """A lease runs out by itself after five minutes: that long nobody has to wait."""
    async with house(probe=UNWATCHED) as place:
        os.kill(place.primary.child.process.pid, signal.SIGSTOP)  # it takes connections and says nothing
        try:
            await asyncio.to_thread(send, place.installation.mx_port)
            await place.until("SELECT count(*) FROM delivery WHERE leased_by IS NOT NULL", COUNT)
            for name, pid in children(place.installation.child.process.pid).items():
                if not name.startswith("control"):
                    kill(pid)
        finally:
            os.kill(place.primary.child.process.pid, signal.SIGCONT)
        await check_all_there_once(place)


class LongWay:
    """A way to the primary on which the end of a message takes its time, and arrives even when its sender has died."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.port, self.target = free_port(), 0
        self.under_way = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", self.target)
        back = asyncio.create_task(self._copy(there_reader, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if data.endswith(b"\r\n.\r\n"):
                    self.under_way.set()
                    await asyncio.sleep(self._seconds)
                there.write(data)
        there.write_eof()
        await back
        there.close()

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            with contextlib.suppress(OSError):
                writer.write(data)
        writer.close()


def by_way_of(way: LongWay) -> Callable[[StandIn], PrimarySettings]:
    def settings(primary: StandIn) -> PrimarySettings:
        way.target = primary.smtp_port
        imap = ImapConnector("127.0.0.1", primary.imap_port, "none")
        return PrimarySettings(SmtpConnector("127.0.0.1", way.port, "none"), imap, UNWATCHED)

    return settings


@pytest.mark.crash
@pytest.mark.timeout(180)
async def test_what_is_still_on_its_way_to_the_primary_is_not_sent_beside() -> None:
    """A worker dies with the end of a message sent: whoever looks at the primary at once does not find it yet."""
    way = LongWay(6)
    async with (
        await asyncio.start_server(way.serve, "127.0.0.1", way.port),
        house(settings=by_way_of(way)) as place,
    ):
        await asyncio.to_thread(send, place.installation.mx_port)
        await asyncio.wait_for(way.under_way.wait(), 30)
        [(pid,)] = await place.rows("SELECT DISTINCT w.pid FROM delivery d JOIN worker w ON w.run = d.leased_by")
        kill(pid)  # the other one is there to go on at once
        await check_all_there_once(place)


@pytest.mark.crash
@pytest.mark.timeout(180)
async def test_a_failback_sends_nothing_beside_an_attempt_that_is_still_under_way() -> None:
    """As where a primary hangs with messages half taken, the standby takes over, and the primary comes to itself."""
    way = LongWay(6)
    async with (
        await asyncio.start_server(way.serve, "127.0.0.1", way.port),
        house(settings=by_way_of(way)) as place,
    ):
        await asyncio.to_thread(send, place.installation.mx_port)
        await asyncio.wait_for(way.under_way.wait(), 30)
        async with place.continuity() as continuity:
            await continuity.activate(place.scope, "test", "it hangs")
            assert await place.value("SELECT count(*) FROM delivery WHERE status = 'held'") > 0
            await continuity.deactivate(place.scope, "test", "it is back")
        await check_all_there_once(place)


async def check_all_there_once(place: House) -> None:
    await place.until("SELECT count(*) FROM delivery WHERE status <> 'delivered'", 0, 60)
    there = [mark_of(item.raw) for person in PEOPLE for item in await place.on_primary(person)]
    assert sorted(there) == [f"mail-{number}" for number in range(COUNT)]
