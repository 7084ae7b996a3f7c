"""Leases: claiming due deliveries, renewing them, writing what attempts came to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from everpost.mail.address import Address
from everpost.mail.edits import decode_edits
from everpost.mail.envelope import Body, Notify, Recipient, Ret, Sender
from everpost.queue.model import Delivery, DeliveryKey, Kind, ReadyMessage, Status
from everpost.queue.outcome import Verdict
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("queue")


class Leases:
    """This worker's leases. `run` names the life of its process: after a crash nobody else has that number."""

    def __init__(self, database: Database, run: int) -> None:
        self._database = database
        self.run = run

    async def claim(self, per_lane: int, total: int, without_lanes: Sequence[str]) -> list[ReadyMessage]:
        """Lease due deliveries, grouped by message. The next try is committed before this returns."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["claim"], self.run, per_lane, list(without_lanes), total)
            if not rows:
                return []
            keys = list({(row["organisation_id"], row["message_id"]) for row in rows})
            messages = await connection.fetch(
                _SQL["messages_to_send"], [key[0] for key in keys], [key[1] for key in keys]
            )
        by_message: dict[tuple[int, int], list[Any]] = defaultdict(list)
        for row in rows:
            by_message[row["organisation_id"], row["message_id"]].append(row)
        return [_ready(row, by_message[row["organisation_id"], row["id"]]) for row in messages]

    async def renew(self, deliveries: Sequence[Delivery]) -> None:
        """Keep the leases of attempts that take long."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["renew"], self.run, *_key_columns(deliveries))

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Deliveries that will not be attempted by this worker after all."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["give_back"], self.run, *_key_columns(deliveries))

    async def complete(self, verdicts: Sequence[Verdict]) -> None:
        """Write what many attempts came to, all or nothing."""
        missed = [verdict for verdict in verdicts if verdict.status is not Status.DELIVERED]
        if not missed:
            async with self._database.connection() as connection:
                return await self._write_outcomes(connection, verdicts)
        async with self._database.transaction() as connection:
            await self._write_outcomes(connection, verdicts)
            await connection.execute(
                _SQL["record_attempts"],
                *_key_columns([verdict.delivery for verdict in missed]),
                [verdict.delivery.attempts for verdict in missed],
                [verdict.remote for verdict in missed],
                [verdict.status.value for verdict in missed],
                [verdict.reply for verdict in missed],
            )
        return None

    async def _write_outcomes(self, connection: Connection, verdicts: Sequence[Verdict]) -> None:
        await connection.execute(
            _SQL["complete"],
            self.run,
            *_key_columns([verdict.delivery for verdict in verdicts]),
            [verdict.status.value for verdict in verdicts],
            [verdict.hold_reason.value if verdict.hold_reason else None for verdict in verdicts],
            [verdict.next_attempt_at for verdict in verdicts],
            [verdict.in_doubt for verdict in verdicts],
            [verdict.report.value if verdict.report else None for verdict in verdicts],
            [verdict.remote for verdict in verdicts],
            [verdict.reply for verdict in verdicts],
        )


def _key_columns(deliveries: Sequence[Delivery]) -> tuple[list[int], list[int], list[int]]:
    keys = [delivery.key for delivery in deliveries]
    return (
        [key.organisation_id for key in keys],
        [key.message_id for key in keys],
        [key.number for key in keys],
    )


def _delivery(row: Any, received_at: datetime) -> Delivery:
    notify = row["notify"]
    recipient = Recipient(Address.parse(row["recipient"]), None if notify is None else Notify(notify), row["orcpt"])
    return Delivery(
        DeliveryKey(row["organisation_id"], row["message_id"], row["number"]),
        recipient,
        Kind(row["kind"]),
        row["lane"],
        row["mailbox_id"],
        row["primary_id"],
        row["attempts"],
        received_at,
        row["expires_at"],
        row["in_doubt"],
        row["delay_told"],
    )


def _ready(row: Any, deliveries: list[Any]) -> ReadyMessage:
    reverse_path = Address.parse(row["reverse_path"]) if row["reverse_path"] else None
    ret = Ret(row["ret"]) if row["ret"] else None
    sender = Sender(reverse_path, row["size"], Body(row["body"]), row["smtputf8"], ret, row["envid"])
    return ReadyMessage(
        row["organisation_id"],
        row["id"],
        row["blob_id"],
        sender,
        row["trace"].encode(),
        row["size"],
        row["received_at"],
        tuple(_delivery(delivery, row["received_at"]) for delivery in deliveries),
        edits=decode_edits(row["edits"]),
    )
