"""What a method has at hand, and how refusals of the standby become JMAP errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from everpost.serve.web.names import NOTHING, account_id, number_of, state_of
from everpost.serve.web.services import MasterGate, Visitor, WebServices
from everpost.standby.changes import CannotCalculate, Changes, What
from everpost.standby.service import Standby
from everpost.standby.settings import Noted
from everpost.standby.values import (
    Account,
    AlreadyThere,
    BadValue,
    FolderHasChild,
    FolderHasEntries,
    NoSuchThing,
    NotPermitted,
    OverLimit,
    StandbyRefusal,
)
from everpost.store.ids import encode_id
from everpost.wire.jmap.arguments import ChangesOf, OfAccount, Query, read
from everpost.wire.jmap.core import MAX_OBJECTS_IN_GET, MethodError, SetError, is_id
from everpost.wire.jmap.request import Dialogue

T = TypeVar("T", bound=OfAccount)
Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """One method call of one person."""

    services: WebServices
    visitor: Visitor
    dialogue: Dialogue
    then: list[tuple[str, Arguments]]  # calls that this one implies

    @property
    def standby(self) -> Standby:
        return self.services.standby

    @property
    def account(self) -> Account:
        return self.visitor.account

    @property
    def read_only(self) -> bool:
        return self.visitor.read_only

    @property
    def gate(self) -> MasterGate:
        return MasterGate(self.services.routes, self.visitor.place)

    def read(self, arguments: Arguments, kind: type[T]) -> T:
        """Arguments that name this person's account; raises `MethodError`."""
        found = read(arguments, kind)
        if found.account_id != account_id(self.account):
            raise MethodError("accountNotFound")
        return found

    def read_to_change(self, arguments: Arguments, kind: type[T]) -> T:
        """As `read`, for a method that changes something."""
        found = self.read(arguments, kind)
        if not self.visitor.mailbox.may_write:
            raise MethodError("accountReadOnly", "you may only read this mailbox")
        if self.visitor.read_only:
            raise MethodError("accountReadOnly", "the mail server is the master of this mailbox now")
        return found

    def elsewhere(self, from_account: str) -> Context:
        """The same person in another account, to copy from; raises `MethodError` (RFC 8620 §5.4)."""
        if from_account == account_id(self.account):
            raise MethodError("invalidArguments", "fromAccountId and accountId are the same")
        visitor = self.visitor.at(from_account)
        if visitor is None:
            raise MethodError("fromAccountNotFound")
        return replace(self, visitor=visitor)

    def number(self, text: object) -> int:
        """The number behind an id or "#creation" of this request; `NOTHING` where there is none."""
        if not isinstance(text, str):
            return NOTHING
        try:
            return number_of(self.dialogue.real_id(text))
        except KeyError:
            return NOTHING


Method = Callable[[Context, Arguments], Awaitable[Arguments]]


def set_error(error: StandbyRefusal, about: dict[str, str]) -> SetError:
    """A refusal of the standby as a SetError; `about` names properties as JMAP does."""
    match error:
        case NoSuchThing():
            return SetError("notFound", str(error))
        case BadValue():
            return SetError("invalidProperties", str(error), properties=(about.get(error.about, error.about),))
        case AlreadyThere():
            return SetError("alreadyExists", str(error), extra={"existingId": encode_id(error.existing)})
        case FolderHasChild():
            return SetError("mailboxHasChild", str(error))
        case FolderHasEntries():
            return SetError("mailboxHasEmail", str(error))
        case NotPermitted():
            return SetError("forbidden", str(error))
        case OverLimit():
            return SetError("overQuota", str(error))
        case _:
            return SetError("forbidden", str(error))


def check_state(if_in_state: str | None, state: int) -> None:
    """Raises `MethodError` (stateMismatch, RFC 8620 §5.3)."""
    if if_in_state is not None and if_in_state != str(state):
        raise MethodError("stateMismatch")


