"""The stand-in primary: ordinary clients work with it, and what it accepted survives kill -9."""

from __future__ import annotations

import contextlib
import imaplib
import itertools
import os
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import imapclient
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.app.demo.standin import parser
from everpost.app.demo.standin.parser import BadCommand
from peers import free_port

ANNA, BEN = "anna@example.org", "ben@example.org"
HEAD = b"From: <x@example.com>\r\nTo: <anna@example.org>\r\nSubject: hi\r\nMessage-ID: <%b@example.com>\r\n\r\n"
RAW = HEAD + b"..hello\r\n.\r\n"


class Standin:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.smtp_port, self.imap_port = free_port(), free_port()
        self._users = directory / "users"
        self._users.write_text(f"{ANNA}:anna-secret\n{BEN}:ben-secret\ngateway:gateway-secret\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "everpost.app.demo.standin", "--dir", str(self._directory / "mail")),
                *("--smtp-port", str(self.smtp_port), "--imap-port", str(self.imap_port)),
                *("--domain", "example.org", "--users-file", str(self._users)),
            ],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def end(self, *, hard: bool) -> int:
        assert self.process is not None
        self.process.kill() if hard else self.process.terminate()
        code = self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    @contextlib.contextmanager
    def imap(self, user: str = f"{ANNA}*gateway", password: str = "gateway-secret") -> Iterator[imapclient.IMAPClient]:
        with imapclient.IMAPClient("127.0.0.1", self.imap_port, ssl=False, timeout=10) as client:
            client.normalise_times = False
            client.login(user, password)
            yield client

    def send(self, ident: str, *recipients: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as client:
            client.sendmail("x@example.com", recipients or (ANNA,), RAW % ident.encode())


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Standin]:
    server = Standin(tmp_path)
    server.start()
    yield server
    if server.process and server.process.poll() is None:
        assert server.end(hard=False) == 0


def test_delivery_stands_in_both_inboxes_with_trace_and_exact_bytes(standin: Standin) -> None:
    standin.send("one", ANNA, BEN, "anna+news@example.org")
    for user in (ANNA, BEN):
        with standin.imap(f"{user}*gateway") as client:
            client.select_folder("INBOX", readonly=True)
            rows = client.fetch(client.search(), ["BODY.PEEK[]", "FLAGS", "INTERNALDATE", "RFC822.SIZE"])
        assert len(rows) == 1
        (row,) = rows.values()
        assert row[b"BODY[]"].startswith(b"Return-Path: <x@example.com>\r\nReceived: from ")
        assert row[b"BODY[]"].endswith(RAW % b"one")
        assert row[b"RFC822.SIZE"] == len(row[b"BODY[]"])
        assert row[b"FLAGS"] == ()
        assert abs((row[b"INTERNALDATE"] - datetime.now(UTC)).total_seconds()) < 60


def test_strangers_are_refused(standin: Standin) -> None:
    for recipient, text in (("nobody@example.org", b"5.1.1"), ("anna@example.com", b"5.7.1")):
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            standin.send("x", recipient)
        code, message = refused.value.recipients[recipient]
        assert (code, message[:5]) == (550, text)


@pytest.mark.parametrize(
    ("user", "password", "works"),
    [
        (ANNA, "anna-secret", True),
        (f"{BEN}*gateway", "gateway-secret", True),
        (ANNA, "ben-secret", False),
        (ANNA, "", False),
        (f"{ANNA}*gateway", "anna-secret", False),
        (f"{ANNA}*{BEN}", "ben-secret", False),
        ("nobody@example.org*gateway", "gateway-secret", False),
        ("gateway", "gateway-secret", False),
    ],
)
def test_login(standin: Standin, user: str, password: str, works: bool) -> None:
    expected = contextlib.nullcontext() if works else pytest.raises(imapclient.exceptions.LoginError)
    with expected, standin.imap(user, password) as client:
        assert client.folder_exists("INBOX")


def test_authenticate_plain_acts_for_a_user(standin: Standin) -> None:
    with imapclient.IMAPClient("127.0.0.1", standin.imap_port, ssl=False) as client:
        client.plain_login("gateway", "gateway-secret", ANNA)
        assert client.folder_exists("Sent")
    other = imapclient.IMAPClient("127.0.0.1", standin.imap_port, ssl=False)
    with pytest.raises(imapclient.exceptions.LoginError):
        other.plain_login(BEN, "ben-secret", ANNA)
    other.shutdown()


