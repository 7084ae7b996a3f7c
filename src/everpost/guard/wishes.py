"""Whom a person will hear from, and whom not: their own list of senders, over what the guard says. Pure.

Denying is always safe. Allowing is not: anybody can write anybody's address, so it counts only where SPF or DKIM
vouches for the sender, and never against malware, phishing or what the organisation forbids.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from everpost.auth.check import Authentication
from everpost.auth.dkim import DkimVerdict
from everpost.auth.dmarc import DmarcVerdict
from everpost.auth.spf import SpfVerdict
from everpost.guard import kinds
from everpost.guard.model import Disposition, Judgement, Signal, Verdict
from everpost.guard.verdict import INSTEAD
from everpost.mail.address import Address, AddressError, domain_key
from everpost.mail.addresslist import as_addresses, flatten
from everpost.mail.header import Header

_YIELDS: Final = frozenset({Judgement.SUSPICIOUS, Judgement.SPAM})
_ABOVE: Final = frozenset({kinds.POLICY_RULE.name, *INSTEAD})
"""What decided above people: the organisation's rules, and scanners that have yet to see the message."""
_MOST: Final = 20  # authors that are looked at


class Wish(enum.StrEnum):
    """What a person wants of a sender."""

    ALLOW = "allow"
    DENY = "deny"


class SenderError(ValueError):
    """What was given is neither an address nor a domain. The message is fit to be shown."""


def sender_key(text: str) -> str:
    """An address, or a domain with or without @ before it, as it is compared. Raises `SenderError`."""
    wanted = text.strip()
    try:
        if "@" in wanted.lstrip("@"):
            return Address.parse(wanted).key
        return domain_key(Address.parse(f"x@{wanted.lstrip('@')}").domain)
    except (AddressError, UnicodeError):
        raise SenderError("write an address, or a domain like example.org") from None


def senders_of(
    header: Header, reverse_path: Address | None, authentication: Authentication | None, *, inside: bool
) -> dict[str, bool]:
    """By their keys, those who sent a message, each with whether something vouches for it. `inside`: it came from
    somebody of ours who proved who they are.
    """
    vouched = _vouched(authentication)
    written = [author.address for field in header.all("from")[:_MOST] for author in flatten(as_addresses(field.raw))]
    found: dict[str, bool] = {}
    for text in (*written[:_MOST], *([str(reverse_path)] if reverse_path is not None else [])):
        try:
            address = Address.parse(text)
        except AddressError:
            continue
        domain = domain_key(address.domain)
        known = inside or any(domain == each or domain.endswith(f".{each}") for each in vouched)
        found[address.key] = found.get(address.key, False) or known
    return found


def _vouched(authentication: Authentication | None) -> frozenset[str]:
    if authentication is None:
        return frozenset()
    names = {each.domain for each in authentication.dkim if each.verdict is DkimVerdict.PASS}
    if authentication.spf.verdict is SpfVerdict.PASS:
        names.add(authentication.spf.domain)
    if authentication.dmarc.verdict is DmarcVerdict.PASS:
        names.add(authentication.dmarc.author)
    return frozenset(name.lower() for name in names if name)


def wish_about(rules: Mapping[str, Wish], senders: Mapping[str, bool]) -> Wish | None:
    """What a person's rules say of senders: an address before its domain, no before yes."""
    keys = list(senders.items())
    for level in (keys, [(key.rpartition("@")[2], vouched) for key, vouched in keys]):
        said = [(rules.get(key), vouched) for key, vouched in level]
        if any(wish is Wish.DENY for wish, _ in said):
            return Wish.DENY
        if any(wish is Wish.ALLOW and vouched for wish, vouched in said):
            return Wish.ALLOW
    return None


def wanted_instead(verdict: Verdict) -> Wish | None:
    """The wish that would change what is done with a message so judged; None where none would."""
    if verdict.disposition is Disposition.ACCEPT:
        return Wish.DENY
    if verdict.disposition not in (Disposition.JUNK, Disposition.QUARANTINE) or verdict.judgement not in _YIELDS:
        return None
    return None if any(each.kind in _ABOVE for each in verdict.signals) else Wish.ALLOW


def as_wished(verdict: Verdict, wish: Wish, senders: Iterable[str]) -> Verdict:
    """The verdict for those who wish so, with the wish among its evidence. The score stays: what was seen is
    what it was.
    """
    kind = kinds.PERSON_ALLOWS if wish is Wish.ALLOW else kinds.PERSON_DENIES
    said = Signal(kind.name, kind.weight, ", ".join(list(senders)[:3]))
    judgement, disposition = (
        (Judgement.CLEAN, Disposition.ACCEPT) if wish is Wish.ALLOW else (Judgement.SPAM, Disposition.JUNK)
    )
    return Verdict(judgement, disposition, verdict.score, (said, *verdict.signals))
