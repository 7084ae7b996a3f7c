"""What a failback knows and has done, in the database: runs, mailboxes, and a line for each message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from everpost.continuity.failback.model import (
    Action,
    Append,
    Delete,
    Figures,
    Flags,
    FolderCreate,
    FolderDelete,
    FolderRename,
    Item,
    ItemKind,
    ItemState,
    MailboxState,
    Move,
    RunState,
    Subject,
    key_of,
)
from everpost.continuity.failback.plan import LogEntry, Place, Plan, Standing, make_plan
from everpost.continuity.routes import Scope, ScopeKind
from everpost.standby.model import ChangeKind, Role
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("failback")
_STANDBY = load("standby")
CLOCK_SLACK = timedelta(minutes=10)
"""How far apart the clocks of two workers may be."""


class NoSuchRun(LookupError):
    """The organisation has no such failback."""


class Stopped(Exception):
    """The failback was paused or stopped meanwhile."""


@dataclass(frozen=True, slots=True)
class Run:
    """A failback as it stands."""

    organisation_id: int
    id: int
    activation_id: int
    state: RunState
    reason: str
    wave_size: int
    actor: str
    started_at: datetime
    finished_at: datetime | None
    scope: Scope
    activated_at: datetime
    organisation: str
    report: dict[str, Any] | None
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class RunMailbox:
    """One mailbox of a failback."""

    id: int
    primary_id: int
    wave: int
    state: MailboxState
    problem: str
    replayed_modseq: int
    figures: Figures | None
    returned_at: datetime | None
    name: str
    address: str | None


@dataclass(frozen=True, slots=True)
class Inbound:
    """How a released delivery stands."""

    message_id: int
    status: str
    hold_reason: str | None
    reply: str


async def read_run(source: Database, organisation_id: int, run_id: int) -> Run:
    """Raises `NoSuchRun`."""
    async with source.connection() as connection:
        row = await connection.fetchrow(_SQL["run"], organisation_id, run_id)
    if row is None:
        raise NoSuchRun(f"no failback {run_id}")
    return Run(
        organisation_id,
        row["id"],
        row["activation_id"],
        RunState(row["state"]),
        row["reason"],
        row["wave_size"],
        row["actor"],
        row["started_at"],
        row["finished_at"],
        Scope(organisation_id, ScopeKind(row["scope_kind"]), row["scope_id"]),
        row["activated_at"],
        row["organisation"],
        row["report"],
        row["report_signature"],
    )


async def read_mailboxes(connection: Connection, organisation_id: int, run_id: int) -> list[RunMailbox]:
    """In the order of their waves."""
    rows = await connection.fetch(_SQL["mailboxes_of_run"], organisation_id, run_id)
    return [
        RunMailbox(
            row["mailbox_id"],
            row["primary_id"],
            row["wave"],
            MailboxState(row["state"]),
            row["problem"],
            row["replayed_modseq"],
            Figures(**row["figures"]) if row["figures"] is not None else None,
            row["returned_at"],
            row["name"],
            row["address"],
        )
        for row in rows
    ]


class MailboxLedger:
    """The ledger of one mailbox in one failback."""

    def __init__(self, database: Database, run: Run, mailbox: RunMailbox) -> None:
        self._database = database
        self.run = run
        self.mailbox = mailbox
        self._key = (run.organisation_id, run.id, mailbox.id)

    async def run_state(self) -> RunState:
        async with self._database.connection() as connection:
            return RunState(await connection.fetchval(_SQL["run_state"], self.run.organisation_id, self.run.id))

    async def check_running(self) -> None:
        """Raises `Stopped`. Asked before anything is done to the primary (DESIGN I6)."""
        if await self.run_state() is not RunState.RUNNING:
            raise Stopped

    async def set_state(self, state: MailboxState, problem: str = "") -> None:
        async with self._database.connection() as connection:
            await connection.execute(_SQL["set_mailbox_state"], *self._key, state, problem[:1000])

    # ------------------------------------------------------------------ inbound mail

    async def release_inbound(self, limit: int) -> int:
        """Give held deliveries back to the queue and note them, in one transaction; returns how many.

        Raises `Stopped`. Who stops the failback waits for this, or this sees it: nothing is released behind its back.
        """
        async with self._database.transaction() as connection:
            state = await connection.fetchval(_SQL["share_run"], self.run.organisation_id, self.run.id)
            if state != RunState.RUNNING:
                raise Stopped
            return len(await connection.fetch(_SQL["release_inbound"], *self._key, limit))

    async def inbound(self) -> list[Inbound]:
        """The released deliveries whose end is not noted yet."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["inbound_progress"], *self._key)
        return [Inbound(row["message_id"], row["status"], row["hold_reason"], row["last_reply"]) for row in rows]

    async def retry_inbound(self) -> None:
        """What waits for its next attempt need not wait any longer."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["retry_inbound"], *self._key)

    # ------------------------------------------------------------------ what people did

    async def current_modseq(self) -> int:
        async with self._database.connection() as connection:
            return int(await connection.fetchval(_STANDBY["modseq"], self.run.organisation_id, self.mailbox.id))

    async def plan(self, since: int, until: int) -> Plan:
        """What the change log in (since, until] asks for."""
        async with self._database.connection() as connection:
            return await read_plan(
                connection, self.run.organisation_id, self.mailbox.id, since, until, self.run.activated_at
            )

    async def note_plan(self, plan: Plan) -> None:
        """Write the plan's lines before any of it is done. A line that asks for the same as before keeps its state."""
        actions = plan.actions
        async with self._database.transaction() as connection:
            await connection.execute(
                _SQL["insert_items"],
                *self._key,
                [key_of(action)[0] for action in actions],
                [key_of(action)[1].value for action in actions],
                [msgspec.json.encode(action).decode() for action in actions],
            )

    async def set_replayed(self, modseq: int) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_SQL["set_replayed"], *self._key, modseq)

    async def note(self, items: Iterable[Item]) -> None:
        """Write how far some lines got."""
        rows = [(*self._key, item.id, item.kind, item.state, item.evidence[:1000]) for item in items]
        if rows:
            async with self._database.connection() as connection:
                await connection.executemany(_SQL["set_item"], rows)

    async def open_actions(self) -> list[tuple[Action, ItemState]]:
        """What was planned and is not known to be done, in the plan's order."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["open_items"], *self._key)
        found = [
            (msgspec.convert(row["detail"], _TYPES[ItemKind(row["kind"])]), ItemState(row["state"])) for row in rows
        ]
        return sorted(found, key=lambda pair: _order(pair[0]))

    async def items(self) -> list[tuple[Item, dict[str, Any]]]:
        """Every line, with what it was about."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["items"], *self._key)
        return [
            (
                Item(row["message_id"], ItemKind(row["kind"]), ItemState(row["state"]), row["evidence"]),
                row["detail"],
            )
            for row in rows
        ]

    async def subjects(self, message_ids: Sequence[int]) -> dict[int, Subject]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["touched"], self.run.organisation_id, self.mailbox.id, list(message_ids))
        return {row["id"]: _subject(row) for row in rows}

    async def set_figures(self, figures: Figures) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_SQL["set_figures"], *self._key, asdict(figures))


