"""Filter/* (docs/jmap-filters.md): what a person wants to become of mail that comes to their standby mailbox."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from everpost.directory.model import Forwarding, Resolution
from everpost.mail.address import Address, AddressError
from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    check_creation_ids,
    check_state,
    noted_answer,
    notes_since,
    read_changes,
    set_answer,
    set_error,
)
from everpost.standby.filing import delete_filter, filters_of, forward_problems, forwarding_of, save_filter
from everpost.standby.filters import (
    MAX_ALL_CONDITIONS,
    MAX_CONDITIONS,
    MAX_FILTERS,
    Condition,
    Filter,
    Match,
    check,
)
from everpost.standby.forwards import MAX_PER_DAY, Outcome, refusal_of_address
from everpost.standby.values import StandbyRefusal
from everpost.standby.work import Work
from everpost.store import audit
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import Get, Id, Set, UnsignedInt, properties_of
from everpost.wire.jmap.core import SetError
from everpost.wire.jmap.patch import patch_object

_PROPERTIES = frozenset(
    ("id", "name", "isEnabled", "sortOrder", "match", "conditions", "mailboxId", "keywords", "forwardTo", "stop",
     "problems")
)  # fmt: skip
_ABOUT = {"folder": "mailboxId"}
_TOLD_FOR = timedelta(days=7)
"""How long a message that was not passed on is told of."""
_EXPECTED = frozenset((Outcome.AUTOMATIC,))
_PLACE = re.compile(r"at `\$\.(\w+)")
_WHY = {
    Outcome.FORBIDDEN: "your organisation does not allow filters to forward there",
    Outcome.NO_SUCH_ADDRESS: "nobody has this address",
    Outcome.SAME_MAILBOX: "that is this mailbox itself",
}


class _Object(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A Filter as a client writes it."""

    name: str
    is_enabled: bool = True
    sort_order: UnsignedInt = 0
    match: Match = Match.ALL
    conditions: tuple[Condition, ...] = ()
    mailbox_id: Id | None = None
    keywords: dict[str, bool] = {}
    forward_to: str | None = None
    stop: bool = False


@dataclass(frozen=True, slots=True)
class _Addresses:
    """What the directory said of the addresses of a request, before the mailbox was locked."""

    resolutions: dict[str, Resolution]
    allowed: Forwarding

    def refusal(self, context: Context, address: str) -> Outcome | None:
        found = self.resolutions.get(address)
        if found is None:
            return Outcome.NO_SUCH_ADDRESS
        account = context.account
        return refusal_of_address(found, account.organisation_id, account.mailbox_id, self.allowed)


def capability() -> dict[str, Any]:
    """What the session tells of filters."""
    return {"maxFilters": MAX_FILTERS, "maxConditions": MAX_CONDITIONS, "maxForwardsPerDay": MAX_PER_DAY}


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Filter/get; `forwarding` says how far the organisation lets filters pass mail on."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _PROPERTIES)
    state = await context.standby.state(context.account)
    async with context.services.database.connection() as connection:
        found = await filters_of(connection, context.account)
        failed = await forward_problems(connection, context.account, datetime.now(UTC) - _TOLD_FOR)
    addresses = await _addresses(context, (each.forward_to for each in found))
    shown = {encode_id(each.id): _shown(each, _problems(context, each, addresses, failed)) for each in found}
    ids = list(shown) if asked.ids is None else list(dict.fromkeys(asked.ids))
    return {
        "accountId": asked.account_id, "state": str(state),
        "list": [{name: shown[text][name] for name in wanted} for text in ids if text in shown],
        "notFound": [text for text in ids if text not in shown], "forwarding": addresses.allowed,
    }  # fmt: skip


async def changes(context: Context, arguments: Arguments) -> Arguments:
    """Filter/changes."""
    asked, most = read_changes(context, arguments)
    return noted_answer(asked.account_id, await notes_since(context, "Filter", asked.since_state, most))


