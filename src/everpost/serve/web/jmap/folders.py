"""Mailbox/get, /changes, /set (RFC 8621 §2). What JMAP calls a Mailbox is a folder here."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    changes,
    check_creation_ids,
    check_state,
    set_answer,
    set_error,
)
from everpost.serve.web.names import NOTHING
from everpost.serve.web.services import OpenMailbox
from everpost.standby.changes import What
from everpost.standby.values import Folder, StandbyRefusal
from everpost.standby.work import Work
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import FolderSet, Get, properties_of
from everpost.wire.jmap.core import SetError

_COUNTS = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")
_PROPERTIES = frozenset(("id", "name", "parentId", "role", "sortOrder", "myRights", "isSubscribed", *_COUNTS))
T = TypeVar("T")
_ABOUT = {"name": "name", "parent": "parentId"}


async def get(context: Context, arguments: Arguments) -> Arguments:
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _PROPERTIES)
    state = await context.standby.state(context.account)
    counts = not wanted.isdisjoint(_COUNTS)
    folders = await context.standby.folders(context.account, counts=counts)
    by_id = {encode_id(folder.id): folder for folder in folders}
    ids = list(by_id) if asked.ids is None else list(dict.fromkeys(asked.ids))
    return {
        "accountId": asked.account_id,
        "state": str(state),
        "list": [
            {name: _property(by_id[text], name, context.visitor.mailbox) for name in wanted}
            for text in ids
            if text in by_id
        ],
        "notFound": [text for text in ids if text not in by_id],
    }


def _property(folder: Folder, name: str, mailbox: OpenMailbox) -> Any:
    match name:
        case "id":
            return encode_id(folder.id)
        case "name":
            return folder.name
        case "parentId":
            return None if folder.parent_id is None else encode_id(folder.parent_id)
        case "role":
            return folder.role
        case "sortOrder":
            return folder.sort_order
        case "isSubscribed":
            return folder.subscribed
        case "myRights":
            return _rights(folder, mailbox)
        case "totalEmails":
            return folder.total
        case "unreadEmails":
            return folder.unread
        case "totalThreads":
            return folder.threads
        case _:
            return folder.unread_threads


def _rights(folder: Folder, mailbox: OpenMailbox) -> dict[str, bool]:
    write, own = not mailbox.read_only, not mailbox.read_only and not folder.is_system
    submit = write and mailbox.may_send
    return {
        "mayReadItems": True, "mayAddItems": write, "mayRemoveItems": write, "maySetSeen": write,
        "maySetKeywords": write, "mayCreateChild": write, "mayRename": own, "mayDelete": own, "maySubmit": submit,
    }  # fmt: skip


async def changed(context: Context, arguments: Arguments) -> Arguments:
    answer, found = await changes(context, arguments, What.FOLDERS)
    return answer | {"updatedProperties": list(_COUNTS) if found.counts_only else None}


async def change(context: Context, arguments: Arguments) -> Arguments:
    """Mailbox/set (RFC 8621 §2.5)."""
    asked = context.read_to_change(arguments, FolderSet)
    check_creation_ids(asked.create)
    numbers = {name: await context.standby.new_id() for name in asked.create or {}}
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        check_state(asked.if_in_state, work.first_modseq)
        answer = set_answer(context, work.first_modseq, work.first_modseq)
        await _create_all(context, work, asked.create or {}, numbers, answer)
        for text, patch in (asked.update or {}).items():
            try:
                await _update(context, work, text, patch)
                answer["updated"][text] = None
            except SetError as error:
                answer["notUpdated"][text] = error.as_json()
        for text in await _children_first(context, work, asked.destroy or []):
            try:
                await _refusals(work.destroy_folder(context.number(text), with_entries=asked.on_destroy_remove_emails))
                answer["destroyed"].append(text)
            except SetError as error:
                answer["notDestroyed"][text] = error.as_json()
        answer["newState"] = str(work.modseq)
    return answer


async def _create_all(
    context: Context, work: Work, creations: dict[str, dict[str, Any]], numbers: dict[str, int], answer: Arguments
) -> None:
    """A parent may be created by the same call, in any order."""
    waiting = dict(creations)
    while waiting:
        ready = [
            name
            for name, properties in waiting.items()
            if str(properties.get("parentId"))[:1] != "#" or str(properties["parentId"])[1:] not in waiting
        ]
        for name in ready or list(waiting):
            try:
                folder = await _create(context, work, waiting.pop(name), numbers[name])
            except SetError as error:
                answer["notCreated"][name] = error.as_json()
                continue
            context.dialogue.remember(name, encode_id(folder.id))
            unsaid = _PROPERTIES - {"name", "parentId"}
            answer["created"][name] = {key: _property(folder, key, context.visitor.mailbox) for key in unsaid}


async def _create(context: Context, work: Work, properties: dict[str, Any], number: int) -> Folder:
    _check_unsettable(properties, context.visitor.mailbox)
    name, sort_order = _name(properties.get("name")), _sort_order(properties.get("sortOrder", 10))
    parent_id, subscribed = _parent(context, properties.get("parentId")), properties.get("isSubscribed", True)
    if not isinstance(subscribed, bool):
        raise SetError("invalidProperties", "true or false", properties=("isSubscribed",))
    return await _refusals(work.create_folder(number, name, parent_id, sort_order, subscribed=subscribed))


def _check_unsettable(properties: dict[str, Any], mailbox: OpenMailbox) -> None:
    """What the server sets may be told along where it is what a new folder has (RFC 8621 §2.5)."""
    wrong: list[str] = []
    new = Folder(0, None, "", None, 10, 0)
    for key, value in properties.items():
        if key in ("name", "parentId", "sortOrder", "isSubscribed"):
            continue
        if key == "myRights" and isinstance(value, dict):
            rights = _rights(new, mailbox)
            wrong += [f"myRights/{name[:80]}" for name in value if rights.get(name) != value[name]]
        elif key == "id" or key not in _PROPERTIES or value != _property(new, key, mailbox):
            wrong.append(key[:80])
    if wrong:
        raise SetError("invalidProperties", "cannot be set", properties=tuple(wrong))


async def _update(context: Context, work: Work, text: str, patch: dict[str, Any]) -> None:
    folder = (await work.folders()).get(context.number(text))
    if folder is None:
        raise SetError("notFound")
    name, parent_id, sort_order = folder.name, folder.parent_id, folder.sort_order
    subscribed = folder.subscribed
    for key, value in patch.items():
        match key:
            case "name":
                name = _name(value)
            case "parentId":
                parent_id = _parent(context, value)
            case "sortOrder":
                sort_order = _sort_order(value)
            case "isSubscribed" if isinstance(value, bool):
                subscribed = value
            case _:
                if key not in _PROPERTIES or value != _property(folder, key, context.visitor.mailbox):
                    raise SetError("invalidProperties", "cannot be changed", properties=(key[:80],))
    await _refusals(
        work.change_folder(
            folder.id, name=name, parent_id=parent_id, sort_order=sort_order, subscribed=subscribed
        )
    )  # fmt: skip


async def _children_first(context: Context, work: Work, texts: list[str]) -> list[str]:
    folders = await work.folders()

    def depth(text: str) -> int:
        found, folder = 0, folders.get(context.number(text))
        while folder is not None and folder.parent_id is not None and found < 100:
            folder, found = folders.get(folder.parent_id), found + 1
        return found

    return sorted(dict.fromkeys(texts), key=depth, reverse=True)


async def _refusals(operation: Awaitable[T]) -> T:
    try:
        return await operation
    except StandbyRefusal as error:
        raise set_error(error, _ABOUT) from error


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise SetError("invalidProperties", "a folder has a name", properties=("name",))
    return value


def _parent(context: Context, value: object) -> int | None:
    if value is None:
        return None
    number = context.number(value)
    if number == NOTHING:
        raise SetError("invalidProperties", "there is no such folder", properties=("parentId",))
    return number


def _sort_order(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise SetError("invalidProperties", "a number from 0 to 2147483647", properties=("sortOrder",))
    return value