async def read_plan(
    connection: Connection, organisation_id: int, mailbox_id: int, since: int, until: int, activated_at: datetime
) -> Plan:
    """Read a mailbox's change log and say what it asks for."""
    rows = await connection.fetch(
        _SQL["log"], organisation_id, mailbox_id, since, until, Role.SENT.folder_id, activated_at - CLOCK_SLACK
    )
    log = [LogEntry(ChangeKind(row["kind"]), row["message_id"], row["folder_id"], row["detail"] or {}) for row in rows]
    ids = list({row.message_id for row in log if row.message_id is not None})
    touched = await connection.fetch(_SQL["touched"], organisation_id, mailbox_id, ids)
    appended = await connection.fetch(_SQL["appended_before"], organisation_id, mailbox_id, ids)
    folders = await read_folders(connection, organisation_id, mailbox_id)
    standing = {
        row["id"]: Standing(
            _subject(row),
            tuple(row["folder_ids"] or ()),
            frozenset(row["keywords"] or ()),
            row["received_at"],
            row["origin"],
        )
        for row in touched
    }
    places = {folder_id: place for folder_id, (place, _) in folders.items()}
    return make_plan(log, standing, places, {row["message_id"] for row in appended})


async def read_folders(
    connection: Connection, organisation_id: int, mailbox_id: int
) -> dict[int, tuple[Place, str | None]]:
    """The standby's folders with their roles."""
    rows = await connection.fetch(_SQL["folders"], organisation_id, mailbox_id)
    return {row["id"]: (Place(row["name"], row["parent_id"]), row["role"]) for row in rows}


def _subject(row: Any) -> Subject:
    return Subject(
        row["id"], row["message_id"], row["content_digest"], row["size"], row["blob_id"], row["accepted_at"]
    )  # fmt: skip


# ---------------------------------------------------------------------- actions as JSON

_TYPES: dict[ItemKind, type[Action]] = {
    ItemKind.FOLDER_RENAME: FolderRename,
    ItemKind.FOLDER_CREATE: FolderCreate,
    ItemKind.APPEND: Append,
    ItemKind.FLAGS: Flags,
    ItemKind.MOVE: Move,
    ItemKind.DELETE: Delete,
    ItemKind.FOLDER_DELETE: FolderDelete,
}
_ORDER = {kind: number for number, kind in enumerate(_TYPES.values())}


def _order(action: Action) -> tuple[int, int]:
    """Parents before children, except when they go."""
    match action:
        case FolderCreate():
            depth = len(action.path)
        case FolderRename():
            depth = len(action.new)
        case FolderDelete():
            depth = -len(action.path)
        case _:
            depth = 0
    return _ORDER[type(action)], depth
