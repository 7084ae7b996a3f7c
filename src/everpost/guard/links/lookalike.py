"""Domains that pass themselves off as others: compared with ours, with protected names, with frequent partners.

What is protected is indexed by skeleton and by skeleton less one letter, so that a question costs some look-ups
however many domains are protected. Short names and partners are compared more strictly: they resemble too much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Final

from everpost.guard.links.normalise import ascii_host, is_icann_registered, registered_domain, unicode_host
from everpost.guard.links.skeleton import is_mixed, skeleton

MIN_LABEL: Final = 5
"""Letters that a name must have to be looked for inside others or with other letters of ASCII in it."""
MIN_EDIT: Final = 6
MIN_EDIT_OTHER_SUFFIX: Final = 9
MIN_PARTNER_INSIDE: Final = 7
_LURES: Final = frozenset(
    (
        "account", "accounts", "admin", "alert", "app", "auth", "bank", "banking", "billing", "bill", "cloud", "center",
        "confirm", "customer", "docs", "email", "help", "helpdesk", "hr", "id", "info", "invoice", "invoices", "it",
        "konto", "kunden", "live", "login", "logon", "mail", "mfa", "my", "notice", "online", "order", "pay", "payment",
        "payments", "payroll", "portal", "recovery", "refund", "reset", "secure", "security", "service", "services",
        "shared", "sign", "signin", "sicherheit", "sso", "support", "team", "ticket", "tracking", "update", "updates",
        "user", "vault", "verification", "verify", "vpn", "wallet", "web", "webmail", "24", "365", "inc", "group", "hq",
    )
)  # fmt: skip
_GLUED: Final = tuple(word for word in sorted(_LURES) if len(word) >= 4)
_NAMED_AFTER_OTHERS: Final = frozenset(
    (
        "outlook.com", "translate.goog", "ampproject.org", "pphosted.com", "mimecast.com", "onmicrosoft.com",
        "barracudanetworks.com", "gappssmtp.com",
    )
)  # fmt: skip
"""Domains below which others' names stand by rule: `example-com.mail.protection.outlook.com`."""


class ProtectedKind(StrEnum):
    """Why a domain is protected."""

    OWN = "own"
    BRAND = "brand"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True)
class ProtectedDomain:
    """A registered domain and why it is protected."""

    domain: str
    kind: ProtectedKind


class LikenessKind(StrEnum):
    """How a domain resembles a protected one."""

    CONFUSABLE = "confusable"  # letters of other scripts or with accents
    HOMOGLYPH = "homoglyph"  # other ASCII that looks alike: rn, 0, 1, vv
    OTHER_SUFFIX = "other_suffix"  # the same name under another suffix
    HYPHEN = "hyphen"  # hyphens put in or left out
    TYPO = "typo"  # one letter more, less, changed, doubled or two exchanged
    AFFIX = "affix"  # the name with words around it
    SUBDOMAIN = "subdomain"  # the protected domain stands left of somebody else's


@dataclass(frozen=True, slots=True)
class Likeness:
    """The protected domain that another resembles, how, and a sentence about it."""

    kind: LikenessKind
    protected: ProtectedDomain
    evidence: str


@dataclass(frozen=True, slots=True)
class _Name:
    label: str  # what was registered, without its public suffix, in Unicode
    suffix: str
    skeleton: str


