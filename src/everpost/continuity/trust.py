"""The trust in a primary: a pure state machine. Every change has a cause, an actor and a time.

A person may always go towards caution; towards trust only the gates lead:
`compromised` is left through the clean-bill gate and a failback alone (DESIGN I6).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class TrustState(enum.StrEnum):
    """How far a primary is trusted."""

    TRUSTED = "trusted"
    DOWN = "down"
    SUSPECT = "suspect"
    COMPROMISED = "compromised"
    RECOVERING = "recovering"


class TrustEvent(enum.StrEnum):
    """What can happen to a primary's trust."""

    WENT_DOWN = "went down"  # the detector, after its hysteresis
    CAME_UP = "came up"  # the detector, after its hysteresis
    DOUBTED = "doubted"  # guard or a person: looks hijacked
    CLEARED = "cleared"  # a person: the doubt was unfounded
    ISOLATED = "isolated"  # a person: it belongs to somebody else
    CLEAN_BILL = "clean bill"  # a person, through the gate: rebuilt and checked
    FAILBACK_STARTED = "failback started"
    FAILBACK_STOPPED = "failback stopped"  # cancelled before it was through
    FAILBACK_FINISHED = "failback finished"


class Effect(enum.Enum):
    """What a transition asks of the rest of the system, in this order."""

    ACTIVATE = "throw the route of its mailboxes to the standby"
    FREEZE = "stop everything to and from it"
    UNFREEZE = "let it be probed and, wave by wave, delivered to"
    OFFER_FAILBACK = "start the failback, by itself or when a person says so, as configured"
    ALERT = "tell people"


@dataclass(frozen=True, slots=True)
class Transition:
    """Where an event leads from a state."""

    state: TrustState
    effects: tuple[Effect, ...] = ()


class Refused(Exception):
    """The event is not possible in this state; the message says what is."""


_T, _D, _S, _C, _R = TrustState
_E = TrustEvent

_TABLE: dict[tuple[TrustState, TrustEvent], Transition] = {
    (_T, _E.WENT_DOWN): Transition(_D, (Effect.ACTIVATE, Effect.ALERT)),
    (_T, _E.CAME_UP): Transition(_T),
    (_T, _E.DOUBTED): Transition(_S, (Effect.ALERT,)),
    (_T, _E.ISOLATED): Transition(_C, (Effect.FREEZE, Effect.ACTIVATE, Effect.ALERT)),
    # A failback of a smaller scope leaves the primary trusted all along.
    (_T, _E.FAILBACK_STARTED): Transition(_T),
    (_T, _E.FAILBACK_STOPPED): Transition(_T),
    (_T, _E.FAILBACK_FINISHED): Transition(_T),
    (_D, _E.WENT_DOWN): Transition(_D),
    (_D, _E.CAME_UP): Transition(_D, (Effect.OFFER_FAILBACK,)),
    (_D, _E.DOUBTED): Transition(_D, (Effect.ALERT,)),  # nothing goes to it anyway; a person looks before the return
    (_D, _E.ISOLATED): Transition(_C, (Effect.FREEZE, Effect.ACTIVATE, Effect.ALERT)),
    (_D, _E.FAILBACK_STARTED): Transition(_R, (Effect.ALERT,)),
    # Down without an activation (monitoring only): there is nothing to bring back.
    (_D, _E.FAILBACK_FINISHED): Transition(_T, (Effect.ALERT,)),
    (_S, _E.WENT_DOWN): Transition(_D, (Effect.ACTIVATE, Effect.ALERT)),
    (_S, _E.CAME_UP): Transition(_S),
    (_S, _E.DOUBTED): Transition(_S),
    (_S, _E.CLEARED): Transition(_T, (Effect.ALERT,)),
    (_S, _E.ISOLATED): Transition(_C, (Effect.FREEZE, Effect.ACTIVATE, Effect.ALERT)),
    (_S, _E.FAILBACK_STARTED): Transition(_S),
    (_S, _E.FAILBACK_STOPPED): Transition(_S),
    (_S, _E.FAILBACK_FINISHED): Transition(_S),
    (_C, _E.WENT_DOWN): Transition(_C),
    (_C, _E.CAME_UP): Transition(_C),  # being reachable says nothing about whom it belongs to
    (_C, _E.DOUBTED): Transition(_C),
    (_C, _E.ISOLATED): Transition(_C),
    (_C, _E.CLEAN_BILL): Transition(_D, (Effect.UNFREEZE, Effect.ALERT)),
    (_R, _E.WENT_DOWN): Transition(_D, (Effect.ACTIVATE, Effect.ALERT)),
    (_R, _E.CAME_UP): Transition(_R),
    (_R, _E.DOUBTED): Transition(_R, (Effect.ALERT,)),
    (_R, _E.ISOLATED): Transition(_C, (Effect.FREEZE, Effect.ACTIVATE, Effect.ALERT)),
    (_R, _E.FAILBACK_STARTED): Transition(_R),
    (_R, _E.FAILBACK_STOPPED): Transition(_D, (Effect.ALERT,)),
    (_R, _E.FAILBACK_FINISHED): Transition(_T, (Effect.ALERT,)),
}

_WHY_NOT: dict[tuple[TrustState, TrustEvent], str] = {
    (_C, _E.CLEARED): "it was isolated as compromised: give it a clean bill first",
    (_C, _E.FAILBACK_STARTED): "it is isolated as compromised: give it a clean bill first",
}


def advance(state: TrustState, event: TrustEvent) -> Transition:
    """Where `event` leads from `state`; raises `Refused` where it is not possible."""
    transition = _TABLE.get((state, event))
    if transition is None:
        why = _WHY_NOT.get((state, event), f"that is not possible while the primary is {state.value}")
        raise Refused(f"{event.value}: {why}")
    return transition
