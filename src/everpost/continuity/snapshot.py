"""The route table as of now: read from the database, read again whenever a switch is thrown."""

from __future__ import annotations

import asyncio

from everpost.continuity.routes import OpenActivation, RouteTable, Scope, ScopeKind
from everpost.continuity.trust import TrustState
from everpost.directory.changes import SWITCHES_CHANNEL
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("continuity")
_STORE = load("store")
CHANNEL = SWITCHES_CHANNEL


class RouteSnapshot:
    """This process's view of the switches. `table` may be some milliseconds old; intake checks its generation."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = RouteTable()
        self._lock = asyncio.Lock()

    @property
    def table(self) -> RouteTable:
        return self._table

    async def load(self) -> RouteTable:
        """Read on a connection of its own, one state for all tables."""
        async with (
            self._lock,
            self._database.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            return await self.refresh(connection)

    async def refresh(self, connection: Connection) -> RouteTable:
        """Read inside the caller's transaction."""
        table = await read_route_table(connection)
        if table.generation >= self._table.generation:
            self._table = table
        return table


async def read_route_table(connection: Connection) -> RouteTable:
    """Every trust state and switch of the installation."""
    generation = await connection.fetchrow(_STORE["generations"])
    states = {
        (row["organisation_id"], row["id"]): TrustState(row["trust_state"])
        for row in await connection.fetch(_SQL["trust_states"])
    }
    activations = {}
    for row in await connection.fetch(_SQL["open_activations"]):
        scope = Scope(row["organisation_id"], ScopeKind(row["scope_kind"]), row["scope_id"])
        activations[scope] = OpenActivation(row["id"], scope, row["opens_access"], frozenset(row["returned"]))
    access = {
        Scope(row["organisation_id"], ScopeKind(row["scope_kind"]), row["scope_id"]): row["open"]
        for row in await connection.fetch(_SQL["access_switches"])
    }
    return RouteTable(generation["continuity"], states, activations, access)


async def advance(connection: Connection) -> int:
    """Announce a new generation. Call it first in a transaction that changes a switch: it waits for intake
    transactions under way, and those that follow wait for this one.
    """
    value = await connection.fetchval(_STORE["advance_generation"], "continuity")
    await connection.execute(_STORE["notify"], CHANNEL, str(value))
    return int(value)


async def wait_until_seen(database: Database, generation: int, *, timeout_s: float = 5.0) -> bool:
    """Until every living worker acts upon `generation`; False where one is still behind after `timeout_s`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        async with database.connection() as connection:
            behind = await connection.fetchval(_STORE["workers_behind"], generation)
        if not behind:
            return True
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.02)
