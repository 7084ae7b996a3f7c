"""What the guard keeps from one person: looking at it, letting it go or asking for that, saying that it is no junk.

Of malware people see that it is there, and nothing of what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from everpost.guard.learn.model import Class
from everpost.guard.model import Judgement, Verdict, decode_verdict
from everpost.intake.learning import learn_report
from everpost.intake.quarantine import Quarantine
from everpost.intake.quarantine_settings import May, may, read_settings
from everpost.mail.part import load as load_structure
from everpost.mail.plainview import READ_OCTETS, PlainView, plain_view
from everpost.queue.operator import Homes, QueueRefusal
from everpost.standby.summary import Person, decode_summary
from everpost.standby.values import Account
from everpost.store import audit
from everpost.store.blobs import BlobReader
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("quarantine")
MAX_LISTED: Final = 1000
MAX_COMMENT: Final = 500


class NotKept(LookupError):
    """Nothing of this message is kept from this mailbox."""


class NotAllowed(Exception):
    """The organisation does not leave this to its people. The message is fit to be shown."""


@dataclass(frozen=True, slots=True)
class KeptFromMe:
    """A message as its recipient knows it; other recipients are not their business. `asked_at`: they asked for its
    release, and `answer` (released, refused, expired) is what became of that; `not_junk_at`: they say it is none.
    """

    message_id: int
    received_at: datetime
    author: tuple[Person, ...]
    subject: str
    size: int
    verdict: Verdict
    may: May
    asked_at: datetime | None
    answer: str | None
    answer_reason: str | None
    not_junk_at: datetime | None


class KeptMail:
    """The quarantine as the people of one mailbox meet it. `actor` is who does it, as the audit names them.

    Raises `NotKept`, `NotAllowed`, `QueueRefusal`, and what `store.database.UNAVAILABLE` lists.
    """

    def __init__(self, database: Database, account: Account, *, actor: str, homes: Homes) -> None:
        self._database = database
        self._account = account
        self._actor = actor
        self._homes = homes
        self._key = (account.organisation_id, account.mailbox_id)

    async def list(self, message_ids: Sequence[int] | None = None) -> list[KeptFromMe]:
        """The latest first, at most `MAX_LISTED`."""
        async with self._database.connection() as connection:
            settings = await read_settings(connection, self._account.organisation_id)
            rows = await connection.fetch(_SQL["kept_for"], *self._key, message_ids, MAX_LISTED)
        return [_kept(row, settings.self_release) for row in rows]

    async def state(self) -> str:
        """Another whenever something about what is kept is."""
        async with self._database.connection() as connection:
            return str(await connection.fetchval(_SQL["kept_state"], *self._key))

    async def view(self, message_id: int, blobs: BlobReader) -> PlainView:
        """A safe look at one. Raises as `BlobReader.open`, and `NotAllowed` for malware."""
        async with self._database.connection() as connection:
            row = await self._row(connection, message_id)
        if decode_verdict(row["verdict"]).judgement is Judgement.MALWARE:
            raise NotAllowed("only an administrator looks at malware")
        data = await blobs.read(self._account.organisation_id, row["blob_id"], limit=READ_OCTETS)
        return plain_view(data[:READ_OCTETS], load_structure(row["structure"]))

    async def release(self, message_id: int) -> None:
        """Let it go, for this mailbox alone."""
        await self._check(message_id, May.RELEASE)
        quarantine = Quarantine(self._database, actor=self._actor, homes=self._homes)
        organisation_id, mailbox_id = self._key
        try:
            await quarantine.release(organisation_id, message_id, mailbox_id=mailbox_id, by_owner=True)
        except QueueRefusal:
            if not await self.list([message_id]):  # somebody was faster
                raise NotKept from None
            raise

    async def ask(self, message_id: int, comment: str = "") -> bool:
        """Ask the administrators for its release; False where that was done before."""
        await self._check(message_id, May.ASK, May.RELEASE)
        return await self._say(message_id, "release", "quarantine.request", comment[:MAX_COMMENT])

    async def report_not_junk(self, message_id: int) -> bool:
        """Say that the guard is wrong about it; False where that was said before. It stays where it is."""
        await self._check(message_id, May.ASK, May.RELEASE)
        return await self._say(message_id, "not-junk", "quarantine.not-junk", "")

    async def _check(self, message_id: int, *allowed: May) -> None:
        found = await self.list([message_id])
        if not found:
            raise NotKept
        if found[0].may is May.NOTHING:
            raise NotAllowed("only an administrator releases malware")
        if found[0].may not in allowed:
            raise NotAllowed("your organisation does not let people release this: ask for it")

    async def _say(self, message_id: int, kind: str, action: str, comment: str) -> bool:
        async with self._database.transaction() as connection:
            # Whoever releases or gives it up at the same time holds the delivery's lock: then there is nobody to ask.
            locked = await connection.fetch(_SQL["lock_kept"], self._key[0], message_id, self._key[1])
            if not locked:
                raise NotKept
            said = await connection.fetchval(_SQL["say"], *self._key, message_id, kind, self._actor, comment)
            if said is None:
                return False
            detail = {"comment": comment} if comment else {}
            event = audit.Event(self._actor, action, f"message {encode_id(message_id)}", detail)
            await audit.record(connection, self._key[0], await self._database.ids.new(), event)
            if kind == "not-junk":
                await learn_report(connection, *self._key, message_id, Class.HAM)
        return True

    async def _row(self, connection: Connection, message_id: int) -> Any:
        row = await connection.fetchrow(_SQL["kept_for"], *self._key, [message_id], 1)
        if row is None:
            raise NotKept
        return row


def _kept(row: Any, self_release: frozenset[Judgement]) -> KeptFromMe:
    verdict = decode_verdict(row["verdict"])
    return KeptFromMe(
        row["message_id"], row["received_at"], decode_summary(row["summary"]).from_, row["subject"], row["size"],
        verdict, may(verdict.judgement, self_release), row["asked_at"], row["answer"], row["answer_reason"],
        row["not_junk_at"],
    )  # fmt: skip
