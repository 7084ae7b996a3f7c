"""Links: where they lead, whether they are what they seem, and whom their domains resemble."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.contents import Contents
from everpost.guard.links.find import find_links
from everpost.guard.links.findings import LinkContext, judge_links
from everpost.guard.links.lists import LinkLists
from everpost.guard.links.lookalike import Protected, ProtectedDomain, ProtectedKind, brands
from everpost.guard.links.qr import find_qr
from everpost.guard.model import Signal, signals_of
from everpost.guard.steps.reading import BESIDE

_ORGANISATIONS: Final = 200  # whose protected domains are kept


class Links:
    """Runs after the step that reads the message. `own_hosts` are ours: nothing is said of links to them."""

    def __init__(self, own_hosts: frozenset[str], lists: LinkLists | None = None) -> None:
        self._own_hosts = own_hosts
        self._lists = lists or LinkLists()
        self._contexts: OrderedDict[frozenset[str], LinkContext] = OrderedDict()

    async def __call__(self, case: Case) -> Iterable[Signal]:
        if case.contents is None:
            return ()  # it could not be read: the step that tried has said so
        context = self.context(case.own_domains)
        if case.size <= BESIDE:
            return _look(case.contents, context)
        return await asyncio.to_thread(_look, case.contents, context)

    def context(self, own_domains: frozenset[str]) -> LinkContext:
        """What links of mail for these domains are compared with now."""
        named = self._names(own_domains)
        if not self._lists.blocked and not self._lists.allowed:
            return named
        return replace(named, blocked=self._lists.blocked, allowed=self._lists.allowed)

    def _names(self, own_domains: frozenset[str]) -> LinkContext:
        known = self._contexts.get(own_domains)
        if known is None:
            famous, genuine = brands()
            own = [ProtectedDomain(domain, ProtectedKind.OWN) for domain in sorted(own_domains)]
            known = LinkContext(Protected([*own, *famous], genuine), own_hosts=self._own_hosts)
            self._contexts[own_domains] = known
            if len(self._contexts) > _ORGANISATIONS:
                self._contexts.popitem(last=False)
        return known


def _look(contents: Contents, context: LinkContext) -> tuple[Signal, ...]:
    codes = find_qr(contents.pictures).payloads if contents.pictures else ()
    found = find_links((contents.subject, *contents.texts), contents.htmls, qr_payloads=codes)
    findings = judge_links(found.links, context, truncated=found.truncated)
    return tuple(signals_of((kinds.LINK_KINDS[each.kind], each.evidence) for each in findings))
