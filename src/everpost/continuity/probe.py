"""Probing a primary, stage by stage, each with its time: is it there, does it take mail, can its mailboxes be read?"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from dataclasses import dataclass

from everpost.continuity.imap import ImapFailure, ImapLoginRefused, ImapRefusal, ImapSession
from everpost.continuity.tls import connector_context
from everpost.directory.primary import PrimarySecrets, PrimarySettings, SmtpConnector
from everpost.mail.address import Address
from everpost.mail.envelope import Envelope, Recipient, Sender
from everpost.mail.reply import Outcome
from everpost.queue.smtp_client import SmtpConnection, SmtpFailure, Timeouts, TlsMode

STAGES = 3
"""A probe as a whole may take this many times the time of one stage."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What a probe found. `stage` is the last one reached: connect, greeting, hello, tls, auth, envelope, body, end,
    imap, round trip or done.
    """

    ok: bool
    stage: str
    detail: str
    latency_ms: float


async def probe(
    settings: PrimarySettings, credentials: PrimarySecrets, *, hostname: str, round_trip: bool = False
) -> ProbeResult:
    """One probe. Raises nothing."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(settings.probe.timeout_s * STAGES + (30 if round_trip else 0)):
            ok, stage, detail = await _probe(settings, credentials, hostname, round_trip)
    except TimeoutError:
        ok, stage, detail = False, "connect", "timed out"
    except (OSError, ssl.SSLError, ValueError) as error:
        ok, stage, detail = False, "connect", f"{type(error).__name__}: {error}"
    return ProbeResult(ok, stage, detail[:500], (time.monotonic() - began) * 1000)


async def _probe(
    settings: PrimarySettings, credentials: PrimarySecrets, hostname: str, round_trip: bool
) -> tuple[bool, str, str]:
    wanted = settings.probe
    try:
        connection = await open_smtp(settings.smtp, credentials, hostname, wanted.timeout_s)
    except SmtpFailure as failure:
        return False, failure.stage.value, failure.reason
    token = secrets.token_hex(12)
    try:
        if wanted.probe_address is not None:
            answer = await _ask_recipient(connection, wanted.probe_address, token, hostname, deliver=round_trip)
            if answer is not None:
                return answer
    finally:
        await connection.quit()
    if settings.imap is None or wanted.probe_address is None:
        return True, "done", "answers"
    return await _ask_imap(settings, credentials, hostname, token if round_trip else None)


async def open_smtp(
    connector: SmtpConnector, credentials: PrimarySecrets, hostname: str, timeout_s: float
) -> SmtpConnection:
    """Connect as a delivery would. Raises `SmtpFailure`, `OSError` where the CA file cannot be read."""
    mode = TlsMode(connector.tls)
    verify = connector.verify and mode is not TlsMode.OPPORTUNISTIC
    login = (credentials.smtp_username, credentials.smtp_password) if credentials.smtp_username else None
    return await SmtpConnection.open(
        connector.host,
        connector.port,
        hostname=hostname,
        tls=mode,
        ssl_context=connector_context(verify=verify, ca_file=connector.ca_file),
        credentials=login,
        timeouts=Timeouts(timeout_s, timeout_s, timeout_s, timeout_s, timeout_s, timeout_s),
    )


async def _ask_recipient(
    connection: SmtpConnection, address: str, token: str, hostname: str, *, deliver: bool
) -> tuple[bool, str, str] | None:
    """None where the primary takes mail. A refused probe address says that somebody is at home."""
    envelope = Envelope(Sender(None, 0), (Recipient(Address.parse(address)),))
    if deliver:
        content = (
            f"From: <postmaster@{hostname}>\r\nTo: <{address}>\r\nSubject: Everpost probe\r\n"
            f"Message-ID: <{token}@{hostname}>\r\nAuto-Submitted: auto-generated\r\n\r\nprobe\r\n"
        ).encode()
        result = await connection.deliver(envelope, content, len(content))
    else:
        result = await connection.check(envelope)
    reply = result.recipients[0].reply
    if reply is None:
        return False, result.stage.value, result.failure or "no answer"
    if reply.outcome is Outcome.TRANSIENT:
        return False, "envelope", str(reply)
    if reply.outcome is Outcome.PERMANENT:
        return True, "envelope", f"answers, but refuses the probe address: {reply}"
    return None


async def _ask_imap(
    settings: PrimarySettings, credentials: PrimarySecrets, hostname: str, token: str | None
) -> tuple[bool, str, str]:
    """Whether the probe's mailbox can be opened, and the message just sent comes to stand in it."""
    assert settings.imap is not None
    assert settings.probe.probe_address is not None
    login = settings.imap.login(Address.parse(settings.probe.probe_address))
    try:
        session = await ImapSession.open(
            settings.imap, login, credentials.imap_password, hostname=hostname, timeout_s=settings.probe.timeout_s
        )
    except ImapLoginRefused as error:
        return True, "imap", f"answers, but refuses the login: {error}"
    except (ImapFailure, ImapRefusal) as error:
        return False, "imap", str(error)
    try:
        return await _wait_for(session, token, hostname) if token is not None else (True, "done", "answers")
    except (ImapFailure, ImapRefusal) as error:
        return False, "imap", str(error)
    finally:
        await session.close()


async def _wait_for(session: ImapSession, token: str, hostname: str) -> tuple[bool, str, str]:
    box = session.mailbox
    deadline = time.monotonic() + 25
    pause = 0.1
    while time.monotonic() < deadline:
        copies = await session.run(box.find, "Message-ID", f"{token}@{hostname}", ["INBOX"])
        if copies:
            for copy in copies:
                await session.run(box.delete, copy.folder, copy.uid)
            return True, "done", "answers and delivers"
        await asyncio.sleep(pause)
        pause = min(pause * 2, 2)
    return False, "round trip", "took the probe message, which does not stand in its mailbox after 25 s"
