"""`everpost policy`: the rules of an organisation about its mail."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option, shortened
from everpost.directory.resolve import Directory
from everpost.guard.policy.document import plain, read_policy
from everpost.guard.policy.evaluate import BadPolicy, RuleBook
from everpost.guard.policy.model import PolicyDocument
from everpost.guard.policy.store import (
    Outdated,
    PolicyVersion,
    list_versions,
    read_current,
    read_groups,
    read_version,
    save_policy,
)
from everpost.intake.rehearsal import Rehearsal, Trial
from everpost.store.blobs import BlobReader
from everpost.store.ids import encode_id


@click.group()
def command() -> None:
    """The policy: rules about mail, with conditions and actions, kept by version (docs/guard-policy.md)."""


@command.command("show")
@click.option("--version", type=click.IntRange(1), help="An earlier one. Default: the one in force.")
@org_option
@command_options
async def show(cli: Cli, version: int | None, org: str | None) -> None:
    """Print the policy as JSON, which `apply` reads again."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        async with services.database.connection() as connection:
            found = (
                await read_version(connection, organisation.id, version)
                if version
                else await read_current(connection, organisation.id)
            )
        if found is None:
            raise Failure(f"there is no version {version}: `everpost policy history` lists them")
        cli.output(_shown(found), msgspec.json.format(msgspec.json.encode(found.document), indent=2).decode())


def _shown(found: PolicyVersion) -> dict[str, object]:
    return {
        "version": found.version, "actor": found.actor, "reason": found.reason, "at": found.at,
        "policy": plain(found.document),
    }  # fmt: skip


@command.command("apply")
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False))
@click.option("--reason", default="", help="Stands in the history and the audit.")
@click.option("--expect", type=click.IntRange(0), help="Refuse unless this version is in force now.")
@org_option
@command_options
async def apply(cli: Cli, file: str, reason: str, expect: int | None, org: str | None) -> None:
    """Put the rules of FILE (TOML or JSON; - reads standard input) in force, in place of all there are."""
    document = _read(file)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        try:
            version = await save_policy(
                services.database, organisation.id, document, cli.actor, reason, expected=expect
            )
        except (BadPolicy, Outdated) as error:
            raise Failure(str(error)) from error
        text = f"version {version} of {organisation.name}'s policy is in force: {len(document.rule)} rules"
        cli.output({"version": version, "rules": len(document.rule)}, text)


@command.command("history")
@org_option
@command_options
async def history(cli: Cli, org: str | None) -> None:
    """List the versions, the latest first, with who changed what and why."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        async with services.database.connection() as connection:
            cli.output(await list_versions(connection, organisation.id))


@command.command("try")
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False), required=False)
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 3650), help="How far back to go.")
@click.option("--limit", default=50_000, show_default=True, type=click.IntRange(1), help="Messages at most.")
@org_option
@command_options
async def try_it(cli: Cli, file: str | None, days: int, limit: int, org: str | None) -> None:
    """Try the rules of FILE, or those in force, on past mail: what they would have hit. Nothing is changed."""
    given = _read(file) if file else None
    async with cli.services() as services:
        organisation = await services.organisation(org)
        book = await _book(services, organisation.id, given)
        rehearsal = Rehearsal(
            services.database, Directory(services.database), BlobReader(services.database, services.keys)
        )
        since = datetime.now(UTC) - timedelta(days=days)
        trial = await rehearsal.run(organisation.id, book, since, limit)
        cli.output(_as_json(trial), _as_text(trial, days))


async def _book(services: Services, organisation_id: int, given: PolicyDocument | None) -> RuleBook:
    async with services.database.connection() as connection:
        document = given or (await read_current(connection, organisation_id)).document
        try:
            return RuleBook(document, await read_groups(connection, organisation_id))
        except BadPolicy as error:
            raise Failure(str(error)) from error


def _read(file: str) -> PolicyDocument:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return read_policy(data)
    except (OSError, BadPolicy) as error:
        raise Failure(f"{file}: {error}") from error


def _as_json(trial: Trial) -> dict[str, object]:
    return {
        "messages": trial.messages,
        "unreadable": trial.unreadable,
        "rules": [
            {
                "id": rule.rule_id, "name": rule.name, "hits": rule.hits,
                "examples": [
                    {"id": encode_id(each.message_id), "at": each.received_at, "from": each.sender,
                     "subject": each.subject}
                    for each in rule.examples
                ],
            }
            for rule in trial.rules.values()
        ],
    }  # fmt: skip


def _as_text(trial: Trial, days: int) -> str:
    lines = [f"{trial.messages:,} messages of the last {days} days"]
    if trial.unreadable:
        lines.append(f"{trial.unreadable:,} could not be read")
    for rule in sorted(trial.rules.values(), key=lambda each: -each.hits):
        lines.append(f"{rule.name or rule.rule_id}: would have hit {rule.hits:,} of {trial.messages:,}")
        lines += [
            f"  {encode_id(each.message_id)}  {each.received_at:%Y-%m-%d %H:%M}  {shortened(each.sender, 40)}"
            f"  {shortened(each.subject, 60)}"
            for each in rule.examples[:5]
        ]
    if not trial.rules:
        lines.append("no rule would have hit any of them")
    return "\n".join(lines)
