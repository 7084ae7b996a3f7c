"""What the guard keeps from a person, over JMAP: seen safely, released, asked for; and whom they will hear from."""

from __future__ import annotations

import pytest

from everpost.continuity.homes import waiting_mailboxes
from everpost.guard.model import Judgement
from everpost.intake.quarantine import Quarantine
from everpost.intake.quarantine_settings import QuarantineSettings, SettingsError, save_settings
from everpost.store.ids import decode_id, encode_id
from quarantine_tools import content, keep
from web_tools.world import Person, World


@pytest.fixture
async def people(world: World) -> tuple[Person, Person]:
    return await world.person("ann@example.org", "a.nn@example.org"), await world.person("ben@example.org")


async def kept(world: World, *people: str, judgement: Judgement = Judgement.SPAM, octets: bytes | None = None) -> str:
    return encode_id(
        await keep(world.intake, world.directory, people or ["ann@example.org"], judgement=judgement, octets=octets)
    )


async def events(world: World, action: str) -> list[str]:
    async with world.database.connection() as connection:
        rows = await connection.fetch("SELECT actor FROM audit_event WHERE action = $1 ORDER BY id", action)
    return [row["actor"] for row in rows]


async def test_what_is_kept_is_listed_without_other_people(world: World, people: tuple[Person, Person]) -> None:
    ann, ben = people
    spam = await kept(world, "ann@example.org", "a.nn@example.org", "ben@example.org")
    phishing = await kept(world, judgement=Judgement.PHISHING, octets=content("Log in"))
    found = await ann.call("QuarantinedEmail/query", calculateTotal=True)
    assert (found["ids"], found["total"], found["canCalculateChanges"]) == ([phishing, spam], 2, False)
    assert (await ann.call("QuarantinedEmail/query", position=1, limit=1))["ids"] == [spam]
    assert (await ann.call("QuarantinedEmail/query", filter={"judgement": "phishing"}))["ids"] == [phishing]
    assert (await ann.call("QuarantinedEmail/query", filter={"subject": "LOG", "from": "bank"}))["ids"] == [phishing]
    assert await ann.refused("QuarantinedEmail/query", filter={"to": "x"}) == "unsupportedFilter"
    assert await ann.refused("QuarantinedEmail/query", sort=[{"property": "size"}]) == "unsupportedSort"
    answer = await ann.call("QuarantinedEmail/get", ids=[spam, "nothing"])
    [shown], missing = answer["list"], answer["notFound"]
    assert missing == ["nothing"]
    assert shown["from"] == [{"name": "Bank", "email": "news@bank.example"}]
    assert (shown["judgement"], shown["mayRelease"], shown["mayAsk"]) == ("spam", True, False)
    assert shown["reasons"] == ["192.0.2.1 may not send for bank.example"]
    assert "ben@" not in str(shown)
    assert (await ben.call("QuarantinedEmail/query"))["ids"] == [spam]
    assert (await ben.call("QuarantinedEmail/get", ids=[phishing]))["notFound"] == [phishing]


async def test_a_look_is_safe_and_malware_is_not_looked_at(world: World, people: tuple[Person, Person]) -> None:
    ann, _ = people
    html = content(body="<p>Hi <script>alert(1)</script>there</p>\r\n", fields={"Content-Type": "text/html"})
    spam, virus = await kept(world, octets=html), await kept(world, judgement=Judgement.MALWARE)
    wanted = ["text", "headers", "attachments", "isComplete", "mayRelease", "mayAsk"]
    by_id = {each["id"]: each for each in (await ann.call("QuarantinedEmail/get", properties=wanted))["list"]}
    assert by_id[spam]["text"] == "Hi there"
    assert {"name": "Subject", "value": "Your account"} in by_id[spam]["headers"]
    assert by_id[virus]["text"] is by_id[virus]["headers"] is by_id[virus]["attachments"] is None
    assert (by_id[virus]["mayRelease"], by_id[virus]["mayAsk"]) == (False, False)
    for method, refused in (
        ("release", "notReleased"), ("askForRelease", "notAsked"), ("reportNotJunk", "notReported"),
    ):  # fmt: skip
        answer = await ann.call(f"QuarantinedEmail/{method}", ids=[virus])
        assert answer[refused][virus]["type"] == "forbidden", method
    for _ in range(10):
        await kept(world)
    assert await ann.refused("QuarantinedEmail/get", properties=["text"]) == "requestTooLarge"
    assert len((await ann.call("QuarantinedEmail/get"))["list"]) == 12


async def test_one_of_two_lets_it_go_for_themselves(world: World, people: tuple[Person, Person]) -> None:
    ann, ben = people
    spam = await kept(world, "ann@example.org", "ben@example.org")
    answer = await ann.call("QuarantinedEmail/release", ids=[spam, "nothing"])
    assert (answer["released"], answer["notReleased"]) == ([spam], {"nothing": {"type": "notFound"}})
    assert await ann.email_ids() == [spam]
    assert await ben.email_ids() == []
    assert (await ann.call("QuarantinedEmail/get"))["list"] == []
    assert len((await ben.call("QuarantinedEmail/get"))["list"]) == 1
    again = await ann.call("QuarantinedEmail/release", ids=[spam])
    assert again["notReleased"] == {spam: {"type": "notFound"}}
    assert await events(world, "quarantine.release") == ["ann@example.org"]


