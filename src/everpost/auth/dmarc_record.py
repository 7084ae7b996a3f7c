"""DMARC policy records (RFC 9989 §4.7)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from everpost.auth.tags import TagError, TagList, parse_tags

MAX_RECORD: Final = 8192
_MAX_URIS: Final = 20

_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[\x21-\x7e]+\Z")


class Policy(enum.StrEnum):
    """What the domain's owner asks for when a message fails."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Alignment(enum.StrEnum):
    """How near an authenticated domain has to be (RFC 9989 §4.4)."""

    RELAXED = "r"
    STRICT = "s"


class Suffix(enum.StrEnum):
    """The psd= tag: whether the name is a public suffix."""

    YES = "y"
    NO = "n"
    UNKNOWN = "u"


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A policy record. `subdomains` and `missing` are None where they are not given (sp=, np=).

    `testing` is t=y. `percent` is the pct= of RFC 7489, kept for reading only: RFC 9989 has done away with it.
    `valid` is False where p=, sp= or np= say something unknown, or p= is missing (RFC 9989 §4.10.1 says what then).
    """

    policy: Policy
    subdomains: Policy | None = None
    missing: Policy | None = None
    dkim: Alignment = Alignment.RELAXED
    spf: Alignment = Alignment.RELAXED
    suffix: Suffix = Suffix.UNKNOWN
    testing: bool = False
    percent: int | None = None
    aggregate: tuple[str, ...] = ()
    failure: tuple[str, ...] = ()
    failure_options: str = "0"
    valid: bool = True


def is_dmarc(text: str) -> bool:
    """Whether a TXT record is one of DMARC: v=DMARC1 comes first, in these letters."""
    return _VERSION.match(text) is not None


def parse_record(text: str) -> DmarcRecord | None:
    """Read a record; None for what is not of DMARC. Unknown tags and values are passed over (RFC 9989 §4.7)."""
    if len(text) > MAX_RECORD or not is_dmarc(text):
        return None
    try:
        tags = parse_tags(text, strict=False)
    except TagError:
        return None
    asked = [_policy(tags, name) for name in ("p", "sp", "np")]
    known = asked[0] is not None and all(
        found is not None or tags.get(name) is None for found, name in zip(asked[1:], ("sp", "np"), strict=True)
    )
    aggregate = _uris(tags, "rua")
    return DmarcRecord(
        policy=asked[0] if known and asked[0] is not None else Policy.NONE,
        subdomains=asked[1] if known else None,
        missing=asked[2] if known else None,
        dkim=_alignment(tags, "adkim"),
        spf=_alignment(tags, "aspf"),
        suffix=_suffix(tags),
        testing=tags.packed("t").lower() == "y",
        percent=_percent(tags),
        aggregate=aggregate,
        failure=_uris(tags, "ruf"),
        failure_options=tags.packed("fo", "0").lower(),
        valid=known,
    )


def _policy(tags: TagList, name: str) -> Policy | None:
    try:
        return Policy(tags.packed(name).lower())
    except ValueError:
        return None


def _alignment(tags: TagList, name: str) -> Alignment:
    return Alignment.STRICT if tags.packed(name).lower() == "s" else Alignment.RELAXED


def _suffix(tags: TagList) -> Suffix:
    try:
        return Suffix(tags.packed("psd", "u").lower())
    except ValueError:
        return Suffix.UNKNOWN


def _percent(tags: TagList) -> int | None:
    text = tags.packed("pct")
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) and int(text) <= 100 else None


def _uris(tags: TagList, name: str) -> tuple[str, ...]:
    found = [uri.strip() for uri in tags.value(name).split(",")]
    return tuple(uri for uri in found if _URI.match(uri))[:_MAX_URIS]
