"""`everpost probe`: does a primary answer?"""

from __future__ import annotations

import click

from everpost.app.cli.context import Cli, Failure, command_options, org_option
from everpost.continuity.probe import probe
from everpost.directory.primary import load_primaries


@click.command()
@click.argument("primary", required=False)
@click.option("--round-trip", is_flag=True, help="Send a message to the probe address and look for it over IMAP.")
@org_option
@command_options
async def command(cli: Cli, primary: str | None, round_trip: bool, org: str | None) -> None:
    """Probe PRIMARY (or all) once, as the prober does. Fails where one does not answer."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        chosen = [
            found
            for found in await load_primaries(services.database, services.keys, organisation.id)
            if primary in (None, found.name)
        ]
        if not chosen:
            raise Failure(f"there is no primary {primary}" if primary else "there is no primary yet")
        results = []
        for found in chosen:
            result = await probe(
                found.settings, found.secrets, hostname=services.config.hostname, round_trip=round_trip
            )
            results.append(
                {
                    "primary": found.name, "ok": result.ok, "stage": result.stage, "detail": result.detail,
                    "ms": round(result.latency_ms, 1), "trust": found.trust_state,
                }
            )  # fmt: skip
        cli.output(results)
        if not all(row["ok"] for row in results):
            raise SystemExit(1)
