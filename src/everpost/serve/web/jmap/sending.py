"""What it takes for a message of a mailbox to go out: who may write as whom, to whom, and when (RFC 8621 §7.5)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from everpost.directory.model import Place, Resolved, Unresolved
from everpost.directory.resolve import Directory
from everpost.intake.accept import IntakeUnavailable, Within
from everpost.intake.screening import Screen, refusal_of
from everpost.intake.submission import BlobReference, Client, Owner, Receipt, RoutedRecipient, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Body, Notify, Recipient, Ret, Sender
from everpost.serve.web.jmap.context import set_error
from everpost.standby.drafts import seal_content
from everpost.standby.service import Standby
from everpost.standby.submit import MAX_RECIPIENTS, CannotSend, Outgoing, outgoing, read_addresses
from everpost.standby.summary import scan_message
from everpost.standby.values import Account, StandbyRefusal
from everpost.store.blobs import INLINE_OCTETS, SealedBlob
from everpost.store.database import Database
from everpost.wire.jmap.core import SetError
from everpost.wire.jmap.headers import read_date

MAX_DELAY_S: Final = 366 * 86_400
_ASIDE_OCTETS = 256 * 1024
_MAIL_PARAMETERS = ("RET", "ENVID", "HOLDFOR", "HOLDUNTIL")


class Accepts(Protocol):
    """The intake."""

    async def accept(self, submission: Submission, within: Within | None = None) -> Receipt: ...


class SendingServices(Protocol):
    """What sending needs of the house."""

    @property
    def database(self) -> Database: ...

    @property
    def standby(self) -> Standby: ...

    @property
    def directory(self) -> Directory: ...

    @property
    def intake(self) -> Accepts: ...

    @property
    def spool_folder(self) -> Path: ...

    @property
    def screen(self) -> Screen | None: ...


@dataclass(frozen=True, slots=True)
class SendingParts:
    """The same, for who is not the web face."""

    database: Database
    standby: Standby
    directory: Directory
    intake: Accepts
    spool_folder: Path
    screen: Screen | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """On whose behalf something is sent."""

    account: Account
    place: Place
    actor: str
    ip: str


@dataclass(frozen=True, slots=True)
class Ready:
    """A message that may go out, with its envelope."""

    blob_id: int
    message: Outgoing
    sender: Sender
    recipients: list[RoutedRecipient]


class HeldBack(SetError):
    """The guard will not have the message now; later it may."""


async def make_ready(
    services: SendingServices, account: Account, blob_id: int, identity: Address, envelope: Any
) -> Ready:
    """Raises `SetError` for what must not go out, or not like this."""
    content = await services.standby.blobs.read(account.organisation_id, blob_id)
    message = await _outgoing(content)
    await _check_senders(services, account, message)
    sender, recipients = await _envelope(services, account, message, identity, envelope)
    return Ready(blob_id, message, sender, recipients)


async def send(services: SendingServices, author: Author, ready: Ready, within: Within) -> tuple[Receipt, datetime]:
    """Past the guard into the queue, with what `within` writes. Raises `SetError` (`HeldBack` where it may be sent
    later), what `store.database.UNAVAILABLE` lists, and what `within` raises besides refusals.
    """
    submission = await _submission(services, author, ready)
    try:
        if services.screen is not None:
            submission = await services.screen.look(submission, ready.message.content)
            _check_refusal(submission)
        return await services.intake.accept(submission, within), submission.received_at
    except IntakeUnavailable as error:
        raise SetError("serverUnavailable", str(error)) from error
    except StandbyRefusal as error:
        raise set_error(error, {}) from error
    finally:
        if isinstance(submission.blob, SealedBlob):
            submission.blob.close()


async def check(services: SendingServices, author: Author, ready: Ready) -> None:
    """For what is to be sent later: a person hears at once that the guard would refuse it. Raises as `send`."""
    if services.screen is None:
        return
    submission = await _submission(services, author, ready)
    try:
        _check_refusal(await services.screen.look(submission, ready.message.content, rehearsal=True))
    finally:
        if isinstance(submission.blob, SealedBlob):
            submission.blob.close()


def _check_refusal(submission: Submission) -> None:
    """Raises `SetError` (forbiddenToSend, RFC 8621 §7.5), with what the person may be told."""
    refusal = refusal_of(submission)
    if refusal is None:
        return
    if refusal.for_now:
        raise HeldBack("forbiddenToSend", f"The message cannot be sent now, try again later: {refusal.reason}")
    raise SetError("forbiddenToSend", f"The message was not sent: {refusal.reason}")


def kept_envelope(envelope: Any) -> dict[str, Any] | None:
    """An envelope that `make_ready` took, as it is put on record: what it means and nothing besides."""
    if envelope is None:
        return None
    addresses = (envelope["mailFrom"], *envelope["rcptTo"])
    kept = [{"email": item["email"], "parameters": item.get("parameters") or None} for item in addresses]
    return {"mailFrom": kept[0], "rcptTo": kept[1:]}


def hold_until(envelope: Any, now: datetime) -> datetime | None:
    """When a submission is to be sent (FUTURERELEASE, RFC 4865); None for at once. Raises `SetError`."""
    if envelope is None:
        return None
    _, parameters, _ = _read_envelope(envelope)
    until: datetime | None = parameters.get("HOLDUNTIL")
    if parameters.get("HOLDFOR") is not None:
        until = now + timedelta(seconds=parameters["HOLDFOR"])
    if until is None or until <= now:
        return None
    if until > now + timedelta(seconds=MAX_DELAY_S):
        raise SetError("invalidProperties", f"at most {MAX_DELAY_S} s from now", properties=("envelope",))
    return until


async def _outgoing(content: bytes) -> Outgoing:
    try:
        if len(content) > _ASIDE_OCTETS:
            return await asyncio.to_thread(outgoing, content)
        return outgoing(content)
    except CannotSend as error:
        raise SetError("invalidEmail", str(error), properties=error.properties) from error


async def _check_senders(services: SendingServices, account: Account, message: Outgoing) -> None:
    """Nobody writes as somebody else: every From and Sender is an address of the mailbox."""
    addresses, bad = read_addresses(message.senders)
    if bad or not addresses:
        raise SetError("invalidEmail", "From is no address", properties=("from",))
    if await services.standby.owned(account, addresses) != frozenset(addresses):
        raise SetError("forbiddenFrom", "From is not an address of yours")


async def _envelope(
    services: SendingServices, account: Account, message: Outgoing, identity: Address, envelope: Any
) -> tuple[Sender, list[RoutedRecipient]]:
    parameters: dict[str, Any] = {}
    if envelope is None:
        wanted: list[tuple[str, dict[str, Any]]] = [(text, {}) for text in message.recipients]
        reverse_path = identity
    else:
        path, parameters, wanted = _read_envelope(envelope)
        good, _ = read_addresses((path,))
        if not good or await services.standby.owned(account, good) != frozenset(good):
            raise SetError("forbiddenMailFrom", "MAIL FROM is not an address of yours")
        reverse_path = good[0]
    if not wanted:
        raise SetError("noRecipients")
    if len(wanted) > MAX_RECIPIENTS:
        raise SetError("tooManyRecipients", extra={"maxRecipients": MAX_RECIPIENTS})
    recipients = await _resolve(services, wanted)
    utf8 = not all(item.recipient.address.is_ascii for item in recipients) or not reverse_path.is_ascii
    utf8 = utf8 or _has_utf8_header(message.content)
    sender = Sender(
        reverse_path, len(message.content), Body.EIGHT_BIT if message.needs_eight_bits else Body.SEVEN_BIT, utf8,
        parameters.get("RET"), parameters.get("ENVID"),
    )  # fmt: skip
    return sender, recipients


def _has_utf8_header(content: bytes) -> bool:
    return not content[: content.find(b"\r\n\r\n") + 2].isascii()


def _read_envelope(envelope: Any) -> tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    try:
        sender, recipients = envelope["mailFrom"], envelope["rcptTo"]
        path, parameters = sender["email"], _parameters(sender, _MAIL_PARAMETERS)
        if not isinstance(path, str) or not isinstance(recipients, list):
            raise TypeError  # noqa: TRY301
        wanted = [(str(item["email"]), _parameters(item, ("NOTIFY",))) for item in recipients[: MAX_RECIPIENTS + 1]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SetError("invalidProperties", "no such envelope", properties=("envelope",)) from error
    return path, parameters, wanted


def _parameters(item: dict[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    """The SMTP parameters we know (RFC 3461); raises `ValueError` for others."""
    found: dict[str, Any] = {}
    for name, value in (item.get("parameters") or {}).items():
        key = name.upper()
        if key not in allowed or not isinstance(value, str) or len(value) > 100 or not value.isprintable():
            raise ValueError(name)
        if key == "RET":
            found[key] = Ret(value.upper())
        elif key == "HOLDFOR":
            if not value.isascii() or not value.isdigit() or len(value) > 9:
                raise ValueError(name)
            found[key] = int(value)
        elif key == "HOLDUNTIL":
            found[key] = read_date(value)
        elif key == "ENVID":
            if not value.isascii() or " " in value:
                raise ValueError(name)
            found[key] = value
        else:
            flags = Notify.NEVER
            for word in value.upper().split(","):
                flags |= Notify[word] if word in Notify.__members__ else _no_such(word)
            found[key] = flags
    return found


def _no_such(word: str) -> Notify:
    raise ValueError(word)


async def _resolve(services: SendingServices, wanted: list[tuple[str, dict[str, Any]]]) -> list[RoutedRecipient]:
    """Each once. Who is known not to be there is refused now, not bounced later."""
    good: dict[str, RoutedRecipient] = {}
    invalid = []
    for text, parameters in wanted:
        addresses, bad = read_addresses((text,))
        if bad or not addresses[0].domain:
            invalid.append(text)
            continue
        resolution = await services.directory.resolve(addresses[0])
        if not isinstance(resolution, Resolved) and resolution is not Unresolved.NOT_OURS:
            invalid.append(text)
            continue
        recipient = Recipient(addresses[0], parameters.get("NOTIFY"))
        good.setdefault(addresses[0].key, RoutedRecipient(recipient, resolution))
    if invalid:
        raise SetError("invalidRecipients", extra={"invalidRecipients": invalid})
    return list(good.values())


async def _submission(services: SendingServices, author: Author, ready: Ready) -> Submission:
    content, account = ready.message.content, author.account
    crosses = any(
        isinstance(item.resolution, Resolved) and item.resolution.organisation_id != account.organisation_id
        for item in ready.recipients
    )
    blob: SealedBlob | BlobReference
    if ready.message.changed or crosses:
        # Another organisation gets bytes of its own: nothing is shared across (DESIGN I7).
        blob = await asyncio.to_thread(seal_content, content, services.spool_folder)
    else:
        blob = BlobReference(account.organisation_id, ready.blob_id)
    return Submission(
        source=Source.WEBMAIL,
        sender=ready.sender,
        recipients=tuple(ready.recipients),
        blob=blob,
        scanned=await asyncio.to_thread(scan_message, content),
        client=Client(author.ip, "webmail", "HTTP", login=author.actor),
        received_at=datetime.now(UTC),
        owner=Owner(account.organisation_id, account.mailbox_id, author.place.primary_id),
        content=content if len(content) <= INLINE_OCTETS else None,
    )
