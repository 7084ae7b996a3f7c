"""Probes against a real primary that fails in every way, and the monitor that acts upon them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import msgspec
import pytest

from continuity.setting import fetch, fetchval, organisation_with_primary, settings
from everpost.continuity.activation import Continuity
from everpost.continuity.monitor import CHANNEL, Monitor, Suspicions
from everpost.continuity.probe import ProbeResult, probe
from everpost.continuity.routes import RouteTable
from everpost.continuity.snapshot import RouteSnapshot
from everpost.directory.primary import PrimarySecrets, PrimarySettings
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from peers import PeerMissing
from peers.primary import MASTER_PASSWORD, Certificate, Primary
from world import until

pytestmark = pytest.mark.peer

PROBE = "probe@example.org"
SECRETS = PrimarySecrets(imap_password=MASTER_PASSWORD)


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    try:
        peer = Primary(users=[PROBE])
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with peer:
        yield peer


@pytest.fixture(autouse=True)
def _healthy_again(primary: Primary) -> Iterator[None]:
    yield
    primary.welcome()


def wanted(primary: Primary, **probe_settings: object) -> PrimarySettings:
    return settings(
        primary.smtp_port, primary.imap_port, **{"timeout_s": 1.0, "probe_address": PROBE, **probe_settings}
    )


async def look(primary: Primary, *, round_trip: bool = False, **probe_settings: object) -> ProbeResult:
    return await probe(
        wanted(primary, **probe_settings), SECRETS, hostname="mx.everpost.example", round_trip=round_trip
    )


async def test_a_healthy_primary_and_its_round_trip(primary: Primary) -> None:
    result = await look(primary)
    assert (result.ok, result.stage) == (True, "done")
    assert primary.messages(PROBE) == []  # asking leaves nothing behind
    result = await look(primary, round_trip=True)
    assert (result.ok, result.detail) == (True, "answers and delivers")
    assert primary.messages(PROBE) == []


async def test_each_way_to_fail_is_named(primary: Primary) -> None:
    primary.full()
    result = await look(primary)
    assert (result.ok, result.stage) == (False, "envelope")
    assert "452" in result.detail
    primary.welcome()
    primary.refuse(450, "4.2.0 later")
    assert not (await look(primary)).ok
    primary.refuse(550, "5.1.1 nobody")
    result = await look(primary)
    assert result.ok
    assert "refuses the probe address" in result.detail
    primary.welcome()
    primary.slow(5, "CONNECT")
    result = await look(primary)
    assert (result.ok, result.stage) == (False, "greeting")
    primary.slow(5, "RCPT")
    result = await look(primary)
    assert (result.ok, result.stage) == (False, "envelope")


async def test_a_wrong_certificate_counts_where_one_is_required(primary: Primary) -> None:
    plain = wanted(primary)
    smtp = msgspec.structs.replace(plain.smtp, host="localhost", tls="required", ca_file=str(primary.ca_file))
    strict = msgspec.structs.replace(plain, smtp=smtp)
    assert (await probe(strict, SECRETS, hostname="mx.everpost.example")).ok
    primary.set_certificate(Certificate.WRONG_NAME)
    try:
        result = await probe(strict, SECRETS, hostname="mx.everpost.example")
        assert (result.ok, result.stage) == (False, "tls")
    finally:
        primary.set_certificate(Certificate.VALID)


async def test_hung_and_dead(primary: Primary) -> None:
    primary.hang()
    try:
        began = time.monotonic()
        result = await look(primary)
        assert not result.ok
        assert time.monotonic() - began < 3.5
    finally:
        primary.resume()
    primary.kill()
    try:
        result = await look(primary)
        assert (result.ok, result.stage) == (False, "connect")
    finally:
        primary.start()
    assert (await look(primary)).ok


async def test_the_monitor_detects_activates_and_notices_the_return(
    primary: Primary, database: Database, master, keys: KeyRing
) -> None:
    fast = replace_probe(wanted(primary), interval_s=1.0, failures=3, successes=2, timeout_s=0.5)
    organisation = await organisation_with_primary(database, master, keys, fast, SECRETS)
    routes = RouteSnapshot(database)
    monitor = Monitor(database, keys, Continuity(database, routes), "mx.everpost.example")
    task = asyncio.create_task(monitor.run())
    listener = asyncio.create_task(database.listen({CHANNEL: monitor.heard}))

    async def state_is(state: str, ok: bool | None = None) -> bool:
        good = await fetchval(database, "SELECT ok FROM probe_result")
        return await fetchval(database, "SELECT trust_state FROM primary_server") == state and ok in (None, good)

    try:
        await until(lambda: state_is("trusted", True))
        primary.kill()
        began = time.monotonic()
        Suspicions(database).suspect_now(organisation.id, organisation.primary_id)
        await until(lambda: state_is("down"))
        assert time.monotonic() - began < 5
        assert await fetch(database, "SELECT cause FROM activation") == [("detected",)]
        assert isinstance(routes.table, RouteTable)

        async def is_known() -> bool:
            return len(routes.table.activations) == 1  # read again once the transaction has committed

        await until(is_known)
        primary.start()

        async def told() -> bool:
            return await fetchval(database, "SELECT count(*) FROM alert WHERE kind = 'primary up'") == 1

        await until(told, 15)
    finally:
        for running in (task, listener):
            running.cancel()
        await asyncio.gather(task, listener, return_exceptions=True)


def replace_probe(given: PrimarySettings, **changes: object) -> PrimarySettings:
    return msgspec.structs.replace(given, probe=msgspec.structs.replace(given.probe, **changes))
