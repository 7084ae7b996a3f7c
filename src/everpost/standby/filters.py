"""A person's filters: conditions on a message that has come, and what shall become of it. Pure.

They act in order. The first that names a folder decides where the message stands; labels and addresses add up.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from everpost.mail.address import Address, AddressError, domain_key
from everpost.mail.header import Header, as_text
from everpost.standby.model import DRAFT
from everpost.standby.summary import Person, Summary
from everpost.standby.text import fold
from everpost.standby.values import MAX_KEYWORDS, BadValue, check_keywords

MAX_FILTERS = 100
MAX_CONDITIONS = 20
MAX_ALL_CONDITIONS = 500
"""Of all filters of a mailbox together."""
MAX_NAME = 200
MAX_VALUE = 200
MAX_FILTER_KEYWORDS = 20
MAX_FORWARDS = 5
"""Addresses that one message is passed on to at most."""


class Match(enum.StrEnum):
    """How many of its conditions a filter needs. Without conditions it takes every message."""

    ALL = "all"
    ANY = "any"


class Field(enum.StrEnum):
    """What a condition looks at."""

    FROM = "from"
    RECIPIENTS = "recipients"  # To and Cc
    SUBJECT = "subject"
    LIST_ID = "listId"  # RFC 2919
    ATTACHMENT = "attachment"
    SIZE = "size"


class Comparison(enum.StrEnum):
    """How it looks. Case, accents and width never count."""

    CONTAINS = "contains"
    IS = "is"
    DOMAIN = "domain"  # of an address: this one, or one below it
    PRESENT = "present"
    LARGER = "larger"  # octets


ALLOWED: dict[Field, frozenset[Comparison]] = {
    Field.FROM: frozenset((Comparison.CONTAINS, Comparison.IS, Comparison.DOMAIN)),
    Field.RECIPIENTS: frozenset((Comparison.CONTAINS, Comparison.IS, Comparison.DOMAIN)),
    Field.SUBJECT: frozenset((Comparison.CONTAINS, Comparison.IS)),
    Field.LIST_ID: frozenset((Comparison.CONTAINS, Comparison.IS)),
    Field.ATTACHMENT: frozenset((Comparison.PRESENT,)),
    Field.SIZE: frozenset((Comparison.LARGER,)),
}


class Condition(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, gc=False):
    """One condition, as it is stored and as JMAP shows it."""

    field: Field
    comparison: Comparison
    value: str = ""
    size: int = 0
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter. `broken`: its folder is gone."""

    id: int
    name: str
    sort_order: int = 0
    enabled: bool = True
    match: Match = Match.ALL
    conditions: tuple[Condition, ...] = ()
    folder_id: int | None = None
    keywords: frozenset[str] = frozenset()
    forward_to: str | None = None
    stop: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """An address that a message is to be passed on to, and the filter that says so."""

    address: str
    filter_id: int


@dataclass(frozen=True, slots=True)
class Filing:
    """What filters make of a message. Without a folder it stays where it is."""

    folder_id: int | None = None
    keywords: frozenset[str] = frozenset()
    forwards: tuple[Forward, ...] = ()

    def __bool__(self) -> bool:
        return self.folder_id is not None or bool(self.keywords) or bool(self.forwards)


@dataclass(frozen=True, slots=True)
class _People:
    """Addresses of header fields, folded so that one look decides."""

    text: str
    addresses: frozenset[str]
    domains: frozenset[str]


@dataclass(slots=True)
class Facts:
    """What filters may ask of a message; each is worked out once, when it is first asked for."""

    summary: Summary
    size: int
    list_id: str
    _people: dict[Field, _People] = field(default_factory=dict)
    _texts: dict[Field, str] = field(default_factory=dict)

    def people(self, which: Field) -> _People:
        if which not in self._people:
            summary = self.summary
            self._people[which] = _read(summary.from_ if which is Field.FROM else (*summary.to, *summary.cc))
        return self._people[which]

    def text(self, which: Field) -> str:
        if which not in self._texts:
            self._texts[which] = _plain(self.summary.subject if which is Field.SUBJECT else self.list_id)
        return self._texts[which]


def list_id_of(header: Header) -> str:
    """What stands between the brackets of List-Id, or all of it where there are none (RFC 2919 §3)."""
    found = header.first("list-id")
    if found is None:
        return ""
    text = as_text(found.raw)[:1000]
    start, end = text.rfind("<"), text.rfind(">")
    return text[start + 1 : end].strip() if 0 <= start < end else text.strip()