class Protected:
    """Protected domains, indexed. `genuine` are more domains of the same owners: they are never taken for alike.

    Names that are no registered domains are left out. About 2 kB each.
    """

    def __init__(self, domains: Iterable[ProtectedDomain], genuine: Iterable[str] = ()) -> None:
        self._genuine = {ascii_host(domain) for domain in genuine}
        self._domains: dict[str, ProtectedDomain] = {}
        self._names: dict[str, _Name] = {}
        by_skeleton: defaultdict[str, list[str]] = defaultdict(list)
        by_deletion: defaultdict[str, list[str]] = defaultdict(list)
        for item in domains:
            domain = registered_domain(ascii_host(item.domain))
            if domain is None or domain in self._domains:
                continue
            name = _name(domain)
            self._domains[domain], self._names[domain] = item, name
            by_skeleton[name.skeleton].append(domain)
            if "-" in name.skeleton:
                by_skeleton[name.skeleton.replace("-", "")].append(domain)
            for shorter in _deletions(name.skeleton) if len(name.skeleton) >= MIN_LABEL else ():
                by_deletion[shorter].append(domain)
        self._by_skeleton, self._by_deletion = dict(by_skeleton), dict(by_deletion)

    def __len__(self) -> int:
        return len(self._domains)

    def covers(self, host: str) -> ProtectedDomain | None:
        """The protected domain that a host belongs to."""
        domain = registered_domain(ascii_host(host))
        return self._domains.get(domain) if domain is not None else None

    def is_genuine(self, domain: str) -> bool:
        """Whether a registered domain is protected itself or belongs to an owner of such."""
        return domain in self._domains or domain in self._genuine

    def looking_like(self, form: str) -> Iterator[tuple[ProtectedDomain, _Name]]:
        """Those whose skeleton is `form`."""
        for domain in self._by_skeleton.get(form, ()):
            yield self._domains[domain], self._names[domain]

    def near(self, form: str) -> Iterator[tuple[ProtectedDomain, _Name]]:
        """Those whose skeleton is at most two single changes away from `form`, more or less."""
        found: dict[str, None] = {}
        for shorter in (form, *_deletions(form)):
            for domain in (*self._by_skeleton.get(shorter, ()), *self._by_deletion.get(shorter, ())):
                found[domain] = None
        for domain in found:
            yield self._domains[domain], self._names[domain]

    def domain(self, name: str) -> ProtectedDomain | None:
        """The protected domain of exactly this name."""
        return self._domains.get(name)


@cache
def brands() -> tuple[tuple[ProtectedDomain, ...], tuple[str, ...]]:
    """Names that phishing borrows most, and further domains of their owners: the arguments of `Protected`."""
    text = files("everpost.guard.links").joinpath("data/brands.txt").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    protected = tuple(ProtectedDomain(line[0], ProtectedKind.BRAND) for line in lines)
    return protected, tuple(domain for line in lines for domain in line[1:])


def lookalike(host: str, protected: Protected) -> Likeness | None:
    """Whose domain a host passes itself off as; None for what is protected itself and for what resembles nothing.

    The strongest likeness is told. 5–40 µs, whatever the number of protected domains.
    """
    host = ascii_host(host)
    domain = registered_domain(host)
    if domain is None or protected.is_genuine(domain):
        return None
    name = _name(domain)
    for found in (
        _same_looks(domain, name, protected),
        _subdomain(host, domain, protected),
        _same_but_hyphens(domain, name, protected),
        _typo(domain, name, protected),
        _affix(domain, name, protected),
    ):
        if found is not None:
            return found
    return None


def _name(domain: str) -> _Name:
    label, _, suffix = domain.partition(".")
    readable = unicode_host(label)
    return _Name(readable, suffix, skeleton(readable))


def _same_looks(domain: str, name: _Name, protected: Protected) -> Likeness | None:
    for item, other in protected.looking_like(name.skeleton):
        if name.label == other.label:
            if len(other.label) >= MIN_LABEL and is_icann_registered(domain):
                return Likeness(
                    LikenessKind.OTHER_SUFFIX,
                    item,
                    f"{domain} has the name of {item.domain}, but ends in .{name.suffix}",
                )
            continue
        if not name.label.isascii():
            script = ", and mixes scripts" if is_mixed(name.label) else ""
            shown = f"{name.label}.{unicode_host(name.suffix)}"
            return Likeness(LikenessKind.CONFUSABLE, item, f"{shown} ({domain}) looks like {item.domain}{script}")
        if len(other.skeleton) >= MIN_LABEL and name.label.replace("-", "") != other.label.replace("-", ""):
            return Likeness(LikenessKind.HOMOGLYPH, item, f"{domain} looks like {item.domain}")
    return None


def _same_but_hyphens(domain: str, name: _Name, protected: Protected) -> Likeness | None:
    for item, other in protected.looking_like(name.skeleton.replace("-", "")):
        if len(other.skeleton) >= MIN_LABEL and other.skeleton != name.skeleton:
            return Likeness(LikenessKind.HYPHEN, item, f"{domain} is {item.domain} with hyphens put in or left out")
    return None


