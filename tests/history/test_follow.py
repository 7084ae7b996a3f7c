"""The standby follows a real Dovecot while that is the master, and not a moment longer."""

from __future__ import annotations

from pathlib import Path

import pytest

# The world of the failback tests: a real Postfix and Dovecot.
from continuity.test_failback import HOSTNAME, LONG_AGO, MESSAGE, World, primary, world  # noqa: F401
from everpost.directory.primary import load_primaries
from everpost.intake.follow import Followed, Following, Settings
from everpost.store.sql import load
from history.setting import Mailbox

pytestmark = pytest.mark.peer
_SQL = load("follow")


class Box(Mailbox):
    """Anna's, here and there."""

    def __init__(self, world: World, folder: Path) -> None:  # noqa: F811
        super().__init__(world.database, world.keys, world.organisation, folder, world.anna)
        self.world = world
        self.ended: list[Followed] = []
        settings = Settings(interval_s=0.0, connections=1, rate=0)
        self._following = Following(world.database, world.keys, HOSTNAME, folder, settings, self.ended.append)

    async def follow(self) -> Followed:
        """One round of this mailbox."""
        self.ended.clear()
        async with self.database.connection() as connection:
            await connection.execute("DELETE FROM follow_mailbox WHERE mailbox_id <> $1", self.account.mailbox_id)
            await connection.execute(
                "INSERT INTO follow_mailbox (organisation_id, mailbox_id, due_at) VALUES ($1, $2, now())"
                " ON CONFLICT DO NOTHING", self.account.organisation_id, self.account.mailbox_id,
            )  # fmt: skip
            row = await connection.fetchrow(
                "SELECT f.accepts_loss, f.mailbox_id, a.written AS address FROM follow_mailbox f JOIN address a"
                " USING (organisation_id, mailbox_id) WHERE f.mailbox_id = $1 AND a.is_default", self.account.mailbox_id
            )  # fmt: skip
        (found,) = await load_primaries(self.database, self.keys, self.account.organisation_id)
        return await self._following._mailbox(found, row)

    def there(self):
        return self.world.primary.imap(self.world.address())

    def append(self, folder: str, *words: str, flags: str = "") -> None:
        with self.there() as client:
            if not client.folder_exists(folder):
                client.create_folder(folder)
            for word in words:
                client.append(folder, MESSAGE % ((word.encode(),) * 3), flags.split(), LONG_AGO)

    async def shown(self) -> dict[str, tuple[list[str], list[str]]]:
        return {subject: (folders, keywords) for subject, (folders, keywords, *_) in (await self.entries()).items()}


@pytest.fixture
def box(world: World, tmp_path: Path) -> Box:  # noqa: F811
    return Box(world, tmp_path)


async def test_what_people_do_there_is_done_here(box: Box) -> None:
    await box.world.receive("wire")
    await box.world.arrived("wire")
    box.append("INBOX", "old", "away", flags="\\Seen")
    assert await box.follow() is Followed.FOLLOWING
    assert await box.shown() == {
        "wire": (["Inbox"], []), "old": (["Inbox"], ["$seen"]), "away": (["Inbox"], ["$seen"])
    }  # fmt: skip
    with box.there() as client:
        client.create_folder("Projects")
        client.select_folder("INBOX")
        [wire], [old], [away] = (client.search(["SUBJECT", word]) for word in ("wire", "old", "away"))
        client.add_flags([wire], ["\\Seen", "\\Flagged", "later"])
        client.remove_flags([old], ["\\Seen"])
        client.move([old], "Projects")
        client.delete_messages([away])
        client.expunge([away])
    assert await box.follow() is Followed.FOLLOWING
    assert await box.shown() == {
        "wire": (["Inbox"], ["$flagged", "$seen", "later"]), "old": (["Projects"], [])
    }  # fmt: skip
    before = await box.fetch("SELECT modseq FROM mailbox WHERE id = $1", box.account.mailbox_id)
    assert await box.follow() is Followed.FOLLOWING  # nothing has happened
    assert await box.fetch("SELECT modseq FROM mailbox WHERE id = $1", box.account.mailbox_id) == before
    changes = await box.fetch("SELECT kind, followed FROM change WHERE mailbox_id = $1", box.account.mailbox_id)
    assert {followed for kind, followed in changes if kind != "received"} == {True}


async def test_a_renamed_folder_and_one_made_anew(box: Box) -> None:
    box.append("Projects", "plan", "notes")
    await box.follow()
    entries = await box.fetch("SELECT message_id FROM entry ORDER BY 1")
    with box.there() as client:
        client.rename_folder("Projects", "Plans")
    assert await box.follow() is Followed.FOLLOWING
    assert await box.shown() == {"plan": (["Plans"], []), "notes": (["Plans"], [])}
    with box.there() as client:
        client.delete_folder("Plans")
        client.create_folder("Plans")
    box.append("Plans", "plan")
    await box.follow()
    await box.follow()
    assert (await box.shown())["plan"] == (["Plans"], [])
    assert (await box.fetch("SELECT message_id FROM entry ORDER BY 1"))[0] == entries[0]


async def test_much_that_goes_at_once_stays_here_until_a_person_says_so(box: Box) -> None:
    words = [f"m{number}" for number in range(120)]
    box.append("INBOX", *words)
    await box.follow()
    with box.there() as client:
        client.select_folder("INBOX")
        client.delete_messages(client.search())
        client.expunge()
    assert await box.follow() is Followed.PAUSED
    assert len(await box.shown()) == 120
    alerts = await box.fetch("SELECT kind, subject FROM alert WHERE kind = 'following paused'")
    assert len(alerts) == 1
    assert "120 of 120 messages are gone" in alerts[0][1]
    async with box.database.connection() as connection:
        await connection.execute(_SQL["resume"], box.account.organisation_id, box.account.mailbox_id)
    assert await box.follow() is Followed.FOLLOWING
    assert await box.shown() == {}
    assert await box.fetch("SELECT state, accepts_loss FROM follow_mailbox") == [("following", False)]


async def test_one_side_is_the_master(box: Box) -> None:
    """From the outage on nothing is taken over; after the failback it follows again, and sees no difference."""
    await box.world.receive("wire")
    await box.world.arrived("wire")
    box.append("INBOX", "old")
    await box.follow()
    await box.world.down()
    await box.world.receive("meanwhile")
    assert await box.follow() is Followed.FAILED
    [(reason,)] = await box.fetch("SELECT reason FROM follow_mailbox")
    assert reason == "the primary is not trusted now"
    await box.world.come_back()
    shown = await box.shown()
    assert await box.follow() is Followed.FOLLOWING
    assert await box.shown() == shown == dict.fromkeys(("wire", "old", "meanwhile"), (["Inbox"], []))
    with box.there() as client:
        client.select_folder("INBOX")
        client.add_flags(client.search(["SUBJECT", "meanwhile"]), ["\\Seen"])
    await box.follow()
    assert (await box.shown())["meanwhile"] == (["Inbox"], ["$seen"])
