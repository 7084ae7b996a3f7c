"""What the commands of continuity share: naming a scope, times, and the parts they work with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import click

from everpost.app.cli.context import Failure, Services
from everpost.continuity.activation import Continuity, Impossible
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.snapshot import RouteSnapshot
from everpost.directory.records import OrganisationRecord
from everpost.store.ids import decode_id

_SCOPES = (
    click.option("--all", "everything", is_flag=True, help="Everything of the organisation."),
    click.option("--primary", metavar="NAME", help="All mailboxes of a primary."),
    click.option("--domain", metavar="NAME", help="All mailboxes of a domain."),
    click.option("--group", metavar="NAME", help="The members of a group."),
    click.option("--mailbox", metavar="ADDRESS", help="One mailbox."),
)


def scope_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Exactly one of the options that say how far a switch reaches."""
    for option in reversed(_SCOPES):
        function = option(function)
    return function


async def find_scope(services: Services, org: str | None, given: dict[str, Any]) -> tuple[OrganisationRecord, Scope]:
    """The scope that `scope_options` named. Raises `Failure`, `DirectoryError`."""
    named = [name for name in ("everything", "primary", "domain", "group", "mailbox") if given.get(name)]
    if len(named) != 1:
        raise Failure("how far? give exactly one of --all, --primary, --domain, --group, --mailbox", 2)
    kind, value = named[0], given[named[0]]
    if kind == "mailbox":
        organisation, mailbox = await services.mailbox(value, org)
        return organisation, Scope(organisation.id, ScopeKind.MAILBOX, mailbox.id)
    organisation = await services.organisation(org)
    if kind == "everything":
        return organisation, Scope(organisation.id, ScopeKind.ORGANISATION, organisation.id)
    if kind == "primary":
        return organisation, Scope(
            organisation.id, ScopeKind.PRIMARY, (await services.admin.primary(organisation.id, value)).id
        )
    if kind == "group":
        return organisation, Scope(
            organisation.id, ScopeKind.GROUP, (await services.admin.group(organisation.id, value)).id
        )
    domains = {domain.name: domain.id for domain in await services.admin.domains(organisation.id)}
    if value.lower() not in domains:
        raise Failure(f"there is no domain {value}; there are: {', '.join(sorted(domains)) or 'none'}")
    return organisation, Scope(organisation.id, ScopeKind.DOMAIN, domains[value.lower()])


def continuity_of(services: Services) -> Continuity:
    """The switches. What is thrown here is acted upon by every worker that runs."""
    return Continuity(services.database, RouteSnapshot(services.database), portal_url=services.config.base_url)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What continuity refuses, as one line."""
    try:
        yield
    except (Impossible, LookupError) as error:
        raise Failure(str(error)) from error


def parse_time(text: str | None) -> datetime | None:
    """A date and time as ISO 8601, in the local zone where none is given. Raises `Failure`."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise Failure(f"{text!r} is no time: write it like 2025-03-01T22:00", 2) from None


def parse_id(text: str) -> int:
    """An identifier as it is shown. Raises `Failure`."""
    try:
        return decode_id(text)
    except ValueError as error:
        raise Failure(str(error), 2) from error