def _shown(each: Filter, problems: list[str]) -> dict[str, Any]:
    return {
        "id": encode_id(each.id), "name": each.name, "isEnabled": each.enabled, "sortOrder": each.sort_order,
        "match": each.match, "conditions": msgspec.to_builtins(each.conditions),
        "mailboxId": None if each.folder_id is None else encode_id(each.folder_id),
        "keywords": dict.fromkeys(sorted(each.keywords), True), "forwardTo": each.forward_to, "stop": each.stop,
        "problems": problems,
    }  # fmt: skip


def _problems(context: Context, each: Filter, addresses: _Addresses, failed: dict[int, Outcome]) -> list[str]:
    """Why a filter does not do all that it says: mailboxGone, forwardForbidden, forwardLimit …"""
    problems = ["mailboxGone"] if each.broken else []
    if each.forward_to is not None:
        refusal = addresses.refusal(context, each.forward_to) or failed.get(each.id)
        if refusal is not None and refusal not in _EXPECTED:
            problems.append(_problem(refusal))
    return problems


def _problem(outcome: Outcome) -> str:
    return f"forward{outcome.value[0].upper()}{outcome.value[1:]}"


async def _addresses(context: Context, written: Iterable[object]) -> _Addresses:
    resolutions: dict[str, Resolution] = {}
    for text in written:
        if not isinstance(text, str) or text in resolutions:
            continue
        try:
            resolutions[text] = await context.services.directory.resolve(Address.parse(text))
        except AddressError:
            continue
    async with context.services.database.connection() as connection:
        return _Addresses(resolutions, await forwarding_of(connection, context.account.organisation_id))


# ---------------------------------------------------------------------- changing


async def change(context: Context, arguments: Arguments) -> Arguments:
    """Filter/set: also while the primary is the master, so that filters are there on the day."""
    asked = context.read(arguments, Set)
    check_creation_ids(asked.create)
    numbers = {name: await context.standby.new_id() for name in asked.create or {}}
    addresses = await _addresses(context, await _addresses_in(context, asked))
    async with context.standby.work(context.account, context.visitor.actor) as (work, _):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        desk = _Desk(context, work, addresses, {f.id: f for f in await filters_of(work.connection, context.account)})
        for name, properties in (asked.create or {}).items():
            try:
                answer["created"][name] = await desk.create(numbers[name], properties)
                context.dialogue.remember(name, encode_id(numbers[name]))
            except SetError as error:
                answer["notCreated"][name] = error.as_json()
        for text, patch in (asked.update or {}).items():
            try:
                await desk.update(context.number(text), patch)
                answer["updated"][text] = None
            except SetError as error:
                answer["notUpdated"][text] = error.as_json()
        for text in dict.fromkeys(asked.destroy or ()):
            try:
                await desk.destroy(context.number(text))
                answer["destroyed"].append(text)
            except SetError as error:
                answer["notDestroyed"][text] = error.as_json()
        answer["newState"] = str(work.modseq)
    return answer


async def _addresses_in(context: Context, asked: Set) -> list[object]:
    """Those that are written, and those of filters that may be switched on."""
    async with context.services.database.connection() as connection:
        there = [each.forward_to for each in await filters_of(connection, context.account)]
    written = [*(asked.create or {}).values(), *(asked.update or {}).values()]
    return [*there, *(each.get("forwardTo") for each in written)]