def check_creation_ids(creations: dict[str, Any] | None) -> None:
    if any(not is_id(name) for name in creations or ()):
        raise MethodError("invalidArguments", "a creation id is an id")


def set_answer(context: Context, old: int, new: int) -> Arguments:
    """The frame of every /set response."""
    return {
        "accountId": account_id(context.account), "oldState": str(old), "newState": str(new),
        "created": {}, "updated": {}, "destroyed": [], "notCreated": {}, "notUpdated": {}, "notDestroyed": {},
    }  # fmt: skip


def read_changes(context: Context, arguments: Arguments) -> tuple[ChangesOf, int]:
    """The arguments of a /changes method, and how many ids it may name."""
    asked = context.read(arguments, ChangesOf)
    if asked.max_changes == 0:
        raise MethodError("invalidArguments", "maxChanges is greater than zero")
    return asked, min(asked.max_changes or 5000, 5000)


async def changes(context: Context, arguments: Arguments, what: What) -> tuple[Arguments, Changes]:
    """A /changes method (RFC 8620 §5.2)."""
    asked, most = read_changes(context, arguments)
    try:
        found = await context.standby.changes(context.account, state_of(asked.since_state), what, most)
    except CannotCalculate:
        raise MethodError("cannotCalculateChanges") from None
    if found.more and found.new == found.old:
        raise MethodError("cannotCalculateChanges", f"one change names more than {most} ids")
    return changes_answer(asked.account_id, found), found


def changes_answer(account: str, found: Changes) -> Arguments:
    """What every /changes method tells."""
    return {
        "accountId": account, "oldState": str(found.old), "newState": str(found.new),
        "hasMoreChanges": found.more, "created": [encode_id(n) for n in found.created],
        "updated": [encode_id(n) for n in found.updated], "destroyed": [encode_id(n) for n in found.destroyed],
    }  # fmt: skip


def query_answer(asked: Query, state: int | str, ids: list[str]) -> Arguments:
    """What a /query tells whose results, all of them, are at hand in their order (RFC 8620 §5.5)."""
    start = asked.position if asked.position >= 0 else max(0, len(ids) + asked.position)
    if asked.anchor is not None:
        if asked.anchor not in ids:
            raise MethodError("anchorNotFound")
        start = max(0, ids.index(asked.anchor) + asked.anchor_offset)
    limit = MAX_OBJECTS_IN_GET if asked.limit is None else asked.limit
    answer: Arguments = {
        "accountId": asked.account_id, "queryState": str(state), "canCalculateChanges": True, "position": start,
        "ids": ids[start : start + limit],
    }  # fmt: skip
    if asked.limit is None and len(ids) > limit:
        answer["limit"] = limit
    return answer | ({"total": len(ids)} if asked.calculate_total else {})


async def notes_since(context: Context, what: str, since: str, most: int) -> Noted:
    """The changes of settings and the like since a state; raises `MethodError`."""
    try:
        return await context.standby.noted(context.account, what, state_of(since), most)
    except CannotCalculate:
        raise MethodError("cannotCalculateChanges") from None


def noted_answer(account: str, found: Noted, mark: str = "") -> Arguments:
    """What a /changes tells of them; `mark` stands at the end of the states."""
    return {
        "accountId": account, "oldState": f"{found.old}{mark}", "newState": f"{found.new}{mark}",
        "hasMoreChanges": found.more, "created": found.created, "updated": found.updated,
        "destroyed": found.destroyed,
    }  # fmt: skip


async def cannot_calculate(context: Context, arguments: Arguments) -> Arguments:
    """For changes that are not kept: the client asks for everything again (RFC 8620 §5.2, §5.6)."""
    if arguments.get("accountId") != account_id(context.account):
        raise MethodError("accountNotFound")
    raise MethodError("cannotCalculateChanges")


def within_get_limit(ids: list[Any]) -> None:
    """For "all of them" (RFC 8620 §5.1)."""
    if len(ids) > MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge", f"there are more than {MAX_OBJECTS_IN_GET}: query them")
