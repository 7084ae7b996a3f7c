"""Throwing the switches: what one transaction does to states, routes, the queue, people and the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from continuity.setting import add_delivery, deliveries, execute, fetch, fetchval, organisation_with_primary, settings
from everpost.continuity.activation import CleanBill, Continuity, Impossible
from everpost.continuity.routes import Route, Scope, ScopeKind
from everpost.continuity.snapshot import RouteSnapshot
from everpost.continuity.trust import TrustEvent, TrustState
from everpost.directory.model import Place
from everpost.directory.resolve import Directory
from everpost.store.audit import chain, verify_chain
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from world import Organisation

BILL = CleanBill(True, True, True, True, "report 17")


@dataclass
class World:
    database: Database
    routes: RouteSnapshot
    continuity: Continuity
    organisation: Organisation

    async def place(self, person: str) -> Place:
        return await Directory(self.database).place(self.organisation.id, self.organisation.mailboxes[person])

    async def route(self, person: str) -> Route:
        return self.routes.table.decide(await self.place(person)).route

    async def access(self, person: str) -> bool:
        return self.routes.table.access_open(await self.place(person))

    def scope(self, kind: ScopeKind, identifier: int) -> Scope:
        return Scope(self.organisation.id, kind, identifier)

    @property
    def primary(self) -> Scope:
        return self.scope(ScopeKind.PRIMARY, self.organisation.primary_id)

    def mailbox(self, person: str) -> Scope:
        return self.scope(ScopeKind.MAILBOX, self.organisation.mailboxes[person])

    async def handle(self, event: TrustEvent, actor: str = "everpost", reason: str = "why") -> TrustState:
        handled = await self.continuity.handle(
            self.organisation.id, self.organisation.primary_id, event, actor, "test", reason
        )
        return handled.state

    async def alerts(self) -> list[str]:
        return [row[0] for row in await fetch(self.database, "SELECT kind FROM alert ORDER BY id")]

    async def activations(self) -> list[tuple[object, ...]]:
        query = "SELECT scope_kind, cause, ended_at IS NULL FROM activation ORDER BY id"
        return await fetch(self.database, query)


@pytest.fixture
async def world(database: Database, master, keys: KeyRing) -> World:
    organisation = await organisation_with_primary(database, master, keys, settings())
    routes = RouteSnapshot(database)
    await routes.load()
    return World(database, routes, Continuity(database, routes, portal_url="https://mail.example.net"), organisation)


async def test_going_down_activates_holds_and_tells(world: World) -> None:
    await execute(world.database, "UPDATE mailbox SET alternate = name || '@elsewhere.example'")
    await add_delivery(world.database, world.organisation, "anna", 1)
    await add_delivery(world.database, world.organisation, "ben", 2, status="delivered")
    await add_delivery(world.database, world.organisation, "ben", 3, kind="internet")
    assert (await world.route("anna"), await world.access("anna")) == (Route.PRIMARY, False)
    assert await world.handle(TrustEvent.WENT_DOWN) is TrustState.DOWN
    assert (await world.route("anna"), await world.access("anna")) == (Route.STANDBY, True)
    assert await deliveries(world.database) == [(1, "held", "activated"), (2, "delivered", None), (3, "queued", None)]
    assert await world.activations() == [("primary", "detected", True)]
    assert await world.alerts() == ["activated", "primary down"]
    [text] = await fetch(world.database, "SELECT text, people_kind FROM alert WHERE kind = 'activated'")
    assert "https://mail.example.net" in text[0]
    assert text[1] == "primary"
    await chain(world.database)
    assert (await verify_chain(world.database, world.organisation.id)).broken_at is None
    actions = [row[0] for row in await fetch(world.database, "SELECT action FROM audit_event ORDER BY id")]
    assert actions == ["continuity.trust", "continuity.activate"]


async def test_down_again_changes_nothing(world: World) -> None:
    await world.handle(TrustEvent.WENT_DOWN)
    await world.handle(TrustEvent.WENT_DOWN)
    assert await world.activations() == [("primary", "detected", True)]
    assert await world.alerts() == ["activated", "primary down"]


async def test_without_automatic_activation_mail_stays_in_the_queue(database: Database, master, keys: KeyRing) -> None:
    organisation = await organisation_with_primary(database, master, keys, settings(activate=False))
    routes = RouteSnapshot(database)
    world = World(database, routes, Continuity(database, routes), organisation)
    await add_delivery(database, organisation, "anna", 1)
    assert await world.handle(TrustEvent.WENT_DOWN) is TrustState.DOWN
    assert await world.route("anna") is Route.PRIMARY
    assert await deliveries(database) == [(1, "queued", None)]
    assert await world.activations() == []
    assert await world.handle(TrustEvent.CAME_UP) is TrustState.DOWN
    assert await fetchval(database, "SELECT trust_state FROM primary_server") == "trusted"


async def test_isolation_cuts_both_ways_and_only_the_gate_leads_out(world: World) -> None:
    organisation = world.organisation
    await add_delivery(world.database, organisation, "anna", 1)
    await add_delivery(world.database, organisation, "anna", 2, status="held", hold="refused by primary")
    sent = {"kind": "internet", "source": "smarthost"}
    await add_delivery(world.database, organisation, "ben", 3, reverse_path="ben@example.org", **sent)
    await add_delivery(world.database, organisation, "ben", 4, reverse_path="x@elsewhere.example", **sent)
    await add_delivery(world.database, organisation, "ben", 5, kind="internet", source="webmail")
    assert await world.continuity.isolate(organisation.id, organisation.primary_id, "admin", "odd logins")
    assert await deliveries(world.database) == [
        (1, "held", "compromised"), (2, "held", "compromised"), (3, "held", "compromised"), (4, "queued", None),
        (5, "queued", None),
    ]  # fmt: skip
    assert not world.routes.table.may_attempt(organisation.id, organisation.primary_id)
    for event in TrustEvent:
        if event not in (TrustEvent.CLEAN_BILL, TrustEvent.ISOLATED):
            try:
                assert await world.handle(event, "anybody") is TrustState.COMPROMISED
            except Impossible:
                pass
    with pytest.raises(Impossible, match="clean bill"):
        await world.continuity.deactivate(world.primary, "admin", "back")
    bill = CleanBill(rebuilt=True, way_in_closed=True, forwarding_checked=True, evidence="x")
    with pytest.raises(Impossible, match="credentials rotated"):
        await world.continuity.clean_bill(organisation.id, organisation.primary_id, "admin", bill)
    assert await world.continuity.clean_bill(organisation.id, organisation.primary_id, "admin", BILL) is TrustState.DOWN
    assert await world.route("anna") is Route.STANDBY
    assert (await deliveries(world.database))[:3] == [
        (1, "held", "activated"), (2, "held", "activated"), (3, "held", "operator"),
    ]  # fmt: skip
    assert world.routes.table.may_attempt(organisation.id, organisation.primary_id)


@pytest.mark.parametrize("kind", list(ScopeKind))
async def test_by_hand_for_every_kind_of_scope(world: World, kind: ScopeKind) -> None:
    organisation = world.organisation
    group = await world.database.ids.new()
    await execute(world.database, "INSERT INTO mail_group VALUES ($1, $2, 'team')", organisation.id, group)
    inner = await world.database.ids.new()
    await execute(world.database, "INSERT INTO mail_group VALUES ($1, $2, 'inner')", organisation.id, inner)
    member = "INSERT INTO group_member (organisation_id, group_id, member_group_id, mailbox_id) VALUES ($1, $2, $3, $4)"
    await execute(world.database, member, organisation.id, group, inner, None)
    await execute(world.database, member, organisation.id, inner, None, organisation.mailboxes["anna"])
    ids = {
        ScopeKind.ORGANISATION: organisation.id, ScopeKind.PRIMARY: organisation.primary_id,
        ScopeKind.DOMAIN: organisation.domain_id, ScopeKind.GROUP: group,
        ScopeKind.MAILBOX: organisation.mailboxes["anna"],
    }  # fmt: skip
    await add_delivery(world.database, organisation, "anna", 1)
    await add_delivery(world.database, organisation, "ben", 2)
    scope = world.scope(kind, ids[kind])
    first = await world.continuity.activate(scope, "admin", "maintenance")
    assert await world.continuity.activate(scope, "admin", "again") == first
    narrow = kind in (ScopeKind.GROUP, ScopeKind.MAILBOX)
    assert await world.route("anna") is Route.STANDBY
    assert await world.route("ben") is (Route.PRIMARY if narrow else Route.STANDBY)
    ben = (2, "queued", None) if narrow else (2, "held", "activated")
    assert await deliveries(world.database) == [(1, "held", "activated"), ben]
    result = await world.continuity.deactivate(scope, "admin", "done")
    assert result.failback_id is not None  # mail waits: it has to be brought back


async def test_nothing_happened_ends_at_once(world: World) -> None:
    await world.continuity.activate(world.primary, "admin", "drill")
    result = await world.continuity.deactivate(world.primary, "admin", "over")
    assert (result.ended, result.failback_id) == (True, None)
    assert await world.route("anna") is Route.PRIMARY
    assert await world.activations() == [("primary", "person", False)]
    with pytest.raises(LookupError):
        await world.continuity.deactivate(world.primary, "admin", "twice")


async def test_what_somebody_did_meanwhile_has_to_be_brought_back(world: World) -> None:
    await world.continuity.activate(world.primary, "admin", "x")
    mailbox = world.organisation.mailboxes["anna"]
    await execute(
        world.database,
        "INSERT INTO change VALUES ($1, $2, 1, now(), 'keywords', 5, NULL, '{}', 'anna')",
        world.organisation.id, mailbox,
    )  # fmt: skip
    assert (await world.continuity.deactivate(world.primary, "admin", "over")).failback_id is not None


async def test_a_scope_of_another_organisation_is_none(world: World, master, keys: KeyRing) -> None:
    other = await organisation_with_primary(world.database, master, keys, settings(), name="other")
    for kind, identifier in (
        (ScopeKind.PRIMARY, other.primary_id), (ScopeKind.DOMAIN, other.domain_id),
        (ScopeKind.MAILBOX, other.mailboxes["anna"]), (ScopeKind.ORGANISATION, other.id),
    ):  # fmt: skip
        with pytest.raises(LookupError):
            await world.continuity.activate(world.scope(kind, identifier), "admin", "x")
        with pytest.raises(LookupError):
            await world.continuity.set_access(world.scope(kind, identifier), "admin", opened=True)
    with pytest.raises(LookupError):
        await world.continuity.handle(world.organisation.id, other.primary_id, TrustEvent.ISOLATED, "x", "x")


async def test_access_is_a_switch_of_its_own(world: World) -> None:
    await world.continuity.set_access(world.mailbox("anna"), "admin", opened=True)
    assert (await world.access("anna"), await world.access("ben")) == (True, False)
    assert await world.route("anna") is Route.PRIMARY
    await world.continuity.activate(world.primary, "admin", "quiet", opens_access=False)
    assert (await world.access("anna"), await world.access("ben")) == (True, False)
    await world.continuity.set_access(world.primary, "admin", opened=True)
    await world.continuity.set_access(world.mailbox("anna"), "admin", opened=False)
    assert (await world.access("anna"), await world.access("ben")) == (False, True)
    await world.continuity.set_access(world.mailbox("anna"), "admin", opened=None)
    assert await world.access("anna")


async def test_scheduled_start_and_end(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    activation = await world.continuity.activate(
        world.primary, "admin", "maintenance", starts_at=soon, ends_at=soon + timedelta(hours=1)
    )
    assert await world.route("anna") is Route.PRIMARY
    assert await world.continuity.run_due() == 0
    await add_delivery(world.database, world.organisation, "anna", 1)
    await execute(world.database, "UPDATE activation SET starts_at = now() - interval '1 s'")
    assert await world.continuity.run_due() == 1
    assert await world.route("anna") is Route.STANDBY
    assert await deliveries(world.database) == [(1, "held", "activated")]
    assert await world.continuity.run_due() == 0
    await execute(world.database, "UPDATE activation SET ends_at = now() - interval '1 s'")
    assert await world.continuity.run_due() == 1
    assert await fetch(world.database, "SELECT activation_id, state FROM failback") == [(activation, "running")]
    assert await world.continuity.run_due() == 0


async def test_a_scheduled_activation_can_be_called_off(world: World) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(Impossible):
        await world.continuity.activate(world.primary, "admin", "x", starts_at=soon, ends_at=soon)
    await world.continuity.activate(world.primary, "admin", "x", starts_at=soon)
    assert (await world.continuity.deactivate(world.primary, "admin", "not needed")).ended
    await execute(world.database, "UPDATE activation SET starts_at = now() - interval '1 s'")
    assert await world.continuity.run_due() == 0


async def test_coming_up_starts_the_failback_by_itself_only_where_told_and_never_doubted(
    database: Database, master, keys: KeyRing
) -> None:
    organisation = await organisation_with_primary(database, master, keys, settings(failback=True))
    routes = RouteSnapshot(database)
    world = World(database, routes, Continuity(database, routes), organisation)
    await add_delivery(database, organisation, "anna", 1)
    await world.handle(TrustEvent.WENT_DOWN)
    await world.handle(TrustEvent.CAME_UP)
    assert await fetchval(database, "SELECT trust_state FROM primary_server") == "recovering"
    run = await fetchval(database, "SELECT id FROM failback")
    assert await world.continuity.stop_failback(organisation.id, run, "admin", "look first")
    assert not await world.continuity.stop_failback(organisation.id, run, "admin", "twice")
    assert await fetchval(database, "SELECT trust_state FROM primary_server") == "down"
    await world.handle(TrustEvent.DOUBTED, "admin")
    await world.handle(TrustEvent.CAME_UP)
    assert await fetchval(database, "SELECT trust_state FROM primary_server") == "down"
    assert await fetchval(database, "SELECT count(*) FROM failback") == 1
    assert (await world.alerts())[-1] == "primary up"


async def test_coming_up_without_automatic_failback_only_tells(world: World) -> None:
    await add_delivery(world.database, world.organisation, "anna", 1)
    await world.handle(TrustEvent.WENT_DOWN)
    await world.handle(TrustEvent.CAME_UP)
    assert await fetchval(world.database, "SELECT trust_state FROM primary_server") == "down"
    assert (await world.alerts())[-1] == "primary up"


async def test_a_primary_that_does_not_answer_gets_no_failback(world: World) -> None:
    await add_delivery(world.database, world.organisation, "anna", 1)
    await world.handle(TrustEvent.WENT_DOWN)
    await execute(
        world.database, "INSERT INTO probe_result VALUES ($1, $2, now(), false, 'connect', 'refused', 1, now(), 1)",
        world.organisation.id, world.organisation.primary_id,
    )  # fmt: skip
    with pytest.raises(Impossible, match="connect: refused"):
        await world.continuity.deactivate(world.primary, "admin", "back")
    result = await world.continuity.deactivate(world.primary, "admin", "back", although_unreachable=True)
    assert result.failback_id is not None


async def test_down_again_during_failback_takes_back_what_had_returned(world: World) -> None:
    database, organisation = world.database, world.organisation
    await add_delivery(database, organisation, "anna", 1)
    await add_delivery(database, organisation, "ben", 2)
    await world.handle(TrustEvent.WENT_DOWN)
    run = (await world.continuity.deactivate(world.primary, "admin", "back")).failback_id
    anna = organisation.mailboxes["anna"]
    await execute(database, "UPDATE failback_mailbox SET returned_at = now() WHERE mailbox_id = $1", anna)
    await execute(database, "UPDATE delivery SET status = 'delivered', hold_reason = NULL WHERE message_id = 1")
    await execute(database, "UPDATE delivery SET status = 'queued', hold_reason = 'returning' WHERE message_id = 2")
    await world.routes.load()
    assert (await world.route("anna"), await world.route("ben")) == (Route.PRIMARY, Route.STANDBY)
    await add_delivery(database, organisation, "anna", 3)
    assert await world.handle(TrustEvent.WENT_DOWN) is TrustState.DOWN
    assert (await world.route("anna"), await world.route("ben")) == (Route.STANDBY, Route.STANDBY)
    assert await deliveries(database) == [(1, "delivered", None), (2, "held", "activated"), (3, "held", "activated")]
    assert await fetch(database, "SELECT state FROM failback WHERE id = $1", run) == [("stopped",)]
    assert await world.activations() == [("primary", "detected", False), ("primary", "detected", True)]


async def test_narrow_and_wide_activations_do_not_undo_each_other(world: World) -> None:
    await world.continuity.activate(world.mailbox("anna"), "admin", "her phone")
    await world.handle(TrustEvent.WENT_DOWN)
    await add_delivery(world.database, world.organisation, "anna", 1, status="held", hold="activated")
    await add_delivery(world.database, world.organisation, "ben", 2, status="held", hold="activated")
    # Ending the narrow one brings nothing back: she is still covered by the wide one.
    assert (await world.continuity.deactivate(world.mailbox("anna"), "admin", "x")).ended
    assert await world.route("anna") is Route.STANDBY
    assert await fetchval(world.database, "SELECT trust_state FROM primary_server") == "down"
    await world.continuity.activate(world.mailbox("anna"), "admin", "her phone again")
    run = (await world.continuity.deactivate(world.primary, "admin", "back")).failback_id
    members = await fetch(world.database, "SELECT mailbox_id FROM failback_mailbox WHERE failback_id = $1", run)
    assert members == [(world.organisation.mailboxes["ben"],)]
