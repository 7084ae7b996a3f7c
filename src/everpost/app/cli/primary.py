"""`everpost primary`: the protected mail servers and how to reach them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option, read_secret
from everpost.app.config import Config, parse_endpoint
from everpost.directory.primary import ImapConnector, PrimarySecrets, PrimarySettings, ProbeSettings, SmtpConnector

_TLS = click.Choice(["none", "opportunistic", "required", "implicit"])
_IMAP_TLS = click.Choice(["none", "required", "implicit"])
_OPTIONS = (
    click.option("--smtp", metavar="HOST[:PORT]", help="Where it takes mail (port 25)."),
    click.option("--smtp-tls", type=_TLS, help="TLS towards it. Default: opportunistic."),
    click.option("--smtp-ca-file", metavar="FILE", help="Authorities of its certificate, in PEM."),
    click.option("--smtp-verify/--no-smtp-verify", default=None, help="Whether its certificate has to be right."),
    click.option("--smtp-username", help="Login for delivery; an empty one for none."),
    click.option("--smtp-password-file", metavar="FILE", help="Password of that login, in the file's first line."),
    click.option("--imap", metavar="HOST[:PORT]", help="Where its mailboxes are (port 993); an empty one for none."),
    click.option("--imap-tls", type=_IMAP_TLS, help="TLS towards it. Default: implicit."),
    click.option("--imap-ca-file", metavar="FILE", help="Authorities of its certificate, in PEM."),
    click.option("--imap-verify/--no-imap-verify", default=None, help="Whether its certificate has to be right."),
    click.option("--imap-login", metavar="TEMPLATE", help="Login of a mailbox. Default: {address}*gateway."),
    click.option("--imap-password-file", metavar="FILE", help="Password of those logins, in the file's first line."),
    click.option("--probe-interval", type=click.FloatRange(0.1, 3600), metavar="SECONDS", help="Between probes."),
    click.option("--probe-timeout", type=click.FloatRange(0.1, 300), metavar="SECONDS", help="Of one probe."),
    click.option("--probe-failures", type=click.IntRange(1, 1000), help="So many in a row make it down."),
    click.option("--probe-successes", type=click.IntRange(1, 1000), help="So many in a row make it up again."),
    click.option("--probe-address", help="Recipient that probes try; an empty one for none."),
    click.option("--round-trip/--no-round-trip", default=None, help="Send mail there and look for it over IMAP."),
    click.option("--automatic-activation/--no-automatic-activation", default=None, help="Go to the standby by itself."),
    click.option("--automatic-failback/--no-automatic-failback", default=None, help="Come back by itself."),
    click.option("--network", "networks", multiple=True, metavar="CIDR", help="It may relay from here; repeatable."),
    click.option("--no-networks", is_flag=True, help="It may relay from nowhere without a login."),
    click.option("--relay-login", help="It may relay with this login; an empty one for none."),
    click.option("--relay-password-file", metavar="FILE", help="Password of that login, in the file's first line."),
)


@click.group()
def command() -> None:
    """Primaries: the mail servers that are protected."""


def connector_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Everything that can be said about a primary."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@command.command("create")
@click.argument("name")
@connector_options
@org_option
@command_options
async def create(cli: Cli, name: str, org: str | None, **given: Any) -> None:
    """Create the primary NAME."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        if not given["smtp"]:
            raise Failure("where does it take mail? give --smtp HOST[:PORT]")
        password = _optional_secret(given["relay_password_file"])
        await services.admin.create_primary(
            organisation.id, name, merge_settings(_defaults(services.config), given),
            merge_secrets(PrimarySecrets(), given), smarthost_networks=given["networks"],
            relay_login=given["relay_login"], relay_password=password,
        )  # fmt: skip
        cli.output(await services.admin.primary(organisation.id, name), f"created {name}")


@command.command("update")
@click.argument("name")
@connector_options
@org_option
@command_options
async def update(cli: Cli, name: str, org: str | None, **given: Any) -> None:
    """Change the primary NAME; what is not given stays."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await services.admin.primary(organisation.id, name)
        settings = merge_settings(found.settings, given)
        known = await services.admin.primary_secrets(organisation.id, found.id)
        secrets = merge_secrets(known, given)
        networks = given["networks"] or (() if given["no_networks"] else None)
        await services.admin.update_primary(
            organisation.id, found.id, settings=settings if settings != found.settings else None,
            secrets=secrets if secrets != known else None, smarthost_networks=networks,
            relay_login=given["relay_login"], relay_password=_optional_secret(given["relay_password_file"]),
        )  # fmt: skip
        cli.output(await services.admin.primary(organisation.id, name), f"changed {name}")


@command.command("list")
@org_option
@command_options
async def list_all(cli: Cli, org: str | None) -> None:
    """List the primaries of an organisation."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        found = await services.admin.primaries(organisation.id)
        if cli.json:
            cli.output(found)
            return
        cli.output(
            [
                {"name": each.name, "smtp": f"{each.settings.smtp.host}:{each.settings.smtp.port}",
                 "imap": f"{each.settings.imap.host}:{each.settings.imap.port}" if each.settings.imap else None,
                 "trust": each.trust_state, "since": each.state_since, "cause": each.state_cause}
                for each in found
            ]
        )  # fmt: skip