def test_folders(standin: Standin) -> None:
    with standin.imap() as client:
        folders = {name: flags for flags, _, name in client.list_folders()}
        assert {"INBOX", "Drafts", "Sent", "Trash", "Junk", "Archive"} == set(folders)
        assert client.find_special_folder(b"\\Sent") == "Sent"
        client.create_folder("Projects/Été & Winter")
        assert {name for _, _, name in client.list_folders("", "Projects*")} == {"Projects", "Projects/Été & Winter"}
        assert {name for _, _, name in client.list_folders("", "Proj%")} == {"Projects"}
        with pytest.raises(imapclient.exceptions.IMAPClientError, match="ALREADYEXISTS"):
            client.create_folder("Projects")
        status = client.folder_status("Sent")
        assert (status[b"MESSAGES"], status[b"UIDNEXT"], status[b"UNSEEN"]) == (0, 1, 0)
        with pytest.raises(imapclient.exceptions.IMAPClientError, match="TRYCREATE"):
            client.select_folder("None")
        assert client.namespace().personal == (("", "/"),)


def test_append_search_fetch(standin: Standin) -> None:
    when = datetime(2024, 2, 29, 23, 30, tzinfo=UTC)
    with standin.imap() as client:
        reply = client.append("Sent", RAW % b"a", [b"\\Seen", b"Project"], when)
        assert b"APPENDUID" in reply
        client.append("Sent", RAW % b"b")
        client.select_folder("Sent")
        for criteria, found in (
            (["ALL"], [1, 2]),
            (["SINCE", date(2024, 3, 1)], [2]),
            (["BEFORE", date(2024, 3, 1)], [1]),
            (["SEEN"], [1]),
            (["UNSEEN"], [2]),
            (["KEYWORD", "Project"], [1]),
            (["HEADER", "Message-ID", "<b@example.com>"], [2]),
            (["HEADER", "Message-ID", "a@example"], [1]),
            (["HEADER", "Subject", "HI"], [1, 2]),
            (["HEADER", "X-None", ""], []),
            (["UID", "2:*"], [2]),
            (["NOT", ["UID", "1"]], [2]),
            (["OR", "SEEN", "UNSEEN"], [1, 2]),
            (["DELETED"], []),
        ):
            assert client.search(criteria) == found, criteria
        items = [
            "BODY.PEEK[HEADER]",
            "BODY.PEEK[TEXT]",
            "BODY.PEEK[HEADER.FIELDS (SUBJECT Message-ID)]",
            "INTERNALDATE",
        ]
        row = client.fetch([1], [*items, "FLAGS", "BODY.PEEK[]<5.10>"])[1]
        head, body = (RAW % b"a").split(b"\r\n\r\n", 1)
        assert row[b"BODY[HEADER]"] == head + b"\r\n\r\n"
        assert row[b"BODY[TEXT]"] == body
        assert row[b"BODY[HEADER.FIELDS (SUBJECT MESSAGE-ID)]"] == b"Subject: hi\r\nMessage-ID: <a@example.com>\r\n\r\n"
        assert row[b"BODY[]<5>"] == (RAW % b"a")[5:15]
        assert row[b"INTERNALDATE"] == when
        assert set(row[b"FLAGS"]) == {b"\\Seen", b"Project"}
        assert b"\\Seen" in client.fetch([2], ["BODY[]"])[2][b"FLAGS"]


def test_flags_move_copy_expunge(standin: Standin) -> None:
    with standin.imap() as client:
        for ident in (b"a", b"b", b"c"):
            client.append("INBOX", RAW % ident, [b"\\Flagged"])
        client.select_folder("INBOX")
        assert set(client.add_flags([1, 2], [b"\\Answered", b"Note"])[1]) == {b"\\Flagged", b"\\Answered", b"Note"}
        assert client.remove_flags([1], [b"\\Flagged"])[1] == (b"Note", b"\\Answered")
        assert client.set_flags([3], [b"\\Draft"])[3] == (b"\\Draft",)
        client.copy([1], "Archive")
        client.move([2], "Trash")
        assert client.search() == [1, 3]
        client.delete_messages([1, 3])
        client.uid_expunge([3])
        assert client.search() == [1]
        client.expunge()
        assert client.search() == []
        assert client.folder_status("INBOX", ["UIDNEXT"])[b"UIDNEXT"] == 4
        client.select_folder("Trash", readonly=True)
        (row,) = client.fetch([1], ["FLAGS", "BODY.PEEK[]"]).values()
        assert set(row[b"FLAGS"]) == {b"\\Flagged", b"\\Answered", b"Note"}
        assert row[b"BODY[]"] == RAW % b"b"
        with pytest.raises(imapclient.exceptions.IMAPClientError, match="reading only"):
            client.add_flags([1], [b"\\Seen"])
        client.select_folder("Archive")
        assert client.fetch([1], ["BODY.PEEK[]"])[1][b"BODY[]"] == RAW % b"a"


