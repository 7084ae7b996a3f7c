"""Telling people: alerts are written with what they report and delivered afterwards, over channels that do not depend
on the primary: mail to contacts elsewhere, webhooks, and people's alternate addresses.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from typing import Any, Protocol

import asyncpg
import httpx
import structlog

from everpost.continuity.routes import Scope, ScopeKind
from everpost.store.database import Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("continuity")

MAX_CALLS = 12
CALL_TIMEOUT_S = 10.0
PEOPLE_AT_ONCE = 100


class AlertKind(enum.StrEnum):
    """What happened. Webhooks get the value as `kind`."""

    PRIMARY_DOWN = "primary down"
    PRIMARY_UP = "primary up"
    PRIMARY_SUSPECT = "primary suspect"
    PRIMARY_ISOLATED = "primary isolated"
    PRIMARY_TRUSTED = "primary trusted"
    CLEAN_BILL = "clean bill"
    ACTIVATED = "activated"
    DEACTIVATED = "deactivated"
    FAILBACK_STARTED = "failback started"
    FAILBACK_STOPPED = "failback stopped"
    FAILBACK_PROBLEM = "failback problem"
    FAILBACK_FINISHED = "failback finished"
    DRILL_FINISHED = "drill finished"
    FOLLOWING_PAUSED = "following paused"
    SCANNER_AWAY = "scanner away"
    SCANNER_BACK = "scanner back"
    SENDING_LIMIT = "sending limit"


class Notifier(Protocol):
    """Sends mail of our own."""

    async def send_mail(self, organisation_id: int, recipients: Sequence[str], subject: str, text: str) -> None:
        """Each recipient gets a message and learns of no other. Raises where it could not be made ours."""


async def raise_alert(
    connection: Connection,
    alert_id: int,
    organisation_id: int,
    kind: AlertKind,
    subject: str,
    text: str,
    people: Scope | None = None,
) -> None:
    """Write an alert inside the caller's transaction: every contact is owed it, and the people of a scope."""
    await connection.execute(
        _SQL["insert_alert"],
        organisation_id, alert_id, kind, subject, text, people.kind if people else None, people.id if people else None,
    )  # fmt: skip
    await connection.execute(_SQL["insert_alert_calls"], organisation_id, alert_id)


class AlertSender:
    """Delivers what is owed. Any number of processes may call `deliver_due`."""

    def __init__(self, database: Database, notifier: Notifier, client: httpx.AsyncClient | None = None) -> None:
        self._database = database
        self._notifier = notifier
        self._client = client or httpx.AsyncClient(timeout=CALL_TIMEOUT_S, follow_redirects=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def deliver_due(self) -> int:
        """One round; returns how many contacts and people were told. Raises what `UNAVAILABLE` lists."""
        async with self._database.transaction() as connection:
            calls = await connection.fetch(_SQL["claim_alert_calls"])
        results = await asyncio.gather(*(self._call(call) for call in calls))
        return sum(results) + await self._tell_people()

    async def _call(self, call: Any) -> bool:
        try:
            result = await self._post(call) if call["channel"] == "webhook" else await self._mail(call)
            done = True
        except Exception as error:  # noqa: BLE001 (a contact's server and our own intake may fail in any way)
            result, done = f"{type(error).__name__}: {error}"[:500], False
            log.warning("alert.not_delivered", target=call["target"], error=result, attempt=call["attempts"])
        given_up = call["attempts"] >= MAX_CALLS
        async with self._database.connection() as connection:
            await connection.execute(
                _SQL["alert_called"],
                call["organisation_id"], call["alert_id"], call["contact_id"], result, done or given_up,
            )  # fmt: skip
        return done

    async def _post(self, call: Any) -> str:
        body = {
            "organisation": call["organisation"],
            "id": call["alert_id"],
            "kind": call["kind"],
            "subject": call["subject"],
            "text": call["text"],
            "at": call["at"].isoformat(),
        }
        async with self._client.stream("POST", call["target"], json=body) as answer:
            answer.raise_for_status()  # redirects are no success either
            if not answer.is_success:
                raise httpx.HTTPStatusError(f"HTTP {answer.status_code}", request=answer.request, response=answer)
            return f"HTTP {answer.status_code}"

    async def _mail(self, call: Any) -> str:
        await self._notifier.send_mail(call["organisation_id"], [call["target"]], call["subject"], call["text"])
        return "sent"

    async def _tell_people(self) -> int:
        """Alternate addresses of the people concerned. Marked before sending: nobody is told twice."""
        async with self._database.connection() as connection:
            alerts = await connection.fetch(_SQL["due_people_alerts"])
        told = 0
        for alert in alerts:
            organisation_id = alert["organisation_id"]
            scope = Scope(organisation_id, ScopeKind(alert["people_kind"]), alert["people_id"])
            async with self._database.transaction() as connection:
                if await connection.fetchval(_SQL["people_told"], organisation_id, alert["id"]) is None:
                    continue
                recipients = await alternates(connection, scope)
            for start in range(0, len(recipients), PEOPLE_AT_ONCE):
                batch = recipients[start : start + PEOPLE_AT_ONCE]
                try:
                    await self._notifier.send_mail(organisation_id, batch, alert["subject"], alert["text"])
                    told += len(batch)
                except (OSError, RuntimeError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    log.warning("alert.people_not_told", count=len(batch), error=str(error))
        return told


async def alternates(connection: Connection, scope: Scope) -> list[str]:
    """Addresses elsewhere of the people of a scope, each once."""
    rows = await connection.fetch(_SQL["mailboxes_in_scope"], scope.organisation_id, scope.kind, scope.id)
    return list(dict.fromkeys(row["alternate"] for row in rows if row["alternate"]))
