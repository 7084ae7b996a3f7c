"""VacationResponse/* (RFC 8621 §8): the one automatic answer of a mailbox."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from everpost.serve.web.jmap.context import Arguments, Context, check_state, set_answer
from everpost.serve.web.jmap.singletons import SINGLETON, set_singleton, shown_singleton
from everpost.standby.settings import MAX_SIGNATURE, Vacation, save_vacation, vacation_of
from everpost.standby.work import Work
from everpost.wire.jmap.arguments import Get, Set, properties_of
from everpost.wire.jmap.core import SetError
from everpost.wire.jmap.headers import read_date

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
    whole = {name: _shown(vacation, name) for name in _FIELDS}
    return {"accountId": asked.account_id, "state": str(state)} | shown_singleton(asked, wanted, whole)


def _shown(vacation: Vacation, name: str) -> Any:
    value = getattr(vacation, _FIELDS[name])
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


async def change(context: Context, arguments: Arguments) -> Arguments:
    """VacationResponse/set: there is one, which is neither made nor destroyed."""
    asked = context.read_to_change(arguments, Set)
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        await set_singleton(asked, answer, partial(_update, work))
        answer["newState"] = str(work.modseq)
    return answer


async def _update(work: Work, patch: dict[str, Any]) -> None:
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
