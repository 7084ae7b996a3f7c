"""What is going on with a person's mail server, for the bar at the top of their webmail."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from everpost.serve.web.services import WebServices
from everpost.serve.web.visitors import Doorkeeper
from everpost.store.sql import load

_SQL = load("standing")


class StandingPage:
    """GET /api/v1/standby."""

    def __init__(self, services: WebServices, door: Doorkeeper) -> None:
        self._services = services
        self._door = door

    async def show(self, request: Request) -> Response:
        """Who is master of this mailbox, the trust state of its primary (null without one) and since when;
        the organisation with its domains (the first of them where there are very many), the person.
        """
        visitor = await self._door.admit(request)
        place = visitor.place
        async with self._services.database.connection() as connection:
            row = await connection.fetchrow(_SQL["of_mailbox"], place.organisation_id, place.primary_id)
        answer = {
            "access": True,
            "master": "primary" if visitor.read_only else "standby",
            "state": row["trust_state"],
            "since": row["state_since"],
            "organisation": row["organisation"],
            "domains": row["domains"],
            "address": str(visitor.login.address),
            "name": visitor.login.name,
        }
        headers = {"Cache-Control": "no-store"}
        return Response(msgspec.json.encode(answer), 200, headers, "application/json")
