"""Carrying out what a plan says: in small audited transactions, each action for itself, so that one that fails does
not stop the rest and mail keeps flowing meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from everpost.directory import changes
from everpost.directory.actions import (
    Action,
    AddAddress,
    AdoptMailbox,
    ChangeAddress,
    CreateGroup,
    CreateMailbox,
    Current,
    CurrentGroup,
    CurrentMailbox,
    Member,
    MemberKind,
    RemoveAddress,
    RenameGroup,
    RenameMailbox,
    SetActive,
    SetAlternate,
    SetMembers,
    Wanted,
    describe,
)
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.changes import Change
from everpost.directory.plan import Plan, plan
from everpost.directory.records import DirectoryError
from everpost.mail.address import Address
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("directory")
BATCH = 50
"""Actions in one transaction: intake waits while one runs."""
FEW = 5
"""So many mailboxes may always be disabled by one run."""


class TooManyGone(DirectoryError):
    """The source lists so much less than before that it is more likely to be broken than right."""


@dataclass(slots=True)
class SyncReport:
    """What a run did, or with `dry_run` would do. `actions` and `problems` are sentences."""

    dry_run: bool
    actions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


async def synchronise(
    admin: DirectoryAdmin,
    database: Database,
    organisation_id: int,
    wanted: Wanted,
    *,
    dry_run: bool = False,
    max_disabled_share: float = 0.2,
) -> SyncReport:
    """Compare and, unless `dry_run`, apply.

    Raises `TooManyGone` before anything is changed where more than `max_disabled_share` of the source's active
    mailboxes (and more than `FEW`) would be disabled.
    """
    current = await read_current(database, organisation_id)
    todo = plan(current, wanted)
    _refuse_wipe(current, wanted, todo, max_disabled_share)
    report = SyncReport(dry_run, problems=list(todo.problems))
    if dry_run:
        _count(report, todo.actions)
        return report
    waiting = todo.actions
    for last in (False, True):  # what had to wait for something later in the list succeeds the second time
        failed: list[tuple[Action, str]] = []
        for start in range(0, len(waiting), BATCH):
            done = await _apply_batch(admin, organisation_id, wanted.source, waiting[start : start + BATCH], failed)
            _count(report, done)
        if last or not failed:
            report.problems += [f"{describe(action)}: {why}" for action, why in failed]
            break
        waiting = [action for action, _ in failed]
    return report


async def read_current(database: Database, organisation_id: int) -> Current:
    """The organisation's directory in one state."""
    async with database.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        domains = await connection.fetch(_SQL["domain_names"], organisation_id)
        mailboxes = await connection.fetch(_SQL["state_mailboxes"], organisation_id)
        groups = await connection.fetch(_SQL["state_groups"], organisation_id)
        members = await connection.fetch(_SQL["state_members"], organisation_id)
    by_group: dict[int, set[Member]] = {}
    for row in members:
        by_group.setdefault(row["group_id"], set()).add(
            _member(row["mailbox_key"], row["group_name"], row["outside_address"])
        )
    return Current(
        frozenset(row["name"] for row in domains),
        tuple(
            CurrentMailbox(
                row["id"],
                row["source"],
                row["external_id"],
                row["name"],
                row["kind"],
                row["status"] == "active",
                row["alternate"],
                row["default_keys"][0] if row["default_keys"] else "",
                _keys(row["keys"]),
            )
            for row in mailboxes
        ),
        tuple(
            CurrentGroup(
                row["id"],
                row["source"],
                row["external_id"],
                row["name"],
                _keys(row["keys"]),
                frozenset(by_group.get(row["id"], ())),
            )
            for row in groups
        ),
    )


def _keys(texts: list[str]) -> Mapping[str, str]:
    """Pairs of key and source, written with a space between: a source has none."""
    return {key: source for key, _, source in (text.rpartition(" ") for text in texts)}


def _member(mailbox_key: str | None, group_name: str | None, outside: str | None) -> Member:
    if mailbox_key is not None:
        return Member(MemberKind.MAILBOX, mailbox_key)
    if group_name is not None:
        return Member(MemberKind.GROUP, group_name)
    return Member(MemberKind.OUTSIDE, outside or "")


def _refuse_wipe(current: Current, wanted: Wanted, todo: Plan, share: float) -> None:
    active = sum(each.active and each.source == wanted.source for each in current.mailboxes)
    if todo.disabled > FEW and todo.disabled > active * share:
        raise TooManyGone(
            f"the source would disable {todo.disabled} of {active} mailboxes: is it complete? Nothing was changed."
            " If it is right, allow it with --max-disabled"
        )


def _count(report: SyncReport, actions: list[Action]) -> None:
    report.actions += [describe(action) for action in actions]
    for name, count in Counter(_kind(action) for action in actions).items():
        report.counts[name] = report.counts.get(name, 0) + count


