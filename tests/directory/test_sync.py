"""Synchronisation: plans are right, applying them once is enough, and nothing is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everpost.crypto.keys import SealingKey
from everpost.directory.actions import (
    Action,
    Current,
    CurrentMailbox,
    Member,
    MemberKind,
    RemoveAddress,
    SetActive,
    Wanted,
    WantedGroup,
    WantedMailbox,
)
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.csv_import import CsvError, read_csv
from everpost.directory.model import Rights
from everpost.directory.plan import plan
from everpost.directory.records import DirectoryError
from everpost.directory.sync import SyncReport, TooManyGone, _apply_batch, read_current, synchronise
from everpost.mail.address import Address
from everpost.store.database import Database


def person(number: str | None, address: str, name: str = "", *aliases: str, enabled: bool = True) -> WantedMailbox:
    parsed = tuple(Address.parse(alias) for alias in aliases)
    return WantedMailbox(number, Address.parse(address), name or address, aliases=parsed, enabled=enabled)


def in_group(*addresses: str) -> frozenset[Member]:
    return frozenset(Member(MemberKind.MAILBOX, address) for address in addresses)


class World:
    def __init__(self, admin: DirectoryAdmin, database: Database, organisation_id: int) -> None:
        self.admin, self.database, self.id = admin, database, organisation_id

    async def sync(
        self, *people: WantedMailbox, groups: tuple[WantedGroup, ...] = (), complete: bool = True, source: str = "ldap",
        share: float = 0.2,
    ) -> SyncReport:  # fmt: skip
        wanted = Wanted(source, people, groups, complete)
        report = await synchronise(self.admin, self.database, self.id, wanted, max_disabled_share=share)
        again = plan(await read_current(self.database, self.id), wanted)
        if not report.problems:
            assert again.actions == []
        return report

    async def state(self) -> dict[str, tuple[str, str, list[str]]]:
        """Default address → (name, status, aliases)."""
        found = {}
        for each in await self.admin.mailboxes(self.id):
            full = await self.admin.mailbox(each.address, self.id)
            found[each.address] = (each.name, each.status, sorted(full.aliases))
        return found

    async def members(self, group: str) -> list[str]:
        return [each.label for each in await self.admin.members(self.id, (await self.admin.group(self.id, group)).id)]


@pytest.fixture
async def world(database: Database, master: SealingKey) -> World:
    admin = DirectoryAdmin(database, master)
    organisation = await admin.create_organisation("example")
    await admin.create_domain(organisation.id, "example.org")
    await admin.create_domain(organisation.id, "example.net")
    return World(admin, database, organisation.id)


async def test_creates_renames_moves_and_disables(world: World) -> None:
    report = await world.sync(
        person("1", "anna@example.org", "Anna", "a@example.org", "anna@cloud.example"), person("2", "ben@example.org")
    )
    assert report.problems == []
    assert report.counts == {"created": 2}
    before = (await world.admin.mailbox("anna@example.org", world.id)).id
    report = await world.sync(person("1", "anna.berg@example.net", "Anna Berg", "anna@example.org"))
    assert report.counts == {"renamed": 2, "addresses": 1, "disabled": 1}
    assert await world.state() == {
        "anna.berg@example.net": ("Anna Berg", "active", ["anna@example.org"]),
        "ben@example.org": ("ben@example.org", "disabled", []),
    }
    after = await world.admin.mailbox("anna@example.org", world.id)
    assert after.id == before
    assert after.domain_id == (await world.admin.domain(world.id, "example.net")).id
    report = await world.sync(
        person("1", "anna.berg@example.net", "Anna Berg", "anna@example.org"), person("2", "ben@example.org")
    )
    assert report.counts == {"enabled": 1}


async def test_what_was_made_by_hand_stays(world: World) -> None:
    await world.admin.create_mailbox(world.id, "shared@example.org", kind="shared")
    await world.admin.create_mailbox(world.id, "anna@example.org", "by hand")
    await world.admin.add_alias(world.id, "anna@example.org", "old@example.org")
    report = await world.sync(person("1", "anna@example.org", "Anna"))
    assert report.counts == {"taken_over": 1, "renamed": 1}
    report = await world.sync(person("1", "anna.berg@example.org", "Anna"))
    assert await world.state() == {
        "anna.berg@example.org": ("Anna", "active", ["anna@example.org", "old@example.org"]),
        "shared@example.org": ("shared", "active", []),
    }


async def test_another_sources_mailbox_is_left_alone(world: World) -> None:
    await world.sync(person(None, "anna@example.org", "Anna"), source="csv")
    report = await world.sync(person("1", "anna@example.org", "Somebody"))
    assert report.counts == {}
    assert "belongs to the source csv" in report.problems[0]
    assert (await world.state())["anna@example.org"][0] == "Anna"


async def test_an_address_passes_to_a_newcomer(world: World) -> None:
    await world.sync(person("1", "anna@example.org"), person("2", "ben@example.org", "", "help@example.org"))
    report = await world.sync(
        person("1", "anna.berg@example.org"), person("3", "anna@example.org", "New"),
        person("2", "ben@example.org"), person("4", "carl@example.org", "", "help@example.org"),
    )  # fmt: skip
    assert report.problems == []
    assert await world.state() == {
        "anna.berg@example.org": ("anna.berg@example.org", "active", []),
        "anna@example.org": ("New", "active", []),
        "ben@example.org": ("ben@example.org", "active", []),
        "carl@example.org": ("carl@example.org", "active", ["help@example.org"]),
    }


async def test_an_address_that_passed_on_meanwhile_stays_with_its_new_owner(world: World) -> None:
    """The plan is older than a change made by hand while it ran."""
    await world.sync(person("1", "anna@example.org", "", "help@example.org"), person("2", "ben@example.org"))
    anna = await world.admin.mailbox("anna@example.org", world.id)
    await world.admin.remove_alias(world.id, "help@example.org")
    await world.admin.add_alias(world.id, "ben@example.org", "help@example.org")
    failed: list[tuple[Action, str]] = []
    stale: list[Action] = [RemoveAddress("help@example.org", anna.id, None)]
    await _apply_batch(world.admin, world.id, "ldap", stale, failed)
    assert failed == []
    assert (await world.state())["ben@example.org"][2] == ["help@example.org"]


async def test_a_chain_of_renames(world: World) -> None:
    await world.sync(person("1", "a@example.org"), person("2", "b@example.org"))
    report = await world.sync(person("1", "b@example.org"), person("2", "c@example.org"))
    assert report.problems == []
    assert sorted(await world.state()) == ["b@example.org", "c@example.org"]
    assert (await world.admin.mailbox("b@example.org", world.id)).external_id == "1"


async def test_problems_are_named_and_stop_nothing(world: World) -> None:
    await world.admin.create_mailbox(world.id, "taken@example.org")
    report = await world.sync(
        person("1", "anna@elsewhere.example"), person("2", "ben@example.org", "Ben\x00"),
        person("3", "carl@example.org"),
        person("4", "carl@example.org"), person("5", "dora@example.org", "", "taken@example.org"),
    )  # fmt: skip
    assert sorted(await world.state()) == ["carl@example.org", "dora@example.org", "taken@example.org"]
    assert len(report.problems) == 4
    assert any("elsewhere.example is not a domain" in problem for problem in report.problems)


async def test_a_source_that_lists_next_to_nothing_is_not_believed(world: World) -> None:
    people = [person(str(number), f"p{number}@example.org") for number in range(20)]
    await world.sync(*people)
    with pytest.raises(TooManyGone):
        await world.sync()
    with pytest.raises(TooManyGone):
        await world.sync(*people[:10])
    assert all(status == "active" for _, status, _ in (await world.state()).values())
    await world.sync(*people[:16])
    report = await world.sync(*people[:2], share=1.0)
    assert report.counts == {"disabled": 14}


async def test_dry_run_changes_nothing(world: World) -> None:
    wanted = Wanted("ldap", (person("1", "anna@example.org"),), (WantedGroup("g", "Team"),))
    report = await synchronise(world.admin, world.database, world.id, wanted, dry_run=True)
    assert report.actions == ["create mailbox anna@example.org (anna@example.org)", "create group Team"]
    assert await world.state() == {}
    assert await world.admin.groups(world.id) == []


async def test_groups_follow(world: World) -> None:
    people = (person("1", "anna@example.org"), person("2", "ben@example.org"))
    team = WantedGroup("g", "Team", Address.parse("team@example.org"), (), in_group("anna@example.org"))
    everyone = WantedGroup("h", "All", None, (), frozenset({Member(MemberKind.GROUP, "Team")}))
    report = await world.sync(*people, groups=(everyone, team))
    assert report.problems == []
    assert await world.members("All") == ["Team"]
    assert await world.members("team@example.org") == ["anna@example.org"]
    await world.admin.create_group(world.id, "hand made")
    both = in_group("ben@example.org", "outside@elsewhere.example")
    renamed = WantedGroup("g", "The team", Address.parse("the-team@example.org"), (), both)
    report = await world.sync(*people, groups=(renamed,))
    assert report.problems == ["the source has no group All any more: remove it with `everpost group delete`"]
    assert await world.members("The team") == ["ben@example.org", "outside@elsewhere.example"]
    assert (await world.admin.group(world.id, "The team")).addresses == ("the-team@example.org",)
    assert len(await world.admin.groups(world.id)) == 3


_numbers = st.sampled_from("123456")
_keys = st.sampled_from([f"{letter}@example.org" for letter in "abcdefgh"])
_people = st.lists(
    st.builds(
        lambda number, address, aliases, enabled: person(number, address, "", *aliases, enabled=enabled),
        _numbers, _keys, st.lists(_keys, max_size=3), st.booleans(),
    ),
    max_size=6, unique_by=lambda each: each.external_id,
)  # fmt: skip
_found = st.lists(
    st.tuples(_numbers, st.sampled_from(["ldap", "csv", "manual"])), max_size=5, unique_by=lambda each: each[0]
)


@given(_found, _people, st.data())
def test_plans_keep_addresses_apart(
    found: list[tuple[str, str]], people: list[WantedMailbox], data: st.DataObject
) -> None:
    """Whatever both sides hold: nobody made by another source changes, no address is given to two people."""
    free = [f"{letter}@example.org" for letter in "abcdefgh"]
    mailboxes = []
    for index, (number, source) in enumerate(found):
        count = data.draw(st.integers(1, max(1, min(2, len(free) - len(found) + index + 1))))
        keys, free = free[:count], free[count:]
        external = number if source == "ldap" else None
        mailboxes.append(
            CurrentMailbox(index, source, external, keys[0], "person", True, None, keys[0], dict.fromkeys(keys, source))
        )
    current = Current(frozenset({"example.org"}), tuple(mailboxes))
    todo = plan(current, Wanted("ldap", tuple(people)))
    touched = {action.mailbox_id for action in todo.actions if hasattr(action, "mailbox_id")}
    assert not touched & {each.id for each in mailboxes if each.source == "csv"}
    disabled = {action.mailbox_id for action in todo.actions if isinstance(action, SetActive) and not action.active}
    assert not disabled & {each.id for each in mailboxes if each.source == "csv"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_people, min_size=1, max_size=3))
async def test_any_history_settles(world: World, histories: list[list[WantedMailbox]]) -> None:
    """After each run, everybody whose address was not disputed has it, and mailboxes are never lost."""
    seen: set[int] = set()
    for people in histories:
        wanted = Wanted("ldap", tuple(people))
        report = await synchronise(world.admin, world.database, world.id, wanted, max_disabled_share=1.0)
        current = await read_current(world.database, world.id)
        ids = {each.id for each in current.mailboxes}
        assert seen <= ids
        seen = ids
        if not report.problems:
            by_id = {each.external_id: each for each in current.mailboxes}
            for each in people:
                assert by_id[each.external_id].default_key == each.address.key
                assert by_id[each.external_id].active == each.enabled


# ---------------------------------------------------------------------- CSV

SHEET = """\ufeffAddress,name,kind,aliases,groups,alternate,password
anna@example.org,"Berg, Anna",person,a@example.org; b@example.org,Team;all@example.org,anna@home.example,correct horse

