"""RFC 8621 §8, RFC 3834: who is answered while somebody is away, and who is not."""

from __future__ import annotations

from typing import Any

import pytest

from everpost.mail.header import parse_header
from everpost.serve.web.jmap.answering import VacationResponder
from everpost.serve.web.jmap.sending import SendingParts
from everpost.standby.answers import whom_to_answer
from web_tools.world import Person, World, message

OWN = {"ann@example.org", "ann.alias@example.org"}


@pytest.mark.parametrize(
    ("path", "fields", "answered"),
    [
        ("you@example.net", "To: Ann <ann@example.org>\r\n", True),
        ("you@example.net", "Cc: x@y.example, ANN.alias@Example.org\r\n", True),
        ("you@example.net", "To: ann+list@example.org\r\n", True),
        ("you@example.net", "To: ann@example.org\r\nAuto-Submitted: no\r\n", True),
        ("you@example.net", "To: team@example.org\r\n", False),
        ("you@example.net", "", False),
        (None, "To: ann@example.org\r\n", False),
        ("you@example.net", "To: ann@example.org\r\nAuto-Submitted: auto-replied; x=y\r\n", False),
        ("you@example.net", "To: ann@example.org\r\nList-Id: <l.example.net>\r\n", False),
        ("you@example.net", "To: ann@example.org\r\nPrecedence: bulk\r\n", False),
        ("owner-l@example.net", "To: ann@example.org\r\n", False),
        ("l-request@example.net", "To: ann@example.org\r\n", False),
        ("MAILER-DAEMON@example.net", "To: ann@example.org\r\n", False),
        ("noreply@example.net", "To: ann@example.org\r\n", False),
        ("ann@example.org", "To: ann@example.org\r\n", False),
        ("not an address", "To: ann@example.org\r\n", False),
    ],
)
def test_rfc3834_2_whom_to_answer(path: str | None, fields: str, answered: bool) -> None:
    found = whom_to_answer(parse_header(fields.encode() + b"Subject: x\r\n\r\n"), path, OWN)
    assert (found is not None) == answered
    if found is not None:
        assert str(found) == path


async def sent(world: World) -> list[Any]:
    async with world.database.connection() as connection:
        return await connection.fetch(
            "SELECT d.recipient, d.kind, m.reverse_path, m.blob_id FROM delivery d JOIN message m"
            " ON m.organisation_id = d.organisation_id AND m.id = d.message_id WHERE d.kind = 'internet'"
        )


async def test_rfc8621_8_somebody_away_is_answered_for_once(world: World, ann: Person) -> None:
    parts = SendingParts(world.database, world.standby, world.directory, world.intake, world.spool)
    responder = VacationResponder(parts, world.routes, "mx.example.org")
    await world.deliver("ann@example.org", message("Before"), sender="early@example.net")
    await ann.call(
        "VacationResponse/set",
        update={"singleton": {"isEnabled": True, "textBody": "Back on Monday.", "htmlBody": "<b>Back</b>"}},
    )
    assert await responder.run_once() == 0
    await world.deliver("ann@example.org", message("Lunch?", Message_ID="<lunch@x>"), sender="you@example.net")
    await world.deliver("ann@example.org", message("Lunch again"), sender="you@example.net")
    await world.deliver("ann@example.org", message("List", List_Id="<l>"), sender="list@example.net")
    assert await responder.run_once() == 1
    assert await responder.run_once() == 0
    (row,) = await sent(world)
    assert (row["recipient"], row["reverse_path"]) == ("you@example.net", None)
    content = await world.standby.blobs.read(ann.account.organisation_id, row["blob_id"])
    for line in (b"Auto-Submitted: auto-replied", b"In-Reply-To: <lunch@x>", b"<ann@example.org>", b"Auto: Lunch?",
                 b"Back on Monday."):  # fmt: skip
        assert line in content, line
    await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": False}})
    await world.deliver("ann@example.org", message("Still there?"), sender="other@example.net")
    assert await responder.run_once() == 0
    await ann.call("VacationResponse/set", update={"singleton": {"isEnabled": True, "subject": "Away"}})
    assert await responder.run_once() == 0
    await world.deliver("ann@example.org", message("Again"), sender="you@example.net")
    assert await responder.run_once() == 1


async def test_rfc8621_8_dates_and_two_people_away_do_not_answer_each_other_for_ever(world: World, ann: Person) -> None:
    bob = await world.person("bob@example.org")
    parts = SendingParts(world.database, world.standby, world.directory, world.intake, world.spool)
    responder = VacationResponder(parts, world.routes, "mx.example.org")
    for person in (ann, bob):
        await person.call("VacationResponse/set", update={"singleton": {"isEnabled": True}})
    await world.deliver("ann@example.org", message("Hi"), sender="bob@example.org")
    assert await responder.run_once() == 1
    assert await responder.run_once() == 0
    assert len(await bob.email_ids()) == 1
    await ann.call("VacationResponse/set", update={"singleton": {"fromDate": "2999-01-01T00:00:00Z"}})
    await world.deliver("ann@example.org", message("Hi"), sender="new@example.net")
    assert await responder.run_once() == 0
