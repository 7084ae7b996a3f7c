"""The guard of a process: steps put together from settings, and the assessment of a message."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from everpost.auth.check import Authentication, CheckSettings
from everpost.auth.resolver import Resolver
from everpost.directory.model import LinkRewriting
from everpost.guard.banners import banner_of
from everpost.guard.bodies import BodyChange, body_edits
from everpost.guard.case import Case
from everpost.guard.copies import added_fields, strangers_results
from everpost.guard.disclaimers import disclaimer_of
from everpost.guard.links.addresses import ClickAddresses
from everpost.guard.links.lists import LinkLists
from everpost.guard.model import Disposition, Phase, Verdict, Way
from everpost.guard.pipeline import Pipeline, Step
from everpost.guard.policy.apply import NO_BOOKS, apply_rules
from everpost.guard.policy.evaluate import RuleBook
from everpost.guard.scanners.engine import Scanner
from everpost.guard.scanners.shelf import Shelf
from everpost.guard.steps.attachments import Attachments
from everpost.guard.steps.author import Author
from everpost.guard.steps.classifier import Classifier
from everpost.guard.steps.greeting import BlockList, BlockLists, Greeting
from everpost.guard.steps.links import Links
from everpost.guard.steps.reading import BESIDE, MAX_OCTETS, Reading
from everpost.guard.steps.scanners import Scanners
from everpost.guard.steps.sender import Sender
from everpost.guard.steps.sending import Sending
from everpost.guard.verdict import Policy, judge
from everpost.mail.edits import Edits, in_order
from everpost.mail.mime import scan

_INBOUND = frozenset({Way.INBOUND})
_OUTBOUND = frozenset({Way.OUTBOUND})
_ANY = sys.maxsize  # octets


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """`hostname` is our name in Authentication-Results; `sender_s` bounds, in seconds, what is asked of the DNS for
    one message; `trusted_sealers` are forwarders whose ARC seals are believed; `own_hosts` are where our
    own pages are; `content_s` bounds, in seconds, each look at what a message says,
    `files_s` the look into its files, `scanners_s` all malware scanners together, which have shorter limits each;
    `clicks` makes the addresses that stand for links on delivery copies; `link_lists` are addresses to be blocked and
    allowed; `country` says where a client is.
    """

    hostname: str
    sender_s: float = 8.0
    trusted_sealers: frozenset[str] = frozenset()
    block_lists: tuple[BlockList, ...] = ()
    own_hosts: frozenset[str] = frozenset()
    clicks: ClickAddresses | None = None
    link_lists: LinkLists = field(default_factory=LinkLists)
    country: Callable[[IPv4Address | IPv6Address | None], str] = lambda _address: ""
    content_s: float = 10.0
    files_s: float = 2.0
    scanners_s: float = 60.0
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the guard says of a message: the verdict, and how delivery copies differ from the original.

    `dispositions` has, by mailbox, what is done for those for whom it is not the verdict's.
    """

    verdict: Verdict
    authentication: Authentication | None
    added: bytes
    edits: Edits
    dispositions: Mapping[int, Disposition] = field(default_factory=dict)


