"""Where mail for a mailbox goes right now, and whether its owner may log in to the standby. Pure.

Two separate switches: `route` is thrown by an activation of a scope, `access` by an activation or by itself.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from everpost.continuity.trust import TrustState
from everpost.directory.model import Place
from everpost.queue.model import HoldReason


class ScopeKind(enum.StrEnum):
    """How far a switch reaches."""

    ORGANISATION = "organisation"
    PRIMARY = "primary"
    DOMAIN = "domain"
    GROUP = "group"
    MAILBOX = "mailbox"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a switch is thrown for, inside one organisation."""

    organisation_id: int
    kind: ScopeKind
    id: int


class Route(enum.Enum):
    """Where the mail of a mailbox goes."""

    PRIMARY = "primary"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True)
class OpenActivation:
    """An activation in force. `returned` holds the mailboxes that failback has already given back."""

    id: int
    scope: Scope
    opens_access: bool
    returned: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """A route and, where the delivery to the primary has to wait, why."""

    route: Route
    hold: HoldReason | None = None
    activation_id: int | None = None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Every switch and trust state of the installation at one generation."""

    generation: int = 0
    states: Mapping[tuple[int, int], TrustState] = field(default_factory=dict)
    activations: Mapping[Scope, OpenActivation] = field(default_factory=dict)
    access: Mapping[Scope, bool] = field(default_factory=dict)

    def decide(self, place: Place) -> Decision:
        """The route of a mailbox. Without a primary the standby is its only home."""
        if place.primary_id is None:
            return Decision(Route.STANDBY)
        if self.state(place.organisation_id, place.primary_id) is TrustState.COMPROMISED:
            return Decision(Route.STANDBY, HoldReason.COMPROMISED)
        activation = self.covering(place)
        if activation is not None:
            return Decision(Route.STANDBY, HoldReason.ACTIVATED, activation.id)
        return Decision(Route.PRIMARY)

    def covering(self, place: Place) -> OpenActivation | None:
        """The narrowest activation in force for a mailbox that has not been given back under it."""
        for scope in scopes_of(place):
            activation = self.activations.get(scope)
            if activation is not None and place.mailbox_id not in activation.returned:
                return activation
        return None

    def access_open(self, place: Place) -> bool:
        """Whether the mailbox's owner may log in. The narrowest word counts; an activation opens its scope."""
        for scope in scopes_of(place):
            if scope in self.access:
                return self.access[scope]
            activation = self.activations.get(scope)
            if activation is not None and activation.opens_access and place.mailbox_id not in activation.returned:
                return True
        return place.primary_id is None

    def standby_is_master(self, place: Place) -> bool:
        """One master at a time: whether changes made in the standby count."""
        return self.decide(place).route is Route.STANDBY

    def state(self, organisation_id: int, primary_id: int) -> TrustState:
        """A primary's trust state; an unknown primary is not trusted with anything."""
        return self.states.get((organisation_id, primary_id), TrustState.COMPROMISED)

    def may_attempt(self, organisation_id: int, primary_id: int) -> bool:
        """Whether anything at all may be sent to a primary (DESIGN I6)."""
        return self.state(organisation_id, primary_id) is not TrustState.COMPROMISED


def scopes_of(place: Place) -> Iterator[Scope]:
    """The scopes a mailbox is in, narrowest first."""
    organisation = place.organisation_id
    yield Scope(organisation, ScopeKind.MAILBOX, place.mailbox_id)
    for group_id in sorted(place.group_ids):
        yield Scope(organisation, ScopeKind.GROUP, group_id)
    yield Scope(organisation, ScopeKind.DOMAIN, place.domain_id)
    if place.primary_id is not None:
        yield Scope(organisation, ScopeKind.PRIMARY, place.primary_id)
    yield Scope(organisation, ScopeKind.ORGANISATION, organisation)
