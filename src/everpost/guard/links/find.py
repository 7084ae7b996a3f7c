"""All links of a message, each once: from its HTML, its text, text taken from attachments, and QR codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from everpost.guard.links.html import MAX_RAW, find_in_html
from everpost.guard.links.model import FoundLinks, Link, LinkLimits, LinkSource
from everpost.guard.links.normalise import parse
from everpost.guard.links.text import Budget, find_in_text

_DEFAULT = LinkLimits()
_MAX_SHOWN_EACH = 5  # different texts kept for one address


def find_links(
    texts: Sequence[str],
    htmls: Sequence[str] = (),
    limits: LinkLimits = _DEFAULT,
    *,
    attachment_texts: Sequence[str] = (),
    qr_payloads: Sequence[str] = (),
) -> FoundLinks:
    """The links of decoded parts. Never raises; memory and time are bounded by `limits` and the sizes given.

    An address found in HTML is not repeated where the text has it too; an anchor comes once for each text it shows.
    """
    budgets = [Budget(limits.candidates) for _ in range(len(htmls) + len(texts) + len(attachment_texts))]
    pools = iter(budgets)
    sources: Iterator[Link] = chain(
        chain.from_iterable(find_in_html(markup, limits, next(pools)) for markup in htmls),
        chain.from_iterable(_in_text(text, limits, next(pools)) for text in texts),
        chain.from_iterable(_in_text(text, limits, next(pools), LinkSource.ATTACHMENT) for text in attachment_texts),
        chain.from_iterable(_in_qr(payload, limits) for payload in qr_payloads),
    )
    links, full = _each_once(sources, limits.links)
    long = any(len(part) > limits.characters for part in (*htmls, *texts, *attachment_texts))
    return FoundLinks(links, full or long or any(budget.left < 0 for budget in budgets))


def _each_once(found: Iterator[Link], most: int) -> tuple[tuple[Link, ...], bool]:
    shown: dict[str, set[str]] = {}
    links: list[Link] = []
    for link in found:
        known = shown.setdefault(link.url, set())
        if known and (not link.shown or link.shown in known or len(known) >= _MAX_SHOWN_EACH):
            continue
        if len(links) >= most:
            return tuple(links), True
        known.add(link.shown)
        links.append(link)
    return tuple(links), False


def _in_text(text: str, limits: LinkLimits, budget: Budget, source: LinkSource | None = None) -> Iterator[Link]:
    for span in find_in_text(text, limits, budget):
        address = parse(span.raw)
        if address is not None and address.host:
            yield Link(address.url, span.raw[:MAX_RAW], source or span.source)


def _in_qr(payload: str, limits: LinkLimits) -> Iterator[Link]:
    """A code holds an address, often in capitals and without a scheme, or a text with one inside."""
    text = payload.strip()[: limits.url]
    found = [*_in_text(text, limits, Budget(100), LinkSource.QR)]
    if not found and "." in text and " " not in text and ":" not in text.partition("/")[0]:
        found = [*_in_text(f"http://{text}", limits, Budget(100), LinkSource.QR)]
    yield from found
