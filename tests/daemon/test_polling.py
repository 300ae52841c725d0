"""When polls begin, that there is one of a project at a time, and what is logged of those that fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta

import pytest

from rfsync.schedule import Cron, Interval, Schedule
from tests.daemon.conftest import (
    ABANDONED,
    EVERY,
    FAILED,
    GOOD,
    LONG,
    NOW,
    REFUSED,
    START,
    World,
    bug,
    ends,
    minutes,
    workspace,
)


def test_all_named_projects_are_polled_at_once_at_the_start(world: World) -> None:
    driver = world.daemon(workspace("a", "b"), workspace("c", id="other"), jitter=timedelta(hours=1))
    for key in ("acme/a", "acme/b", "other/c"):
        driver.done(key, 1)
    assert sorted(world.polled) == ["acme/a", "acme/b", "other/c"]
    assert [result.outcome for result in world.ended] == ["unchanged"] * 3
    assert driver.daemon.is_ready
    assert driver.daemon.is_alive
    assert world.listed == {}


def test_the_next_poll_is_due_after_the_interval_and_at_most_the_jitter(world: World) -> None:
    jitter = timedelta(seconds=10)
    keys = [f"acme/{number}" for number in range(20)]
    driver = world.daemon(workspace(*(key[5:] for key in keys)), jitter=jitter)
    for key in keys:
        driver.done(key, 1)
    waits = [driver.due_in(key) for key in keys]
    assert all(wait is not None and EVERY <= wait <= EVERY + jitter for wait in waits)
    assert len(set(waits)) > 1


def test_nothing_begins_before_it_is_due(world: World) -> None:
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.advance(EVERY - timedelta(microseconds=1))
    assert driver.due_in("acme/a") == timedelta(microseconds=1)
    driver.advance(timedelta(microseconds=1))
    driver.done("acme/a", 2)


def test_each_workspace_has_its_own_schedule(world: World) -> None:
    schedules: dict[str, Schedule] = {"acme": Interval(EVERY), "other": Cron("30 * * * *", UTC)}
    driver = world.daemon(workspace("a"), workspace("b", id="other"), schedule=schedules.__getitem__)
    driver.done("acme/a", 1)
    driver.done("other/b", 1)
    assert (driver.due_in("acme/a"), driver.due_in("other/b")) == (EVERY, timedelta(minutes=30))
    assert driver.run("other/b", 2) == minutes(30, 60)


def test_a_poll_that_took_longer_than_its_interval_is_followed_by_exactly_one_at_once(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a"))
    assert gate.began.wait(LONG)
    driver.advance(4 * EVERY + timedelta(minutes=1))
    assert (driver.due_in("acme/a"), driver.project("acme/a").is_running) == (None, True)
    gate.through.set()
    # That one has begun by itself, since it is due.
    driver.done("acme/a", 2)
    assert driver.due_in("acme/a") == EVERY
    assert world.doubled == []


def test_missed_polls_are_made_up_by_one(world: World) -> None:
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    # As after a while in which the process was stopped, or no thread was free.
    gate = world.gate("acme/a")
    driver.advance(4 * EVERY + timedelta(minutes=1))
    assert gate.began.wait(LONG)
    second = world.gate("acme/a")
    gate.through.set()
    with driver._changed:
        driver._changed.wait_for(lambda: driver._finished["acme/a"] == 2, LONG)
    due = driver.due_in("acme/a")
    second.through.set()
    assert due is not None
    assert NOW < due <= EVERY


def test_there_are_never_two_of_a_project_at_a_time(world: World) -> None:
    gates = [world.gate("acme/a") for _ in range(3)]
    driver = world.daemon(workspace("a", "b"))
    for number, gate in enumerate(gates):
        assert gate.began.wait(LONG)
        for _ in range(5):
            driver.advance(EVERY)
            driver.daemon.tick()
        assert world.polled.count("acme/a") == number + 1
        gate.through.set()
    driver.done("acme/a", 4)
    assert world.doubled == []


def test_concurrency_limits_the_polls_at_once(world: World) -> None:
    gates = [world.gate(f"acme/{name}") for name in "abc"]
    driver = world.daemon(workspace("a", "b", "c"), concurrency=2)
    assert gates[0].began.wait(LONG)
    assert gates[1].began.wait(LONG)
    assert not gates[2].began.is_set()
    gates[0].through.set()
    assert gates[2].began.wait(LONG)
    for gate in gates:
        gate.through.set()
    driver.done("acme/c", 1)


def test_other_projects_keep_their_interval(world: World) -> None:
    world.acts["acme/a"] = [FAILED] * 3
    driver = world.daemon(workspace("a", "b"))
    driver.done("acme/b", 1)
    driver.done("acme/a", 1)
    # a is polled at 5 and 15 minutes.
    for number, of_a in ((2, 2), (3, 2), (4, 3)):
        driver.advance(EVERY)
        driver.done("acme/b", number)
        driver.done("acme/a", of_a)
        assert driver.due_in("acme/b") == EVERY
    assert driver.project("acme/a").failures == 3


@pytest.mark.parametrize("outcome", ["changed", "unchanged", "superseded"])
def test_these_outcomes_are_a_success(world: World, outcome: str) -> None:
    world.acts["acme/a"] = [FAILED, FAILED, ends(outcome)]
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.run("acme/a", 2)
    project = driver.project("acme/a")
    assert (project.failures, project.last_success) == (0, START + 3 * EVERY)
    assert driver.project("acme/a").last_success_age == 0
    driver.advance(timedelta(seconds=7))
    assert driver.project("acme/a").last_success_age == 7


def test_a_bug_in_one_poll_is_logged_with_its_traceback_and_the_project_is_polled_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.acts["acme/a"] = [bug]
    driver = world.daemon(workspace("a", "b"))
    driver.done("acme/a", 1)
    driver.done("acme/b", 1)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("rfsync.daemon", "ERROR")
    assert "acme/a" in record.getMessage()
    assert "ZeroDivisionError: nobody thought of that" in caplog.text
    assert driver.project("acme/a").failures == 1
    assert driver.run("acme/a", 1) == [EVERY]
    assert driver.project("acme/a").failures == 0


def test_a_persistent_failure_is_an_error_first_then_a_warning_and_an_error_again_each_hour(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.acts["acme/a"] = [FAILED] * 8 + [GOOD, FAILED, FAILED]
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    assert lines() == ["ERROR acme/a failed"]
    # At 5, 15, 35 minutes; then an hour has gone by.
    driver.run("acme/a", 3)
    assert lines() == ["WARNING acme/a failed"] * 3
    driver.run("acme/a", 4)  # at 75, 135, 195, 255 minutes
    assert lines() == ["ERROR acme/a failed"] * 4
    driver.run("acme/a", 3)  # well, and then anew
    assert lines() == ["ERROR acme/a failed", "WARNING acme/a failed"]


def test_the_hour_between_two_errors_is_measured_by_the_monotonic_clock(
    world: World, lines: Callable[[], list[str]]
) -> None:
    world.acts["acme/a"] = [FAILED] * 3
    driver = world.daemon(workspace("a"), schedule=Interval(timedelta(minutes=30)))
    driver.done("acme/a", 1)
    driver.set_clock(timedelta(days=30))
    lines()
    driver.run("acme/a", 2)
    assert lines() == ["WARNING acme/a failed", "ERROR acme/a failed"]


def test_failures_are_counted_per_project(world: World, lines: Callable[[], list[str]]) -> None:
    world.acts = {"acme/a": [FAILED], "acme/b": [FAILED]}
    driver = world.daemon(workspace("a", "b"))
    driver.done("acme/a", 1)
    driver.done("acme/b", 1)
    assert sorted(lines()) == ["ERROR acme/a failed", "ERROR acme/b failed"]


def test_a_project_is_stale_after_three_intervals_and_the_jitter_without_success(world: World) -> None:
    world.acts["acme/a"] = [GOOD, FAILED, REFUSED, ABANDONED]
    jitter = timedelta(seconds=10)
    driver = world.daemon(workspace("a"), jitter=jitter)
    driver.done("acme/a", 1)
    world.seconds = (3 * EVERY + jitter).total_seconds() - 0.5
    assert not driver.project("acme/a").is_stale
    world.seconds += 0.5
    assert driver.project("acme/a").is_stale


def test_a_project_without_success_is_stale_three_intervals_after_the_start(world: World) -> None:
    world.acts["acme/a"] = [FAILED] * 9
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    assert driver.project("acme/a").last_success_age is None
    driver.run("acme/a", 2)
    driver.done("acme/a", 3)
    assert not driver.project("acme/a").is_stale or world.seconds >= 900
    world.seconds = 899.0
    assert not driver.project("acme/a").is_stale
    world.seconds = 900.0
    assert driver.project("acme/a").is_stale


def test_a_long_life_is_one_poll_after_the_other(world: World) -> None:
    world.acts["acme/a"] = [GOOD, FAILED, FAILED, REFUSED, GOOD, bug, GOOD, ABANDONED] * 5
    driver = world.daemon(workspace("a"), jitter=timedelta(seconds=10))
    driver.done("acme/a", 1)
    driver.run("acme/a", 39)
    assert world.polled == ["acme/a"] * 40
    assert world.doubled == []
