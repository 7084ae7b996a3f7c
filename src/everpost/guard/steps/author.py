"""Impersonation: what the header says of the author, held against what is known of the sender."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from everpost.auth.dmarc import DmarcVerdict
from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.model import Signal, signal
from everpost.mail.header import Header, HeaderAddress, as_addresses, flatten

_ADDRESS: Final = re.compile(r"[^\s<>()\"',;:]{1,64}@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8})", re.IGNORECASE)
_MOST: Final = 20  # addresses of a field that are looked at


class Author:
    """Runs after the step that asks who sends."""

    async def __call__(self, case: Case) -> Iterable[Signal]:
        return tuple(author_signals(case))


def author_signals(case: Case) -> Iterator[Signal]:
    """Own domains that nobody vouches for, names that are other people's addresses, answers led elsewhere."""
    authors = _addresses(case.header, "from")
    fields = len(case.header.all("from"))
    if fields != 1 or not authors:
        yield signal(kinds.SEVERAL_AUTHORS, f"{fields} From fields with {len(authors)} addresses")
    vouched = case.authentication is not None and case.authentication.dmarc.verdict is DmarcVerdict.PASS
    for author in authors[:_MOST]:
        domain = _domain(author.address)
        if not vouched and domain in case.own_domains:
            yield signal(kinds.OWN_DOMAIN, f"From: {author.address}, sent by {case.client}")
            break
    for author in authors[:_MOST]:
        shown = _shown_domain(author)
        if shown and not _related(shown, _domain(author.address)):
            yield signal(kinds.NAME_IS_ADDRESS, f"{author.name!r} stands before {author.address}")
            break
    yield from _answers(case.header, authors)


def _answers(header: Header, authors: list[HeaderAddress]) -> Iterator[Signal]:
    if header.first("list-id") is not None or not authors:
        return  # a list leads answers to itself
    domains = {_domain(author.address) for author in authors}
    for each in _addresses(header, "reply-to")[:_MOST]:
        if not any(_related(_domain(each.address), domain) for domain in domains):
            yield signal(kinds.REPLY_ELSEWHERE, f"answers go to {each.address}, not to {authors[0].address}")
            return


def _addresses(header: Header, name: str) -> list[HeaderAddress]:
    return [address for field in header.all(name)[:_MOST] for address in flatten(as_addresses(field.raw))[:100]]


def _shown_domain(author: HeaderAddress) -> str:
    found = _ADDRESS.search((author.name or "")[:1000])
    return found[1].lower() if found else ""


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _related(one: str, other: str) -> bool:
    """Whether one is the other, or lies below it."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")
