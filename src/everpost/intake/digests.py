"""Tells people by mail what is kept from them, and what became of what they asked for. A role: one process at a time.

A mail and the note that it was made are one transaction: for each mailbox and each time that a digest is due there is
one, and each message is told of once, whatever ends this process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from everpost.directory.model import Resolved
from everpost.directory.resolve import Directory
from everpost.guard.model import Judgement
from everpost.intake.accept import Intake, IntakeUnavailable
from everpost.intake.digest_mail import DigestFor, Item, plainly, render
from everpost.intake.digest_texts import texts_in
from everpost.intake.links import DigestLinks
from everpost.intake.own import own_submission, routed
from everpost.intake.quarantine_settings import QuarantineSettings, Schedule, released_of, settings_of
from everpost.intake.submission import Owner, Receipt
from everpost.mail.address import Address, AddressError
from everpost.mail.compose import build_message
from everpost.standby.summary import decode_summary
from everpost.standby.values import Account
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("quarantine")
AT_ONCE: Final = 200
MOST_TOLD: Final = 1000
"""Messages that one digest tells of; others wait for the next."""
REMEMBERED: Final = timedelta(days=90)
_AUTOMATIC: Final = {"Auto-Submitted": "auto-generated"}  # RFC 3834 §5
_NAME: Final = "Everpost"


class _DoneAlready(Exception):
    """Somebody was faster."""


class _NobodyThere(Exception):
    """The mailbox has no address that reaches it."""


class OwnMail:
    """Mail of ours to a mailbox of an organisation, from the null reverse-path, on record with why it was sent."""

    def __init__(self, database: Database, intake: Intake, directory: Directory, hostname: str) -> None:
        self._database = database
        self._intake = intake
        self._directory = directory
        self._hostname = hostname

    async def send(
        self, organisation_id: int, address: str | None, subject: str, text: str, html: str | None,
        record: Callable[[Connection], Awaitable[None]],
    ) -> None:  # fmt: skip
        """Raises `_NobodyThere`, `IntakeUnavailable`, and what `record` raises: then nothing was sent."""
        to = _parsed(address)
        resolution = await self._directory.resolve(to)
        if not isinstance(resolution, Resolved) or resolution.organisation_id != organisation_id:
            raise _NobodyThere
        content = build_message(
            sender=Address("everpost", self._hostname), sender_name=_NAME, recipients=(to,), subject=subject, text=text,
            html=html, message_id=f"{encode_id(await self._database.ids.new())}@{self._hostname}",
            date=datetime.now(UTC), headers=_AUTOMATIC,
        )  # fmt: skip

        async def put_on_record(connection: Connection, _receipt: Receipt, /) -> None:
            await record(connection)

        submission = own_submission(content, (routed(to, resolution),), Owner(organisation_id), self._hostname)
        await self._intake.accept(submission, put_on_record)


def _parsed(address: str | None) -> Address:
    try:
        return Address.parse(address or "")
    except AddressError:
        raise _NobodyThere from None


class DigestSender:
    """`run_once` sends what is due at `clock()`."""

    def __init__(
        self,
        database: Database,
        mail: OwnMail,
        links: DigestLinks,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._mail = mail
        self._links = links
        self._clock = clock

    async def run_once(self) -> int:
        """How many digests were sent. Raises what `store.database.UNAVAILABLE` lists."""
        now = self._clock()
        async with self._database.connection() as connection:
            plans = await connection.fetch(_SQL["digest_plans"], now)
        sent = 0
        for plan in plans:
            due_at = plan["digest_due_at"]
            if due_at is not None:
                try:
                    sent += await self._send_all(plan["id"], due_at)
                except IntakeUnavailable as error:
                    log.warning("digest.unavailable", organisation=plan["id"], error=str(error))
                    continue  # it stays due
            await self._plan(plan["id"], settings_of(plan), now, due_at)
        return sent

    async def forget_old(self) -> None:
        """Take away notes about what is not kept any more."""
        async with self._database.connection() as connection:
            await connection.execute(_SQL["forget_told"], self._clock() - REMEMBERED)

    async def _plan(
        self, organisation_id: int, settings: QuarantineSettings, now: datetime, before: datetime | None
    ) -> None:
        """Times that were missed are not made up for: the next digest tells of everything."""
        if settings.digest is Schedule.OFF:
            return
        async with self._database.connection() as connection:
            await connection.execute(_SQL["plan_digest"], organisation_id, settings.next_digest(now), before)

    async def _send_all(self, organisation_id: int, due_at: datetime) -> int:
        sent = 0
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(_SQL["to_be_told"], organisation_id, due_at, AT_ONCE)
            for row in rows:
                sent += await self.send(Account(organisation_id, row["mailbox_id"]), due_at)
            if len(rows) < AT_ONCE:
                return sent

    async def send(self, account: Account, due_at: datetime) -> bool:
        """One mailbox's digest; False where it had one for this time, or nobody could be told."""
        key = (account.organisation_id, account.mailbox_id)
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["untold_kept"], *key, MOST_TOLD)
            person = await connection.fetchrow(_SQL["digest_address"], *key)
        items = [_item(row) for row in rows]

        async def record(connection: Connection) -> None:
            if await connection.fetchval(_SQL["digest_made"], *key, due_at) is None:
                raise _DoneAlready
            await connection.execute(_SQL["told_of"], *key, [item.message_id for item in items], self._clock())

        try:
            if person is None:
                raise _NobodyThere  # noqa: TRY301 (as where its address reaches nobody)
            if not items:
                return False
            who = _person(account, person)
            subject, text, html = render(who, items, self._links, self._clock())
            await self._mail.send(account.organisation_id, who.address, subject, text, html, record)
        except _DoneAlready:
            return False
        except _NobodyThere:
            log.info("digest.nobody_there", organisation=account.organisation_id, mailbox=account.mailbox_id)
            async with self._database.connection() as connection:
                await connection.fetchval(_SQL["digest_made"], *key, due_at)
            return False
        return True


