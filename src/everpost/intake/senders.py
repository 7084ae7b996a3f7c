"""People's own lists of senders: kept for them, and asked when the next message for them is judged."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from everpost.directory.model import MailboxTarget, Resolved
from everpost.guard.guard import Assessment, Guard
from everpost.guard.wishes import Wish, as_wished, sender_key, senders_of, wanted_instead, wish_about
from everpost.intake.submission import Submission, Wished
from everpost.standby.work import Work
from everpost.store import audit
from everpost.store.database import Connection, Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL, _STORE = load("quarantine"), load("store")
CHANNEL: Final = "everpost_senders"
"""Told of each change: organisation and mailbox."""
TYPE: Final = "SenderRule"
"""As the change log and JMAP call a rule."""
MAX_RULES: Final = 500
KEPT: Final = 50_000
"""Mailboxes whose rules a process remembers."""
_FRESH_S: Final = 300.0  # a change that was not heard of counts after so long

Mailbox = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SenderRule:
    """One sender, by address or domain (`guard.wishes.sender_key`), and what a person wants of it."""

    id: int
    sender: str
    wish: Wish


class TooManyRules(Exception):
    """A mailbox has at most `MAX_RULES`."""


async def rules_of(connection: Connection, organisation_id: int, mailbox_id: int) -> list[SenderRule]:
    """By sender."""
    rows = await connection.fetch(_SQL["sender_rules"], organisation_id, mailbox_id)
    return [SenderRule(row["id"], row["sender"], Wish(row["action"])) for row in rows]


async def save_rule(
    connection: Connection, organisation_id: int, mailbox_id: int, rule_id: int, sender: str, wish: Wish
) -> int:
    """Inside the caller's transaction, which holds the mailbox's lock. The later rule about a sender counts; returns
    its id. Raises `SenderError`, `TooManyRules`.
    """
    key = sender_key(sender)
    known = await rules_of(connection, organisation_id, mailbox_id)
    if len(known) >= MAX_RULES and all(each.sender != key for each in known):
        raise TooManyRules(f"at most {MAX_RULES} senders")
    saved: int = await connection.fetchval(
        _SQL["save_sender_rule"], organisation_id, mailbox_id, rule_id, key, wish
    )  # fmt: skip
    await _announce(connection, organisation_id, mailbox_id)
    return saved


async def put_rule(work: Work, new_ids: tuple[int, int], sender: str, wish: Wish, address: str) -> SenderRule:
    """As `save_rule`, told in the change log and the audit; `new_ids` are for the rule and the event, `address` is the
    mailbox's. Raises `SenderError`, `TooManyRules`.
    """
    account = work.account
    rule_id, event_id = new_ids
    key = sender_key(sender)
    saved = await save_rule(work.connection, account.organisation_id, account.mailbox_id, rule_id, key, wish)
    work.note(TYPE, encode_id(saved), "created" if saved == rule_id else "updated")
    detail = {"sender": key, "action": wish}
    event = audit.Event(work.actor, "quarantine.sender-rule", address, detail)
    await audit.record(work.connection, account.organisation_id, event_id, event)
    return SenderRule(saved, key, wish)


async def delete_rule(connection: Connection, organisation_id: int, mailbox_id: int, rule_id: int) -> bool:
    """False where there is none."""
    gone = await connection.fetchval(_SQL["delete_sender_rule"], organisation_id, mailbox_id, rule_id)
    await _announce(connection, organisation_id, mailbox_id)
    return gone is not None


async def _announce(connection: Connection, organisation_id: int, mailbox_id: int) -> None:
    await connection.execute(_STORE["notify"], CHANNEL, f"{organisation_id} {mailbox_id}")


class SenderLists:
    """Remembers the rules of the mailboxes that got mail lately. One per process; `heard` takes what `CHANNEL` says."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._kept: OrderedDict[Mailbox, tuple[float, Mapping[str, Wish]]] = OrderedDict()

    def heard(self, payload: str) -> None:
        """Somebody's rules have changed."""
        organisation, _, mailbox = payload.partition(" ")
        if organisation.isdigit() and mailbox.isdigit():
            self._kept.pop((int(organisation), int(mailbox)), None)

    async def wished(self, guard: Guard, submission: Submission, assessment: Assessment) -> Wished | None:
        """Whose wishes change what becomes of a message. Raises what `store.database.UNAVAILABLE` lists."""
        wish = wanted_instead(assessment.verdict)
        if wish is None:
            return None
        rules = await self._rules(_mailboxes(submission))
        if not any(rules.values()):
            return None
        senders = senders_of(
            submission.scanned.header, submission.sender.reverse_path, assessment.authentication,
            inside=submission.source.is_from_inside,
        )  # fmt: skip
        mailboxes = frozenset(
            each
            for each, own in rules.items()
            if own and each[1] not in assessment.dispositions and wish_about(own, senders) is wish
        )  # where rules of the organisation decided for a reader, wishes do not count
        if not mailboxes:
            return None
        return Wished(mailboxes, guard.instead(assessment, as_wished(assessment.verdict, wish, senders)))

    async def _rules(self, mailboxes: Sequence[Mailbox]) -> dict[Mailbox, Mapping[str, Wish]]:
        now = self._clock()
        found: dict[Mailbox, Mapping[str, Wish]] = {}
        for mailbox in mailboxes:
            kept = self._kept.get(mailbox)
            if kept is not None and now - kept[0] < _FRESH_S:
                self._kept.move_to_end(mailbox)
                found[mailbox] = kept[1]
        missing = [mailbox for mailbox in mailboxes if mailbox not in found]
        if missing:
            read = await self._read(missing)
            found |= read
            for mailbox, rules in read.items():
                self._kept[mailbox] = (now, rules)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    async def _read(self, mailboxes: Iterable[Mailbox]) -> dict[Mailbox, Mapping[str, Wish]]:
        read: dict[Mailbox, dict[str, Wish]] = {mailbox: {} for mailbox in mailboxes}
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SQL["sender_rules_of"], [key[0] for key in read], [key[1] for key in read]
            )  # fmt: skip
        for row in rows:
            read[row["organisation_id"], row["mailbox_id"]][row["sender"]] = Wish(row["action"])
        return {mailbox: rules or _NONE for mailbox, rules in read.items()}


_NONE: Mapping[str, Wish] = {}


def _mailboxes(submission: Submission) -> list[Mailbox]:
    found = {
        (routed.resolution.organisation_id, target.place.mailbox_id)
        for routed in submission.recipients
        if isinstance(routed.resolution, Resolved)
        for target in routed.resolution.targets
        if isinstance(target, MailboxTarget)
    }
    return sorted(found)
