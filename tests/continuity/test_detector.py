"""Hysteresis: what it takes to go down and to come up, for any sequence of results."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everpost.continuity.detector import Edge, Hysteresis, Watch, observe
from everpost.continuity.monitor import hysteresis
from everpost.directory.primary import ProbeSettings

RULES = Hysteresis(failures=3, spacing_s=5, successes=3, up_time_s=20, memory_s=3600, longest_up_time_s=600)
STEPS = st.lists(st.tuples(st.booleans(), st.floats(0.1, 60)), max_size=200)


def run(steps: list[tuple[bool, float]], rules: Hysteresis = RULES) -> list[tuple[float, bool, Edge | None, Watch]]:
    watch, at, history = Watch(), 0.0, []
    for ok, pause in steps:
        at += pause
        watch, edge = observe(watch, ok, at, rules)
        history.append((at, ok, edge, watch))
    return history


@given(STEPS)
def test_edges_alternate_and_match_the_watch(steps: list[tuple[bool, float]]) -> None:
    edges = [edge for _, _, edge, _ in run(steps) if edge is not None]
    assert edges == [Edge.WENT_DOWN if number % 2 == 0 else Edge.CAME_UP for number in range(len(edges))]
    for _, ok, edge, watch in run(steps):
        if edge is not None:
            assert watch.up is (edge is Edge.CAME_UP)
            assert ok is (edge is Edge.CAME_UP)


@given(STEPS)
def test_down_takes_enough_spaced_failures_in_a_row(steps: list[tuple[bool, float]]) -> None:
    history = run(steps)
    for number, (at, _, edge, _) in enumerate(history):
        if edge is not Edge.WENT_DOWN:
            continue
        row = []
        for earlier, ok, other, _ in reversed(history[: number + 1]):
            if ok or (other is Edge.CAME_UP):
                break
            row.append(earlier)
        assert len(row) >= RULES.failures
        assert at - row[-1] >= RULES.spacing_s * (RULES.failures - 1)


@given(STEPS)
def test_up_takes_an_unbroken_time_that_grows_with_the_downs(steps: list[tuple[bool, float]]) -> None:
    history = run(steps)
    downs: list[float] = []
    for number, (at, _, edge, _) in enumerate(history):
        if edge is Edge.WENT_DOWN:
            downs.append(at)
        if edge is not Edge.CAME_UP:
            continue
        first = at
        for earlier, ok, _, _ in reversed(history[: number + 1]):
            if not ok:
                break
            first = earlier
        lately = [time for time in downs if at - time <= RULES.memory_s]
        assert at - first >= min(RULES.up_time_s * 2 ** max(len(lately) - 1, 0), RULES.longest_up_time_s)


@given(st.floats(0.5, 10), st.integers(2, 400))
def test_a_flapping_primary_never_flaps_the_route(pause: float, times: int) -> None:
    assert all(edge is None for _, _, edge, _ in run([(number % 2 == 0, pause) for number in range(times)]))


def test_a_primary_that_comes_and_goes_is_left_alone_longer_each_time() -> None:
    watch, at, up_times = Watch(), 0.0, []
    for _ in range(5):
        edge = None
        while edge is not Edge.WENT_DOWN:
            at += 5
            watch, edge = observe(watch, False, at, RULES)
        began = at
        while edge is not Edge.CAME_UP:
            at += 5
            watch, edge = observe(watch, True, at, RULES)
        up_times.append(at - began)
    assert up_times == sorted(up_times)
    assert up_times[-1] >= 8 * up_times[0] * 0.9


def test_a_burst_of_failures_counts_once() -> None:
    assert all(edge is None for _, _, edge, _ in run([(False, 0.01)] * 300))


def test_the_default_profile_detects_within_30_s_and_the_fast_one_within_5_s() -> None:
    for settings, limit in ((ProbeSettings(), 30), (ProbeSettings(interval_s=1.5, timeout_s=1), 5)):
        rules = hysteresis(settings)
        # The worst case: it dies right after a good probe began, and hangs until each probe times out.
        watch, at, edge = Watch(), settings.interval_s, None
        while edge is None:
            watch, edge = observe(watch, False, at + settings.timeout_s, rules)
            end, at = at + settings.timeout_s, at + settings.interval_s / 2
        assert end <= limit
