"""What a person sets besides their mail: identities and the vacation response (RFC 8621 §6, §8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from everpost.standby.changes import MAX_ROWS, CannotCalculate
from everpost.standby.values import Account
from everpost.standby.work import Work
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("standby")
MAX_IDENTITIES = 100
MAX_SIGNATURE = 65_536
"""Letters of one signature or vacation text."""


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """What was set for an address of the mailbox, or an identity made besides."""

    id: str
    email: str
    name: str
    reply_to: list[dict[str, Any]] | None
    bcc: list[dict[str, Any]] | None
    text_signature: str
    html_signature: str


@dataclass(frozen=True, slots=True)
class Vacation:
    """The one vacation response of a mailbox."""

    enabled: bool = False
    from_date: datetime | None = None
    to_date: datetime | None = None
    subject: str | None = None
    text_body: str | None = None
    html_body: str | None = None

    def answers_at(self, when: datetime) -> bool:
        """Whether mail that comes then is to be answered."""
        begun = self.from_date is None or self.from_date <= when
        return self.enabled and begun and (self.to_date is None or when < self.to_date)


async def stored_identities(connection: Connection, account: Account) -> dict[str, StoredIdentity]:
    """By their ids."""
    rows = await connection.fetch(_SQL["identities"], account.organisation_id, account.mailbox_id)
    return {row["id"]: StoredIdentity(*row.values()) for row in rows}


async def save_identity(work: Work, identity: StoredIdentity, how: str) -> None:
    """`how`: created or updated, for /changes."""
    await work.connection.execute(
        _SQL["save_identity"], work.account.organisation_id, work.account.mailbox_id, identity.id, identity.email,
        identity.name, identity.reply_to, identity.bcc, identity.text_signature, identity.html_signature,
    )  # fmt: skip
    work.note("Identity", identity.id, how)


async def delete_identity(work: Work, identity_id: str) -> None:
    """One that was made besides those of the addresses."""
    await work.connection.execute(
        _SQL["delete_identity"], work.account.organisation_id, work.account.mailbox_id, identity_id
    )
    work.note("Identity", identity_id, "destroyed")


async def vacation_of(connection: Connection, account: Account) -> Vacation:
    """As it is set; switched off where it never was."""
    row = await connection.fetchrow(_SQL["vacation"], account.organisation_id, account.mailbox_id)
    return Vacation(*row.values()) if row else Vacation()


async def save_vacation(work: Work, vacation: Vacation) -> None:
    """Replaces what was set."""
    await work.connection.execute(
        _SQL["save_vacation"], work.account.organisation_id, work.account.mailbox_id, vacation.enabled,
        vacation.from_date, vacation.to_date, vacation.subject, vacation.text_body, vacation.html_body, work.modseq,
    )  # fmt: skip
    if not vacation.enabled:  # switched on again, it answers everybody once more
        await work.connection.execute(_SQL["forget_told"], work.account.organisation_id, work.account.mailbox_id)
    work.note("VacationResponse", "singleton", "updated")


@dataclass(frozen=True, slots=True)
class Noted:
    """Settings that came, changed and went between two states, by their ids."""

    old: int
    new: int
    more: bool
    created: list[str]
    updated: list[str]
    destroyed: list[str]


async def noted_since(
    connection: Connection, account: Account, what: str, since: int, current: int, max_ids: int
) -> Noted:  # fmt: skip
    """Raises `CannotCalculate` for a state the mailbox never had, or too long ago."""
    if not 0 <= since <= current:
        raise CannotCalculate
    rows = await connection.fetch(
        _SQL["noted_since"], account.organisation_id, account.mailbox_id, since, current, what, MAX_ROWS + 1
    )
    if len(rows) > MAX_ROWS:
        raise CannotCalculate
    return summarise_notes([(row["modseq"], row["id"], row["how"]) for row in rows], since, current, max_ids)


def summarise_notes(rows: Iterable[tuple[int, str, str]], old: int, current: int, max_ids: int) -> Noted:
    """The net effect of (modseq, id, created | updated | destroyed) in order (RFC 8620 §5.2)."""
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    reached, more = old, False
    for modseq, text, how in rows:
        if text not in first and len(first) >= max_ids:
            more = True
            break
        first.setdefault(text, how)
        last[text] = how
        reached = modseq
    return Noted(
        old, reached if more else current, more,
        [text for text in first if first[text] == "created" and last[text] != "destroyed"],
        [text for text in first if first[text] != "created" and last[text] != "destroyed"],
        [text for text in first if first[text] != "created" and last[text] == "destroyed"],
    )  # fmt: skip