class AnswerSender:
    """Tells people what became of what they asked for: each answer once."""

    def __init__(self, database: Database, mail: OwnMail) -> None:
        self._database = database
        self._mail = mail

    async def run_once(self) -> int:
        """How many were told. Raises what `store.database.UNAVAILABLE` lists."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_SQL["untold"], AT_ONCE)
        return sum([await self._tell(row) for row in rows])

    async def _tell(self, row: Any) -> bool:
        key = (row["organisation_id"], row["mailbox_id"], row["message_id"])
        texts = texts_in(row["language"])
        summary = decode_summary(row["summary"])
        author = summary.from_[0].address if summary.from_ else texts.no_sender
        lines = [texts.answers[row["answer"]], "", plainly(row["subject"]) or texts.no_subject, plainly(author)]
        if row["answer_reason"]:
            lines += ["", texts.reason.format(reason=row["answer_reason"])]

        async def record(connection: Connection) -> None:
            if await connection.fetchval(_SQL["tell_answer"], *key) is None:
                raise _DoneAlready

        try:
            await self._mail.send(
                row["organisation_id"], row["address"], texts.answer_subject, "\n".join(lines) + "\n", None, record
            )  # fmt: skip
        except _DoneAlready:
            return False
        except _NobodyThere:
            async with self._database.connection() as connection:
                await connection.fetchval(_SQL["tell_answer"], *key)
            return False
        except IntakeUnavailable as error:
            log.warning("answer.unavailable", organisation=row["organisation_id"], error=str(error))
            return False
        return True


def _item(row: Any) -> Item:
    return Item(
        row["message_id"], row["received_at"], Judgement(row["judgement"]), row["subject"],
        decode_summary(row["summary"]),
    )  # fmt: skip


def _person(account: Account, row: Any) -> DigestFor:
    if row["address"] is None:
        raise _NobodyThere
    return DigestFor(
        account, row["address"], row["language"], row["time_zone"], released_of(row["self_release"])
    )  # fmt: skip
