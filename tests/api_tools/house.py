"""Two organisations that have one of everything, and the API over them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from continuity.setting import add_delivery, execute, set_primary, settings
from everpost.continuity.activation import Continuity
from everpost.continuity.failback.ledger import read_mailboxes, read_run
from everpost.continuity.failback.report import canonical, make_report
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.snapshot import RouteSnapshot
from everpost.crypto.keys import SealingKey
from everpost.crypto.signing import new_signing_key, sign
from everpost.directory.resolve import Directory
from everpost.identity.administrators import INSTALLATION, Administrators
from everpost.identity.throttle import Throttle
from everpost.intake.accept import Intake
from everpost.intake.commit import Writer
from everpost.queue.operator import QueueOperator
from everpost.serve.web.api.changes import Changes
from everpost.serve.web.api.flow import Flows
from everpost.serve.web.api.operations import OPERATIONS
from everpost.serve.web.api.registry import Operation
from everpost.serve.web.api.rehearsals import Rehearsals
from everpost.serve.web.api.router import Api
from everpost.serve.web.api.services import ApiServices
from everpost.serve.web.problems import Problem, on_problem
from everpost.standby.service import Standby
from everpost.standby.summary import reference_hash
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import Database
from everpost.store.ids import encode_id
from everpost.store.sql import load
from quarantine_tools import keep
from web_tools.world import Outlet
from world import Organisation, make_organisation

_DIRECTORY = load("directory")
PASSWORD = "a long pass phrase"
OURS = {"X-Everpost": "1"}
BY_NAME = {operation.name: operation for operation in OPERATIONS}


class LostCanary:
    """A drill's message that never arrives."""

    async def send(self, organisation_id: int, recipients: list[str], message_id: str) -> None:
        return None


@dataclass
class Things:
    """What an organisation has: identifiers as the API shows them, by what a path calls them."""

    organisation: Organisation
    ids: dict[str, str] = field(default_factory=dict)


@dataclass
class House:
    """The API, and what is behind it."""

    database: Database
    services: ApiServices
    api: Api
    app: Starlette
    continuity: Continuity
    things: dict[str, Things] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        given = dict(headers)
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(transport=transport, base_url="https://console.example.org/api/v1", headers=given)

    async def call(
        self,
        name: str,
        body: Any = None,
        *,
        who: str = "example",
        ids: dict[str, str] | None = None,
        **query: Any,
    ) -> httpx.Response:
        """Call an operation by its name as the administrator of `who`, with that organisation's things."""
        operation = BY_NAME[name]
        known = self.things[who if who in self.things else "example"].ids | (ids or {})
        async with self.client(self.tokens[who]) as client:
            return await client.request(
                operation.method, path_of(operation, known), params=query,
                **({"json": body if body is not None else {}} if operation.body else {}),
            )  # fmt: skip

    async def get(self, name: str, body: Any = None, **more: Any) -> Any:
        """As `call`, where it succeeds: the answer."""
        answer = await self.call(name, body, **more)
        assert answer.status_code == BY_NAME[name].status, answer.text
        return answer.json()

    async def dump(self, organisation_id: int, *, without: tuple[str, ...] = ()) -> str:
        """All that an organisation has, as text."""
        rows: list[Any] = []
        async with self.database.connection() as connection:
            tables = await connection.fetch(
                "SELECT table_name AS name FROM information_schema.columns "
                "WHERE column_name = 'organisation_id' AND table_schema = 'public' ORDER BY 1"
            )
            for table in tables:
                if table["name"] not in without:
                    query = f"SELECT t::text FROM {table['name']} t WHERE organisation_id = $1 ORDER BY 1"
                    rows += [(table["name"], *row) for row in await connection.fetch(query, organisation_id)]
        return json.dumps(rows, indent=1)


def path_of(operation: Operation, ids: dict[str, str]) -> str:
    path = operation.path
    for name in operation.path_parameters:
        path = path.replace("{" + name + "}", ids[name])
    return path


async def make_house(database: Database, master: SealingKey, keys: KeyRing, blobs: BlobReader, spool: Any) -> House:
    routes = RouteSnapshot(database)
    continuity = Continuity(database, routes)
    standby = Standby(database, keys, blobs, spool)
    services = ApiServices(
        database, keys, routes, continuity, Administrators(database), Throttle(), Changes(database, every_s=0.1),
        Rehearsals(database, keys, routes, continuity, standby, LostCanary()), Flows(),
    )  # fmt: skip
    api = Api(services)
    app = Starlette(routes=[Mount("/api/v1", api)], exception_handlers={Problem: on_problem})
    house = House(database, services, api, app, continuity)
    administrators = Administrators(database)
    for name in ("example", "other"):
        made = await make_organisation(database, master, name, ("anna", "ben", "cora"))
        await set_primary(database, keys, made, settings())
        await administrators.create(f"{name}-admin", PASSWORD, made.id)
        house.tokens[name] = await administrators.create_token(f"{name}-admin", 1)
        house.things[name] = await _furnish(house, made)
    await administrators.create("root", PASSWORD, INSTALLATION)
    house.tokens["root"] = await administrators.create_token("root", 1)
    await routes.load()
    return house


