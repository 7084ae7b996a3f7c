"""Outlook's data files, with the samples of the npm package pst-extractor: real mail, and a test account's."""

from __future__ import annotations

import shutil
import subprocess
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from everpost.crypto.keys import SealingKey
from everpost.standby.history.model import Found, HistoryFailure, Mark, Unreadable
from everpost.standby.history.pst import PstSource
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from history.setting import Mailbox, make_mailbox

CLIENTS = Path(__file__).parents[1] / "clients"
SAMPLES = CLIENTS / "node_modules/pst-extractor/example/testdata"
pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="Node is not installed: there are no samples")


@pytest.fixture(scope="session")
def samples() -> Path:
    if not SAMPLES.exists():
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=CLIENTS, check=True, capture_output=True, timeout=120)
    return SAMPLES


@pytest.fixture
async def box(database: Database, keys: KeyRing, master: SealingKey, tmp_path: Path) -> Mailbox:
    return await make_mailbox(database, keys, master, tmp_path)


def read(file: Path) -> dict[str, list[Found]]:
    source = PstSource(file)
    found = {}
    for folder in source.folders():
        readings = list(source.read(folder, Mark()))
        assert not [each for each in readings if isinstance(each, Unreadable)]
        found[folder.place] = [each for each in readings if isinstance(each, Found)]
    source.close()
    return found


def test_folders_of_mail_are_found_and_no_others(samples: Path) -> None:
    enron, outlook = read(samples / "enron.pst"), read(samples / "pstextractortest@outlook.com.ost")
    top = "lokay-m/MLOKAY (Non-Privileged)"
    assert {place: len(each) for place, each in enron.items()} == {
        top: 1, f"{top}/TW-Commercial Group": 14, f"{top}/Systems": 7, f"{top}/Sent Items": 2, f"{top}/Personal": 47
    }  # fmt: skip
    assert {place: len(each) for place, each in outlook.items()} == {
        "Deleted Items": 1, "Inbox": 10, "Sent Items": 2, "Sync Issues": 1
    }  # fmt: skip


def test_messages_have_header_bodies_and_attachments(samples: Path) -> None:
    inbox = read(samples / "pstextractortest@outlook.com.ost")["Inbox"]
    messages = {}
    for each in inbox:
        parsed = message_from_bytes(each.content, policy=policy.default)
        messages[parsed["subject"]] = each, parsed
        assert parsed["message-id"]
        assert parsed["from"].addresses
        assert all(len(line) < 998 for line in each.content.split(b"\r\n"))
        assert b"\n" not in each.content.replace(b"\r\n", b"")
    found, parsed = messages["text, jpg, pdf attachments"]
    assert found.keywords == {"$seen"}
    kinds = [(part.get_content_type(), part.get_filename()) for part in parsed.iter_attachments()]
    assert kinds[0] == ("application/pdf", "Clinometer Usage.pdf")
    assert kinds[2] == ("text/plain", "text.txt")
    (pdf, picture, text) = (part.get_payload(decode=True) for part in parsed.iter_attachments())
    original = samples / "attachments"
    assert pdf == (original / "Clinometer Usage.pdf").read_bytes()
    assert picture == next(original.glob("*.jpg")).read_bytes()
    assert text == (original / "text.txt").read_bytes()
    _, invitation = messages["Invitation: unanswered meeting @ Sat Aug 14, 2021 (pstextractortest@outlook.com)"]
    assert [part.get_filename() for part in invitation.iter_attachments()] == ["invite.ics"]
    assert "BEGIN:VCALENDAR" in next(invitation.iter_attachments()).get_payload(decode=True).decode()


async def test_a_file_comes_once_and_meets_the_wire_by_message_id(box: Mailbox, samples: Path) -> None:
    figures = await box.bring(PstSource(samples / "pstextractortest@outlook.com.ost"))
    assert (figures.brought, figures.met, figures.unreadable) == (14, 0, 0)
    entries = await box.fetch("SELECT message_id, folder_ids FROM entry")
    again = await box.bring(PstSource(samples / "pstextractortest@outlook.com.ost"))
    assert (again.brought, again.met) == (0, 0)
    await box.fetch("DELETE FROM history_item RETURNING 1")  # as if it had been another file with the same mail
    again = await box.bring(PstSource(samples / "pstextractortest@outlook.com.ost"))
    assert (again.brought, again.met) == (1, 13)  # the one without a Message-ID cannot be known again
    assert len(await box.fetch("SELECT message_id FROM entry")) == len(entries) + 1


def test_what_is_no_data_file_is_named(tmp_path: Path, samples: Path) -> None:
    broken = tmp_path / "broken.pst"
    broken.write_bytes(b"From: somebody\n\nhello\n" * 100)
    with pytest.raises(HistoryFailure, match=r"broken\.pst cannot be read as an Outlook data file"):
        PstSource(broken).folders()
    content = bytearray((samples / "enron.pst").read_bytes())
    for place in range(100_000, len(content), 50_021):
        content[place] ^= 0xFF
    broken.write_bytes(content)
    try:
        source = PstSource(broken)
        readings = [reading for folder in source.folders() for reading in source.read(folder, Mark())]
    except HistoryFailure:
        return
    assert len(readings) <= 71
