"""The guard of a worker, put together from the configuration, with what else looks at links."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from urllib.parse import urlsplit

from everpost.app import metrics
from everpost.app.assembly import make_resolver
from everpost.app.config import Config, ConfigError
from everpost.app.scanning import make_scanners
from everpost.auth.patience import PatientResolver
from everpost.auth.resolver import CachingResolver, DnsResolver
from everpost.directory.resolve import Directory
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.learn.models import Models
from everpost.guard.learn.speak import Terms
from everpost.guard.links.addresses import ClickAddresses, click_key
from everpost.guard.links.clicked import ClickOutcome
from everpost.guard.links.findings import LinkContext
from everpost.guard.links.lists import LinkLists
from everpost.guard.model import Verdict
from everpost.guard.policy.countries import Countries
from everpost.guard.policy.store import Policies
from everpost.guard.scanners.engine import Scanner
from everpost.guard.sending.counts import SharedCounts
from everpost.guard.sending.model import Action
from everpost.guard.steps.classifier import Classifier
from everpost.guard.steps.greeting import BlockList
from everpost.guard.steps.links import Links
from everpost.guard.steps.sending import Sending
from everpost.guard.verdict import Policy
from everpost.intake.accept import Intake
from everpost.intake.screening import Screen
from everpost.intake.senders import SenderLists
from everpost.intake.sending_alerts import SendingAlerts
from everpost.serve.web.clicks import ClickServices
from everpost.store.database import Database

LISTS_S = 30.0
"""Pause between two looks at whether a list has changed."""


@dataclass(frozen=True, slots=True)
class Guarding:
    """What of the guard a worker runs: the guard itself where it is on, the page of clicked links in any case, since
    messages with such links have been delivered before.
    """

    database: Database
    guard: Guard | None
    clicks: ClickServices
    lists: LinkLists

    def screen(self, directory: Directory, policies: Policies, intake: Intake, senders: SenderLists) -> Screen | None:
        """What the faces of this process ask; None where the guard is off."""
        if self.guard is None:
            return None
        return Screen(directory, self.guard, policies, intake.new_message_id, SendingAlerts(self.database), senders)

    async def keep_lists(self) -> None:
        """Read the lists, and again when they have changed, until it is cancelled."""
        while self.lists.wanted:
            await asyncio.to_thread(self.lists.look)
            metrics.GUARD_LISTS_UNREADABLE.set(len(self.lists.problems))
            await asyncio.sleep(LISTS_S)


def make_guarding(
    config: Config,
    database: Database,
    directory: Directory,
    models: Models,
    scanners: Sequence[Scanner] | None = None,
) -> Guarding:
    """All its steps, asking the configured DNS servers, and the configured scanners unless the process has them; the
    classifier speaks from these models.
    """
    guard = config.guard
    lists = LinkLists.of(map(Path, guard.blocked_links), map(Path, guard.allowed_links))
    own_hosts = frozenset({urlsplit(config.base_url).hostname or ""})
    links = Links(own_hosts, lists)
    policy = Policy(guard.suspicious_score, guard.bad_score)
    key = click_key(config.load_master_key().derived("clicks"))
    settings = GuardSettings(
        config.hostname, guard.sender_s, frozenset(each.lower() for each in guard.trusted_sealers),
        tuple(BlockList(zone.strip(".").lower()) for zone in guard.block_lists),
        own_hosts, ClickAddresses(config.base_url.rstrip("/"), key, own_hosts), lists, _country(config), policy=policy,
    )  # fmt: skip

    async def context(organisation_id: int) -> LinkContext:
        return links.context(await directory.domains_of(organisation_id))

    clicks = ClickServices({key.number: key}, policy, context, _count_click)
    if not guard.enabled:
        return Guarding(database, None, clicks, lists)
    resolver = CachingResolver(PatientResolver(DnsResolver(make_resolver(config))))
    steps = make_steps(
        settings, resolver, links, make_scanners(config) if scanners is None else scanners,
        classifier=_make_classifier(config, models), sending=_make_sending(config, database),
    )  # fmt: skip
    whole = Guard(settings, steps, on_fault=_count_fault, on_verdict=_count_verdict)
    return Guarding(database, whole, clicks, lists)


def _country(config: Config) -> Callable[[IPv4Address | IPv6Address | None], str]:
    """Raises `ConfigError`."""
    if not config.guard.countries:
        return lambda _address: ""
    try:
        return Countries(Path(config.guard.countries)).of
    except (OSError, ValueError) as error:
        raise ConfigError(f"guard.countries: {error}") from error


def _make_sending(config: Config, database: Database) -> Sending:
    return Sending(SharedCounts(database), config.guard.sending.limits(), _count_limit)


def _count_limit(who: str, action: Action) -> None:
    metrics.SENDING_LIMITS.labels(who, action).inc()


def _make_classifier(config: Config, models: Models) -> Classifier | None:
    guard = config.guard
    if not guard.classifier:
        return None
    terms = Terms(guard.classifier_minimum, guard.classifier_weight, guard.classifier_weight_taught)
    return Classifier(models, terms, lambda spoken: metrics.CLASSIFIED.labels(spoken).inc())


def _count_fault(step: str) -> None:
    metrics.GUARD_FAULTS.labels(step).inc()


def _count_verdict(verdict: Verdict) -> None:
    metrics.VERDICTS.labels(verdict.judgement, verdict.disposition).inc()


def _count_click(outcome: ClickOutcome) -> None:
    metrics.CLICKS.labels(outcome).inc()