def decide(filters: Iterable[Filter], facts: Facts) -> Filing:
    """What becomes of a message. Those that are off do nothing; one that is broken leaves the folder alone."""
    folder_id: int | None = None
    keywords: set[str] = set()
    forwards: dict[str, Forward] = {}
    for each in filters:
        if not each.enabled or not matches(each, facts):
            continue
        if folder_id is None and not each.broken:
            folder_id = each.folder_id
        if len(keywords | each.keywords) <= MAX_KEYWORDS:
            keywords |= each.keywords
        if each.forward_to is not None and len(forwards) < MAX_FORWARDS:
            forwards.setdefault(each.forward_to, Forward(each.forward_to, each.id))
        if each.stop:
            break
    return Filing(folder_id, frozenset(keywords), tuple(forwards.values()))


def matches(wanted: Filter, facts: Facts) -> bool:
    """Whether a filter takes a message."""
    if not wanted.conditions:
        return True
    found = (_holds(condition, facts) != condition.is_negated for condition in wanted.conditions)
    return all(found) if wanted.match is Match.ALL else any(found)


def _holds(condition: Condition, facts: Facts) -> bool:
    match condition.field:
        case Field.ATTACHMENT:
            return facts.summary.has_attachment
        case Field.SIZE:
            return facts.size > condition.size
        case Field.SUBJECT | Field.LIST_ID:
            return _text_holds(condition, facts.text(condition.field))
        case Field.FROM | Field.RECIPIENTS:
            return _people_hold(condition, facts.people(condition.field))


def _text_holds(condition: Condition, text: str) -> bool:
    value = _wanted(condition.value)
    return value == text if condition.comparison is Comparison.IS else value in text


def _people_hold(condition: Condition, people: _People) -> bool:
    match condition.comparison:
        case Comparison.IS:
            return _address_key(condition.value) in people.addresses
        case Comparison.DOMAIN:
            return _domain(condition.value) in people.domains
        case _:
            return _wanted(condition.value) in people.text


def _read(people: Sequence[Person]) -> _People:
    addresses = frozenset(_address_key(person.address) for person in people)
    domains: set[str] = set()
    for address in addresses:
        labels = address.rpartition("@")[2].split(".")[-10:]
        domains.update(".".join(labels[number:]) for number in range(len(labels)))
    text = "\n".join(f"{_plain(person.name or '')} <{_plain(person.address)}>" for person in people)
    return _People(text, addresses, frozenset(domains))


def _plain(text: str) -> str:
    return " ".join(fold(text).split())


_wanted = functools.lru_cache(maxsize=10_000)(_plain)
"""What conditions look for: the same again and again, unlike what stands in messages."""


def _address_key(text: str) -> str:
    """Also of what is no address of an envelope, as strangers write them."""
    try:
        return Address.parse(text.strip()).key
    except AddressError:
        return fold(text.strip())


def _domain(text: str) -> str:
    name = text.strip().removeprefix("@").removeprefix("*.").strip(".")
    try:
        return domain_key(name)
    except UnicodeError:
        return name.lower()


# ---------------------------------------------------------------------- what may be stored


def check(wanted: Filter) -> Filter:
    """The filter as it is stored; raises `BadValue`. Folder and address are for the caller to look up."""
    name = " ".join(wanted.name.split())
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise BadValue("name", f"a filter's name is one line of 1 to {MAX_NAME} letters")
    if len(wanted.conditions) > MAX_CONDITIONS:
        raise BadValue("conditions", f"a filter has at most {MAX_CONDITIONS} conditions")
    for condition in wanted.conditions:
        _check_condition(condition)
    if len(wanted.keywords) > MAX_FILTER_KEYWORDS:
        raise BadValue("keywords", f"a filter gives at most {MAX_FILTER_KEYWORDS} labels")
    keywords = check_keywords(wanted.keywords)
    if DRAFT in keywords:
        raise BadValue("keywords", "mail that comes is no draft")
    if wanted.folder_id is None and not keywords and wanted.forward_to is None and not wanted.stop:
        raise BadValue("folder", "a filter does something: it names a folder, a label, an address, or is the last")
    return replace(wanted, name=name, keywords=keywords)


def _check_condition(condition: Condition) -> None:
    """Raises `BadValue`."""
    if condition.comparison not in ALLOWED[condition.field]:
        raise BadValue("conditions", f"{condition.field} cannot be compared by {condition.comparison}")
    if not 0 <= condition.size < 2**53:
        raise BadValue("conditions", "a size is a number of octets")
    value = condition.value
    if condition.field in (Field.ATTACHMENT, Field.SIZE):
        if value:
            raise BadValue("conditions", f"{condition.field} is not compared with a text")
        return
    if not _plain(value) or len(value) > MAX_VALUE or not value.isprintable():
        raise BadValue("conditions", f"what is looked for is one line of 1 to {MAX_VALUE} letters")
    if condition.comparison is Comparison.DOMAIN and "." not in _domain(value):
        raise BadValue("conditions", f"{value!r} is no domain")
