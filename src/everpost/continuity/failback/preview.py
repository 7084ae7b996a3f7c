"""The dry run: what a failback would do, without doing any of it."""

from __future__ import annotations

from dataclasses import dataclass

from everpost.continuity.failback import begin
from everpost.continuity.failback.ledger import read_plan
from everpost.continuity.failback.model import (
    Append,
    Delete,
    Flags,
    FolderCreate,
    FolderDelete,
    FolderRename,
    Move,
)
from everpost.continuity.failback.replay import NO_CONNECTOR
from everpost.continuity.trust import TrustState
from everpost.directory.primary import Primary, load_primaries
from everpost.store.blobs import KeyRing
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("failback")
_CONTINUITY = load("continuity")
_STANDBY = load("standby")


@dataclass(frozen=True, slots=True)
class MailboxPreview:
    """What would be brought back to one mailbox."""

    address: str
    wave: int
    inbound: int
    inbound_octets: int
    appends: int
    flags: int
    moves: int
    deletions: int
    folders: int

    @property
    def is_empty(self) -> bool:
        return not (
            self.inbound or self.appends or self.flags or self.moves or self.deletions or self.folders
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preview:
    """What a failback of an activation would do now. `obstacles` say why it could not begin, `warnings` what it
    could not do.
    """

    activation_id: int
    mailboxes: tuple[MailboxPreview, ...]
    obstacles: tuple[str, ...]
    warnings: tuple[str, ...]


async def preview(
    database: Database, keys: KeyRing, organisation_id: int, activation_id: int, wave_size: int = begin.WAVE_SIZE
) -> Preview:
    """Raises `LookupError` where the activation is not in force."""
    async with database.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(_CONTINUITY["activation"], organisation_id, activation_id)
        if row is None or row["started_at"] is None or row["ended_at"] is not None:
            raise LookupError(f"no activation {activation_id} in force")
        found = await begin.candidates(connection, organisation_id, row)
        primaries = {primary.id: primary for primary in await load_primaries(connection, keys, organisation_id)}
        boxes = [
            await _mailbox(connection, found, number, number // wave_size) for number in range(len(found.mailboxes))
        ]
        obstacles = [
            text for primary_id in found.primary_ids for text in await _obstacles(connection, primaries[primary_id])
        ]
    warnings = [
        f"{primary.name}: {NO_CONNECTOR}; what people did is listed, not replayed"
        for primary in (primaries[primary_id] for primary_id in found.primary_ids)
        if primary.settings.imap is None
    ]
    return Preview(activation_id, tuple(boxes), tuple(obstacles), tuple(warnings))


async def _mailbox(connection: Connection, found: begin.Candidates, number: int, wave: int) -> MailboxPreview:
    mailbox = found.mailboxes[number]
    organisation_id, mailbox_id = found.scope.organisation_id, mailbox.place.mailbox_id
    held = await connection.fetchrow(_SQL["held_inbound"], organisation_id, mailbox_id)
    [baseline] = await connection.fetch(_SQL["baselines"], organisation_id, [mailbox_id])
    modseq = await connection.fetchval(_STANDBY["modseq"], organisation_id, mailbox_id)
    plan = await read_plan(connection, organisation_id, mailbox_id, baseline["modseq"], modseq, found.activated_at)
    return MailboxPreview(
        mailbox.address or mailbox.name,
        wave,
        held["messages"],
        held["octets"],
        plan.count(Append),
        plan.count(Flags),
        plan.count(Move),
        plan.count(Delete),
        plan.count(FolderCreate) + plan.count(FolderRename) + plan.count(FolderDelete),
    )


async def _obstacles(connection: Connection, primary: Primary) -> list[str]:
    found = []
    if primary.trust_state == TrustState.COMPROMISED:
        found.append(f"{primary.name} is isolated as compromised: give it a clean bill first")
    probe = await connection.fetchrow(_CONTINUITY["last_probe"], primary.organisation_id, primary.id)
    if probe is not None and not probe["ok"]:
        found.append(f"{primary.name} does not answer: {probe['stage']}: {probe['detail']}")
    return found
