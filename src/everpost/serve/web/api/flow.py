"""How much mail came and went, by the minute, for the last hour."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from everpost.serve.web.api.values import Output
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("api")
MINUTES = 60
COUNTED = 100_000
"""So many messages are counted at most; what is older counts as nothing then."""
KEPT_S = 5.0
_REMEMBERED = 1000


class MailFlow(Output, frozen=True):
    """Messages accepted and deliveries done, by the minute from `since` on; the last minute is under way. `capped`: too
    many to count them all, the earlier minutes show too few.
    """

    since: datetime
    accepted: list[int]
    delivered: list[int]
    capped: bool


class Flows:
    """Remembers what it counted for `KEPT_S`: many pages may look at the same."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, MailFlow]] = {}

    async def read(self, connection: Connection, organisation_id: int) -> MailFlow:
        """The flow of an organisation."""
        known = self._known.get(organisation_id)
        if known is not None and time.monotonic() - known[0] < KEPT_S:
            return known[1]
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        since = now - timedelta(minutes=MINUTES - 1)
        counts = []
        for query in ("accepted_by_minute", "delivered_by_minute"):
            rows = await connection.fetch(_SQL[query], organisation_id, since, COUNTED)
            line = [0] * MINUTES
            for row in rows:
                line[min(max(row["minute"], 0), MINUTES - 1)] += row["count"]
            counts.append(line)
        flow = MailFlow(
            since=since, accepted=counts[0], delivered=counts[1], capped=any(sum(line) >= COUNTED for line in counts)
        )  # fmt: skip
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[organisation_id] = (time.monotonic(), flow)
        return flow
