"""The pages behind a digest's links: looking triggers nothing, the button does, and only once."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import httpx
import pytest

from everpost.guard.model import Judgement
from everpost.guard.wishes import Wish
from everpost.intake.links import LIFETIME_S, Deed, DigestLinks
from everpost.intake.quarantine_settings import QuarantineSettings, save_settings
from everpost.intake.senders import rules_of
from everpost.serve.web.app import create_app
from quarantine_tools import content, keep
from web_tools.world import Person, World

LINKS = DigestLinks(b"k" * 32, "https://mail.example.org")


@pytest.fixture
async def http(world: World) -> httpx.AsyncClient:
    world.app = create_app(replace(world._services, links=LINKS))
    return world.client()  # nobody is logged in


async def link(world: World, ann: Person, deed: Deed, judgement: Judgement = Judgement.SPAM, age_s: float = 0) -> str:
    octets = content("Hello <b>you</b>", author="Bank <news@bank.example>")
    message_id = await keep(world.intake, world.directory, ["ann@example.org"], judgement=judgement, octets=octets)
    return LINKS.address(ann.account, message_id, deed, time.time() - age_s)


async def dump(world: World) -> list[str]:
    async with world.database.connection() as connection:
        tables = ("delivery", "entry", "quarantine_word", "sender_rule", "audit_event", "change")
        return [str(row) for table in tables for row in await connection.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]


async def test_looking_changes_nothing_and_the_button_does_it_once(
    world: World, ann: Person, http: httpx.AsyncClient
) -> None:
    url = await link(world, ann, Deed.RELEASE)
    before = await dump(world)
    for method in ("GET", "HEAD", "OPTIONS", "PUT"):
        answer = await http.request(method, url)
        assert answer.status_code in (200, 405)
    page = await http.get(url)
    assert await dump(world) == before
    assert "Release this message?" in page.text
    assert '<form method="post"><button' in page.text
    assert "&lt;b&gt;you&lt;/b&gt;" in page.text
    assert "<b>" not in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert (page.headers["cache-control"], page.headers["referrer-policy"]) == ("no-store", "no-referrer")
    done = await http.post(url)
    assert (done.status_code, "The message was released." in done.text) == (200, True)
    assert len(await ann.email_ids()) == 1
    after = await dump(world)
    assert sum("link:ann@example.org" in row for row in after) == 1  # whoever has the mail: nobody logged in
    for again in (await http.post(url), await http.get(url)):
        assert (again.status_code, "released already" in again.text) == (200, True)
        assert "<form" not in again.text
    assert await dump(world) == after


async def test_one_link_does_one_thing(world: World, ann: Person, http: httpx.AsyncClient) -> None:
    url = await link(world, ann, Deed.ASK, Judgement.PHISHING)
    assert "were asked" in (await http.post(url)).text
    assert "were asked" in (await http.get(url)).text
    assert await ann.email_ids() == []
    forged = LINKS.address(ann.account, LINKS.read(url.rpartition("/")[2]).message_id, Deed.RELEASE, time.time())  # type: ignore[union-attr]
    refused = await http.post(forged)
    assert "This cannot be done by a link" in refused.text
    assert await ann.email_ids() == []


async def test_never_malware(world: World, ann: Person, http: httpx.AsyncClient) -> None:
    for deed in (Deed.RELEASE, Deed.ASK):
        url = await link(world, ann, deed, Judgement.MALWARE)
        before = await dump(world)
        for answer in (await http.get(url), await http.post(url)):
            assert "This cannot be done by a link" in answer.text
            assert "<form" not in answer.text
        assert await dump(world) == before


async def test_senders(world: World, ann: Person, http: httpx.AsyncClient) -> None:
    allow, deny = await link(world, ann, Deed.ALLOW), await link(world, ann, Deed.DENY)

    async def rules() -> list[tuple[str, Wish]]:
        async with world.database.connection() as connection:
            found = await rules_of(connection, ann.account.organisation_id, ann.account.mailbox_id)
        return [(each.sender, each.wish) for each in found]

    assert "is allowed" in (await http.post(allow)).text
    assert await rules() == [("news@bank.example", Wish.ALLOW)]
    assert "is allowed" in (await http.get(allow)).text
    assert "is blocked" in (await http.post(deny)).text
    assert await rules() == [("news@bank.example", Wish.DENY)]
    assert "Yes, allow" in (await http.get(allow)).text


async def test_links_that_are_over_or_not_ours(world: World, ann: Person, http: httpx.AsyncClient) -> None:
    url = await link(world, ann, Deed.RELEASE, age_s=LIFETIME_S + 1)
    for answer in (await http.get(url), await http.post(url)):
        assert (answer.status_code, "This link is over" in answer.text) == (410, True)
    assert await ann.email_ids() == []
    good = await link(world, ann, Deed.RELEASE)
    other = DigestLinks(b"x" * 32, LINKS.base_url).address(ann.account, 1, Deed.RELEASE, time.time())
    gone = LINKS.address(ann.account, 1, Deed.RELEASE, time.time())
    for wrong in (good[:-2] + "AA", other, gone, "/quarantine/x", "/quarantine/%00"):
        assert (await http.get(wrong)).status_code == 404
        assert (await http.post(wrong)).status_code == 404
    german = await http.get("/quarantine/x", headers={"Accept-Language": "de-DE,en;q=0.5"})
    assert "Hier ist nichts." in german.text


async def test_the_page_is_in_the_persons_language(world: World, ann: Person, http: httpx.AsyncClient) -> None:
    await ann.call("QuarantineSettings/set", update={"singleton": {"language": "fr"}})
    page = await http.get(await link(world, ann, Deed.RELEASE))
    assert '<html lang="fr">' in page.text
    assert "Oui, libérer" in page.text


async def test_what_the_organisation_decides_counts_at_once(world: World, ann: Person, http: httpx.AsyncClient) -> None:
    url = await link(world, ann, Deed.RELEASE)
    settings = QuarantineSettings(frozenset())
    await save_settings(world.database, ann.account.organisation_id, settings, "admin:alice")
    assert "This cannot be done by a link" in (await http.post(url)).text
    assert await ann.email_ids() == []
    assert re.search(r"/quarantine/[\w-]{70,90}$", url)