@dataclass(frozen=True, slots=True)
class _Desk:
    """The filters of one mailbox while its lock is held. Every method raises `SetError`."""

    context: Context
    work: Work
    addresses: _Addresses
    filters: dict[int, Filter]

    async def create(self, number: int, properties: dict[str, Any]) -> dict[str, Any]:
        if len(self.filters) >= MAX_FILTERS:
            raise SetError("overQuota", f"at most {MAX_FILTERS} filters")
        made = await self._checked(Filter(number, ""), properties)
        await self._save(made, None)
        shown = _shown(made, [])
        return {name: value for name, value in shown.items() if name == "id" or name not in properties}

    async def update(self, number: int, patch: dict[str, Any]) -> None:
        old = self._find(number)
        before = _shown(old, [])
        own = {"id": before.pop("id"), "problems": before.pop("problems")}
        asked = {name: value for name, value in patch.items() if name != "problems" and own.get(name, ...) != value}
        try:
            after = patch_object(before, asked)
        except ValueError as error:
            raise SetError("invalidPatch", str(error)) from error
        new = await self._checked(old, after)
        if new != old:
            await self._save(new, old)

    async def destroy(self, number: int) -> None:
        del self.filters[self._find(number).id]
        await delete_filter(self.work, number)

    def _find(self, number: int) -> Filter:
        found = self.filters.get(number)
        if found is None:
            raise SetError("notFound")
        return found

    async def _save(self, new: Filter, old: Filter | None) -> None:
        others = sum(len(each.conditions) for each in self.filters.values() if each.id != new.id)
        if others + len(new.conditions) > MAX_ALL_CONDITIONS:
            raise SetError("overQuota", f"at most {MAX_ALL_CONDITIONS} conditions in all filters together")
        await save_filter(self.work, new, "created" if old is None else "updated")
        self.filters[new.id] = new
        was = (old.forward_to, old.enabled) if old is not None else None
        if new.forward_to is not None and was != (new.forward_to, new.enabled):
            await self._audit(new)

    async def _checked(self, old: Filter, properties: dict[str, Any]) -> Filter:
        wanted = _converted(properties)
        folder_id = None if wanted.mailbox_id is None else self.context.number(wanted.mailbox_id)
        new = replace(
            old, name=wanted.name, enabled=wanted.is_enabled, sort_order=wanted.sort_order, match=wanted.match,
            conditions=wanted.conditions, folder_id=folder_id, forward_to=wanted.forward_to, stop=wanted.stop,
            keywords=frozenset(wanted.keywords), broken=old.broken and folder_id == old.folder_id,
        )  # fmt: skip
        if folder_id is not None and folder_id != old.folder_id and folder_id not in await self.work.folders():
            raise SetError("invalidProperties", "there is no such folder", properties=("mailboxId",))
        if new.forward_to is not None and (new.forward_to != old.forward_to or new.enabled > old.enabled):
            self._check_address(new.forward_to)
        try:
            return check(new)
        except StandbyRefusal as error:
            raise set_error(error, _ABOUT) from error

    def _check_address(self, address: str) -> None:
        refusal = self.addresses.refusal(self.context, address)
        if refusal is not None:
            kind = "forbidden" if refusal is Outcome.FORBIDDEN else "invalidProperties"
            raise SetError(
                kind, _WHY[refusal], properties=("forwardTo",), extra={"problem": _problem(refusal)}
            )  # fmt: skip

    async def _audit(self, new: Filter) -> None:
        """Forwarding is what an intruder sets up first: it is on record."""
        visitor = self.context.visitor
        detail = {"filter": new.name, "to": new.forward_to, "enabled": new.enabled}
        event = audit.Event(visitor.actor, "filter.forward", str(visitor.mailbox.address), detail)
        event_id = await self.context.standby.new_id()
        await audit.record(self.work.connection, self.context.account.organisation_id, event_id, event)


def _converted(properties: dict[str, Any]) -> _Object:
    """Raises `SetError`."""
    given = {name: value for name, value in properties.items() if value is not None}
    try:
        wanted = msgspec.convert(given, _Object)
    except msgspec.ValidationError as error:
        place = _PLACE.search(str(error))
        names = (place[1],) if place else tuple(str(n)[:80] for n in given if n not in _PROPERTIES) or ("name",)
        raise SetError("invalidProperties", str(error)[:300], properties=names) from error
    if not all(wanted.keywords.values()):
        raise SetError("invalidProperties", "the value of a keyword is true", properties=("keywords",))
    return wanted
