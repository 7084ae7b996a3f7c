"""The guard of a worker, put together from the configuration."""

from __future__ import annotations

from urllib.parse import urlsplit

from everpost.app import metrics
from everpost.app.assembly import make_resolver
from everpost.app.config import Config
from everpost.auth.patience import PatientResolver
from everpost.auth.resolver import CachingResolver, DnsResolver
from everpost.guard.guard import Guard, GuardSettings, make_steps
from everpost.guard.model import Verdict
from everpost.guard.steps.greeting import BlockList
from everpost.guard.verdict import Policy


def make_guard(config: Config) -> Guard:
    """All its steps, asking the configured DNS servers."""
    guard = config.guard
    settings = GuardSettings(
        config.hostname, guard.sender_s, frozenset(each.lower() for each in guard.trusted_sealers),
        tuple(BlockList(zone.strip(".").lower()) for zone in guard.block_lists),
        frozenset({urlsplit(config.base_url).hostname or ""}), policy=Policy(guard.suspicious_score, guard.bad_score),
    )  # fmt: skip
    resolver = CachingResolver(PatientResolver(DnsResolver(make_resolver(config))))
    return Guard(settings, make_steps(settings, resolver), on_fault=_count_fault, on_verdict=_count_verdict)


def _count_fault(step: str) -> None:
    metrics.GUARD_FAULTS.labels(step).inc()


def _count_verdict(verdict: Verdict) -> None:
    metrics.VERDICTS.labels(verdict.judgement, verdict.disposition).inc()
