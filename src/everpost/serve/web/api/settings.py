"""What an organisation decides about its mail and people."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from everpost.directory.model import Banner, Forwarding, Language, LinkRewriting
from everpost.directory.settings import BadDisclaimer, OrganisationSettings
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.values import Input, Nothing, Output, refusal

section = Section(
    "Settings",
    "How far people's filters may pass mail on, and how copies of mail from outside that go to the primary may differ "
    "from the original. They hold from the next message on.",
)


class NewSettings(Input, frozen=True):
    """What is left out stays as it is."""

    forwarding: Forwarding | None = None
    links: LinkRewriting | None = None
    banner: Banner | None = None
    language: Language | None = None
    disclaimer: str | None = None


class SettingsShown(Output, frozen=True):
    """`forwarding`: to nobody, inside the organisation, anywhere. `links`: replaced by addresses that judge again when
    they are clicked, in no copies, in those without a DKIM signature, in all. `banner`: a word on top of no copies, of
    those that were not judged clean, of all from outside. `language`: what its people read.
    `disclaimer`: the text at the end of what they send to the world; empty for none.
    """

    forwarding: Forwarding
    links: LinkRewriting
    banner: Banner
    language: Language
    disclaimer: str


@section.get("/settings")
async def get_settings(call: Call[Nothing, Nothing]) -> SettingsShown:
    """What is set now."""
    return await _shown(_settings(call), call)


@section.post("/settings")
async def change_settings(call: Call[Nothing, NewSettings]) -> SettingsShown:
    """Change some of it. 422 `bad-disclaimer` says what is wrong with that text."""
    asked, settings, organisation_id = call.body, _settings(call), call.organisation.id
    current = await settings.read(organisation_id)
    if asked.forwarding is not None and asked.forwarding is not current.forwarding:
        await settings.set_forwarding(organisation_id, asked.forwarding)
    if asked.disclaimer is not None and asked.disclaimer != current.copies.disclaimer:
        try:
            await settings.set_disclaimer(organisation_id, asked.disclaimer)
        except BadDisclaimer as error:
            raise refusal(422, "bad-disclaimer", "The disclaimer cannot be used", str(error)) from None
    wanted = replace(
        current.copies, links=asked.links or current.copies.links, banner=asked.banner or current.copies.banner,
        language=asked.language or current.copies.language,
    )  # fmt: skip
    if wanted != current.copies:
        await settings.set_copies(organisation_id, wanted)
    return await _shown(settings, call)


def _settings(call: Call[Any, Any]) -> OrganisationSettings:
    return OrganisationSettings(call.services.database, actor=call.actor)


async def _shown(settings: OrganisationSettings, call: Call[Any, Any]) -> SettingsShown:
    found = await settings.read(call.organisation.id)
    copies = found.copies
    return SettingsShown(
        forwarding=found.forwarding, links=copies.links, banner=copies.banner, language=copies.language,
        disclaimer=copies.disclaimer,
    )  # fmt: skip
