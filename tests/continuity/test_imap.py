"""The IMAP connector against a real Dovecot: looking, writing carefully, and never taking away what is not ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from everpost.continuity.imap import ImapFailure, ImapLoginRefused, ImapMailbox, ImapRefusal, ImapSession
from everpost.directory.primary import ImapConnector
from everpost.mail.address import Address
from everpost.store.ids import encode_id
from peers import PeerMissing
from peers.primary import MASTER_PASSWORD, Certificate, Primary

pytestmark = pytest.mark.peer

HOSTNAME = "mx.everpost.example"
MESSAGE = (
    b"Received: from a (b [192.0.2.1]) by mx.everpost.example with ESMTP id %b; Wed, 1 May 2024 12:00:00 +0000\r\n"
    b"From: <x@example.com>\r\nSubject: hi\r\nMessage-ID: <%b@example.com>\r\n\r\nhello\r\n"
)
AT = datetime(2024, 5, 1, 12, 30, 15, tzinfo=timezone(timedelta(hours=2)))


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    try:
        peer = Primary(users=[f"user{number}@example.org" for number in range(20)])
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with peer:
        yield peer


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    number = request.session.items.index(request.node) % 20
    return f"user{number}@example.org"


@pytest.fixture
def box(primary: Primary, user: str) -> Iterator[ImapMailbox]:
    opened = connect(primary, user)
    yield opened
    opened.close()


def connector(primary: Primary, tls: str = "none", **more: object) -> ImapConnector:
    port = primary.imaps_port if tls == "implicit" else primary.imap_port
    host = "127.0.0.1" if tls == "none" else "localhost"
    return ImapConnector(host, port, tls, ca_file="" if tls == "none" else str(primary.ca_file), **more)  # type: ignore[arg-type]


def connect(primary: Primary, user: str, tls: str = "none", **more: object) -> ImapMailbox:
    wanted = connector(primary, tls, **more)
    return ImapMailbox.open(wanted, wanted.login(Address.parse(user)), MASTER_PASSWORD, hostname=HOSTNAME, timeout_s=5)


def content(word: str, number: int = 77) -> bytes:
    return MESSAGE % (encode_id(number).encode(), word.encode())


def test_folders_with_their_roles(box: ImapMailbox) -> None:
    roles = {folder.name: folder.role for folder in box.folders()}
    assert roles == {
        "INBOX": "inbox", "Sent": "sent", "Drafts": "drafts", "Trash": "trash", "Junk": "junk", "Archive": "archive",
    }  # fmt: skip


def test_append_keeps_date_flags_and_content(box: ImapMailbox, primary: Primary, user: str) -> None:
    box.append("Sent", content("one"), ["\\Seen", "\\Answered", "work"], AT)
    [stored] = primary.messages(user)
    assert (stored.folder, stored.flags, stored.internaldate) == ("Sent", {"\\Seen", "\\Answered", "work"}, AT)
    assert stored.raw == content("one")


def test_index_knows_message_ids_and_our_trace(box: ImapMailbox) -> None:
    box.append("INBOX", content("one", 1), [], datetime.now(UTC))
    box.append("Archive", content("two", 2), ["\\Seen"], datetime.now(UTC))
    box.append("Archive", content("old", 3), [], AT)
    since = (datetime.now(UTC) - timedelta(days=3)).date()
    found = {copy.message_id: copy for copy in box.index(since, ["INBOX", "Archive", "Sent"])}
    assert set(found) == {"one@example.com", "two@example.com"}
    assert found["two@example.com"].folder == "Archive"
    assert found["two@example.com"].trace_ids == {encode_id(2)}
    assert found["two@example.com"].flags == {"\\Seen"}
    assert len(box.index(None, ["INBOX", "Archive"])) == 3


def test_find_by_header_and_by_size(box: ImapMailbox) -> None:
    box.append("INBOX", content("one", 77777), [], AT)
    box.append("Junk", content("two-longer", 88888), [], AT)
    folders = ["INBOX", "Junk"]
    assert [copy.folder for copy in box.find("Message-ID", "two-longer@example.com", folders)] == ["Junk"]
    assert [copy.folder for copy in box.find("Received", encode_id(77777), folders)] == ["INBOX"]
    assert [copy.folder for copy in box.find_size(len(content("two-longer", 88888)), folders)] == ["Junk"]
    assert box.find("Message-ID", 'x" OR ALL "', folders) == []
    assert box.find("Message-ID", "x\r\nA1 DELETE INBOX", folders) == []
    assert box.find("Message-ID", "grüße@example.com", folders) == []


def test_flags_are_added_and_removed_and_the_rest_stays(box: ImapMailbox, primary: Primary, user: str) -> None:
    box.append("INBOX", content("one"), ["\\Flagged", "own"], AT)
    [copy] = box.index(None, ["INBOX"])
    assert box.store_flags("INBOX", copy.uid, {"\\Seen", "$Forwarded"}, {"\\Flagged"}) == frozenset()
    [stored] = primary.messages(user)
    assert stored.flags == {"\\Seen", "$Forwarded", "own"}


@pytest.mark.parametrize("has_move", [True, False])
def test_move(box: ImapMailbox, primary: Primary, user: str, has_move: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_move:
        without(box, monkeypatch, "MOVE")
    box.append("INBOX", content("one"), ["\\Seen"], AT)
    [copy] = box.index(None, ["INBOX"])
    box.move("INBOX", copy.uid, "Trash")
    [stored] = primary.messages(user)
    assert (stored.folder, stored.flags, stored.internaldate) == ("Trash", {"\\Seen"}, AT)


def without(box: ImapMailbox, monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    """As if the server could not do something."""
    real = box._client.has_capability
    monkeypatch.setattr(box._client, "has_capability", lambda name: name != capability and real(name))


def test_delete_takes_one_message_and_leaves_what_others_marked(box: ImapMailbox, primary: Primary, user: str) -> None:
    box.append("INBOX", content("ours", 1), [], AT)
    box.append("INBOX", content("theirs", 2), ["\\Deleted"], AT)
    ours = next(copy for copy in box.index(None, ["INBOX"]) if copy.message_id == "ours@example.com")
    assert box.delete("INBOX", ours.uid)
    [stored] = primary.messages(user)
    assert b"<theirs@" in stored.raw


def test_without_uidplus_nothing_is_expunged(
    box: ImapMailbox, primary: Primary, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(box, monkeypatch, "UIDPLUS")
    box.append("INBOX", content("ours"), [], AT)
    [copy] = box.index(None, ["INBOX"])
    assert not box.delete("INBOX", copy.uid)
    [stored] = primary.messages(user)
    assert stored.flags == {"\\Deleted"}
    assert box.index(None, ["INBOX"]) == []


def test_folders_are_made_renamed_with_what_is_in_them_and_removed(
    box: ImapMailbox, primary: Primary, user: str
) -> None:
    box.create_folder("Projects/Grüße & Co")
    box.append("Projects/Grüße & Co", content("one"), [], AT)
    assert [copy.folder for copy in box.index(None, ["Projects/Grüße & Co"])] == ["Projects/Grüße & Co"]
    box.rename_folder("Projects/Grüße & Co", "Work")
    [stored] = primary.messages(user)
    assert stored.folder == "Work"
    assert not box.is_empty("Work")
    [copy] = box.index(None, ["Work"])
    box.delete("Work", copy.uid)
    assert box.is_empty("Work")
    box.delete_folder("Work")
    assert "Work" not in {folder.name for folder in box.folders()}


def test_refusals_and_failures_are_told_apart(box: ImapMailbox, primary: Primary, user: str) -> None:
    with pytest.raises(ImapRefusal):
        box.append("No such folder", content("one"), [], AT)
    with pytest.raises(ImapLoginRefused):
        ImapMailbox.open(connector(primary), f"{user}*gateway", "wrong", hostname=HOSTNAME)
    with pytest.raises(ImapLoginRefused):
        ImapMailbox.open(connector(primary), f"{user}*gateway\r\nA1 LOGOUT", MASTER_PASSWORD, hostname=HOSTNAME)
    with pytest.raises(ImapFailure):
        ImapMailbox.open(ImapConnector("127.0.0.1", 1, "none"), user, "x", hostname=HOSTNAME)
    box._client.shutdown()
    with pytest.raises(ImapFailure):
        box.index(None, ["INBOX"])


@pytest.mark.parametrize("tls", ["implicit", "required"])
def test_tls(primary: Primary, user: str, tls: str) -> None:
    opened = connect(primary, user, tls)
    assert opened.folders()
    opened.close()


def test_a_wrong_certificate_is_refused_unless_told_otherwise(primary: Primary, user: str) -> None:
    primary.set_certificate(Certificate.WRONG_NAME)
    try:
        with pytest.raises(ImapFailure, match=r"certificate|hostname"):
            connect(primary, user, "implicit")
        connect(primary, user, "implicit", verify=False).close()
    finally:
        primary.set_certificate(Certificate.VALID)


async def test_a_session_that_hangs_fails_in_time(primary: Primary, user: str) -> None:
    wanted = connector(primary)
    session = await ImapSession.open(
        wanted, wanted.login(Address.parse(user)), MASTER_PASSWORD, hostname=HOSTNAME, timeout_s=0.5
    )
    primary.hang()
    try:
        with pytest.raises(ImapFailure):
            async with asyncio.timeout(5):
                await session.run(session.mailbox.index, None, ["INBOX"])
    finally:
        primary.resume()
        await session.close()
