"""mbox, Maildir and folders of .eml files: folders, dates, flags; once, however often."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard

from everpost.crypto.keys import SealingKey
from everpost.standby.history.eml import EmlSource
from everpost.standby.history.maildir import MaildirSource
from everpost.standby.history.mbox import MboxSource
from everpost.standby.history.model import HistoryFailure
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from history.setting import Mailbox, make_mailbox, mbox, message

BEFORE = datetime(2024, 3, 9, 8, 7, 6, tzinfo=UTC)
SENT = datetime(2024, 3, 8, 10, 0, 0, tzinfo=UTC)


@pytest.fixture
async def box(database: Database, keys: KeyRing, master: SealingKey, tmp_path: Path) -> Mailbox:
    return await make_mailbox(database, keys, master, tmp_path)


async def test_mbox_keeps_dates_flags_and_bytes(box: Mailbox, blobs: BlobReader, tmp_path: Path) -> None:
    file = tmp_path / "Projects.mbox"
    file.write_bytes(
        mbox(
            message("one", "Status: RO", "X-Status: AF"),
            message("two", "Status: O"),
            message("gone", "X-Status: D"),
            message("three", body=">From here\n>>From there\n"),
            message("four", "X-Mozilla-Status: 1001"),
        )
    )
    figures = await box.bring(MboxSource([file]))
    assert (figures.brought, figures.left_out, figures.unreadable, figures.folders_created) == (4, 1, 0, 1)
    assert await box.entries() == {
        "one": (["Projects"], ["$answered", "$flagged", "$seen"], BEFORE, "import"),
        "two": (["Projects"], [], BEFORE, "import"),
        "three": (["Projects"], ["$seen"], BEFORE, "import"),
        "four": (["Projects"], ["$forwarded", "$seen"], BEFORE, "import"),
    }
    [(blob_id,)] = await box.fetch("SELECT blob_id FROM message WHERE subject = 'three'")
    expected = message("three", body="From here\n>From there\n").replace(b"\n", b"\r\n")
    assert await blobs.read(box.account.organisation_id, blob_id) == expected


async def test_a_second_run_brings_only_what_is_new(box: Mailbox, tmp_path: Path) -> None:
    file = tmp_path / "old.mbox"
    file.write_bytes(mbox(*(message(f"m{number}", body="x" * 100) for number in range(120))))
    assert (await box.bring(MboxSource([file]))).brought == 120
    again = await box.bring(MboxSource([file]))
    assert (again.brought, again.met) == (0, 0)  # not even looked at
    with file.open("ab") as opened:
        opened.write(mbox(message("later")))
    figures = await box.bring(MboxSource([file]))
    assert (figures.brought, figures.met) == (1, 0)
    moved = tmp_path / "other.mbox"
    moved.write_bytes(file.read_bytes())
    figures = await box.bring(MboxSource([moved], ("old",)))
    assert (figures.brought, figures.met, figures.completed) == (0, 121, 0)
    assert len(await box.entries()) == 121


async def test_compressed_and_large(box: Mailbox, blobs: BlobReader, tmp_path: Path) -> None:
    file = tmp_path / "Sent.mbox.zst"
    large = message("large", body="0123456789abcde\n" * 200_000)
    file.write_bytes(zstandard.compress(mbox(message("small"), large)))
    assert (await box.bring(MboxSource([file]))).brought == 2
    assert (await box.entries())["large"][0] == ["Sent"]
    [(blob_id,)] = await box.fetch("SELECT blob_id FROM message WHERE subject = 'large'")
    assert await blobs.read(box.account.organisation_id, blob_id) == large.replace(b"\n", b"\r\n")
    assert (await box.bring(MboxSource([file]))).met == 0


async def test_what_is_no_mbox_is_refused(box: Mailbox, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"hello\nFrom here\n")
    with pytest.raises(HistoryFailure, match="no mbox"):
        await box.bring(MboxSource([file]))


def maildir(top: Path) -> None:
    for folder in (top, top / ".Sent", top / ".Work.2024", top / ".B&APw-cher"):
        for below in ("cur", "new", "tmp"):
            (folder / below).mkdir(parents=True)
    files = {
        "cur/1709971626.M1P2.host:2,SR": "inbox",
        "new/1709971627.M2P2.host": "fresh",
        "cur/1709971628.M3P2.host:2,ST": "trashed",
        ".Sent/cur/1709971629.M4P2.host:2,S": "sent",
        ".Work.2024/cur/1709971630.M5P2.host:2,FSa": "work",
        ".B&APw-cher/cur/1709971631.M6P2.host:2,P": "book",
    }
    for name, word in files.items():
        (top / name).write_bytes(message(word))
        os.utime(top / name, (BEFORE.timestamp(), BEFORE.timestamp()))
    (top / ".Work.2024" / "dovecot-keywords").write_text("0 $Label1\n")


async def test_maildir(box: Mailbox, tmp_path: Path) -> None:
    top = tmp_path / "Maildir"
    maildir(top)
    figures = await box.bring(MaildirSource(top))
    assert (figures.brought, figures.left_out) == (5, 1)
    assert await box.entries() == {
        "inbox": (["Inbox"], ["$answered", "$seen"], BEFORE, "import"),
        "fresh": (["Inbox"], [], BEFORE, "import"),
        "sent": (["Sent"], ["$seen"], BEFORE, "import"),
        "work": (["Work/2024"], ["$flagged", "$label1", "$seen"], BEFORE, "import"),
        "book": (["Bücher"], ["$forwarded"], BEFORE, "import"),
    }
    (top / "new/1709971627.M2P2.host").rename(top / "cur/1709971627.M2P2.host:2,S")  # read meanwhile: the same message
    (top / "cur/1709971640.M7P2.host:2,").write_bytes(message("newer"))
    figures = await box.bring(MaildirSource(top))
    assert (figures.brought, figures.met) == (1, 0)


async def test_eml_folders_and_unreadable_files(box: Mailbox, tmp_path: Path) -> None:
    top = tmp_path / "Export"
    (top / "Drafts").mkdir(parents=True)
    (top / "a.eml").write_bytes(message("top"))
    (top / "b.eml").write_bytes(b"")
    (top / "c.eml").write_bytes(message("nameless").replace(b"Message-ID", b"X-Was"))
    (top / "Drafts" / "d.EML").write_bytes(message("draft", "X-Unsent: 1"))
    figures = await box.bring(EmlSource(top))
    assert figures.brought == 3
    assert figures.problems == ["b.eml: empty"]
    assert await box.entries() == {
        "top": (["Export"], ["$seen"], SENT, "import"),
        "nameless": (["Export"], ["$seen"], SENT, "import"),
        "draft": (["Drafts"], ["$draft", "$seen"], SENT, "import"),
    }
    (top / "b.eml").write_bytes(message("repaired"))
    figures = await box.bring(EmlSource(top))
    assert (figures.brought, figures.met, figures.unreadable) == (1, 0, 0)
    (tmp_path / "copy.mbox").write_bytes(mbox(message("nameless").replace(b"Message-ID", b"X-Was")))
    figures = await box.bring(MboxSource([tmp_path / "copy.mbox"], ("Export",)))
    assert (figures.brought, figures.met) == (0, 1)  # met without a Message-ID


async def test_dry_run_changes_nothing(box: Mailbox, tmp_path: Path) -> None:
    file = tmp_path / "new.mbox"
    file.write_bytes(mbox(*(message(f"m{number % 60}") for number in range(70))))
    figures = await box.bring(MboxSource([file]), dry_run=True)
    assert (figures.brought, figures.met) == (60, 10)
    assert await box.entries() == {}
    assert sorted((await box.paths()).values()) == ["Archive", "Drafts", "Inbox", "Junk", "Sent", "Trash"]
    for table in ("history_mark", "history_item", "message_ref", "audit_event", "change"):
        assert await box.fetch(f"SELECT count(*) FROM {table}") == [(0,)]
    assert (await box.bring(MboxSource([file]))).brought == 60


async def test_it_is_audited(box: Mailbox, tmp_path: Path) -> None:
    (tmp_path / "a.mbox").write_bytes(mbox(message("one")))
    await box.bring(MboxSource([tmp_path / "a.mbox"]))
    rows = await box.fetch("SELECT actor, action, subject, detail->>'brought' FROM audit_event ORDER BY id")
    assert rows == [
        ("test", "mailbox.import", "anna@example.org", None), ("test", "mailbox.imported", "anna@example.org", "1"),
    ]  # fmt: skip