shared@example.org,Shared,shared,,Team,,
"""


async def test_csv(world: World) -> None:
    people = read_csv(SHEET.encode())
    assert people.passwords == {"anna@example.org": "correct horse"}
    assert "horse" not in repr(people)
    report = await synchronise(world.admin, world.database, world.id, people.wanted(complete=False))
    assert report.problems == []
    assert await world.state() == {
        "anna@example.org": ("Berg, Anna", "active", ["a@example.org", "b@example.org"]),
        "shared@example.org": ("Shared", "active", []),
    }
    assert await world.members("Team") == ["anna@example.org", "shared@example.org"]
    assert (await world.admin.group(world.id, "all@example.org")).addresses == ("all@example.org",)
    assert (await world.admin.mailbox("a@example.org", world.id)).alternate == "anna@home.example"
    smaller = read_csv(b"address,name\nanna@example.org,Anna\n")
    report = await synchronise(world.admin, world.database, world.id, smaller.wanted(complete=False))
    assert report.counts == {"renamed": 1}
    report = await synchronise(world.admin, world.database, world.id, smaller.wanted(complete=True))
    assert report.counts["disabled"] == 1
    assert (await world.state())["shared@example.org"][1] == "disabled"


def test_csv_delegates() -> None:
    people = read_csv(
        b"address,delegates\noffice@example.org, ann@example.org=Read; ben@example.org\nann@example.org,\n"
    )
    ann, ben = Address.parse("ann@example.org"), Address.parse("ben@example.org")
    assert people.delegates == {"office@example.org": ((ann, Rights.READ), (ben, Rights.WRITE))}
    for text, says in (("ann@example.org=own", "the rights are read, write, send"), ("ann", "delegate 'ann'")):
        with pytest.raises(CsvError, match=says):
            read_csv(f"address,delegates\noffice@example.org,{text}\n".encode())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: the column 'address' is missing"),
        ("name\nAnna\n", "line 1: the column 'address' is missing"),
        ("adress\nx\n", "line 1: there is no column 'adress': did you mean 'address'?"),
        ("address;name\nx;y\n", "separated by semicolons"),
        ("address,address\nx,y\n", "twice"),
        ("address,name\nanna@example.org\n", "line 2: 1 fields where the first line has 2"),
        ("address\nanna\n", "line 2: address 'anna': address without a domain"),
        ("address\na@example.org\n\nA@example.org\n", "line 4: A@example.org stands in line 2 already"),
        ("address,kind\na@example.org,robot\n", "line 2: kind 'robot' is neither"),
        ("address,aliases\na@example.org,b\n", "line 2: alias 'b'"),
        ("address,alternate\na@example.org,b\n", "line 2: alternate 'b'"),
        ('address,name\na@example.org,"Anna\n', "line"),
        ('address,name\na@example.org,"An"na"\n', "line 2"),
        ("address,name\na@example.org,An\x00na\n", "line 2"),
        ("address,name\na@example.org," + "x" * 20_000 + "\n", "line 2: a field is longer"),
        ("address,name\na@example.org," + "x" * 200_000 + "\n", "line 2"),
    ],
)
def test_csv_refused(text: str, says: str) -> None:
    with pytest.raises(CsvError) as caught:
        read_csv(text.encode())
    assert says in str(caught.value)


def test_csv_bounds() -> None:
    with pytest.raises(CsvError, match="line 3: not UTF-8"):
        read_csv(b"address,name\na@example.org,Anna\nb@example.org,M\xfcller\n")
    with pytest.raises(CsvError, match="MiB"):
        read_csv(b"address\n" + b"x" * 33 * 1024 * 1024)
    with pytest.raises(CsvError) as caught:
        read_csv(b"address\n" + b"x\n" * 1000)
    assert len(str(caught.value).splitlines()) == 20


@given(st.text(max_size=200) | st.lists(st.text(max_size=20), max_size=10).map(",".join))
def test_csv_never_fails_otherwise(text: str) -> None:
    try:
        read_csv(("address,name,aliases,groups\n" + text).encode("utf-8", "surrogatepass"))
    except DirectoryError:
        pass
