"""The pace of requests."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.rate_limit import RateLimit, RateLimits
from rfsync.redaction import Secret


class FakeClock:
    """Time that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        if seconds:
            self.slept.append(seconds)
            self.now += seconds


def test_the_first_caller_does_not_wait_and_the_next_ones_do_in_turn() -> None:
    clock = FakeClock()
    limit = RateLimit(4, clock.monotonic)
    for _ in range(4):
        clock.wait(limit.reserve())
    assert clock.slept == [0.25, 0.25, 0.25]


def test_a_caller_that_comes_late_does_not_wait_and_saves_up_nothing() -> None:
    clock = FakeClock()
    limit = RateLimit(4, clock.monotonic)
    clock.wait(limit.reserve())
    clock.now += 60
    clock.wait(limit.reserve())
    clock.wait(limit.reserve())
    assert clock.slept == [0.25]


def test_callers_that_come_at_once_are_let_through_one_after_the_other() -> None:
    limit = RateLimit(2, lambda: 1000.0)  # all of them before any has waited
    assert [limit.reserve() for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]


@settings(max_examples=12)
@given(st.lists(st.floats(0, 1), max_size=8), st.sampled_from([0.5, 4, 1000]))
def test_no_two_callers_are_let_through_closer_together_than_allowed(pauses: list[float], per_second: float) -> None:
    clock = FakeClock()
    limit = RateLimit(per_second, clock.monotonic)
    through = []
    for pause in pauses:
        clock.now += pause
        clock.wait(limit.reserve())
        through.append(clock.now)
    assert all(b - a >= 1 / per_second - 1e-9 for a, b in pairwise(through))


def test_each_key_has_a_rate_limit_of_its_own() -> None:
    clock = FakeClock()
    limits = RateLimits(lambda: RateLimit(4, clock.monotonic))
    for key in ("a", "b", "a", "c", "b"):
        clock.wait(limits.reserve(Secret(key)))
    # Only the second of "a" had to wait; by then it was time for the second of "b", too.
    assert clock.slept == [0.25]
    clock.wait(limits.reserve(Secret("a")))
    assert clock.slept == [0.25, 0.25]
