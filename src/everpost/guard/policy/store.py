"""The policies of organisations in the database: versions, and the rules in force made ready once per process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import structlog

from everpost.directory import changes
from everpost.guard.policy.document import check
from everpost.guard.policy.evaluate import BadPolicy, RuleBook
from everpost.guard.policy.model import EMPTY, PolicyDocument
from everpost.store.database import Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("policy")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(PolicyDocument).decode
MAX_REASON = 500


class Outdated(Exception):
    """Somebody else has changed the rules meanwhile; the message has the numbers."""


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A policy as it stands from a change on. Version 0 is the empty one that everybody begins with."""

    version: int = 0
    document: PolicyDocument = EMPTY
    actor: str = ""
    reason: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A version without its rules, for a list."""

    version: int
    actor: str
    reason: str
    at: datetime


async def read_current(connection: Connection, organisation_id: int) -> PolicyVersion:
    """The version in force."""
    row = await connection.fetchrow(_SQL["current"], organisation_id)
    return _version(row) if row is not None else PolicyVersion()


async def read_version(connection: Connection, organisation_id: int, version: int) -> PolicyVersion | None:
    """An earlier one."""
    row = await connection.fetchrow(_SQL["version"], organisation_id, version)
    return _version(row) if row is not None else None


async def list_versions(connection: Connection, organisation_id: int) -> list[PolicyChange]:
    """The latest 200, the newest first."""
    return [PolicyChange(**dict(row)) for row in await connection.fetch(_SQL["versions"], organisation_id)]


async def read_groups(connection: Connection, organisation_id: int) -> dict[str, int]:
    """The groups that rules may name, by name in lower case."""
    return {row["name"]: row["id"] for row in await connection.fetch(_SQL["groups"], organisation_id)}


async def save_policy(
    database: Database,
    organisation_id: int,
    document: PolicyDocument,
    actor: str,
    reason: str,
    *,
    expected: int | None = None,
) -> int:
    """Put a policy in force from the next message on; returns its version. The same rules again change nothing.

    Raises `BadPolicy`, and `Outdated` where the version in force is not the `expected` one.
    """
    if len(reason) > MAX_REASON:
        raise BadPolicy(f"a reason has at most {MAX_REASON} characters")
    check(document)
    async with changes.change(database, organisation_id, actor) as change:
        connection = change.connection
        await connection.fetchrow(_SQL["lock"], organisation_id)
        current = await read_current(connection, organisation_id)
        if expected is not None and expected != current.version:
            raise Outdated(f"version {current.version} is in force, not {expected}: look at it first")
        RuleBook(document, await read_groups(connection, organisation_id))
        if document == current.document:
            return current.version
        version = current.version + 1
        await connection.execute(
            _SQL["insert"], organisation_id, version, _encode(document), actor, reason, datetime.now(UTC)
        )
        await change.audit("policy.changed", f"policy {version}", rules=len(document.rule), reason=reason)
    return version


class Policies:
    """The rules in force, by organisation, kept until `forget` is called: when the directory has changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._books: dict[int, RuleBook] = {}
        self._epoch = 0

    def forget(self) -> None:
        self._epoch += 1
        self._books.clear()

    async def of(self, organisation_id: int) -> RuleBook:
        """Raises what `store.database.UNAVAILABLE` lists."""
        known = self._books.get(organisation_id)
        if known is not None:
            return known
        epoch = self._epoch
        async with self._database.connection() as connection:
            current = await read_current(connection, organisation_id)
            groups = await read_groups(connection, organisation_id)
        book = _book(current, groups)
        if epoch == self._epoch:
            self._books[organisation_id] = book
        return book


def _book(current: PolicyVersion, groups: dict[str, int]) -> RuleBook:
    """A group that rules name may have been deleted since: those rules are left out, the others stay in force."""
    rules = tuple(rule for rule in current.document.rule if _is_good(PolicyDocument((rule,)), groups))
    if len(rules) != len(current.document.rule):
        log.warning("policy.rules_left_out", version=current.version, rules=len(current.document.rule) - len(rules))
    return RuleBook(PolicyDocument(rules), groups, current.version)


def _is_good(document: PolicyDocument, groups: dict[str, int]) -> bool:
    try:
        RuleBook(document, groups)
    except BadPolicy:
        return False
    return True


def _version(row: object) -> PolicyVersion:
    return PolicyVersion(
        row["version"], _decode(row["document"]), row["actor"], row["reason"], row["at"]  # type: ignore[index]
    )  # fmt: skip
