"""Limits on what goes out, and what is counted of a message for them. Pure."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from everpost.guard.case import Case, Insider
from everpost.mail.address import Address

MEASURES: Final = ("messages", "recipients", "strangers")
_WORDS: Final[Mapping[str, str]] = {
    "messages": "messages", "recipients": "recipients outside", "strangers": "recipients never written to before",
}  # fmt: skip


class Action(enum.StrEnum):
    """What is done with mail beyond a limit."""

    OFF = "off"  # it is not counted either
    MARK = "mark"  # it goes, with a signal
    QUARANTINE = "quarantine"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Amount:
    """Of mail: messages, recipients outside the organisation, and those of them never written to before."""

    messages: int = 0
    recipients: int = 0
    strangers: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.messages + other.messages, self.recipients + other.recipients, self.strangers + other.strangers
        )

    def __neg__(self) -> Amount:
        return Amount(-self.messages, -self.recipients, -self.strangers)


@dataclass(frozen=True, slots=True)
class Limit:
    """The most within an hour and within a day; 0 of something is no limit."""

    action: Action = Action.OFF
    hour: Amount = Amount()
    day: Amount = Amount()


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """For each person, and for each primary with all who send through it."""

    person: Limit = Limit()
    primary: Limit = Limit()


@dataclass(frozen=True, slots=True)
class Sent:
    """What is counted of a message. `person` and `primary` are the names that it is counted under, where there are
    any; `recipients` stands for those outside (`fingerprint`).
    """

    organisation_id: int
    person: str | None
    primary: str | None
    recipients: tuple[bytes, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """What somebody has sent within the last hour and the last day, with the message asked about."""

    hour: Amount
    day: Amount


@dataclass(frozen=True, slots=True)
class Counted:
    """What is known once a message is counted. `strangers` are recipients never written to before by that person,
    `fading` those whom it is time to note again.
    """

    person: Totals | None = None
    primary: Totals | None = None
    strangers: tuple[bytes, ...] = ()
    fading: tuple[bytes, ...] = field(default=())


class Counts(Protocol):
    """Counts that all processes share."""

    async def count(self, sent: Sent) -> Counted:
        """Count a message. Raises what `store.database.UNAVAILABLE` lists."""

    def take_back(self, sent: Sent, counted: Counted) -> None:
        """It was not sent after all: it comes again. Does not wait."""

    def learn(self, sent: Sent, counted: Counted) -> None:
        """Its recipients have been written to. Does not wait."""


def sent_of(case: Case, limits: SendingLimits) -> Sent | None:
    """None where nobody's limit concerns it."""
    insider = case.insider
    if insider is None:
        return None
    person = _person(case, insider) if limits.person.action is not Action.OFF else None
    wanted = limits.primary.action is not Action.OFF and insider.primary_id is not None
    primary = f"primary {insider.primary_id}" if wanted else None
    if person is None and primary is None:
        return None
    outside = {each.key for each in case.recipients if each.domain.lower() not in case.own_domains}
    recipients = tuple(sorted(map(fingerprint, outside)))
    return Sent(insider.organisation_id, person, primary, recipients, case.received_at)


def fingerprint(key: str) -> bytes:
    """What is kept of an address (by its key): 8 octets."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()[:8]


def _person(case: Case, insider: Insider) -> str | None:
    """The mailbox; else the login, unless it is the primary's; else the reverse-path, where it is of a domain of ours.

    Reports (the null reverse-path) and what a primary forwards for others count for the primary alone.
    """
    if insider.mailbox_id is not None:
        return f"mailbox {insider.mailbox_id}"
    if case.login and insider.primary_id is None:
        return f"login {case.login.lower()[:300]}"
    path = case.reverse_path
    if path is None or path.domain.lower() not in case.own_domains:
        return None
    return f"address {_steady(path)}"


def shown_name(case: Case, sent: Sent) -> str:
    """Who sends, for people to read."""
    return _steady(case.reverse_path) if case.reverse_path else case.login or sent.person or ""


def _steady(path: Address) -> str:
    """Without what list servers put in for each recipient (VERP): it would be another sender each time."""
    local = path.local.lower()
    if "=" in local:
        return f"@{path.domain.lower()}"
    return f"{local.partition('+')[0][:300]}@{path.domain.lower()}"


def beyond(limit: Limit, totals: Totals) -> Iterator[str]:
    """Which of the limits are exceeded, for a person to read."""
    for period, most, found in (("an hour", limit.hour, totals.hour), ("a day", limit.day, totals.day)):
        for measure in MEASURES:
            allowed, number = getattr(most, measure), getattr(found, measure)
            if 0 < allowed < number:
                yield f"{number:,} {_WORDS[measure]} within {period}, {allowed:,} are usual at most"
