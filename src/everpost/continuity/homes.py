"""Where mailboxes are at home just now, for what a person does about the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from everpost.continuity.snapshot import read_route_table
from everpost.directory.model import Place
from everpost.queue.model import HoldReason
from everpost.queue.operator import QueueOperator
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_DIRECTORY = load("directory")


def make_operator(database: Database, actor: str) -> QueueOperator:
    """The verbs of the queue, with an eye on the switches."""
    return QueueOperator(database, actor=actor, homes=waiting_mailboxes)


async def waiting_mailboxes(
    connection: Connection, organisation_id: int, mailbox_ids: Sequence[int]
) -> Mapping[int, HoldReason]:
    """The mailboxes whose mail may not go to their primary now, and why. As of the caller's transaction."""
    table = await read_route_table(connection)
    groups = {
        row["mailbox_id"]: frozenset(row["group_ids"])
        for row in await connection.fetch(_DIRECTORY["groups_of_mailboxes"], organisation_id, mailbox_ids)
    }
    waiting = {}
    for row in await connection.fetch(_DIRECTORY["mailbox_place"], organisation_id, mailbox_ids):
        mailbox_id = row["id"]
        place = Place(
            organisation_id, mailbox_id, row["domain_id"], row["primary_id"], groups.get(mailbox_id, frozenset())
        )
        hold = table.decide(place).hold
        if hold is not None:
            waiting[mailbox_id] = hold
    return waiting
