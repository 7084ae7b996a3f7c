"""The quarantine: what the guard keeps apart, looking at it, letting it go, giving it up.

A release is one transaction: the message stands in the mailbox's Inbox, its deliveries go their way, and the audit says
who decided so. What is given up, by a person or because it has been kept too long, expires without a report to its
sender; what was released is out of reach of that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from everpost.guard.model import Judgement, Verdict, decode_verdict
from everpost.intake.rows import Rows, insert
from everpost.mail.part import load as load_structure
from everpost.mail.plainview import READ_OCTETS, PlainView, plain_view
from everpost.queue.model import CHANNEL, HoldReason, Kind, Status
from everpost.queue.operator import MAX_REASON, Homes, QueueRefusal
from everpost.standby.model import Origin, Role
from everpost.standby.summary import decode_summary
from everpost.store import audit
from everpost.store.blobs import BlobReader
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("quarantine")
_INTAKE, _STORE = load("intake"), load("store")
MAX_LISTED = 1000
_AT_ONCE: Final = 200
_GIVEN_UP: Final = "550 5.7.1 Given up in quarantine"
_TOO_LONG: Final = "550 5.7.1 Kept in quarantine for too long"
_PEOPLE_IN_AUDIT: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: all that is set must fit. `recipient`, `sender` (reverse-path) and `subject` are parts of them,
    in any case; `since` is included, `until` is not; `before` is the id of the last one of the page before;
    `asked`: somebody asks for its release.
    """

    mailbox_id: int | None = None
    before: int | None = None
    judgement: Judgement | None = None
    recipient: str | None = None
    sender: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    message_id: int | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A message in quarantine, with those whom it would reach. `author` is what its From field says; `asked` and
    `not_junk` count the recipients that want it released, and that say it is no junk.
    """

    message_id: int
    received_at: datetime
    reverse_path: str | None
    author: str
    subject: str
    direction: str
    size: int
    recipients: tuple[str, ...]
    verdict: Verdict
    asked: int
    not_junk: int


@dataclass(frozen=True, slots=True)
class KeptRecipient:
    """One of them. `asked_at`: they asked for its release, with a `comment`; `not_junk_at`: they say it is no junk."""

    recipient: str
    accepted_as: str
    asked_at: datetime | None
    comment: str | None
    not_junk_at: datetime | None


@dataclass(frozen=True, slots=True)
class Details:
    """A message in quarantine with its recipients."""

    kept: Kept
    recipients: tuple[KeptRecipient, ...]


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """Somebody asks for the release of a message; `mailbox` is the default address of whose it is."""

    message_id: int
    mailbox: str | None
    asked_at: datetime
    actor: str
    comment: str
    subject: str
    reverse_path: str | None
    judgement: Judgement


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

    # ------------------------------------------------------------------ looking

    async def list(self, organisation_id: int, wanted: Wanted = Wanted(), limit: int = 100) -> list[Kept]:
        """The latest first, at most `MAX_LISTED`."""
        rows = await self._rows(organisation_id, wanted, min(limit, MAX_LISTED))
        return [_kept(row) for row in rows]

    async def get(self, organisation_id: int, message_id: int) -> Details | None:
        """One message, without what it says; None where it is not kept."""
        rows = await self._rows(organisation_id, Wanted(message_id=message_id), 1)
        if not rows:
            return None
        async with self._database.connection() as connection:
            people = await connection.fetch(_SQL["kept_recipients"], organisation_id, message_id)
        recipients = tuple(
            KeptRecipient(row["recipient"], row["accepted_as"], row["asked_at"], row["comment"], row["not_junk_at"])
            for row in people
        )
        return Details(_kept(rows[0]), recipients)

    async def look(self, organisation_id: int, message_id: int, blobs: BlobReader) -> PlainView | None:
        """What a message says, as it can be looked at without harm; None where it is not kept. Whoever looks at
        somebody's mail is on record. Raises as `BlobReader.open`.
        """
        rows = await self._rows(organisation_id, Wanted(message_id=message_id), 1)
        if not rows:
            return None
        data = await blobs.read(organisation_id, rows[0]["blob_id"], limit=READ_OCTETS)
        async with self._database.transaction() as connection:
            await self._record(connection, organisation_id, message_id, "quarantine.look", {})
        return plain_view(data[:READ_OCTETS], load_structure(rows[0]["structure"]))

    async def requests(self, organisation_id: int, limit: int = 100) -> Sequence[ReleaseRequest]:
        """Who asks for a release, the oldest first; at most `MAX_LISTED`."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["requests"], organisation_id, min(limit, MAX_LISTED))
        return [
            ReleaseRequest(
                row["message_id"], row["mailbox"], row["at"], row["actor"], row["comment"], row["subject"],
                row["reverse_path"], Judgement(row["judgement"]),
            )
            for row in rows
        ]  # fmt: skip

    async def _rows(self, organisation_id: int, wanted: Wanted, limit: int) -> Sequence[Any]:
        async with self._database.connection() as connection:
            found: Sequence[Any] = await connection.fetch(
                _SQL["kept"],
                organisation_id, wanted.mailbox_id, wanted.before, wanted.judgement, wanted.recipient, wanted.sender,
                wanted.subject, wanted.since, wanted.until, wanted.message_id, wanted.asked, limit,
            )  # fmt: skip
        return found

    # ------------------------------------------------------------------ deciding

    async def release(
        self,
        organisation_id: int,
        message_id: int,
        recipients: Collection[str] | None = None,
        *,
        mailbox_id: int | None = None,
        reason: str = "",
        by_owner: bool = False,
    ) -> tuple[Released, ...]:
        """Let a message go to all its recipients, to some, or to one mailbox. It is not judged again.

        `by_owner`: it is the mailbox's own person who does it, and is not told of it.
        """
        async with self._database.transaction() as connection:
            await connection.execute(_STORE["share_generations"])  # routes stay as they are meanwhile
            wanted = await self._lock(connection, organisation_id, message_id, recipients, mailbox_id, reason)
            if any(row["from_isolated"] for row in wanted):
                raise QueueRefusal("the primary that relayed it is isolated as compromised: nothing of it goes out")
            waiting = await self._waiting(connection, organisation_id, wanted)
            fates = [_fate(row, waiting) for row in wanted]
            await connection.execute(
                _SQL["let_go"], organisation_id, message_id, [row["number"] for row in wanted],
                [status.value for status, _ in fates], [why.value if why else None for _, why in fates],
            )  # fmt: skip
            await self._answer(
                connection, organisation_id, message_id, wanted, "released", reason, told=by_owner
            )  # fmt: skip
            await self._show(connection, organisation_id, message_id, wanted, reason)
            await connection.execute(_STORE["notify"], CHANNEL, "")
        return tuple(
            Released(row["recipient"], f"held: {why}" if why else "")
            for row, (_, why) in zip(wanted, fates, strict=True)
        )

    async def give_up(
        self, organisation_id: int, message_id: int, recipients: Collection[str] | None = None, *, reason: str = ""
    ) -> tuple[str, ...]:
        """End what is kept of a message, for all its recipients or some: nobody gets it. Returns the recipients."""
        async with self._database.transaction() as connection:
            wanted = await self._lock(connection, organisation_id, message_id, recipients, None, reason)
            await self._end(connection, organisation_id, message_id, wanted, _GIVEN_UP, reason)
        return tuple(row["recipient"] for row in wanted)

    async def expire(self, before: datetime) -> int:
        """Give up what came before a moment and is kept still; returns how many messages that were.

        Each is a transaction of its own: whatever ends this goes on with the next.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["too_old"], before, _AT_ONCE)
        for row in rows:
            organisation_id, message_id = row["organisation_id"], row["message_id"]
            async with self._database.transaction() as connection:
                kept = await connection.fetch(_SQL["lock_kept"], organisation_id, message_id, None)
                if kept:  # else somebody was faster
                    await self._end(
                        connection, organisation_id, message_id, kept, _TOO_LONG, "kept for too long"
                    )  # fmt: skip
        return len(rows)

    async def refuse(self, organisation_id: int, message_id: int, reason: str) -> int:
        """Answer those who ask for a message's release: no, and why. It stays kept. Returns how many they are."""
        _check_reason(reason)
        async with self._database.transaction() as connection:
            kept = await connection.fetch(_SQL["lock_kept"], organisation_id, message_id, None)
            answered = await self._answer(connection, organisation_id, message_id, kept, "refused", reason)
            if not answered:
                raise QueueRefusal(f"nobody asks for the release of message {encode_id(message_id)}")
            detail = {"requests": answered, "reason": reason}
            await self._record(connection, organisation_id, message_id, "quarantine.refuse", detail)
        return answered

    # ------------------------------------------------------------------ steps

    async def _lock(
        self, connection: Connection, organisation_id: int, message_id: int, recipients: Collection[str] | None,
        mailbox_id: int | None, reason: str,
    ) -> Sequence[Any]:  # fmt: skip
        _check_reason(reason)
        rows = await connection.fetch(_SQL["lock_kept"], organisation_id, message_id, mailbox_id)
        name = encode_id(message_id)
        if not rows:
            raise QueueRefusal(f"nothing of message {name} is in quarantine")
        if recipients is None:
            return list(rows)
        for recipient in recipients:
            if not any(_is_meant(row, recipient) for row in rows):
                raise QueueRefusal(f"nothing of message {name} is in quarantine for {recipient[:320]}")
        wanted = [row for row in rows if any(_is_meant(row, recipient) for recipient in recipients)]
        if not wanted:
            raise QueueRefusal("name at least one recipient")
        return wanted

    async def _end(
        self, connection: Connection, organisation_id: int, message_id: int, rows: Sequence[Any], reply: str,
        reason: str,
    ) -> None:  # fmt: skip
        await connection.execute(_SQL["give_up"], organisation_id, message_id, [row["number"] for row in rows], reply)
        await self._answer(connection, organisation_id, message_id, rows, "expired", reason)
        detail = {"recipients": [row["recipient"] for row in rows[:_PEOPLE_IN_AUDIT]], "count": len(rows)}
        detail |= {"reason": reason} if reason else {}
        await self._record(connection, organisation_id, message_id, "quarantine.expire", detail)

    async def _answer(
        self, connection: Connection, organisation_id: int, message_id: int, rows: Sequence[Any], answer: str,
        reason: str, *, told: bool = False,
    ) -> int:  # fmt: skip
        """Answer what the people of these deliveries asked; returns how many had."""
        mailboxes = sorted({row["mailbox_id"] for row in rows if row["mailbox_id"] is not None})
        tag: str = await connection.execute(
            _SQL["answer_words"], organisation_id, message_id, mailboxes, answer, self._actor, reason, told
        )
        return int(tag.rpartition(" ")[2])

    async def _record(
        self, connection: Connection, organisation_id: int, message_id: int, action: str, detail: dict[str, Any]
    ) -> None:
        event = audit.Event(self._actor, action, f"message {encode_id(message_id)}", detail)
        await audit.record(connection, organisation_id, await self._database.ids.new(), event)

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
            "message": encode_id(message_id), "recipients": [row["recipient"] for row in rows[:_PEOPLE_IN_AUDIT]],
            **({"reason": reason} if reason else {}),
        }  # fmt: skip
        what = (self._actor, "quarantine.release", f"message {encode_id(message_id)}", detail)
        batch.audit.append((organisation_id, await self._database.ids.new(), datetime.now(UTC), *what))
        await insert(connection, batch)


def _kept(row: Any) -> Kept:
    authors = decode_summary(row["summary"]).from_
    author = "" if not authors else f"{authors[0].name or ''} <{authors[0].address}>".strip()
    return Kept(
        row["message_id"], row["received_at"], row["reverse_path"], author, row["subject"], row["direction"],
        row["size"], tuple(row["recipients"]), decode_verdict(row["verdict"]), row["words"].count("release"),
        row["words"].count("not-junk"),
    )  # fmt: skip


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON:
        raise QueueRefusal(f"a reason has at most {MAX_REASON} characters")


def _is_meant(row: Any, recipient: str) -> bool:
    return recipient.lower() in (row["recipient"].lower(), row["accepted_as"].lower())


def _fate(row: Any, waiting: Mapping[int, HoldReason]) -> tuple[Status, HoldReason | None]:
    if row["kind"] == Kind.STANDBY:
        return Status.DELIVERED, None
    why = waiting.get(row["mailbox_id"]) if row["kind"] == Kind.PRIMARY else None
    return (Status.HELD, why) if why else (Status.QUEUED, None)
