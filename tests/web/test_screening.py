"""What people send from the webmail meets the guard and the rules, as mail by SMTP does."""

from __future__ import annotations

from typing import Any

import pytest

from auth_tools.zone import Zone
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.model import Disposition, Judgement, decode_verdict
from everpost.guard.policy.document import read_policy
from everpost.guard.policy.store import Policies, save_policy
from everpost.guard.sending.counts import SharedCounts
from everpost.guard.sending.model import Action, Amount, Limit, SendingLimits
from everpost.guard.steps.sending import Sending
from everpost.intake.screening import Screen
from everpost.serve.web.jmap.later import DelayedSender
from everpost.serve.web.jmap.sending import SendingParts
from web_tools.world import FOLDER, Person, World

PROGRAM = b"MZ\x90\x00" + b"\0" * 60
RULES = """
[[rule]]
id = "secrets"
name = "Nothing secret leaves"
state = "on"
when = [{ field = "direction", any = ["outbound"] }, { field = "subject", any = ["secret"] }]
do = [{ do = "%s" }]
"""


@pytest.fixture
def screen(world: World) -> Screen:
    settings = GuardSettings("mx.example.org")
    return world.screen_with(Guard(settings, make_steps(settings, Zone({}))), Policies(world.database))


async def rule(world: World, ann: Person, action: str) -> None:
    await save_policy(world.database, ann.account.organisation_id, read_policy((RULES % action).encode()), "a", "b")


async def send(person: Person, **properties: Any) -> dict[str, Any]:
    """A message to the world about something secret, filed under Sent as the webmail does it."""
    draft = await person.draft(to=[{"email": "you@example.net"}], subject="A secret")
    created = {"identityId": await person.identity(), "emailId": draft["id"]} | properties
    moved = {f"mailboxIds/{FOLDER['drafts']}": None, f"mailboxIds/{FOLDER['sent']}": True}
    answers = await person.calls(
        (
            "EmailSubmission/set",
            {"accountId": person.account_id, "create": {"s": created}, "onSuccessUpdateEmail": {"#s": moved}},
        )
    )
    return answers[0][1]


async def messages(world: World) -> list[Any]:
    async with world.database.connection() as connection:
        return await connection.fetch(
            "SELECT d.recipient, d.status, d.hold_reason, m.verdict FROM message m"
            " JOIN delivery d ON d.organisation_id = m.organisation_id AND d.message_id = m.id"
        )


async def test_what_a_rule_refuses_does_not_go_and_the_person_is_told(
    world: World, screen: Screen, ann: Person
) -> None:
    await rule(world, ann, "reject")
    answer = await send(ann)
    assert answer["notCreated"]["s"] == {
        "type": "forbiddenToSend",
        "description": "The message was not sent: a rule of your organisation is against it: Nothing secret leaves",
    }
    assert await messages(world) == []
    assert len(await ann.email_ids("drafts")) == 1
    assert await ann.email_ids("sent") == []


async def test_what_is_quarantined_waits_and_stands_under_sent(world: World, screen: Screen, ann: Person) -> None:
    await rule(world, ann, "quarantine")
    answer = await send(ann)
    assert answer["created"]["s"]["undoStatus"] == "final"
    [row] = await messages(world)
    assert (row["recipient"], row["status"], row["hold_reason"]) == ("you@example.net", "held", "quarantined")
    assert decode_verdict(row["verdict"]).disposition is Disposition.QUARANTINE
    assert len(await ann.email_ids("sent")) == 1


async def test_a_program_that_is_sent_is_kept_apart(world: World, screen: Screen, ann: Person) -> None:
    blob = await ann.upload(PROGRAM)
    attachment = {"blobId": blob, "name": "invoice.pdf.exe", "type": "application/octet-stream"}
    draft = await ann.draft(to=[{"email": "you@example.net"}], attachments=[attachment])
    made = {"identityId": await ann.identity(), "emailId": draft["id"]}
    answer = await ann.call("EmailSubmission/set", create={"s": made})
    assert not answer["notCreated"]
    [row] = await messages(world)
    assert decode_verdict(row["verdict"]).judgement is Judgement.MALWARE
    assert row["status"] == "held"


async def test_what_only_has_to_wait_says_so(world: World, screen: Screen, ann: Person) -> None:
    await rule(world, ann, "defer")
    answer = await send(ann)
    assert answer["notCreated"]["s"]["type"] == "forbiddenToSend"
    assert answer["notCreated"]["s"]["description"].startswith("The message cannot be sent now, try again later: ")


def later(seconds: int) -> dict[str, Any]:
    return {
        "mailFrom": {"email": "ann@example.org", "parameters": {"HOLDFOR": str(seconds)}},
        "rcptTo": [{"email": "you@example.net"}],
    }


async def run_later(world: World, screen: Screen) -> int:
    async with world.database.connection() as connection:
        await connection.execute("UPDATE submission SET send_at = send_at - interval '1 hour'")
    parts = SendingParts(world.database, world.standby, world.directory, world.intake, world.spool, screen)
    return await DelayedSender(parts).run_once()


async def test_mail_for_later_is_refused_at_once_and_again_when_its_time_has_come(
    world: World, screen: Screen, ann: Person
) -> None:
    made = (await send(ann, envelope=later(600)))["created"]["s"]
    await rule(world, ann, "reject")
    assert screen.policies is not None
    screen.policies.forget()
    assert (await send(ann, envelope=later(600)))["notCreated"]["s"]["type"] == "forbiddenToSend"
    assert await run_later(world, screen) == 0
    [row] = (await ann.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert row["undoStatus"] == "final"
    assert "Nothing secret leaves" in row["deliveryStatus"]["you@example.net"]["smtpReply"]
    assert await messages(world) == []


async def test_mail_for_later_that_has_to_wait_waits(world: World, screen: Screen, ann: Person) -> None:
    await rule(world, ann, "defer")
    made = (await send(ann, envelope=later(600)))["created"]["s"]
    assert await run_later(world, screen) == 0
    [row] = (await ann.call("EmailSubmission/get", ids=[made["id"]]))["list"]
    assert row["undoStatus"] == "pending"
    assert screen.policies is not None
    await rule(world, ann, "accept")
    screen.policies.forget()
    assert await run_later(world, screen) == 1
    assert [row["status"] for row in await messages(world)] == ["queued"]


async def test_mail_for_later_counts_once_and_a_limit_is_explained(world: World, ann: Person) -> None:
    settings = GuardSettings("mx.example.org")
    counts = Sending(SharedCounts(world.database), SendingLimits(Limit(Action.DEFER, Amount(2))))
    screen = world.screen_with(Guard(settings, make_steps(settings, Zone({}), sending=counts)))
    assert (await send(ann, envelope=later(600)))["created"]
    assert await run_later(world, screen) == 1
    assert (await send(ann))["created"]
    refused = (await send(ann))["notCreated"]["s"]
    assert refused == {
        "type": "forbiddenToSend",
        "description": "The message cannot be sent now, try again later: more is sent than is usual:"
        " ann@example.org: 3 messages within an hour, 2 are usual at most",
    }
    assert len(await messages(world)) == 2
