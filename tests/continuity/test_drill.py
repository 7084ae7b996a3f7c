"""A drill takes its canaries to the standby and back, measures, and leaves everybody else alone."""

from __future__ import annotations

import asyncio
import smtplib
from dataclasses import dataclass

import pytest

from continuity.setting import fetch, fetchval, set_primary, settings
from continuity.test_failback import World, primary, world
from everpost.continuity.activation import Impossible
from everpost.continuity.drill import Drill, Outcome
from everpost.continuity.routes import Route, Scope, ScopeKind
from everpost.directory.primary import PrimarySecrets
from peers.primary import MASTER_PASSWORD

pytestmark = pytest.mark.peer
__all__ = ["primary", "world"]


@dataclass
class Stranger:
    """Sends to our MX, as anybody would."""

    port: int
    silent: bool = False

    async def send(self, organisation_id: int, recipients: list[str], message_id: str) -> None:
        if not self.silent:
            await asyncio.to_thread(self._send, recipients, message_id)

    def _send(self, recipients: list[str], message_id: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
            head = f"From: <drill@example.com>\r\nDate: Fri, 08 Mar 2024 10:00:00 +0000\r\nMessage-ID: <{message_id}>"
            client.sendmail("drill@example.com", recipients, f"{head}\r\nSubject: drill\r\n\r\ndrill\r\n")


def drill_of(world: World, stranger: Stranger, timeout_s: float = 30) -> Drill:
    return Drill(
        world.database, world.keys, world.node.routes, world.continuity, world.runner(), world.standby, stranger,
        timeout_s=timeout_s,
    )  # fmt: skip


def canary(world: World) -> Scope:
    return Scope(world.organisation.id, ScopeKind.MAILBOX, world.account().mailbox_id)


async def test_there_and_back(world: World) -> None:
    fast = settings(world.primary.smtp_port, world.primary.imap_port, interval_s=0.4, timeout_s=0.5)
    await set_primary(
        world.database, world.keys, world.organisation, fast, PrimarySecrets(imap_password=MASTER_PASSWORD)
    )
    outcome: Outcome = await drill_of(world, Stranger(world.node.mx.port)).run(canary(world), "admin")
    figures = outcome.figures
    assert (outcome.passed, figures.problems) == (True, [])
    assert (figures.replayed, figures.changes, figures.lost, figures.duplicated) == (1, 1, 0, 0)
    assert figures.detect_s is not None
    assert 0.7 < figures.detect_s < 2
    assert all(value is not None and value < 10 for value in (figures.switch_s, figures.readable_s, figures.return_s))
    [stored] = world.there()["drill"]
    assert stored.flags == {"\\Seen"}
    assert await world.route() is Route.PRIMARY
    assert await world.state() == "trusted"
    assert await fetch(world.database, "SELECT outcome FROM drill") == [("passed",)]
    others = await fetchval(
        world.database, "SELECT count(*) FROM failback_mailbox WHERE mailbox_id <> $1", canary(world).id
    )
    assert others == 0


async def test_one_that_gets_stuck_is_rolled_back(world: World) -> None:
    drill = drill_of(world, Stranger(world.node.mx.port, silent=True), timeout_s=1)
    outcome = await drill.run(canary(world), "admin", measure_detection=False)
    assert not outcome.passed
    assert await world.route() is Route.PRIMARY
    assert await fetch(world.database, "SELECT outcome FROM drill") == [("failed",)]


async def test_no_drill_beyond_canaries_or_in_trouble(world: World) -> None:
    drill = drill_of(world, Stranger(world.node.mx.port))
    with pytest.raises(Impossible, match="canary"):
        await drill.run(world.scope, "admin")
    await world.down()
    with pytest.raises(Impossible, match="not trusted"):
        await drill.run(canary(world), "admin")
    await world.continuity.activate(canary(world), "admin", "x")
    with pytest.raises(Impossible, match="no drill"):
        await drill.run(canary(world), "admin")
