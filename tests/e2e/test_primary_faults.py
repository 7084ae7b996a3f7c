"""A real Postfix and Dovecot fail in every way they can, behind the real service: mail stays readable, nobody is told
wrongly, and all of it arrives once when they are well again.
"""

from __future__ import annotations

import asyncio
import smtplib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from crash_tools import make_message, mark_of
from everpost.directory.primary import ImapConnector, PrimarySettings, SmtpConnector
from peers import PeerMissing
from peers.primary import MASTER_PASSWORD, Certificate, Primary
from serve_tools import FAST, OUTSIDER, PEOPLE, House, eventually, house

ANNA = PEOPLE[0]


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    try:
        peer = Primary(users=PEOPLE, hostname="localhost")
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with peer:
        yield peer


@dataclass(frozen=True)
class Fault:
    """`is_noticed`: the probes see it, so that the standby takes over; else the queue tries again."""

    name: str
    begin: Callable[[Primary], None]
    end: Callable[[Primary], None]
    is_noticed: bool


FAULTS = (
    Fault("slow", lambda p: p.slow(0.7), Primary.welcome, False),
    Fault("full", Primary.full, Primary.welcome, False),
    Fault("try-later", lambda p: p.refuse(451, "4.3.0 not now"), Primary.welcome, False),
    Fault("try-later-at-the-end", lambda p: p.refuse(451, "4.3.0 no", "END-OF-MESSAGE"), Primary.welcome, False),
    Fault("hung", Primary.hang, Primary.resume, True),
    Fault(
        "certificate-of-another",
        lambda p: p.set_certificate(Certificate.WRONG_NAME),
        lambda p: p.set_certificate(Certificate.VALID),
        True,
    ),
    Fault("killed", Primary.kill, Primary.start, True),
)


def send(port: int, *marks: str) -> None:
    """From a sender whose server would show every report we made."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        for number, mark in enumerate(marks):
            assert client.sendmail(OUTSIDER, [ANNA], make_message(mark, number)) == {}


async def arrived(primary: Primary) -> Counter[str]:
    return Counter(mark_of(item.raw) for item in await asyncio.to_thread(primary.messages, ANNA))


async def readable(place: House) -> Counter[str]:
    return Counter(mark_of(raw) for raw in await place.standby(ANNA))


@pytest.mark.peer
@pytest.mark.timeout(400)
async def test_every_fault_and_well_again(primary: Primary) -> None:
    ca_file = str(primary.ca_file)
    settings = PrimarySettings(
        SmtpConnector("localhost", primary.smtp_port, "required", ca_file),
        ImapConnector("localhost", primary.imaps_port, "implicit", ca_file=ca_file),
        FAST, automatic_failback=True,
    )  # fmt: skip
    async with house(settings=settings, imap_password=MASTER_PASSWORD) as place:
        marks: list[str] = []
        for fault in FAULTS:
            mine = [f"{fault.name}-{number}" for number in range(3)]
            marks += mine
            fault.begin(primary)
            try:
                await asyncio.to_thread(send, place.installation.mx_port, *mine)
                assert (await readable(place)).keys() >= set(mine), f"{fault.name}: not readable at once"
                if fault.is_noticed:
                    await place.until_trust("down")
                elif fault.name != "slow":
                    await place.until("SELECT max(attempts) >= 2 FROM delivery WHERE status = 'queued'", True)
                    assert not set(mine) & (await arrived(primary)).keys()
            finally:
                fault.end(primary)
            await place.until("SELECT count(*) FROM delivery WHERE status <> 'delivered'", 0, 60)
            await place.until_trust("trusted", 120)
            await place.until("SELECT count(*) FROM activation WHERE ended_at IS NULL", 0)
            await eventually(partial(all_arrived, primary, mine))
        assert await arrived(primary) == dict.fromkeys(marks, 1)
        assert await readable(place) == dict.fromkeys(marks, 1)
        assert await place.on_internet() == [], "the sender was told something"
        assert await place.value("SELECT count(*) FROM activation") == sum(fault.is_noticed for fault in FAULTS)
        await check_a_refusal_of_a_trusted_primary(place, primary)


async def all_arrived(primary: Primary, marks: list[str]) -> bool:
    """Postfix has said 250; Dovecot may need a moment."""
    return (await arrived(primary)).keys() >= set(marks)


async def check_a_refusal_of_a_trusted_primary(place: House, primary: Primary) -> None:
    """Its word is final, and the sender hears of it once. The standby keeps the message."""
    primary.refuse(554, "5.7.1 not this one")
    try:
        await asyncio.to_thread(send, place.installation.mx_port, "unwanted")
        await place.until("SELECT count(*) FROM delivery WHERE status = 'failed'", 1)
    finally:
        primary.welcome()

    async def is_told() -> bool:
        return bool(await place.on_internet())

    await eventually(is_told)
    [report] = await place.on_internet()
    assert b"Action: failed" in report.raw
    assert b"not this one" in report.raw
    assert "unwanted" in await readable(place)
