"""Finding what a switch is to be thrown for."""

from __future__ import annotations

from typing import Any

from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.scopes import scope_exists
from everpost.mail.address import Address, AddressError
from everpost.queue.lanes import LaneNames
from everpost.serve.web.api.registry import Call
from everpost.serve.web.api.values import ScopeChoice, parse_id, refusal
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("api")


async def find_scope(call: Call[Any, Any], choice: ScopeChoice) -> Scope:
    """The scope that a client chose, of the call's own organisation. Raises `Problem`."""
    organisation_id = call.organisation.id
    async with call.services.database.connection() as connection:
        scope_id = await _find(connection, organisation_id, choice)
        if scope_id is not None:
            scope = Scope(organisation_id, choice.kind, scope_id)
            if await scope_exists(connection, scope):
                return scope
    raise refusal(404, "no-such-scope", f"There is no such {choice.kind}", field="scope")


async def _find(connection: Connection, organisation_id: int, choice: ScopeChoice) -> int | None:
    if choice.id is not None and choice.name is not None:
        raise refusal(400, "invalid", "Give the scope's id or its name, not both", field="scope")
    if choice.id is not None:
        return parse_id(choice.id, choice.kind)
    name = choice.name
    if name is None:
        if choice.kind is ScopeKind.ORGANISATION:
            return organisation_id
        raise refusal(400, "invalid", f"Which {choice.kind}?", "Give its id or its name.", field="scope")
    if choice.kind is ScopeKind.MAILBOX:
        try:
            name = Address.parse(name).key
        except AddressError:
            return None
    found: int | None = await connection.fetchval(_SQL["scope_by_name"], organisation_id, choice.kind, name)
    return found


async def lane_names(connection: Connection, organisation_id: int) -> LaneNames:
    """How people write the lanes of an organisation."""
    return LaneNames(dict(await connection.fetch(_SQL["primary_names"], organisation_id)))
