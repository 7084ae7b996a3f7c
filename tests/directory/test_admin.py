"""Administration of the directory against a real database: what is made can be found, resolved and audited."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from everpost.continuity.snapshot import RouteSnapshot
from everpost.continuity.trust import TrustState
from everpost.crypto.keys import SealingKey
from everpost.crypto.signing import sign, verify
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.changes import CHANNEL, SYSTEM_FOLDERS
from everpost.directory.model import MailboxTarget, OutsideTarget, Resolved, Unresolved
from everpost.directory.primary import (
    ImapConnector,
    PrimarySecrets,
    PrimarySettings,
    SmtpConnector,
    load_primaries,
)
from everpost.directory.records import DirectoryError
from everpost.directory.relays import RelayTable
from everpost.directory.resolve import Directory
from everpost.mail.address import Address
from everpost.standby.model import Role
from everpost.store import audit
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.store.sql import load

SETTINGS = PrimarySettings(SmtpConnector("mail.example.org", tls="required"), ImapConnector("imap.example.org"))


@pytest.fixture
def admin(database: Database, master: SealingKey) -> DirectoryAdmin:
    return DirectoryAdmin(database, master, actor="tester")


async def make(admin: DirectoryAdmin, name: str = "example", domain: str = "example.org") -> int:
    organisation = await admin.create_organisation(name, name.title())
    await admin.create_domain(organisation.id, domain)
    return organisation.id


async def reached(database: Database, text: str) -> set[str]:
    answer = await Directory(database).resolve(Address.parse(text))
    assert isinstance(answer, Resolved), answer
    return {
        str(target.deliver_to) if isinstance(target, MailboxTarget) else str(target.address)
        for target in answer.targets
    }


def test_system_folders_are_those_of_the_standby() -> None:
    assert [(role.value, role.folder_id, role.folder_name) for role in Role] == [
        (name, number, name.capitalize()) for number, name in enumerate(SYSTEM_FOLDERS, start=1)
    ]


async def test_organisation_has_keys_of_its_own(admin: DirectoryAdmin, database: Database, keys: KeyRing) -> None:
    made = await admin.create_organisation("example", "Example Ltd")
    assert await admin.organisation("example") == made
    key = await keys.organisation(made.id)
    async with database.connection() as connection:
        sealed = await connection.fetchval("SELECT signing_key FROM organisation WHERE id = $1", made.id)
    private = key.open(sealed, "signing")
    assert verify(made.signing_public, b"report", sign(private, b"report"))
    with pytest.raises(DirectoryError, match="already"):
        await admin.create_organisation("example")
    with pytest.raises(DirectoryError, match="short name"):
        await admin.create_organisation("Example Ltd")


async def test_mailbox_is_reached_and_has_its_folders(admin: DirectoryAdmin, database: Database) -> None:
    organisation = await make(admin)
    mailbox_id = await admin.create_mailbox(
        organisation, "Anna@Example.org", "Anna", alternate="anna@example.net", aliases=["a.one@example.org"]
    )
    assert await reached(database, "anna@example.org") == {"anna@example.org"}
    assert await reached(database, "a.one@example.org") == {"a.one@example.org"}
    async with database.connection() as connection:
        folders = await connection.fetch(
            "SELECT id, role FROM folder WHERE organisation_id = $1 AND mailbox_id = $2 ORDER BY id",
            organisation, mailbox_id,
        )  # fmt: skip
    assert [(row["id"], row["role"]) for row in folders] == [(role.folder_id, role.value) for role in Role]
    found = await admin.mailbox("A.ONE@example.org", organisation)
    assert (found.id, found.address, found.aliases) == (mailbox_id, "Anna@Example.org", ("a.one@example.org",))
    assert found.alternate == "anna@example.net"
    assert [each.id for each in await admin.mailboxes(organisation, "ann")] == [mailbox_id]
    assert await admin.mailboxes(organisation, "nobody") == []


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("anna@example.org", "taken"),
        ("ben@elsewhere.example", "not a domain of this organisation"),
        ("no address", "no mail address"),
        ("journal@example.org", "journal"),
    ],
)
async def test_mailbox_refused(admin: DirectoryAdmin, address: str, says: str) -> None:
    organisation = await make(admin)
    await admin.set_domain(organisation, "example.org", journal_local="journal")
    await admin.create_mailbox(organisation, "anna@example.org")
    with pytest.raises(DirectoryError, match=says):
        await admin.create_mailbox(organisation, address)
    assert len(await admin.mailboxes(organisation)) == 1


async def test_alias_comes_and_goes(admin: DirectoryAdmin, database: Database) -> None:
    organisation = await make(admin)
    await admin.create_mailbox(organisation, "anna@example.org")
    await admin.add_alias(organisation, "anna@example.org", "sales@example.org")
    assert await reached(database, "sales@example.org") == {"sales@example.org"}
    with pytest.raises(DirectoryError, match="default address"):
        await admin.remove_alias(organisation, "anna@example.org")
    await admin.set_default_address(organisation, "anna@example.org", "sales@example.org")
    await admin.remove_alias(organisation, "anna@example.org")
    answer = await Directory(database).resolve(Address.parse("anna@example.org"))
    assert answer is Unresolved.NO_SUCH_MAILBOX
    with pytest.raises(DirectoryError, match="no address"):
        await admin.remove_alias(organisation, "anna@example.org")


async def test_disabled_and_enabled(admin: DirectoryAdmin, database: Database) -> None:
    organisation = await make(admin)
    await admin.create_mailbox(organisation, "anna@example.org")
    await admin.disable(organisation, "anna@example.org")
    assert await Directory(database).resolve(Address.parse("anna@example.org")) is Unresolved.DISABLED
    await admin.enable(organisation, "anna@example.org")
    assert await reached(database, "anna@example.org") == {"anna@example.org"}


async def test_catch_all(admin: DirectoryAdmin, database: Database) -> None:
    organisation = await make(admin)
    await admin.create_mailbox(organisation, "anna@example.org")
    await admin.set_catch_all(organisation, "example.org", "anna@example.org")
    assert await reached(database, "whatever@example.org") == {"whatever@example.org"}
    await admin.set_catch_all(organisation, "example.org", None)
    answer = await Directory(database).resolve(Address.parse("whatever@example.org"))
    assert answer is Unresolved.NO_SUCH_MAILBOX


async def test_groups_nest_and_loop(admin: DirectoryAdmin, database: Database) -> None:
    organisation = await make(admin)
    for person in ("anna", "ben", "carl"):
        await admin.create_mailbox(organisation, f"{person}@example.org")
    await admin.create_group(organisation, "All of us", "all@example.org")
    await admin.create_group(organisation, "Team", "team@example.org")
    await admin.add_member(organisation, "All of us", "team@example.org")
    await admin.add_member(organisation, "all@example.org", "carl@example.org")
    await admin.add_member(organisation, "Team", "anna@example.org")
    await admin.add_member(organisation, "Team", "outside@example.net")
    await admin.add_member(organisation, "Team", "All of us")
    everyone = {"anna@example.org", "carl@example.org", "outside@example.net"}
    assert await reached(database, "all@example.org") == everyone
    assert await reached(database, "team@example.org") == everyone
    answer = await Directory(database).resolve(Address.parse("all@example.org"))
    assert isinstance(answer, Resolved)
    assert OutsideTarget(Address.parse("outside@example.net")) in answer.targets
    group = await admin.group(organisation, "Team")
    assert [each.label for each in await admin.members(organisation, group.id)] == [
        "All of us", "anna@example.org", "outside@example.net",
    ]  # fmt: skip
    await admin.remove_member(organisation, "Team", "outside@example.net")
    assert await reached(database, "all@example.org") == everyone - {"outside@example.net"}
    with pytest.raises(DirectoryError, match="itself"):
        await admin.add_member(organisation, "Team", "team@example.org")
    with pytest.raises(DirectoryError, match="no mailbox or group"):
        await admin.add_member(organisation, "Team", "typo@example.org")
    await admin.delete_group(organisation, "Team")
    assert await reached(database, "all@example.org") == {"carl@example.org"}


async def test_activated_group_is_not_deleted(admin: DirectoryAdmin, database: Database) -> None:
    organisation = await make(admin)
    group_id = await admin.create_group(organisation, "canaries")
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO access_switch VALUES ($1, 'group', $2, true, 'tester')", organisation, group_id
        )
    with pytest.raises(DirectoryError, match="switched"):
        await admin.delete_group(organisation, "canaries")


async def test_primary_is_kept_with_sealed_secrets(admin: DirectoryAdmin, database: Database, keys: KeyRing) -> None:
    organisation = await make(admin)
    secrets = PrimarySecrets("user", "smtp-pass-word", "imap-pass-word")
    primary_id = await admin.create_primary(organisation, "main", SETTINGS, secrets)
    await admin.set_domain(organisation, "example.org", primary_id=primary_id)
    (loaded,) = await load_primaries(database, keys)
    assert (loaded.organisation_id, loaded.id, loaded.name) == (organisation, primary_id, "main")
    assert (loaded.settings, loaded.secrets, loaded.trust_state) == (SETTINGS, secrets, "trusted")
    assert "pass-word" not in repr(loaded)
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM primary_server")
        events = await connection.fetchval("SELECT jsonb_agg(detail)::text FROM audit_event")
    assert b"pass-word" not in row["secrets"]
    assert "pass-word" not in events

    other = PrimarySettings(SmtpConnector("new.example.org"))
    await admin.update_primary(organisation, primary_id, settings=other)
    (loaded,) = await load_primaries(database, keys, organisation)
    assert (loaded.settings, loaded.secrets) == (other, secrets)
    assert (await admin.primary(organisation, "main")).settings == other
    (domain,) = await admin.domains(organisation)
    assert (domain.primary_id, domain.primary_name) == (primary_id, "main")


async def test_primary_of_another_organisation_is_out_of_reach(admin: DirectoryAdmin) -> None:
    one = await make(admin)
    two = await make(admin, "other", "other.example")
    primary_id = await admin.create_primary(one, "main", SETTINGS)
    with pytest.raises(DirectoryError):
        await admin.set_domain(two, "other.example", primary_id=primary_id)
    with pytest.raises(DirectoryError):
        await admin.create_domain(two, "more.example", primary_id=primary_id)
    with pytest.raises(DirectoryError):
        await admin.update_primary(two, primary_id, settings=SETTINGS)
    assert await admin.primaries(two) == []


async def test_two_organisations_do_not_see_each_other(admin: DirectoryAdmin) -> None:
    one = await make(admin)
    two = await make(admin, "other", "other.example")
    await admin.create_mailbox(one, "anna@example.org")
    await admin.create_group(one, "Team", "team@example.org")
    attempts = [
        admin.mailbox("anna@example.org", two),
        admin.group(two, "Team"),
        admin.group(two, "team@example.org"),
        admin.disable(two, "anna@example.org"),
        admin.add_alias(two, "anna@example.org", "spy@other.example"),
        admin.remove_alias(two, "team@example.org"),
        admin.create_mailbox(two, "spy@example.org"),
        admin.set_catch_all(two, "example.org", None),
        admin.set_catch_all(two, "other.example", "anna@example.org"),
        admin.domain(two, "example.org"),
    ]
    for attempt in attempts:
        with pytest.raises(DirectoryError):
            await attempt
    assert await admin.mailboxes(two) == []
    assert await admin.groups(two) == []
    await admin.create_group(two, "Team")
    await admin.add_member(two, "Team", "anna@example.org")  # just somebody outside, for this organisation
    group = await admin.group(two, "Team")
    assert [each.mailbox_id for each in await admin.members(two, group.id)] == [None]


async def test_relays_by_network_and_login(admin: DirectoryAdmin, database: Database) -> None:
    one = await make(admin)
    two = await make(admin, "other", "other.example")
    wide = await admin.create_primary(one, "wide", SETTINGS, smarthost_networks=["192.0.2.0/24", "2001:db8::/32"])
    narrow = await admin.create_primary(one, "narrow", SETTINGS, smarthost_networks=["192.0.2.128/25"])
    login = await admin.create_primary(two, "login", SETTINGS, relay_login="relay", relay_password="open sesame")
    table = RelayTable(database)
    await table.load()
    assert table.find("192.0.2.1") == (one, wide)
    assert table.find("192.0.2.200") == (one, narrow)
    assert table.find("::ffff:192.0.2.200") == (one, narrow)
    assert table.find("2001:db8:1::1") == (one, wide)
    assert table.find("192.0.3.1") is None
    assert table.find("nonsense") is None
    assert await table.check("relay", "open sesame") == (two, login)
    assert await table.check("relay", "open sesame") == (two, login)
    assert await table.check("relay", "wrong") is None
    assert await table.check("nobody", "open sesame") is None

    await admin.update_primary(two, login, relay_password="another word")
    await table.load()
    assert await table.check("relay", "open sesame") is None
    assert await table.check("relay", "another word") == (two, login)


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "192.0.2.0/24", "192.0.2.64/26", "192.0.0.0/16", "x"])
async def test_networks_refused(admin: DirectoryAdmin, network: str) -> None:
    one = await make(admin)
    two = await make(admin, "other", "other.example")
    await admin.create_primary(one, "main", SETTINGS, smarthost_networks=["192.0.2.0/24"])
    with pytest.raises(DirectoryError):
        await admin.create_primary(two, "main", SETTINGS, smarthost_networks=[network])


async def test_every_change_is_audited_and_announced(admin: DirectoryAdmin, database: Database) -> None:
    heard = asyncio.Queue[str]()
    listening = asyncio.create_task(database.listen({CHANNEL: heard.put_nowait}))
    assert await heard.get() == ""
    organisation = await make(admin)
    await admin.create_mailbox(organisation, "anna@example.org")
    for _ in range(3):
        assert await asyncio.wait_for(heard.get(), 5) == str(organisation)
    listening.cancel()
    async with database.connection() as connection:
        generation = await connection.fetchval("SELECT value FROM generation WHERE name = 'directory'")
        actions = [row["action"] for row in await connection.fetch("SELECT action FROM audit_event ORDER BY id")]
        actors = {row["actor"] for row in await connection.fetch("SELECT actor FROM audit_event")}
    assert generation == 4
    assert actions == ["organisation.created", "domain.created", "mailbox.created"]
    assert actors == {"tester"}
    await audit.chain(database)
    assert (await audit.verify_chain(database, organisation)).broken_at is None


async def test_refused_change_leaves_nothing_behind(admin: DirectoryAdmin, database: Database) -> None:
    organisation = await make(admin)
    await admin.create_mailbox(organisation, "anna@example.org")
    with pytest.raises(DirectoryError):
        await admin.create_mailbox(organisation, "ben@example.org", aliases=["anna@example.org"])
    assert [each.address for each in await admin.mailboxes(organisation)] == ["anna@example.org"]
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit_event WHERE subject LIKE 'ben%'") == 0


async def test_a_new_primary_is_known_to_the_next_message(database: Database, master: SealingKey) -> None:
    """An unknown primary counts as isolated: its mail would be held for no reason."""
    routes = RouteSnapshot(database)
    before = await routes.load()
    admin = DirectoryAdmin(database, master)
    organisation = await admin.create_organisation("acme")
    primary_id = await admin.create_primary(organisation.id, "main", PrimarySettings(SmtpConnector("mail.example.org")))
    async with database.transaction() as connection:
        generation = (await connection.fetchrow(load("store")["generations"]))["continuity"]
        assert generation > before.generation
        table = await routes.refresh(connection)
    assert table.state(organisation.id, primary_id) is TrustState.TRUSTED


async def test_a_new_alias_of_a_known_mailbox_costs_one_query(
    admin: DirectoryAdmin, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation_id = await make(admin)
    await admin.create_mailbox(organisation_id, "anna@example.org", aliases=["a@example.org", "b@example.org"])
    directory, asked = Directory(database), []
    whole = asyncpg.Connection.fetch, asyncpg.Connection.fetchrow
    for name, method in zip(("fetch", "fetchrow"), whole, strict=True):

        async def counted(connection: Any, query: str, *values: Any, method: Any = method) -> Any:
            asked.append(query)
            return await method(connection, query, *values)

        monkeypatch.setattr(asyncpg.Connection, name, counted)
    first = await directory.resolve(Address.parse("a@example.org"))
    asked.clear()
    second = await directory.resolve(Address.parse("b@example.org"))
    assert len(asked) == 1
    assert isinstance(first, Resolved)
    assert isinstance(second, Resolved)
    assert first.targets[0].place == second.targets[0].place
    assert str(second.targets[0].deliver_to) == "b@example.org"


async def test_an_answer_read_before_a_change_is_not_kept(admin: DirectoryAdmin, database: Database) -> None:
    organisation_id = await make(admin)
    await admin.create_mailbox(organisation_id, "anna@example.org")
    directory = Directory(database)
    address = Address.parse("anna@example.org")
    asking = asyncio.create_task(directory.resolve(address))
    while not asking.done():
        directory.forget()  # at every moment of it
        await asyncio.sleep(0)
    assert directory.cached(address) is None
    assert isinstance(await directory.resolve(address), Resolved)
    assert directory.cached(address) is not None