async def test_what_may_not_be_released_is_asked_for_and_answered(world: World, people: tuple[Person, Person]) -> None:
    ann, _ = people
    phishing = await kept(world, judgement=Judgement.PHISHING)
    refused = await ann.call("QuarantinedEmail/release", ids=[phishing])
    assert refused["notReleased"][phishing]["type"] == "forbidden"
    for _ in range(2):
        asked = await ann.call("QuarantinedEmail/askForRelease", ids=[phishing], comment="I wait\nfor it")
        assert asked["asked"] == [phishing]
    state = (await ann.call("QuarantinedEmail/get"))["state"]
    assert (await ann.call("QuarantinedEmail/get", ids=[]))["state"] == state
    await ann.call("QuarantinedEmail/reportNotJunk", ids=[phishing])
    assert (await ann.call("QuarantinedEmail/query"))["queryState"] != state
    assert await events(world, "quarantine.request") == ["ann@example.org"]
    assert await events(world, "quarantine.not-junk") == ["ann@example.org"]
    [shown] = (await ann.call("QuarantinedEmail/get"))["list"]
    assert shown["askedAt"]
    assert shown["notJunkAt"]
    assert shown["answer"] is None
    admin = Quarantine(world.database, actor="admin:alice", homes=waiting_mailboxes)
    organisation = ann.account.organisation_id
    [listed] = await admin.list(organisation)
    assert (listed.asked, listed.not_junk) == (1, 1)
    await admin.refuse(organisation, decode_id(phishing), "a forgery")
    [shown] = (await ann.call("QuarantinedEmail/get"))["list"]
    assert (shown["answer"], shown["answerReason"]) == ("refused", "a forgery")
    long = await ann.refused("QuarantinedEmail/askForRelease", ids=[phishing], comment="x" * 501)
    assert long == "invalidArguments"


async def test_the_organisation_decides_what_people_release(world: World, people: tuple[Person, Person]) -> None:
    ann, _ = people
    spam = await kept(world)
    organisation = ann.account.organisation_id
    for forbidden in (Judgement.MALWARE, Judgement.PHISHING):
        with pytest.raises(SettingsError):
            await save_settings(
                world.database, organisation, QuarantineSettings(frozenset({forbidden})), "admin:alice"
            )  # fmt: skip
    await save_settings(world.database, organisation, QuarantineSettings(frozenset()), "admin:alice")
    [shown] = (await ann.call("QuarantinedEmail/get"))["list"]
    assert (shown["mayRelease"], shown["mayAsk"]) == (False, True)
    assert (await ann.call("QuarantinedEmail/release", ids=[spam]))["notReleased"][spam]["type"] == "forbidden"


async def test_rules_about_senders(world: World, people: tuple[Person, Person]) -> None:
    ann, ben = people
    state = (await ann.call("SenderRule/get"))["state"]
    made = await ann.call(
        "SenderRule/set",
        create={
            "a": {"sender": "News@Bank.example", "action": "deny"},
            "b": {"sender": "@shop.example", "action": "allow"},
            "c": {"sender": "no address", "action": "deny"},
            "d": {"sender": "x@y.example", "action": "perhaps"},
        },
    )
    assert made["created"]["a"]["sender"] == "news@bank.example"
    assert made["created"]["b"]["sender"] == "shop.example"
    assert {made["notCreated"][name]["type"] for name in "cd"} == {"invalidProperties"}
    replaced = await ann.call("SenderRule/set", create={"e": {"sender": "news@bank.example", "action": "allow"}})
    assert replaced["created"]["e"]["id"] == made["created"]["a"]["id"]
    rules = {each["sender"]: each["action"] for each in (await ann.call("SenderRule/get"))["list"]}
    assert rules == {"news@bank.example": "allow", "shop.example": "allow"}
    changed = await ann.call("SenderRule/changes", sinceState=state)
    assert sorted(changed["created"]) == sorted(made["created"][name]["id"] for name in "ab")
    gone = await ann.call("SenderRule/set", destroy=[made["created"]["b"]["id"], "nothing"])
    assert gone["destroyed"] == [made["created"]["b"]["id"]]
    assert gone["notDestroyed"]["nothing"]["type"] == "notFound"
    assert (await ben.call("SenderRule/get"))["list"] == []
    assert len(await events(world, "quarantine.sender-rule")) == 4


async def test_the_language_that_people_are_written_to_in(world: World, people: tuple[Person, Person]) -> None:
    ann, _ = people
    assert (await ann.call("QuarantineSettings/get"))["list"] == [{"id": "singleton", "language": None}]
    assert (await ann.call("QuarantineSettings/set", update={"singleton": {"language": "de"}}))["updated"]
    assert (await ann.call("QuarantineSettings/get"))["list"][0]["language"] == "de"
    wrong = await ann.call("QuarantineSettings/set", update={"singleton": {"language": "tlh"}})
    assert wrong["notUpdated"]["singleton"]["type"] == "invalidProperties"
