"""`everpost domain dkim`: the keys that sign what a domain sends."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from everpost.app.cli.context import Cli, command_options, org_option
from everpost.auth.dkim_key import Algorithm
from everpost.directory.dkim import DkimKeyRecord, DkimKeys

_ALGORITHMS = {"rsa": Algorithm.RSA_SHA256, "ed25519": Algorithm.ED25519_SHA256}


@click.group("dkim")
def dkim() -> None:
    """The keys that sign what a domain sends (DKIM).

    To begin, or to replace a key: create one, publish its record, activate it. Old records stay in the DNS for a week.
    """


@dkim.command("create")
@click.argument("domain")
@click.argument("selector", required=False)
@click.option(
    "--algorithm", type=click.Choice(list(_ALGORITHMS)), default="rsa", show_default=True, help="How it signs."
)
@org_option
@command_options
async def create(cli: Cli, domain: str, selector: str | None, algorithm: str, org: str | None) -> None:
    """Make a key of DOMAIN under SELECTOR (made of the date where none is given), and show the record to publish."""
    chosen = selector or f"ep{datetime.now(UTC):%Y%m%d}{algorithm[0]}"
    async with cli.services() as services:
        organisation = await services.organisation_of(f"x@{domain}", org)
        keys = DkimKeys(services.database, services.keys, actor=cli.actor)
        made = await keys.create(organisation.id, domain, chosen, _ALGORITHMS[algorithm])
        text = (
            f"{made.record_name}. IN TXT {_quoted(made.record)}\n"
            f"it signs nothing yet: publish this record, then `everpost domain dkim activate {made.domain} {chosen}`"
        )
        cli.output(_row(made), text)


@dkim.command("list")
@click.argument("domain", required=False)
@org_option
@command_options
async def list_all(cli: Cli, domain: str | None, org: str | None) -> None:
    """List the keys of DOMAIN, or of all domains."""
    async with cli.services() as services:
        found = services.organisation_of(f"x@{domain}", org) if domain else services.organisation(org)
        organisation = await found
        records = await DkimKeys(services.database, services.keys, actor=cli.actor).list(organisation.id, domain)
        rows = [_row(each) for each in records]
        if not cli.json:
            rows = [{name: value for name, value in row.items() if name != "record"} for row in rows]
        cli.output(rows)


@dkim.command("activate")
@click.argument("domain")
@click.argument("selector")
@org_option
@command_options
async def activate(cli: Cli, domain: str, selector: str, org: str | None) -> None:
    """Sign with this key from now on, and no more with the one before it."""
    async with cli.services() as services:
        organisation = await services.organisation_of(f"x@{domain}", org)
        keys = DkimKeys(services.database, services.keys, actor=cli.actor)
        made = await keys.activate(organisation.id, domain, selector)
        cli.output(_row(made), f"{made.selector} signs what {made.domain} sends")


@dkim.command("retire")
@click.argument("domain")
@click.argument("selector")
@org_option
@command_options
async def retire(cli: Cli, domain: str, selector: str, org: str | None) -> None:
    """Sign no more with this key."""
    async with cli.services() as services:
        organisation = await services.organisation_of(f"x@{domain}", org)
        keys = DkimKeys(services.database, services.keys, actor=cli.actor)
        made = await keys.retire(organisation.id, domain, selector)
        cli.output(_row(made), f"{made.selector} signs no more; leave its record in the DNS for a week")


def _row(key: DkimKeyRecord) -> dict[str, object]:
    now = datetime.now(UTC)
    state = "new"
    if key.active_from is not None and key.active_from <= now:
        state = "retired" if key.retired_at is not None and key.retired_at <= now else "signs"
    return {
        "domain": key.domain, "selector": key.selector, "algorithm": key.algorithm.value, "state": state,
        "since": key.retired_at if state == "retired" else key.active_from or key.created_at,
        "name": key.record_name, "record": key.record,
    }  # fmt: skip


def _quoted(record: str) -> str:
    """As strings of at most 255 octets, as a zone file wants them (RFC 1035 §3.3.14)."""
    return " ".join(f'"{record[at : at + 255]}"' for at in range(0, len(record), 255))
