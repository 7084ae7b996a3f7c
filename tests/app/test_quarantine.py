"""`everpost quarantine`: what an administrator does about it at a terminal."""

from __future__ import annotations

from app_tools import Office, number_of
from everpost.app.assembly import mailroom
from everpost.app.config import load_config
from everpost.continuity.homes import waiting_mailboxes
from everpost.guard.model import Judgement
from everpost.intake.kept_from_me import KeptMail
from everpost.standby.values import Account
from everpost.store.blobs import KeyRing
from everpost.store.ids import encode_id
from quarantine_tools import content, keep

ORG = ("--org", "example")


async def kept(office: Office, *people: str, judgement: Judgement = Judgement.SPAM, subject: str = "Offer") -> str:
    config = load_config(office.everpost.config, {})
    async with mailroom(config, office.database, KeyRing(office.database, config.load_master_key())) as room:
        recipients = [f"{person}@example.org" for person in people]
        return encode_id(
            await keep(room.intake, room.directory, recipients, judgement=judgement, octets=content(subject))
        )


async def test_it_is_searched_shown_and_decided(office: Office) -> None:
    spam = await kept(office, "anna", "ben")
    phishing = await kept(office, "ben", judgement=Judgement.PHISHING, subject="Log \x1b[31min")
    listed = await office.everpost.json("quarantine", "list", *ORG)
    assert [each["id"] for each in listed] == [phishing, spam]
    for words, found in (
        (("--judgement", "phishing"), [phishing]), (("--recipient", "anna"), [spam]), (("--sender", "nobody"), []),
        (("--subject", "OFFER"), [spam]), (("--mailbox", "anna@example.org"), [spam]), (("--asked",), []),
    ):  # fmt: skip
        assert [each["id"] for each in await office.everpost.json("quarantine", "list", *words, *ORG)] == found, words
    shown = await office.everpost.run("quarantine", "show", phishing, *ORG)
    assert "Click here" in shown
    assert "taken for phishing" in shown
    assert "\x1b" not in shown
    assert (await office.everpost.json("quarantine", "show", spam, *ORG))["text"] == "Click here\n"
    assert "anna@example.org" in await office.everpost.run("quarantine", "release", spam, "anna@example.org", *ORG)
    assert "ben@example.org" in await office.everpost.run("quarantine", "expire", spam, "--reason", "old", *ORG)
    assert await office.statuses(spam) == [("queued", None), ("expired", None)]
    for verb in ("release", "expire"):
        error = await office.everpost.error("quarantine", verb, spam, *ORG)
        assert "nothing of message" in error
    assert "nothing of message" in await office.everpost.error("quarantine", "show", spam, *ORG)


async def test_requests_are_answered(office: Office) -> None:
    phishing = await kept(office, "ben", judgement=Judgement.PHISHING)
    [(mailbox_id,)] = await office.fetch("SELECT mailbox_id FROM address WHERE key = 'ben@example.org'")
    ben = KeptMail(
        office.database, Account(office.ids["example"], mailbox_id), actor="ben@example.org", homes=waiting_mailboxes
    )  # fmt: skip
    await ben.ask(number_of(phishing), "I wait for it")
    [request] = await office.everpost.json("quarantine", "requests", *ORG)
    assert (request["id"], request["mailbox"], request["comment"]) == (phishing, "ben@example.org", "I wait for it")
    assert [each["id"] for each in await office.everpost.json("quarantine", "list", "--asked", *ORG)] == [phishing]
    refused = await office.everpost.json("quarantine", "refuse", phishing, "--reason", "forged", *ORG)
    assert refused == {"refused": 1}
    assert await office.everpost.json("quarantine", "requests", *ORG) == []
    assert "nobody asks" in await office.everpost.error("quarantine", "refuse", phishing, "--reason", "x", *ORG)
    assert await office.statuses(phishing) == [("held", "quarantined")]


async def test_settings(office: Office) -> None:
    default = {
        "self_release": ["spam", "suspicious"], "digest": "daily", "hour": 8, "zone": "UTC",
    }  # fmt: skip
    assert await office.everpost.json("quarantine", "settings", *ORG) == default
    changed = await office.everpost.json(
        "quarantine", "settings", "--digest", "hourly", "--zone", "Europe/Berlin", "--self-release", "none", *ORG
    )
    assert changed == default | {"self_release": [], "digest": "hourly", "zone": "Europe/Berlin"}
    assert await office.everpost.json("quarantine", "settings", *ORG) == changed
    for wrong in ("malware", "phishing", "nonsense"):
        await office.everpost.error("quarantine", "settings", "--self-release", wrong, *ORG)
    assert "no time zone" in await office.everpost.error("quarantine", "settings", "--zone", "Mars", *ORG)
    assert await office.everpost.json("quarantine", "settings", *ORG) == changed
