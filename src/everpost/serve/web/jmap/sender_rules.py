"""SenderRule/* and QuarantineSettings/* (docs/jmap-quarantine.md): whom a person will hear from, and in what language
they are written to.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from everpost.directory.model import Language
from everpost.guard.wishes import SenderError, Wish
from everpost.intake.senders import TYPE, SenderRule, TooManyRules, delete_rule, put_rule, rules_of
from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    check_creation_ids,
    check_state,
    noted_answer,
    notes_since,
    read_changes,
    set_answer,
)
from everpost.serve.web.jmap.singletons import set_singleton, shown_singleton
from everpost.standby.work import Work
from everpost.store import audit
from everpost.store.ids import encode_id
from everpost.store.sql import load
from everpost.wire.jmap.arguments import Get, Set, properties_of
from everpost.wire.jmap.core import SetError

_SQL = load("quarantine")
_PROPERTIES: Final = frozenset(("id", "sender", "action"))


async def get(context: Context, arguments: Arguments) -> Arguments:
    """SenderRule/get."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _PROPERTIES)
    state = await context.standby.state(context.account)
    async with context.services.database.connection() as connection:
        found = await rules_of(connection, context.account.organisation_id, context.account.mailbox_id)
    shown = {encode_id(each.id): _shown(each) for each in found}
    ids = list(shown) if asked.ids is None else list(dict.fromkeys(asked.ids))
    return {
        "accountId": asked.account_id, "state": str(state),
        "list": [{name: shown[text][name] for name in wanted} for text in ids if text in shown],
        "notFound": [text for text in ids if text not in shown],
    }  # fmt: skip


async def changes(context: Context, arguments: Arguments) -> Arguments:
    """SenderRule/changes."""
    asked, most = read_changes(context, arguments)
    return noted_answer(asked.account_id, await notes_since(context, TYPE, asked.since_state, most))


async def change(context: Context, arguments: Arguments) -> Arguments:
    """SenderRule/set: also while the primary is the master. A new rule about a sender replaces the old one."""
    asked = context.read(arguments, Set)
    check_creation_ids(asked.create)
    numbers = {name: await context.standby.new_id() for name in asked.create or {}}
    async with context.standby.work(context.account, context.visitor.actor) as (work, _):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        for name, properties in (asked.create or {}).items():
            try:
                answer["created"][name] = await _create(context, work, numbers[name], properties)
                context.dialogue.remember(name, answer["created"][name]["id"])
            except SetError as error:
                answer["notCreated"][name] = error.as_json()
        for text in asked.update or {}:
            answer["notUpdated"][text] = SetError("forbidden", "make a new one about the same sender").as_json()
        for text in dict.fromkeys(asked.destroy or ()):
            try:
                await _destroy(context, work, context.number(text))
                answer["destroyed"].append(text)
            except SetError as error:
                answer["notDestroyed"][text] = error.as_json()
        answer["newState"] = str(work.modseq)
    return answer


async def _create(context: Context, work: Work, number: int, properties: dict[str, Any]) -> dict[str, Any]:
    unknown = [name[:80] for name in properties if name not in ("sender", "action")]
    if unknown:
        raise SetError("invalidProperties", "there is no such property", properties=tuple(unknown))
    sender, action = properties.get("sender"), properties.get("action")
    if not isinstance(sender, str) or "\0" in sender:
        raise SetError("invalidProperties", "write an address or a domain", properties=("sender",))
    if action not in set(Wish):
        raise SetError("invalidProperties", "allow or deny", properties=("action",))
    new_ids = (number, await context.standby.new_id())
    try:
        rule = await put_rule(work, new_ids, sender, Wish(action), str(context.visitor.mailbox.address))
    except SenderError as error:
        raise SetError("invalidProperties", str(error), properties=("sender",)) from error
    except TooManyRules as error:
        raise SetError("overQuota", str(error)) from error
    return {"id": encode_id(rule.id), "sender": rule.sender}


async def _destroy(context: Context, work: Work, number: int) -> None:
    key = (context.account.organisation_id, context.account.mailbox_id)
    if not await delete_rule(work.connection, *key, number):
        raise SetError("notFound")
    work.note(TYPE, encode_id(number), "destroyed")
    visitor, detail = context.visitor, {"removed": encode_id(number)}
    event = audit.Event(visitor.actor, "quarantine.sender-rule", str(visitor.mailbox.address), detail)
    event_id = await context.standby.new_id()
    await audit.record(work.connection, context.account.organisation_id, event_id, event)


def _shown(rule: SenderRule) -> dict[str, Any]:
    return {"id": encode_id(rule.id), "sender": rule.sender, "action": rule.wish}


# ---------------------------------------------------------------------- in what language


async def get_settings(context: Context, arguments: Arguments) -> Arguments:
    """QuarantineSettings/get: there is one. `language` is null where it is not known."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, frozenset(("id", "language")))
    async with context.services.database.connection() as connection:
        language = await connection.fetchval(
            _SQL["language_of"], context.account.organisation_id, context.account.mailbox_id
        )
    shown = shown_singleton(asked, wanted, {"language": language})
    return {"accountId": asked.account_id, "state": str(language)} | shown


async def change_settings(context: Context, arguments: Arguments) -> Arguments:
    """QuarantineSettings/set: the language of what is written to the person."""
    asked = context.read(arguments, Set)
    answer = set_answer(context, 0, 0)
    await set_singleton(asked, answer, partial(_set_language, context))
    return answer


async def _set_language(context: Context, patch: dict[str, Any]) -> None:
    language = patch.get("language")
    if set(patch) - {"language", "id"} or (language is not None and language not in set(Language)):
        raise SetError("invalidProperties", f"one of {', '.join(Language)}", properties=("language",))
    async with context.services.database.connection() as connection:
        await connection.execute(
            _SQL["set_language"], context.account.organisation_id, context.account.mailbox_id, language
        )
