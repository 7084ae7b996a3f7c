"""SPF records (RFC 7208 §3 to §7 and §12): read whole before anything of them is evaluated."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, NetmaskValueError
from typing import Final

MAX_RECORD: Final = 16_384  # characters; a TXT record of more is not evaluated
MAX_TERMS: Final = 500

_VERSION = re.compile(r"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9\-_.]*)=(.*)\Z", re.DOTALL)
_DIRECTIVE = re.compile(r"([+\-?~]?)([A-Za-z][A-Za-z0-9\-_.]*)(.*)\Z", re.DOTALL)
_DUAL_CIDR = re.compile(r"(?:/(0|[1-9][0-9]{0,2}))?(?://(0|[1-9][0-9]{0,2}))?\Z")
_MACRO = re.compile(r"%\{([a-zA-Z])([0-9]*)([rR]?)([.\-+,/_=]*)\}")
_TOPLABEL = re.compile(r"\.(?=[A-Za-z0-9\-]*[A-Za-z\-])[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?\.?\Z")
_DOMAIN_LETTERS = frozenset("slodiphv")
_EXPLANATION_LETTERS = _DOMAIN_LETTERS | frozenset("crt")


class SpfSyntaxError(ValueError):
    """A record or a macro string that no one may evaluate (RFC 7208 §4.6); the message says what is wrong."""


class Qualifier(enum.Enum):
    """What a match means (RFC 7208 §4.6.2)."""

    PASS = "+"  # noqa: S105
    FAIL = "-"
    SOFTFAIL = "~"
    NEUTRAL = "?"


class Mechanism(enum.StrEnum):
    """The mechanisms of RFC 7208 §5."""

    ALL = "all"
    INCLUDE = "include"
    A = "a"
    MX = "mx"
    PTR = "ptr"
    IP4 = "ip4"
    IP6 = "ip6"
    EXISTS = "exists"


@dataclass(frozen=True, slots=True)
class Macro:
    """`%{letter digits r delimiters}` (RFC 7208 §7.1). `keep` 0 keeps all parts."""

    letter: str
    keep: int
    reverse: bool
    delimiters: str
    escape: bool


MacroString = tuple[str | Macro, ...]


@dataclass(frozen=True, slots=True)
class Directive:
    """A mechanism with what a match means. `text` is the term as it was published."""

    qualifier: Qualifier
    mechanism: Mechanism
    text: str
    domain: MacroString | None = None
    network: IPv4Network | IPv6Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record that is fit to be evaluated."""

    directives: tuple[Directive, ...]
    redirect: MacroString | None
    explanation: MacroString | None


def is_spf(text: str) -> bool:
    """Whether a TXT record is an SPF record at all (RFC 7208 §4.5)."""
    return _VERSION.match(text) is not None


def parse_record(text: str) -> SpfRecord:
    """Read a record for which `is_spf` holds. Raises `SpfSyntaxError` for any error anywhere (RFC 7208 §4.6)."""
    if len(text) > MAX_RECORD:
        raise SpfSyntaxError("the record is too long")
    if not text.isascii():
        raise SpfSyntaxError("the record is not ASCII")
    terms = [term for term in text[6:].split(" ") if term]
    if len(terms) > MAX_TERMS:
        raise SpfSyntaxError("the record has too many terms")
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in terms:
        modifier = _MODIFIER.match(term)
        if modifier is None:
            directives.append(_directive(term))
        else:
            _read_modifier(modifier[1].lower(), modifier[2], modifiers)
    return SpfRecord(tuple(directives), modifiers.get("redirect"), modifiers.get("exp"))


def _read_modifier(name: str, value: str, modifiers: dict[str, MacroString]) -> None:
    if name not in ("redirect", "exp"):
        parse_macros(value)  # RFC 7208 §6: unknown ones are ignored, yet have a syntax
        return
    if name in modifiers:
        raise SpfSyntaxError(f"{name}= is there twice")
    modifiers[name] = _domain_spec(value)