def _typo(domain: str, name: _Name, protected: Protected) -> Likeness | None:
    if len(name.skeleton) < MIN_LABEL:
        return None
    for item, other in protected.near(name.skeleton):
        if name.suffix != other.suffix and min(len(name.skeleton), len(other.skeleton)) < MIN_EDIT_OTHER_SUFFIX:
            continue
        change = _one_change(name.skeleton, other.skeleton)
        if change:
            return Likeness(LikenessKind.TYPO, item, f"{domain} is {item.domain} with {change}")
    return None


def _one_change(form: str, other: str) -> str:
    """What single change leads from `other` to `form`; "" where it is none, or one that honest names have too."""
    if form == other:
        return ""
    start = 0
    while start < min(len(form), len(other)) and form[start] == other[start]:
        start += 1
    a, b = form[start:], other[start:]
    if len(a) == len(b) and a[:2] == b[1::-1] and a[2:] == b[2:] and len(a) > 1:
        return "two letters exchanged"
    if len(a) == len(b) and a[1:] == b[1:] and not (a[:1].isdigit() or b[:1].isdigit()):
        # A first letter that differs makes another word (google, goggle; but mail, jail).
        return "one letter changed" if start and len(other) >= MIN_EDIT else ""
    if a[1:] == b and start and a[0] == form[start - 1]:
        return "one letter doubled"
    if a == b[1:] and start and b[0] == other[start - 1]:
        return "one of two equal letters missing"
    if a[1:] == b and len(other) >= MIN_EDIT and not a[0].isdigit():
        return "one letter more"
    if a == b[1:] and len(form) >= MIN_EDIT and start:
        return "one letter missing"
    return ""


def _affix(domain: str, name: _Name, protected: Protected) -> Likeness | None:
    tokens = name.label.split("-")[:8]
    for item, rest in (*_by_tokens(tokens, protected), *_glued(name.label, protected)):
        if item.kind is ProtectedKind.PARTNER and not rest & _LURES and len(item.domain) < MIN_PARTNER_INSIDE + 4:
            continue
        return Likeness(LikenessKind.AFFIX, item, f"{domain} has the name of {item.domain} with more around it")
    return None


def _by_tokens(tokens: list[str], protected: Protected) -> Iterator[tuple[ProtectedDomain, set[str]]]:
    if len(tokens) < 2:
        return
    for at, token in enumerate(tokens):
        pair = token + tokens[at + 1] if at + 1 < len(tokens) else ""
        for word, used in ((token, 1), (pair, 2)):
            for item, other in protected.looking_like(skeleton(word)) if len(word) >= MIN_LABEL else ():
                if len(other.skeleton) >= MIN_LABEL:
                    yield item, {*tokens[:at], *tokens[at + used :]}


def _glued(label: str, protected: Protected) -> Iterator[tuple[ProtectedDomain, set[str]]]:
    for lure in _GLUED:
        for rest in {label.removeprefix(lure), label.removesuffix(lure)} - {label}:
            for item, other in protected.looking_like(skeleton(rest)) if len(rest) >= MIN_LABEL else ():
                if len(other.skeleton) >= MIN_LABEL:
                    yield item, {lure}


def _subdomain(host: str, domain: str, protected: Protected) -> Likeness | None:
    """`paypal.com.evil.example`, `paypal-com.evil.example`, `paypal.com-login.example`."""
    if domain in _NAMED_AFTER_OTHERS or host == domain:
        return None
    labels = host.removesuffix(domain).rstrip(".").split(".")[-12:]
    candidates = [label.replace("-", ".") for label in labels if "-" in label]
    for at in range(len(labels)):
        candidates += [".".join(labels[at : at + size]) for size in (2, 3) if at + size <= len(labels)]
        following = labels[at + 1] if at + 1 < len(labels) else domain.partition(".")[0]
        if "-" in following:
            candidates.append(f"{labels[at]}.{following.partition('-')[0]}")
    for candidate in candidates:
        item = protected.domain(candidate)
        if item is not None:
            return Likeness(LikenessKind.SUBDOMAIN, item, f"{host} shows {item.domain}, but belongs to {domain}")
    return None


def _deletions(form: str) -> set[str]:
    return {form[:at] + form[at + 1 :] for at in range(len(form))}
