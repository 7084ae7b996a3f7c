"""Links of delivery copies: replaced on the way to the primary, judged again when somebody clicks."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from aiosmtpd.smtp import SMTP as SinkProtocol  # noqa: N811
from starlette.applications import Starlette
from starlette.routing import Route

from auth_tools.zone import Zone
from e2e.test_mail_flow import Sink, World, send
from everpost.auth.resolver import RecordType
from everpost.directory.model import Banner, CopyPolicy, Language, LinkRewriting
from everpost.directory.settings import OrganisationSettings
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.links.addresses import ClickAddresses, click_key
from everpost.guard.links.clicked import ClickOutcome
from everpost.guard.links.clicks import sign_click
from everpost.guard.links.findings import LinkContext
from everpost.guard.links.lists import LinkLists
from everpost.guard.steps.links import Links
from everpost.guard.verdict import Policy
from everpost.queue.trace import read_trace
from everpost.serve.web.clicks import ClickPage, ClickServices
from everpost.store.ids import decode_id
from world import Node, make_organisation, until

BASE = "https://standby.example.org"
KEY = click_key(b"k" * 32)
NAMES = {
    "good.example": {RecordType.TXT: ["v=spf1 ip4:127.0.0.1 -all"]},
    "_dmarc.good.example": {RecordType.TXT: ["v=DMARC1; p=reject"]},
}
MESSAGE = (
    b"From: Cora <cora@good.example>\r\nTo: anna@example.org\r\nSubject: Hello\r\nMessage-ID: <one@good.example>\r\n"
    b"\r\nThe report: https://files.example/report?id=7 and ours: https://standby.example.org/x\r\n"
)


@dataclass
class Site:
    """An installation with a page of clicked links, and the file of addresses to be blocked."""

    world: World
    settings: OrganisationSettings
    web: httpx.AsyncClient
    blocked: Path
    lists: LinkLists
    outcomes: list[ClickOutcome]

    async def set(self, policy: CopyPolicy) -> None:
        await self.settings.set_copies(self.world.organisation.id, policy)
        self.world.node.directory.forget()

    async def copy_of(self, content: bytes = MESSAGE) -> tuple[str, bytes]:
        """Queue id, and what the primary got."""
        node = self.world.node
        had = len(self.world.primary.got)
        queue_id = await asyncio.to_thread(send, node.mx.port, ["anna@example.org"], content, "cora@good.example")

        async def delivered() -> bool:
            return len(self.world.primary.got) > had

        await until(delivered)
        return queue_id, self.world.primary.got[-1][2]


@pytest.fixture
async def site(database, master, keys, tmp_path) -> AsyncIterator[Site]:
    organisation = await make_organisation(database, master)
    primary = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SinkProtocol(primary, loop=loop), "127.0.0.1", 0)
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("")
    lists = LinkLists.of([blocked])
    links = Links(frozenset({"standby.example.org"}), lists)
    settings = GuardSettings("mx.everpost.example", clicks=ClickAddresses(BASE, KEY), link_lists=lists)
    guard = Guard(settings, make_steps(settings, Zone(NAMES), links))
    node = Node(database, keys, tmp_path, organisation, run=1, guard=guard)
    node.primary_at(organisation, server.sockets[0].getsockname()[1])
    await node.start()

    async def context(organisation_id: int) -> LinkContext:
        return links.context(await node.directory.domains_of(organisation_id))

    outcomes: list[ClickOutcome] = []
    page = ClickPage(ClickServices({KEY.number: KEY}, Policy(), context, outcomes.append), database)
    app = Starlette(routes=[Route("/click/{token}", page.show)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as web:
        world = World(node, organisation, primary, Sink())
        yield Site(world, OrganisationSettings(database, actor="admin"), web, blocked, lists, outcomes)
    await node.stop()
    server.close()


def clicks_in(copy: bytes) -> list[str]:
    return re.findall(r"https://standby\.example\.org/click/[A-Za-z0-9_-]+", copy.decode())


async def test_copies_stay_as_they_are_unless_an_organisation_wants_it(site: Site) -> None:
    _, copy = await site.copy_of()
    assert copy.endswith(MESSAGE)


async def test_a_click_leads_on_until_the_address_is_known_to_be_bad(site: Site) -> None:
    await site.set(CopyPolicy(LinkRewriting.ALL))
    queue_id, copy = await site.copy_of()
    assert b"files.example" not in copy
    assert b"ours: https://standby.example.org/x" in copy
    [address] = clicks_in(copy)
    answer = await site.web.get(address)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://files.example/report?id=7")
    assert answer.headers["referrer-policy"] == "no-referrer"
    site.blocked.write_text("files.example\n")
    assert site.lists.look()
    answer = await site.web.get(address, headers={"Accept-Language": "de-AT,de;q=0.9"})
    assert answer.status_code == 403
    assert "location" not in answer.headers
    assert "Dieser Link ist gesperrt" in answer.text
    assert 'href="https://files.example' not in answer.text
    assert site.outcomes == [ClickOutcome.OPENED, ClickOutcome.BLOCKED]
    node, organisation = site.world.node, site.world.organisation
    async with node.database.connection() as connection:
        trace = await read_trace(connection, organisation.id, decode_id(queue_id))
        blob = await connection.fetchval("SELECT blob_id FROM message")
    assert trace is not None
    assert [(each.url, each.blocked, each.times) for each in trace.clicks] == [
        ("https://files.example/report?id=7", True, 2)
    ]
    assert await node.blobs.read(organisation.id, blob) == MESSAGE  # the original stays as it came


async def test_a_bad_list_leaves_what_the_last_one_held(site: Site) -> None:
    site.blocked.write_text("files.example\n")
    assert site.lists.look()
    assert not site.lists.look()
    broken = site.blocked.with_suffix(".json")
    lists = LinkLists.of([site.blocked, broken])
    broken.write_text("{")
    lists.look()
    assert len(lists.blocked) == 1
    assert str(broken) in lists.problems[0]
    broken.write_text('{"Attribute": [{"type": "domain", "value": "evil.example", "to_ids": true}]}')
    lists.look()
    assert (len(lists.blocked), lists.problems) == (2, ())
    site.blocked.unlink()
    lists.look()
    assert len(lists.blocked) == 2
    assert str(site.blocked) in lists.problems[0]


async def test_what_we_did_not_sign_leads_nowhere(site: Site) -> None:
    await site.set(CopyPolicy(LinkRewriting.ALL))
    _, copy = await site.copy_of()
    [address] = clicks_in(copy)
    other = sign_click(replace(KEY, secret=b"x" * 32), site.world.organisation.id, 1, "https://evil.example/", 2e9)
    for forged in (address[:-1] + ("A" if address[-1] != "A" else "B"), f"{BASE}/click/{other}", f"{BASE}/click/x"):
        answer = await site.web.get(forged)
        assert answer.status_code == 404
        assert "evil.example" not in answer.text


async def test_an_old_one_shows_its_address_and_does_not_lead_there(site: Site) -> None:
    token = sign_click(KEY, site.world.organisation.id, 1, "https://files.example/a<b>", time.time() - 7200)
    answer = await site.web.get(f"/click/{token}")
    assert answer.status_code == 410
    assert "https://files.example/a" in answer.text
    assert "<b>" not in answer.text
    assert "href=" not in answer.text


async def test_an_odd_one_warns_first(site: Site) -> None:
    url = "http://exarnple.org/login?a=1&b=2"
    answer = await site.web.get(f"/click/{sign_click(KEY, site.world.organisation.id, 1, url, time.time() + 60)}")
    assert answer.status_code == 200
    assert "exarnple.org looks like example.org" in answer.text
    assert 'href="http://exarnple.org/login?a=1&amp;b=2"' in answer.text


async def test_signed_mail_stays_where_an_organisation_wants_that(site: Site) -> None:
    await site.set(CopyPolicy(LinkRewriting.UNSIGNED))
    signed = b"DKIM-Signature: v=1; d=good.example; s=x; a=rsa-sha256; h=from; bh=x; b=x\r\n" + MESSAGE
    _, copy = await site.copy_of(signed)
    assert clicks_in(copy) == []
    _, copy = await site.copy_of()
    assert len(clicks_in(copy)) == 1


async def test_a_banner_in_the_language_of_the_organisation(site: Site) -> None:
    await site.set(CopyPolicy(banner=Banner.EXTERNAL, language=Language.FR))
    _, copy = await site.copy_of()
    assert b"[!] Ce message vient de l'ext" in copy


async def test_the_page_does_without_the_database(site: Site) -> None:
    await site.set(CopyPolicy(LinkRewriting.ALL))
    _, copy = await site.copy_of()
    [address] = clicks_in(copy)
    await site.world.node.database.close()
    answer = await site.web.get(address)
    assert answer.headers["location"] == "https://files.example/report?id=7"