def test_idle_tells_of_new_mail(standin: Standin) -> None:
    with standin.imap() as client:
        client.select_folder("INBOX")
        client.idle()
        standin.send("idle")
        assert (1, b"EXISTS") in client.idle_check(timeout=5)
        client.idle_done()
        client.noop()


def test_imaplib_works_too(standin: Standin) -> None:
    with imaplib.IMAP4("127.0.0.1", standin.imap_port) as client:
        client.login(ANNA, "anna-secret")
        assert client.append("INBOX", "(\\Seen)", imaplib.Time2Internaldate(time.time()), RAW % b"lib")[0] == "OK"
        client.select("INBOX")
        assert client.search(None, "ALL") == ("OK", [b"1"])
        assert client.fetch("1", "(RFC822)")[1][0][1] == RAW % b"lib"  # type: ignore[index]


@pytest.mark.parametrize(
    "attack",
    [
        b"A1 LOGIN {999999999}\r\n",
        b"A1 LOGIN {9000+}\r\n",
        b"A1 " + b"x" * 100_000 + b"\r\n",
        b"A1 LOGIN " + b"{8000+}\r\n" + b"x" * 8000 + b" {8000+}\r\n" + (b"y" * 8000 + b" {8000+}\r\n") * 9,
    ],
)
def test_strangers_cannot_fill_memory(standin: Standin, attack: bytes) -> None:
    with socket.create_connection(("127.0.0.1", standin.imap_port), timeout=10) as client:
        try:
            client.sendall(attack)
            while client.recv(65_536):
                pass
        except ConnectionError:
            pass
    with standin.imap():
        pass


def test_what_was_accepted_survives_kill_9(standin: Standin) -> None:
    accepted: list[str] = []
    numbers = itertools.count()

    def load() -> None:
        try:
            with smtplib.SMTP("127.0.0.1", standin.smtp_port, timeout=10) as client:
                while True:
                    ident = f"k{next(numbers)}"
                    client.sendmail("x@example.com", [ANNA], RAW % ident.encode())
                    accepted.append(ident)
        except (OSError, smtplib.SMTPException):
            pass

    for kill in range(1, 3):
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(accepted) < kill * 100:
            os.sched_yield()
        standin.end(hard=True)
        for thread in threads:
            thread.join()
        standin.start()
    with standin.imap() as client:
        client.select_folder("INBOX", readonly=True)
        raws = [row[b"BODY[]"] for row in client.fetch(client.search(), ["BODY.PEEK[]"]).values()]
    for raw in raws:
        ident = raw.rpartition(b"Message-ID: <")[2].partition(b"@")[0]
        assert raw.endswith(RAW % ident)
    found = sorted(raw.rpartition(b"Message-ID: <")[2].partition(b"@")[0].decode() for raw in raws)
    assert len(found) == len(set(found))
    assert set(accepted) <= set(found)


@given(st.binary(max_size=200))
def test_the_parser_survives_anything(command: bytes) -> None:
    try:
        name, arguments = parser.command_name(parser.parse(command))
        for word in arguments:
            for read in (lambda w: parser.number_set(w, 10), parser.fetch_items, parser.read_date_time):
                with contextlib.suppress(BadCommand):
                    read(word)
    except BadCommand:
        return
    assert name


def test_the_parser_reads_what_the_grammar_allows() -> None:
    command = b'a1 APPEND "q \\"x\\"" (\\Seen (x)) BODY[HEADER.FIELDS (To)]<0.1> {4}\r\n\r\n"(' + b' ""'
    expected = ["a1", "APPEND", b'q "x"', ["\\Seen", ["x"]], "BODY[HEADER.FIELDS (To)]<0.1>", b'\r\n"(', b""]
    assert parser.parse(command) == expected
    for wrong in (b'a "x', b"a (b", b"a b)", b"a {9}\r\nx", b"a " + b"(" * 50, b"a \r b", b"a BODY[x"):
        with pytest.raises(BadCommand):
            parser.parse(wrong)
