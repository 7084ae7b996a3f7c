"""QuarantinedEmail/* (docs/jmap-quarantine.md): what the guard keeps from a person, and what they do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from everpost.continuity.homes import waiting_mailboxes
from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.guard.model import Judgement
from everpost.intake.kept_from_me import MAX_COMMENT, KeptFromMe, KeptMail, NotAllowed, NotKept
from everpost.intake.quarantine_settings import May
from everpost.intake.senders import MAX_RULES
from everpost.mail.plainview import PlainView
from everpost.queue.operator import QueueRefusal
from everpost.serve.web.jmap.context import Arguments, Context, query_answer, within_get_limit
from everpost.store.blobs import NoSuchBlob
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import Get, QuarantineAct, QuarantineAsk, Query, properties_of
from everpost.wire.jmap.core import MethodError, SetError

_LISTED: Final = frozenset(
    ("id", "receivedAt", "from", "subject", "size", "judgement", "reasons", "mayRelease", "mayAsk", "askedAt",
     "answer", "answerReason", "notJunkAt")
)  # fmt: skip
_LOOKED_AT: Final = frozenset(("headers", "text", "isComplete", "attachments"))
_PROPERTIES: Final = _LISTED | _LOOKED_AT
MAX_LOOKS: Final = 10
"""Messages whose content one call shows."""
_CONDITIONS: Final = frozenset(("judgement", "from", "subject"))
_REASONS: Final = 20


def capability() -> dict[str, Any]:
    """What the session tells of the quarantine."""
    return {"maxSenderRules": MAX_RULES, "maxLooksInGet": MAX_LOOKS, "maxComment": MAX_COMMENT}


async def get(context: Context, arguments: Arguments) -> Arguments:
    """QuarantinedEmail/get. Without `properties`: what lists show."""
    asked = context.read(arguments, Get)
    wanted = _LISTED if asked.properties is None else properties_of(asked.properties, _PROPERTIES)
    numbers = None if asked.ids is None else [context.number(text) for text in dict.fromkeys(asked.ids)]
    looks = bool(wanted & _LOOKED_AT)
    state = await _mail(context).state()
    kept = await _mail(context).list(numbers)
    if numbers is None:
        within_get_limit(kept)
    if looks and len(kept) > MAX_LOOKS:
        raise MethodError("requestTooLarge", f"the content of at most {MAX_LOOKS} messages is shown at once")
    shown = {}
    for each in kept:
        row = _shown(each)
        if looks:
            row |= _content(await _view(context, each))
        shown[encode_id(each.message_id)] = row
    ids = list(shown) if asked.ids is None else list(dict.fromkeys(asked.ids))
    return {
        "accountId": asked.account_id, "state": state,
        "list": [{name: shown[text][name] for name in wanted} for text in ids if text in shown],
        "notFound": [text for text in ids if text not in shown],
    }  # fmt: skip


async def query(context: Context, arguments: Arguments) -> Arguments:
    """QuarantinedEmail/query: the latest first."""
    asked = context.read(arguments, Query)
    if asked.sort not in (None, [], [{"property": "receivedAt", "isAscending": False}]):
        raise MethodError("unsupportedSort", "the latest come first")
    fits = _condition(asked.filter or {})
    state = await _mail(context).state()
    kept = [each for each in await _mail(context).list() if fits(each)]
    answer = query_answer(asked, state, [encode_id(each.message_id) for each in kept])
    return answer | {"canCalculateChanges": False}


async def release(context: Context, arguments: Arguments) -> Arguments:
    """QuarantinedEmail/release: let messages go, for this mailbox alone."""
    asked = context.read(arguments, QuarantineAct)
    mail = _mail(context)
    return await _each(context, asked.account_id, asked.ids, "released", "notReleased", mail.release)


async def ask(context: Context, arguments: Arguments) -> Arguments:
    """QuarantinedEmail/askForRelease: the administrators decide, and the answer comes by mail."""
    asked = context.read(arguments, QuarantineAsk)
    if len(asked.comment) > MAX_COMMENT or "\0" in asked.comment:
        raise MethodError("invalidArguments", f"a comment has at most {MAX_COMMENT} letters")
    mail = _mail(context)

    async def act(message_id: int) -> None:
        await mail.ask(message_id, " ".join(asked.comment.split()))

    return await _each(context, asked.account_id, asked.ids, "asked", "notAsked", act)


async def report_not_junk(context: Context, arguments: Arguments) -> Arguments:
    """QuarantinedEmail/reportNotJunk: the guard is wrong about them."""
    asked = context.read(arguments, QuarantineAct)
    mail = _mail(context)

    async def act(message_id: int) -> None:
        await mail.report_not_junk(message_id)

    return await _each(context, asked.account_id, asked.ids, "reported", "notReported", act)


async def _each(
    context: Context, account: str, ids: Iterable[str], done: str, not_done: str,
    act: Callable[[int], Awaitable[None]],
) -> Arguments:  # fmt: skip
    """Do something to each message by itself: what one refuses does not keep the others."""
    acted: list[str] = []
    refused: dict[str, Any] = {}
    for text in dict.fromkeys(ids):
        try:
            await act(context.number(text))
            acted.append(text)
        except NotKept:
            refused[text] = SetError("notFound").as_json()
        except (NotAllowed, QueueRefusal) as error:
            refused[text] = SetError("forbidden", str(error)).as_json()
    return {"accountId": account, done: acted, not_done: refused}


def _mail(context: Context) -> KeptMail:
    return KeptMail(
        context.services.database, context.account, actor=context.visitor.actor, homes=waiting_mailboxes
    )  # fmt: skip


async def _view(context: Context, kept: KeptFromMe) -> PlainView | None:
    """None where it is not shown, or cannot be read."""
    try:
        return await _mail(context).view(kept.message_id, context.standby.blobs)
    except (NotAllowed, NotKept, NoSuchBlob, KeyProblem, DamagedBlob):
        return None


def _shown(kept: KeptFromMe) -> dict[str, Any]:
    return {
        "id": encode_id(kept.message_id), "receivedAt": _utc(kept.received_at),
        "from": [{"name": each.name, "email": each.address} for each in kept.author],
        "subject": kept.subject, "size": kept.size, "judgement": kept.verdict.judgement,
        "reasons": [each.evidence or each.kind for each in kept.verdict.signals[:_REASONS]],
        "mayRelease": kept.may is May.RELEASE, "mayAsk": kept.may is May.ASK,
        "askedAt": _utc(kept.asked_at), "answer": kept.answer, "answerReason": kept.answer_reason,
        "notJunkAt": _utc(kept.not_junk_at),
    }  # fmt: skip


def _content(view: PlainView | None) -> dict[str, Any]:
    if view is None:
        return {"headers": None, "text": None, "isComplete": False, "attachments": None}
    return {
        "headers": [{"name": name, "value": value} for name, value in view.fields], "text": view.text,
        "isComplete": view.complete,
        "attachments": [{"name": each.name, "type": each.type, "size": each.size} for each in view.files],
    }  # fmt: skip


def _condition(asked: dict[str, Any]) -> Callable[[KeptFromMe], bool]:
    """Raises `MethodError`."""
    for name, value in asked.items():
        if name not in _CONDITIONS:
            raise MethodError("unsupportedFilter", name[:80])
        if not isinstance(value, str):
            raise MethodError("invalidArguments", f"{name} is a text")
    judgement, author, subject = (asked.get(name, "").lower() for name in ("judgement", "from", "subject"))
    if judgement and judgement not in set(Judgement):
        raise MethodError("invalidArguments", "there is no such judgement")

    def fits(kept: KeptFromMe) -> bool:
        authors = " ".join(f"{each.name or ''} {each.address}" for each in kept.author)
        return (
            judgement in ("", kept.verdict.judgement) and author in authors.lower() and subject in kept.subject.lower()
        )

    return fits


def _utc(moment: Any) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")