@command.command("show")
@click.argument("name")
@org_option
@command_options
async def show(cli: Cli, name: str, org: str | None) -> None:
    """Show the primary NAME, without its secrets."""
    async with cli.services() as services:
        organisation = await services.organisation(org)
        cli.output(await services.admin.primary(organisation.id, name))


def _defaults(config: Config) -> PrimarySettings:
    """What the configuration's [continuity] says for new primaries."""
    wanted = config.continuity
    probe = ProbeSettings(
        wanted.probe_interval_s, wanted.probe_failures, wanted.probe_successes, wanted.probe_timeout_s
    )
    smtp = SmtpConnector("")
    return PrimarySettings(smtp, None, probe, wanted.automatic_activation, wanted.automatic_failback)


def merge_settings(settings: PrimarySettings, given: dict[str, Any]) -> PrimarySettings:
    """The settings with what the command line gives laid over them. Raises `Failure`."""
    probe = msgspec.structs.replace(
        settings.probe,
        **_present(
            interval_s=given["probe_interval"], timeout_s=given["probe_timeout"], failures=given["probe_failures"],
            successes=given["probe_successes"], round_trip=given["round_trip"],
        ),
    )  # fmt: skip
    if given["probe_address"] is not None:
        probe = msgspec.structs.replace(probe, probe_address=given["probe_address"] or None)
    if probe.round_trip and not probe.probe_address:
        raise Failure("a round trip needs a mailbox to go to: give --probe-address")
    smtp = msgspec.structs.replace(
        settings.smtp,
        **_endpoint(given["smtp"], settings.smtp.port if settings.smtp.host else 25),
        **_present(tls=given["smtp_tls"], ca_file=given["smtp_ca_file"], verify=given["smtp_verify"]),
    )
    merged = msgspec.structs.replace(
        settings, smtp=smtp, imap=_merge_imap(settings.imap, given), probe=probe,
        **_present(
            automatic_activation=given["automatic_activation"], automatic_failback=given["automatic_failback"]
        ),
    )  # fmt: skip
    if merged.probe.round_trip and merged.imap is None:
        raise Failure("a round trip looks for its mail over IMAP: give --imap")
    return merged


def _merge_imap(imap: ImapConnector | None, given: dict[str, Any]) -> ImapConnector | None:
    changes = _present(
        tls=given["imap_tls"], ca_file=given["imap_ca_file"], verify=given["imap_verify"],
        login_template=given["imap_login"],
    )  # fmt: skip
    if "{address}" not in changes.get("login_template", "{address}"):
        raise Failure("the template of IMAP logins must contain {address}")
    if given["imap"] == "":
        return None
    if given["imap"] is None and imap is None:
        if changes or given["imap_password_file"]:
            raise Failure("where are its mailboxes? give --imap HOST[:PORT]")
        return None
    endpoint = _endpoint(given["imap"], imap.port if imap else 993)
    return msgspec.structs.replace(imap or ImapConnector(""), **endpoint, **changes)


def merge_secrets(secrets: PrimarySecrets, given: dict[str, Any]) -> PrimarySecrets:
    """The secrets with what the command line gives laid over them."""
    return msgspec.structs.replace(
        secrets,
        **_present(
            smtp_username=given["smtp_username"],
            smtp_password=_optional_secret(given["smtp_password_file"]),
            imap_password=_optional_secret(given["imap_password_file"]),
        ),
    )


def _present(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _optional_secret(file: str | None) -> str | None:
    return read_secret(file, "Password") if file else None


def _endpoint(text: str | None, port: int) -> dict[str, Any]:
    if text is None:
        return {}
    bare_ipv6 = text.startswith("[") and text.endswith("]")
    try:
        endpoint = parse_endpoint(f"{text}:{port}" if bare_ipv6 or ":" not in text else text)
    except ValueError as error:
        raise Failure(f"{text!r}: {error}") from error
    return {"host": endpoint.host, "port": endpoint.port}


async def primary_of(services: Services, org: str | None, name: str | None) -> tuple[int, int]:
    """(organisation, primary) by name, or the only primary; for other commands."""
    organisation = await services.organisation(org)
    if name is not None:
        return organisation.id, (await services.admin.primary(organisation.id, name)).id
    found = await services.admin.primaries(organisation.id)
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none yet"
        raise Failure(f"which primary? there are: {names}")
    return organisation.id, found[0].id