def _directive(term: str) -> Directive:
    found = _DIRECTIVE.match(term)
    if found is None:
        raise SpfSyntaxError(f"{term!r} is no term")
    qualifier = Qualifier(found[1] or "+")
    try:
        mechanism = Mechanism(found[2].lower())
    except ValueError:
        raise SpfSyntaxError(f"{term!r} is no mechanism") from None
    rest = found[3]
    match mechanism:
        case Mechanism.ALL:
            if rest:
                raise SpfSyntaxError(f"{term!r}: nothing may follow all")
            return Directive(qualifier, mechanism, term)
        case Mechanism.IP4 | Mechanism.IP6:
            return Directive(qualifier, mechanism, term, network=_network(mechanism, rest, term))
        case Mechanism.INCLUDE | Mechanism.EXISTS:
            if not rest.startswith(":"):
                raise SpfSyntaxError(f"{term!r} needs a domain")
            return Directive(qualifier, mechanism, term, domain=_domain_spec(rest[1:]))
        case Mechanism.PTR:
            if rest and not rest.startswith(":"):
                raise SpfSyntaxError(f"{term!r} is no term")
            return Directive(qualifier, mechanism, term, domain=_domain_spec(rest[1:]) if rest else None)
        case Mechanism.A | Mechanism.MX:
            return _with_prefixes(qualifier, mechanism, rest, term)


def _with_prefixes(qualifier: Qualifier, mechanism: Mechanism, rest: str, term: str) -> Directive:
    cidr = _DUAL_CIDR.search(rest)
    assert cidr is not None  # it matches the empty string at the end
    target = rest[: cidr.start()]
    prefix4, prefix6 = int(cidr[1] or 32), int(cidr[2] or 128)
    if prefix4 > 32 or prefix6 > 128:
        raise SpfSyntaxError(f"{term!r}: the prefix is too long")
    if target and not target.startswith(":"):
        raise SpfSyntaxError(f"{term!r} is no term")
    domain = _domain_spec(target[1:]) if target else None
    return Directive(qualifier, mechanism, term, domain=domain, prefix4=prefix4, prefix6=prefix6)


def _network(mechanism: Mechanism, rest: str, term: str) -> IPv4Network | IPv6Network:
    """RFC 7208 §5.6; host bits may be set."""
    address, slash, prefix = rest[1:].partition("/")
    if not rest.startswith(":") or (slash and re.fullmatch(r"0|[1-9][0-9]{0,2}", prefix) is None):
        raise SpfSyntaxError(f"{term!r} is no network")
    try:
        if mechanism is Mechanism.IP4:
            return IPv4Network((IPv4Address(address), int(prefix or 32)), strict=False)
        if "%" in address:
            raise SpfSyntaxError(f"{term!r} has a zone")
        return IPv6Network((IPv6Address(address), int(prefix or 128)), strict=False)
    except (AddressValueError, NetmaskValueError):
        raise SpfSyntaxError(f"{term!r} is no network") from None


def _domain_spec(text: str) -> MacroString:
    """RFC 7208 §7.1: a macro string that ends in a macro or in a top label."""
    macros = parse_macros(text)
    if not macros:
        raise SpfSyntaxError("a domain is missing")
    last = macros[-1]
    if isinstance(last, str) and (text.endswith(("%%", "%_", "%-")) or _TOPLABEL.search(text) is None):
        raise SpfSyntaxError(f"{text!r} is no domain")
    return macros


def parse_macros(text: str, *, explanation: bool = False) -> MacroString:
    """Read a macro string (RFC 7208 §7.1), or an explanation, which may have spaces and more letters (§6.2).

    Raises `SpfSyntaxError`.
    """
    letters = _EXPLANATION_LETTERS if explanation else _DOMAIN_LETTERS
    parts: list[str | Macro] = []
    position = 0
    while position < len(text):
        percent = text.find("%", position)
        end = len(text) if percent < 0 else percent
        if end > position:
            parts.append(_literal(text[position:end], explanation=explanation))
        if percent < 0:
            break
        position = _read_macro(text, percent, letters, parts)
    return tuple(parts)


def _read_macro(text: str, percent: int, letters: frozenset[str], parts: list[str | Macro]) -> int:
    """Read what begins with a percent sign; where it ends."""
    plain = {"%%": "%", "%_": " ", "%-": "%20"}.get(text[percent : percent + 2])
    if plain is not None:
        parts.append(plain)
        return percent + 2
    found = _MACRO.match(text, percent)
    if found is None or found[1].lower() not in letters:
        raise SpfSyntaxError(f"{text[percent : percent + 20]!r} is no macro")
    if len(found[2]) > 3 or (found[2] and int(found[2]) == 0):
        raise SpfSyntaxError(f"{found[0]!r}: no such number of parts")
    parts.append(
        Macro(found[1].lower(), int(found[2] or 0), bool(found[3]), found[4] or ".", escape=found[1].isupper())
    )
    return found.end()


def _literal(text: str, *, explanation: bool) -> str:
    lowest = " " if explanation else "!"
    if any(not lowest <= character <= "~" for character in text):
        raise SpfSyntaxError(f"{text[:40]!r} has characters that are not allowed")
    return text