def _kind(action: Action) -> str:
    match action:
        case CreateMailbox():
            return "created"
        case AdoptMailbox():
            return "taken_over"
        case RenameMailbox() | ChangeAddress():
            return "renamed"
        case SetActive(_, _, active):
            return "enabled" if active else "disabled"
        case AddAddress() | RemoveAddress():
            return "addresses"
        case SetAlternate():
            return "alternates"
        case CreateGroup() | RenameGroup() | SetMembers():
            return "groups"


async def _apply_batch(
    admin: DirectoryAdmin,
    organisation_id: int,
    source: str,
    actions: list[Action],
    failed: list[tuple[Action, str]],
) -> list[Action]:
    done = []
    async with admin.change(organisation_id) as change:
        for action in actions:
            try:
                async with change.connection.transaction():  # a savepoint: only this action is undone
                    with changes.refusals():
                        await _apply(change, source, action)
                done.append(action)
            except DirectoryError as error:
                failed.append((action, str(error)))
    return done


async def _apply(change: Change, source: str, action: Action) -> None:
    match action:
        case CreateMailbox(wanted):
            await _create_mailbox(change, source, action)
        case AdoptMailbox(mailbox_id, external_id, address):
            await change.execute("set_mailbox_source", mailbox_id, source, external_id)
            await change.audit("mailbox.taken-over", address, mailbox=mailbox_id, source=source)
        case RenameMailbox(mailbox_id, _, name):
            await changes.rename_mailbox(change, mailbox_id, changes.check_text(name, "name"))
        case ChangeAddress(mailbox_id, _, new):
            await changes.change_default(change, mailbox_id, new, source)
        case AddAddress(mailbox_id, None, address):
            await changes.insert_alias(change, address, mailbox_id=mailbox_id, source=source)
        case AddAddress(_, group, address):
            found = await _group_id(change, group or "")
            await changes.insert_alias(change, address, group_id=found, source=source)
        case RemoveAddress(key, mailbox_id, group_id):
            owner = await change.row("address_owner", key)
            if owner is not None and (owner["mailbox_id"], owner["group_id"]) == (mailbox_id, group_id):
                await changes.delete_alias(change, Address.parse(key))
        case SetAlternate(mailbox_id, _, alternate):
            await changes.set_alternate(change, mailbox_id, alternate)
        case SetActive(mailbox_id, _, active):
            await changes.set_status(change, mailbox_id, "active" if active else "disabled")
        case CreateGroup(wanted):
            name = changes.check_text(wanted.name, "name of a group")
            await changes.insert_group(change, name, None, source, wanted.external_id)
        case RenameGroup(group_id, _, new):
            await change.execute("rename_group", group_id, changes.check_text(new, "name of a group"))
            await change.audit("group.renamed", new, group=group_id)
        case SetMembers(group, add, remove):
            await _set_members(change, group, add, remove)


async def _create_mailbox(change: Change, source: str, action: CreateMailbox) -> None:
    wanted = action.wanted
    name = changes.check_text(wanted.name or wanted.address.local, "name")
    mailbox_id = await changes.insert_mailbox(
        change, wanted.address, name, wanted.kind, source, wanted.external_id, wanted.alternate
    )
    for alias in wanted.aliases:
        await changes.insert_alias(change, alias, mailbox_id=mailbox_id, source=source)
    if not wanted.enabled:
        await changes.set_status(change, mailbox_id, "disabled")


async def _set_members(change: Change, group: str, add: tuple[Member, ...], remove: tuple[Member, ...]) -> None:
    group_id = await _group_id(change, group)
    for statement, members in (("delete_member", remove), ("insert_member", add)):
        for member in members:
            which = await _member_ids(change, member)
            if which is not None and which[1] != group_id:
                await change.execute(statement, group_id, *which)
    names = {"added": [member.ref for member in add], "removed": [member.ref for member in remove]}
    await change.audit("group.members-changed", group, group=group_id, **names)


async def _group_id(change: Change, name: str) -> int:
    row = await change.row("group_by_name", name)
    if row is None:
        raise DirectoryError(f"there is no group {name}")
    return int(row["id"])


async def _member_ids(change: Change, member: Member) -> tuple[int | None, int | None, str | None] | None:
    """(mailbox, group, outside address); None for a mailbox or group that is not here (it has its own problem)."""
    if member.kind is MemberKind.OUTSIDE:
        return None, None, str(changes.check_address(member.ref))
    if member.kind is MemberKind.GROUP:
        return None, await _group_id(change, member.ref), None
    row = await change.row("address_owner", member.ref)
    if row is None or row["mailbox_id"] is None:
        return None
    return row["mailbox_id"], None, None
