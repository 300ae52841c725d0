"""When a project is polled next: tables and short lives, without threads and clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.daemon.polled_project import ERROR_LOG_INTERVAL, Instant, Poll, PolledProject
from rfsync.ledger.runs import RunRow
from rfsync.redaction import Secret
from rfsync.schedule import Cron, Interval, Schedule
from rfsync.sync.result import Result
from rfsync.sync.task import SyncTask

#: A Thursday.
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERY = 5 * MINUTE
EACH_FIVE = Interval(EVERY)
EVERY_FIFTH = Cron("*/5 * * * *", UTC)
HALF_PAST = Cron("30 * * * *", UTC)
DAY = 1440.0
NOW = timedelta(0)
TASK = SyncTask("acme", "a", Secret("key"))


# Lives


class Life:
    """A project and the two clocks."""

    def __init__(self, schedule: Schedule = EACH_FIVE, jitter: timedelta = NOW) -> None:
        self.now = Instant(START, 1_000.0)
        self.project = PolledProject.new(TASK, schedule, jitter, self.now)

    def advance(self, by: timedelta) -> None:
        self.now = Instant(self.now.wall + by, self.now.monotonic + by.total_seconds())

    def set_clock(self, by: timedelta) -> None:
        self.now = self.now._replace(wall=self.now.wall + by)

    @property
    def wait(self) -> timedelta:
        return timedelta(seconds=round(self.project.starts_at - self.now.monotonic, 6))

    def begin(self) -> Poll:
        """A poll that begins when it is due."""
        self.advance(max(self.wait, NOW))
        return Poll(self.project, self.now.monotonic)

    def end(self, poll: Poll, outcome: str | None = "unchanged", delay: float = 0.0) -> None:
        result = None if outcome is None else Result("acme", "a", RunRow(outcome))
        self.project = self.project.after_poll(poll, result, self.now, delay)

    def poll(self, *outcomes: str | None, delays: Iterator[float] | None = None) -> list[timedelta]:
        """Polls that take no time; how long each was waited for."""
        waits = []
        for outcome in outcomes:
            waits.append(self.wait)
            self.end(self.begin(), outcome, next(delays) if delays else 0.0)
        return waits

    @property
    def stale(self) -> bool:
        return self.project.is_stale(self.now.monotonic)


def minutes(*numbers: float) -> list[timedelta]:
    return [number * MINUTE for number in numbers]


def test_the_first_poll_is_due_at_once_without_jitter() -> None:
    assert Life(HALF_PAST, jitter=MINUTE).wait == NOW


def test_consecutive_failures_stretch_the_interval_up_to_twelve_times_and_success_restores_it() -> None:
    life = Life()
    waits = life.poll("unchanged", *["failed"] * 7, "unchanged", "unchanged")
    assert [wait / EVERY for wait in waits] == [0, 1, 1, 2, 4, 8, 12, 12, 12, 1]
    assert life.project.failures == 0


def test_a_cron_line_is_stretched_to_a_time_of_its_own() -> None:
    life = Life(EVERY_FIFTH)
    assert life.poll(*["failed"] * 5, "unchanged") == minutes(0, 5, 10, 20, 40, 60)
    assert life.wait == EVERY


@pytest.mark.parametrize("outcome", ["refused", "abandoned"])
def test_a_poll_that_was_refused_or_abandoned_does_not_stretch_it(outcome: str) -> None:
    life = Life()
    assert life.poll(*[outcome] * 4) == [NOW, EVERY, EVERY, EVERY]
    assert (life.project.failures, life.project.succeeded) == (0, None)


@pytest.mark.parametrize("outcome", ["failed", None], ids=["failure", "bug"])
def test_a_bug_counts_as_a_failure(outcome: str | None) -> None:
    life = Life()
    life.poll(outcome, outcome, "refused")
    assert life.project.failures == 2
    assert life.project.last is not None
    life.poll(outcome)
    assert life.project.failures == 3
    assert (life.project.last is None) == (outcome is None)


@pytest.mark.parametrize("outcome", ["changed", "unchanged", "superseded"])
def test_these_outcomes_are_a_success(outcome: str) -> None:
    life = Life()
    life.poll("failed", "failed", outcome)
    assert (life.project.failures, life.project.succeeded) == (0, life.now)
    assert life.now.wall == START + 3 * EVERY


def test_a_job_list_that_fails_is_no_failure_of_the_project() -> None:
    life = Life()
    row = RunRow("unchanged", jobs_error_kind="server", jobs_error="HTTP 503")
    for _ in range(5):
        poll = life.begin()
        life.project = life.project.after_poll(poll, Result("acme", "a", row, jobs_failed=True), life.now, 0.0)
        assert (life.wait, life.project.failures, life.project.succeeded) == (EVERY, 0, life.now)


def test_the_jitter_does_not_add_up() -> None:
    life = Life(jitter=timedelta(seconds=10))
    delays = [10.0, 3.0, 0.0, 9.5, 10.0, 10.0, 0.25]
    life.poll(*["unchanged"] * len(delays), delays=iter(delays))
    starts = life.now.wall + life.wait
    assert starts == START + len(delays) * EVERY + timedelta(seconds=delays[-1])


@pytest.mark.parametrize("schedule", [EACH_FIVE, EVERY_FIFTH], ids=["interval", "cron"])
def test_a_poll_that_goes_on_while_the_clock_is_set_back_is_due_again_as_always(schedule: Schedule) -> None:
    life = Life(schedule)
    poll = life.begin()
    life.set_clock(timedelta(days=-1))
    life.end(poll)
    assert life.wait == EVERY


@settings(max_examples=60)
@given(
    st.sampled_from([EACH_FIVE, EVERY_FIFTH, HALF_PAST, Cron("0 9 * * mon-fri", UTC)]),
    st.lists(
        st.tuples(
            st.sampled_from(["unchanged", "failed", "refused", "abandoned", None]),
            st.floats(0, 7_200),
            st.floats(0, 10),
            st.sampled_from([0, 0, 0, 1, -1, 3_600, -3_600, 86_400 * 365, -86_400]),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_whatever_happens_the_next_poll_comes_and_not_before_its_time(
    schedule: Schedule, polls: list[tuple[str | None, float, float, int]]
) -> None:
    life = Life(schedule, timedelta(seconds=10))
    for outcome, takes, delay, jump in polls:
        poll = life.begin()
        life.advance(timedelta(seconds=takes))
        life.set_clock(timedelta(seconds=jump))
        life.end(poll, outcome, delay)
        longest = 12 * timedelta(days=3) if life.project.failures > 1 else timedelta(days=4)
        assert timedelta(seconds=delay - 0.001) <= life.wait <= longest + timedelta(seconds=10)
        assert life.project.due >= life.now.wall


# Fresh or stale


def test_it_is_stale_after_three_intervals_and_the_jitter_without_success() -> None:
    life = Life(jitter=timedelta(seconds=10))
    life.poll("unchanged", "failed", "refused", "abandoned")
    life.now = Instant(START, 1_000.0)
    life.advance(3 * EVERY + timedelta(seconds=9.5))
    assert not life.stale
    life.advance(timedelta(seconds=0.5))
    assert life.stale


def test_a_project_without_success_is_stale_three_intervals_after_the_start() -> None:
    life = Life()
    life.poll("failed", "failed", "failed")
    life.now = Instant(START, 1_000.0)
    life.advance(3 * EVERY - timedelta(seconds=1))
    assert not life.stale
    life.advance(timedelta(seconds=1))
    assert life.stale


def test_a_success_makes_it_fresh_again_and_a_clock_that_is_set_does_not_matter() -> None:
    life = Life()
    life.poll("unchanged")
    life.set_clock(timedelta(days=365))
    assert not life.stale
    life.advance(3 * EVERY)
    assert life.stale
    life.set_clock(timedelta(days=-800))
    assert life.stale
    life.poll("unchanged")
    life.advance(3 * EVERY - timedelta(seconds=1))
    assert not life.stale
    life.advance(timedelta(seconds=1))
    assert life.stale


def test_a_cron_line_is_stale_after_the_third_of_its_own_times() -> None:
    life = Life(Cron("0 9 * * mon-fri", UTC))
    life.poll("unchanged")
    # It is Thursday noon: Friday, Monday, Tuesday.
    life.advance(timedelta(days=4, hours=21) - timedelta(seconds=1))
    assert not life.stale
    life.advance(timedelta(seconds=1))
    assert life.stale


# The clock is set, while the project waits for its next poll


@pytest.mark.parametrize(
    ("schedule", "by", "expected"),
    [
        (EACH_FIVE, -DAY, 3),
        (EACH_FIVE, 365 * DAY, 3),
        (EVERY_FIFTH, -1, 4),
        (HALF_PAST, -DAY, 28),
        (HALF_PAST, -10, 38),
        (HALF_PAST, 20, 8),
        # It was set past the time that was due.
        (HALF_PAST, 28, 0),
        (HALF_PAST, 40, 0),
        (HALF_PAST, 365 * DAY, 0),
    ],
)
def test_an_interval_goes_on_and_a_cron_line_follows_the_new_clock(
    schedule: Schedule, by: float, expected: float
) -> None:
    life = Life(schedule)
    life.poll("unchanged")
    life.advance(2 * MINUTE)
    life.set_clock(by * MINUTE)
    life.project = life.project.after_clock_change(life.now, 0.0)
    assert life.wait == expected * MINUTE


def test_the_jitter_also_delays_a_cron_line_after_a_change() -> None:
    life = Life(HALF_PAST, timedelta(seconds=10))
    life.poll("unchanged")
    life.set_clock(-10 * MINUTE)
    assert life.project.after_clock_change(life.now, 7.0).starts_at == life.now.monotonic + 40 * 60 + 7


def test_a_poll_that_is_already_late_stays_so() -> None:
    life = Life(HALF_PAST)
    life.poll("unchanged")
    life.advance(31 * MINUTE)
    life.set_clock(timedelta(days=-1))
    assert life.project.after_clock_change(life.now, 0.0) == life.project


@pytest.mark.parametrize("by", [-1.0, -0.000_001, 0.000_001, 1.0])
def test_a_cron_line_is_polled_once_each_time_though_the_clock_was_set_by_a_little(by: float) -> None:
    life = Life(HALF_PAST)
    life.poll("unchanged")
    life.set_clock(timedelta(seconds=by))
    assert [round(wait / MINUTE) for wait in life.poll(*["unchanged"] * 3)] == [30, 60, 60]


def test_the_drift_tells_a_clock_that_was_set_from_time_that_goes_by() -> None:
    now = Instant(START, 5.0)
    assert Instant(START + timedelta(days=99), 5.0 + 99 * 86_400).drift == now.drift
    assert Instant(START + timedelta(days=1), 5.0).drift - now.drift == timedelta(days=1)


# Another configuration


def test_the_same_settings_change_nothing_that_is_known() -> None:
    life = Life()
    life.poll("unchanged", "failed", "failed")
    named = replace(TASK, name="A")
    project = life.project.reconfigured(named, Interval(EVERY), MINUTE, life.now)
    assert project == replace(life.project, task=named, jitter=MINUTE)


@pytest.mark.parametrize(
    ("task", "schedule"),
    [(TASK, Interval(2 * EVERY)), (TASK, EVERY_FIFTH), (replace(TASK, key=Secret("new")), EACH_FIVE)],
    ids=["interval", "cron", "key"],
)
def test_another_schedule_or_key_makes_it_due_at_once(task: SyncTask, schedule: Schedule) -> None:
    life = Life()
    life.poll("unchanged", "failed", "failed")
    life.advance(MINUTE)
    project = life.project.reconfigured(task, schedule, NOW, life.now)
    assert (project.due, project.starts_at) == life.now
    assert (project.failures, project.succeeded, project.last) == (2, life.project.succeeded, life.project.last)
    assert not project.is_stale(life.now.monotonic)
    # If a poll is going on, its outcome counts, and the next one follows at once.
    poll, reloaded = life.begin(), life.now.wall
    life.project = life.project.reconfigured(task, schedule, NOW, life.now)
    life.advance(MINUTE)
    life.end(poll)
    assert (life.project.failures, life.wait <= NOW) == (0, True)
    life.end(life.begin())
    assert life.project.due == schedule.after(reloaded)


# Errors that are logged


def test_a_persistent_failure_is_an_error_once_an_hour() -> None:
    life = Life()
    life.poll("failed")
    assert life.project.should_log_error(life.now.monotonic)
    logged = replace(life.project, error_logged_at=life.now.monotonic)
    for seconds, expected in ((0.0, False), (ERROR_LOG_INTERVAL - 1, False), (ERROR_LOG_INTERVAL, True)):
        assert logged.should_log_error(life.now.monotonic + seconds) is expected
    life.project = logged
    life.poll("refused")
    assert not life.project.should_log_error(life.now.monotonic)
    life.poll("unchanged")
    assert life.project.should_log_error(life.now.monotonic)


def test_a_long_life_is_one_poll_after_the_other() -> None:
    life = Life(jitter=timedelta(seconds=10))
    moments = []
    for outcome in ["unchanged", "failed", "failed", "refused", "unchanged", None, "unchanged", "abandoned"] * 5:
        poll = life.begin()
        moments.append(life.now.monotonic)
        life.advance(timedelta(seconds=2))
        life.end(poll, outcome, 5.0)
    assert all(later - earlier >= EVERY.total_seconds() - 10 for earlier, later in pairwise(moments))
