"""VacationResponse/* (RFC 8621 §8): the one automatic answer of a mailbox."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from everpost.serve.web.jmap.context import Arguments, Context, check_state, set_answer
from everpost.standby.settings import MAX_SIGNATURE, Vacation, save_vacation, vacation_of
from everpost.standby.work import Work
from everpost.wire.jmap.arguments import Get, Set, properties_of
from everpost.wire.jmap.core import SetError
from everpost.wire.jmap.headers import read_date

SINGLETON = "singleton"
_FIELDS = {
    "isEnabled": "enabled", "fromDate": "from_date", "toDate": "to_date", "subject": "subject",
    "textBody": "text_body", "htmlBody": "html_body",
}  # fmt: skip
_PROPERTIES = frozenset(("id", *_FIELDS))
MAX_SUBJECT = 500


async def get(context: Context, arguments: Arguments) -> Arguments:
    """VacationResponse/get."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _PROPERTIES)
    state = await context.standby.state(context.account)
    async with context.services.database.connection() as connection:
        vacation = await vacation_of(connection, context.account)
    ids = [SINGLETON] if asked.ids is None else list(dict.fromkeys(asked.ids))
    rows = [{name: _shown(vacation, name) for name in wanted} for text in ids if text == SINGLETON]
    missing = [text for text in ids if text != SINGLETON]
    return {"accountId": asked.account_id, "state": str(state), "list": rows, "notFound": missing}


def _shown(vacation: Vacation, name: str) -> Any:
    if name == "id":
        return SINGLETON
    value = getattr(vacation, _FIELDS[name])
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


async def change(context: Context, arguments: Arguments) -> Arguments:
    """VacationResponse/set: there is one, which is neither made nor destroyed."""
    asked = context.read_to_change(arguments, Set)
    single = SetError("singleton", "there is exactly one").as_json()
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        answer["notCreated"] = dict.fromkeys(asked.create or {}, single)
        for text in dict.fromkeys(asked.destroy or ()):
            missing = SetError("notFound").as_json()
            answer["notDestroyed"][text] = single if text == SINGLETON else missing
        for text, patch in (asked.update or {}).items():
            try:
                await _update(work, text, patch)
                answer["updated"][text] = None
            except SetError as error:
                answer["notUpdated"][text] = error.as_json()
        answer["newState"] = str(work.modseq)
    return answer


async def _update(work: Work, text: str, patch: dict[str, Any]) -> None:
    if text != SINGLETON:
        raise SetError("notFound")
    old = await vacation_of(work.connection, work.account)
    new = _patched(old, patch)
    if new != old:
        await save_vacation(work, new)


def _patched(vacation: Vacation, patch: dict[str, Any]) -> Vacation:
    values: dict[str, Any] = {}
    for name, value in patch.items():
        if name == "id" and value == SINGLETON:
            continue
        if name not in _FIELDS:
            raise SetError("invalidProperties", "cannot be set", properties=(name[:80],))
        try:
            values[_FIELDS[name]] = _value(name, value)
        except (ValueError, TypeError):
            raise SetError("invalidProperties", f"{name} cannot be this", properties=(name,)) from None
    return replace(vacation, **values)


def _value(name: str, value: Any) -> Any:
    """Raises `ValueError`."""
    if name == "isEnabled":
        if not isinstance(value, bool):
            raise TypeError
        return value
    if value is None:
        return None
    if name in ("fromDate", "toDate"):
        return read_date(value)
    limit = MAX_SUBJECT if name == "subject" else MAX_SIGNATURE
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        raise ValueError
    return " ".join(value.split()) if name == "subject" else value