class Guard:
    """One per process. `on_fault` hears of steps that failed, `on_verdict` of every verdict, for the figures."""

    def __init__(
        self,
        settings: GuardSettings,
        steps: Sequence[Step],
        *,
        on_fault: Callable[[str], None] = lambda _step: None,
        on_verdict: Callable[[Verdict], None] = lambda _verdict: None,
    ) -> None:
        self._settings = settings
        self._pipeline = Pipeline(steps, on_fault)
        self._on_verdict = on_verdict

    async def assess(self, case: Case, books: Mapping[int, RuleBook] = NO_BOOKS) -> Assessment:
        """Run every step over a message, then the rules of the organisations. Never raises: what goes wrong in a step
        is a signal.
        """
        signals = await self._pipeline.run(case)
        country = self._settings.country(case.client) if any(books.values()) else ""
        judged = judge(signals, case.way, self._settings.policy)
        if case.size > BESIDE and any(books.values()):
            ruled = await asyncio.to_thread(apply_rules, judged, case, books, country)
        else:
            ruled = apply_rules(judged, case, books, country)
        verdict = ruled.verdict
        self._on_verdict(verdict)
        added = added_fields(verdict, case.authentication, self._settings.hostname) if case.way is Way.INBOUND else b""
        added += "".join(f"{each}\r\n" for each in ruled.fields).encode()
        bodies = () if ruled.keep else await self._body_edits(case, verdict)
        edits = in_order((*strangers_results(case.header, case.way), *bodies))
        return Assessment(verdict, case.authentication, added, edits, ruled.dispositions)

    async def _body_edits(self, case: Case, verdict: Verdict) -> Edits:
        change = self._body_change(case, verdict)
        if not change or case.size > MAX_OCTETS:
            return ()
        if case.size <= BESIDE:
            return _edits(case, change)
        return await asyncio.to_thread(_edits, case, change)

    def _body_change(self, case: Case, verdict: Verdict) -> BodyChange:
        policy, clicks = case.copies, self._settings.clicks
        banner = banner_of(verdict, case.way, policy.banner, policy.language)
        signed = case.header.keyed("dkim-signature") is not None
        wanted = policy.links is LinkRewriting.ALL or (policy.links is LinkRewriting.UNSIGNED and not signed)
        if clicks is None or not wanted or case.message_id is None or case.way is not Way.INBOUND:
            return BodyChange(banner, footer=disclaimer_of(case))
        (organisation,) = case.organisation_ids
        make = partial(clicks.address, organisation, case.message_id, case.received_at.timestamp())
        return BodyChange(banner, make)

    def instead(self, assessment: Assessment, verdict: Verdict) -> Assessment:
        """The same message under another verdict, which some of its recipients wish. What rules put on top stays."""
        before, after = (
            added_fields(each, assessment.authentication, self._settings.hostname)
            for each in (assessment.verdict, verdict)
        )
        added = assessment.added
        if added.startswith(before):  # mail that goes out has no such fields
            added = after + added.removeprefix(before)
        return Assessment(verdict, assessment.authentication, added, assessment.edits)


def _edits(case: Case, change: BodyChange) -> Edits:
    data = b"".join(case.open())
    return body_edits(data, scan(data, case.header), change)


def make_steps(
    settings: GuardSettings,
    resolver: Resolver,
    links: Links | None = None,
    scanners: Sequence[Scanner] = (),
    *,
    classifier: Classifier | None = None,
    sending: Sending | None = None,
) -> list[Step]:
    """The steps that these settings ask for, with scanners and a classifier. `links`: one that others use as well;
    `sending` is there where what goes out is counted.
    """
    check = CheckSettings(
        seconds=settings.sender_s, trusted_sealers=settings.trusted_sealers, receiver=settings.hostname
    )
    files = Attachments(settings.files_s, shelf=Shelf() if scanners else None)
    links = links or Links(settings.own_hosts, settings.link_lists)
    greeting = Greeting(frozenset({settings.hostname.lower()}))
    steps = [
        Step("greeting", Phase.CONNECTION, greeting, 1.0, ways=_INBOUND, at_once_octets=_ANY),
        Step("sender", Phase.MESSAGE, Sender(resolver, check), settings.sender_s + 2.0, ways=_INBOUND),
        Step("reading", Phase.MESSAGE, Reading(), settings.content_s, at_once_octets=BESIDE),
        Step("links", Phase.MESSAGE, links, settings.content_s, after=("reading",), at_once_octets=BESIDE),
        Step("attachments", Phase.MESSAGE, files, settings.content_s, after=("reading",)),
        Step("author", Phase.MESSAGE, Author(), 1.0, after=("sender",), ways=_INBOUND),
    ]
    if classifier is not None:
        steps.append(
            Step("classifier", Phase.MESSAGE, classifier, settings.content_s, after=("reading",), ways=_INBOUND)
        )
    if settings.block_lists:
        asked = BlockLists(resolver, settings.block_lists)
        steps.insert(1, Step("block lists", Phase.CONNECTION, asked, settings.sender_s, ways=_INBOUND))
    if scanners:
        steps.append(Step("scanners", Phase.MESSAGE, Scanners(scanners), settings.scanners_s, after=("attachments",)))
    if sending is not None:
        steps.append(Step("sending", Phase.RECIPIENT, sending, settings.content_s, ways=_OUTBOUND))
    return steps
