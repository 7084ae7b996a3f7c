"""Cards of people and groups (JSContact, RFC 9553): checked, searched and sorted. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from everpost.standby.text import fold
from everpost.standby.values import BadValue

Card = dict[str, Any]
MAX_CARD_OCTETS: Final = 400_000
MAX_TERMS: Final = 10
KINDS: Final = frozenset(("individual", "group", "org", "location", "device", "application"))
_MAPS: Final = {  # properties that are a map of objects, and the text each of them must have (RFC 9553 §2)
    "nicknames": "name", "organizations": None, "titles": "name", "emails": "address", "onlineServices": None,
    "phones": "number", "preferredLanguages": "language", "calendars": "uri", "schedulingAddresses": "uri",
    "addresses": None, "cryptoKeys": "uri", "directories": "uri", "links": "uri", "media": None, "anniversaries": None,
    "notes": "note", "personalInfo": "value", "relatedTo": None,
}  # fmt: skip
_TEXTS: Final = ("uid", "language", "prodId", "version", "kind")
_SETS: Final = ("members", "keywords")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")


def check_card(card: Card) -> None:
    """What RFC 9553 demands of the properties it defines; others are kept as they are. Raises `BadValue`."""
    if card.get("@type", "Card") != "Card":
        raise BadValue("@type", "a Card is expected")
    if card.get("version", "1.0") != "1.0":
        raise BadValue("version", "the version of JSContact is 1.0")
    for name in _TEXTS:
        if name in card and (not isinstance(card[name], str) or not card[name] or len(card[name]) > 1000):
            raise BadValue(name, "a text is expected")
    if card.get("kind", "individual") not in KINDS and "." not in card["kind"]:
        raise BadValue("kind", f"one of {', '.join(sorted(KINDS))}")
    for name in ("created", "updated"):
        if name in card and (not isinstance(card[name], str) or not _DATE.match(card[name])):
            raise BadValue(name, "a UTCDateTime is expected")
    _check_name(card.get("name"))
    for name, needed in _MAPS.items():
        _check_map(card, name, needed)
    for name in _SETS:
        value = card.get(name, {})
        if not isinstance(value, dict) or any(inner is not True for inner in value.values()):
            raise BadValue(name, "a map to true is expected")
    if any("\0" in text for text in _texts(card)):
        raise BadValue("name", "a text holds no NUL")


def _check_name(name: Any) -> None:
    if name is None:
        return
    if not isinstance(name, dict) or not isinstance(name.get("full", ""), str):
        raise BadValue("name", "a Name is expected")
    components = name.get("components", [])
    if not isinstance(components, list):
        raise BadValue("name/components", "a list is expected")
    for item in components:
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("kind"), str)
            or not isinstance(item.get("value"), str)
        ):
            raise BadValue("name/components", "a component has a kind and a value")


def _check_map(card: Card, name: str, needed: str | None) -> None:
    value = card.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(inner, dict) for inner in value.values()):
        raise BadValue(name, "a map of objects is expected")
    for key, inner in value.items():
        if needed is not None and not isinstance(inner.get(needed), str):
            raise BadValue(f"{name}/{key[:100]}/{needed}", "a text is expected")


def _texts(value: Any) -> Iterator[str]:
    """Every text of a card, names of properties included."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


# ---------------------------------------------------------------------- searching and sorting (RFC 9610 §3.3)


@dataclass(frozen=True, slots=True)
class Contact:
    """A card as it stands in an account. `id` and `books` are the client's."""

    id: str
    books: tuple[str, ...]
    card: Card
    created: datetime
    updated: datetime


def name_of(card: Card, kind: str) -> str:
    """The components of a kind, or the whole name where `kind` is empty."""
    name = card.get("name") or {}
    components = [item["value"] for item in name.get("components", ()) if not kind or item["kind"] == kind]
    if kind:
        return " ".join(components)
    return name.get("full") or " ".join(components)


def _inner(card: Card, name: str, *fields: str) -> str:
    found = []
    for item in (card.get(name) or {}).values():
        found += [value for field in fields if isinstance(value := item.get(field), str)]
    return "\n".join(found)


def _address(card: Card) -> str:
    found = [_inner(card, "addresses", "full")]
    for item in (card.get("addresses") or {}).values():
        parts = item.get("components") or ()
        found += [part["value"] for part in parts if isinstance(part, dict) and isinstance(part.get("value"), str)]
    return "\n".join(found)


FIELDS: Final[dict[str, Callable[[Card], str]]] = {
    "name": lambda card: name_of(card, ""),
    "name/given": lambda card: name_of(card, "given"),
    "name/surname": lambda card: name_of(card, "surname"),
    "name/surname2": lambda card: name_of(card, "surname2"),
    "nickname": lambda card: _inner(card, "nicknames", "name"),
    "organization": lambda card: _inner(card, "organizations", "name"),
    "email": lambda card: _inner(card, "emails", "address", "label"),
    "phone": lambda card: _inner(card, "phones", "number", "label"),
    "onlineService": lambda card: _inner(card, "onlineServices", "service", "uri", "user", "label"),
    "address": _address,
    "note": lambda card: _inner(card, "notes", "note"),
}
"""What can be searched of a card, by the name of the filter condition."""


def holds(text: str, wanted: str) -> bool:
    """Whether every word of `wanted` is in the text; case and accents do not count."""
    folded = fold(text)
    return all(word in folded for word in fold(wanted).split()[:MAX_TERMS])


def anything(card: Card) -> str:
    """All that "text" looks at."""
    return "\n".join(field(card) for field in FIELDS.values())


SORTS: Final[dict[str, Callable[[Contact], Any]]] = {
    "created": lambda contact: contact.created,
    "updated": lambda contact: contact.updated,
    "name/given": lambda contact: fold(name_of(contact.card, "given")),
    "name/surname": lambda contact: fold(name_of(contact.card, "surname")),
    "name/surname2": lambda contact: fold(name_of(contact.card, "surname2")),
    "name": lambda contact: fold(name_of(contact.card, "")),
}
