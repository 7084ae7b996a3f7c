"""Operations: a function each, whose signature and docstring say all there is to say about it.

    @section.post("/primaries/{primary}/isolate")
    async def isolate(call: Call[Nothing, Because]) -> Isolated:
        \"\"\"The summary in one line.

        The description.
        \"\"\"

`Call[Q, B]` names the parameters after `?` and the body, the annotation of what is returned the answer.
"""

from __future__ import annotations

import enum
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everpost.identity.administrators import Administrator
from everpost.serve.web.api.services import ApiServices
from everpost.serve.web.api.values import Nothing

Q = TypeVar("Q", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])
_IN_PATH = re.compile(r"\{([a-z]+)\}")


class Access(enum.Enum):
    """Who may call an operation."""

    PUBLIC = "anybody"
    ADMINISTRATOR = "any administrator"
    ORGANISATION = "an administrator of the organisation (parameter `organisation`)"


@dataclass(frozen=True, slots=True)
class Organisation:
    """The one that a call is about."""

    id: int
    name: str
    display_name: str
    signing_public: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One call of an operation, checked. `ids` are those in the path."""

    services: ApiServices
    request: Request
    query: Q
    body: B
    ids: Mapping[str, int]
    known_administrator: Administrator | None
    known_organisation: Organisation | None

    @property
    def administrator(self) -> Administrator:
        """Who calls. For operations that are not public."""
        assert self.known_administrator is not None
        return self.known_administrator

    @property
    def organisation(self) -> Organisation:
        """Theirs to look after. For operations of an organisation."""
        assert self.known_organisation is not None
        return self.known_organisation

    @property
    def actor(self) -> str:
        """As the audit names who calls."""
        return self.administrator.actor


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `body` is None where it takes none, `answer` where it gives none."""

    section: str
    method: str
    path: str
    name: str
    summary: str
    description: str
    access: Access
    query: type[msgspec.Struct]
    body: type[msgspec.Struct] | None
    answer: type | None
    status: int
    media: tuple[str, ...]
    handler: Callable[[Call[Any, Any]], Awaitable[Any]]

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """The names in the path; each is an identifier."""
        return tuple(_IN_PATH.findall(self.path))


@dataclass(slots=True)
class Section:
    """Operations that belong together."""

    title: str
    text: str
    operations: list[Operation] = field(default_factory=list)

    def get(self, path: str, **more: Any) -> Callable[[F], F]:
        """Register an operation that changes nothing."""
        return self._add("GET", path, **more)

    def post(self, path: str, **more: Any) -> Callable[[F], F]:
        """Register an operation that changes something."""
        return self._add("POST", path, **more)

    def _add(
        self,
        method: str,
        path: str,
        *,
        access: Access = Access.ORGANISATION,
        answer: type | None = None,
        status: int = 200,
        media: tuple[str, ...] = ("application/json",),
    ) -> Callable[[F], F]:
        def register(function: F) -> F:
            hints = typing.get_type_hints(function)
            query, body = typing.get_args(hints["call"])
            returned = answer or hints["return"]
            nothing = returned in (type(None), Response)
            summary, _, description = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
            operation = Operation(
                self.title, method, path, function.__name__, " ".join(summary.split()), description, access, query,
                None if body is Nothing else body, None if nothing else returned,
                204 if returned is type(None) else status, media, function,
            )  # fmt: skip
            self.operations.append(operation)
            return function

        return register
