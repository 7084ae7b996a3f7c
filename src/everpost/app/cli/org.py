"""`everpost org`: organisations."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

import click

from everpost.app.cli.context import Cli, command_options, org_option
from everpost.directory.model import Banner, Forwarding, Language, LinkRewriting
from everpost.directory.settings import MAX_DISCLAIMER, BadDisclaimer, OrganisationSettings


@click.group()
def command() -> None:
    """Organisations (tenants), each with keys, domains and people of its own."""


@command.command("create")
@click.argument("name")
@click.option("--display-name", default="", help="Name for people.")
@command_options
async def create(cli: Cli, name: str, display_name: str) -> None:
    """Create the organisation NAME (short, lower case)."""
    async with cli.services() as services:
        made = await services.admin.create_organisation(name, display_name)
        cli.output(shown(made.name, made.display_name, made.id, made.signing_public), f"created {made.name}")


@command.command("list")
@command_options
async def list_all(cli: Cli) -> None:
    """List all organisations."""
    async with cli.services() as services:
        found = await services.admin.organisations()
        cli.output([{"name": each.name, "display_name": each.display_name, "id": each.id} for each in found])


@command.command("show")
@click.argument("name", required=False)
@command_options
async def show(cli: Cli, name: str | None) -> None:
    """Show an organisation with what is in it; NAME may be left out where there is only one."""
    async with cli.services() as services:
        found = await services.organisation(name)
        admin = services.admin
        settings = await OrganisationSettings(services.database, actor=cli.actor).read(found.id)
        cli.output(
            {
                **shown(found.name, found.display_name, found.id, found.signing_public),
                "forwarding": settings.forwarding,
                "links": settings.copies.links,
                "banner": settings.copies.banner,
                "language": settings.copies.language,
                "disclaimer": settings.copies.disclaimer,
                "domains": [each.name for each in await admin.domains(found.id)],
                "primaries": [f"{each.name}: {each.trust_state}" for each in await admin.primaries(found.id)],
                "mailboxes": sum(each.mailboxes for each in await admin.domains(found.id)),
                "groups": len(await admin.groups(found.id)),
            }
        )


@command.command("forwarding")
@click.argument("allowed", type=click.Choice([each.value for each in Forwarding]))
@org_option
@command_options
async def forwarding(cli: Cli, allowed: str, org: str | None) -> None:
    """Set how far people's filters may forward mail: to nobody, inside the organisation (default), or anywhere.

    Forwarding to the outside is what an intruder sets up first. Existing filters obey from the next message on.
    """
    async with cli.services() as services:
        found = await services.organisation(org)
        await OrganisationSettings(services.database, actor=cli.actor).set_forwarding(found.id, Forwarding(allowed))
        cli.output({"name": found.name, "forwarding": allowed}, f"{found.name}: filters may forward: {allowed}")


@command.command("copies")
@click.option(
    "--links", type=click.Choice([each.value for each in LinkRewriting]),
    help="Replace links by addresses that judge again when they are clicked: keep (none), unsigned (only in mail "
    "without a DKIM signature), all.",
)  # fmt: skip
@click.option(
    "--banner", type=click.Choice([each.value for each in Banner]),
    help="A word on top of mail from outside: none, suspicious (what was not judged clean), external (all).",
)  # fmt: skip
@click.option("--language", type=click.Choice([each.value for each in Language]), help="What its people read.")
@org_option
@command_options
async def copies(cli: Cli, links: str | None, banner: str | None, language: str | None, org: str | None) -> None:
    """Set how copies of mail from outside that go to the primary may differ from the original.

    The original, which the standby shows, always stays as it came. Links need `web.public_url` to be reachable by
    everybody who reads such mail.
    """
    async with cli.services() as services:
        found = await services.organisation(org)
        settings = OrganisationSettings(services.database, actor=cli.actor)
        current = (await settings.read(found.id)).copies
        policy = replace(
            current,
            links=LinkRewriting(links) if links else current.links,
            banner=Banner(banner) if banner else current.banner,
            language=Language(language) if language else current.language,
        )
        if policy != current:
            await settings.set_copies(found.id, policy)
        shown_as = {"name": found.name, "links": policy.links, "banner": policy.banner, "language": policy.language}
        cli.output(
            shown_as, f"{found.name}: links {policy.links}, banner {policy.banner}, language {policy.language}"
        )  # fmt: skip


@command.command("disclaimer")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--remove", is_flag=True, help="Put nothing at the end of mail any more.")
@org_option
@command_options
async def disclaimer(cli: Cli, file: BinaryIO | None, remove: bool, org: str | None) -> None:
    """Put the text of FILE (UTF-8; - for standard input) at the end of what is sent to the world, or show what stands
    there now.

    Only copies that go out get it, before they are signed with DKIM; what is kept here stays as it was written.
    """
    if remove and file is not None:
        raise click.UsageError("give either FILE or --remove")
    async with cli.services() as services:
        found = await services.organisation(org)
        settings = OrganisationSettings(services.database, actor=cli.actor)
        if file is not None or remove:
            await _set_disclaimer(settings, found.id, file.read(MAX_DISCLAIMER * 4 + 1) if file is not None else b"")
        text = (await settings.read(found.id)).copies.disclaimer
        cli.output({"name": found.name, "disclaimer": text}, text or f"{found.name} has no disclaimer")


async def _set_disclaimer(settings: OrganisationSettings, organisation_id: int, data: bytes) -> None:
    try:
        await settings.set_disclaimer(organisation_id, data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise click.ClickException("the file is not UTF-8") from None
    except BadDisclaimer as error:
        raise click.ClickException(str(error)) from None


def shown(name: str, display_name: str, organisation_id: int, public: bytes) -> dict[str, object]:
    """An organisation for output; the key that verifies its reports as hexadecimal digits."""
    return {"name": name, "display_name": display_name, "id": organisation_id, "signing_public": public.hex()}
