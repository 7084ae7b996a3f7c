"""The state machine of trust, every state with every event, and the promises it has to keep."""

from __future__ import annotations

import itertools

import pytest

from everpost.continuity.trust import Effect, Refused, TrustEvent, TrustState, advance

T, D, S, C, R = TrustState
E = TrustEvent

# state → {event: next state}; every event that is not named must be refused.
EXPECTED = {
    T: {
        E.WENT_DOWN: D, E.CAME_UP: T, E.DOUBTED: S, E.ISOLATED: C,
        E.FAILBACK_STARTED: T, E.FAILBACK_STOPPED: T, E.FAILBACK_FINISHED: T,
    },
    D: {
        E.WENT_DOWN: D, E.CAME_UP: D, E.DOUBTED: D, E.ISOLATED: C, E.FAILBACK_STARTED: R, E.FAILBACK_FINISHED: T,
    },
    S: {
        E.WENT_DOWN: D, E.CAME_UP: S, E.DOUBTED: S, E.CLEARED: T, E.ISOLATED: C,
        E.FAILBACK_STARTED: S, E.FAILBACK_STOPPED: S, E.FAILBACK_FINISHED: S,
    },
    C: {E.WENT_DOWN: C, E.CAME_UP: C, E.DOUBTED: C, E.ISOLATED: C, E.CLEAN_BILL: D},
    R: {
        E.WENT_DOWN: D, E.CAME_UP: R, E.DOUBTED: R, E.ISOLATED: C, E.FAILBACK_STARTED: R,
        E.FAILBACK_STOPPED: D, E.FAILBACK_FINISHED: T,
    },
}  # fmt: skip


@pytest.mark.parametrize(("state", "event"), list(itertools.product(TrustState, TrustEvent)))
def test_every_state_with_every_event(state: TrustState, event: TrustEvent) -> None:
    wanted = EXPECTED[state].get(event)
    if wanted is None:
        with pytest.raises(Refused, match=event.value):
            advance(state, event)
    else:
        assert advance(state, event).state is wanted


def test_nothing_but_a_person_leaves_compromised() -> None:
    ways_out = [event for event, state in EXPECTED[C].items() if state is not C]
    assert ways_out == [E.CLEAN_BILL]
    assert Effect.UNFREEZE in advance(C, E.CLEAN_BILL).effects


def test_trust_comes_back_only_through_a_failback_or_a_persons_word() -> None:
    ways = {
        (state, event)
        for state, events in EXPECTED.items()
        for event, after in events.items()
        if after is T and state is not T
    }
    assert ways == {(D, E.FAILBACK_FINISHED), (R, E.FAILBACK_FINISHED), (S, E.CLEARED)}


@pytest.mark.parametrize("state", [T, D, S, R])
def test_isolation_freezes_before_it_activates(state: TrustState) -> None:
    assert advance(state, E.ISOLATED).effects == (Effect.FREEZE, Effect.ACTIVATE, Effect.ALERT)


@pytest.mark.parametrize("state", [T, S, R])
def test_going_down_activates(state: TrustState) -> None:
    assert Effect.ACTIVATE in advance(state, E.WENT_DOWN).effects


def test_every_change_of_state_is_told() -> None:
    for state, event in itertools.product(TrustState, TrustEvent):
        try:
            transition = advance(state, event)
        except Refused:
            continue
        if transition.state is not state:
            assert Effect.ALERT in transition.effects, (state, event)
