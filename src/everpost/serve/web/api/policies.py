"""The rules of an organisation about its mail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from everpost.directory.resolve import Directory
from everpost.guard.policy.document import check
from everpost.guard.policy.evaluate import BadPolicy, RuleBook
from everpost.guard.policy.model import PolicyDocument
from everpost.guard.policy.store import (
    Outdated,
    list_versions,
    read_current,
    read_groups,
    read_version,
    save_policy,
)
from everpost.intake.rehearsal import Rehearsal
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.values import Input, Nothing, OptionalReason, Output, nothing_there, refusal
from everpost.serve.web.problems import Problem
from everpost.store.blobs import BlobReader
from everpost.store.ids import encode_id

MOST_TRIED = 2000
"""Messages that one call tries rules on; the command line tries more."""

section = Section(
    "Policy",
    "Rules about mail: conditions and actions, evaluated top down after the guard has judged a message. The whole "
    "document is replaced at once and kept by version. docs/guard-policy.md says how conditions are written.",
)


class OfVersion(Input, frozen=True):
    """Which version; the one in force where none is named."""

    version: Annotated[int, msgspec.Meta(ge=1)] | None = None


class NewPolicy(Input, frozen=True):
    """All the rules, in their order. `expected`: refuse unless this version is in force now."""

    policy: PolicyDocument
    reason: OptionalReason = ""
    expected: Annotated[int, msgspec.Meta(ge=0)] | None = None


class TriedPolicy(Input, frozen=True):
    """Rules to be tried, or those in force; on at most 2,000 messages of the last days, the latest first."""

    policy: PolicyDocument | None = None
    days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 7


class PolicyShown(Output, frozen=True):
    """A policy. Version 0 is the empty one that everybody begins with."""

    version: int
    policy: PolicyDocument
    actor: str
    reason: str
    at: datetime | None


class PolicyLine(Output, frozen=True):
    """A change of the policy."""

    version: int
    actor: str
    reason: str
    at: datetime


class PolicyVersions(Output, frozen=True):
    """The latest first."""

    versions: list[PolicyLine]


class TrialExample(Output, frozen=True):
    """A message that a rule would have hit."""

    id: str
    at: datetime
    sender: str
    subject: str


class TrialLine(Output, frozen=True):
    """What a rule would have hit, with the latest examples."""

    id: str
    name: str
    hits: int
    examples: list[TrialExample]


class TrialShown(Output, frozen=True):
    """Of how many messages; `unreadable` could not be looked at. `complete`: there were no more in these days."""

    messages: int
    unreadable: int
    complete: bool
    rules: list[TrialLine]


@section.get("/policy")
async def get_policy(call: Call[OfVersion, Nothing]) -> PolicyShown:
    """The rules in force, or those of an earlier version."""
    async with call.services.database.connection() as connection:
        if call.query.version is None:
            found = await read_current(connection, call.organisation.id)
        else:
            earlier = await read_version(connection, call.organisation.id, call.query.version)
            if earlier is None:
                raise nothing_there("version of the policy")
            found = earlier
    return PolicyShown(
        version=found.version, policy=found.document, actor=found.actor, reason=found.reason, at=found.at
    )  # fmt: skip


@section.get("/policy/versions")
async def list_policy_versions(call: Call[Nothing, Nothing]) -> PolicyVersions:
    """Who changed the rules when, and why: the latest 200 changes."""
    async with call.services.database.connection() as connection:
        found = await list_versions(connection, call.organisation.id)
    return PolicyVersions(
        versions=[PolicyLine(version=v.version, actor=v.actor, reason=v.reason, at=v.at) for v in found]
    )


@section.post("/policy")
async def set_policy(call: Call[Nothing, NewPolicy]) -> PolicyShown:
    """Put rules in force, in place of all there are, from the next message on.

    409 `outdated` where another version than the expected one is in force; 422 `bad-policy` says which rule is wrong.
    """
    asked = call.body
    try:
        await save_policy(
            call.services.database, call.organisation.id, asked.policy, call.actor, asked.reason,
            expected=asked.expected,
        )  # fmt: skip
    except BadPolicy as error:
        raise _bad(error) from None
    except Outdated as error:
        raise refusal(409, "outdated", "Somebody else has changed the policy", str(error)) from None
    async with call.services.database.connection() as connection:
        found = await read_current(connection, call.organisation.id)
    return PolicyShown(
        version=found.version, policy=found.document, actor=found.actor, reason=found.reason, at=found.at
    )  # fmt: skip


@section.post("/policy/trial")
async def try_policy(call: Call[Nothing, TriedPolicy]) -> TrialShown:
    """Try rules on past mail: what they would have hit. Nothing is changed."""
    services, organisation_id = call.services, call.organisation.id
    book = await _book(call)
    rehearsal = Rehearsal(services.database, Directory(services.database), BlobReader(services.database, services.keys))
    since = datetime.now(UTC) - timedelta(days=call.body.days)
    trial = await rehearsal.run(organisation_id, book, since, MOST_TRIED)
    return TrialShown(
        messages=trial.messages,
        unreadable=trial.unreadable,
        complete=trial.messages + trial.unreadable < MOST_TRIED,
        rules=[
            TrialLine(
                id=rule.rule_id, name=rule.name, hits=rule.hits,
                examples=[
                    TrialExample(id=encode_id(e.message_id), at=e.received_at, sender=e.sender, subject=e.subject)
                    for e in rule.examples
                ],
            )
            for rule in trial.rules.values()
        ],
    )  # fmt: skip


async def _book(call: Call[Any, TriedPolicy]) -> RuleBook:
    """Raises `Problem`."""
    async with call.services.database.connection() as connection:
        document = call.body.policy or (await read_current(connection, call.organisation.id)).document
        groups = await read_groups(connection, call.organisation.id)
    try:
        check(document)
        return RuleBook(document, groups)
    except BadPolicy as error:
        raise _bad(error) from None


def _bad(error: BadPolicy) -> Problem:
    return refusal(422, "bad-policy", "The policy cannot be used", str(error))
