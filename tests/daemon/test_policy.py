"""When a project is due, for the daemon and for workers: tables, without threads and clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.daemon.policy import PastPolls, due_tick, next_due, stretches_interval, tick_delay
from rfsync.schedule import Cron, Interval, Schedule, SharedSchedule, Ticks, shared

#: A Thursday.
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY = 5 * MINUTE
EACH_FIVE = Interval(EVERY)
EVERY_FIFTH = Cron("*/5 * * * *", UTC)
HALF_PAST = Cron("30 * * * *", UTC)
DAY = 1440.0
#: At 12:02, 12:07, ...
TICKS = Ticks(EVERY, 2 * MINUTE)


def at(minutes: float) -> datetime:
    return START + minutes * MINUTE


# When the next poll is due. All times in minutes from noon: when the poll that has just ended was due, when it began,
# and when it ended. A result before the end means at once.


@pytest.mark.parametrize(
    ("schedule", "due", "began", "now", "failures", "expected"),
    [
        # The interval counts from the due time, not from the beginning or the end.
        (EACH_FIVE, 0, 0, 0, 0, 5),
        (EACH_FIVE, 0, 0.2, 0.5, 0, 5),
        (EACH_FIVE, 0, 0, 3, 0, 5),
        (EACH_FIVE, 0, 2, 4, 0, 5),
        (EVERY_FIFTH, 0, 0.1, 1, 0, 5),
        (HALF_PAST, 0, 0, 1, 0, 30),
        # A poll that takes longer than its interval is followed by another one at once.
        (EACH_FIVE, 0, 0, 5, 0, 5),
        (EACH_FIVE, 0, 0, 7, 0, 5),
        (EACH_FIVE, 0, 0, 21, 0, 5),
        (EVERY_FIFTH, 0, 0, 12, 0, 5),
        # What was due before a poll began is made up for by that poll.
        (EACH_FIVE, 0, 5, 6, 0, 10),
        (EACH_FIVE, 0, 21, 22, 0, 26),
        (EACH_FIVE, 0, 21, 40, 0, 26),
        (EVERY_FIFTH, 0, 21, 22, 0, 25),
        (HALF_PAST, 0, 100, 101, 0, 150),
        # Failures in a row: once, twice, 4, 8 and at most 12 intervals from the end.
        (EACH_FIVE, 0, 0, 1, 1, 5),
        (EACH_FIVE, 0, 0, 1, 2, 11),
        (EACH_FIVE, 0, 0, 1, 3, 21),
        (EACH_FIVE, 0, 0, 1, 4, 41),
        (EACH_FIVE, 0, 0, 1, 5, 61),
        (EACH_FIVE, 0, 0, 1, 6, 61),
        (EACH_FIVE, 0, 0, 1, 5_000, 61),
        (EVERY_FIFTH, 0, 0, 1, 1, 5),
        (EVERY_FIFTH, 0, 0, 1, 2, 10),
        (EVERY_FIFTH, 0, 0, 1, 3, 20),
        (EVERY_FIFTH, 0, 0, 1, 9, 60),
        (HALF_PAST, 0, 0, 1, 2, 90),
        # The clock was set back while the poll went on: the due time means nothing any more.
        (EACH_FIVE, 0, -DAY - 1, -DAY, 0, -DAY + 5),
        (EVERY_FIFTH, 0, -DAY - 1, -DAY, 0, -DAY + 5),
        (HALF_PAST, 30, 9, 10, 0, 30),
        # By a second only: the same time of the schedule is not polled twice.
        (EACH_FIVE, 0, -1 / 60, -1 / 60, 0, 5),
        (HALF_PAST, 30, 30 - 1 / 60, 30 - 1 / 60, 0, 90),
        # The clock was set forward: everything in between was made up for.
        (EACH_FIVE, 0, DAY, DAY + 1, 0, DAY + 5),
        (HALF_PAST, 0, DAY, DAY + 1, 0, DAY + 30),
    ],
)
def test_the_next_poll_is_due(
    schedule: Schedule, due: float, began: float, now: float, failures: int, expected: float
) -> None:
    assert next_due(schedule, at(due), at(began), at(now), failures) == at(expected)


# The same for several processes, which know of each other's polls only by what the database has.


@pytest.mark.parametrize(
    ("schedule", "began", "ended", "failures", "now", "expected"),
    [
        # It was never polled: at once, for the tick before.
        (TICKS, None, None, 0, 0, -3),
        (TICKS, None, None, 0, 2, 2),
        (HALF_PAST, None, None, 0, 0, -30),
        # Once per tick, whenever the last poll began and however long it took.
        (TICKS, -3, -2.9, 0, 1.9, None),
        (TICKS, -3, -2.9, 0, 2, 2),
        (TICKS, -3, 6, 0, 6, 2),
        (TICKS, 1, 1.5, 0, 2, 2),
        (TICKS, 2.1, 2.2, 0, 6.9, None),
        (EVERY_FIFTH, 0, 1, 0, 4.9, None),
        (EVERY_FIFTH, 0, 1, 0, 5, 5),
        # One makes up for all that were missed, and the tick is the last one.
        (TICKS, -60, -59, 0, 1, -3),
        (HALF_PAST, -2 * DAY, -2 * DAY + 1, 0, 40, 30),
        # One that goes on makes up for what was due before it began, and is followed by the next one.
        (TICKS, -3, None, 0, 1.9, None),
        (TICKS, -3, None, 0, 2, 2),
        # One without an end may be the trace of a process that is gone.
        (TICKS, -60, None, 99, 0, -3),
        # Failures in a row: the first tick that is 2, 4, 8, at most 12 intervals away.
        (TICKS, -3, -2.9, 1, 2, 2),
        (TICKS, -3, -2.9, 2, 6.9, None),
        (TICKS, -3, -2.9, 2, 7, 7),
        (TICKS, -3, -2.9, 3, 16.9, None),
        (TICKS, -3, -2.9, 3, 17, 17),
        (TICKS, -3, -2.9, 99, 56.9, None),
        (TICKS, -3, -2.9, 99, 57, 57),
        (HALF_PAST, -30, -29, 2, 89, None),
        (HALF_PAST, -30, -29, 2, 90, 90),
        # By a clock that is ahead: what it says counts for nothing, and the tick tells whether it was polled.
        (TICKS, DAY, DAY, 0, 0, -3),
    ],
)
def test_a_tick_is_due(
    schedule: SharedSchedule,
    began: float | None,
    ended: float | None,
    failures: int,
    now: float,
    expected: float | None,
) -> None:
    past = PastPolls(None if began is None else at(began), None if ended is None else at(ended), failures)
    assert due_tick(schedule, past, at(now)) == (None if expected is None else at(expected))


def test_a_departed_project_is_due_when_its_day_is_over() -> None:
    past = PastPolls(at(-3), at(-3), away_until=at(DAY - 3))
    assert due_tick(TICKS, past, at(DAY - 3.1)) is None
    assert due_tick(TICKS, past, at(DAY - 3)) == at(DAY - 3)


@pytest.mark.parametrize(
    ("outcome", "kind", "expected"),
    [("failed", "server", True), ("failed", "database", False), ("refused", None, False), ("unchanged", None, False)],
)
def test_what_stretches_the_interval(outcome: str, kind: str | None, expected: bool) -> None:
    assert stretches_interval(outcome, kind) is expected


@settings(max_examples=60)
@given(
    st.sampled_from([TICKS, Ticks(timedelta(seconds=1), timedelta(0)), EVERY_FIFTH, HALF_PAST]),
    st.lists(st.tuples(st.floats(0.001, 12), st.floats(0, 8)), min_size=1, max_size=25),
)
def test_whoever_looks_and_whenever_each_tick_fires_once_and_none_is_missed_for_long(
    schedule: SharedSchedule, looks: list[tuple[float, float]]
) -> None:
    past, now, fired = PastPolls(), START, list[datetime]()
    for wait, takes in looks:
        now += wait * MINUTE
        tick = due_tick(schedule, past, now)
        if tick is None:
            assert past.began is not None
            assert schedule.latest(now) <= past.began  # that one made up for it
            continue
        assert schedule.latest(now) == tick
        fired.append(tick)
        past = PastPolls(now, now + takes * MINUTE)
        now += takes * MINUTE
    assert fired == sorted(set(fired))


def test_projects_are_spread_over_the_interval_and_each_keeps_its_place() -> None:
    offsets = [schedule.offset for n in range(3000) if isinstance(schedule := shared(EACH_FIVE, f"acme/p{n}"), Ticks)]
    assert all(0 * MINUTE <= offset < EVERY for offset in offsets)
    thirds = [sum(part * 100 <= offset.seconds < (part + 1) * 100 for offset in offsets) for part in range(3)]
    assert sum(thirds) == len(offsets) == 3000
    assert min(thirds) > 800
    assert shared(EACH_FIVE, "acme/p0") == Ticks(EVERY, offsets[0])
    assert shared(HALF_PAST, "acme/p0") == HALF_PAST
    assert shared(Interval(timedelta(seconds=1)), "acme/p0") == Ticks(timedelta(seconds=1), timedelta(0))


def test_the_jitter_of_a_tick_is_the_same_for_all_and_differs_from_tick_to_tick() -> None:
    delays = {tick_delay("acme/a", at(minute), MINUTE) for minute in range(50)}
    assert len(delays) == 50
    assert all(timedelta(0) <= delay < MINUTE for delay in delays)
    assert tick_delay("acme/a", at(0), MINUTE) in delays
    assert tick_delay("acme/a", at(0), timedelta(0)) == timedelta(0)
