"""What several operations speak of: texts with bounds, identifiers, scopes; and how refusals look."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from everpost.continuity.routes import ScopeKind
from everpost.serve.web.problems import Problem
from everpost.store.ids import decode_id

_WITHOUT_NUL = "^[^\\x00]*$"
_SAYS_SOMETHING = "^(?=\\s*\\S)[^\\x00]*$"
MAX_REASON = 500

Text = Annotated[str, msgspec.Meta(max_length=1000, pattern=_WITHOUT_NUL)]
Id = Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z]{1,13}$", description="An identifier, as it is shown.")]
Time = Annotated[datetime, msgspec.Meta(tz=True, description="With its time zone.")]
Reason = Annotated[
    str,
    msgspec.Meta(max_length=MAX_REASON, pattern=_SAYS_SOMETHING, description="Why; stands in the audit."),
]
OptionalReason = Annotated[
    str, msgspec.Meta(max_length=MAX_REASON, pattern=_WITHOUT_NUL, description="Why; stands in the audit.")
]
T = TypeVar("T")


class Input(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What a client sends: a field that is not known is an error."""


class Nothing(Input, frozen=True):
    """Nothing at all."""


class Output(msgspec.Struct, kw_only=True, frozen=True):
    """What a client gets: fields may be added."""


class ScopeChoice(Input, frozen=True):
    """How far a switch reaches: what kind of thing, and which one, by `id` or by `name` (of a mailbox: an address).
    The organisation needs neither.
    """

    kind: ScopeKind
    id: Id | None = None
    name: Text | None = None


class ScopeShown(Output, frozen=True):
    """What a switch was thrown for. `name` is null where it is there no longer."""

    kind: ScopeKind
    id: str
    name: str | None


def refusal(status: int, code: str, title: str, detail: str = "", **extra: Any) -> Problem:
    """A problem document with a `code` that programs can rely on."""
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Problem(status, title, detail, extra={"code": code, **extra}, headers=headers)


def nothing_there(what: str = "thing") -> Problem:
    """Also for what is there but is another organisation's."""
    return refusal(404, "not-found", f"There is no such {what}")


def parse_id(text: str, what: str = "thing") -> int:
    """An identifier of something that is looked up; what is none is not there."""
    try:
        return decode_id(text)
    except ValueError:
        raise nothing_there(what) from None


def from_row(kind: type[T], row: Mapping[str, Any] | Any, **more: Any) -> T:
    """A value from a row (or mapping) of the same names; `more` wins."""
    return kind(**{**dict(row), **more})


class Page(Input, frozen=True):
    """Which part of a list, counted from the latest."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=100_000, description="Leave out so many.")] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=500, description="So many at most.")] = 100


class Because(Input, frozen=True):
    """Why."""

    reason: Reason
