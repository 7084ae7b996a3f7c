"""The real peers do what the other tests rely on: they serve, and they fail in the ways they are told to."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import ldap3
import pytest

from peers import PeerMissing
from peers.lossy import LossyProxy, Mode
from peers.primary import Certificate, Primary
from peers.process import group_members, wait_until
from peers.slapd import Slapd

pytestmark = pytest.mark.peer

ANNA, BEN = "anna@example.org", "ben@example.org"
MESSAGE = (
    b"From: <x@example.com>\r\nTo: <anna@example.org>\r\nSubject: hi\r\nMessage-ID: <%b@example.com>\r\n\r\nhello\r\n"
)


@pytest.fixture(scope="module")
def primary() -> Iterator[Primary]:
    try:
        peer = Primary(users=[ANNA, BEN])
    except PeerMissing as missing:
        pytest.skip(str(missing))
    began = time.monotonic()
    with peer:
        assert time.monotonic() - began < 3
        yield peer


@pytest.fixture(autouse=True)
def _healthy_again(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "primary" in request.fixturenames:
        request.getfixturevalue("primary").welcome()


def send(port: int, ident: str, recipient: str = ANNA, timeout: float = 5) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=timeout) as client:
        client.sendmail("x@example.com", [recipient], MESSAGE % ident.encode())


def arrived(primary: Primary, ident: str, user: str = ANNA) -> bool:
    return any(f"<{ident}@example.com>".encode() in stored.raw for stored in primary.messages(user))


def wait_arrived(primary: Primary, ident: str, user: str = ANNA) -> None:
    wait_until(lambda: arrived(primary, ident, user), 10, ident)


def test_delivery_by_smtplib_stands_in_the_inbox(primary: Primary) -> None:
    send(primary.smtp_port, "smtplib")
    wait_arrived(primary, "smtplib")
    stored = next(message for message in primary.messages(ANNA) if b"<smtplib@" in message.raw)
    assert stored.folder == "INBOX"
    assert stored.flags == frozenset()
    assert stored.raw.endswith(b"\r\n\r\nhello\r\n")
    assert abs(stored.internaldate - datetime.now(stored.internaldate.tzinfo)) < timedelta(minutes=1)


def test_delivery_by_swaks(primary: Primary) -> None:
    done = subprocess.run(
        [
            *("swaks", "--server", f"127.0.0.1:{primary.smtp_port}", "--from", "x@example.com", "--to", BEN),
            *("--tls", "--silent", "3", "--header", "Message-ID: <swaks@example.com>"),
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wait_arrived(primary, "swaks", BEN)


def test_unknown_recipient_is_refused_and_a_new_one_accepted(primary: Primary) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send(primary.smtp_port, "unknown", "carl@example.org")
    assert refused.value.recipients["carl@example.org"][0] == 550
    primary.add_user("carl@example.org")
    wait_until(lambda: _accepts(primary, "carl@example.org"), 5, "the new user")
    wait_arrived(primary, "probe", "carl@example.org")


def _accepts(primary: Primary, recipient: str) -> bool:
    try:
        send(primary.smtp_port, "probe", recipient)
    except smtplib.SMTPRecipientsRefused:
        return False
    return True


def test_outsiders_mail_goes_nowhere(primary: Primary) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused, match="no smarthost configured"):
        send(primary.smtp_port, "outside", "somebody@example.com")


def test_special_use_folders_and_master_login(primary: Primary) -> None:
    with primary.imap(ANNA) as client:
        uses = {flag for flags, _, _ in client.list_folders() for flag in flags}
        assert {b"\\Drafts", b"\\Sent", b"\\Trash", b"\\Junk", b"\\Archive"} <= uses
        client.append("Sent", MESSAGE % b"sent", [b"\\Seen", b"Important"])
    sent = next(message for message in primary.messages(ANNA) if b"<sent@" in message.raw)
    assert (sent.folder, sent.flags) == ("Sent", frozenset({"\\Seen", "Important"}))


def test_a_person_logs_in_with_tls(primary: Primary) -> None:
    with primary.imap(ANNA, tls=True, master=False) as client:
        assert client.folder_exists("INBOX")
    with pytest.raises(Exception, match=r"[Aa]uth"), primary.imap(f"{ANNA}x", master=False):
        pass


@pytest.mark.parametrize("state", ["CONNECT", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE"])
@pytest.mark.parametrize("code", [451, 554])
def test_refusals(primary: Primary, state: str, code: int) -> None:
    primary.refuse(code, f"{code // 100}.3.0 as told", state)
    with pytest.raises(smtplib.SMTPException, match=r"as told") as refused:
        send(primary.smtp_port, f"refused-{code}-{state}")
    assert str(code) in str(refused.value)
    primary.welcome()
    send(primary.smtp_port, f"welcome-{code}-{state}")


def test_full(primary: Primary) -> None:
    primary.full()
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        send(primary.smtp_port, "full")
    assert (refused.value.smtp_code, refused.value.smtp_error) == (
        452,
        b"4.3.1 <x@example.com>: Sender address rejected: Insufficient system storage",
    )


def test_full_as_postfix_itself_finds_it(primary: Primary) -> None:
    primary.postfix.set(queue_minfree=str(2**50))
    try:
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            send(primary.smtp_port, "disk-full")
    finally:
        primary.postfix.set(queue_minfree="0")
    assert (refused.value.smtp_code, refused.value.smtp_error) == (452, b"4.3.1 Insufficient system storage")
    send(primary.smtp_port, "disk-free")


def test_slow(primary: Primary) -> None:
    primary.slow(0.4)
    began = time.monotonic()
    send(primary.smtp_port, "slow")
    assert time.monotonic() - began >= 0.4


def test_hang_and_resume(primary: Primary) -> None:
    primary.hang()
    try:
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            send(primary.smtp_port, "hung", timeout=0.5)
    finally:
        primary.resume()
    send(primary.smtp_port, "resumed")
    wait_arrived(primary, "resumed")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_end_leaves_no_process_and_mail_survives(primary: Primary, end: str) -> None:
    send(primary.smtp_port, f"before-{end}")
    wait_arrived(primary, f"before-{end}")
    groups = [primary.postfix.group.pid, primary.dovecot.group.pid]
    ports = (primary.smtp_port, primary.imap_port)
    getattr(primary, end)()
    try:
        assert [group_members(group) for group in groups] == [[], []]
        with pytest.raises(ConnectionRefusedError):
            send(primary.smtp_port, "dead")
    finally:
        primary.start()
    assert (primary.smtp_port, primary.imap_port) == ports
    assert arrived(primary, f"before-{end}")
    send(primary.smtp_port, f"after-{end}")
    wait_arrived(primary, f"after-{end}")


@pytest.mark.parametrize("kind", list(Certificate))
def test_certificates(primary: Primary, kind: Certificate) -> None:
    primary.set_certificate(kind)
    context = ssl.create_default_context(cafile=str(primary.ca_file))
    try:
        if kind is Certificate.VALID:
            _starttls(primary, context)
            return
        with pytest.raises(ssl.SSLCertVerificationError) as failed:
            _starttls(primary, context)
        expected = {Certificate.WRONG_NAME: "mismatch", Certificate.EXPIRED: "expired"}.get(kind, "issuer")
        assert expected in str(failed.value)
        with pytest.raises(ssl.SSLCertVerificationError), primary.imap(ANNA, tls=True):
            pass
    finally:
        primary.set_certificate(Certificate.VALID)


def _starttls(primary: Primary, context: ssl.SSLContext) -> None:
    with smtplib.SMTP("localhost", primary.smtp_port, timeout=5) as client:
        client.starttls(context=context)
        client.noop()


def test_relay_through_a_smarthost(primary: Primary) -> None:
    with Primary(["example.com"], ["out@example.com"], storage="sdbox", hostname="out.example.com") as other:
        primary.relay_through("127.0.0.1", other.smtp_port)
        send(primary.smtp_port, "relayed", "out@example.com")
        wait_arrived(other, "relayed", "out@example.com")


async def test_lost_reply_after_data(primary: Primary) -> None:
    async with LossyProxy(primary.smtp_port) as proxy:
        proxy.lose_after_data(2)
        await asyncio.to_thread(send, proxy.port, "reply-kept")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            await asyncio.to_thread(send, proxy.port, "reply-lost")
        assert proxy.lost_replies[0].startswith(b"250 2.0.0 Ok: queued")
        await asyncio.to_thread(wait_arrived, primary, "reply-lost")
        await asyncio.to_thread(send, proxy.port, "reply-kept-again")


async def test_black_hole_refuse_and_latency(primary: Primary) -> None:
    async with LossyProxy(primary.smtp_port) as proxy:
        await proxy.set_mode(Mode.BLACK_HOLE)
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            await asyncio.to_thread(send, proxy.port, "hole", ANNA, 0.3)
        await proxy.set_mode(Mode.REFUSE)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.to_thread(send, proxy.port, "refused")
        await proxy.set_mode(Mode.PASS)
        proxy.latency = 0.05
        began = time.monotonic()
        await asyncio.to_thread(send, proxy.port, "late")
        assert time.monotonic() - began >= 0.25


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    try:
        peer = Slapd()
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with peer:
        yield peer


def test_slapd_has_people_groups_and_memberships(slapd: Slapd) -> None:
    anna = slapd.add_person("Anna", ANNA, aliases=["a@example.org"])
    ben = slapd.add_person("Ben", BEN, enabled=False)
    staff = slapd.add_group("Staff", "staff@example.org", [anna, ben])
    with slapd.connect() as client:
        client.search(slapd.people, "(objectClass=user)", attributes=["*", "memberOf", "entryUUID"])
        rows = {entry.entry_dn: entry for entry in client.entries}
        assert rows[anna].proxyAddresses.values == ["SMTP:anna@example.org", "smtp:a@example.org"]
        assert len(rows[anna].objectGUID.raw_values[0]) == 16
        assert rows[anna].memberOf.values == [staff]
        disabled = "(userAccountControl=514)"
        client.search(slapd.people, disabled)
        assert [entry.entry_dn for entry in client.entries] == [ben]
    renamed = slapd.rename(anna, "cn=Anna Two")
    slapd.modify(renamed, {"mail": "anna.two@example.org", "mailNickname": "anna2", "displayName": None})
    slapd.delete(ben)
    with slapd.connect() as client:
        client.search(slapd.people, "(objectClass=user)", attributes=["mail", "displayName"])
        assert [(entry.entry_dn, entry.mail.value) for entry in client.entries] == [(renamed, "anna.two@example.org")]
        assert members_at_last(client, staff, [renamed]) == [renamed]


def members_at_last(client: ldap3.Connection, group: str, expected: list[str]) -> list[str]:
    """slapd puts references in order (refint) after it has answered: look until they are, for at most 10 s."""
    deadline = time.monotonic() + 10
    while True:
        client.search(group, "(objectClass=*)", ldap3.BASE, attributes=["member"])
        members = list(client.entries[0].member.values)
        if members == expected or time.monotonic() > deadline:
            return members
        time.sleep(0.02)


def test_slapd_pages_and_survives_a_kill(slapd: Slapd) -> None:
    group, directory = slapd.group.pid, slapd.directory
    slapd.add_person("Dora", "dora@example.org")
    slapd.kill()
    assert group_members(group) == []
    slapd.start()
    assert Path(directory, "db").exists()
    with slapd.connect() as client:
        found = list(client.extend.standard.paged_search(slapd.people, "(objectClass=inetOrgPerson)", paged_size=1))
        assert f"cn=Dora,{slapd.people}" in [entry["dn"] for entry in found]
