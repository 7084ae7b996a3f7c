"""The quarantine: what the guard keeps apart, and letting it go.

A release is one transaction: the message stands in the mailbox's Inbox, its deliveries go their way, and the audit says
who decided so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from everpost.guard.model import Verdict, decode_verdict
from everpost.intake.rows import Rows, insert
from everpost.queue.model import CHANNEL, HoldReason, Kind, Status
from everpost.queue.operator import MAX_REASON, Homes, QueueRefusal
from everpost.standby.model import Origin, Role
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("quarantine")
_INTAKE, _STORE = load("intake"), load("store")
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in quarantine, with those whom it would reach."""

    message_id: int
    received_at: datetime
    reverse_path: str | None
    subject: str
    direction: str
    recipients: tuple[str, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Released:
    """One recipient's part that was let go; `remark` says where it waits now, if it does."""

    recipient: str
    remark: str = ""


class Quarantine:
    """`actor` stands in the audit; `homes` says of mailboxes why their mail may not go to its primary now.

    Raises `QueueRefusal`, and what `store.database.UNAVAILABLE` lists.
    """

    def __init__(self, database: Database, *, actor: str, homes: Homes) -> None:
        self._database = database
        self._actor = actor
        self._homes = homes

    async def list(self, organisation_id: int, mailbox_id: int | None = None, limit: int = 100) -> list[Kept]:
        """The latest first, at most `MAX_LISTED`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["kept"], organisation_id, mailbox_id, min(limit, MAX_LISTED))
        return [
            Kept(
                row["message_id"], row["received_at"], row["reverse_path"], row["subject"], row["direction"],
                tuple(row["recipients"]), decode_verdict(row["verdict"]),
            )
            for row in rows
        ]  # fmt: skip

    async def release(
        self, organisation_id: int, message_id: int, recipient: str | None = None, *, reason: str = ""
    ) -> tuple[Released, ...]:
        """Let a message go to all its recipients, or to one. It is not judged again."""
        if len(reason) > MAX_REASON:
            raise QueueRefusal(f"a reason has at most {MAX_REASON} characters")
        async with self._database.transaction() as connection:
            await connection.execute(_STORE["share_generations"])  # routes stay as they are meanwhile
            rows = await connection.fetch(_SQL["lock_kept"], organisation_id, message_id)
            wanted = [row for row in rows if recipient is None or _is_meant(row, recipient)]
            if not wanted:
                raise QueueRefusal(
                    f"nothing of message {encode_id(message_id)} is in quarantine"
                    + (f" for {recipient}" if recipient else "")
                )
            if any(row["from_isolated"] for row in wanted):
                raise QueueRefusal("the primary that relayed it is isolated as compromised: nothing of it goes out")
            waiting = await self._waiting(connection, organisation_id, wanted)
            fates = [_fate(row, waiting) for row in wanted]
            await connection.execute(
                _SQL["let_go"], organisation_id, message_id, [row["number"] for row in wanted],
                [status.value for status, _ in fates], [reason.value if reason else None for _, reason in fates],
            )  # fmt: skip
            await self._show(connection, organisation_id, message_id, wanted, reason)
            await connection.execute(_STORE["notify"], CHANNEL, "")
        return tuple(
            Released(row["recipient"], f"held: {why}" if why else "")
            for row, (_, why) in zip(wanted, fates, strict=True)
        )

    async def _waiting(
        self, connection: Connection, organisation_id: int, rows: Sequence[Any]
    ) -> Mapping[int, HoldReason]:
        mailboxes = sorted({row["mailbox_id"] for row in rows if row["kind"] == Kind.PRIMARY})
        return await self._homes(connection, organisation_id, mailboxes) if mailboxes else {}

    async def _show(
        self, connection: Connection, organisation_id: int, message_id: int, rows: Sequence[Any], reason: str
    ) -> None:
        """Entries in the Inboxes of those who get it, and the event."""
        batch = Rows()
        mailboxes = sorted({row["mailbox_id"] for row in rows if row["mailbox_id"] is not None})
        for organisation, mailbox_id, modseq, *_ in await connection.fetch(
            _INTAKE["advance_modseq"], [organisation_id] * len(mailboxes), mailboxes, [1] * len(mailboxes)
        ):
            inbox = Role.INBOX.folder_id
            batch.entry.append(
                (
                    organisation, mailbox_id, message_id, rows[0]["received_at"], rows[0]["thread_id"], inbox, "",
                    Origin.WIRE, modseq, inbox, modseq,
                )
            )  # fmt: skip
        detail = {
            "message": encode_id(message_id), "recipients": [row["recipient"] for row in rows],
            **({"reason": reason} if reason else {}),
        }  # fmt: skip
        what = (self._actor, "quarantine.release", f"message {encode_id(message_id)}", detail)
        batch.audit.append((organisation_id, await self._database.ids.new(), datetime.now(UTC), *what))
        await insert(connection, batch)


def _is_meant(row: Any, recipient: str) -> bool:
    return recipient.lower() in (row["recipient"].lower(), row["accepted_as"].lower())


def _fate(row: Any, waiting: Mapping[int, HoldReason]) -> tuple[Status, HoldReason | None]:
    if row["kind"] == Kind.STANDBY:
        return Status.DELIVERED, None
    why = waiting.get(row["mailbox_id"]) if row["kind"] == Kind.PRIMARY else None
    return (Status.HELD, why) if why else (Status.QUEUED, None)
