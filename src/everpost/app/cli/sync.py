"""`everpost sync`: people and groups from a CSV file or an LDAP server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option, read_secret
from everpost.directory.csv_import import MAX_OCTETS, CsvPeople, read_csv
from everpost.directory.ldap_sync import LdapSource, read_ldap
from everpost.directory.records import DirectoryError
from everpost.directory.sharing import Sharing
from everpost.directory.sync import SyncReport, synchronise
from everpost.identity.login import IdentityError


@click.group()
def command() -> None:
    """Take people and groups over from elsewhere: adds, renames, disables; never deletes mail."""


def sync_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every synchronisation has."""
    function = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")(function)
    return click.option(
        "--max-disabled", default=20, show_default=True, type=click.IntRange(0, 100), metavar="PERCENT",
        help="Refuse to disable more than this share of the source's mailboxes.",
    )(function)  # fmt: skip


def csv_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of a CSV import."""
    function = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))(function)
    function = click.option(
        "--sync", is_flag=True, help="Disable those that an earlier file listed and this does not."
    )(function)
    return sync_options(function)


@command.command("csv")
@csv_options
@org_option
@command_options
async def from_csv(cli: Cli, file: Path, sync: bool, dry_run: bool, max_disabled: int, org: str | None) -> None:
    """Create and rename mailboxes as FILE says.

    Its first line names the columns: address, name, kind, aliases, groups, alternate, password, delegates; only
    address is needed. Aliases, groups and delegates are separated by semicolons; a delegate is an address, which may
    write, or an address and a right: ann@example.org=read (or write, send). Rights are given, never taken away.
    """
    await run_csv(cli, file, org, complete=sync, dry_run=dry_run, max_disabled=max_disabled)


async def run_csv(cli: Cli, file: Path, org: str | None, *, complete: bool, dry_run: bool, max_disabled: int) -> None:
    """Read, compare, apply, set the passwords given."""
    with file.open("rb") as opened:
        people = read_csv(opened.read(MAX_OCTETS + 1))
    async with cli.services() as services:
        organisation = await services.organisation(org)
        report = await synchronise(
            services.admin, services.database, organisation.id, people.wanted(complete=complete),
            dry_run=dry_run, max_disabled_share=max_disabled / 100,
        )  # fmt: skip
        if not dry_run:
            for key, password in people.passwords.items():
                found = await services.admin.target(organisation.id, key)
                try:
                    if found is not None:
                        await services.identity.set_password(organisation.id, found.id, password)
                except IdentityError as error:
                    report.problems.append(f"{key}: {error}")
            await _share(cli, services, organisation.id, people, report)
        show_report(cli, report)


async def _share(cli: Cli, services: Services, organisation_id: int, people: CsvPeople, report: SyncReport) -> None:
    """Give the delegates that the file names their rights, once everybody is there."""
    sharing = Sharing(services.database, actor=cli.actor)
    for key, delegates in people.delegates.items():
        try:
            known = {each.address: each.rights for each in await sharing.delegates(organisation_id, key)}
            for address, rights in delegates:
                delegate = await services.admin.mailbox(address, organisation_id)
                if known.get(delegate.address) is not rights:
                    await sharing.share(organisation_id, key, address, rights)
                    report.actions.append(f"let {delegate.address} {rights} in {key}")
        except DirectoryError as error:
            report.problems.append(f"{key}: {error}")


@command.command("ldap")
@click.argument("uri")
@click.option("--base", required=True, metavar="DN", help="Where people (and groups) are.")
@click.option(
    "--type",
    "flavour",
    type=click.Choice(["openldap", "ad"]),
    default="openldap",
    show_default=True,
    help="What kind of directory server it is.",
)
@click.option("--bind-dn", default="", metavar="DN", help="Login at the server. Default: anonymous.")
@click.option("--password-file", metavar="FILE", help="The login's password, in the file's first line.")
@click.option("--group-base", default="", metavar="DN", help="Where groups are, if not under the base.")
@click.option("--people-filter", default="", help="LDAP filter for people.")
@click.option("--group-filter", default="", help="LDAP filter for groups.")
@click.option("--start-tls", is_flag=True, help="Encrypt an ldap:// connection.")
@click.option("--ca-file", default="", help="Authorities of the server's certificate, in PEM.")
@click.option("--no-verify", is_flag=True, help="Do not look at the server's certificate.")
@sync_options
@org_option
@command_options
async def from_ldap(
    cli: Cli, uri: str, base: str, flavour: Literal["openldap", "ad"], bind_dn: str, password_file: str | None,
    group_base: str, people_filter: str, group_filter: str, start_tls: bool, ca_file: str, no_verify: bool,
    dry_run: bool, max_disabled: int, org: str | None,
) -> None:  # fmt: skip
    """Follow the directory server at URI (ldap://… or ldaps://…)."""
    if not uri.startswith(("ldap://", "ldaps://")):
        raise Failure(f"{uri!r} must begin with ldap:// or ldaps://")
    password = read_secret(password_file, f"Password of {bind_dn}") if bind_dn else ""
    source = LdapSource(
        uri, base, flavour, bind_dn, password, group_base, people_filter, group_filter, start_tls, ca_file,
        not no_verify,
    )  # fmt: skip
    async with cli.services() as services:
        organisation = await services.organisation(org)
        report = await synchronise(
            services.admin, services.database, organisation.id, await read_ldap(source),
            dry_run=dry_run, max_disabled_share=max_disabled / 100,
        )  # fmt: skip
        show_report(cli, report)


def show_report(cli: Cli, report: SyncReport) -> None:
    """What was done; problems make the exit status 1."""
    lines = [("would " if report.dry_run else "") + action for action in report.actions]
    lines += [f"problem: {problem}" for problem in report.problems]
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(report.counts.items()))
    lines.append(counts or "nothing to do")
    cli.output(report, "\n".join(lines))
    if report.problems:
        raise SystemExit(1)
