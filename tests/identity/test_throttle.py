"""Guessing passwords is slowed down; nobody can lock out another."""

from __future__ import annotations

from everpost.identity.throttle import FOR_ONE_ADDRESS, FROM_ONE_CLIENT, WINDOW_S, Throttle, network_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_one_address_from_one_client() -> None:
    throttle, clock = Throttle(clock := Clock()), clock
    for _ in range(FOR_ONE_ADDRESS):
        assert throttle.wait_s("192.0.2.1", "anna@example.org") == 0
        throttle.failed("192.0.2.1", "Anna@example.org")
    clock.now += 10
    assert throttle.wait_s("192.0.2.1", "anna@example.org") == WINDOW_S - 10
    assert throttle.wait_s("192.0.2.1", "ben@example.org") == 0
    assert throttle.wait_s("192.0.2.2", "anna@example.org") == 0  # she herself, from elsewhere
    clock.now += WINDOW_S
    assert throttle.wait_s("192.0.2.1", "anna@example.org") == 0


def test_many_addresses_from_one_client() -> None:
    throttle = Throttle(Clock())
    for number in range(FROM_ONE_CLIENT):
        throttle.failed("2001:db8::1", f"{number}@example.org")
    assert throttle.wait_s("2001:db8::2", "other@example.org") > 0  # the same /64
    assert throttle.wait_s("2001:db8:0:1::1", "other@example.org") == 0


def test_success_forgives_typing_errors_but_not_a_client_that_tries_many() -> None:
    throttle = Throttle(Clock())
    for _ in range(FOR_ONE_ADDRESS):
        throttle.failed("192.0.2.1", "anna@example.org")
    throttle.succeeded("192.0.2.1", "anna@example.org")
    assert throttle.wait_s("192.0.2.1", "anna@example.org") == 0
    for number in range(FROM_ONE_CLIENT):
        throttle.failed("192.0.2.1", f"{number}@example.org")
    throttle.succeeded("192.0.2.1", "mine@example.org")
    assert throttle.wait_s("192.0.2.1", "anna@example.org") > 0


def test_memory_is_bounded() -> None:
    throttle = Throttle(Clock())
    for number in range(60_000):
        throttle.failed(f"2001:db8:{number:x}::1", "a@example.org")
    assert len(throttle._counts) <= 50_000


def test_networks() -> None:
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8::5") == "2001:db8::/64"
    assert network_of("unknown") == "unknown"
