"""Counting by looking: where every message that failback answers for stands on the primary now."""

from __future__ import annotations

from collections.abc import Mapping

from everpost.continuity.failback.ledger import MailboxLedger
from everpost.continuity.failback.model import MAX_REMARKS, Figures, Item, ItemKind, ItemState, Subject
from everpost.continuity.failback.remote import RemoteMailbox

_FOLDER_KINDS = (ItemKind.FOLDER_CREATE, ItemKind.FOLDER_RENAME, ItemKind.FOLDER_DELETE)
_CHANGES = (ItemKind.FLAGS, ItemKind.MOVE, ItemKind.DELETE, *_FOLDER_KINDS)


async def count(ledger: MailboxLedger, remote: RemoteMailbox | None) -> Figures:
    """A mailbox's figures. Without `remote` nothing was looked at: they are what the primary's replies said.

    Raises what `imap` raises.
    """
    lines = [item for item, _ in await ledger.items()]
    figures = Figures(looked=remote is not None)
    subjects = await ledger.subjects([item.id for item in lines if item.kind not in _FOLDER_KINDS])
    for item in lines:
        _count_line(item, figures, subjects)
    if remote is not None:
        await _look(lines, figures, subjects, remote)
    return figures


async def missing_arrivals(ledger: MailboxLedger, remote: RemoteMailbox) -> list[Subject]:
    """Messages the primary took and that do not stand in the mailbox yet: servers deliver after their 250."""
    lines = [item for item, _ in await ledger.items()]
    taken = [item.id for item in lines if item.kind is ItemKind.INBOUND and item.state is ItemState.DONE]
    # One whose deletion was begun may be gone already.
    removed = {item.id for item in lines if item.kind is ItemKind.DELETE and item.state is not ItemState.PENDING}
    subjects = await ledger.subjects([identifier for identifier in taken if identifier not in removed])
    return [subject for subject in subjects.values() if not remote.delivered(subject)]


def _is_done(item: Item) -> bool:
    return item.state in (ItemState.DONE, ItemState.ALREADY)


def _count_line(item: Item, figures: Figures, subjects: Mapping[int, Subject]) -> None:
    if item.kind is ItemKind.INBOUND:
        figures.received += 1
        figures.replayed += item.state is ItemState.DONE
        figures.already += item.state is ItemState.ALREADY
    elif item.kind is ItemKind.APPEND:
        figures.appended += item.state is ItemState.DONE
        figures.already += item.state is ItemState.ALREADY
    elif item.kind in _CHANGES:
        figures.changes += _is_done(item)
    if item.state is ItemState.HELD:
        figures.held += 1
        remark(figures, f"held: {item.kind} of {_named(item.id, subjects)}: {item.evidence}")
    elif item.state is ItemState.MISSING:
        figures.missing += 1
        remark(figures, f"missing: {item.kind} of {_named(item.id, subjects)}: {item.evidence}")


async def _look(lines: list[Item], figures: Figures, subjects: Mapping[int, Subject], remote: RemoteMailbox) -> None:
    removed = {item.id for item in lines if item.kind is ItemKind.DELETE and _is_done(item)}
    inbound = [subjects[item.id] for item in lines if item.kind is ItemKind.INBOUND and item.id in subjects]
    await remote.learn_digests(copy for subject in inbound for copy in remote.delivered(subject)[:1])
    for item in lines:
        subject = subjects.get(item.id)
        if subject is None or not _is_done(item) or item.id in removed:
            continue
        if item.kind is ItemKind.INBOUND:
            copies = remote.delivered(subject)
        elif item.kind is ItemKind.APPEND:
            copies = await remote.same_content(subject)
        else:
            continue
        named = _named(item.id, subjects)
        if not copies:
            figures.lost += 1
            remark(figures, f"lost: {named} was taken by the primary and is not found there")
        elif len(copies) > 1:
            figures.duplicated += 1
            where = ", ".join(copy.folder for copy in copies)
            remark(figures, f"duplicated: {named} stands in {where}")
        if copies and item.kind is ItemKind.INBOUND and await remote.digest(copies[0]) != subject.content_digest:
            figures.altered += 1
            remark(figures, f"altered: {named} has other content in {copies[0].folder}")


def _named(identifier: int, subjects: Mapping[int, Subject]) -> str:
    subject = subjects.get(identifier)
    return f"<{subject.message_id}>" if subject is not None and subject.message_id else f"message {identifier}"


def remark(figures: Figures, text: str) -> None:
    """Add a line for the report, as long as there is room."""
    if len(figures.remarks) < MAX_REMARKS:
        figures.remarks.append(text[:500])
    elif len(figures.remarks) == MAX_REMARKS:
        figures.remarks.append("…and more")