async def _furnish(house: House, made: Organisation) -> Things:
    database, ids = house.database, house.database.ids
    things = Things(made, {"primary": encode_id(made.primary_id)})
    group_id = await ids.new()
    async with database.transaction() as connection:
        await connection.execute(_DIRECTORY["insert_group"], made.id, group_id, "Team", "manual", None)
        for person in ("anna", "ben"):
            await connection.execute(_DIRECTORY["insert_member"], made.id, group_id, made.mailboxes[person], None, None)
    things.ids["group"] = encode_id(group_id)
    for person in ("anna", "ben"):
        scope = Scope(made.id, ScopeKind.MAILBOX, made.mailboxes[person])
        activation_id = await house.continuity.activate(scope, "test", f"{person} of {made.domain}")
        await add_delivery(database, made, person, await ids.new(), status="held", hold="activated")
        if person == "anna":
            things.ids["activation"] = encode_id(activation_id)
            continue
        done = await house.continuity.deactivate(scope, "test", "over")
        assert done.failback_id is not None
        things.ids["failback"] = encode_id(done.failback_id)
    await _mail(house, made, things)
    things.ids["finished"] = await _finished_failback(house, made)
    drill_id = await ids.new()
    await execute(
        database,
        "INSERT INTO drill VALUES ($1, $2, 'mailbox', $3, 'test', now() - interval '1 h', now(), 'passed', $4)",
        made.id, drill_id, made.mailboxes["cora"], {"mailboxes": 1, "lost": 0, "problems": []},
    )  # fmt: skip
    things.ids["drill"] = encode_id(drill_id)
    return things


async def _mail(house: House, made: Organisation, things: Things) -> None:
    queued, held = await house.database.ids.new(), await house.database.ids.new()
    await add_delivery(house.database, made, "cora", queued, kind="internet")
    await add_delivery(house.database, made, "cora", held, kind="internet", status="held", hold="operator")
    await execute(
        house.database, "INSERT INTO message_ref VALUES ($1, $2, $3)",
        made.id, reference_hash(f"{queued}@example.com"), queued,
    )  # fmt: skip
    operator = QueueOperator(house.database, actor="test")
    await operator.suspend(made.id, "domain:stopped.example", f"slow since today, says {made.domain}")
    await operator.rebind(made.id, "domain:bound.example", f"relay.{made.domain}", 2525)
    things.ids |= {"message": encode_id(queued), "held": encode_id(held), "header": f"{queued}@example.com"}
    things.ids["kept"] = encode_id(await _quarantined(house, made))


async def _quarantined(house: House, made: Organisation) -> int:
    """A message that the guard keeps apart, and that Cora asks for."""
    intake = Intake(
        house.database, Writer("mx.test", house.database.ids, house.services.keys, 1), house.services.routes, Outlet()
    )
    intake.start()
    message_id = await keep(intake, Directory(house.database), [f"cora@{made.domain}"])
    await intake.stop()
    await execute(
        house.database, "INSERT INTO quarantine_word VALUES ($1, $2, $3, 'release', now(), 'cora', 'please')",
        made.id, made.mailboxes["cora"], message_id,
    )  # fmt: skip
    return message_id


async def _finished_failback(house: House, made: Organisation) -> str:
    """One that went through yesterday, with its signed report."""
    database = house.database
    activation_id, run_id = await database.ids.new(), await database.ids.new()
    private, public = new_signing_key()
    now = datetime.now(UTC)
    await execute(database, "UPDATE organisation SET signing_public = $2 WHERE id = $1", made.id, public)
    await execute(
        database,
        "INSERT INTO activation VALUES ($1, $2, 'primary', $3, true, 'person', 'storm', 'test', $4, $4, NULL, $5)",
        made.id, activation_id, made.primary_id, now - timedelta(days=1), now,
    )  # fmt: skip
    await execute(
        database,
        "INSERT INTO failback VALUES ($1, $2, $3, 'finished', '', 50, 'test', $4, $5, NULL, NULL)",
        made.id, run_id, activation_id, now - timedelta(hours=1), now,
    )  # fmt: skip
    await execute(
        database,
        "INSERT INTO failback_mailbox VALUES ($1, $2, $3, $4, 0, 'returned', '', 0, NULL, $5)",
        made.id, run_id, made.mailboxes["cora"], made.primary_id, now,
    )  # fmt: skip
    run = await read_run(database, made.id, run_id)
    async with database.connection() as connection:
        report = make_report(run, await read_mailboxes(connection, made.id, run_id), now)
    await execute(
        database, "UPDATE failback SET report = $3, report_signature = $4 WHERE organisation_id = $1 AND id = $2",
        made.id, run_id, report, sign(private, canonical(report)),
    )  # fmt: skip
    return encode_id(run_id)
