"""`everpost contact`: where alerts go, by ways that do not depend on the primary."""

from __future__ import annotations

from urllib.parse import urlsplit

import asyncpg
import click

from everpost.app.cli.context import Cli, Failure, command_options, org_option
from everpost.directory.changes import check_address
from everpost.store.audit import Event, record
from everpost.store.sql import load

_SQL = load("continuity")


@click.group()
def command() -> None:
    """Contacts: mail addresses elsewhere and webhooks that hear of outages."""


@command.command("add")
@click.argument("target")
@org_option
@command_options
async def add(cli: Cli, target: str, org: str | None) -> None:
    """Send alerts to TARGET: a mail address outside the protected domains, or an http(s) address."""
    kind = _kind(target)
    async with cli.services() as services:
        organisation = await services.organisation(org)
        if kind == "mail":
            domains = {domain.name for domain in await services.admin.domains(organisation.id)}
            if check_address(target).key.rpartition("@")[2] in domains:
                raise Failure(f"{target} is in a protected domain: alerts need a way that works when it does not")
        contact_id, event_id = await services.database.ids.new(), await services.database.ids.new()
        try:
            async with services.database.transaction() as connection:
                await connection.execute(_SQL["insert_contact"], organisation.id, contact_id, kind, target)
                event = Event(cli.actor, "contact.added", target, {"contact": contact_id, "kind": kind})
                await record(connection, organisation.id, event_id, event)
        except asyncpg.UniqueViolationError as error:
            raise Failure(f"{target} is a contact already") from error
        cli.output({"id": contact_id, "kind": kind, "target": target}, f"alerts go to {target}")


@command.command("list")
@org_option
@command_options
async def list_all(cli: Cli, org: str | None) -> None:
    """List where alerts go."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        async with services.database.connection() as connection:
            rows = await connection.fetch(_SQL["contacts"], organisation.id)
        cli.output([dict(row) for row in rows])


@command.command("remove")
@click.argument("target")
@org_option
@command_options
async def remove(cli: Cli, target: str, org: str | None) -> None:
    """Send no more alerts to TARGET."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        event_id = await services.database.ids.new()
        async with services.database.transaction() as connection:
            contact_id = await connection.fetchval(_SQL["delete_contact"], organisation.id, target)
            if contact_id is None:
                raise Failure(f"{target} is no contact: see `everpost contact list`")
            event = Event(cli.actor, "contact.removed", target, {"contact": contact_id})
            await record(connection, organisation.id, event_id, event)
        cli.output({"removed": target}, f"alerts go no more to {target}")


def _kind(target: str) -> str:
    """Raises `DirectoryError` or `Failure` for what is neither."""
    if "://" not in target:
        check_address(target)
        return "mail"
    try:
        parts = urlsplit(target)
        usable = parts.scheme in ("http", "https") and parts.hostname and target.isprintable() and " " not in target
    except ValueError:
        usable = False
    if not usable or len(target) > 2000:
        raise Failure(f"{target[:100]!r} is no http(s) address")
    return "webhook"
