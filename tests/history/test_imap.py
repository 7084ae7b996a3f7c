"""History from a real Dovecot, and a failback afterwards that sees nothing of it."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest

# The world of the failback tests: a real Postfix and Dovecot.
from continuity.test_failback import HOSTNAME, LONG_AGO, MESSAGE, World, primary, world  # noqa: F401
from everpost.continuity.history import ImapSource
from everpost.directory.primary import ImapConnector
from everpost.mail.address import Address
from everpost.standby.history.model import HistoryFailure
from history.setting import Mailbox
from peers.primary import MASTER_PASSWORD

pytestmark = pytest.mark.peer


def source(world: World, password: str = MASTER_PASSWORD, rate: float = 0) -> ImapSource:  # noqa: F811
    connector = ImapConnector("127.0.0.1", world.primary.imap_port, "none")
    return ImapSource(
        connector, connector.login(Address.parse(world.address())), password, hostname=HOSTNAME, rate=rate
    )


def append(world: World, *stored: tuple[str, str, str]) -> None:  # noqa: F811
    with world.primary.imap(world.address()) as client:
        for folder, word, flags in stored:
            top = folder.split("/")[0]
            if not client.folder_exists(top):
                client.create_folder(top)
            if not client.folder_exists(folder):
                client.create_folder(folder)
            client.append(folder, MESSAGE % ((word.encode(),) * 3), flags.split(), LONG_AGO)


async def test_folders_dates_and_flags_come_and_failback_brings_nothing_back(world: World, tmp_path: Path) -> None:  # noqa: F811
    box = Mailbox(world.database, world.keys, world.organisation, tmp_path, world.anna)
    await world.receive("wire")
    await world.arrived("wire")
    append(
        world, ("INBOX", "old", "\\Seen \\Answered"), ("Sent", "reply", "\\Seen"),
        ("Grün/2020", "deep", "\\Flagged work"),
        ("Trash", "gone", "\\Deleted"),
    )  # fmt: skip
    with world.primary.imap(world.address()) as client:
        client.select_folder("INBOX")
        [uid] = client.search(["SUBJECT", "wire"])
        client.add_flags([uid], ["\\Seen"])
    dry = await box.bring(source(world), dry_run=True)
    figures = await box.bring(source(world))
    assert (dry.brought, figures.brought, figures.met, figures.completed, figures.left_out) == (3, 3, 1, 1, 1)
    entries = await box.entries()
    at = LONG_AGO.astimezone(UTC)
    wire = entries.pop("wire")
    assert (wire[0], wire[1], wire[3]) == (["Inbox"], ["$seen"], "wire")
    assert entries == {
        "old": (["Inbox"], ["$answered", "$seen"], at, "import"),
        "reply": (["Sent"], ["$seen"], at, "import"),
        "deep": (["Grün/2020"], ["$flagged", "work"], at, "import"),
    }
    again = await box.bring(source(world))
    assert (again.brought, again.met) == (0, 0)
    append(world, ("Sent", "another", ""))
    again = await box.bring(source(world))
    assert (again.brought, again.met) == (1, 0)
    before = world.there()
    await world.down()
    await world.receive("meanwhile")  # without it there is nothing to come back with: the import does not count
    report = await world.come_back()
    totals = report["totals"]
    assert (totals["received"], totals["replayed"], totals["appended"], totals["changes"]) == (1, 1, 0, 0)
    there = world.there()
    assert len(there.pop("meanwhile")) == 1
    assert there == before


async def test_an_import_alone_is_nothing_to_come_back_with(world: World, tmp_path: Path) -> None:  # noqa: F811
    box = Mailbox(world.database, world.keys, world.organisation, tmp_path, world.anna)
    append(world, ("INBOX", "old", "\\Seen"))
    await world.down()
    assert (await box.bring(source(world))).brought == 1
    assert (await world.continuity.deactivate(world.scope, "admin", "it is back")).failback_id is None


async def test_other_uids_are_read_again_without_doubling(world: World, tmp_path: Path) -> None:  # noqa: F811
    box = Mailbox(world.database, world.keys, world.organisation, tmp_path, world.anna)
    append(world, *(("Work", f"w{number}", "") for number in range(70)))
    assert (await box.bring(source(world))).brought == 70
    with world.primary.imap(world.address()) as client:
        client.delete_folder("Work")
    append(world, *(("Work", f"w{number}", "\\Seen") for number in range(71)))
    figures = await box.bring(source(world))
    assert (figures.brought, figures.met, figures.completed) == (1, 70, 70)
    assert {(tuple(folders), tuple(keywords)) for folders, keywords, *_ in (await box.entries()).values()} == {
        (("Work",), ("$seen",))
    }


async def test_a_wrong_password_is_said(world: World, tmp_path: Path) -> None:  # noqa: F811
    box = Mailbox(world.database, world.keys, world.organisation, tmp_path, world.anna)
    with pytest.raises(HistoryFailure, match=r"127\.0\.0\.1"):
        await box.bring(source(world, "wrong"))
