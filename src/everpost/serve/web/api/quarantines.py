"""The quarantine: what the guard keeps apart, and what an administrator decides about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import msgspec

from everpost.continuity.homes import waiting_mailboxes
from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.guard.model import Judgement, Verdict
from everpost.intake.quarantine import Kept, Quarantine, Wanted
from everpost.intake.quarantine_settings import (
    QuarantineSettings,
    Schedule,
    SettingsError,
    read_settings,
    save_settings,
)
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.values import (
    Because,
    Id,
    Input,
    Nothing,
    Output,
    Reason,
    Text,
    Time,
    nothing_there,
    parse_id,
    refusal,
)
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.ids import encode_id

section = Section(
    "Quarantine",
    "What the guard keeps apart: it stands in no mailbox and goes nowhere before somebody releases it. What is kept"
    " for longer than `[quarantine] retention_days` ends without a report to its sender.",
)


class QuarantineQuery(Input, frozen=True):
    """Which messages: all that is given must fit. Texts are looked for as parts, in any case."""

    judgement: Annotated[Judgement | None, msgspec.Meta(description="What it is taken for.")] = None
    recipient: Annotated[Text | None, msgspec.Meta(description="Part of a recipient's address.")] = None
    sender: Annotated[Text | None, msgspec.Meta(description="Part of the reverse-path; `<>` for none.")] = None
    subject: Annotated[Text | None, msgspec.Meta(description="Part of the subject.")] = None
    since: Time | None = None
    until: Time | None = None
    asked: Annotated[bool, msgspec.Meta(description="Only what somebody asks for.")] = False
    before: Annotated[Id | None, msgspec.Meta(description="The `next` of the page before.")] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class KeptMessage(Output, frozen=True):
    """A message in quarantine. `author` is what its From field says, `reverse_path` null for a report. `asked` and
    `not_junk` count the recipients that want it released, and that say it is no junk.
    """

    id: str
    received_at: datetime
    direction: str
    reverse_path: str | None
    author: str
    subject: str
    size: int
    recipients: list[str]
    verdict: Verdict
    asked: int
    not_junk: int


class KeptMessages(Output, frozen=True):
    """The latest first. `next` leads to the page after it; null at the end."""

    messages: list[KeptMessage]
    next: str | None


class HeaderField(Output, frozen=True):
    """A field of the header, decoded."""

    name: str
    value: str


class NamedFile(Output, frozen=True):
    """An attachment by what its sender called it; octets as it was transferred. Its content is not to be had."""

    name: str
    type: str
    size: int


class KeptFor(Output, frozen=True):
    """A recipient. `asked_at`: they want it released; `not_junk_at`: they say it is no junk."""

    recipient: str
    accepted_as: str
    asked_at: datetime | None
    comment: str | None
    not_junk_at: datetime | None


class KeptDetails(Output, frozen=True):
    """A message with its recipients."""

    message: KeptMessage
    recipients: list[KeptFor]


class SafeLook(Output, frozen=True):
    """What a message says, as it can be looked at without harm: of HTML the words alone. `complete`: nothing was cut
    off.
    """

    fields: list[HeaderField]
    text: str
    complete: bool
    files: list[NamedFile]


class ReleaseKept(Input, frozen=True):
    """To whom (null for all recipients), and why."""

    reason: Reason
    recipients: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=1000)] | None = None


class GiveUpKept(ReleaseKept, frozen=True):
    """For whom (null for all recipients), and why."""


class KeptReleased(Output, frozen=True):
    """A recipient who gets it; `remark` says where it waits, if it does."""

    recipient: str
    remark: str


class AllReleased(Output, frozen=True):
    """Those who get it."""

    released: list[KeptReleased]


class GivenUp(Output, frozen=True):
    """Those who will not get it."""

    recipients: list[str]


class QuarantineRules(Output, frozen=True):
    """What the organisation decides. `digest_hour` counts in `time_zone` and is for the daily digest."""

    self_release: list[Judgement]
    digest: Schedule
    digest_hour: int
    time_zone: str


class QuarantineRulesChange(Input, frozen=True):
    """What shall be so; what is left out stays as it is."""

    self_release: (
        Annotated[
            list[Judgement],
            msgspec.Meta(max_length=6, description="What people release themselves; never malware and phishing."),
        ]
        | None
    ) = None
    digest: Annotated[Schedule | None, msgspec.Meta(description="When people are told by mail.")] = None
    digest_hour: Annotated[int, msgspec.Meta(ge=0, le=23)] | None = None
    time_zone: Annotated[Text | None, msgspec.Meta(description="An IANA name, like Europe/Berlin.")] = None


class Refused(Output, frozen=True):
    """So many had asked."""

    requests: int


@section.get("/quarantine")
async def list_quarantine(call: Call[QuarantineQuery, Nothing]) -> KeptMessages:
    """What is kept apart."""
    asked = call.query
    before = None if asked.before is None else parse_id(asked.before, "message")
    wanted = Wanted(
        before=before, judgement=asked.judgement, recipient=asked.recipient or None, sender=asked.sender or None,
        subject=asked.subject or None, since=asked.since, until=asked.until,
        asked=asked.asked,
    )  # fmt: skip
    found = await quarantine(call).list(call.organisation.id, wanted, asked.limit + 1)
    shown, more = found[: asked.limit], len(found) > asked.limit
    return KeptMessages(
        messages=[_shown(each) for each in shown], next=encode_id(shown[-1].message_id) if more else None
    )


@section.get("/quarantine/messages/{message}")
async def get_quarantined(call: Call[Nothing, Nothing]) -> KeptDetails:
    """One message: the verdict with its evidence, and for whom it is."""
    found = await quarantine(call).get(call.organisation.id, call.ids["message"])
    if found is None:
        raise nothing_there("message in quarantine")
    recipients = [
        KeptFor(
            recipient=each.recipient, accepted_as=each.accepted_as, asked_at=each.asked_at, comment=each.comment,
            not_junk_at=each.not_junk_at,
        )
        for each in found.recipients
    ]  # fmt: skip
    return KeptDetails(message=_shown(found.kept), recipients=recipients)


@section.post("/quarantine/messages/{message}/look")
async def look_at_quarantined(call: Call[Nothing, Nothing]) -> SafeLook:
    """Look at what a message says: header fields, text, and the names of its files. It stands in the audit."""
    blobs = BlobReader(call.services.database, call.services.keys)
    try:
        view = await quarantine(call).look(call.organisation.id, call.ids["message"], blobs)
    except (NoSuchBlob, KeyProblem, DamagedBlob) as error:
        raise refusal(409, "unreadable", "Its content cannot be read", str(error)) from error
    if view is None:
        raise nothing_there("message in quarantine")
    return SafeLook(
        fields=[HeaderField(name=name, value=value) for name, value in view.fields],
        text=view.text,
        complete=view.complete,
        files=[NamedFile(name=each.name, type=each.type, size=each.size) for each in view.files],
    )


@section.post("/quarantine/messages/{message}/release")
async def release_quarantined(call: Call[Nothing, ReleaseKept]) -> AllReleased:
    """Let a message go, to the standby mailbox and on its way. Those who asked for it are told by mail."""
    done = await quarantine(call).release(
        call.organisation.id, call.ids["message"], call.body.recipients, reason=call.body.reason
    )
    return AllReleased(released=[KeptReleased(recipient=each.recipient, remark=each.remark) for each in done])


@section.post("/quarantine/messages/{message}/expire")
async def expire_quarantined(call: Call[Nothing, GiveUpKept]) -> GivenUp:
    """Give a message up before its time. Its sender is not told; those who asked for it are, by mail."""
    done: Sequence[str] = await quarantine(call).give_up(
        call.organisation.id, call.ids["message"], call.body.recipients, reason=call.body.reason
    )
    return GivenUp(recipients=list(done))


@section.post("/quarantine/messages/{message}/refuse")
async def refuse_release(call: Call[Nothing, Because]) -> Refused:
    """Answer those who ask for its release: no, and why. It stays in quarantine."""
    refused = await quarantine(call).refuse(call.organisation.id, call.ids["message"], call.body.reason)
    return Refused(requests=refused)


@section.get("/quarantine/settings")
async def get_quarantine_settings(call: Call[Nothing, Nothing]) -> QuarantineRules:
    """What people may release themselves, and when they are told of what is kept from them."""
    async with call.services.database.connection() as connection:
        return _rules(await read_settings(connection, call.organisation.id))


@section.post("/quarantine/settings")
async def set_quarantine_settings(call: Call[Nothing, QuarantineRulesChange]) -> QuarantineRules:
    """Decide about it. The next digest is due as it says then."""
    async with call.services.database.connection() as connection:
        before = await read_settings(connection, call.organisation.id)
    given = {
        name: value
        for name in QuarantineRulesChange.__struct_fields__
        if (value := getattr(call.body, name)) is not None
    }
    if "self_release" in given:
        given["self_release"] = frozenset(given["self_release"])
    try:
        after = replace(before, **given)
        await save_settings(call.services.database, call.organisation.id, after, call.actor)
    except SettingsError as error:
        raise refusal(400, "invalid", "That cannot be meant", str(error)) from error
    return _rules(after)


def _rules(settings: QuarantineSettings) -> QuarantineRules:
    return QuarantineRules(
        self_release=sorted(settings.self_release), digest=settings.digest, digest_hour=settings.digest_hour,
        time_zone=settings.time_zone,
    )  # fmt: skip


def quarantine(call: Call[Any, Any]) -> Quarantine:
    """As the caller's deed."""
    return Quarantine(call.services.database, actor=call.actor, homes=waiting_mailboxes)


def _shown(kept: Kept) -> KeptMessage:
    return KeptMessage(
        id=encode_id(kept.message_id), received_at=kept.received_at, direction=kept.direction,
        reverse_path=kept.reverse_path, author=kept.author, subject=kept.subject, size=kept.size,
        recipients=list(kept.recipients), verdict=kept.verdict, asked=kept.asked, not_junk=kept.not_junk,
    )  # fmt: skip
