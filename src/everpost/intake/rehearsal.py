"""Rules tried on past mail: what they would have done, without doing it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from everpost.crypto.sealed_blob import DamagedBlob
from everpost.directory.resolve import Directory
from everpost.guard.case import Case, Reader
from everpost.guard.contents import read_contents
from everpost.guard.model import Disposition, Judgement, Verdict, Way, decode_verdict
from everpost.guard.policy.evaluate import Decision, RuleBook
from everpost.guard.policy.facts import Facts
from everpost.mail.address import Address
from everpost.mail.header import parse_header
from everpost.store.blobs import BlobReader, NoSuchBlob
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("policy")
_BATCH = 200
_SHOWN = 20
_CLIENT = re.compile(r"\[([^\]]{2,60})\]")
_UNSEEN = Verdict(Judgement.CLEAN, Disposition.ACCEPT, 0.0, ())
"""Of mail that the guard has not looked at."""


@dataclass(frozen=True, slots=True)
class Example:
    """A message that a rule was true of."""

    message_id: int
    received_at: datetime
    sender: str
    subject: str


@dataclass(slots=True)
class RuleTrial:
    """How often a rule was true, with the latest examples."""

    rule_id: str
    name: str
    hits: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class Trial:
    """Of how many messages it was tried on, and those that could not be read."""

    messages: int = 0
    unreadable: int = 0
    rules: dict[str, RuleTrial] = field(default_factory=dict)


class Rehearsal:
    """Reads an organisation's past mail, the latest first."""

    def __init__(self, database: Database, directory: Directory, blobs: BlobReader) -> None:
        self._database = database
        self._directory = directory
        self._blobs = blobs
        self._readers: dict[int, Reader] = {}

    async def run(
        self,
        organisation_id: int,
        book: RuleBook,
        since: datetime,
        limit: int,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> Trial:
        """Try rules on at most `limit` messages accepted since then. Raises what `store.database.UNAVAILABLE` lists."""
        trial = Trial()
        own = await self._directory.domains_of(organisation_id)
        async for rows in self._batches(organisation_id, since, limit):
            for row in rows:
                try:
                    content = await self._blobs.read(organisation_id, row["blob_id"])
                except (NoSuchBlob, DamagedBlob):
                    trial.unreadable += 1
                    continue
                readers = [await self._reader(organisation_id, *each) for each in _recipients(row)]
                decision = await asyncio.to_thread(_decide, row, content, readers, own, organisation_id, book)
                _note(trial, row, decision)
            progress(trial.messages)
        return trial

    async def _batches(self, organisation_id: int, since: datetime, limit: int) -> AsyncIterator[Sequence[Any]]:
        before, left = 2**62, limit
        while left > 0:
            async with self._database.connection() as connection:
                rows = await _past(connection, organisation_id, since, before, min(left, _BATCH))
            if not rows:
                return
            yield rows
            before, left = rows[-1]["id"], left - len(rows)

    async def _reader(self, organisation_id: int, mailbox_id: int | None, addresses: frozenset[str]) -> Reader:
        """With the groups of today."""
        if mailbox_id is None:
            return Reader(None, None, addresses)
        known = self._readers.get(mailbox_id)
        if known is None:
            try:
                groups = (await self._directory.place(organisation_id, mailbox_id)).group_ids
            except LookupError:
                groups = frozenset()
            known = self._readers[mailbox_id] = Reader(organisation_id, mailbox_id, frozenset(), groups)
        return Reader(organisation_id, mailbox_id, addresses, known.group_ids)


async def _past(
    connection: Connection, organisation_id: int, since: datetime, before: int, limit: int
) -> Sequence[Any]:
    rows: Sequence[Any] = await connection.fetch(_SQL["past_messages"], organisation_id, since, before, limit)
    return rows


def _recipients(row: Any) -> list[tuple[int | None, frozenset[str]]]:
    found: dict[tuple[int | None, str], set[str]] = {}
    for recipient, accepted_as, mailbox_id in zip(row["recipients"], row["accepted"], row["mailboxes"], strict=True):
        key = (mailbox_id, "" if mailbox_id else recipient.lower())
        found.setdefault(key, set()).update((recipient.lower(), accepted_as.lower()))
    return [(mailbox_id, frozenset(addresses)) for (mailbox_id, _), addresses in found.items()]


def _decide(
    row: Any, content: bytes, readers: list[Reader], own: frozenset[str], organisation_id: int, book: RuleBook
) -> Decision:
    header = parse_header(content)
    client = _CLIENT.match(row["client"])
    way = Way.INBOUND if row["direction"] == "inbound" else Way.OUTBOUND
    case = Case(
        way, ip_address(client[1]) if client else None, "", None,
        Address.parse(row["reverse_path"]) if row["reverse_path"] else None, (), frozenset({organisation_id}), own,
        header, len(content), row["received_at"], lambda: (content,), readers=tuple(readers),
        tls=" with ESMTPS" in row["trace"],
    )  # fmt: skip
    case.contents = read_contents(content, header)
    verdict = decode_verdict(row["verdict"]) if row["verdict"] else _UNSEEN
    return book.decide(Facts(case, verdict), readers)


def _note(trial: Trial, row: Any, decision: Decision) -> None:
    trial.messages += 1
    for hit in decision.hits:
        rule = trial.rules.setdefault(hit.rule_id, RuleTrial(hit.rule_id, hit.name))
        rule.hits += 1
        if len(rule.examples) < _SHOWN:
            rule.examples.append(Example(row["id"], row["received_at"], row["reverse_path"] or "<>", row["subject"]))
