"""Reports that senders have not been sent yet: which are due, grouped as they are told, and taken off the list."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from everpost.mail.address import Address
from everpost.mail.dsn import Action, RecipientStatus
from everpost.mail.envelope import Body, Recipient, Ret, Sender
from everpost.mail.reply import Reply
from everpost.queue.model import Report
from everpost.store.database import Connection
from everpost.store.sql import load

_SQL = load("queue")
MAX_STATUSES = 100
"""Recipients told of in one report; a message with more gets several. This bounds the size of a report."""
_MAX_REPLY = 300
_REPLY = re.compile(r"([245]\d\d)(?: ([245])\.(\d{1,3})\.(\d{1,3}))?(?: (.*))?\Z", re.DOTALL)
_ACTIONS = {
    Report.FAILED: Action.FAILED,
    Report.DELAYED: Action.DELAYED,
    Report.RELAYED: Action.RELAYED,
    Report.DELIVERED: Action.DELIVERED,
}


class NotDue(Exception):
    """Somebody else has sent the report, is sending it, or its recipients have met another fate meanwhile."""


@dataclass(frozen=True, slots=True)
class DueReport:
    """What the sender of one message is to be told of some of its recipients. `numbers` are their deliveries."""

    organisation_id: int
    message_id: int
    blob_id: int
    size: int
    sender: Sender
    received_at: datetime
    kind: Report
    statuses: tuple[RecipientStatus, ...]
    numbers: tuple[int, ...]


async def read_due(connection: Connection, after: tuple[int, int], messages: int) -> list[Any]:
    """The rows of the next messages after (organisation, message), in that order."""
    rows: list[Any] = await connection.fetch(_SQL["due_reports"], *after, messages)
    return rows


async def mark_reported(connection: Connection, report: DueReport) -> None:
    """Inside the transaction that sends the report. Raises `NotDue`: then it must not be sent."""
    numbers = list(report.numbers)
    marked = await connection.fetch(
        _SQL["reported"], report.organisation_id, report.message_id, numbers, report.kind.value
    )
    if len(marked) != len(numbers):
        raise NotDue(f"{len(numbers) - len(marked)} of {len(numbers)} deliveries")


def group(rows: Iterable[Any]) -> list[DueReport]:
    """One report for each message and kind. Pure.

    A recipient is named as the sender wrote it (RFC 3464 §2.3.2): nobody learns of a list's members, and a list
    is told of once.
    """
    by_report: dict[tuple[int, int, Report], list[Any]] = {}
    for row in rows:
        key = (row["organisation_id"], row["message_id"], Report(row["report_due"]))
        by_report.setdefault(key, []).append(row)
    reports: list[DueReport] = []
    for (_, _, kind), own in by_report.items():
        by_recipient: dict[str, list[Any]] = {}
        for row in own:
            by_recipient.setdefault(row["accepted_as"], []).append(row)
        recipients = list(by_recipient.values())
        for start in range(0, len(recipients), MAX_STATUSES):
            reports.append(_report(kind, recipients[start : start + MAX_STATUSES]))  # noqa: PERF401 (reads better)
    return reports


def _report(kind: Report, recipients: list[list[Any]]) -> DueReport:
    first = recipients[0][0]
    return DueReport(
        first["organisation_id"],
        first["message_id"],
        first["blob_id"],
        first["size"],
        _sender(first),
        first["received_at"],
        kind,
        tuple(_status(kind, rows[0]) for rows in recipients),
        tuple(row["number"] for rows in recipients for row in rows),
    )


def _sender(row: Any) -> Sender:
    reverse_path = Address.parse(row["reverse_path"]) if row["reverse_path"] else None
    ret = Ret(row["ret"]) if row["ret"] else None
    return Sender(reverse_path, row["size"], Body(row["body"]), row["smtputf8"], ret, row["envid"])


def _status(kind: Report, row: Any) -> RecipientStatus:
    recipient = Recipient(Address.parse(row["accepted_as"]), None, row["orcpt"])
    reply = read_reply(row["last_reply"] or "")
    remote = _remote(row["last_remote"] or "") if reply is not None else None
    retry_until = row["expires_at"] if kind is Report.DELAYED else None
    return RecipientStatus(recipient, _ACTIONS[kind], reply, remote, row["done_at"], retry_until)


def read_reply(text: str) -> Reply | None:
    """A reply from its text form (`str(reply)`); None where the text is a reason of our own. Cut to a fair length."""
    found = _REPLY.match(text)
    if found is None:
        return None
    code, enhanced_class, subject, detail, words = found.groups()
    fits = enhanced_class is not None and enhanced_class == code[0]
    return Reply(int(code), (words or "")[:_MAX_REPLY], (int(subject), int(detail)) if fits else None)


def _remote(peer: str) -> str | None:
    """The host of "address:port"; an address as the literal that stands for it (RFC 5321 §4.1.3)."""
    host = peer.rpartition(":")[0] or peer
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or None
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"
