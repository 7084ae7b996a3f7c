"""Synchronisation from a real OpenLDAP, as OpenLDAP and as Active Directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from everpost.crypto.keys import SealingKey
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.ldap_sync import LdapProblem, LdapSource, read_ldap
from everpost.directory.sync import SyncReport, synchronise
from everpost.store.database import Database
from peers.process import free_port
from peers.slapd import ACCOUNT_DISABLED, ADMIN_PASSWORD, Slapd

pytestmark = pytest.mark.peer


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    with Slapd(sizelimit=20) as server:
        yield server


@pytest.fixture
def admin(database: Database, master: SealingKey) -> DirectoryAdmin:
    return DirectoryAdmin(database, master)


@pytest.fixture
async def organisation(admin: DirectoryAdmin) -> int:
    made = await admin.create_organisation("example")
    await admin.create_domain(made.id, "example.org")
    return made.id


class Syncing:
    def __init__(self, admin: DirectoryAdmin, database: Database, organisation: int, source: LdapSource) -> None:
        self.admin, self.database, self.organisation, self.source = admin, database, organisation, source

    async def run(self) -> SyncReport:
        wanted = await read_ldap(self.source)
        return await synchronise(self.admin, self.database, self.organisation, wanted, max_disabled_share=1.0)

    async def people(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        found = {}
        for each in await self.admin.mailboxes(self.organisation):
            full = await self.admin.mailbox(each.address, self.organisation)
            found[each.address] = (each.name, each.status, full.aliases)
        return found

    async def members(self, name: str) -> list[str]:
        group = await self.admin.group(self.organisation, name)
        return [each.label for each in await self.admin.members(self.organisation, group.id)]


async def test_active_directory(slapd: Slapd, admin: DirectoryAdmin, database: Database, organisation: int) -> None:
    syncing = Syncing(admin, database, organisation, LdapSource(slapd.uri, slapd.base, "ad", page_size=10))
    anna = slapd.add_person("Anna Berg", "anna@example.org", aliases=["a.berg@example.org", "anna@cloud.example"])
    ben = slapd.add_person("Ben Cole", "ben@example.org")
    gone = slapd.add_person("Carl Dorn", "carl@example.org", enabled=False)
    team = slapd.add_group("Team", "team@example.org", [anna, ben])
    slapd.add_group("Everybody", "everybody@example.org", [team, gone])
    report = await syncing.run()
    assert report.problems == []
    assert await syncing.people() == {
        "anna@example.org": ("Anna Berg", "active", ("a.berg@example.org",)),
        "ben@example.org": ("Ben Cole", "active", ()),
        "carl@example.org": ("Carl Dorn", "disabled", ()),
    }
    assert await syncing.members("team@example.org") == ["anna@example.org", "ben@example.org"]
    assert await syncing.members("Everybody") == ["Team", "carl@example.org"]
    assert (await syncing.run()).actions == []

    mailbox_id = (await admin.mailbox("anna@example.org", organisation)).id
    anna = slapd.rename(anna, "cn=Anna Cole")
    slapd.modify(
        anna,
        {
            "displayName": "Anna Cole",
            "mail": "anna.cole@example.org",
            "proxyAddresses": [
                "SMTP:anna.cole@example.org",
                "smtp:anna@example.org",
                "X500:/o=x",
                "sip:anna@example.org",
            ],
        },
    )
    slapd.modify(ben, {"userAccountControl": str(ACCOUNT_DISABLED)})
    slapd.delete(gone)
    report = await syncing.run()
    assert report.problems == []
    assert await syncing.people() == {
        "anna.cole@example.org": ("Anna Cole", "active", ("anna@example.org",)),
        "ben@example.org": ("Ben Cole", "disabled", ()),
        "carl@example.org": ("Carl Dorn", "disabled", ()),
    }
    assert (await admin.mailbox("anna.cole@example.org", organisation)).id == mailbox_id
    assert await syncing.members("Team") == ["anna.cole@example.org", "ben@example.org"]
    assert (await syncing.run()).actions == []


async def test_openldap_in_pages(slapd: Slapd, admin: DirectoryAdmin, database: Database, organisation: int) -> None:
    source = LdapSource(
        slapd.uri, slapd.people, bind_dn=slapd.admin_dn, password=ADMIN_PASSWORD, group_base=slapd.groups, page_size=7
    )
    syncing = Syncing(admin, database, organisation, source)
    names = [f"person{number:02}" for number in range(45)]  # more than the server returns without paging
    for name in names:
        mail = [f"{name}@example.org", f"{name}.alias@example.org"]
        slapd.add(f"cn={name},{slapd.people}", ["inetOrgPerson"], {"sn": name, "mail": mail})
    listed = [f"CN={name}, {slapd.people}" for name in names[:3]]
    slapd.add(
        f"cn=list,{slapd.groups}", ["groupOfNames", "extensibleObject"], {"member": listed, "mail": "list@example.org"}
    )
    report = await syncing.run()
    assert report.problems == []
    assert report.counts["created"] == 45
    assert (await syncing.people())["person44@example.org"][2] == ("person44.alias@example.org",)
    assert await syncing.members("list") == [f"{name}@example.org" for name in names[:3]]
    slapd.modify(f"cn=person00,{slapd.people}", {"mail": "renamed@example.org"})
    report = await syncing.run()
    assert report.counts == {"renamed": 1, "addresses": 2}
    assert await syncing.members("list") == ["person01@example.org", "person02@example.org", "renamed@example.org"]


async def test_what_cannot_be_read_changes_nothing(slapd: Slapd) -> None:
    with pytest.raises(LdapProblem, match="connecting"):
        await read_ldap(LdapSource(f"ldap://127.0.0.1:{free_port()}", slapd.base, timeout_s=2))
    with pytest.raises(LdapProblem, match="connecting"):
        await read_ldap(LdapSource(slapd.uri, slapd.base, bind_dn=slapd.admin_dn, password="wrong"))
    with pytest.raises(LdapProblem, match="connecting"):
        await read_ldap(LdapSource(slapd.uri, slapd.base, start_tls=True))
    with pytest.raises(LdapProblem, match="reading people"):
        await read_ldap(LdapSource(slapd.uri, "dc=nowhere,dc=example"))
    with pytest.raises(LdapProblem, match="reading people"):
        await read_ldap(LdapSource(slapd.uri, slapd.base, people_filter="(mail="))
    for number in range(5):
        slapd.add_person(f"Person {number}", f"p{number}@example.org")
    with pytest.raises(LdapProblem, match="more than 3 entries"):
        await read_ldap(LdapSource(slapd.uri, slapd.base, max_entries=3))
