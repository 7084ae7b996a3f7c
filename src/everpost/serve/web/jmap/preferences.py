"""Settings/* (docs/jmap-settings.md): how a person likes the webmail, the same on every device."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import msgspec

from everpost.serve.web.jmap.context import Arguments, Context, check_state, set_answer
from everpost.serve.web.jmap.singletons import SINGLETON, set_singleton, shown_singleton
from everpost.standby.preferences import (
    MAX_LABELS,
    MAX_SENDERS,
    MAX_UNDO_S,
    Preferences,
    as_properties,
    preferences_of,
    read_preferences,
    save_preferences,
)
from everpost.standby.work import Work
from everpost.wire.jmap.arguments import Get, Set, properties_of
from everpost.wire.jmap.core import SetError
from everpost.wire.jmap.patch import patch_object

_NAMES = frozenset(as_properties(Preferences()))
_PLACE = re.compile(r"at `\$\.(\w+)")


def capability() -> dict[str, Any]:
    """What the session tells of settings."""
    return {"maxLabels": MAX_LABELS, "maxPicturesFrom": MAX_SENDERS, "maxUndoSeconds": MAX_UNDO_S}


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Settings/get."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _NAMES | {"id"})
    state = await context.standby.state(context.account)
    async with context.services.database.connection() as connection:
        whole = as_properties(await preferences_of(connection, context.account))
    return {"accountId": asked.account_id, "state": str(state)} | shown_singleton(asked, wanted, whole)


async def change(context: Context, arguments: Arguments) -> Arguments:
    """Settings/set: there is one, which is neither made nor destroyed; also while the primary is the master."""
    asked = context.read(arguments, Set)
    async with context.standby.work(context.account, context.visitor.actor) as (work, _):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        await set_singleton(asked, answer, partial(_update, work))
        answer["newState"] = str(work.modseq)
    return answer


async def _update(work: Work, patch: dict[str, Any]) -> None:
    old = await preferences_of(work.connection, work.account)
    new = _patched(old, {name: value for name, value in patch.items() if (name, value) != ("id", SINGLETON)})
    if new != old:
        await save_preferences(work, new)


def _patched(old: Preferences, patch: dict[str, Any]) -> Preferences:
    """Raises `SetError`."""
    try:
        after = patch_object(as_properties(old), patch)
    except ValueError as error:
        raise SetError("invalidPatch", str(error)) from error
    try:
        return read_preferences(after)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        names = (place[1],) if place else tuple(str(name)[:80] for name in after if name not in _NAMES)
        raise SetError("invalidProperties", str(error)[:300], properties=names) from error
