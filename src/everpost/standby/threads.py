"""Conversations: which thread a message belongs to, by the Message-IDs it has and cites.

Cited ids are remembered even before their message comes, so that the order of arrival does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from everpost.standby.summary import Summary, reference_hash
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("threads")


@dataclass(frozen=True, slots=True)
class Unthreaded:
    """A message whose conversation is asked for. Where it has none, it starts the one with its own id."""

    organisation_id: int
    message_id: int
    summary: Summary


async def assign_threads(connection: Connection, messages: Sequence[Unthreaded]) -> list[int]:
    """The thread of each message, in order: the oldest of those that its ids lead to.

    Inside the caller's transaction, and before any mailbox is locked: everybody takes these locks in that order.
    """
    references = [_references(message.summary) for message in messages]
    known = await _known_threads(connection, messages, references)
    new: dict[tuple[int, int], int] = {}
    threads = []
    for message, refs in zip(messages, references, strict=True):
        keys = [(message.organisation_id, ref) for ref in refs]
        thread = min((known[key] for key in keys if key in known), default=message.message_id)
        for key in keys:
            if key not in known:
                known[key] = new[key] = thread
        threads.append(thread)
    moved = await _remember(connection, new)
    return [moved.get(thread, thread) for thread in threads]


async def _known_threads(
    connection: Connection, messages: Sequence[Unthreaded], references: list[list[int]]
) -> dict[tuple[int, int], int]:
    """Of the messages that cite others. One that names only itself is nearly always new, else `_remember` finds it."""
    keys = {
        (message.organisation_id, ref)
        for message, refs in zip(messages, references, strict=True)
        for ref in refs
        if len(refs) > 1
    }
    if not keys:
        return {}
    rows = await connection.fetch(_SQL["find_threads"], [key[0] for key in keys], [key[1] for key in keys])
    return {(row[0], row[1]): row[2] for row in rows}


async def _remember(connection: Connection, new: dict[tuple[int, int], int]) -> dict[int, int]:
    """Note which thread the ids lead to; returns the threads that another transaction named before us, ours → theirs.

    Whoever started the same conversation at the same moment, and came first, names it: all ids follow.
    """
    if not new:
        return {}
    organisations, refs = [key[0] for key in new], [key[1] for key in new]
    rows = await connection.fetch(_SQL["insert_refs"], organisations, refs, list(new.values()))
    moved = {new[row[0], row[1]]: row[2] for row in rows if new[row[0], row[1]] != row[2]}
    if moved:
        await connection.execute(_SQL["move_refs"], organisations, refs, list(moved), list(moved.values()))
    return moved


def _references(summary: Summary) -> list[int]:
    ids = [*summary.references, *summary.in_reply_to]
    if summary.message_id:
        ids.append(summary.message_id)
    return list(dict.fromkeys(reference_hash(message_id) for message_id in ids))
